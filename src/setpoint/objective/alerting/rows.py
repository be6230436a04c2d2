"""The policies of many objectives as flat arrays: `alerting` keeps the states, this module the numbers.

A policy is a row; its conditions are consecutive rows of their own, and each distinct window of an objective is counted
once, however many conditions look at it. Objectives with the same policies are laid out together, so that 10,000 of
them take a fraction of a second to build.

    burn       = bad / (total × (1 − target))                       over the condition's window
    exhaustion = seconds that the rest lasts at a burn of 1 / burn   (rolling: left × window; a calendar window's budget
                 grows with its events: elapsed × left / (burn − 1))
    drop       = bad in the window / (total of the objective's window × (1 − target))
    remaining  = 1 − bad / (total × (1 − target))                   over the objective's window
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from setpoint.objective.alerting.kernels import FALSE, TRUE, UNKNOWN
from setpoint.objective.alerting.policy import policies_of, watch_of
from setpoint.objective.model import AlertPolicy, BurnRate, Condition, LowTraffic, Objective, Severity

__all__ = ["Measured", "Rows", "View", "Windows", "rows_of"]

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]
_Levels = npt.NDArray[np.int8]

_KINDS = {"burnrate": 0, "timeToExhaustion": 1, "budgetDrop": 2, "remainingBudget": 3}
_SILENCE = 4
_NEARLY = 1e-9
_SHORTEST_HOLD_S, _LONGEST_HOLD_S = 30, 900


@dataclass(frozen=True, slots=True)
class Windows:
    """c windows to be counted, all ending now: `objective` int64[c] (index), `lookback_s` int64[c].

    `anchored` bool[c]: it ends with the last slice that has samples, instead of now (the watch row: senders report
    every few seconds). `inside` bool[c]: it begins with the objective's own window at the earliest (a budget's drop).
    """

    objective: _Ints
    lookback_s: _Ints
    anchored: _Bools
    inside: _Bools


@dataclass(frozen=True, slots=True)
class Measured:
    """What `PolicyTable.judge` decides from, NaN where it is not known.

    `good`, `total` float64[c]: events of the windows. `window_good`, `window_total` float64[n]: events of each
    objective's own window. `silent_s` float64[n]: seconds since its newest sample, NaN when there never was one.
    `lasts_s` float64[n]: how long what is left of the budget lasts at a burn of 1; without it left × window.
    `ends_s` float64[n]: seconds until its window ends, inf where it rolls; a budget that lasts longer is not exhausted.
    """

    good: _Floats
    total: _Floats
    window_good: _Floats
    window_total: _Floats
    silent_s: _Floats
    lasts_s: _Floats | None = None
    ends_s: _Floats | None = None


@dataclass(frozen=True, slots=True)
class View:
    """One policy of one objective with its numbers, for sentences. `conditions` are (condition, its value, good and
    total of its window); NaN where unknown.
    """

    objective: Objective
    conditions: tuple[tuple[Condition, float, float, float], ...]
    guard: LowTraffic
    guard_s: int
    """The window that the guard looks at; 0: the objective's."""
    guard_bad: float
    guard_total: float
    window_good: float
    window_total: float
    lasts_s: float
    rolls: bool
    """The objective's window does."""
    holds: bool
    """All conditions are true, whatever the guard says."""

    @property
    def is_guarded(self) -> bool:
        """Whether the guard keeps the policy from firing now."""
        return (
            self.guard_bad < self.guard.min_bad - _NEARLY
            or self.guard_total < self.guard.min_events - _NEARLY
        )


@dataclass(frozen=True, slots=True)
class _Layout:
    """The rows of one objective; the others with the same policies have the same."""

    policies: list[AlertPolicy]
    windows: list[tuple[int, bool, bool]]
    spans: list[int]
    """Number of conditions of each policy."""
    conditions: list[tuple[int, int, float, bool, bool, int]]
    """kind, window (−1: none), threshold, is_greater, is_strict, after_ms"""
    guard_window: list[int]
    is_hidden: list[bool]


class Rows:
    """All rows; arrays by policy, by condition, by objective. Made by `rows_of`."""

    def __init__(self, objectives: Sequence[Objective], no_data_after_s: float) -> None:
        self.source = tuple(objectives)
        self.names = [objective.name for objective in objectives]
        self.objectives = len(objectives)
        layouts, kinds = _layouts(objectives)
        chosen = [layouts[kind] for kind in kinds]
        self.policies = [policy for layout in chosen for policy in layout.policies]
        self.count = len(self.policies)
        of_policies = _Spread(layouts, kinds, lambda layout: len(layout.policies))
        of_windows = _Spread(layouts, kinds, lambda layout: len(layout.windows))
        of_conditions = _Spread(layouts, kinds, lambda layout: len(layout.conditions))
        self._starts = of_policies.offsets
        self.objective = of_policies.owner
        self.windows = Windows(
            of_windows.owner,
            of_windows.fill([[one[0] for one in each.windows] for each in layouts], np.int64),
            of_windows.fill([[one[1] for one in each.windows] for each in layouts], np.bool_),
            of_windows.fill([[one[2] for one in each.windows] for each in layouts], np.bool_),
        )
        self._fill_policies(objectives, layouts, of_policies, of_windows)
        self._fill_conditions(layouts, of_conditions, of_windows)
        self.allowed = np.array([objective.allowed_ratio for objective in objectives], np.float64)
        self._window_s = np.array([objective.window_s for objective in objectives], np.float64)
        self.no_data_after_s = np.array(
            [
                no_data_after_s if objective.no_data.after_s is None else objective.no_data.after_s
                for objective in objectives
            ],
            np.float64,
        )
        self._window_allowed = self.allowed[self.windows.objective]
        self._by_kind = [np.flatnonzero(self.kind == kind) for kind in range(_SILENCE + 1)]
        self._order_told()

    def _fill_policies(
        self,
        objectives: Sequence[Objective],
        layouts: Sequence[_Layout],
        of_policies: _Spread,
        of_windows: _Spread,
    ) -> None:
        spans = of_policies.fill([each.spans for each in layouts], np.int64)
        self.first = np.concatenate(([0], np.cumsum(spans)[:-1])) if self.count else np.zeros(0, np.int64)
        self.ends = self.first + spans
        self.is_hidden = of_policies.fill([each.is_hidden for each in layouts], np.bool_)
        guard = of_policies.fill([each.guard_window for each in layouts], np.int64)
        self._guard_window = np.where(guard >= 0, guard + of_windows.offsets[self.objective], -1)
        own = [[policy.low_traffic for policy in each.policies] for each in layouts]
        theirs = [objective.low_traffic for objective in objectives]
        shown = ~self.is_hidden
        self._min_events = np.maximum(
            of_policies.fill([[guard.min_events for guard in each] for each in own], np.float64),
            np.array([guard.min_events for guard in theirs], np.float64)[self.objective] * shown,
        )
        self._min_bad = np.maximum(
            of_policies.fill([[guard.min_bad for guard in each] for each in own], np.float64),
            np.array([guard.min_bad for guard in theirs], np.float64)[self.objective] * shown,
        )
        self.when_no_data = of_policies.fill(
            [[policy.when_no_data for policy in each.policies] for each in layouts], np.bool_
        )
        self.hold_ms = of_policies.fill(
            [[_hold_ms(policy) for policy in each.policies] for each in layouts], np.int64
        )
        self.is_burn = of_policies.fill(
            [
                [any(one.kind == "burnrate" for one in policy.conditions) for policy in each.policies]
                for each in layouts
            ],
            np.bool_,
        )

    def _fill_conditions(
        self, layouts: Sequence[_Layout], of_conditions: _Spread, of_windows: _Spread
    ) -> None:
        columns = [
            of_conditions.fill([[one[column] for one in each.conditions] for each in layouts], dtype)
            for column, dtype in enumerate((np.int8, np.int64, np.float64, np.bool_, np.bool_, np.int64))
        ]
        self.kind, window, self.threshold, self._greater, strict, self.after_ms = columns
        self._objective_of = of_conditions.owner
        self._window = np.where(window >= 0, window + of_windows.offsets[self._objective_of], -1)
        # Both sides of a threshold are computed from the same counts; their last bits must not decide.
        size = np.where(np.isinf(self.threshold), 0.0, np.maximum(np.abs(self.threshold), 1.0))
        self._edge = self.threshold + np.where(strict == self._greater, _NEARLY, -_NEARLY) * size

    def _order_told(self) -> None:
        """For `told`: the burn-rate rows in their order, and by how short their told window is."""
        rows = np.flatnonzero(self.is_burn)
        told = np.empty(len(rows), np.int64)
        for position, row in enumerate(rows.tolist()):
            told[position] = self._told_condition(row)
        self._told_rows, self._told_conditions = rows, told
        owner = self.objective[rows]
        self._told_lengths = self.windows.lookback_s[self._window[told]] if len(told) else told
        order = np.lexsort((np.arange(len(rows)), self._told_lengths, owner))
        self._newest_rank = np.empty(len(rows), np.int64)
        self._newest_rank[order] = np.arange(len(rows))
        self._newest = order
        self._told_owner, self._told_first = np.unique(owner, return_index=True)
        pages = np.array([self.policies[row].severity == "page" for row in rows.tolist()], np.bool_)
        self.page_threshold = np.full(self.objectives, np.inf)
        np.minimum.at(self.page_threshold, owner[pages], self.threshold[told[pages]])
        self.page_threshold[np.isinf(self.page_threshold)] = np.nan

    def _told_condition(self, row: int) -> int:
        first, end = self.span(row)
        burns = [at for at in range(first, end) if self.kind[at] == 0]
        choose = max if self.is_hidden[row] else min
        return choose(burns, key=lambda at: self.windows.lookback_s[self._window[at]])

    def span(self, row: int) -> tuple[int, int]:
        """The conditions of a policy, as a half-open range."""
        return int(self.first[row]), int(self.ends[row])

    def of_objective(self, index: int) -> range:
        """The policies of an objective."""
        return range(int(self._starts[index]), int(self._starts[index + 1]))

    def values(self, measured: Measured, silent_s: _Floats) -> _Floats:
        """The value of each condition; NaN where it is unknown."""
        burn = np.full(len(measured.total), np.nan)
        bad = measured.total - measured.good
        np.divide(bad, measured.total * self._window_allowed, out=burn, where=measured.total > 0)
        allowed = measured.window_total * self.allowed
        spent = np.full(self.objectives, np.nan)
        np.divide(
            measured.window_total - measured.window_good, allowed, out=spent, where=measured.window_total > 0
        )
        left = 1 - spent
        lasts_s = np.maximum(left, 0) * self._window_s if measured.lasts_s is None else measured.lasts_s
        value = np.full(len(self.kind), np.nan)
        burns, exhaustions, drops, remains, silences = self._by_kind
        value[burns] = burn[self._window[burns]]
        if len(exhaustions):
            value[exhaustions] = self._exhaustion(
                burn[self._window[exhaustions]],
                lasts_s[self._objective_of[exhaustions]],
                None if measured.ends_s is None else measured.ends_s[self._objective_of[exhaustions]],
            )
        if len(drops):
            at = self._window[drops]
            whole = allowed[self._objective_of[drops]]
            known = (measured.total[at] > 0) & (whole > 0)
            value[drops] = np.where(known, bad[at] / np.where(known, whole, 1), np.nan)
        value[remains] = left[self._objective_of[remains]]
        value[silences] = silent_s[self._objective_of[silences]]
        return value

    @staticmethod
    def _exhaustion(burn: _Floats, lasts_s: _Floats, ends_s: _Floats | None) -> _Floats:
        seconds = np.full(len(burn), np.inf)
        spending = burn if ends_s is None else burn - np.isfinite(ends_s)
        np.divide(lasts_s, spending, out=seconds, where=spending > 0)
        seconds[lasts_s <= 0] = 0
        seconds[np.isnan(burn) | np.isnan(lasts_s)] = np.nan
        if ends_s is not None:
            seconds[seconds > ends_s] = np.inf
        return seconds

    def compare(self, value: _Floats) -> _Levels:
        """FALSE, UNKNOWN or TRUE of each condition."""
        met = np.where(self._greater, value > self._edge, value < self._edge)
        return np.where(np.isnan(value), UNKNOWN, np.where(met, TRUE, FALSE)).astype(np.int8)

    def guard_met(self, measured: Measured) -> _Bools:
        """Of each policy, whether its longest window holds enough events and bad events."""
        total, bad = self._guarded(measured, slice(None))
        short: _Bools = (total < self._min_events - _NEARLY) | (bad < self._min_bad - _NEARLY)
        return ~short

    def _guarded(self, measured: Measured, rows: slice | int) -> tuple[_Floats, _Floats]:
        at, owner = np.asarray(self._guard_window[rows]), self.objective[rows]
        has = at >= 0
        if not len(measured.total):
            return measured.window_total[owner], measured.window_total[owner] - measured.window_good[owner]
        at = np.where(has, at, 0)
        total = np.where(has, measured.total[at], measured.window_total[owner])
        good = np.where(has, measured.good[at], measured.window_good[owner])
        return total, total - good

    def told(self, burning: _Bools, is_true: _Bools, value: _Floats) -> tuple[_Bools, _Floats, _Ints]:
        """By objective: whether a burn-rate policy burns, the burn that lists show, and over how many seconds."""
        found = np.zeros(self.objectives, np.bool_)
        burn, over_s = np.full(self.objectives, np.nan), np.zeros(self.objectives, np.int64)
        count = len(self._told_rows)
        if not count:
            return found, burn, over_s
        known = ~np.isnan(value[self._told_conditions])
        rank = np.where(known, count + self._newest_rank, 2 * count)
        rank = np.where(is_true[self._told_rows] & known, np.arange(count), rank)
        best = np.minimum.reduceat(rank, self._told_first)
        has = best < 2 * count
        position = np.where(best < count, best, self._newest[np.where(has, best, 0) % count])[has]
        owner = self._told_owner[has]
        burn[owner] = value[self._told_conditions[position]]
        over_s[owner] = self._told_lengths[position]
        found[self.objective[burning]] = True
        return found, burn, over_s

    def burn_rate(self, row: int, value: _Floats, *, is_true: bool) -> BurnRate:
        """A burn-rate policy as burns of its longest and its shortest window."""
        first, end = self.span(row)
        burns = [at for at in range(first, end) if self.kind[at] == 0]
        length = {at: int(self.windows.lookback_s[self._window[at]]) for at in burns}
        long, short = max(burns, key=length.__getitem__), min(burns, key=length.__getitem__)
        policy = self.policies[row]
        ceiling = 1 / self.allowed[self.objective[row]]
        return BurnRate(
            long_s=length[long],
            short_s=length[short],
            threshold=float(self.threshold[long]),
            long_burn=_known(value[long]),
            short_burn=_known(value[short]),
            firing=is_true,
            severity=cast(Severity, policy.severity),
            reachable=all(not self._greater[at] or self._edge[at] < ceiling for at in burns),
        )

    def view(self, row: int, value: _Floats, measured: Measured, *, holds: bool) -> View:
        """A policy with its numbers."""
        policy, index = self.policies[row], int(self.objective[row])
        first, _ = self.span(row)
        conditions = []
        for at, condition in enumerate(policy.conditions, first):
            window = int(self._window[at])
            good = float(measured.good[window]) if window >= 0 else float(measured.window_good[index])
            total = float(measured.total[window]) if window >= 0 else float(measured.window_total[index])
            conditions.append((condition, float(value[at]), good, total))
        total_guarded, bad_guarded = self._guarded(measured, row)
        guard_window = int(self._guard_window[row])
        lasts_s = np.nan if measured.lasts_s is None else float(measured.lasts_s[index])
        return View(
            objective=self.source[index],
            conditions=tuple(conditions),
            guard=LowTraffic(float(self._min_events[row]), float(self._min_bad[row])),
            guard_s=int(self.windows.lookback_s[guard_window]) if guard_window >= 0 else 0,
            guard_bad=float(bad_guarded),
            guard_total=float(total_guarded),
            window_good=float(measured.window_good[index]),
            window_total=float(measured.window_total[index]),
            lasts_s=lasts_s,
            rolls=measured.ends_s is None or bool(np.isinf(measured.ends_s[index])),
            holds=holds,
        )


def rows_of(objectives: Sequence[Objective], no_data_after_s: float) -> Rows:
    """The rows of all policies of `objectives`, in their order; within one, by factor, highest first."""
    return Rows(objectives, no_data_after_s)


class _Spread:
    """Lays what the objectives of a layout share out in the order of the objectives."""

    def __init__(
        self, layouts: Sequence[_Layout], kinds: Sequence[int], size: Callable[[_Layout], int]
    ) -> None:
        self._kinds = np.array(kinds, np.int64)
        sizes = np.array([size(layout) for layout in layouts], np.int64)
        each = sizes[self._kinds] if len(kinds) else np.zeros(0, np.int64)
        self.offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(each)))
        self.owner = np.repeat(np.arange(len(kinds), dtype=np.int64), each)
        within = np.arange(len(self.owner)) - self.offsets[self.owner]
        self._at = np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)))[self._kinds[self.owner]] + within

    def fill(self, parts: Sequence[Sequence[object]], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """One array with the values of each objective's layout."""
        flat = np.array([value for part in parts for value in part], dtype)
        return flat[self._at]


def _layouts(objectives: Sequence[Objective]) -> tuple[list[_Layout], list[int]]:
    """The distinct layouts, and which one each objective has."""
    layouts: list[_Layout] = []
    known: dict[tuple[tuple[AlertPolicy, ...], tuple[AlertPolicy, ...]], int] = {}
    # Most objectives share the very same tuples: their identity saves hashing every condition of each.
    by_identity: dict[tuple[int, int], int] = {}
    kinds, held = [], []
    for objective in objectives:
        shown, hidden = policies_of(objective), watch_of(objective)
        held.append((shown, hidden))
        identity = (id(shown), id(hidden))
        kind = by_identity.get(identity)
        if kind is None:
            kind = known.get((shown, hidden))
            if kind is None:
                kind = known[shown, hidden] = len(layouts)
                layouts.append(_layout(shown, hidden))
            by_identity[identity] = kind
        kinds.append(kind)
    return layouts, kinds


def _layout(shown: Sequence[AlertPolicy], hidden: Sequence[AlertPolicy]) -> _Layout:
    ordered = sorted(
        [(policy, False) for policy in shown] + [(policy, True) for policy in hidden],
        key=lambda one: (-_factor(one[0]), one[1]),
    )
    layout = _Layout([policy for policy, _ in ordered], [], [], [], [], [one for _, one in ordered])
    windows: dict[tuple[int, bool, bool], int] = {}
    for policy, is_hidden in ordered:
        longest = (0, -1)
        for condition in policy.conditions:
            at = -1
            if condition.kind != "remainingBudget":
                key = (condition.lookback_s, is_hidden, condition.kind == "budgetDrop")
                at = windows.setdefault(key, len(windows))
                longest = max(longest, (condition.lookback_s, at))
            is_greater, is_strict = condition.op in ("gt", "gte"), condition.op in ("gt", "lt")
            layout.conditions.append(
                (
                    _KINDS[condition.kind],
                    at,
                    condition.threshold,
                    is_greater,
                    is_strict,
                    1000 * condition.after_s,
                )
            )
        if not policy.conditions:
            layout.conditions.append((_SILENCE, -1, np.inf, True, True, 0))  # false, but for `when_no_data`
        layout.spans.append(max(1, len(policy.conditions)))
        layout.guard_window.append(longest[1])
    layout.windows.extend(windows)
    return layout


def _factor(policy: AlertPolicy) -> float:
    return max((one.threshold for one in policy.conditions if one.kind == "burnrate"), default=0.0)


def _hold_ms(policy: AlertPolicy) -> int:
    """How long a policy must have been false to resolve."""
    shortest_s = min((one.lookback_s for one in policy.conditions if one.lookback_s), default=0)
    return 1000 * min(max(_SHORTEST_HOLD_S, shortest_s // 2), _LONGEST_HOLD_S)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)

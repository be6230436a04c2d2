"""Budget ledgers: what is derived from the counted events of objectives, minute by minute, for many at once.

A tick (`update`) and the backfill (`over`) call it after raw minutes were written. Two steps, each a few array
operations for all objectives of a kind:

- A composite's minutes come from its parts' minutes: one event for each minute in which every part has events, good by
  the weighted mean of their ratios, or (`all_of`) good where every part met its own target. Where budgets are kept in
  slices it is one event for each slice instead, in the slice's last minute: what makes a slice of a part good is its
  `slice_target`. Composites of composites come after their parts.
- A budget that is not kept in events has a ledger of its own. Timeslices and RatioTimeslices: one event for each slice
  with events, good where the ratio of the slice's events reaches `slice_target`, or good by that ratio; it is booked in
  the slice's last minute once the slice has ended. Slices are aligned to multiples of their length since 1970.
  `noData: bad`: a minute (or slice) without data after the objective's first data counts as bad once it is
  `after_s` old, with as many events as an average minute of the day up to the last minute with data had.
- What is adjusted (decision 0031) is changed on the way: a budget comes from counted minutes as `plan` leaves them, and
  so do the parts of an adjusted composite, which has minutes of its own for that (`effective`).

A part or a slice whose samples count nothing has no ratio, and so no data: 0/0 is neither good nor bad.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.objective.adjustment.plan import Plan
from setpoint.objective.ledger.ledgers import Ledgers
from setpoint.objective.model import Objective

__all__ = ["Derivation", "budget_key"]

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]

_MINUTE_MS = 60_000
_DAY_MINUTES = 1440
_MOST_MINUTES = 60
"""A tick derives no more than this; what is older waits for the backfill."""

_ROUNDING = 1e-12
NEVER = 2**62


def budget_key(objective: Objective, raw_key: str) -> str:
    """The ledger that the budget is computed from: `raw_key` itself where events are kept as they are."""
    rules = []
    if objective.method != "Occurrences":
        rules += [objective.method, str(objective.slice_s)]
    if objective.method == "Timeslices":
        rules.append(repr(objective.slice_target))
    if objective.no_data.action == "bad":
        rules += ["bad", str(objective.no_data.after_s)]
    if not rules:
        return raw_key
    return f"{raw_key}/{hashlib.blake2b(' '.join(rules).encode(), digest_size=8).hexdigest()}"


@dataclass(frozen=True, slots=True)
class _Level:
    """Composites whose parts are counted or of earlier levels, in slots of `minutes`; part p belongs to composite
    `owner[p]` (position).
    """

    minutes: int
    index: _Ints
    row: _Ints
    first: _Ints
    owner: _Ints
    part: _Ints
    part_row: _Ints
    weight: _Floats
    part_target: _Floats
    all_of: _Bools
    part_profile: _Ints
    profile: _Ints
    """Which adjustments a part, and the composite, has of its own (-1: none)."""


@dataclass(frozen=True, slots=True)
class _Group:
    """Objectives whose budgets have slices of `minutes`. `kept` : events as they are, `ratio`: good by ratio."""

    minutes: int
    is_kept: bool
    index: _Ints
    raw: _Ints
    row: _Ints
    target: _Floats
    ratio: _Bools
    fills: _Bools
    after_ms: _Ints
    profile: _Ints
    quiet: _Ints
    """Which adjustments apply to its minutes, and which keep its silence from being bad (-1: none)."""


class Derivation:
    """What is derived of what, for one list of objectives."""

    def __init__(
        self,
        objectives: Sequence[Objective],
        raw: _Ints,
        budget: _Ints,
        ledgers: Ledgers,
        *,
        no_data_after_s: float,
        plan: Plan | None = None,
        effective: _Ints | None = None,
        is_adjusted: _Bools | None = None,
    ) -> None:
        """`raw`, `budget` int64[n] are the rows of the objectives' events and budgets in `ledgers`; `effective`
        those of their events as `plan` adjusts them, which only adjusted composites have apart from `raw`.
        `is_adjusted` bool[n]: the budget is a ledger for what is adjusted.
        """
        self._ledgers = ledgers
        self._size = len(objectives)
        self._plan = plan or Plan(objectives)
        if is_adjusted is None:
            is_adjusted = np.zeros(len(objectives), np.bool_)
        effective = raw if effective is None else effective
        self._levels = _levels(objectives, raw)
        self._groups = _groups(objectives, effective, budget, no_data_after_s, self._plan, is_adjusted)
        if (effective != raw).any():
            adjusted = frozenset(np.flatnonzero(effective != raw).tolist())
            self._levels += _levels(objectives, effective, adjusted, self._plan)
        self.is_composite = np.array([one.kind == "composite" for one in objectives], np.bool_)
        self.fills = np.array([one.no_data.action == "bad" for one in objectives], np.bool_)
        """bool[n]: silence counts as bad, which can be told only when all before it is counted."""
        self.missing: Mapping[int, str] = _missing(objectives)
        """By index, why a composite cannot be computed."""

    def __len__(self) -> int:
        """How many ledgers are derived."""
        return sum(len(level.index) for level in self._levels) + sum(len(one.index) for one in self._groups)

    def update(self, low: _Ints, done: _Ints, filled: _Ints, now_ms: int) -> list[tuple[int, int, int]]:
        """Derive what follows from minutes that changed, up to now.

        `low` int64[n]: the first raw minute of each objective that changed (`NEVER`: none); the first one of its
        composite or budget is put in. `done`, `filled` int64[ledger rows]: up to which minute a derived row has been
        derived, and filled where data is missing (-1: not yet); both are kept up to date. Returns (index, first, end)
        of what is too old for a tick.
        """
        old: list[tuple[int, int, int]] = []
        ended = now_ms // _MINUTE_MS
        self._plan.widen(low)
        for level in self._levels:
            each = level.minutes
            end = ended // each * each
            start = np.minimum(
                np.minimum.reduceat(low[level.part], level.first), _begun(done, level.row, end)
            )
            for chosen, first in _cut(level.index, start // each * each, end, old, each):
                changed = self._compose(level, chosen, first, end, ended)
                _lower(low, level.index[chosen], first, changed)
            done[level.row] = end
        for group in self._groups:
            self._update_group(group, low, done, filled, now_ms, old)
        return old

    def over(self, indices: _Ints, first: int, end: int, now_ms: int) -> _Ints:
        """Derive everything that follows from the minutes `first` to before `end` of some objectives; minutes that the
        ledger has on disk only are read from there. Raises Unavailable when that fails. Returns the objectives that may
        be changed by it, those given among them.
        """
        ended = now_ms // _MINUTE_MS
        first, end = self._plan.widened(indices, first, end)
        touched = np.zeros(self._size, np.bool_)
        touched[indices] = True
        for level in self._levels:
            of_parts = np.logical_or.reduceat(touched[level.part], level.first)
            chosen = np.flatnonzero(of_parts | touched[level.index])
            low = first // level.minutes * level.minutes
            high = min(-(-end // level.minutes), ended // level.minutes) * level.minutes
            if len(chosen) and low < high:
                self._compose(level, chosen, low, high, ended)
                touched[level.index[chosen]] = True
        for group in self._groups:
            chosen = np.flatnonzero(touched[group.index])
            low = first // group.minutes * group.minutes
            high = min(-(-end // group.minutes), self._slots_end(group, now_ms)) * group.minutes
            if len(chosen) and low < high:
                self._book(group, chosen, low, high, now_ms)
        return np.flatnonzero(touched)

    def _update_group(  # noqa: PLR0917 — the columns of a tick
        self,
        group: _Group,
        low: _Ints,
        done: _Ints,
        filled: _Ints,
        now_ms: int,
        old: list[tuple[int, int, int]],
    ) -> None:
        end = self._slots_end(group, now_ms) * group.minutes
        start = np.minimum(low[group.index], _begun(done, group.row, end))
        fill_end = (now_ms - group.after_ms) // _MINUTE_MS // group.minutes * group.minutes
        was_filled = _begun(filled, group.row, end)
        due = group.fills & (was_filled < fill_end)
        start = np.where(due, np.minimum(start, was_filled), start) // group.minutes * group.minutes
        for chosen, first in _cut(group.index, start, end, old, group.minutes):
            changed = self._book(group, chosen, first // group.minutes * group.minutes, end, now_ms)
            _lower(low, group.index[chosen], first, changed)
        done[group.row] = end
        filled[group.row[group.fills]] = fill_end[group.fills]

    @staticmethod
    def _slots_end(group: _Group, now_ms: int) -> int:
        """The slot after the last one that can be booked: events at once, slices when they have ended."""
        if group.is_kept:
            return (now_ms - 1) // _MINUTE_MS + 1
        return now_ms // _MINUTE_MS // group.minutes

    def _compose(self, level: _Level, chosen: _Ints, first: int, end: int, now_minute: int) -> _Bools:
        """Write the slots of some composites (positions in their level); what changed, bool[k, minutes]."""
        parts = np.flatnonzero(np.isin(level.owner, chosen))
        profiles = level.part_profile[parts], level.profile[level.owner[parts]]
        good, total, _ = self._adjusted(
            level.part_row[parts], profiles, first, end, level.minutes, now_minute
        )[0]
        has = total > 0
        ratio = np.divide(good, total, out=np.zeros_like(good), where=has)
        owner = level.owner[parts]
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        present = np.logical_and.reduceat(has, starts, axis=0)
        weight = level.weight[parts][:, None]
        mean = np.add.reduceat(ratio * weight, starts, axis=0) / np.add.reduceat(weight, starts, axis=0)
        met = np.logical_and.reduceat(
            ratio >= level.part_target[parts][:, None] - _ROUNDING, starts, axis=0
        ).astype(np.float64)
        result = np.where(level.all_of[chosen][:, None], met, np.clip(mean, 0.0, 1.0))
        return self._write_slots(
            level.row[chosen], first, level.minutes, result, np.ones_like(result), present
        )

    def _book(self, group: _Group, chosen: _Ints, first: int, end: int, now_ms: int) -> _Bools:
        """Write the budgets of some objectives of a group over whole slices; what changed, bool[k, minutes]."""
        now_minute = now_ms // _MINUTE_MS
        profiles = group.profile[chosen], group.profile[chosen]
        sums, counted = self._adjusted(group.raw[chosen], profiles, first, end, group.minutes, now_minute)
        good, total, minutes = sums
        if group.is_kept:
            present = minutes > 0
        else:
            present = total > 0
            ratio = np.divide(good, total, out=np.zeros_like(good), where=present)
            met = (ratio >= group.target[chosen][:, None] - _ROUNDING).astype(np.float64)
            good = np.where(group.ratio[chosen][:, None], ratio, met)
            total = np.ones_like(good)
        if group.fills[chosen].any():
            good, total, present = self._fill(group, chosen, first, now_ms, good, total, present, counted)
        return self._write_slots(group.row[chosen], first, group.minutes, good, total, present)

    def _fill(  # noqa: PLR0917 — the columns of a group
        self,
        group: _Group,
        chosen: _Ints,
        first: int,
        now_ms: int,
        good: _Floats,
        total: _Floats,
        present: _Bools,
        counted: _Floats,
    ) -> tuple[_Floats, _Floats, _Bools]:
        """Count silence as bad where that is asked for, and it is old enough; `counted` are the minutes with data
        before they were adjusted. Silence in adjusted time is none.
        """
        raw = group.raw[chosen]
        slots = first + group.minutes * np.arange(present.shape[1])
        ends_ms = (slots + group.minutes) * _MINUTE_MS
        begun = self._ledgers.first_with(raw, np.zeros(len(raw), np.int64))
        is_old = ends_ms[None, :] <= (now_ms - group.after_ms[chosen])[:, None]
        silent = ~present & is_old & group.fills[chosen][:, None]
        silent &= (begun >= 0)[:, None] & (slots[None, :] >= begun[:, None])
        quiet = self._plan.codes(group.quiet[chosen], first, first + group.minutes * len(slots)) > 0
        silent &= ~quiet.reshape(*present.shape, group.minutes).all(axis=2)
        if not silent.any():
            return good, total, present
        bad = np.ones_like(total)
        if group.is_kept:
            before = self._ledgers.last_with(raw, first)
            newest = np.maximum.accumulate(np.where(counted > 0, slots, before[:, None]), axis=1)
            newest = np.maximum(newest, before[:, None])
            which, slot = np.nonzero(silent)
            last = newest[which, slot] + 1
            _, events, minutes = self._ledgers.counts(raw[which], last - _DAY_MINUTES, last)
            bad[which, slot] = np.divide(events, minutes, out=np.zeros(len(which)), where=minutes > 0)
        return np.where(silent, 0.0, good), np.where(silent, bad, total), present | silent

    def _sums(self, rows: _Ints, first: int, end: int, each: int, now_minute: int) -> _Floats:
        """Good, total and minutes with data of consecutive slots of `each` minutes, float64[3, k, slots]."""
        starts = np.arange(first, end, each)
        if first >= now_minute - _DAY_MINUTES:
            shape = len(rows), len(starts)
            low = np.broadcast_to(starts, shape).ravel()
            found = self._ledgers.counts(np.repeat(rows, len(starts)), low, low + each)
            return found.reshape(3, *shape)
        apart, place = np.unique(rows, return_inverse=True)
        known = np.stack(self._ledgers.minutes_many(apart, first, end))
        summed: _Floats = known.reshape(3, len(apart), len(starts), each).sum(3)
        return summed[:, place]

    def _adjusted(  # noqa: PLR0917 — the columns of slots
        self, rows: _Ints, profiles: tuple[_Ints, _Ints], first: int, end: int, each: int, now_minute: int
    ) -> tuple[_Floats, _Floats]:
        """`_sums` of minutes as their adjustments leave them, and how many had data before, float64[k, slots]. Rows
        have profiles of their own and of what they are a part of.
        """
        sums = self._sums(rows, first, end, each, now_minute)
        counted, (own, also), plan = sums[2].copy(), profiles, self._plan
        some = np.flatnonzero(plan.touched(own, first, end) | plan.touched(also, first, end))
        if len(some):
            minutes = self._sums(rows[some], first, end, 1, now_minute)
            read = self._ledgers.minutes
            plan.adjust(
                minutes, first, own[some], also[some], lambda at, low, high: read(rows[some[at]], low, high)
            )
            sums[:, some] = minutes.reshape(3, len(some), -1, each).sum(3)
        return sums, counted

    def _write_slots(  # noqa: PLR0917 — the columns of slots
        self, rows: _Ints, first: int, each: int, good: _Floats, total: _Floats, present: _Bools
    ) -> _Bools:
        """Write slots of `each` minutes into the last minute of each."""
        size, slots = present.shape
        spread = np.zeros((3, size, slots, each))
        spread[0, :, :, -1], spread[1, :, :, -1], spread[2, :, :, -1] = good, total, present
        wide = spread.reshape(3, size, slots * each)
        return self._write(rows, first, wide[0], wide[1], wide[2] > 0)

    def _write(self, rows: _Ints, first: int, good: _Floats, total: _Floats, present: _Bools) -> _Bools:
        return self._ledgers.write_many(
            rows, first, np.where(present, good, 0.0), np.where(present, total, 0.0), present
        )


def _begun(done: _Ints, rows: _Ints, end: int) -> _Ints:
    """Up to where rows are derived; what was not yet begins now: the backfill derives what is before."""
    known = done[rows]
    return np.where(known < 0, end - 10, np.minimum(known, end))


def _cut(
    index: _Ints, start: _Ints, end: int, old: list[tuple[int, int, int]], each: int = 1
) -> list[tuple[_Ints, int]]:
    """Positions to derive up to `end`, and from where: those of the last minutes together, then the others."""
    most = max(_MOST_MINUTES, 2 * each)
    floor = (end - most) // each * each
    for position in np.flatnonzero(start < floor).tolist():
        old.append((int(index[position]), int(start[position]), floor))
    start = np.maximum(start, floor)
    recent = (end - 2) // each * each
    parts = (
        np.flatnonzero((start < end) & (start >= recent)),
        np.flatnonzero((start < end) & (start < recent)),
    )
    return [(chosen, int(start[chosen].min())) for chosen in parts if len(chosen)]


def _lower(low: _Ints, index: _Ints, first: int, changed: _Bools) -> None:
    """Put in where something changed first."""
    some = changed.any(axis=1)
    low[index[some]] = np.minimum(low[index[some]], first + changed[some].argmax(axis=1))


def _levels(
    objectives: Sequence[Objective], raw: _Ints, only: frozenset[int] | None = None, plan: Plan | None = None
) -> list[_Level]:
    index = {one.name: at for at, one in enumerate(objectives)}
    missing = _missing(objectives)
    composites = {at for at, one in enumerate(objectives) if one.kind == "composite" and at not in missing}
    waiting = sorted(composites if only is None else composites & only)
    waits, levels = set(waiting), []
    while waiting:
        ready = [at for at in waiting if not any(index[p.objective] in waits for p in objectives[at].parts)]
        if not ready:  # a circle, which `resolve` refuses
            break
        for minutes in sorted({objectives[at].slot_minutes for at in ready}):
            of_length = [at for at in ready if objectives[at].slot_minutes == minutes]
            levels.append(_level(objectives, raw, index, of_length, minutes, plan))
        waits -= set(ready)
        waiting = [at for at in waiting if at in waits]
    return levels


def _level(  # noqa: PLR0917 — the columns of a level
    objectives: Sequence[Objective],
    raw: _Ints,
    index: Mapping[str, int],
    chosen: Sequence[int],
    minutes: int,
    plan: Plan | None,
) -> _Level:
    counts = [len(objectives[at].parts) for at in chosen]
    parts = [(index[part.objective], part.weight) for at in chosen for part in objectives[at].parts]
    numbers = np.array([at for at, _ in parts], np.int64)
    is_whole = np.array([objectives[at].kind != "composite" for at, _ in parts], np.bool_)
    none = np.full(len(objectives), -1, np.int64)
    own = none if plan is None else plan.own
    return _Level(
        minutes=minutes,
        index=np.array(chosen, np.int64),
        row=raw[np.array(chosen, np.int64)],
        first=np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64),
        owner=np.repeat(np.arange(len(chosen), dtype=np.int64), counts),
        part=numbers,
        part_row=raw[numbers],
        weight=np.array([weight for _, weight in parts], np.float64),
        part_target=np.array([_met_from(objectives[at]) for at, _ in parts], np.float64),
        all_of=np.array([objectives[at].all_of for at in chosen], np.bool_),
        part_profile=np.where(is_whole, own[numbers], -1),
        profile=own[np.array(chosen, np.int64)],
    )


def _met_from(part: Objective) -> float:
    """The ratio from which a minute, or a slice, of a part is good."""
    is_sliced = part.method == "Timeslices" and part.slice_target is not None
    return float(part.slice_target or 0.0) if is_sliced else part.target


def _missing(objectives: Sequence[Objective]) -> dict[int, str]:
    names = {one.name for one in objectives}
    found = {}
    for at, one in enumerate(objectives):
        if one.awaits:
            found[at] = one.awaits
        if one.awaits or one.kind != "composite":
            continue
        gone = [part.objective for part in one.parts if part.objective not in names]
        if gone or not one.parts:
            told = f"its part '{gone[0]}' does not exist" if gone else "it has no parts"
            found[at] = f"{told}; apply an objective of that name, or change the composite"
    return found


def _groups(  # noqa: PLR0917 — what groups are made of
    objectives: Sequence[Objective],
    raw: _Ints,
    budget: _Ints,
    no_data_after_s: float,
    plan: Plan,
    is_adjusted: _Bools,
) -> list[_Group]:
    by_length: dict[tuple[int, bool], list[int]] = {}
    for at in np.flatnonzero(raw != budget).tolist():
        one = objectives[at]
        is_kept = one.method == "Occurrences"
        minutes = one.slot_minutes
        by_length.setdefault((minutes, is_kept), []).append(at)
    found = []
    for (minutes, is_kept), chosen in by_length.items():
        index = np.array(chosen, np.int64)
        some = [objectives[at] for at in chosen]
        after = [no_data_after_s if one.no_data.after_s is None else one.no_data.after_s for one in some]
        is_whole = np.array([one.kind != "composite" for one in some], np.bool_)
        found.append(
            _Group(
                minutes=minutes,
                is_kept=is_kept,
                index=index,
                raw=raw[index],
                row=budget[index],
                target=np.array([one.slice_target or 0.0 for one in some], np.float64),
                ratio=np.array([one.method == "RatioTimeslices" for one in some], np.bool_),
                fills=np.array([one.no_data.action == "bad" for one in some], np.bool_),
                after_ms=(np.array(after, np.float64) * 1000).astype(np.int64),
                profile=np.where(is_whole & is_adjusted[index], plan.own[index], -1),
                quiet=np.where(is_adjusted[index], plan.quiet[index], -1),
            )
        )
    return found

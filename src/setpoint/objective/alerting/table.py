"""Alerts of all objectives at once: which are pending, firing, resolved, decided from a few arrays in every tick.

`ObjectiveBook` makes a `PolicyTable` when its objectives change, lets it `adopt` the one before (or, after a start,
`restore` what the timeline says was firing), counts the events of its `windows` in one call, and hands them to
`judge`, whose changes go to `on_alert`. Everything is flat arrays: policies in rows of their objective, conditions in
rows of their policy, windows shared by the conditions of an objective; so 10,000 objectives take milliseconds.

How a policy moves (decision 0026). A condition is true, false, or unknown (its window holds no events); a policy is as
true as its least true condition.
- It is pending while all conditions are true and one has not been so for its `after_s`; it fires when all have, and its
  low-traffic guard is met. Time in which a condition is unknown, or in which nothing was evaluated (the machine slept,
  the clock jumped), does not count.
- It resolves when it was known to be false for half of its shortest window (30 s to 15 min), so that it does not flap.
- Unknown changes nothing, and while the objective is silent a firing alert stays firing: no data never resolves.
- With `when_no_data` silence itself is true, once it lasted `no_data.after_s`, counted at most from when Setpoint began
  to look: its own downtime is not silence of the service.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from setpoint.objective.alerting.checks import faults, noise
from setpoint.objective.alerting.kernels import FIRED, FIRING, NEVER, RESOLVED, TRUE, UNKNOWN, advance
from setpoint.objective.alerting.look import Look, look
from setpoint.objective.alerting.rows import Measured, Rows, View, Windows, rows_of
from setpoint.objective.alerting.words import is_told, summary, values_of
from setpoint.objective.model import AlertState, AlertStatus, BurnRate, Objective, Target

__all__ = ["AlertChange", "Measured", "OpenAlert", "PolicyTable", "Windows"]

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]

_STATES: tuple[AlertState, ...] = ("inactive", "pending", "firing")
_LONGEST_STEP_MS = 60_000
"""Between two evaluations further apart than this, nothing is known to have lasted."""


@dataclass(frozen=True, slots=True)
class AlertChange:
    """An alert fired (`firing`; `no data` when silence made it fire) or ended, with the numbers it was decided from.

    `since_ms` is when it fired. `is_told` is False where the policy does not want this change told: it stands on the
    timeline, and goes to no target. `summary` is the sentence, `values` its numbers (`alert_words.values_of`).
    """

    objective: str
    service: str
    policy: str
    severity: str
    state: Literal["firing", "resolved", "no data"]
    at_ms: int
    since_ms: int
    summary: str
    values: Mapping[str, float | None]
    display_name: str = ""
    policy_display_name: str = ""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    targets: tuple[Target, ...] = ()
    is_told: bool = True
    is_default: bool = False
    annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that was firing when Setpoint stopped: from the timeline, for `PolicyTable.restore`."""

    objective: str
    service: str
    policy: str
    severity: str
    since_ms: int
    is_no_data: bool = False
    targets: tuple[Target, ...] = ()


class PolicyTable:
    """The policies of `objectives` and where each stands. Not thread-safe: the book's evaluation owns it; `alerts` and
    `burn` may be read from other threads, which then see numbers of at most two ticks.

    How the book uses it (its index of an objective is its place in `objectives`):

        table = PolicyTable(objectives, no_data_after_s=…)
        changes = table.adopt(table_before)            # or, once after a start: table.restore(open_alerts(), now_ms)
        changes += table.judge(now_ms, Measured(…))    # every tick, with the counts of `table.windows`
        on_alert(changes)                              # every tick, also when there is none: it retries what failed

    then `burning`, `told_burn`, `told_s` for all objectives, `burn(index)` and `alerts(index)` for one.
    """

    def __init__(self, objectives: Sequence[Objective], *, no_data_after_s: float = 90) -> None:
        """`no_data_after_s` is the server's setting, for objectives that do not say their own."""
        self._rows: Rows = rows_of(objectives, no_data_after_s)
        rows = self._rows
        self._state = np.zeros(rows.count, np.int8)
        self._since_ms = np.zeros(rows.count, np.int64)
        self._false_ms = np.full(rows.count, NEVER, np.int64)
        self._by_silence = np.zeros(rows.count, np.bool_)
        self._true_ms = np.full(len(rows.kind), NEVER, np.int64)
        self._born_ms = np.full(rows.objectives, NEVER, np.int64)
        self._now_ms = NEVER
        self._level = np.full(rows.count, UNKNOWN, np.int8)
        self._allowed_in = np.zeros(rows.count, np.bool_)
        self._value = np.full(len(rows.kind), np.nan)
        self._measured: Measured | None = None
        self._silent = np.zeros(rows.objectives, np.bool_)
        self._silenced: _Bools = np.zeros(rows.count, np.bool_)
        self._burning_rows: _Bools = np.zeros(rows.count, np.bool_)
        self._stepped_ms = NEVER
        self.burning: _Bools = np.zeros(rows.objectives, np.bool_)
        """bool[n], of the last `judge`: some burn-rate policy (the watch row held for 30 s included) is true now."""
        self.told_burn: _Floats = np.full(rows.objectives, np.nan)
        """float64[n], of the last `judge`: the one burn that lists show (NaN: unknown). Of the policy with the highest
        factor that is true now, else of the shortest window with events; a policy tells the burn of its short window,
        the watch row of its long one, because 5 s swing too much.
        """
        self.told_s: _Ints = np.zeros(rows.objectives, np.int64)
        """int64[n]: over how many seconds `told_burn` is; 0 where it is unknown."""
        self.firing_count: _Ints = np.zeros(rows.objectives, np.int64)
        """int64[n], of the last `judge`: how many alerts fire; the hidden row does not count."""

    @property
    def windows(self) -> Windows:
        """What has to be counted for `judge`, one row each."""
        return self._rows.windows

    @property
    def page_threshold(self) -> _Floats:
        """float64[n]: the lowest burn that pages; NaN where none does."""
        return self._rows.page_threshold

    def judge(self, now_ms: int, measured: Measured) -> list[AlertChange]:
        """Bring all policies to `now_ms`; the alerts that fired or resolved, in order of objectives.

        Call it once in every tick, also when nothing was counted. An objective whose counts are not known (its queries
        fail) has NaN in `measured`.
        """
        rows = self._rows
        self._settle_clock(now_ms)
        self._measured = measured
        self._born_ms[self._born_ms == NEVER] = now_ms
        seen = look(rows, measured, (now_ms - self._born_ms) / 1000)
        self._value, self._silent, self._silenced = seen.value, seen.silent, seen.silenced
        self._allowed_in = seen.met | seen.silenced
        fired, resolved = self._advance(now_ms, seen)
        self._publish()
        chosen = np.flatnonzero((fired | resolved) & ~rows.is_hidden)
        changes = [self._change(int(row), now_ms, is_fired=bool(fired[row])) for row in chosen]
        self._since_ms[resolved] = now_ms
        return changes

    def alerts(self, index: int, covered_s: float = 0.0) -> tuple[AlertStatus, ...]:
        """Where each policy of objective `index` stands, highest factor first; without the hidden row. `covered_s` is
        how much of its window has been counted: from an hour on, warnings say what its traffic means for a policy.
        """
        found = self._rows.of_objective(index)
        return tuple(self._status(row, covered_s) for row in found if not self._rows.is_hidden[row])

    def firing(self, index: int, severity: str | None = None) -> bool:
        """Whether an alert of objective `index` (of that severity) fires; the hidden row does not count."""
        rows = self._rows
        return any(
            self._state[row] == FIRING and severity in (None, rows.policies[row].severity)
            for row in rows.of_objective(index)
            if not rows.is_hidden[row]
        )

    def burn(self, index: int) -> tuple[BurnRate, ...]:
        """Every burn-rate policy of objective `index` as a row of burns against its threshold, highest factor first,
        the watch row included. `firing` is that it is true now (not held back by time, but by low traffic).
        """
        rows = self._rows
        return tuple(
            rows.burn_rate(row, self._value, is_true=bool(self._burning_rows[row]))
            for row in rows.of_objective(index)
            if rows.is_burn[row]
        )

    def adopt(self, old: PolicyTable) -> list[AlertChange]:
        """Go on with what `old` knows of the same policies of the same objectives (by name), also where their
        thresholds changed. Returns the end of each alert whose policy or objective is gone.
        """
        theirs = {old._key(row): row for row in range(old._rows.count)}
        before_of = {name: index for index, name in enumerate(old._rows.names)}
        for row in range(self._rows.count):
            before = theirs.pop(self._key(row), None)
            if before is not None:
                self._take(row, old, before)
        for index, name in enumerate(self._rows.names):
            if name in before_of:
                self._born_ms[index] = old._born_ms[before_of[name]]
        self._now_ms = old._now_ms
        gone = [row for row in theirs.values() if old._state[row] == FIRING and not old._rows.is_hidden[row]]
        ended = "its policy or its objective was removed"
        return [old._change(row, max(0, old._now_ms), is_fired=False, why=ended) for row in gone]

    def restore(self, alerts: Iterable[OpenAlert], now_ms: int) -> list[AlertChange]:
        """Go on with the alerts that were firing when Setpoint stopped; call it before the first `judge`. Returns the
        end of each whose policy or objective is gone.
        """
        mine = {self._key(row): row for row in range(self._rows.count)}
        changes = []
        for alert in alerts:
            row = mine.get((alert.objective, alert.policy))
            if row is None:
                changes.append(_ended(alert, now_ms))
                continue
            self._state[row] = FIRING
            self._since_ms[row] = min(alert.since_ms, now_ms)
            self._by_silence[row] = alert.is_no_data
            first, end = self._rows.span(row)
            self._true_ms[first:end] = self._since_ms[row]
        return changes

    def _key(self, row: int) -> tuple[str, str]:
        return self._rows.names[int(self._rows.objective[row])], self._rows.policies[row].name

    def _take(self, row: int, old: PolicyTable, before: int) -> None:
        self._state[row], self._since_ms[row] = old._state[before], old._since_ms[before]
        self._false_ms[row], self._by_silence[row] = old._false_ms[before], old._by_silence[before]
        mine, theirs = self._rows.span(row), old._rows.span(before)
        if self._rows.policies[row].conditions == old._rows.policies[before].conditions:
            self._true_ms[slice(*mine)] = old._true_ms[slice(*theirs)]

    def _settle_clock(self, now_ms: int) -> None:
        """After a gap, or a clock set back, let nothing seem to have lasted longer than it was looked at."""
        last_ms = self._now_ms
        self._now_ms = now_ms
        if last_ms == NEVER:
            return
        step_ms = now_ms - last_ms
        if 0 <= step_ms <= _LONGEST_STEP_MS:
            return
        shift_ms = step_ms if step_ms < 0 else step_ms - _LONGEST_STEP_MS
        for since in (self._true_ms, self._false_ms, self._born_ms):
            known = since != NEVER
            since[known] = np.minimum(since[known] + shift_ms, now_ms)
        np.minimum(self._since_ms, now_ms, out=self._since_ms)

    def _advance(self, now_ms: int, seen: Look) -> tuple[_Bools, _Bools]:
        """Bring every policy to now; which fired, and which resolved."""
        rows, moves = self._rows, np.zeros((1, self._rows.count), np.int8)
        advance(
            np.array([now_ms]),
            np.array([self._step_ms(now_ms)]),
            seen.conditions[None],
            rows.after_ms,
            self._true_ms,
            rows.first,
            rows.ends,
            rows.is_hidden,
            rows.hold_ms,
            seen.met[None],
            seen.silenced[None],
            seen.silent[rows.objective][None],
            self._state,
            self._since_ms,
            self._false_ms,
            self._by_silence,
            self._level[None],
            moves,
        )
        self._stepped_ms = now_ms
        return moves[0] == FIRED, moves[0] == RESOLVED

    def _step_ms(self, now_ms: int) -> int:
        """How long ago the last evaluation was."""
        return 0 if self._stepped_ms == NEVER else min(_LONGEST_STEP_MS, max(0, now_ms - self._stepped_ms))

    def _publish(self) -> None:
        rows = self._rows
        burning = rows.is_burn & np.where(
            rows.is_hidden, self._state == FIRING, (self._level >= TRUE) & self._allowed_in
        )
        self._burning_rows = burning
        self.burning, self.told_burn, self.told_s = rows.told(
            burning, burning & (self._level >= TRUE), self._value
        )
        firing = (self._state == FIRING) & ~rows.is_hidden
        self.firing_count = np.bincount(rows.objective[firing], minlength=rows.objectives)

    def _summary(self, row: int, *, why: str = "") -> str:
        rows, policy = self._rows, self._rows.policies[row]
        index = int(rows.objective[row])
        if self._measured is None:
            return why or "not evaluated yet"
        told = summary(
            policy,
            self._view(row),
            silent_s=self._seconds_silent(index),
            after_s=float(rows.no_data_after_s[index]),
            is_silenced=bool(self._silenced[row]),
            is_doubtful=bool(self._silent[index] and self._state[row] == FIRING),
        )
        return f"{told}; {why}" if why else told

    def _view(self, row: int) -> View:
        assert self._measured is not None
        return self._rows.view(row, self._value, self._measured, holds=bool(self._level[row] >= TRUE))

    def _seconds_silent(self, index: int) -> float:
        assert self._measured is not None
        seconds = float(self._measured.silent_s[index])
        return (self._now_ms - int(self._born_ms[index])) / 1000 if np.isnan(seconds) else seconds

    def _warnings(self, row: int, covered_s: float) -> tuple[str, ...]:
        objective, policy = self._rows.source[int(self._rows.objective[row])], self._rows.policies[row]
        found = faults(objective, policy)
        if not found and self._measured is not None:
            found = noise(self._view(row), policy, covered_s)
        return tuple(found)

    def _status(self, row: int, covered_s: float) -> AlertStatus:
        policy = self._rows.policies[row]
        state = _STATES[self._state[row]]
        return AlertStatus(
            policy=policy.name,
            severity=policy.severity,
            state=state,
            since_ms=int(self._since_ms[row]) if state != "inactive" else None,
            summary=self._summary(row),
            values={} if self._measured is None else values_of(self._view(row)),
            is_default=policy.is_default,
            warnings=self._warnings(row, covered_s),
        )

    def _change(self, row: int, now_ms: int, *, is_fired: bool, why: str = "") -> AlertChange:
        rows, policy = self._rows, self._rows.policies[row]
        objective = rows.source[int(rows.objective[row])]
        values = {} if self._measured is None else values_of(self._view(row))
        fired_as: Literal["firing", "no data"] = "no data" if self._by_silence[row] else "firing"
        return AlertChange(
            objective=objective.name,
            service=objective.service,
            policy=policy.name,
            severity=policy.severity,
            state=fired_as if is_fired else "resolved",
            at_ms=now_ms,
            since_ms=int(self._since_ms[row]),
            summary=self._summary(row, why=why),
            values=values,
            display_name=objective.display_name,
            policy_display_name=policy.display_name,
            labels=objective.labels,
            targets=policy.targets,
            is_told=is_told(policy, is_fired=is_fired, by_silence=bool(self._by_silence[row])),
            is_default=policy.is_default,
            annotations=policy.annotations,
        )


def _ended(alert: OpenAlert, now_ms: int) -> AlertChange:
    return AlertChange(
        objective=alert.objective,
        service=alert.service,
        policy=alert.policy,
        severity=alert.severity,
        state="resolved",
        at_ms=now_ms,
        since_ms=alert.since_ms,
        summary="its policy or its objective was removed",
        values={},
        targets=alert.targets,
    )

"""What a set of alert policies would have done in the past: which alerts, from when to when, with which sentence.

It is live evaluation at the end of every minute: `look` sees what the policies see, and `advance` makes alerts of it,
as in every tick. A day of minutes is looked at together, each minute a row of its own, so that a year takes a second.
What differs from live is stated in decision 0033: live looks every second, and counts windows of up to nine minutes in
slices of 5 s.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from setpoint.objective import budget
from setpoint.objective.alerting.kernels import FIRED, INACTIVE, NEVER, advance
from setpoint.objective.alerting.look import Look, look
from setpoint.objective.alerting.policy import policies_of
from setpoint.objective.alerting.rows import Measured, rows_of
from setpoint.objective.alerting.words import is_told, summary, values_of
from setpoint.objective.backtest.model import Alert
from setpoint.objective.backtest.tape import Tape
from setpoint.objective.model import AlertPolicy, Objective

__all__ = ["replay", "warm_up_minutes"]

_AT_ONCE = 1440
_MINUTE_MS = 60_000
_LONGEST_HOLD_MINUTES = 15


def warm_up_minutes(policies: tuple[AlertPolicy, ...]) -> int:
    """How long before the stretch a replay begins, so that what fires at its begin is known to."""
    conditions = [one for policy in policies for one in policy.conditions]
    longest_s = max((one.lookback_s + one.after_s for one in conditions), default=0)
    return -(-longest_s // 60) + 2 * _LONGEST_HOLD_MINUTES


def replay(tape: Tape, policies: tuple[AlertPolicy, ...] | None, start: int, end: int) -> list[Alert]:
    """The alerts that fire in minutes `start` to before `end`, in the order of their begins; None: the default
    policies. An alert that began before is among them when it still fires in minute `start`.
    """
    objective = replace(tape.objective, policies=policies)
    if not policies_of(objective) or end <= start:
        return []
    return _Run(tape, objective, max(tape.begin, start - warm_up_minutes(policies_of(objective)))).alerts(
        start, end
    )


class _Run:
    """One replay from minute `begin` on."""

    def __init__(self, tape: Tape, objective: Objective, begin: int) -> None:
        self._tape, self._begin = tape, begin
        self._rows = rows = rows_of([objective] * _AT_ONCE, tape.no_data_after_s)
        self._policies, self._conditions = rows.count // _AT_ONCE, len(rows.kind) // _AT_ONCE
        windows = len(rows.windows.lookback_s) // _AT_ONCE
        self._back = -(-rows.windows.lookback_s[:windows] // 60)
        self._inside = rows.windows.inside[:windows]
        self._true_ms = np.full(self._conditions, NEVER)
        self._state = np.full(self._policies, INACTIVE, np.int8)
        self._since_ms, self._false_ms = np.zeros(self._policies, np.int64), np.full(self._policies, NEVER)
        self._by_silence = np.zeros(self._policies, np.bool_)
        self._open: dict[int, Alert] = {}
        self._found: list[Alert] = []

    def alerts(self, start: int, end: int) -> list[Alert]:
        """Those that fire in minutes `start` to before `end`."""
        for minute in range(self._begin, end, _AT_ONCE):
            self._look_at(minute, min(end, minute + _AT_ONCE))
        found = [one for one in self._found if one.until_ms is not None and one.until_ms > start * _MINUTE_MS]
        return sorted([*found, *self._open.values()], key=lambda one: (one.from_ms, one.policy))

    def _look_at(self, minute: int, end: int) -> None:
        """Minutes `minute` to before `end`, at most a day of them, each at its end."""
        rows, tape, count = self._rows, self._tape, end - minute
        ends = np.minimum(
            np.arange(minute, minute + _AT_ONCE) + 1, end
        )  # the rest of a short day is not used
        own = tape.windows(ends)
        starts = ends[:, None] - self._back
        starts = np.where(self._inside, np.maximum(starts, own.starts[:, None]), starts)
        at = np.broadcast_to(ends[:, None], starts.shape)
        good, total = tape.counts(starts.ravel(), at.ravel(), at.ravel())
        left = budget.lefts(own.good, own.total, tape.objective.allowed_ratio)
        lasts_s = np.maximum(left, 0) * own.elapsed_s
        measured = Measured(good, total, own.good, own.total, tape.silent_s(ends), lasts_s, own.ends_s)
        seen = look(rows, measured, (ends - self._begin) * 60.0)
        levels = np.zeros((count, self._policies), np.int8)
        moves = np.zeros_like(levels)
        by_policy, by_condition = (_AT_ONCE, self._policies), (_AT_ONCE, self._conditions)
        advance(
            ends[:count] * _MINUTE_MS,
            np.full(count, _MINUTE_MS),
            seen.conditions.reshape(by_condition),
            rows.after_ms[: self._conditions],
            self._true_ms,
            rows.first[: self._policies],
            rows.ends[: self._policies],
            rows.is_hidden[: self._policies],
            rows.hold_ms[: self._policies],
            seen.met.reshape(by_policy),
            seen.silenced.reshape(by_policy),
            seen.silent[rows.objective].reshape(by_policy),
            self._state,
            self._since_ms,
            self._false_ms,
            self._by_silence,
            levels,
            moves,
        )
        for place, policy in np.argwhere((moves != 0) & ~rows.is_hidden[: self._policies]).tolist():
            at_ms = int(ends[place]) * _MINUTE_MS
            if moves[place, policy] == FIRED:
                self._open[policy] = self._fired(
                    place * self._policies + policy, at_ms, measured, seen, left[place]
                )
            else:
                self._found.append(replace(self._open.pop(policy), until_ms=at_ms))

    def _fired(self, row: int, at_ms: int, measured: Measured, seen: Look, left: float) -> Alert:
        rows, policy = self._rows, self._rows.policies[row]
        view = rows.view(row, seen.value, measured, holds=True)
        by_silence = bool(seen.silenced[row])
        index = int(rows.objective[row])
        silent_s = float(measured.silent_s[index])
        told = summary(
            policy,
            view,
            silent_s=(at_ms / 1000 - self._begin * 60) if np.isnan(silent_s) else silent_s,
            after_s=float(rows.no_data_after_s[index]),
            is_silenced=by_silence,
            is_doubtful=bool(seen.silent[index]),
        )
        return Alert(
            policy=policy.name,
            severity=policy.severity,
            from_ms=at_ms,
            until_ms=None,
            by_silence=by_silence,
            is_told=is_told(policy, is_fired=True, by_silence=by_silence),
            budget_left=None if np.isnan(left) else float(left),
            summary=told,
            values=values_of(view),
        )

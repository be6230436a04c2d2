"""An objective's past as a tape: its minutes with prefix sums, so that any window that ends at any minute is counted in
one subtraction.

`replay` reads it as a tick reads the ledgers (`verdict`): the same windows, at the end of each minute. What live
evaluation could not know then is left out where that can be told: minutes that count as bad because they were silent
are seen once they had been silent for long enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.objective.burn_down import starts_of
from setpoint.objective.calendar_window import window_at
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import Objective

__all__ = ["Tape", "Windowed"]

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Windowed:
    """The objective's own windows at t instants, float64[t]: events, how much of the window has passed, and in how many
    seconds it ends (inf: it rolls). `starts` int64[t]: its first minute.
    """

    good: _Floats
    total: _Floats
    elapsed_s: _Floats
    ends_s: _Floats
    starts: _Ints


class Tape:
    """Minutes `first` to before `end`. `budget` are the minutes as the budget has them, `raw` as they were counted."""

    def __init__(self, objective: Objective, budget: Slots, raw: Slots, no_data_after_s: float) -> None:
        self.objective, self.no_data_after_s = objective, no_data_after_s
        self.first, self.end = budget.first, budget.end
        self._each = objective.slot_minutes
        cells = np.stack((budget.good, budget.total, budget.present.astype(np.float64)))
        self._sums = _prefix(cells)
        self._late = _prefix(np.where(self._silent(budget, raw), cells, 0.0))
        minutes = np.arange(self.first, self.end)
        self._last = np.maximum.accumulate(np.where(raw.present, minutes, -1))
        known = np.flatnonzero(raw.present)
        self.begin = self.first + int(known[0]) if len(known) else self.end
        """The first minute with data."""
        self.gaps = ~raw.present
        """bool[minutes]: had no data."""

    @property
    def slot_minutes(self) -> int:
        """How many minutes one event of the budget stands for."""
        return self._each

    def bad_and_total(self, starts: _Ints, ends: _Ints) -> tuple[_Floats, _Floats]:
        """Bad and all events of the minutes from `starts` to before `ends`, as they are known today."""
        good, total = _events(self._between(self._sums, starts, ends))
        return total - good, total

    def counts(self, starts: _Ints, ends: _Ints, at: _Ints) -> tuple[_Floats, _Floats]:
        """Good and all events of the minutes from `starts` to before `ends`, as they were known when minute `at`
        began.
        """
        found = self._between(self._sums, starts, ends)
        if self.objective.no_data.action == "bad":
            after_minutes = -(-round(self.no_data_after_s * 1000) // _MINUTE_MS)
            known = (at - after_minutes) // self._each * self._each
            found = found - self._between(self._late, np.clip(known, starts, ends), ends)
        return _events(found)

    def windows(self, ends: _Ints) -> Windowed:
        """The objective's own window at each of `ends` (the minute after its last one), ascending."""
        objective = self.objective
        starts = np.minimum(starts_of(objective, ends), ends)
        good, total = self.counts(starts, ends, ends)
        elapsed_s = np.full(len(ends), float(objective.window_s))
        ends_s = np.full(len(ends), np.inf)
        if objective.calendar is not None and not objective.is_rolling:
            elapsed_s = (ends - starts) * 60.0
            for start in np.unique(starts):
                chosen = starts == start
                last_ms = window_at(objective.calendar, int(ends[chosen][0]) * _MINUTE_MS)[1]
                ends_s[chosen] = (last_ms - ends[chosen] * _MINUTE_MS) / 1000
        return Windowed(good, total, elapsed_s, ends_s, starts)

    def silent_s(self, ends: _Ints) -> _Floats:
        """Seconds since the newest data at each instant; NaN before there was any."""
        last = self._last[np.clip(ends - 1 - self.first, 0, self.end - self.first - 1)]
        return np.where(last < 0, np.nan, (ends - 1 - last) * 60.0)

    def _silent(self, budget: Slots, raw: Slots) -> npt.NDArray[np.bool_]:
        """The minutes that the budget has only because they were silent."""
        if self.objective.no_data.action != "bad":
            return np.zeros(len(budget.present), np.bool_)
        has = raw.present if self._each == 1 else raw.total > 0
        slot = np.arange(self.first, self.end) // self._each
        counted = np.bincount(slot - slot[0], has, minlength=1)[slot - slot[0]] > 0
        silent: npt.NDArray[np.bool_] = budget.present & ~counted
        return silent

    def _between(self, sums: _Floats, starts: _Ints, ends: _Ints) -> _Floats:
        size = self.end - self.first
        low = np.clip(starts - self.first, 0, size)
        high = np.maximum(np.clip(ends - self.first, 0, size), low)
        found: _Floats = sums[:, high] - sums[:, low]
        return found


def _prefix(cells: _Floats) -> _Floats:
    return np.concatenate((np.zeros((3, 1)), np.cumsum(cells, axis=1)), axis=1)


def _events(found: _Floats) -> tuple[_Floats, _Floats]:
    """Good and total; the last bits of sums of fractions count for nothing, as in `verdict`."""
    total = np.where(found[2] > 0.5, np.maximum(found[1], 0.0), 0.0)
    return np.clip(found[0], 0.0, total), total

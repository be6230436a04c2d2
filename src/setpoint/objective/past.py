"""What the ledgers have of an objective's past, for whoever explains or judges it afterwards: pages, attribution,
backtests, reports. The book has one; its methods may be called from any thread and may read the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final

import numpy as np
import numpy.typing as npt

from setpoint.clock import Clock
from setpoint.errors import NotFound
from setpoint.objective.burn_down import history, minutes_for, starts_of
from setpoint.objective.fleet import Fleet
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.ledger.ledgers import Ledgers
from setpoint.objective.live import slot_of
from setpoint.objective.model import BudgetHistory, Objective

__all__ = ["Past"]

_MINUTES_AT_ONCE: Final = 1_000_000
_FLEETS_MOST: Final = 3
_EXACT_S: Final = 86_400
"""Minutes that far back are in memory; before that, hours."""


class Past:
    """See above. `fleet` gives the objectives of this moment."""

    def __init__(self, ledgers: Ledgers, clock: Clock, fleet: Callable[[], Fleet]) -> None:
        self._ledgers, self._clock, self._fleet = ledgers, clock, fleet

    def objective(self, name: str) -> Objective:
        """What is promised. Raises NotFound."""
        return self._found(name)[0]

    def history(self, name: str, start_ms: int, end_ms: int, points: int = 240) -> BudgetHistory:
        """The burn-down over (start_ms, end_ms], not beyond now. Raises NotFound, and Unavailable when minutes that
        are on disk cannot be read.
        """
        objective, row, _ = self._found(name)
        end_ms = min(end_ms, self._clock.now_ms())
        start_ms = min(start_ms, end_ms)
        minutes = minutes_for(self._ledgers, row, objective, start_ms, end_ms)
        return history(minutes, objective, start_ms, end_ms, points)

    def events(self, name: str, start_ms: int, end_ms: int, *, raw: bool = False) -> Slots:
        """The minutes that end in (start_ms, end_ms], and the running one, as the budget has them; `raw`:
        as they were counted. Raises NotFound, and Unavailable when minutes that are on disk cannot be read.
        """
        _, row, counted = self._found(name)
        first, end = slot_of(start_ms + 1), slot_of(min(end_ms, self._clock.now_ms())) + 1
        return self._ledgers.minutes(counted if raw else row, first, max(first, end))

    def together(self, name: str, start_ms: int, end_ms: int) -> tuple[Slots, Slots]:
        """What `events` gives, as the budget has it and as it was counted, in one read. Raises the same."""
        _, budget, counted = self._found(name)
        first, end = slot_of(start_ms + 1), slot_of(min(end_ms, self._clock.now_ms())) + 1
        rows = sorted({budget, counted})
        good, total, present = self._ledgers.minutes_many(np.array(rows), first, max(first, end))
        of = {row: Slots(first, good[at], total[at], present[at]) for at, row in enumerate(rows)}
        return of[budget], of[counted]

    def counted(self, names: Sequence[str], start_ms: int, end_ms: int) -> Iterator[tuple[str, Slots]]:
        """What `events` gives of several as it was counted, read in parts of some megabytes; what does not exist any
        more is left out. Raises Unavailable.
        """
        first, end = slot_of(start_ms + 1), slot_of(min(end_ms, self._clock.now_ms())) + 1
        fleet, end = self._fleet(), max(first, end)
        known = [name for name in names if name in fleet.index]
        for part in _parts(list(range(len(known))), _MINUTES_AT_ONCE // max(1, end - first)):
            rows = np.array([int(fleet.raw[fleet.index[known[at]]]) for at in part])
            good, total, present = self._ledgers.minutes_many(rows, first, end)
            for place, at in enumerate(part):
                yield known[at], Slots(first, good[place], total[place], present[place])

    def many(
        self, names: Sequence[str], start_ms: int, end_ms: int
    ) -> Iterator[tuple[Objective, Slots, npt.NDArray[np.int64]]]:
        """For each of these objectives its budget minutes that the windows ending in [start_ms, end_ms] hold, and where
        the two windows that end at `start_ms` and `end_ms` begin, as minutes int64[2].

        Read in parts of some megabytes, those with equal windows together; the order is theirs. Raises NotFound and
        Unavailable.
        """
        end_ms = min(end_ms, self._clock.now_ms())
        ends = np.array([slot_of(start_ms) + 1, slot_of(end_ms) + 1])
        found = [self._found(name) for name in names]
        begun = [starts_of(one[0], ends) for one in found]
        lows = [int(min(one.min(), ends[0])) for one in begun]
        order = sorted(range(len(found)), key=lambda at: lows[at])
        for low, group in groupby(order, key=lambda at: lows[at]):
            for part in _parts(list(group), _MINUTES_AT_ONCE // max(1, int(ends[1]) - low)):
                rows = np.array([found[at][1] for at in part])
                good, total, present = self._ledgers.minutes_many(rows, low, int(ends[1]))
                for place, at in enumerate(part):
                    yield found[at][0], Slots(low, good[place], total[place], present[place]), begun[at]

    def recent(
        self, objectives: Sequence[Objective], lengths_s: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Good, total and minutes with data of the last `lengths_s[i]` seconds of each objective, float64[3, n]; NaN of
        those that are gone. Never reads the store: a stretch of more than a day begins at a full hour, and what lies
        before the objective's window counts nothing.
        """
        end = slot_of(self._clock.now_ms()) + 1
        starts = end - -(-lengths_s // 60)
        starts = np.where(lengths_s > _EXACT_S, starts // 60 * 60, starts)
        for _ in range(_FLEETS_MOST):
            fleet = self._fleet()
            at = np.array([fleet.index.get(one.name, -1) for one in objectives], np.int64)
            found, known = np.full((3, len(at)), np.nan), np.flatnonzero(at >= 0)
            try:
                found[:, known] = self._ledgers.counts(
                    fleet.budget[at[known]], starts[known], np.full(len(known), end)
                )
            except KeyError:  # its rows were given back meanwhile: there is a new fleet
                continue
            return found
        return np.full((3, len(objectives)), np.nan)

    def first_ms(self, name: str) -> int | None:
        """When the oldest minute begins that has events, as far back as anything is kept; None without any. Raises
        NotFound and Unavailable.
        """
        _, row, _ = self._found(name)
        first = self._ledgers.first_stored(row, 0)
        return None if first < 0 else first * 60_000

    def _found(self, name: str) -> tuple[Objective, int, int]:
        """An objective with the rows of its budget and of its counts. Raises NotFound."""
        fleet = self._fleet()
        at = fleet.index.get(name)
        if at is None:
            raise NotFound(f"there is no objective '{name}'; `setpoint slo list` lists those that exist")
        return fleet.objectives[at], int(fleet.budget[at]), int(fleet.raw[at])


def _parts(items: list[int], size: int) -> Iterator[list[int]]:
    """`items` in order, at most `size` at once."""
    size = max(1, size)
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]

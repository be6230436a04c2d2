"""What the ledgers have of an objective's past, for whoever explains or judges it afterwards: pages, attribution,
backtests, reports. The book has one; its methods may be called from any thread and may read the store.
"""

from __future__ import annotations

from collections.abc import Callable

from setpoint.clock import Clock
from setpoint.errors import NotFound
from setpoint.objective.burn_down import history, minutes_for
from setpoint.objective.fleet import Fleet
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.ledger.ledgers import Ledgers
from setpoint.objective.live import slot_of
from setpoint.objective.model import BudgetHistory, Objective

__all__ = ["Past"]


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

"""Since when budgets have been gone: seen as it happens, else (after a start, or new history) looked for in the
ledgers, a few in each tick. The book owns it; its lock is held.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.errors import SetpointError
from setpoint.objective.burn_down import gone_since
from setpoint.objective.fleet import Fleet
from setpoint.objective.ledger.ledgers import Ledgers
from setpoint.objective.live import slot_of
from setpoint.objective.verdict import Verdicts

__all__ = ["Since"]

_Ints = npt.NDArray[np.int64]
_PER_TICK = 4


class Since:
    """`at_ms` int64[n]: since when; 0: it is not gone, -1: not known yet."""

    def __init__(self, fleet: Fleet, before: tuple[Fleet, Since] | None = None) -> None:
        """Objectives that stay as they were since the fleet `before` keep what is known."""
        self.at_ms = np.full(len(fleet), -1, np.int64)
        if before is None:
            return
        old, known = before
        for at, one in enumerate(fleet.objectives):
            was = old.index.get(one.name)
            if was is not None and old.objectives[was] == one:
                self.at_ms[at] = known.at_ms[was]

    def doubt(self, indices: _Ints) -> None:
        """The history of these has changed."""
        self.at_ms[indices[self.at_ms[indices] != 0]] = -1

    def update(self, verdicts: Verdicts, ledgers: Ledgers) -> _Ints:
        """What is known at these verdicts."""
        gone = verdicts.left <= 0
        since_ms = np.where(gone, self.at_ms, 0)
        minute_end_ms = (slot_of(verdicts.at_ms) + 1) * 60_000
        fleet = verdicts.fleet
        since_ms[gone & (self.at_ms == 0)] = minute_end_ms
        self.at_ms = since_ms
        for at in np.flatnonzero(since_ms == -1)[:_PER_TICK].tolist():
            row, end = int(fleet.budget[at]), int(verdicts.windows.end[at])
            try:
                found = gone_since(ledgers, row, fleet.objectives[at], end, 2**62)
            except SetpointError:
                break
            since_ms[at] = minute_end_ms if found is None else found
        return np.where(self.at_ms > 0, np.minimum(self.at_ms, verdicts.at_ms), self.at_ms)

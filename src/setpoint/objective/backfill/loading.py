"""Reads what is stored of ledgers that are new in the book, all in one go, and plans to count what they lack.

`book` calls `load` in every tick; most of the time there is nothing to do. When the database does not answer, these
objectives have no data until it does; the others go on.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from setpoint.errors import SetpointError
from setpoint.objective.backfill.backfill import Backfill
from setpoint.objective.fleet import Fleet, windows_at
from setpoint.objective.ledger.ledgers import Ledgers, Loaded
from setpoint.objective.live import LIVE_MINUTES, slot_of
from setpoint.objective.ranges import Ranges
from setpoint.objective.standing import Standing

__all__ = ["Loading"]

logger = logging.getLogger(__name__)

_DOUBTED_MINUTES = 1440  # a day: samples that came late and were acknowledged right before a crash

_Ints = npt.NDArray[np.int64]
_Holes = list[tuple[int, int]]


class Loading:
    """See above."""

    def __init__(
        self, ledgers: Ledgers, standing: Standing, backfill: Backfill, *, final_after_s: int
    ) -> None:
        self._ledgers, self._standing, self._backfill = ledgers, standing, backfill
        self._final_minutes = -(-final_after_s // 60)
        self._minutes: dict[int, int] = {}
        self._unread: dict[int, str] = {}

    def note_windows(self, fleet: Fleet) -> None:
        """The objectives are these from now on; ledgers whose window grew are read again."""
        before, self._minutes = self._minutes, {}
        for at, one in enumerate(fleet.keys):
            for row in {int(fleet.raw[at]), int(fleet.effective[at]), int(fleet.budget[at])}:
                self._minutes[row] = max(one.minutes, self._minutes.get(row, 0))
        for row, minutes in self._minutes.items():
            if row in before and minutes > before[row]:
                self._standing.loaded[row] = False

    def watch(self, fleet: Fleet, now_ms: int) -> None:
        """Ask for exact minutes at the far edges of the windows that look back for more than a day."""
        asked = fleet.table.windows
        minutes = -(-asked.lookback_s // 60)
        far = minutes > _DOUBTED_MINUTES
        rows, lengths = [fleet.budget[asked.objective[far]]], [minutes[far]]
        windows = windows_at(fleet, now_ms)
        for _, chosen in fleet.calendars:
            rows.append(fleet.budget[chosen])
            lengths.append(slot_of(now_ms) + 1 - windows.start[chosen])
        if sum(len(one) for one in rows):
            self._ledgers.watch(np.concatenate(rows), np.concatenate(lengths))

    def load(self, fleet: Fleet, now_ms: int) -> None:
        """Read the ledgers that were not read yet."""
        loaded = self._standing.loaded
        columns = fleet.raw, fleet.effective, fleet.budget
        new = np.flatnonzero(~np.logical_and.reduce([loaded[column] for column in columns]))
        if not len(new):
            return
        rows = np.unique(np.concatenate([column[new] for column in columns]))
        rows = rows[~loaded[rows]]
        try:
            found = self._ledgers.load(rows, slot_of(now_ms))
        except SetpointError as error:
            self._refuse(fleet, new, error)
            return
        for row in rows.tolist():
            if self._unread.pop(row, None) is not None:
                self._standing.errors.pop(row, None)
        loaded[rows] = True
        self._plan(fleet, new, rows, found, now_ms)
        self.watch(fleet, now_ms)
        try:
            self._ledgers.fetch_edges(slot_of(now_ms))
        except SetpointError as error:
            logger.warning("far edges of windows are not read yet: %s", error.message)

    def _refuse(self, fleet: Fleet, new: _Ints, error: SetpointError) -> None:
        for at in new.tolist():
            row = int(fleet.raw[at])
            if self._standing.errors.get(row) != error.message:
                name = fleet.objectives[at].name
                logger.warning("objective %s cannot be computed: %s", name, error.message)
            self._standing.errors[row] = self._unread[row] = error.message

    def _plan(self, fleet: Fleet, new: _Ints, rows: _Ints, found: Loaded, now_ms: int) -> None:
        """Plan what the ledgers lack: since they were written, and before them.

        The last day is counted again, too: late samples are stored at once, but the minutes that they change are saved
        seconds later, and the process may have died in between. Of another server only its minutes that are not stored
        are asked for.
        """
        place = {row: at for at, row in enumerate(rows.tolist())}
        oldest = {source: feed.oldest_sample_ms() for source, feed in fleet.feeds.items()}
        live_from = slot_of(now_ms) - LIVE_MINUTES + 1
        for at in new.tolist():
            raw, budget = int(fleet.raw[at]), int(fleet.budget[at])
            first_ms = oldest[fleet.objectives[at].source]
            if first_ms is None:
                continue
            low = max(live_from - fleet.keys[at].minutes, slot_of(first_ms))
            holes: _Holes = list(found.holes[place[raw]]) if raw in place else []
            if fleet.plan.is_counted[at]:
                if raw in place and found.last[place[raw]] >= 0:
                    last = int(found.last[place[raw]])
                    self._backfill.count(fleet, at, max(low, last - self._final_minutes), live_from)
                    if not fleet.is_fetched[at]:
                        self._backfill.count(fleet, at, max(low, live_from - _DOUBTED_MINUTES), live_from)
                for start, end in holes:
                    first, last = max(low, start), min(end, live_from)
                    self._backfill.count(fleet, at, first, last, is_unknown=True)
                if budget != raw and budget in place:
                    self._derive(raw, _without(found.holes[place[budget]], holes), low, live_from)
            elif fleet.derivation.is_composite[at]:
                lacking = found.holes[place[budget]] if budget in place else holes
                self._derive(raw, [*holes, *lacking], low, live_from)
            elif budget != raw and budget in place:
                self._derive(raw, list(found.holes[place[budget]]), low, live_from)

    def _derive(self, row: int, ranges: _Holes, low: int, end: int) -> None:
        for start, stop in ranges:
            self._backfill.derive(row, max(low, start), min(stop, end))


def _without(ranges: object, counted: _Holes) -> _Holes:
    """The parts of `ranges` that are not among `counted`: those are derived as they are counted."""
    known = Ranges()
    for start, end in counted:
        known.add(start, end)
    assert isinstance(ranges, list | tuple)
    return [part for start, end in ranges for part in known.holes(start, end)]

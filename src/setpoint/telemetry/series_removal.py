"""Takes series without samples out of the table `series`, while series may come back at any moment.

`retention` finds them at night and calls `remove`; the writer of series calls `wait_for` before it stores a
row. A series is live as soon as the series table knows it, before its row is written. So: those that are live
when the removal begins are spared, and the row of one that comes back later waits until the deletion, which
would take it along, is through.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection

import numpy as np
import numpy.typing as npt

from setpoint.database import TelemetryDatabase, load_queries

__all__ = ["SeriesRemoval"]

_QUERIES = load_queries("setpoint.telemetry")
_WAIT_S = 120.0


class SeriesRemoval:
    """Deletes rows of `series`. `remove` belongs to one thread, `wait_for` to any."""

    def __init__(self, db: TelemetryDatabase, live: Callable[[], npt.NDArray[np.uint64]]) -> None:
        """`live` tells the fingerprints of the series that the series table knows now."""
        self._db = db
        self._live = live
        self._changed = threading.Condition()
        self._going: Collection[int] = ()

    def wait_for(self, fingerprints: npt.NDArray[np.uint64]) -> None:
        """Return when none of these series is being removed; at once, but for seconds in a night."""
        with self._changed:
            if self._going:
                wanted = set(fingerprints.tolist())
                self._changed.wait_for(lambda: wanted.isdisjoint(self._going), _WAIT_S)

    def remove(self, unused: npt.NDArray[np.uint64]) -> int:
        """Delete the rows of `unused` series (uint64[n]) that are not live; how many. Raises Unavailable."""
        with self._changed:
            gone = np.setdiff1d(unused, self._live())
            self._going = frozenset(gone.tolist())
        try:
            if len(gone):
                self._db.command("TRUNCATE TABLE series_unused")
                self._db.insert("series_unused", {"fingerprint": gone})
                self._db.command(_QUERIES["delete_unused_series"])
                self._db.command("TRUNCATE TABLE series_unused")
        finally:
            with self._changed:
                self._going = ()
                self._changed.notify_all()
        return len(gone)

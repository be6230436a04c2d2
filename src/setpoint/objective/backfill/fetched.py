"""Counts the history of objectives that are read from data sources: one thread for each source, which waits for it.

The evaluation thread must not wait for another server, so history of these objectives is not counted in its ticks.
A thread takes chunks of minutes under the book's lock, fetches and counts without it, and puts the counts in under
it again. All objectives of a source go back in time together, six hours at a time, so that those which count the
same series find them fetched already.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np

from setpoint.clock import Clock
from setpoint.errors import SetpointError
from setpoint.objective.backfill.backfill import Backfill
from setpoint.objective.backfill.backlog import Chunk
from setpoint.objective.backfill.own import OwnHistory
from setpoint.objective.backfill.waiting import LOOK_S, Waiting
from setpoint.objective.counting.plan import Counted
from setpoint.objective.fleet import Fleet

__all__ = ["FetchedHistory"]

_AT_ONCE = 32
"""Objectives of which a chunk is counted in one turn: the book's lock is waited for twice in each."""


class FetchedHistory:
    """See above; `book` owns it."""

    def __init__(
        self,
        backfill: Backfill,
        fleet: Callable[[], Fleet],
        lock: AbstractContextManager[object],
        clock: Clock,
    ) -> None:
        """`fleet` gives the book's present one; everything of `backfill` is called while `lock` is held."""
        self._backfill, self._fleet, self._lock, self._clock = backfill, fleet, lock, clock
        self._waiting: dict[str, Waiting] = {}
        self._own = OwnHistory(backfill, fleet, lock, clock)

    def run(self, stop: threading.Event) -> None:
        """Keep a thread for each source in use until `stop` is set, and one for our own telemetry."""
        running: dict[str, threading.Thread] = {}
        threading.Thread(target=self._own.run, args=(stop,), name="history", daemon=True).start()
        while not stop.wait(LOOK_S):
            feeds = self._fleet().feeds
            for source in [name for name, feed in feeds.items() if feed.fetch is not None]:
                known = running.get(source)
                if known is None or not known.is_alive():
                    running[source] = threading.Thread(
                        target=self._run_source, args=(source, stop), name=f"history-{source}", daemon=True
                    )
                    running[source].start()

    def _run_source(self, source: str, stop: threading.Event) -> None:
        wait_s: float | None = 0.0
        while wait_s is not None and not stop.wait(wait_s):
            wait_s = self.step(source)

    def step(self, source: str) -> float | None:
        """Count a chunk of some objectives of a source; seconds to wait before the next, None when none is left."""
        with self._lock:
            fleet = self._fleet()
            chunks = self._backfill.take(source, _AT_ONCE)
        if not chunks:
            return None
        error: SetpointError | None = None
        for chunk in chunks:
            error = self._count(fleet, chunk, error)
        if error is not None:
            return self._waiting.setdefault(source, Waiting(f" for data source {source}")).pause_s(error)
        self._waiting.pop(source, None)
        return 0.0

    def _count(self, fleet: Fleet, chunk: Chunk, error: SetpointError | None) -> SetpointError | None:
        """Fetch and count a chunk, unless there was an error that says to wait, and put it in."""
        if error is not None:
            with self._lock:
                self._backfill.give_back(chunk)
            return error
        indices = np.array([fleet.of_row[row] for row in chunk.rows], np.int64)
        raw = fleet.live.safely(indices, chunk.first, chunk.end, 60, history=True)
        with self._lock:
            try:
                self._backfill.settle(chunk, indices, raw, self._clock.now_ms())
            except SetpointError as full:
                return full
        return _first_wait(raw)


def _first_wait(raw: Counted) -> SetpointError | None:
    return next((error for error in raw.errors.values() if error.retryable), None)

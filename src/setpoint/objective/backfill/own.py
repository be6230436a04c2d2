"""Counts the history of objectives over our own telemetry in a thread of its own, beside the ticks.

`fetched` starts it; without it (in tests) the ticks of the book count history. A chunk is taken and put in under the
book's lock and counted without it, so that live evaluation waits for neither the database nor the decoding. Chunks are
large, because each also reads the hour before it and costs some statements: as many objectives and minutes as take
about a second. Then the thread sleeps as long as it took: history has half of a processor at the most.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np

from setpoint.clock import Clock, stopwatch
from setpoint.errors import SetpointError
from setpoint.objective.backfill.backfill import Backfill
from setpoint.objective.backfill.backlog import Pace
from setpoint.objective.backfill.waiting import LOOK_S, Waiting
from setpoint.objective.fleet import Fleet

__all__ = ["OwnHistory"]

log = logging.getLogger(__name__)


class OwnHistory:
    """See above. `fleet` gives the book's present one; everything of `backfill` is called while `lock` is held."""

    def __init__(
        self,
        backfill: Backfill,
        fleet: Callable[[], Fleet],
        lock: AbstractContextManager[object],
        clock: Clock,
    ) -> None:
        self._backfill, self._fleet, self._lock, self._clock = backfill, fleet, lock, clock
        self._pace = Pace()
        self._waiting = Waiting()

    def run(self, stop: threading.Event) -> None:
        """Count until `stop` is set."""
        with self._lock:
            self._backfill.is_apart = True
        try:
            while not stop.wait(self._safe_step()):
                pass
        finally:
            with self._lock:
                self._backfill.is_apart = False

    def step(self) -> float:
        """Count a chunk; seconds to wait before the next. Raises SetpointError when that has to wait."""
        with self._lock:
            fleet = self._fleet()
            chunk = self._backfill.take_own(self._pace.rows)
        if chunk is None:
            return LOOK_S
        elapsed_s = stopwatch()
        indices = np.array([fleet.of_row[row] for row in chunk.rows], np.int64)
        raw = fleet.live.safely(indices, chunk.first, chunk.end, 60, history=True)
        took_s = elapsed_s()
        with self._lock:
            heard_s = self._pace.note(chunk, took_s)
            self._backfill.settle(chunk, indices, raw, self._clock.now_ms(), took_s=heard_s)
        waits = next((error for error in raw.errors.values() if error.retryable), None)
        if waits is not None:
            raise waits
        self._waiting.over()
        return took_s

    def _safe_step(self) -> float:
        try:
            return self.step()
        except SetpointError as error:
            return self._waiting.pause_s(error)
        except Exception:  # the loop must outlive any fault
            log.exception("a part of the history of objectives was left out")
            return LOOK_S

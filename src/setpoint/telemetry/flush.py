"""From the journal to chunks: now and then everything that was sealed is stored as chunks, and the journal begins anew.

`ingest` asks after each group whether a flush is due (`step`): then the head seals its open blocks and the journal ends
its generation, between two groups, so that the generations until then hold exactly what is sealed. Everything else
happens in a thread of its own: insert the chunks, mark the generations, drop them from the journal. At whatever point
the process dies, either the mark is there and the chunks count, or it is not and the journal is replayed.

A flush that fails is tried again until it succeeds; meanwhile the journal keeps what it would have stored.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import numpy.typing as npt

from setpoint.clock import Clock
from setpoint.errors import Unavailable
from setpoint.measure import Durations
from setpoint.telemetry.chunk_samples import run_bounds
from setpoint.telemetry.head import Head
from setpoint.telemetry.journal import GENERATION_STEP
from setpoint.telemetry.store import SignalStore

__all__ = ["Flusher"]

_log = logging.getLogger(__name__)

_SAMPLES_AT_MOST = 64_000_000
"""Samples in the journal at which a flush is due whatever the time: it bounds how long a start replays."""

_LATE_AT_MOST = 2_000_000
"""Late samples at which a flush is due: until then they take 24 bytes each."""

_RETRY_S = (1.0, 60.0)


class Flusher:
    """Flushes every `flush_s` seconds. `step` belongs to the writer thread, the rest to any.

    `wake` is called after a flush, for the writer to call `step` again.
    """

    def __init__(
        self, store: SignalStore, head: Head, clock: Clock, flush_s: float, wake: Callable[[], None]
    ) -> None:
        self.durations = Durations()
        self._wake = wake
        self._store = store
        self._head = head
        self._clock = clock
        self._flush_ms = flush_s * 1000
        self._begun_ms = clock.now_ms()
        self._changed = threading.Condition()
        self._job: tuple[int, ...] = ()
        self._asked: list[Future[None]] = []
        self._waiting: list[Future[None]] = []
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flusher", daemon=True)
        self._thread.start()

    def ask(self) -> Future[None]:
        """Have the next `step` flush; the future resolves when what was acknowledged by then is in chunks."""
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        with self._changed:
            self._asked.append(future)
        return future

    def due_in_s(self) -> float:
        """Seconds until `step` has something to do although nothing comes."""
        if self._job:
            return math.inf  # until `wake`
        if self._asked:
            return 0.0
        if not self._store.journal.open:
            return math.inf
        elapsed_ms = self._clock.now_ms() - self._begun_ms
        return max(0.0, self._flush_ms - elapsed_ms) / 1000 if elapsed_ms >= 0 else 0.0

    def step(self) -> None:
        """Begin a flush when one is due and none is under way. To be called between two groups."""
        with self._changed:
            if self._job or not (self._asked or self._is_due()):
                return
            asked, self._asked = self._asked, []
        self._begun_ms = self._clock.now_ms()
        if not self._store.journal.open:
            for future in asked:
                future.set_result(None)
            return
        self._head.seal()
        generations = self._store.end_generation()
        with self._changed:
            self._job, self._waiting = generations, asked
            self._changed.notify()

    def close(self) -> None:
        """End the thread, after the flush that is under way; what was not flushed stays in the journal."""
        with self._changed:
            self._closing.set()
            self._changed.notify()
        self._thread.join()
        waiting, self._waiting, self._asked = [*self._waiting, *self._asked], [], []
        for future in waiting:
            future.set_exception(Unavailable("the server stopped before it flushed; the journal has it all"))

    def _is_due(self) -> bool:
        many = self._store.journal.samples >= _SAMPLES_AT_MOST or self._store.late.count >= _LATE_AT_MOST
        return many or self.due_in_s() <= 0

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._job or self._closing.is_set())
                if not self._job:
                    return
            if not self._flush_until_stored():
                return
            with self._changed:
                done, self._waiting = self._waiting, []
                self._job = ()
            for future in done:
                future.set_result(None)
            self._wake()

    def _flush_until_stored(self) -> bool:
        """False when closing came first."""
        pause_s, longest_s = _RETRY_S
        while True:
            try:
                with self.durations.timed():
                    self._flush(self._job)
            except Exception as error:  # noqa: BLE001 — the journal keeps everything; the thread must live to try again
                _log.error("samples could not be flushed, trying again in %.0f s: %s", pause_s, error)
            else:
                return True
            if self._closing.wait(pause_s):
                return False
            pause_s = min(2 * pause_s, longest_s)

    def _flush(self, generations: tuple[int, ...]) -> None:
        blocks, newest = self._store.blocks, generations[-1]
        with blocks.guard:
            if blocks.newest_marked() < newest:
                self._store.series.settle()  # first, so that who reads a chunk finds its series
                blocks.delete_unmarked()  # an attempt before this one may have got half way
                number = newest - GENERATION_STEP + 1
                for chunks in self._head.unflushed():
                    places = _places(chunks.fingerprints)
                    blocks.insert(chunks, np.minimum(number + places, newest).astype(np.uint64))
                    number += int(places.max(initial=-1)) + 1
                blocks.mark(generations, self._clock.now_ms())
        self._head.flushed()
        self._store.flushed()
        try:
            self._store.journal.drop(generations)
        except Unavailable as error:
            _log.warning("what was flushed is still in the journal, too; the next flush drops it: %s", error)


def _places(fingerprints: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Which chunk of its series each chunk is, int64[n]: of equal timestamps the later one counts."""
    order = np.argsort(fingerprints, kind="stable")
    firsts = run_bounds(fingerprints[order], np.empty(0, np.int64))[:-1]
    lengths = np.diff(np.append(firsts, len(order)))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order)) - np.repeat(firsts, lengths)
    return places

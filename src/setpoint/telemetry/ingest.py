"""The way in: receivers submit batches, one thread stores them in groups, futures say when they are stored.

"Acknowledged means stored" (design, section 6): a future resolves after its rows are in the database and
its samples in the head, so a receiver that waits for it may answer 2xx. While one group is being inserted
the next one gathers (group commit), so many small senders cost as many inserts as one large one. The queue
is bounded by bytes; beyond that senders are told to come back, which OTLP clients do.

A group that the database refuses is tried again batch by batch, so that one bad batch fails alone. Between two
groups the thread has the flusher look whether the journal is to become chunks, and the head forget what is old.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from setpoint.clock import Clock
from setpoint.errors import InvalidInput, Unavailable
from setpoint.measure import Durations
from setpoint.telemetry.flush import Flusher
from setpoint.telemetry.head import Head
from setpoint.telemetry.model import LogBatch, MetricBatch, RefBatch, SpanBatch
from setpoint.telemetry.pace import Pace
from setpoint.telemetry.ref_batches import by_ref, fits_together, rows_of
from setpoint.telemetry.store import SignalStore

__all__ = ["Batch", "Ingest", "IngestStats"]

Batch = RefBatch | MetricBatch | SpanBatch | LogBatch

_log = logging.getLogger(__name__)

_GROUP_BYTES = 32 << 20
"""What one group may hold; more waits for the next, because the engine's memory bounds a block."""

_EVICT_EVERY_S = 30.0
_SERIES_WAIT_S = 5.0
_RETRY_S = (1.0, 30.0)


@dataclass(frozen=True, slots=True)
class IngestStats:
    """Counters since start. Rows are those stored; `refused` and `failed` count batches.

    `queue_bytes` and `queue_batches` are what waits or is being written; `last_write_ms` is None before
    the first write.
    """

    samples: int
    spans: int
    logs: int
    refused: int
    failed: int
    groups: int
    queue_bytes: int
    queue_batches: int
    last_write_ms: int | None


@dataclass(frozen=True, slots=True)
class _Waiting:
    batch: Batch
    rows: int
    size_bytes: int
    future: Future[None]


class Ingest:
    """A bounded queue and its writer thread, which starts at once and ends with `close`. Thread-safe.

    `store` and `head` share one series table. Every `flush_s` seconds the journal becomes chunks.
    """

    def __init__(
        self,
        store: SignalStore,
        head: Head,
        clock: Clock,
        queue_limit_bytes: int = 256 << 20,
        flush_s: float = 900,
    ) -> None:
        if store.table is not head.table:
            raise ValueError("store and head of an ingest need the same series table")
        self.commit_durations = Durations()
        self.flusher = Flusher(store, head, clock, flush_s, self._wake)
        self._store = store
        self._head = head
        self._clock = clock
        self._limit_bytes = queue_limit_bytes
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._pace = Pace()
        self._queue_rows = 0
        self._queue_bytes = 0
        self._queue_batches = 0
        self._bytes_per_s = 0.0
        self._rows = {"samples": 0, "spans": 0, "logs": 0}
        self._refused = self._failed = self._groups = 0
        self._last_write_ms: int | None = None
        self._evicted_ms = clock.now_ms()
        self._writer = threading.Thread(target=self._run, name="ingest-writer", daemon=True)
        self._writer.start()

    def submit(self, batch: Batch, size_bytes: int) -> Future[None]:
        """Queue `batch`; the future resolves when it is stored and fails with Unavailable when it was not.

        `size_bytes` is what it counts against the queue's limit. Raises Unavailable when the queue is full or
        closed, InvalidInput when the batch's columns do not fit together. The future cannot be cancelled. The
        lease of a `RefBatch` is released when its future is done, or here when this raises.
        """
        try:
            return self._submit(batch, size_bytes)
        except BaseException:
            _release(batch)
            raise

    def _submit(self, batch: Batch, size_bytes: int) -> Future[None]:
        if not fits_together(batch, self._store.table.capacity):
            raise InvalidInput("the columns of a telemetry batch do not fit together; nothing was stored")
        rows = rows_of(batch)
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        if not rows:
            _release(batch)
            future.set_result(None)
            return future
        with self._changed:
            if self._closing.is_set():
                self._refused += 1
                raise Unavailable("the server is stopping and takes no more telemetry; send it again later")
            if self._queue_batches and self._queue_bytes + size_bytes > self._limit_bytes:
                self._refused += 1
                raise Unavailable(
                    f"{self._queue_bytes} bytes of telemetry wait to be stored; send this again later",
                    retry_after_s=self._retry_after_s(),
                )
            self._queue.append(_Waiting(batch, rows, size_bytes, future))
            self._queue_rows += rows
            self._queue_bytes += size_bytes
            self._queue_batches += 1
            if len(self._queue) == 1 or self._pace.is_enough(len(self._queue), self._queue_rows):
                self._changed.notify()
        return future

    @property
    def stats(self) -> IngestStats:
        """The counters now."""
        with self._changed:
            return IngestStats(
                **self._rows,
                refused=self._refused,
                failed=self._failed,
                groups=self._groups,
                queue_bytes=self._queue_bytes,
                queue_batches=self._queue_batches,
                last_write_ms=self._last_write_ms,
            )

    def flush(self) -> Future[None]:
        """Have what is acknowledged by now stored as chunks; the future resolves when it is."""
        future = self.flusher.ask()
        self._wake()
        return future

    def close(self) -> None:
        """Take nothing more, store what waits, end the threads. What was not flushed stays in the journal."""
        with self._changed:
            self._closing.set()
            self._changed.notify()
        self._writer.join()
        self.flusher.close()
        self._store.journal.close()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        while True:
            group = self._take()
            if group is None:
                return
            if group:
                with self.commit_durations.timed():
                    self._commit(group)
            self._look_after()

    def _take(self) -> list[_Waiting] | None:
        """The next group; empty when it is time to look after flusher and head, None when closed and drained."""
        with self._changed:
            if not self._queue and not self._closing.is_set():
                self._changed.wait(min(_EVICT_EVERY_S, self.flusher.due_in_s()))
            if self._queue:
                self._linger()
            if not self._queue and self._closing.is_set():
                return None
            group: list[_Waiting] = []
            size_bytes = 0
            while self._queue and (not group or size_bytes + self._queue[0].size_bytes <= _GROUP_BYTES):
                size_bytes += self._queue[0].size_bytes
                self._queue_rows -= self._queue[0].rows
                group.append(self._queue.popleft())
        return group

    def _linger(self) -> None:
        """Let neighbours of the batches that wait join them, as long as `Pace` finds that it pays."""
        visit = self._pace.visit()
        while not self._closing.is_set():
            wait_s = visit.wait_s(len(self._queue), self._queue_rows)
            if wait_s <= 0:
                return
            self._changed.wait_for(
                lambda: self._closing.is_set() or self._pace.is_enough(len(self._queue), self._queue_rows),
                wait_s,
            )

    def _commit(self, group: Sequence[_Waiting]) -> None:
        began_ms = self._clock.now_ms()
        metrics = [waiting for waiting in group if isinstance(waiting.batch, RefBatch | MetricBatch)]
        spans = [waiting for waiting in group if isinstance(waiting.batch, SpanBatch)]
        logs = [waiting for waiting in group if isinstance(waiting.batch, LogBatch)]
        self._store_all(metrics, self._write_metrics, "samples")
        self._store_all(spans, self._store.write_spans, "spans")
        self._store_all(logs, self._store.write_logs, "logs")
        elapsed_s = (self._clock.now_ms() - began_ms) / 1000
        if elapsed_s > 0:
            with self._changed:
                self._bytes_per_s = sum(waiting.size_bytes for waiting in group) / elapsed_s

    def _write_metrics(self, batches: Sequence[RefBatch | MetricBatch]) -> None:
        rows: list[RefBatch] = []
        try:
            for batch in batches:
                rows.append(by_ref(batch, self._store.table))
            self._store.write_metrics(rows)
            for row in rows:
                self._store.remember(row, self._head)
        finally:
            for batch, row in zip(batches, rows, strict=False):
                if row is not batch:
                    row.lease.release()

    def _store_all(
        self, group: Sequence[_Waiting], write: Callable[[Sequence[Any]], None], signal: str
    ) -> None:
        """Write `group` as one; when that fails, each alone; then resolve every future."""
        if not group:
            return
        error = self._try(group, write)
        if error is None or len(group) == 1:
            self._finish(group, signal, error)
            return
        _log.warning(
            "%d batches of %s were refused together, trying each alone: %s", len(group), signal, error
        )
        for waiting in group:
            self._finish([waiting], signal, self._try([waiting], write))

    def _try(self, group: Sequence[_Waiting], write: Callable[[Sequence[Any]], None]) -> Exception | None:
        """Write `group`; what went wrong, if anything.

        Whatever a client library raises on values it cannot encode (ValueError, TypeError, struct.error, …)
        must fail these batches and not the thread, on which every sender depends.
        """
        try:
            write([waiting.batch for waiting in group])
        except Exception as error:  # noqa: BLE001 — any fault fails its batches, never the one writer thread
            return error
        return None

    def _finish(self, group: Sequence[_Waiting], signal: str, error: Exception | None) -> None:
        rows = sum(waiting.rows for waiting in group)
        with self._changed:
            self._queue_bytes -= sum(waiting.size_bytes for waiting in group)
            self._queue_batches -= len(group)
            if error is None:
                self._rows[signal] += rows
                self._groups += 1
                self._last_write_ms = self._clock.now_ms()
            else:
                self._failed += len(group)
        for waiting in group:
            _release(waiting.batch)
        if error is None:
            for waiting in group:
                waiting.future.set_result(None)
            return
        _log.error("%d %s were not stored: %s", rows, signal, error)
        for waiting in group:
            refusal = Unavailable(
                f"{waiting.rows} {signal} were not stored, send them again: {error}",
                retry_after_s=self._retry_after_s(),
            )
            refusal.__cause__ = error
            waiting.future.set_exception(refusal)

    def _look_after(self) -> None:
        """Begin a flush when one is due; let the head forget what is old, but nothing that no chunk holds yet."""
        try:
            self.flusher.step()
            until_ms, held_ms = self._clock.now_ms(), self._store.oldest_in_head_ms
            if held_ms is not None:
                until_ms = min(until_ms, held_ms - 1 + self._head.horizon_ms)
            if not 0 <= until_ms - self._evicted_ms < _EVICT_EVERY_S * 1000:  # also after a clock set back
                self._evicted_ms = until_ms
                self._head.evict(until_ms)
            self._store.series.settle(_SERIES_WAIT_S)
        except Exception:  # noqa: BLE001 — a fault here must not end the one thread that every sender depends on
            _log.exception("the head could not be sealed or tidied up; it is tried again")

    def _retry_after_s(self) -> float:
        """How long the queue needs at the pace of the last group, between 1 and 30 seconds."""
        least, most = _RETRY_S
        if not self._bytes_per_s:
            return least
        return min(max(self._queue_bytes / self._bytes_per_s, least), most)


def _release(batch: Batch) -> None:
    if isinstance(batch, RefBatch):
        batch.lease.release()

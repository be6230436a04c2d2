"""The way in: receivers submit batches, one thread stores them in groups, futures say when they are stored.

"Acknowledged means stored" (design, section 6): a future resolves after its rows are in the database and
its samples in the head, so a receiver that waits for it may answer 2xx. While one group is being inserted
the next one gathers (group commit), so many small senders cost as many inserts as one large one. The queue
is bounded by bytes; beyond that senders are told to come back, which OTLP clients do.

A group that the database refuses is tried again batch by batch, so that one bad batch fails alone.
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
from setpoint.telemetry.head import Head
from setpoint.telemetry.model import LogBatch, MetricBatch, SpanBatch
from setpoint.telemetry.store import SignalStore

__all__ = ["Batch", "Ingest", "IngestStats"]

Batch = MetricBatch | SpanBatch | LogBatch

_log = logging.getLogger(__name__)

_LINGER_S = 0.002
_GROUP_BYTES = 32 << 20
"""What one group may hold; more waits for the next, because the engine's memory bounds a block."""

_EVICT_EVERY_S = 30.0
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
    size_bytes: int
    future: Future[None]


class Ingest:
    """A bounded queue and its writer thread, which starts at once and ends with `close`. Thread-safe."""

    def __init__(
        self, store: SignalStore, head: Head, clock: Clock, queue_limit_bytes: int = 256 << 20
    ) -> None:
        self._store = store
        self._head = head
        self._clock = clock
        self._limit_bytes = queue_limit_bytes
        self._queue: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
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
        closed, InvalidInput when the batch's columns do not fit together. The future cannot be cancelled.
        """
        rows = _checked_rows(batch)
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        if not rows:
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
            self._queue.append(_Waiting(batch, size_bytes, future))
            self._queue_bytes += size_bytes
            self._queue_batches += 1
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

    def close(self) -> None:
        """Take nothing more, store what waits, end the thread."""
        with self._changed:
            self._closing.set()
            self._changed.notify()
        self._writer.join()

    def _run(self) -> None:
        while True:
            group = self._take()
            if group is None:
                return
            self._commit(group)
            self._evict()

    def _take(self) -> list[_Waiting] | None:
        """The next group; empty when it is time to look at the head, None when closed and drained."""
        with self._changed:
            was_idle = not self._queue
            if was_idle and not self._closing.is_set():
                self._changed.wait(_EVICT_EVERY_S)
        if was_idle and self._queue:
            # The first after a pause: its neighbours are likely a moment behind. Under load nobody waits
            # here, because the queue filled while the last group was written.
            self._closing.wait(_LINGER_S)
        group: list[_Waiting] = []
        size_bytes = 0
        with self._changed:
            if not self._queue and self._closing.is_set():
                return None
            while self._queue and (not group or size_bytes + self._queue[0].size_bytes <= _GROUP_BYTES):
                size_bytes += self._queue[0].size_bytes
                group.append(self._queue.popleft())
        return group

    def _commit(self, group: Sequence[_Waiting]) -> None:
        began_ms = self._clock.now_ms()
        metrics = [waiting for waiting in group if isinstance(waiting.batch, MetricBatch)]
        spans = [waiting for waiting in group if isinstance(waiting.batch, SpanBatch)]
        logs = [waiting for waiting in group if isinstance(waiting.batch, LogBatch)]
        self._store_all(metrics, self._write_metrics, "samples")
        self._store_all(spans, self._store.write_spans, "spans")
        self._store_all(logs, self._store.write_logs, "logs")
        elapsed_s = (self._clock.now_ms() - began_ms) / 1000
        if elapsed_s > 0:
            with self._changed:
                self._bytes_per_s = sum(waiting.size_bytes for waiting in group) / elapsed_s

    def _write_metrics(self, batches: Sequence[MetricBatch]) -> None:
        self._store.write_metrics(batches)
        for batch in batches:
            self._head.append(batch)

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
        rows = sum(_rows(waiting.batch) for waiting in group)
        with self._changed:
            self._queue_bytes -= sum(waiting.size_bytes for waiting in group)
            self._queue_batches -= len(group)
            if error is None:
                self._rows[signal] += rows
                self._groups += 1
                self._last_write_ms = self._clock.now_ms()
            else:
                self._failed += len(group)
        if error is None:
            for waiting in group:
                waiting.future.set_result(None)
            return
        _log.error("%d %s were not stored: %s", rows, signal, error)
        for waiting in group:
            refusal = Unavailable(
                f"{_rows(waiting.batch)} {signal} were not stored, send them again: {error}",
                retry_after_s=self._retry_after_s(),
            )
            refusal.__cause__ = error
            waiting.future.set_exception(refusal)

    def _evict(self) -> None:
        now_ms = self._clock.now_ms()
        if not 0 <= now_ms - self._evicted_ms < _EVICT_EVERY_S * 1000:  # also after a clock set back
            self._evicted_ms = now_ms
            self._head.evict(now_ms)

    def _retry_after_s(self) -> float:
        """How long the queue needs at the pace of the last group, between 1 and 30 seconds."""
        least, most = _RETRY_S
        if not self._bytes_per_s:
            return least
        return min(max(self._queue_bytes / self._bytes_per_s, least), most)


def _rows(batch: Batch) -> int:
    if isinstance(batch, MetricBatch):
        return len(batch.timestamps_ms)
    return len(next(iter(batch.columns.values()), ()))


def _checked_rows(batch: Batch) -> int:
    """The number of rows. Raises InvalidInput when the columns do not fit together."""
    rows = _rows(batch)
    if isinstance(batch, MetricBatch):
        lengths = {len(batch.series_index), len(batch.values), rows}
        fits = not rows or (batch.series_index.min() >= 0 and batch.series_index.max() < len(batch.series))
    else:
        lengths, fits = {len(values) for values in batch.columns.values()} | {rows}, True
    if len(lengths) > 1 or not fits:
        raise InvalidInput("the columns of a telemetry batch do not fit together; nothing was stored")
    return rows

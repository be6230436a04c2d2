"""Ingest on the real engine: acknowledged means stored, back-pressure, and one bad batch fails alone."""

from __future__ import annotations

import resource
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

import numpy as np
import pytest

from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.errors import InvalidInput, Unavailable
from setpoint.telemetry import (
    Batch,
    LogBatch,
    MetricBatch,
    Series,
    SignalCounts,
    SpanBatch,
)
from tests.telemetry.engine import Engine
from tests.telemetry.naive import answer, batch, series
from tests.telemetry.test_store import log_columns, span_columns

NOW_MS = SystemClock().now_ms()
LABELS = {"__name__": "requests_total", "job": "shop"}


class Server(Engine):
    """An engine whose writer can be held up."""

    def __init__(self, database: TelemetryDatabase, queue_limit_bytes: int = 1 << 20) -> None:
        super().__init__(database, NOW_MS, queue_limit_bytes=queue_limit_bytes)

    @contextmanager
    def busy_writer(self) -> Iterator[None]:
        """Hold the writer thread in the callback of a first batch, so that what is submitted must wait."""
        held, release = threading.Event(), threading.Event()
        caller = threading.current_thread()

        def hold(_: Future[None]) -> None:
            # A batch stored before its callback was added calls it here, in the caller: then try another.
            if threading.current_thread() is not caller:
                held.set()
                release.wait(20)

        while not held.is_set():
            first = self.ingest.submit(batch([({"__name__": "first"}, NOW_MS, 1.0)]), 1)
            first.add_done_callback(hold)
            first.result(20)
            held.wait(0.1)
        try:
            yield
        finally:
            release.set()


@pytest.fixture
def server(telemetry_database: TelemetryDatabase) -> Iterator[Server]:
    server = Server(telemetry_database)
    yield server
    server.close()


def one(value: float, time_ms: int = NOW_MS) -> MetricBatch:
    return batch([(LABELS, time_ms, value)])


def test_a_future_resolves_only_when_its_rows_can_be_read(server: Server) -> None:
    seen: list[tuple[SignalCounts, int]] = []
    noted = threading.Semaphore(0)

    def note(_: Future[None]) -> None:
        seen.append((server.store.counts(), server.head.sample_count))
        noted.release()

    futures = []
    kinds: list[Batch] = [one(1.0), SpanBatch(span_columns(2)), LogBatch(log_columns(3))]
    for kind in kinds:
        future = server.ingest.submit(kind, 100)
        future.add_done_callback(note)
        assert noted.acquire(timeout=20)
        futures.append(future)
    assert not any(future.cancel() for future in futures)
    assert seen == [
        (SignalCounts(series=1, samples=1, spans=0, logs=0), 1),
        (SignalCounts(series=1, samples=1, spans=2, logs=0), 1),
        (SignalCounts(series=1, samples=1, spans=2, logs=3), 1),
    ]


def test_senders_at_once_share_inserts_and_lose_nothing(server: Server) -> None:
    def send(number: int) -> None:
        labels = {**LABELS, "sender": str(number)}
        for step in range(20):
            server.ingest.submit(batch([(labels, NOW_MS + step, float(step))]), 100).result(20)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(send, range(16)))
    assert server.store.counts().samples == server.head.sample_count == 16 * 20
    stats = server.ingest.stats
    assert stats.samples == 320
    assert stats.groups < 160
    assert (stats.refused, stats.failed, stats.queue_bytes, stats.queue_batches) == (0, 0, 0, 0)
    assert stats.last_write_ms == NOW_MS


def test_a_full_queue_refuses_until_it_is_written(telemetry_database: TelemetryDatabase) -> None:
    server = Server(telemetry_database, queue_limit_bytes=1000)
    with server.busy_writer():
        taken = [server.ingest.submit(one(1.0, NOW_MS + number), 400) for number in range(2)]
        with pytest.raises(Unavailable) as refused:
            server.ingest.submit(one(1.0, NOW_MS + 2), 400)
        assert refused.value.retryable
        assert 1 <= refused.value.retry_after_s <= 30
        assert server.ingest.stats.queue_bytes == 800
        assert not any(future.done() for future in taken)
    wait(taken, 20)
    server.ingest.submit(one(1.0, NOW_MS + 2), 400).result(20)
    assert server.ingest.stats.refused == 1
    assert server.head.sample_count == 4
    server.close()


def test_a_batch_larger_than_the_limit_is_taken_when_nothing_waits(server: Server) -> None:
    server.ingest.submit(one(1.0), 1 << 30).result(20)
    assert server.head.sample_count == 1


@pytest.mark.parametrize("poison", ["metrics", "spans"])
def test_a_poisonous_batch_fails_alone(server: Server, poison: str) -> None:
    bad_labels: dict[str, str] = {"__name__": "bad", "code": 500}  # type: ignore[dict-item]
    poisons: dict[str, Batch] = {
        "metrics": MetricBatch(
            [Series(7, bad_labels, "shop")], np.zeros(1, np.int32), np.array([NOW_MS]), np.array([1.0])
        ),
        "spans": SpanBatch(span_columns(1, trace_id=[b"short"])),
    }
    bad = poisons[poison]
    with server.busy_writer():
        before = server.ingest.submit(one(1.0), 100)
        spans = server.ingest.submit(SpanBatch(span_columns(2)), 100)
        failing = server.ingest.submit(bad, 100)
        after = server.ingest.submit(batch([({"__name__": "new"}, NOW_MS, 2.0)]), 100)
    error = failing.exception(20)
    assert isinstance(error, Unavailable)
    assert error.retryable
    for future in (before, spans, after):
        assert future.result(20) is None
    counts = server.store.counts()
    assert (counts.spans, server.head.sample_count) == (2, 3)
    server.flush()
    assert len(answer(server.store.read_samples([], 0, NOW_MS))) == 3
    assert server.ingest.stats.failed == 1
    server.ingest.submit(one(3.0, NOW_MS + 1), 100).result(20)


def test_a_failed_batch_is_not_in_the_head_and_may_be_sent_again(
    server: Server, telemetry_database: TelemetryDatabase
) -> None:
    server.send(batch([({"__name__": "first"}, NOW_MS, 1.0)]))
    size = server.journal_file.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
    try:
        failed = server.ingest.submit(one(1.0), 100).exception(20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert server.journal_file.stat().st_size == size
    assert isinstance(failed, Unavailable)
    assert "send them again" in failed.message
    assert server.head.sample_count == 1
    server.ingest.submit(one(1.0), 100).result(20)
    server.flush()
    assert answer(server.head.select([], 0, NOW_MS)) == answer(server.store.read_samples([], 0, NOW_MS))


def test_close_drains_and_then_refuses(telemetry_database: TelemetryDatabase) -> None:
    server = Server(telemetry_database)
    with server.busy_writer():
        waiting = [server.ingest.submit(one(1.0, NOW_MS + number), 100) for number in range(50)]
        closing = threading.Thread(target=server.close)
        closing.start()
    closing.join(20)
    assert not closing.is_alive()
    assert all(future.done() and future.exception() is None for future in waiting)
    assert server.store.counts().samples == 51
    with pytest.raises(Unavailable, match="stopping"):
        server.ingest.submit(one(1.0), 100)
    server.close()


def test_columns_that_do_not_fit_are_refused_at_once(server: Server) -> None:
    bad: list[Batch] = [
        MetricBatch([series(LABELS)], np.zeros(2, np.int32), np.array([NOW_MS]), np.array([1.0])),
        MetricBatch([series(LABELS)], np.array([1], np.int32), np.array([NOW_MS]), np.array([1.0])),
        MetricBatch([series(LABELS)], np.array([-1], np.int32), np.array([NOW_MS]), np.array([1.0])),
        SpanBatch(span_columns(2, name=["one"])),
    ]
    for wrong in bad:
        with pytest.raises(InvalidInput):
            server.ingest.submit(wrong, 100)
    assert server.store.counts() == SignalCounts(0, 0, 0, 0)


def test_an_empty_batch_is_stored_already(server: Server) -> None:
    assert server.ingest.submit(SpanBatch({}), 0).done()
    nothing = MetricBatch([], np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0))
    assert server.ingest.submit(nothing, 0).done()


def test_the_writer_evicts_what_is_old_and_flushed(server: Server) -> None:
    server.send(one(1.0))
    server.clock.advance(2 * 3600)
    later_ms = server.clock.now_ms()
    server.send(one(2.0, later_ms))
    server.flush()
    server.send(one(3.0, later_ms + 1))
    server.close()
    assert answer(server.head.select([], 0, later_ms)) == [(LABELS, [later_ms], [2.0])]
    assert answer(server.reader.select([], 0, later_ms)) == [(LABELS, [NOW_MS, later_ms], [1.0, 2.0])]
    assert server.store.counts().samples == 3


def test_what_no_chunk_holds_is_not_evicted(server: Server, telemetry_database: TelemetryDatabase) -> None:
    server.send(one(1.0))
    telemetry_database.command("RENAME TABLE blocks TO blocks_away")
    try:
        for _ in range(3):
            server.clock.advance(2 * 3600)
            server.send(LogBatch(log_columns(1)))
        assert answer(server.head.select([], 0, NOW_MS)) == [(LABELS, [NOW_MS], [1.0])]
    finally:
        telemetry_database.command("RENAME TABLE blocks_away TO blocks")
    server.flush()
    server.send(LogBatch(log_columns(1)))
    assert answer(server.reader.select([], 0, NOW_MS)) == [(LABELS, [NOW_MS], [1.0])]


def test_the_head_is_evicted_also_after_the_clock_was_set_back(server: Server) -> None:
    """It was ahead by a day when the last eviction was; the next one must not wait for that day."""
    server.clock.advance(24 * 3600)
    server.send(LogBatch(log_columns(1)))
    server.clock.advance(-24 * 3600)
    server.send(one(1.0))
    server.clock.advance(2 * 3600)
    later_ms = server.clock.now_ms()
    server.send(one(2.0, later_ms))
    server.flush()
    server.send(one(3.0, later_ms + 1))
    server.close()
    assert answer(server.head.select([], 0, later_ms)) == [(LABELS, [later_ms], [2.0])]

"""The recent native histograms in memory: what they tell is what the engine would tell, within bounds."""

from __future__ import annotations

import random

import numpy as np
import pytest

from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.telemetry import Head, MetricBatch, SignalStore, recent_histograms
from setpoint.telemetry.model import HistogramColumns, StoredHistograms
from setpoint.telemetry.native_histogram import NativeHistogram
from setpoint.telemetry.recent_histograms import RecentHistograms
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.naive import series

NOW_MS = SystemClock().now_ms()
JOBS = ("shop", "cart", "search")


def batch(rows: list[int], times: list[int], counts: list[int]) -> MetricBatch:
    return MetricBatch(
        [series({"__name__": "latency", "job": job}) for job in JOBS],
        np.empty(0, np.int32),
        np.empty(0, np.int64),
        np.empty(0),
        HistogramColumns(
            np.array(rows, np.int32),
            np.array(times, np.int64),
            [NativeHistogram(0, float(k), 1.0, zero_count=float(k)).encode() for k in counts],
        ),
    )


def told(found: StoredHistograms | None) -> list[tuple[str, int, bytes]]:
    assert found is not None
    columns = found.columns
    return sorted(
        (found.labels[row]["job"], at_ms, payload)
        for row, at_ms, payload in zip(
            columns.rows.tolist(), columns.timestamps_ms.tolist(), columns.payloads, strict=True
        )
    )


def test_memory_tells_what_the_engine_tells(telemetry_database: TelemetryDatabase) -> None:
    SignalStore(telemetry_database).write_metrics([batch([0, 1], [NOW_MS - 60_000] * 2, [1, 2])])
    store = SignalStore(telemetry_database)
    assert len(told(store.select_histograms([], NOW_MS - 70_000, NOW_MS))) == 2
    drawn = random.Random(7)
    for number in range(12):
        size = drawn.randrange(1, 9)
        times = [NOW_MS + 1000 * drawn.randrange(30) for _ in range(size)]  # out of order, and twice
        rows = [drawn.randrange(3) for _ in range(size)]
        unique = {key: number * 10 + k for k, key in enumerate(zip(rows, times, strict=True))}
        store.write_metrics(
            [batch([row for row, _ in unique], [at_ms for _, at_ms in unique], list(unique.values()))]
        )
    for start_ms, end_ms in ((NOW_MS, NOW_MS + 30_000), (NOW_MS + 5000, NOW_MS + 9000), (NOW_MS, NOW_MS)):
        by_engine = store.read_histograms([], start_ms, end_ms)
        telemetry_database.command("RENAME TABLE histograms TO histograms_away")
        try:
            found = store.select_histograms([], start_ms, end_ms)
        finally:
            telemetry_database.command("RENAME TABLE histograms_away TO histograms")
        assert told(found) == told(by_engine)
    whole = store.select_histograms([], NOW_MS - 70_000, NOW_MS + 30_000)
    assert told(whole) == told(store.read_histograms([], NOW_MS - 70_000, NOW_MS + 30_000))


def test_a_series_of_histograms_alone_stays_while_they_are_recent(
    telemetry_database: TelemetryDatabase,
) -> None:
    """The head has no sample of it, but names and completion go by the table of series."""
    table = SeriesTable()
    store, head = SignalStore(telemetry_database, table), Head(3_600_000, table)
    store.write_metrics([batch([0], [NOW_MS], [1])])
    store.write_metrics([batch([], [], [])])
    assert table.size == 3
    head.evict(NOW_MS + 60_000)
    assert [labels["job"] for labels in table.labels_of(table.match([]))] == ["shop"]
    store.write_metrics([batch([1], [NOW_MS + 8 * 3_600_000], [1])])
    head.evict(NOW_MS + 8 * 3_600_000)
    assert [labels["job"] for labels in table.labels_of(table.match([]))] == ["cart"]


def test_memory_is_bounded_and_says_what_it_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent_histograms, "_BYTES_MAX", 50_000)
    recent = RecentHistograms()
    assert not recent.covers(2**61)
    recent.begin(0)
    assert recent.covers(0)
    for at_ms in range(1, 1001):
        recent.put(np.array([1, 2], np.uint64), np.array([at_ms, at_ms]), [b"x" * 50, b"y" * 50])
        assert recent.bytes <= 50_000 + 300
    assert not recent.covers(0)
    covered = next(start for start in range(1001) if recent.covers(start))
    assert 500 < covered < 1000
    named = [(1, {"job": "shop"}), (3, {"job": "none"})]
    found = recent.select(named, covered, 1000)
    assert len(told(found)) == 1000 - covered
    assert recent.select(named, covered - 1, 1000) is None


def test_what_is_hours_old_goes() -> None:
    recent = RecentHistograms()
    recent.begin(0)
    for hour in range(20):
        recent.put(np.array([1], np.uint64), np.array([hour * 3_600_000 + 1]), [b"x"])
    assert recent.bytes < 10 * 101
    assert recent.covers(19 * 3_600_000 - 6 * 3_600_000 + 1)

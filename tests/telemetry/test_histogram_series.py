"""Which series have native histograms: known without asking the engine, also after a restart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.errors import InvalidInput, Unavailable
from setpoint.telemetry import Matcher, MetricBatch, SignalStore, histogram_series, side_store
from setpoint.telemetry.model import HistogramColumns
from setpoint.telemetry.native_histogram import NativeHistogram
from tests.telemetry.naive import series

NOW_MS = SystemClock().now_ms()
PAYLOAD = NativeHistogram(0, 3.0, 4.5, positive_spans=((0, 2),), positive_counts=(1.0, 2.0)).encode()


def histograms(*jobs: str) -> MetricBatch:
    """One histogram `latency` of each job."""
    count = len(jobs)
    return MetricBatch(
        [series({"__name__": "latency", "job": job}) for job in jobs],
        np.empty(0, np.int32),
        np.empty(0, np.int64),
        np.empty(0),
        HistogramColumns(np.arange(count, dtype=np.int32), np.full(count, NOW_MS), [PAYLOAD] * count),
    )


def jobs_of(store: SignalStore, *matchers: Matcher) -> list[str] | None:
    found = store.select_histograms(matchers, NOW_MS - 1, NOW_MS)
    return None if found is None else sorted(labels["job"] for labels in found.labels)


def test_only_who_may_have_histograms_is_asked_for_them(telemetry_database: TelemetryDatabase) -> None:
    store = SignalStore(telemetry_database)
    assert jobs_of(store, Matcher("__name__", "=", "latency")) is None
    store.write_metrics([histograms("shop")])
    assert jobs_of(store, Matcher("__name__", "=", "latency")) == ["shop"]
    assert jobs_of(store, Matcher("job", "=~", "s.*")) == ["shop"]
    assert jobs_of(store, Matcher("__name__", "=", "latency_count")) is None
    assert jobs_of(store, Matcher("job", "!=", "shop")) is None
    store.write_metrics([histograms("cart", "shop")])
    assert jobs_of(store, Matcher("job", "!=", "shop")) == ["cart"]


def test_the_engine_is_not_asked_in_vain(telemetry_database: TelemetryDatabase) -> None:
    SignalStore(telemetry_database).write_metrics([histograms("shop")])
    store = SignalStore(telemetry_database)
    assert jobs_of(store) == ["shop"]
    telemetry_database.command("RENAME TABLE histograms TO histograms_away")
    try:
        assert jobs_of(store, Matcher("__name__", "=", "other")) is None
        with pytest.raises(Unavailable):
            jobs_of(store, Matcher("__name__", "=", "latency"))
    finally:
        telemetry_database.command("RENAME TABLE histograms_away TO histograms")


def test_a_restart_remembers(telemetry_database: TelemetryDatabase) -> None:
    SignalStore(telemetry_database).write_metrics([histograms("shop", "cart")])
    again = SignalStore(telemetry_database)
    assert jobs_of(again, Matcher("job", "=", "cart")) == ["cart"]
    assert jobs_of(again, Matcher("job", "=", "search")) is None


def test_beyond_what_is_remembered_every_selector_may_match(
    telemetry_database: TelemetryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histogram_series, "_SERIES_MAX", 2)
    store = SignalStore(telemetry_database)
    store.write_metrics([histograms("a", "b", "c")])
    store.write_metrics([histograms("d")])
    assert jobs_of(store, Matcher("job", "=", "d")) == ["d"]
    assert jobs_of(store, Matcher("job", "=", "no")) == []
    assert jobs_of(SignalStore(telemetry_database), Matcher("job", "=", "no")) == []


def test_many_are_read_in_slices_and_too_many_are_refused(
    telemetry_database: TelemetryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SignalStore(telemetry_database)
    batch = histograms("a", "b")
    assert batch.histograms is not None
    rows = np.repeat(np.arange(2, dtype=np.int32), 50)
    times = NOW_MS - np.tile(np.arange(50), 2) * 15_000
    payloads = [NativeHistogram(0, float(k), 1.0, zero_count=float(k)).encode() for k in range(100)]
    store.write_metrics([replace(batch, histograms=HistogramColumns(rows, times, payloads))])
    whole = store.read_histograms([], NOW_MS - 10**7, NOW_MS)
    monkeypatch.setattr(side_store, "_HISTOGRAMS_AT_ONCE", 7)
    sliced = store.read_histograms([], NOW_MS - 10**7, NOW_MS)
    assert len(whole.columns.payloads) == 100
    assert sliced.labels == whole.labels
    assert sliced.columns.rows.tolist() == whole.columns.rows.tolist()
    assert sliced.columns.timestamps_ms.tolist() == whole.columns.timestamps_ms.tolist()
    assert list(sliced.columns.payloads) == list(whole.columns.payloads)
    assert (np.diff(sliced.columns.timestamps_ms[:50]) > 0).all()
    monkeypatch.setattr(side_store, "HISTOGRAMS_MAX", 99)
    with pytest.raises(InvalidInput, match="about 100 native histograms"):
        store.read_histograms([], NOW_MS - 10**7, NOW_MS)
    assert store.read_histograms([], -(2**63), NOW_MS - 10**9).labels == ()


def test_a_bad_expression_is_refused(telemetry_database: TelemetryDatabase) -> None:
    with pytest.raises(InvalidInput):
        jobs_of(SignalStore(telemetry_database), Matcher("job", "=~", "("))

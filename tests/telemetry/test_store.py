"""The signal store on the real engine: what was written comes back, once, by any matcher."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.errors import InvalidInput, Unavailable
from setpoint.telemetry import (
    Head,
    LogBatch,
    Matcher,
    MetricBatch,
    ServiceSignals,
    SignalCounts,
    SignalStore,
    SpanBatch,
)
from tests.telemetry.naive import NAMES, VALUES, Naive, answer, batch, matchers, series

# Near the present, because the tables forget what is older than their retention.
NOW_MS = SystemClock().now_ms()
LABELS = {"__name__": "requests_total", "job": "shop"}
STALE_BITS = 0x7FF0000000000002


@pytest.fixture
def store(telemetry_database: TelemetryDatabase) -> SignalStore:
    return SignalStore(telemetry_database)


def span_columns(count: int = 1, **changed: Any) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        "service": ["checkout"] * count,
        "name": ["POST /orders"] * count,
        "kind": ["server"] * count,
        "start_ns": [NOW_MS * 1_000_000 + number for number in range(count)],
        "duration_ns": [5_000_000] * count,
        "trace_id": [bytes(range(16))] * count,
        "span_id": [number.to_bytes(8, "big") for number in range(1, count + 1)],
        "parent_span_id": [bytes(8)] * count,
        "trace_state": [""] * count,
        "status": ["error"] * count,
        "status_message": ["card 'declined'"] * count,
        "attributes": [{"http.route": "/orders"}] * count,
        "resource": [{"service.name": "checkout"}] * count,
        "scope": ["fastapi"] * count,
        "events": [[(NOW_MS * 1_000_000, "exception", {"type": "ValueError"})]] * count,
        "links": [[]] * count,
    }
    return {**columns, **changed}


def log_columns(count: int = 1) -> dict[str, list[Any]]:
    return {
        "service": ["payment"] * count,
        "ts_ns": [NOW_MS * 1_000_000] * count,
        "observed_ns": [NOW_MS * 1_000_000] * count,
        "id": [2**64 - 1 - number for number in range(count)],
        "severity_number": [17] * count,
        "severity": ["ERROR"] * count,
        "body": ["line one\nline two"] * count,
        "trace_id": [bytes(16)] * count,
        "span_id": [bytes(8)] * count,
        "attributes": [{}] * count,
        "resource": [{"service.name": "payment"}] * count,
        "scope": [""] * count,
    }


def test_samples_come_back_with_their_labels(store: SignalStore) -> None:
    other = {"__name__": "requests_total", "job": "cart", "path": 'it\'s \\ "here"\n\té'}
    store.write_metrics([batch([(LABELS, NOW_MS, 1.5), (other, NOW_MS, 2.0), (LABELS, NOW_MS + 1, 2.5)])])
    assert answer(store.read_samples([], NOW_MS - 1, NOW_MS + 1)) == [
        (other, [NOW_MS], [2.0]),
        (LABELS, [NOW_MS, NOW_MS + 1], [1.5, 2.5]),
    ]
    assert answer(store.read_samples([], NOW_MS, NOW_MS + 1)) == [(LABELS, [NOW_MS + 1], [2.5])]


def test_nothing_stored_is_an_empty_answer(store: SignalStore) -> None:
    assert answer(store.read_samples([], 0, NOW_MS)) == []
    assert store.oldest_sample_ms() is None
    assert list(store.read_recent(0)) == []
    assert store.counts() == SignalCounts(series=0, samples=0, spans=0, logs=0)
    assert store.services() == []


def test_the_last_written_of_equal_timestamps_stays(store: SignalStore) -> None:
    store.write_metrics([batch([(LABELS, NOW_MS, 1.0)]), batch([(LABELS, NOW_MS, 2.0)])])
    assert answer(store.read_samples([], 0, NOW_MS)) == [(LABELS, [NOW_MS], [2.0])]
    for value in (3.0, 0.5, 4.0):
        store.write_metrics([batch([(LABELS, NOW_MS, value)])])
        assert answer(store.read_samples([], 0, NOW_MS)) == [(LABELS, [NOW_MS], [value])]


def test_stale_markers_keep_their_bits(store: SignalStore) -> None:
    stale = np.array([STALE_BITS], np.uint64).view(np.float64)
    store.write_metrics([MetricBatch([series(LABELS)], np.zeros(1, np.int32), np.array([NOW_MS]), stale)])
    assert store.read_samples([], 0, NOW_MS).values.view(np.uint64).tolist() == [STALE_BITS]
    (restored,) = store.read_recent(0)
    assert restored.values.view(np.uint64).tolist() == [STALE_BITS]


def test_a_series_is_written_once_by_a_process(
    store: SignalStore, telemetry_database: TelemetryDatabase
) -> None:
    store.write_metrics([batch([(LABELS, NOW_MS, 1.0)])])
    telemetry_database.command("RENAME TABLE series TO series_away")
    try:
        store.write_metrics([batch([(LABELS, NOW_MS + 1, 1.0)])])
        with pytest.raises(Unavailable):
            store.write_metrics([batch([({"__name__": "new"}, NOW_MS, 1.0)])])
    finally:
        telemetry_database.command("RENAME TABLE series_away TO series")
    assert store.counts().samples == 2
    # Another process (or this one, restarted) writes it again, which changes no answer.
    SignalStore(telemetry_database).write_metrics([batch([(LABELS, NOW_MS + 5, 1.0)])])
    assert len(store.read_samples([], 0, NOW_MS + 10).labels) == 1
    assert store.services()[0].series == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=matchers)
def test_matchers_mean_the_same_in_store_head_and_prometheus(
    telemetry_database: TelemetryDatabase, query: list[Matcher]
) -> None:
    store, head, naive = SignalStore(telemetry_database), Head(1000), Naive()
    universe = [{name: value} for name in NAMES for value in VALUES]
    universe += [{"__name__": a, "job": b} for a in VALUES[1:5] for b in VALUES[1:5]]
    written = [(labels, NOW_MS, float(number)) for number, labels in enumerate(universe)]
    if not store.counts().samples:
        store.write_metrics([batch(written)])
    head.append(batch(written))
    naive.write(written)
    expected = naive.select(query, 0, NOW_MS)
    assert answer(store.read_samples(query, 0, NOW_MS)) == expected
    assert answer(head.select(query, 0, NOW_MS)) == expected


@pytest.mark.parametrize("expression", ["(", "a(?=b)", "[z-a]"])
def test_a_bad_expression_is_the_users_fault_and_not_the_engines(store: SignalStore, expression: str) -> None:
    with pytest.raises(InvalidInput, match="regular expression"):
        store.read_samples([Matcher("job", "=~", expression)], 0, NOW_MS)


def test_a_label_cannot_smuggle_sql(store: SignalStore) -> None:
    store.write_metrics([batch([(LABELS, NOW_MS, 1.0)])])
    hostile = "x'] = '' OR 1 = 1 OR labels['x"
    assert answer(store.read_samples([Matcher(hostile, "=", "y' OR '1' = '1")], 0, NOW_MS)) == []
    assert len(store.read_samples([Matcher(hostile, "=", "")], 0, NOW_MS).labels) == 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunk=st.integers(1, 40), since=st.integers(-1, 30))
def test_recent_samples_come_in_chunks_and_none_is_lost(
    telemetry_database: TelemetryDatabase, chunk: int, since: int
) -> None:
    store, naive = SignalStore(telemetry_database), Naive()
    written = [
        ({**LABELS, "pod": str(pod)}, NOW_MS + offset, float(offset * 10 + pod))
        for pod in range(4)
        for offset in range(0, 30, pod + 1)
    ]
    if not store.counts().samples:
        store.write_metrics([batch(written)])
    naive.write(written)
    head = Head(10**6)
    for part in store.read_recent(NOW_MS + since, chunk):
        assert 0 < len(part.timestamps_ms) <= chunk
        head.restore(part)
    expected = naive.select([], NOW_MS + since, NOW_MS + 1000)
    assert answer(head.select([], 0, NOW_MS + 1000)) == expected
    assert store.count_recent(NOW_MS + since) == sum(len(found) for _, found, _ in expected)


def test_recent_series_carry_what_was_said_of_them(store: SignalStore) -> None:
    store.write_metrics([batch([(LABELS, NOW_MS, 1.0)])])
    (part,) = store.read_recent(NOW_MS - 1)
    assert list(part.series) == [series(LABELS)]


def test_spans_and_logs_come_back_and_a_resent_one_replaces_itself(
    store: SignalStore, telemetry_database: TelemetryDatabase
) -> None:
    for _ in range(2):
        store.write_spans([SpanBatch(span_columns(2)), SpanBatch(span_columns(3))])
        store.write_logs([LogBatch(log_columns(2))])
    spans = telemetry_database.query(
        "SELECT span_id, status_message, attributes FROM spans FINAL ORDER BY span_id"
    )
    assert spans["span_id"].tolist() == [number.to_bytes(8, "big") for number in (1, 2, 3)]
    assert set(spans["status_message"]) == {"card 'declined'"}
    assert spans["attributes"][0] == {"http.route": "/orders"}
    logs = telemetry_database.query("SELECT id, body FROM logs FINAL ORDER BY id DESC")
    assert logs["id"].tolist() == [2**64 - 1, 2**64 - 2]
    assert set(logs["body"]) == {"line one\nline two"}


def test_counts_and_services(store: SignalStore) -> None:
    store.write_metrics(
        [batch([(LABELS, NOW_MS - 60_000, 1.0), ({"__name__": "up"}, NOW_MS, 1.0)], "catalog")]
    )
    store.write_spans([SpanBatch(span_columns(3))])
    store.write_logs([LogBatch(log_columns(2))])
    assert store.counts() == SignalCounts(series=2, samples=2, spans=3, logs=2)
    assert store.services() == [
        ServiceSignals("catalog", series=2, spans=0, logs=0, last_seen_ms=NOW_MS),
        ServiceSignals("checkout", series=0, spans=3, logs=0, last_seen_ms=NOW_MS + 5),
        ServiceSignals("payment", series=0, spans=0, logs=2, last_seen_ms=NOW_MS),
    ]
    assert store.services(since_ms=NOW_MS)[0] == ServiceSignals("catalog", 2, 0, 0, last_seen_ms=0)
    assert store.oldest_sample_ms() == NOW_MS - 60_000


def test_uneven_columns_are_refused_and_store_nothing(store: SignalStore) -> None:
    with pytest.raises(InvalidInput, match="uneven"):
        store.write_spans([SpanBatch(span_columns(2)), SpanBatch(span_columns(2, name=["one"]))])
    with pytest.raises(Unavailable):
        store.write_spans([SpanBatch(span_columns(2, trace_id=[b"short", b"short"]))])
    assert store.counts().spans == 0

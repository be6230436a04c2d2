"""The signal store on the real engine: what was written comes back, once, by any matcher."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

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
    blocks,
    stored_samples,
)
from setpoint.telemetry.model import ExemplarColumns, HistogramColumns, Metadata
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.engine import HOUR_MS, Engine, stored
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


def test_samples_come_back_with_their_labels(telemetry_database: TelemetryDatabase) -> None:
    other = {"__name__": "requests_total", "job": "cart", "path": 'it\'s \\ "here"\n\té'}
    written = [(LABELS, NOW_MS, 1.5), (other, NOW_MS, 2.0), (LABELS, NOW_MS + 1, 2.5)]
    store = stored(telemetry_database, NOW_MS, [batch(written)])
    assert answer(store.read_samples([], NOW_MS - 1, NOW_MS + 1)) == [
        (other, [NOW_MS], [2.0]),
        (LABELS, [NOW_MS, NOW_MS + 1], [1.5, 2.5]),
    ]
    assert answer(store.read_samples([], NOW_MS, NOW_MS + 1)) == [(LABELS, [NOW_MS + 1], [2.5])]


def test_nothing_stored_is_an_empty_answer(store: SignalStore) -> None:
    assert answer(store.read_samples([], 0, NOW_MS)) == []
    assert store.oldest_sample_ms() is None
    assert store.counts() == SignalCounts(series=0, samples=0, spans=0, logs=0)
    assert store.services() == []
    assert store.read_metadata() == []
    assert store.read_exemplars([], 0, NOW_MS).labels == ()
    assert store.read_histograms([], 0, NOW_MS).labels == ()


def test_the_last_written_of_equal_timestamps_stays(telemetry_database: TelemetryDatabase) -> None:
    first = [batch([(LABELS, NOW_MS, 1.0)]), batch([(LABELS, NOW_MS, 2.0), (LABELS, NOW_MS + 1, 7.0)])]
    for value, written in ((2.0, first), *((v, [batch([(LABELS, NOW_MS, v)])]) for v in (3.0, 0.5, 4.0))):
        store = stored(telemetry_database, NOW_MS, written)
        found = answer(store.read_samples([], 0, NOW_MS + 10))
        assert found == [(LABELS, [NOW_MS, NOW_MS + 1], [value, 7.0])]


def test_stale_markers_keep_their_bits(telemetry_database: TelemetryDatabase) -> None:
    stale = np.array([STALE_BITS], np.uint64).view(np.float64)
    one = MetricBatch([series(LABELS)], np.zeros(1, np.int32), np.array([NOW_MS]), stale)
    store = stored(telemetry_database, NOW_MS, [one])
    assert store.read_samples([], 0, NOW_MS).values.view(np.uint64).tolist() == [STALE_BITS]


def test_a_series_is_written_once_by_a_process(
    store: SignalStore, telemetry_database: TelemetryDatabase
) -> None:
    store.write_metrics([batch([(LABELS, NOW_MS, 1.0)])])
    telemetry_database.command("RENAME TABLE series TO series_away")
    try:
        store.write_metrics([batch([(LABELS, NOW_MS + 1, 1.0)])])
        store.series.settle(3600)
        with pytest.raises(Unavailable):
            store.series.settle()
    finally:
        telemetry_database.command("RENAME TABLE series_away TO series")
    assert store.counts().samples == 2
    assert store.services()[0].series == 1
    # Another process that never read it writes it again, which changes no answer.
    SignalStore(telemetry_database).write_metrics([batch([(LABELS, NOW_MS + 5, 1.0)])])
    store = stored(telemetry_database, NOW_MS, [])
    assert len(store.read_samples([], 0, NOW_MS + 10).labels) == 1
    assert store.services()[0].series == 1


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=matchers)
def test_matchers_mean_the_same_in_store_head_and_prometheus(
    telemetry_database: TelemetryDatabase, query: list[Matcher]
) -> None:
    head, naive = Head(1000), Naive()
    universe = [{name: value} for name in NAMES for value in VALUES]
    universe += [{"__name__": a, "job": b} for a in VALUES[1:5] for b in VALUES[1:5]]
    written = [(labels, NOW_MS, float(number)) for number, labels in enumerate(universe)]
    store = SignalStore(telemetry_database)
    if not store.counts().samples:
        store = stored(telemetry_database, NOW_MS, [batch(written)])
    head.append(batch(written))
    naive.write(written)
    expected = naive.select(query, 0, NOW_MS)
    assert answer(store.read_samples(query, 0, NOW_MS)) == expected
    assert answer(head.select(query, 0, NOW_MS)) == expected


def test_more_samples_than_fit_are_refused_before_they_are_read(
    telemetry_database: TelemetryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = [({**LABELS, "pod": str(pod)}, NOW_MS + at, 1.0) for pod in range(3) for at in range(100)]
    store = stored(telemetry_database, NOW_MS, [batch(written)])
    monkeypatch.setattr(stored_samples, "SAMPLES_MAX", 200)
    with pytest.raises(InvalidInput, match="about 300 samples"):
        store.read_samples([], 0, NOW_MS + 1000)
    assert len(store.read_samples([], NOW_MS - 1, NOW_MS + 49).values) == 150
    assert len(store.read_samples([Matcher("pod", "!=", "1")], 0, NOW_MS + 1000).values) == 200
    telemetry_database.command("TRUNCATE TABLE blocks")
    late = [(labels, time_ms - 2 * HOUR_MS, value) for labels, time_ms, value in written]
    engine = Engine(telemetry_database, NOW_MS)
    engine.send(batch(late))
    with pytest.raises(InvalidInput, match="ask for fewer series"):
        engine.reader.select([], 0, NOW_MS)
    engine.close()


@pytest.mark.parametrize("decoded_at_once", [1, 120, 10**6])
def test_however_many_series_are_decoded_at_once_the_answer_is_the_same(
    telemetry_database: TelemetryDatabase, monkeypatch: pytest.MonkeyPatch, decoded_at_once: int
) -> None:
    monkeypatch.setattr(stored_samples, "_DECODED_AT_ONCE", decoded_at_once)
    naive, parts = Naive(), []
    for start in (0, 40, 20):
        samples = [
            ({**LABELS, "pod": str(pod)}, NOW_MS + start + at, float(start + pod))
            for pod in range(0, 12, 1 + start // 20)
            for at in range(30)
        ]
        naive.write(samples)
        parts.append(batch(samples))
        store = stored(telemetry_database, NOW_MS, parts[-1:])
    assert store.blocks.newest_marked() > 0
    for query in ([], [Matcher("pod", "=~", "1.*|4")], [Matcher("pod", "=", "none")]):
        for start_ms, end_ms in ((0, NOW_MS + 99), (NOW_MS + 15, NOW_MS + 45), (NOW_MS + 69, NOW_MS + 99)):
            expected = naive.select(query, start_ms, end_ms)
            assert answer(store.read_samples(query, start_ms, end_ms)) == expected


@pytest.mark.parametrize(("at_once", "statements"), [(1, 60), (7, 8), (30, 2), (10**6, 1)])
def test_in_however_many_pieces_chunks_are_read_the_answer_is_the_same(
    telemetry_database: TelemetryDatabase, monkeypatch: pytest.MonkeyPatch, at_once: int, statements: int
) -> None:
    """Five series over twelve days are 60 chunks: a piece is some days, or a part of the series of one."""
    naive, parts = Naive(), []
    noon_ms = NOW_MS // (24 * HOUR_MS) * 24 * HOUR_MS - 12 * HOUR_MS
    for day in range(12):
        samples = [
            ({**LABELS, "pod": str(pod)}, noon_ms - day * 24 * HOUR_MS + at, float(day + pod))
            for pod in range(5)
            for at in range(4)
        ]
        naive.write(samples)
        parts.append(batch(samples))
    store = stored(telemetry_database, NOW_MS, parts)
    monkeypatch.setattr(blocks, "_CHUNKS_AT_ONCE", at_once)
    asked = 0
    read = store.blocks.read

    def counted(statement: str, parameters: Mapping[str, Any]) -> blocks.StoredChunks:
        nonlocal asked
        asked += 1
        return read(statement, parameters)

    monkeypatch.setattr(store.blocks, "read", counted)
    start_ms = noon_ms - 20 * 24 * HOUR_MS
    assert answer(store.read_samples([], start_ms, NOW_MS)) == naive.select([], start_ms, NOW_MS)
    assert asked >= statements
    query = [Matcher("pod", "=~", "1|4")]
    start_ms = noon_ms - 9 * 24 * HOUR_MS + 1
    assert answer(store.read_samples(query, start_ms, noon_ms)) == naive.select(query, start_ms, noon_ms)


@pytest.mark.parametrize("expression", ["(", "a(?=b)", "[z-a]"])
def test_a_bad_expression_is_the_users_fault_and_not_the_engines(store: SignalStore, expression: str) -> None:
    with pytest.raises(InvalidInput, match="regular expression"):
        store.read_samples([Matcher("job", "=~", expression)], 0, NOW_MS)


def test_a_label_cannot_smuggle_sql(telemetry_database: TelemetryDatabase) -> None:
    store = stored(telemetry_database, NOW_MS, [batch([(LABELS, NOW_MS, 1.0)])])
    hostile = "x'] = '' OR 1 = 1 OR labels['x"
    assert answer(store.read_samples([Matcher(hostile, "=", "y' OR '1' = '1")], 0, NOW_MS)) == []
    assert len(store.read_samples([Matcher(hostile, "=", "")], 0, NOW_MS).labels) == 1


def test_what_comes_beside_samples_is_found_by_its_series(store: SignalStore) -> None:
    other = {**LABELS, "job": "cart"}
    exemplars = ExemplarColumns(
        np.array([1, 0, 1], np.int32),
        np.array([NOW_MS, NOW_MS + 1, NOW_MS + 2]),
        np.array([0.5, 1.5, 2.5]),
        [{"trace_id": "a"}, {"trace_id": "b", "user": "é"}, {}],
    )
    payloads = [bytes(range(256)), b"text", b"\xff"]
    histograms = HistogramColumns(
        np.array([0, 1, 1], np.int32), np.array([NOW_MS, NOW_MS, NOW_MS + 1]), payloads
    )
    beside = MetricBatch(
        [series(LABELS), series(other)],
        np.empty(0, np.int32),
        np.empty(0, np.int64),
        np.empty(0),
        histograms,
        exemplars,
        [Metadata("requests_total", "counter", "", "All."), Metadata("up", "gauge", "", "")],
    )
    for _ in range(2):
        store.write_metrics([beside])
    found = store.read_exemplars([Matcher("__name__", "=", "requests_total")], NOW_MS, NOW_MS + 2)
    told = [
        (found.labels[row]["job"], at, value, labels)
        for row, at, value, labels in zip(
            found.columns.rows,
            found.columns.timestamps_ms.tolist(),
            found.columns.values.tolist(),
            found.columns.labels,
            strict=True,
        )
    ]
    assert sorted(told, key=lambda one: one[1]) == [
        ("cart", NOW_MS, 0.5, {"trace_id": "a"}),
        ("shop", NOW_MS + 1, 1.5, {"trace_id": "b", "user": "é"}),
        ("cart", NOW_MS + 2, 2.5, {}),
    ]
    assert store.read_exemplars([], NOW_MS + 1, NOW_MS + 1).labels == (LABELS,)
    kept = store.read_histograms([Matcher("job", "=", "cart")], NOW_MS - 1, NOW_MS + 1)
    assert (kept.labels, list(kept.columns.payloads)) == ((other,), payloads[1:])
    assert store.read_histograms([], NOW_MS, NOW_MS + 1).columns.timestamps_ms.tolist() == [NOW_MS + 1]
    assert store.read_metadata("up") == [Metadata("up", "gauge", "", "")]
    changed = MetricBatch(
        [],
        np.empty(0, np.int32),
        np.empty(0, np.int64),
        np.empty(0),
        metadata=[Metadata("up", "gauge", "", "Is it?")],
    )
    store.write_metrics([changed])
    assert [said.help for said in store.read_metadata()] == ["All.", "Is it?"]


def test_a_series_that_the_table_refuses_is_left_out(telemetry_database: TelemetryDatabase) -> None:
    table = SeriesTable(lambda series, sender: "no" if series.labels["job"] == "cart" else None)
    store = SignalStore(telemetry_database, table)
    bad = {**LABELS, "job": "cart"}
    store.write_metrics([batch([(bad, NOW_MS, 1.0), (LABELS, NOW_MS, 2.0), (bad, NOW_MS, 3.0)])])
    assert store.counts() == SignalCounts(series=1, samples=1, spans=0, logs=0)


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


def test_counts_and_services_are_the_same_before_a_flush_and_after_it_and_after_a_start(
    telemetry_database: TelemetryDatabase,
) -> None:
    engine = Engine(telemetry_database, NOW_MS)
    engine.send(
        batch([(LABELS, NOW_MS - 60_000, 1.0), ({"__name__": "up"}, NOW_MS, 1.0)], "catalog"),
        batch([({"__name__": "old"}, NOW_MS - 2 * HOUR_MS, 1.0)], "attic"),
        SpanBatch(span_columns(3)),
        LogBatch(log_columns(2)),
    )
    for after in ("journal", "flush", "start"):
        if after == "flush":
            engine.flush()
        if after == "start":
            engine.close()
            engine = Engine(telemetry_database, NOW_MS)
        store = engine.store
        assert store.counts() == SignalCounts(series=3, samples=3, spans=3, logs=2)
        assert store.services() == [
            ServiceSignals("attic", series=1, spans=0, logs=0, last_seen_ms=NOW_MS - 2 * HOUR_MS),
            ServiceSignals("catalog", series=2, spans=0, logs=0, last_seen_ms=NOW_MS),
            ServiceSignals("checkout", series=0, spans=3, logs=0, last_seen_ms=NOW_MS + 5),
            ServiceSignals("payment", series=0, spans=0, logs=2, last_seen_ms=NOW_MS),
        ], after
        assert store.services(since_ms=NOW_MS)[1] == ServiceSignals("catalog", 2, 0, 0, last_seen_ms=0)
        assert store.oldest_sample_ms() == NOW_MS - 2 * HOUR_MS
    engine.close()


def test_uneven_columns_are_refused_and_store_nothing(store: SignalStore) -> None:
    with pytest.raises(InvalidInput, match="uneven"):
        store.write_spans([SpanBatch(span_columns(2)), SpanBatch(span_columns(2, name=["one"]))])
    with pytest.raises(Unavailable):
        store.write_spans([SpanBatch(span_columns(2, trace_id=[b"short", b"short"]))])
    assert store.counts().spans == 0


def test_new_series_that_cannot_be_inserted_are_bounded(
    store: SignalStore, telemetry_database: TelemetryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("setpoint.telemetry.series_store._PENDING_BYTES_MAX", 1000)
    monkeypatch.setattr("setpoint.telemetry.series_store._INSERT_BYTES", 500)
    told = 0
    for number in range(40):
        try:
            store.write_metrics([batch([({"__name__": "m", "pod": str(number)}, NOW_MS, 1.0)])])
        except Unavailable:
            told += 1
    assert 0 < told < 40
    store.write_metrics([batch([({"__name__": "m", "pod": "0"}, NOW_MS + 1, 1.0)])])  # a known one is taken
    store.series.settle()
    store.write_metrics([batch([({"__name__": "m", "pod": "new"}, NOW_MS, 1.0)])])
    assert store.services()[0].series == 40 - told + 1


def test_many_new_series_are_inserted_together(
    store: SignalStore, telemetry_database: TelemetryDatabase
) -> None:
    def inserts() -> int:
        found = telemetry_database.query(
            "SELECT count() AS n FROM system.parts WHERE table = 'series' AND database = currentDatabase() AND active"
        )
        return int(found["n"][0])

    for number in range(20):
        pods = [({"__name__": "m", "pod": f"{number}-{pod}"}, NOW_MS, 1.0) for pod in range(50)]
        store.write_metrics([batch(pods)])
    assert inserts() == 0
    assert store.services()[0].series == 1000
    assert inserts() == 1


@pytest.mark.parametrize("kind", ["exemplars", "histograms"])
def test_what_comes_beside_samples_is_found_although_its_series_waits_in_the_journal(
    store: SignalStore, kind: str
) -> None:
    store.write_metrics([batch([(LABELS, NOW_MS, 1.0)])])
    row, at = np.zeros(1, np.int32), np.array([NOW_MS])
    brought = MetricBatch([series(LABELS)], np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0))
    if kind == "exemplars":
        exemplars = ExemplarColumns(row, at, np.array([0.5]), [{"trace_id": "a"}])
        store.write_metrics([replace(brought, exemplars=exemplars)])
        assert store.read_exemplars([], NOW_MS, NOW_MS).labels == (LABELS,)
    else:
        histograms = HistogramColumns(row, at, [b"payload"])
        store.write_metrics([replace(brought, histograms=histograms)])
        assert store.read_histograms([], NOW_MS - 1, NOW_MS).labels == (LABELS,)

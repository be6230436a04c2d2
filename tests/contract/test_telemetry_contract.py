"""One suite for the telemetry database on both transports: chdb in this process, and ClickHouse's HTTP protocol."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bench.server import free_port

from setpoint.database import Limits, TelemetryDatabase
from setpoint.errors import InvalidInput, StartupRefused, Unavailable
from setpoint.objective.ledger.codec import HOUR, HourBlocks
from setpoint.objective.model import Objective
from setpoint.objective.source.span_count import SpanCounter
from setpoint.objective.source.sql_count import SqlCounter
from setpoint.objective.source.stored_groups import StoredGroups
from setpoint.objective.store import MINUTE, LedgerStore, Stretch
from setpoint.telemetry import MetricBatch
from setpoint.telemetry.blocks import DAY_MS, Blocks, DayState
from setpoint.telemetry.chunk_samples import encoded
from setpoint.telemetry.journal import Journal
from setpoint.telemetry.model import ChunkColumns, ExemplarColumns, HistogramColumns, Metadata
from tests.objective.spans import Span, store_spans
from tests.telemetry.engine import Engine, clear
from tests.telemetry.naive import answer, series

ROOT = Path(__file__).parent.parent.parent
NOW_MS = int(time.time() * 1000)
TODAY_MS = NOW_MS // DAY_MS * DAY_MS


@pytest.fixture(scope="module")
def _over_http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    folder = tmp_path_factory.mktemp("clickhouse")
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.clickhouse_http", str(folder), str(port)], cwd=ROOT
    )
    yield f"http://default@127.0.0.1:{port}?compress=false"
    server.terminate()
    server.wait(10)


@pytest.fixture(params=["chdb", "http"])
def database(request: pytest.FixtureRequest) -> Iterator[TelemetryDatabase]:
    if request.param == "chdb":
        yield request.getfixturevalue("telemetry_database")
        return
    dsn = request.getfixturevalue("_over_http")
    deadline = time.monotonic() + 20
    while True:
        try:
            opened = TelemetryDatabase(dsn)
            break
        except (StartupRefused, Unavailable):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    clear(opened)
    yield opened
    opened.close()


def _insert(database: TelemetryDatabase, count: int, start: int = 0) -> None:
    database.insert(
        "exemplars",
        {
            "fingerprint": np.arange(start, start + count, dtype=np.uint64),
            "ts_ms": np.full(count, NOW_MS, dtype=np.int64),
            "value": np.linspace(0, 1, count),
        },
    )


def test_what_goes_in_comes_out(database: TelemetryDatabase) -> None:
    _insert(database, 100)
    columns = database.query(
        "SELECT fingerprint, ts_ms, value FROM exemplars "
        "WHERE fingerprint IN {wanted:Array(UInt64)} ORDER BY fingerprint",
        wanted=[3, 99],
    )
    assert columns["fingerprint"].tolist() == [3, 99]
    assert columns["fingerprint"].dtype == np.uint64
    assert columns["ts_ms"].tolist() == [NOW_MS, NOW_MS]
    assert columns["value"].tolist() == [np.linspace(0, 1, 100)[3], 1.0]


def test_text_and_maps_come_back_whole(database: TelemetryDatabase) -> None:
    labels = {"__name__": "books_total", "title": 'It\'s a \\ "quoted" title\nwith ünïcode'}
    database.insert("series", {"fingerprint": [2**64 - 1], "metric": ["books_total"], "labels": [labels]})
    columns = database.query(
        "SELECT labels, fingerprint FROM series WHERE labels['title'] = {t:String}", t=labels["title"]
    )
    assert columns["labels"].tolist() == [labels]
    assert columns["fingerprint"].tolist() == [2**64 - 1]


def test_an_empty_result_has_empty_columns(database: TelemetryDatabase) -> None:
    columns = database.query("SELECT fingerprint FROM exemplars")
    assert len(columns["fingerprint"]) == 0


def test_an_unknown_column_of_a_result_is_an_error(database: TelemetryDatabase) -> None:
    _insert(database, 1)
    with pytest.raises(KeyError):
        database.query("SELECT fingerprint FROM exemplars")["wrong"]


def test_a_row_that_is_sent_again_replaces_itself(database: TelemetryDatabase) -> None:
    _insert(database, 10)
    _insert(database, 10)
    assert database.query("SELECT count() AS rows FROM exemplars FINAL")["rows"].tolist() == [10]


def test_a_refused_statement_is_unavailable_and_harmless(database: TelemetryDatabase) -> None:
    with pytest.raises(Unavailable, match="refused"):
        database.query("SELECT nothing FROM nowhere")
    with pytest.raises(Unavailable, match="refused"):
        database.insert("exemplars", {"no_such_column": [1]})
    _insert(database, 1)
    assert database.query("SELECT count() AS rows FROM exemplars")["rows"].tolist() == [1]


def test_threads_share_the_database(database: TelemetryDatabase) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: _insert(database, 50, part * 50), range(8)))
    assert database.query("SELECT count() AS rows FROM exemplars FINAL")["rows"].tolist() == [400]


def test_rows_travel_without_objects(database: TelemetryDatabase) -> None:
    rows = b"".join(
        number.to_bytes(8, "little") + bytes([len(text)]) + text
        for number, text in ((1, b"\x00\xff\n'"), (2**64 - 1, b""))
    )
    database.command("CREATE TABLE IF NOT EXISTS passing (number UInt64, text String) ENGINE = Memory")
    try:
        database.insert_rows("passing", ("number", "text"), np.frombuffer(rows, np.uint8))
        found = database.query_rows(
            "SELECT number, text FROM passing WHERE number >= {least:UInt64} ORDER BY number", least=1
        )
        assert found == rows
        assert database.query_rows("SELECT number, text FROM passing WHERE number = 5") == b""
        with pytest.raises(Unavailable, match="refused"):
            database.insert_rows("passing", ("number", "text"), np.frombuffer(rows[:-3], np.uint8))
        with pytest.raises(Unavailable, match="refused"):
            database.query_rows("SELECT nothing FROM nowhere")
        assert database.query("SELECT count() AS rows FROM passing")["rows"].tolist() == [2]
    finally:
        database.command("DROP TABLE passing")


def _chunks(first_ms: int, series: int = 3, samples: int = 5) -> ChunkColumns:
    fingerprints = np.repeat(np.arange(series, dtype=np.uint64) << np.uint64(61), samples)
    times = np.tile(first_ms + np.arange(samples, dtype=np.int64), series)
    return encoded(fingerprints, times, np.arange(len(times), dtype=np.float64), DAY_MS)


def test_chunks_come_back_sorted_and_by_range(database: TelemetryDatabase) -> None:
    blocks = Blocks(database)
    today, yesterday = _chunks(TODAY_MS), _chunks(TODAY_MS - 10)
    blocks.insert(today, np.array([7, 8, 9], np.uint64))
    blocks.insert(yesterday, 3)
    ((done, total, found),) = blocks.recent(TODAY_MS - 100)
    assert (done, total) == (30, 30)
    assert found.fingerprints.tolist() == sorted(found.fingerprints.tolist())
    assert found.generations.tolist() == [3, 7, 3, 8, 3, 9]
    assert found.first_ms.tolist() == [TODAY_MS - 10, TODAY_MS] * 3
    columns = found.columns(np.array([1, 3, 5]))
    assert (columns.payload == today.payload).all()
    assert (columns.offsets == today.offsets).all()
    parts = [part for _, _, part in blocks.recent(TODAY_MS - 100, chunks_per_slice=1)]
    assert len(parts) > 1
    assert sum(len(part.counts) for part in parts) == 6
    assert [len(part.counts) for _, _, part in blocks.recent(TODAY_MS - 1)] == [3]
    database.insert("series", {"fingerprint": today.fingerprints[:1], "metric": ["m"], "labels": [{}]})
    chosen = blocks.select("metric = {m:String}", {"m": "m"}, TODAY_MS - 6, TODAY_MS + 100)
    assert chosen.generations.tolist() == [7]
    assert blocks.select("1", {}, -(2**63), 2**63 - 1).generations.tolist() == [3, 7]


def test_a_day_is_replaced_unless_something_was_added(database: TelemetryDatabase) -> None:
    blocks, day = Blocks(database), TODAY_MS // DAY_MS
    blocks.insert(_chunks(TODAY_MS), 5)
    assert blocks.day_state(day) is None  # the flush has not ended
    blocks.mark([5], NOW_MS)
    state = blocks.day_state(day)
    assert state == DayState(chunks=3, newest_generation=5)
    database.command("CREATE TABLE staged AS blocks")
    try:
        blocks.insert(_chunks(TODAY_MS, samples=4), 5, "staged")
        blocks.insert(_chunks(TODAY_MS + 100, series=1), 6)
        assert not blocks.replace_day(day, "staged", state)
        blocks.mark([6], NOW_MS)
        again = blocks.day_state(day)
        assert again is not None
        assert blocks.replace_day(day, "staged", again)
        assert blocks.read_day(day).counts.tolist() == [4, 4, 4]
    finally:
        database.command("DROP TABLE staged")


def test_what_has_no_mark_is_deleted(database: TelemetryDatabase) -> None:
    blocks = Blocks(database)
    assert (blocks.newest_marked(), blocks.delete_unmarked()) == (0, 0)
    blocks.insert(_chunks(TODAY_MS), 1)
    blocks.insert(_chunks(TODAY_MS + 100), 2)
    blocks.mark([1], NOW_MS)
    assert (blocks.newest_marked(), blocks.delete_unmarked()) == (1, 3)
    assert blocks.read_day(TODAY_MS // DAY_MS).generations.tolist() == [1, 1, 1]


def test_the_journal_is_read_in_order_and_dropped_by_generation(database: TelemetryDatabase) -> None:
    journal = Journal(database)
    for number in range(4):
        if number == 3:
            assert len(journal.end()) == 1
        refs = np.array([number, 0], np.int32)
        journal.write(
            refs, refs.astype(np.uint64) + np.uint64(10), np.array([number, NOW_MS]), np.array([0.5, number])
        )
    first, second = journal.open
    assert journal.stored() == {first: 6, second: 2}
    found = list(Journal(database).read(first, lambda fingerprints: fingerprints.astype(np.int32)))
    assert [samples.refs.tolist() for samples in found] == [[10, 10], [11, 10], [12, 10]]
    assert [samples.values.tolist() for samples in found] == [[0.5, 0], [0.5, 1], [0.5, 2]]
    journal.drop([first])
    assert journal.open == (second,)
    again = Journal(database)
    assert again.stored() == {second: 2}
    again.write(refs, refs.astype(np.uint64), np.array([1, 2]), np.array([1.0, 2.0]))
    assert again.open[0] > second


def test_samples_and_what_comes_beside_them(database: TelemetryDatabase) -> None:
    labels = {"__name__": "m", "pod": "é"}
    first = Engine(database, NOW_MS)
    payload = bytes(range(256))
    one = np.zeros(1, np.int32)
    first.send(
        MetricBatch(
            [series(labels)],
            np.zeros(3, np.int32),
            np.array([NOW_MS - 7_200_000, NOW_MS, NOW_MS + 1]),
            np.array([1.0, 2.0, 3.0]),
            HistogramColumns(one, np.array([NOW_MS]), [payload]),
            ExemplarColumns(one, np.array([NOW_MS]), np.array([0.5]), [{"trace_id": "a"}]),
            [Metadata("m", "gauge", "", "Help.")],
        )
    )
    for after in ("journal", "restart", "flush", "restart"):
        if after == "restart":
            first.close()
            first = Engine(database, NOW_MS)
        if after == "flush":
            first.flush()
        found = answer(first.reader.select([], 0, NOW_MS + 10))
        assert found == [(labels, [NOW_MS - 7_200_000, NOW_MS, NOW_MS + 1], [1.0, 2.0, 3.0])], after
        assert first.store.counts().samples == 3
    store = first.store
    assert store.read_histograms([], 0, NOW_MS).columns.payloads == [payload]
    assert store.read_exemplars([], 0, NOW_MS).columns.labels == [{"trace_id": "a"}]
    assert store.read_metadata() == [Metadata("m", "gauge", "", "Help.")]
    assert [service.series for service in store.services()] == [1]
    first.close()


def test_ledgers_are_found_and_tidied(database: TelemetryDatabase) -> None:
    store, day = LedgerStore(database), TODAY_MS // DAY_MS
    hours = np.zeros(48, HOUR)
    hours["ledger"], hours["hour"], hours["computed_ms"] = 2**64 - 5, (day - 400) * 24 + np.arange(48), 3
    hours["present"] = hours["counted"] = 2**60 - 1
    cells = np.random.default_rng(1).random((48, 60, 2))
    store.write_hours(HourBlocks(hours, cells, np.ones(48, np.bool_)))
    minutes = np.zeros(5, MINUTE)
    minutes["ledger"], minutes["minute"], minutes["total"] = (
        2**64 - 4,
        day * 1440 - 2880 + np.arange(5),
        np.nan,
    )
    minutes["computed_ms"] = 4
    store.write_minutes(minutes)
    store.name({2**64 - 5: "a/1", 2**64 - 4: "b/2"})
    stretch = Stretch(2**64 - 5, 2**64 - 4, 0, 2**25, (2**64 - 5,))
    assert (store.blocks(stretch).cells == cells).all()
    assert store.minutes(replace(stretch, ids=())).tolist()[0][:2] == (2**64 - 4, day * 1440 - 2880)
    store.tidy(day * 24, day * 1440, 1440)
    left = store.blocks(replace(stretch, ids=()))
    assert left.head["hour"].tolist() == [*range((day - 400) * 24, (day - 398) * 24), (day - 2) * 24]
    assert left.is_whole.tolist() == [False] * 48 + [True]
    assert store.newest() == (4, (day - 2) * 24 + 1)
    for table in ("ledger_hours", "ledger_keys"):
        database.command(f"TRUNCATE TABLE {table}")


def test_groups_of_odd_values_are_found_and_counted(database: TelemetryDatabase) -> None:
    """Their keys travel as parameters, which each transport writes in its own way."""
    names = ["GET *", "it's \\ \\n", "{a:String} %s", "übel\tx\ny", "a\0b", '"q"']
    minute = NOW_MS // 60_000 - 2
    store_spans(database, [Span(minute * 60_000 + 1, name=name, duration_ms=0) for name in names], NOW_MS)
    selection = json.dumps({"service": ["shop"]})
    rows = (
        "SELECT toStartOfMinute(fromUnixTimestamp64Nano(start_ns)) AS minute, name AS operation, count() AS value "
        "FROM spans WHERE start_ns >= {from_ns:Int64} AND start_ns < {to_ns:Int64} GROUP BY minute, operation"
    )
    for engine, text in (("spans", selection), ("sql", rows)):
        one = Objective("a", "a", 0.9, 3600, text, bad_query=text, engine=engine, is_counter=False)  # type: ignore[arg-type]
        found = StoredGroups(database).look(one, ["operation"], NOW_MS - 600_000, NOW_MS)
        assert found == {(name,) for name in names}
        groups = [replace(one, group={"operation": name}) for name in [*names, "none"]]
        counter = SpanCounter(database) if engine == "spans" else SqlCounter(database)
        outcomes = counter.count(groups, minute, minute + 1)
        assert [outcome.slots and outcome.slots.total.tolist() for outcome in outcomes] == [[1]] * len(
            names
        ) + [[0]]


def test_migrating_again_changes_nothing(database: TelemetryDatabase) -> None:
    before = database.query("SELECT number FROM migrations ORDER BY number")["number"].tolist()
    database._migrate()
    assert database.query("SELECT number FROM migrations ORDER BY number")["number"].tolist() == before
    assert before == list(range(1, len(before) + 1))


def test_queries_of_others_can_only_read_and_not_without_end(database: TelemetryDatabase) -> None:
    _insert(database, 100)
    limited = database.limited(Limits(seconds=5, rows_read=1000, rows=50, further={"max_block_size": 1000}))
    for _ in range(2):
        found = limited.query("SELECT count() AS rows, {text:String} AS text FROM exemplars", text="it's")
        assert (found["rows"].tolist(), found["text"].tolist()) == ([100], ["it's"])
        for statement, told in (
            ("INSERT INTO exemplars (fingerprint) VALUES (1)", "readonly"),
            ("DROP TABLE exemplars", "readonly"),
            ("SELECT 1 SETTINGS max_execution_time = 0", "readonly"),
            ("SELECT count() FROM numbers(1000000)", "reads more than 1,000 rows; let it read less"),
            ("SELECT fingerprint FROM exemplars", "returns more than 50 rows; let it read less"),
            ("SELECT nonsense", "Unknown expression identifier `nonsense`"),
        ):
            with pytest.raises(InvalidInput) as refused:
                limited.query(statement)
            assert told in refused.value.message
    _insert(database, 100, start=100)  # the others may write as before
    assert database.query("SELECT count() AS rows FROM exemplars")["rows"].tolist() == [200]


def test_a_server_that_is_not_there_is_refused_with_what_to_check() -> None:
    with pytest.raises((StartupRefused, Unavailable)):
        TelemetryDatabase(f"http://default@127.0.0.1:{free_port()}")


def test_another_kind_of_address_is_refused() -> None:
    with pytest.raises(StartupRefused, match="clickhouse://"):
        TelemetryDatabase("duckdb:///tmp/x")

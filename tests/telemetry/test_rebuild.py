"""The start: the head as it was, whatever lies in the database; and rows of an earlier version become chunks."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pytest

from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.telemetry import Head, SignalStore, rebuild_head
from setpoint.telemetry.chunk_samples import encoded
from setpoint.telemetry.model import ChunkColumns
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.engine import HOUR_MS, Engine, stored
from tests.telemetry.naive import Naive, Sample, answer, batch, series

NOW_MS = SystemClock().now_ms()
DAY_MS = 24 * HOUR_MS
TODAY_MS = NOW_MS // DAY_MS * DAY_MS
WIDE = (NOW_MS - 100 * DAY_MS, NOW_MS + DAY_MS)

OLD_TABLE = """
CREATE TABLE IF NOT EXISTS samples (
    fingerprint UInt64,
    ts_ms Int64 CODEC(DoubleDelta, ZSTD(1)),
    value Float64 CODEC(Gorilla, ZSTD(1))
) ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(fromUnixTimestamp64Milli(ts_ms))
ORDER BY (fingerprint, ts_ms)
"""


def labels_of(pod: int) -> dict[str, str]:
    return {"__name__": "m", "pod": str(pod)}


def ramp(first_ms: int, last_ms: int, step_ms: int, pods: Sequence[int] = range(3)) -> list[Sample]:
    return [
        (labels_of(pod), NOW_MS + at_ms, float(at_ms * 10 + pod))
        for at_ms in range(first_ms, last_ms, step_ms)
        for pod in pods
    ]


def chunks_of(samples: Sequence[Sample], span_ms: int) -> ChunkColumns:
    rows = sorted((series(labels).fingerprint, time_ms, value) for labels, time_ms, value in samples)
    return encoded(
        np.array([row[0] for row in rows], np.uint64),
        np.array([row[1] for row in rows], np.int64),
        np.array([row[2] for row in rows], np.float64),
        span_ms,
    )


def test_it_tells_how_far_it_is(telemetry_database: TelemetryDatabase) -> None:
    engine = Engine(telemetry_database, NOW_MS)
    engine.send(batch(ramp(-300, 0, 1)))
    engine.flush()
    engine.send(batch(ramp(0, 20, 1)), batch(ramp(20, 30, 1)))
    engine.close()
    engine = Engine(telemetry_database, NOW_MS)
    assert engine.rebuilt == 330 * 3
    assert engine.progress[-1] == (990, 990)
    assert engine.progress[0] == (900, 990)
    assert engine.head.sample_count == 990
    assert engine.head.take_oldest_write_ms() == NOW_MS
    engine.close()


def test_long_and_overlapping_chunks_are_taken(telemetry_database: TelemetryDatabase) -> None:
    """As compaction leaves them: whole days; and what came late, over them."""
    naive = Naive()
    day = [one for one in ramp(-20 * HOUR_MS, 0, 10 * 60_000) if one[1] >= TODAY_MS]
    late: list[Sample] = [(labels_of(1), time_ms, -1.0) for _, time_ms, _ in day[::6]]
    plain = [one for one in ramp(-20 * HOUR_MS, 0, 10 * 60_000, pods=[7]) if one[1] >= TODAY_MS]
    store = stored(telemetry_database, NOW_MS, [batch([*day[:3], *plain[:1]])])
    parts: list[tuple[list[Sample], int]] = [(day, DAY_MS), (plain, HOUR_MS), (late, 3 * HOUR_MS)]
    for number, (samples, span_ms) in enumerate(parts, 1):
        store.blocks.insert(chunks_of(samples, span_ms), 10**6 + number)
        naive.write(samples)
    store.blocks.mark([10**6 + 3], NOW_MS)
    horizon_ms = 6 * HOUR_MS
    engine = Engine(telemetry_database, NOW_MS, horizon_ms)
    for start_ms in (NOW_MS - horizon_ms, TODAY_MS - 1):
        found = answer(engine.reader.select([], start_ms, NOW_MS))
        assert found == naive.select([], start_ms, NOW_MS)
    inside = answer(engine.head.select([], NOW_MS - horizon_ms, NOW_MS))
    assert inside == naive.select([], NOW_MS - horizon_ms, NOW_MS)
    engine.send(batch(ramp(0, 10, 1)))
    naive.write(ramp(0, 10, 1))
    engine.flush()
    assert answer(engine.reader.select([], *WIDE)) == naive.select([], *WIDE)
    engine.close()


def test_a_damaged_group_of_the_journal_costs_only_itself(
    telemetry_database: TelemetryDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Engine(telemetry_database, NOW_MS)
    ends = []
    for number in range(3):
        engine.send(batch(ramp(number, number + 1, 1)))
        ends.append(engine.journal_file.stat().st_size)
    engine.close()
    groups = bytearray(engine.journal_file.read_bytes())
    groups[ends[1] - 3] ^= 1
    engine.journal_file.write_bytes(groups)
    with caplog.at_level(logging.ERROR):
        engine = Engine(telemetry_database, NOW_MS)
    assert "group 1 of" in caplog.text
    assert [times for _, times, _ in answer(engine.reader.select([], *WIDE))] == [[NOW_MS, NOW_MS + 2]] * 3
    engine.close()


def test_a_series_that_is_refused_now_is_left_out(telemetry_database: TelemetryDatabase) -> None:
    engine = Engine(telemetry_database, NOW_MS)
    engine.send(batch(ramp(-9, 0, 1)))
    engine.flush()
    engine.send(batch(ramp(0, 9, 1)))
    engine.close()
    table = SeriesTable(lambda series, sender: "no" if series.labels["pod"] == "1" else None)
    store, head = SignalStore(telemetry_database, table), Head(HOUR_MS, table)
    rebuild_head(store, head, NOW_MS)
    assert [labels["pod"] for labels, _, _ in answer(head.select([], *WIDE))] == ["0", "2"]


def test_chunks_without_a_series_are_left_out(
    telemetry_database: TelemetryDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    store = stored(telemetry_database, NOW_MS, [batch(ramp(-9, 0, 1))])
    store.blocks.insert(chunks_of(ramp(-5, 0, 1, pods=[9]), HOUR_MS), 1)
    engine = Engine(telemetry_database, NOW_MS)
    assert "not in the table series" in caplog.text
    assert len(answer(engine.reader.select([], *WIDE))) == 3
    engine.close()


def _fill_old_table(database: TelemetryDatabase) -> list[Sample]:
    samples = ramp(-30 * DAY_MS, 0, 3 * HOUR_MS) + ramp(-600_000, 0, 15_000)
    database.command("DROP TABLE IF EXISTS samples")
    database.command(OLD_TABLE)
    for value in (0.0, 1.0):  # each was sent twice, the later counts
        columns = {
            "fingerprint": np.array([series(labels).fingerprint for labels, _, _ in samples], np.uint64),
            "ts_ms": np.array([time_ms for _, time_ms, _ in samples], np.int64),
            "value": np.array([held * value for _, _, held in samples], np.float64),
        }
        database.insert("samples", columns)
    SignalStore(database).series.write(np.empty(0, np.int32))
    store = SignalStore(database)
    lease = store.table.lease()
    refs = store.table.resolve([series(labels_of(pod)) for pod in range(3)], lease)
    store.series.write(refs)
    lease.release()
    return samples


def test_rows_of_an_earlier_version_become_chunks_once(telemetry_database: TelemetryDatabase) -> None:
    naive = Naive()
    naive.write(_fill_old_table(telemetry_database))
    for _ in range(2):
        engine = Engine(telemetry_database, NOW_MS)
        assert answer(engine.reader.select([], *WIDE)) == naive.select([], *WIDE)
        assert engine.store.counts().samples == sum(len(held) for held in naive.samples.values())
        engine.close()
    tables = telemetry_database.query("SELECT count() AS n FROM system.tables WHERE name = 'samples'")
    assert tables["n"].tolist() == [0]


def test_a_conversion_that_was_killed_begins_again(telemetry_database: TelemetryDatabase) -> None:
    """Once before its mark, with some chunks there; once after it, before the old table was gone."""
    naive = Naive()
    samples = _fill_old_table(telemetry_database)
    naive.write(samples)
    SignalStore(telemetry_database).blocks.insert(chunks_of(samples[:100], DAY_MS), 1)
    telemetry_database.command("RENAME TABLE flushes TO flushes_away")
    telemetry_database.command("CREATE VIEW flushes AS SELECT * FROM flushes_away")
    try:
        with pytest.raises(Exception, match="flushes"):
            Engine(telemetry_database, NOW_MS)
    finally:
        telemetry_database.command("DROP VIEW flushes")
        telemetry_database.command("RENAME TABLE flushes_away TO flushes")
    Engine(telemetry_database, NOW_MS).close()
    _fill_old_table(telemetry_database)
    engine = Engine(telemetry_database, NOW_MS)
    assert answer(engine.reader.select([], *WIDE)) == naive.select([], *WIDE)
    assert engine.store.counts().samples == sum(len(held) for held in naive.samples.values())
    engine.close()


def test_new_series_are_in_the_journal_until_their_rows_are_inserted(
    telemetry_database: TelemetryDatabase,
) -> None:
    def rows() -> int:
        return int(telemetry_database.query("SELECT count() AS n FROM series FINAL")["n"][0])

    engine = Engine(telemetry_database, NOW_MS)
    engine.send(batch(ramp(0, 5, 1)))
    engine.send(batch(ramp(5, 9, 1)))
    assert rows() == 0
    engine.close()
    engine = Engine(telemetry_database, NOW_MS)
    before = answer(engine.reader.select([], *WIDE))
    assert [labels["pod"] for labels, *_ in before] == ["0", "1", "2"]
    assert rows() == 3
    engine.send(batch([({"__name__": "later", "pod": "é"}, NOW_MS + 10, 1.0)]))
    assert rows() == 3
    engine.flush()
    assert rows() == 4
    engine.close()
    engine = Engine(telemetry_database, NOW_MS)
    assert len(answer(engine.reader.select([], *WIDE))) == 4
    engine.close()


def test_rows_of_new_series_are_inserted_together_at_the_start(telemetry_database: TelemetryDatabase) -> None:
    """However many groups brought them: an insert each would take longer than everything else."""
    engine = Engine(telemetry_database, NOW_MS)
    for pod in range(20):
        engine.send(batch([(labels_of(pod), NOW_MS, 1.0)]))
    engine.close()
    before = telemetry_database.revision("series")
    engine = Engine(telemetry_database, NOW_MS)
    assert telemetry_database.revision("series") == before + 1
    assert len(answer(engine.reader.select([], *WIDE))) == 20
    engine.close()

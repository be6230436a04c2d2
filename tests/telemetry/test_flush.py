"""The journal becomes chunks: whenever a flush fails or the server starts anew, every sample is there, once."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.errors import Unavailable
from setpoint.telemetry import Matcher
from setpoint.telemetry.journal import Journal
from tests.telemetry.engine import HOUR_MS, Engine
from tests.telemetry.naive import Naive, Sample, answer, batch

NOW_MS = SystemClock().now_ms()
WIDE = (NOW_MS - 100 * HOUR_MS, NOW_MS + 100 * HOUR_MS)


@pytest.fixture
def engine(telemetry_database: TelemetryDatabase) -> Iterator[Engine]:
    engine = Engine(telemetry_database, NOW_MS)
    yield engine
    engine.close()


def sample(value: float, offset_ms: int = 0, pod: int = 0) -> Sample:
    return {"__name__": "m", "pod": str(pod)}, NOW_MS + offset_ms, value


def chunk_samples(database: TelemetryDatabase) -> int:
    return int(database.query("SELECT sum(samples) AS n FROM blocks")["n"][0])


def journal_samples(database: TelemetryDatabase) -> int:
    return sum(Journal(database).stored().values())


def test_a_flush_moves_samples_from_the_journal_to_chunks(
    engine: Engine, telemetry_database: TelemetryDatabase
) -> None:
    for number in range(5):
        engine.send(batch([sample(float(number), number, pod) for pod in range(3)]))
    assert (journal_samples(telemetry_database), chunk_samples(telemetry_database)) == (15, 0)
    engine.flush()
    assert (journal_samples(telemetry_database), chunk_samples(telemetry_database)) == (0, 15)
    engine.flush()
    assert chunk_samples(telemetry_database) == 15
    assert engine.store.journal.open == ()


def test_a_flush_is_due_after_a_while_and_when_the_clock_was_set_back(
    telemetry_database: TelemetryDatabase,
) -> None:
    engine = Engine(telemetry_database, NOW_MS, flush_s=60)
    flusher = engine.ingest.flusher
    for advance_s in (60, -3600):
        engine.send(batch([sample(1.0)]))
        assert flusher.due_in_s() == 60
        engine.clock.advance(59)
        assert flusher.due_in_s() == 1
        engine.clock.advance(advance_s - 59)
        assert flusher.due_in_s() == 0
        engine.send(batch([sample(2.0)]))
        deadline_s = time.monotonic() + 20
        while engine.store.journal.open and time.monotonic() < deadline_s:
            time.sleep(0.01)
        assert engine.store.journal.open == ()
    engine.close()


def test_an_idle_server_flushes_nothing(engine: Engine, telemetry_database: TelemetryDatabase) -> None:
    assert engine.ingest.flusher.due_in_s() == float("inf")
    engine.flush()
    assert telemetry_database.query("SELECT count() AS n FROM flushes")["n"].tolist() == [0]


@pytest.mark.parametrize("broken", ["blocks", "flushes"])
@pytest.mark.parametrize("finish", ["retry", "restart"])
def test_a_flush_that_fails_anywhere_loses_nothing_and_doubles_nothing(
    telemetry_database: TelemetryDatabase, broken: str, finish: str, caplog: pytest.LogCaptureFixture
) -> None:
    """`blocks` missing: nothing can be inserted; `flushes` a view: inserted but not marked."""
    caplog.set_level(logging.ERROR, "setpoint.telemetry.flush")
    engine = Engine(telemetry_database, NOW_MS)
    naive = Naive()
    written = [sample(float(offset), offset, pod) for offset in range(0, 300, 3) for pod in range(3)]
    written.append(sample(7.0, -2 * HOUR_MS))
    engine.send(batch(written))
    naive.write(written)
    telemetry_database.command(f"RENAME TABLE {broken} TO {broken}_away")
    if broken == "flushes":
        telemetry_database.command("CREATE VIEW flushes AS SELECT * FROM flushes_away")
    try:
        asked = engine.ingest.flush()
        with pytest.raises(TimeoutError):
            asked.result(0.3)
        if finish == "restart":
            engine.close()
            assert isinstance(asked.exception(0), Unavailable)
    finally:
        if broken == "flushes":
            telemetry_database.command("DROP VIEW flushes")
        telemetry_database.command(f"RENAME TABLE {broken}_away TO {broken}")
    if finish == "restart":
        engine.close()
        engine = Engine(telemetry_database, NOW_MS)
    assert answer(engine.reader.select([], *WIDE)) == naive.select([], *WIDE)
    late = [sample(8.0, 301)]
    engine.send(batch(late))
    naive.write(late)
    engine.flush()
    assert answer(engine.reader.select([], *WIDE)) == naive.select([], *WIDE)
    assert chunk_samples(telemetry_database) == len(written) + 1 == engine.store.counts().samples
    assert journal_samples(telemetry_database) == 0
    engine.close()


def test_of_equal_timestamps_the_last_written_counts_also_within_one_flush(
    telemetry_database: TelemetryDatabase,
) -> None:
    """Many more samples of a series than fit into a chunk, most of them late or written again."""
    chance = random.Random(3)
    naive = Naive()
    engine = Engine(telemetry_database, NOW_MS)
    for turn in range(3):
        for _ in range(12):
            written = [
                sample(chance.random(), chance.randrange(0, 400), chance.randrange(2))
                for _ in range(chance.randrange(1, 150))
            ]
            engine.send(batch(written))
            naive.write(written)
        assert answer(engine.reader.select([], *WIDE)) == naive.select([], *WIDE)
        engine.flush()
        assert answer(engine.store.read_samples([], *WIDE)) == naive.select([], *WIDE)
        if turn:
            engine.close()
            engine = Engine(telemetry_database, NOW_MS)
            assert answer(engine.head.select([], *WIDE)) == naive.select([], *WIDE)
    engine.close()


def test_a_late_sample_of_a_series_that_the_head_forgot_keeps_its_series(
    engine: Engine, telemetry_database: TelemetryDatabase
) -> None:
    old = [sample(1.0, -3 * HOUR_MS, pod=1)]
    engine.clock.advance(60)
    engine.send(batch([sample(1.0)]))  # evicts, so that the floor is known
    engine.send(batch(old))
    for pod in range(2, 6):
        engine.clock.advance(60)
        engine.send(batch([sample(2.0, 60_000, pod)]))  # a new series for each row that was freed
    assert answer(engine.reader.select([Matcher("pod", "=", "1")], *WIDE)) == [
        (old[0][0], [old[0][1]], [1.0])
    ]
    engine.flush()
    assert answer(engine.reader.select([Matcher("pod", "=", "1")], *WIDE)) == [
        (old[0][0], [old[0][1]], [1.0])
    ]


def test_a_backfill_of_many_days_is_stored(engine: Engine, telemetry_database: TelemetryDatabase) -> None:
    """More days than the database takes in one insert."""
    days = 105
    written = [sample(float(day), -day * 24 * HOUR_MS) for day in range(days)]
    engine.send(batch(written))
    wide = (NOW_MS - 200 * 24 * HOUR_MS, NOW_MS)
    for _ in range(2):
        ((_, times, _),) = answer(engine.reader.select([], *wide))
        assert len(times) == days
        engine.flush()
    partitions = telemetry_database.query(
        "SELECT uniqExact(partition) AS n FROM system.parts WHERE active AND table = 'blocks'"
    )
    assert partitions["n"].tolist() == [days]


def test_groups_are_no_parts(engine: Engine, telemetry_database: TelemetryDatabase) -> None:
    """However many small groups there are, the embedded engine has nothing to merge."""
    parts = "SELECT count() AS n FROM system.parts WHERE active AND database = 'setpoint'"
    engine.send(batch([sample(0.0)]))
    before = telemetry_database.query(parts)["n"][0]
    for number in range(1, 100):
        engine.send(batch([sample(float(number), number)]))
    assert engine.ingest.stats.groups == 100
    assert telemetry_database.query(parts)["n"][0] <= before


def test_the_newest_chunk_of_a_flush_has_the_highest_number(
    engine: Engine, telemetry_database: TelemetryDatabase
) -> None:
    for start in range(0, 300, 60):
        engine.send(batch([sample(1.0, start + offset) for offset in range(60)]))
    engine.flush()
    found = telemetry_database.query("SELECT first_ms, generation FROM blocks ORDER BY first_ms")
    assert len(found["generation"]) > 1
    assert (np.diff(found["generation"].astype(np.int64)) > 0).all()
    assert found["generation"].max() <= engine.store.blocks.newest_marked()


def test_who_reads_during_a_flush_hides_nothing_from_who_reads_after_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backfilled series: neither head nor journal shows it after the flush, and what was read before is kept."""
    old, matchers = sample(1.0, -3 * HOUR_MS, pod=1), [Matcher("pod", "=", "1")]
    engine.send(batch([old]))
    insert = engine.store.blocks.insert

    def insert_and_read(*given: Any) -> None:
        insert(*given)
        assert answer(engine.reader.select(matchers, *WIDE)) == [(old[0], [old[1]], [1.0])]

    monkeypatch.setattr(engine.store.blocks, "insert", insert_and_read)
    engine.flush()
    assert answer(engine.reader.select(matchers, *WIDE)) == [(old[0], [old[1]], [1.0])]

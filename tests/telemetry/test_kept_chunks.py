"""Chunks are read once while nothing changes, and again as soon as something does; answers never differ."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.telemetry import Matcher
from setpoint.telemetry.blocks import StoredChunks
from setpoint.telemetry.kept_chunks import Kept, KeptChunks, whole_hours
from tests.telemetry.engine import Engine
from tests.telemetry.naive import Sample, batch

HOUR_MS = 3_600_000
NOW_MS = SystemClock().now_ms() // HOUR_MS * HOUR_MS
ALL = [Matcher("__name__", "=", "m")]


def chunks(count: int, payload: int = 0) -> StoredChunks:
    times = np.arange(count, dtype=np.int64) * HOUR_MS
    whole = np.zeros(count, np.int64)
    prints = np.zeros(count, np.uint64)
    return StoredChunks(
        prints, times, times + HOUR_MS - 1, whole, prints, whole, whole, np.zeros(payload, np.uint8)
    )


def test_what_is_kept_is_found_within_its_range_and_revision() -> None:
    revision = [7]
    kept = KeptChunks(lambda: revision[0])
    one = Kept(0, 4 * HOUR_MS, chunks(4), {}, 7)
    kept.keep(tuple(ALL), one)
    for start_ms, end_ms, hours in (
        (0, 4 * HOUR_MS, 4),
        (HOUR_MS, 2 * HOUR_MS - 1, 1),
        (HOUR_MS - 1, HOUR_MS, 1),
    ):
        found = kept.find(tuple(ALL), start_ms, end_ms)
        assert found is one
        assert len(found.within(start_ms, end_ms).starts) == hours
    assert kept.find(tuple(ALL), -1, HOUR_MS) is None
    assert kept.find(tuple(ALL), 0, 4 * HOUR_MS + 1) is None
    assert kept.find((Matcher("__name__", "=", "n"),), 0, HOUR_MS) is None
    revision[0] = 8
    assert kept.find(tuple(ALL), 0, HOUR_MS) is None
    assert kept.size_bytes == 0


def test_what_is_old_is_not_found() -> None:
    kept = KeptChunks(lambda: 0)
    age = [0.0]
    kept.keep(tuple(ALL), replace(Kept(0, 1, chunks(1), {}, 0), age_s=lambda: age[0]))
    assert kept.find(tuple(ALL), 0, 1)
    age[0] = 61.0
    assert kept.find(tuple(ALL), 0, 1) is None


def test_memory_is_bounded() -> None:
    kept = KeptChunks(lambda: 0, limit_bytes=100_000)
    kept.keep(tuple(ALL), Kept(0, 1, chunks(1, 30_000), {}, 0))
    assert kept.find(tuple(ALL), 0, 1) is None, "too large a part of the whole"
    for number in range(40):
        kept.keep((Matcher("pod", "=", str(number)),), Kept(0, 1, chunks(1, 9_000), {}, 0))
        assert kept.size_bytes <= 100_000
    found = [n for n in range(40) if kept.find((Matcher("pod", "=", str(n)),), 0, 1)]
    assert found == list(range(30, 40)) or found == list(range(29, 40))


def test_hours_around_a_range() -> None:
    assert whole_hours(1, HOUR_MS) == (0, HOUR_MS)
    assert whole_hours(-1, HOUR_MS + 1) == (-HOUR_MS, 2 * HOUR_MS)
    assert whole_hours(5, 15 * HOUR_MS) == (0, 15 * HOUR_MS)
    assert whole_hours(HOUR_MS, 31 * HOUR_MS) == (0, 32 * HOUR_MS)
    start_ms, end_ms = whole_hours(3 * HOUR_MS + 1, 700 * HOUR_MS)
    assert (start_ms, end_ms) == (0, 704 * HOUR_MS)
    assert whole_hours(-(2**63), 2**62)[0] <= -(2**63)


@pytest.fixture
def engine(telemetry_database: TelemetryDatabase) -> Iterator[Engine]:
    engine = Engine(telemetry_database, NOW_MS - 6 * HOUR_MS, HOUR_MS)
    yield engine
    engine.close()


def ramp(first_h: float, last_h: float, name: str = "m") -> list[Sample]:
    times = range(int(NOW_MS - first_h * HOUR_MS), int(NOW_MS - last_h * HOUR_MS), 60_000)
    return [({"__name__": name, "pod": "1"}, time_ms, float(time_ms % 997)) for time_ms in times]


def asked(database: TelemetryDatabase, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that read chunks from now on."""
    statements: list[str] = []
    query_rows = database.query_rows

    def note(statement: str, **parameters: Any) -> bytes:
        statements.append(statement)
        return query_rows(statement, **parameters)

    monkeypatch.setattr(database, "query_rows", note)
    return statements


def test_the_database_is_asked_once_until_something_changes(
    engine: Engine, telemetry_database: TelemetryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = ramp(6, 4)
    engine.send(batch(written))
    engine.flush()
    engine.head.evict(NOW_MS)
    statements = asked(telemetry_database, monkeypatch)

    def times(back_h: float, until_h: float = 0) -> list[int]:
        found = engine.reader.select(ALL, int(NOW_MS - back_h * HOUR_MS), int(NOW_MS - until_h * HOUR_MS))
        return [int(time_ms) for time_ms in found.timestamps_ms]

    assert times(6.5) == [time_ms for _, time_ms, _ in written]
    for minutes in range(1, 30):
        start_ms = NOW_MS - 6 * HOUR_MS + minutes * 60_000
        assert times(6 - minutes / 60) == [time_ms for _, time_ms, _ in written if time_ms > start_ms]
    assert times(5.5, 5.2) == [
        time_ms for _, time_ms, _ in written if NOW_MS - 5.5 * HOUR_MS < time_ms <= NOW_MS - 5.2 * HOUR_MS
    ]
    assert len(statements) == 1
    later = ramp(4, 3)
    engine.send(batch(later))
    assert len(times(6.5)) == len(written) + len(later)
    engine.flush()
    assert len(times(6.5)) == len(written) + len(later)
    reads = len(statements)
    assert reads >= 2
    telemetry_database.command("TRUNCATE TABLE blocks")
    engine.head.evict(NOW_MS + HOUR_MS)
    assert times(6.5) == []
    assert len(statements) == reads + 1


def test_who_asks_the_same_at_one_time_reads_once(
    engine: Engine, telemetry_database: TelemetryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.send(batch(ramp(6, 4)))
    engine.flush()
    engine.head.evict(NOW_MS)
    query_rows = telemetry_database.query_rows
    statements: list[str] = []

    def slow(statement: str, **parameters: Any) -> bytes:
        statements.append(statement)
        time.sleep(0.1)
        return query_rows(statement, **parameters)

    monkeypatch.setattr(telemetry_database, "query_rows", slow)
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: len(engine.reader.select(ALL, 0, NOW_MS).values), range(16)))
    assert found == [120] * 16
    assert len(statements) == 1


def test_late_samples_of_series_that_no_chunk_has(engine: Engine) -> None:
    engine.send(batch(ramp(6, 4)))
    engine.flush()
    engine.head.evict(NOW_MS)
    every = [Matcher("pod", "=", "1")]
    assert len(engine.reader.select(every, 0, NOW_MS).labels) == 1
    engine.send(batch(ramp(5, 4.9, "late")))
    found = engine.reader.select(every, 0, NOW_MS)
    assert [one["__name__"] for one in found.labels] == ["late", "m"]

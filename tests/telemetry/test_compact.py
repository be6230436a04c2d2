"""Compaction rewrites a day as fewer chunks with the same samples, whatever is written or dies meanwhile."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setpoint.database import TelemetryDatabase
from setpoint.telemetry import Matcher
from setpoint.telemetry.chunk_samples import decoded, merged
from setpoint.telemetry.codec import CorruptChunk, encode_chunks
from setpoint.telemetry.compact import CHUNK_SAMPLES, Compacted, Compactor, Stopped, rechunked
from setpoint.telemetry.rollup_store import Rollups
from tests.telemetry.flushes import START, Flusher, Samples, chunks_of, quarter
from tests.telemetry.rollups import DAY

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def flusher(telemetry_database: TelemetryDatabase) -> Flusher:
    return Flusher(telemetry_database)


@pytest.fixture
def compactor(telemetry_database: TelemetryDatabase, flusher: Flusher) -> Compactor:
    return Compactor(telemetry_database, flusher.blocks, Rollups(telemetry_database), slice_samples=500)


def _counts(db: TelemetryDatabase) -> dict[int, int]:
    """Samples that the rollups of the day count, by series."""
    found = Rollups(db).select([Matcher("pod", "!=", "")], 0, 2**42, 3_600_000)
    sums = np.add.reduceat(found.counts, found.offsets[:-1]).tolist() if found.labels else []
    return {int(labels["pod"]): count for labels, count in zip(found.labels, sums, strict=True)}


def test_many_chunks_become_few_with_the_same_samples(flusher: Flusher, compactor: Compactor) -> None:
    flusher.write_series()
    for number in range(96):
        flusher.flush(quarter(number))
    assert compactor.dirty_days(DAY + 1) == [DAY]
    assert compactor.dirty_days(DAY) == []
    report = compactor.compact(DAY)
    assert (report.series, report.samples) == (8, 8 * 1440)
    assert (report.chunks_before, report.chunks_after) == (8 * 96, 8)
    assert report.bytes_after < report.bytes_before / 4
    assert flusher.stored() == flusher.expected
    assert compactor.dirty_days(DAY + 1) == []
    assert _counts(flusher.db) == dict.fromkeys(range(8), 1440)
    assert not flusher.db.query("SELECT count() AS rows FROM blocks_staged")["rows"][0]


def test_long_series_are_cut_into_chunks_of_equal_length() -> None:
    offsets = np.array([0, 1, 1 + CHUNK_SAMPLES, 2 + 2 * CHUNK_SAMPLES])
    many = int(offsets[-1])
    times = np.concatenate([np.arange(offsets[place + 1] - offsets[place]) for place in range(3)])
    samples = merged(decoded(*_runs(times, offsets)), -1, 2**62)
    cut = rechunked(samples)
    assert cut.counts.tolist() == [1, CHUNK_SAMPLES, CHUNK_SAMPLES // 2, CHUNK_SAMPLES // 2 + 1]
    assert cut.counts.sum() == many
    assert (cut.last_ms - cut.first_ms + 1).tolist() == cut.counts.tolist()


def _runs(times: np.ndarray, offsets: np.ndarray):  # type: ignore[no-untyped-def]
    payload, bounds = encode_chunks(times, times.astype(float), offsets)
    names = np.arange(len(offsets) - 1, dtype=np.uint64)
    return names, names, np.diff(offsets), payload, bounds


moments = st.integers(0, 30).map(lambda place: START + place * 1_000_000)
writes = st.dictionaries(
    st.tuples(st.integers(0, 3), moments), st.integers(0, 9).map(float), min_size=1, max_size=12
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.lists(writes, min_size=1, max_size=4), min_size=1, max_size=3))
def test_late_and_repeated_samples_win_by_generation(
    telemetry_database: TelemetryDatabase, parts: list[list[Samples]]
) -> None:
    """Night after night, whatever came in any order in between."""
    for table in ("blocks", "flushes", "rollups"):
        telemetry_database.command(f"TRUNCATE TABLE {table}")
    flusher = Flusher(telemetry_database)
    compactor = Compactor(telemetry_database, flusher.blocks, Rollups(telemetry_database), slice_samples=7)
    for night in parts:
        for samples in night:
            flusher.flush(samples)
        touched = {series for samples in night for series, _ in samples}
        assert compactor.dirty_days(DAY + 1) == [DAY]
        assert compactor.compact(DAY).series == len(touched)  # the others are copied as they are
        assert flusher.stored() == flusher.expected
        assert compactor.dirty_days(DAY + 1) == []


def test_late_samples_roll_the_day_up_again(flusher: Flusher, compactor: Compactor) -> None:
    flusher.write_series()
    for number in range(8):
        flusher.flush(quarter(number))
    compactor.compact(DAY)
    flusher.flush(quarter(20, range(2)))
    report = compactor.compact(DAY)
    assert (report.series, report.samples) == (2, 2 * 9 * 15)
    assert _counts(flusher.db) == {series: 135 if series < 2 else 120 for series in range(8)}
    assert flusher.stored() == flusher.expected


def test_a_rollup_is_not_emptied_by_late_samples_of_a_day_that_is_gone(
    flusher: Flusher, compactor: Compactor
) -> None:
    flusher.write_series()
    for number in range(8):
        flusher.flush(quarter(number))
    compactor.compact(DAY)
    flusher.db.command(f"ALTER TABLE blocks DROP PARTITION {DAY}")
    flusher.flush(quarter(20, range(2)))
    compactor.compact(DAY)
    assert _counts(flusher.db) == dict.fromkeys(range(8), 120)


def test_what_is_flushed_meanwhile_is_kept_for_the_next_night(flusher: Flusher) -> None:
    for number in range(4):
        flusher.flush(quarter(number))
    later: Iterator[int] = iter(range(4, 90))

    def flush_another(took_s: float) -> bool:
        flusher.flush(quarter(next(later)))
        return False

    compactor = Compactor(flusher.db, flusher.blocks, Rollups(flusher.db), slice_samples=60)
    report = compactor.compact(DAY, pause=flush_another)
    assert report.samples == 4 * 8 * 15  # what came later was not read
    assert next(later) > 8
    assert flusher.stored() == flusher.expected
    assert compactor.dirty_days(DAY + 1) == [DAY]
    compactor.compact(DAY)
    assert flusher.stored() == flusher.expected


def test_chunks_of_a_flush_that_is_not_through_are_left_alone(flusher: Flusher, compactor: Compactor) -> None:
    flusher.flush(quarter(0))
    flusher.flush(quarter(1), marks=False)
    report = compactor.compact(DAY)
    assert report.samples == 8 * 15
    assert flusher.stored() == flusher.expected
    assert flusher.blocks.delete_unmarked() == 8  # as a start does: they still carry their generation
    flusher.flush(quarter(2), marks=False)
    assert compactor.dirty_days(DAY + 1) == []
    flusher.mark()
    assert compactor.dirty_days(DAY + 1) == [DAY]


def test_the_day_is_replaced_between_flushes_only(flusher: Flusher) -> None:
    flusher.flush(quarter(0))
    read = threading.Event()

    def note(took_s: float) -> bool:
        read.set()
        return False

    compactor = Compactor(flusher.db, flusher.blocks, Rollups(flusher.db))
    compaction = threading.Thread(target=compactor.compact, args=(DAY,), kwargs={"pause": note})
    with flusher.blocks.guard:  # a flush from its first chunk to its marker
        flusher.blocks.insert(chunks_of(quarter(1, range(4))), 2)
        compaction.start()
        assert read.wait(30)
        compaction.join(0.2)
        assert compaction.is_alive()
        flusher.blocks.insert(chunks_of(quarter(1, range(4, 8))), 2)
        flusher.blocks.mark([2], 0)
    compaction.join(30)
    assert flusher.stored() == quarter(0) | quarter(1)
    assert compactor.dirty_days(DAY + 1) == [DAY]


def test_compaction_that_is_told_to_stop_changes_nothing(flusher: Flusher) -> None:
    flusher.flush(quarter(0))
    before = flusher.blocks.day_state(DAY)
    compactor = Compactor(flusher.db, flusher.blocks, Rollups(flusher.db))
    with pytest.raises(Stopped):
        compactor.compact(DAY, pause=lambda took_s: True)
    assert flusher.blocks.day_state(DAY) == before
    assert compactor.dirty_days(DAY + 1) == [DAY]


def test_a_damaged_chunk_leaves_the_day_as_it_was(flusher: Flusher, compactor: Compactor) -> None:
    flusher.flush(quarter(0, range(2)))
    chunks = chunks_of(quarter(1, range(1)))
    chunks.payload[:] = 0xFF
    flusher.blocks.insert(chunks, flusher.generation)
    before = flusher.blocks.day_state(DAY)
    with pytest.raises(CorruptChunk):
        compactor.compact(DAY)
    assert flusher.blocks.day_state(DAY) == before


def test_expired_series_are_left_out_and_their_rollups_alone(flusher: Flusher, compactor: Compactor) -> None:
    flusher.write_series()
    flusher.flush(quarter(0))
    compactor.compact(DAY)
    flusher.flush(quarter(1))
    compactor.compact(DAY, ("metric = {name:String}", {"name": "debug_m"}))
    assert {series for series, _ in flusher.stored()} == {0, 2, 4, 6}
    assert _counts(flusher.db) == {series: 15 if series % 2 else 30 for series in range(8)}
    flusher.flush(quarter(2, range(1)))
    compactor.compact(DAY, ("1", {}))
    assert flusher.stored() == {}
    assert compactor.dirty_days(DAY + 1) == []


def test_flushes_and_compactions_side_by_side_lose_nothing(flusher: Flusher) -> None:
    """A flusher that is always late for the same day, and nights without a break."""
    reports: list[Compacted] = []
    done = threading.Event()
    failures: list[Exception] = []

    def flush_on() -> None:
        try:
            for number in range(60):
                flusher.flush(quarter(number % 20))
                if number % 3 == 0:
                    flusher.flush({(number % 8, START + 777 + number): float(number)})
        except Exception as error:  # noqa: BLE001 — told by the test's own thread
            failures.append(error)
        finally:
            done.set()

    writer = threading.Thread(target=flush_on)
    writer.start()
    compactor = Compactor(flusher.db, flusher.blocks, Rollups(flusher.db), slice_samples=300)
    while not done.is_set() or compactor.dirty_days(DAY + 1):
        reports += [compactor.compact(day) for day in compactor.dirty_days(DAY + 1)]
    writer.join()
    assert not failures
    assert len(reports) > 1, "the flushes were over before the second night"
    assert flusher.stored() == flusher.expected


@pytest.mark.timeout(150)
def test_kills_at_any_moment_lose_nothing(tmp_path: Path) -> None:
    """A process that compacts day after day is killed again and again; every start reads the same samples."""
    command = [sys.executable, "-m", "tests.telemetry.drive_compaction", str(tmp_path / "telemetry")]

    def run(what: str) -> str:
        done = subprocess.run([*command, what], cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    written = run("fill")
    rng = np.random.default_rng()
    kills = 0
    for _ in range(6):
        process = subprocess.Popen([*command, "compact"], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "compacting\n"
        time.sleep(float(rng.uniform(0, 0.5)))
        kills += process.poll() is None
        process.kill()
        process.wait()
        process.stdout.close()
        assert run("read").split()[0] == written
    assert kills, "no compaction lived long enough to be killed"
    run("finish")
    assert run("read") == f"{written} clean"

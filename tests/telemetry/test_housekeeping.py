"""A night of housekeeping on a virtual clock: compaction, retention and the disk budget, each when it is due."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import pytest

from setpoint.clock import VirtualClock
from setpoint.database import TelemetryDatabase
from setpoint.errors import Unavailable
from setpoint.promql.selector import read_selector
from setpoint.resource import Document, Registry, load_text
from setpoint.telemetry.compact import Compactor
from setpoint.telemetry.disk import DiskBudget, DiskState, Eviction
from setpoint.telemetry.housekeeping import Housekeeping
from setpoint.telemetry.register import register
from setpoint.telemetry.retention import Policy, Retention, policy_of
from setpoint.telemetry.rollup import DAY_MS
from setpoint.telemetry.rollup_store import Rollups
from tests.telemetry.flushes import START, Flusher, chunks_of, quarter
from tests.telemetry.rollups import DAY

HOUR_S = 3600
RETENTION = """
apiVersion: setpoint/v1
kind: Retention
metadata: {name: thin}
spec: {rules: [{match: 'debug_*', keep: 1d}]}
"""


class _Night:
    """Everything that housekeeping needs, on a virtual clock that stands at the end of `DAY`."""

    def __init__(self, db: TelemetryDatabase, folder: Path, limit_bytes: int | None = None) -> None:
        self.flusher = Flusher(db)
        self.flusher.write_series()
        self.clock = VirtualClock(START + DAY_MS)
        self.evictions: list[Eviction] = []
        self.low: list[DiskState] = []
        self.budget = DiskBudget(db, limit_bytes, folder, self.evictions.append, self.low.append)
        self.housekeeping = Housekeeping(
            Compactor(db, self.flusher.blocks, Rollups(db)),
            Retention(db, Policy(35), 400, len),
            self.budget,
            self.clock,
            lambda documents: policy_of(documents, 35, read_selector),
            grace_ms=3 * HOUR_S * 1000,
        )

    def tick_at(self, hour: float, day: int = DAY + 1) -> None:
        at_ms = day * DAY_MS + round(hour * HOUR_S * 1000)
        self.clock.advance((at_ms - self.clock.now_ms()) / 1000)
        self.housekeeping.tick()

    def is_dirty(self, day: int = DAY) -> bool:
        state = self.flusher.blocks.day_state(day)
        return state is not None and state.newest_generation > 0


@pytest.fixture
def night(telemetry_database: TelemetryDatabase, tmp_path: Path) -> _Night:
    return _Night(telemetry_database, tmp_path)


def _documents(text: str) -> list[Document]:
    registry = Registry()
    register(registry, read_selector)
    return load_text([("retention.yaml", text)], registry)


def test_a_day_is_compacted_once_the_head_has_let_go_of_it(night: _Night) -> None:
    night.flusher.flush(quarter(0))
    night.tick_at(0.1)
    night.tick_at(2.9)
    assert night.is_dirty()
    night.tick_at(3.1)
    assert not night.is_dirty()
    compacted = night.housekeeping.status.compacted
    assert compacted is not None
    assert (compacted.day, compacted.samples) == (DAY, 120)
    assert night.housekeeping.status.night_ms == night.clock.now_ms()


def test_late_samples_are_compacted_the_next_night_only(night: _Night) -> None:
    night.flusher.flush(quarter(0))
    night.tick_at(4)
    night.flusher.flush(quarter(1))
    for hour in (5, 12, 23, 26):
        night.tick_at(hour)
    assert night.is_dirty()
    night.tick_at(28)
    assert not night.is_dirty()
    assert night.flusher.stored() == night.flusher.expected


def test_a_damaged_day_does_not_keep_others_from_their_turn(
    night: _Night, caplog: pytest.LogCaptureFixture
) -> None:
    chunks = chunks_of(quarter(0))
    chunks.payload[:] = 0xFF
    night.flusher.flush(quarter(0, day=DAY - 1))
    night.flusher.blocks.insert(chunks, 1)
    night.flusher.flush(quarter(0, day=DAY - 50))
    night.tick_at(4)
    assert (night.is_dirty(DAY), night.is_dirty(DAY - 1)) == (True, False)
    assert not night.flusher.stored(DAY - 50)  # retention had its turn
    error = night.housekeeping.status.error
    assert error is not None
    assert f"day {DAY}" in error
    assert "compaction did not go well" in caplog.text
    caplog.clear()
    night.tick_at(4.5)
    assert not caplog.text  # not every minute
    night.flusher.db.command(f"ALTER TABLE blocks DROP PARTITION {DAY}")
    night.tick_at(5.1)
    assert night.housekeeping.status.error is None


def test_a_new_rule_counts_from_the_next_minute(night: _Night) -> None:
    night.flusher.flush(quarter(0, day=DAY - 1))
    night.tick_at(4)
    assert {series for series, _ in night.flusher.stored(DAY - 1)} == set(range(8))
    night.housekeeping.apply(_documents(RETENTION))
    night.tick_at(4.1)
    assert {series for series, _ in night.flusher.stored(DAY - 1)} == {0, 2, 4, 6}
    assert night.housekeeping.kept_from_ms() == DAY * DAY_MS
    assert night.housekeeping.mostly_kept_from_ms() == (DAY - 1) * DAY_MS
    night.housekeeping.apply([])
    assert night.housekeeping.kept_from_ms() == (DAY - 1) * DAY_MS  # nothing older is stored


def test_the_oldest_days_make_room(
    telemetry_database: TelemetryDatabase, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    night = _Night(telemetry_database, tmp_path, limit_bytes=1)
    for day in (DAY, DAY + 1):
        night.flusher.flush(quarter(0, day=day))
        for table, column in (("spans", "start_ns"), ("logs", "ts_ns")):
            night.flusher.db.insert(table, {column: [day * DAY_MS * 1_000_000 + 10**9], "service": ["shop"]})
        for table in ("exemplars", "histograms"):
            night.flusher.db.insert(table, {"fingerprint": [1], "ts_ms": [day * DAY_MS + 1000]})
    night.tick_at(1)
    assert [(one.signal, one.day_ms // DAY_MS) for one in night.evictions] == [
        ("logs", DAY),
        ("spans", DAY),
        ("exemplars", DAY),
        ("samples", DAY),
        ("native histograms", DAY),
    ]
    assert night.evictions[3].bytes > 0
    assert night.evictions[3].rows == 8
    assert night.flusher.stored(DAY + 1)  # today stays, whatever the budget
    assert "disk budget: dropped the samples" in caplog.text
    assert "nothing older than today is left to drop" in caplog.text
    caplog.clear()
    night.tick_at(1.1)
    assert (len(night.evictions), caplog.text) == (5, "")
    assert night.housekeeping.status.evictions == 5


def test_no_more_is_dropped_than_needed(telemetry_database: TelemetryDatabase, tmp_path: Path) -> None:
    night = _Night(telemetry_database, tmp_path)
    for day in (DAY - 2, DAY - 1, DAY):
        night.flusher.flush(quarter(0, day=day))
    now_ms = night.clock.now_ms()
    assert night.budget.enforce(now_ms) == []
    limit_bytes = night.budget.state.bytes - 1
    budget = DiskBudget(telemetry_database, limit_bytes, tmp_path, night.evictions.append, night.low.append)
    assert [one.day_ms // DAY_MS for one in budget.enforce(now_ms)] == [DAY - 2]
    assert budget.enforce(now_ms) == []
    assert len(night.evictions) == 1


def test_a_disk_that_is_nearly_full_is_told_of(
    night: _Night, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    free = [200 << 30, 1 << 30, 1 << 30, 200 << 30, 1 << 30]

    def disk_usage(folder: Path) -> tuple[int, int, int]:
        usage = type("usage", (tuple,), {"total": 500 << 30, "free": free.pop(0)})
        return usage()  # type: ignore[no-any-return]

    monkeypatch.setattr("setpoint.telemetry.disk.shutil.disk_usage", disk_usage)
    for hour, warnings, told in ((0.1, 0, 0), (0.2, 1, 1), (0.3, 1, 1), (0.4, 1, 1), (2, 2, 2)):
        night.tick_at(hour)
        assert caplog.text.count("free some, or set disk_limit_gb") == warnings
        assert len(night.low) == told
    disk = night.housekeeping.status.disk
    assert disk is not None
    assert disk.is_low


def test_the_loop_ends_in_the_middle_of_a_compaction(night: _Night) -> None:
    night.flusher.flush(quarter(0))
    stop, resting = threading.Event(), threading.Event()

    class Observed(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            resting.set()
            return stop.wait(timeout and max(timeout, 20))

    observed = Observed()
    loop = threading.Thread(target=night.housekeeping.run, args=(observed,))
    loop.start()
    deadline = time.monotonic() + 30
    while not resting.is_set() and time.monotonic() < deadline:
        night.clock.advance(3600)
        time.sleep(0.02)
    stop.set()
    loop.join(10)
    assert not loop.is_alive()
    assert night.is_dirty()


def test_the_loop_outlives_what_goes_wrong(night: _Night, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def fail(now_ms: int) -> list[Eviction]:
        calls.append(now_ms)
        raise RuntimeError("a fault of ours") if len(calls) == 1 else Unavailable("the database is away")

    monkeypatch.setattr(night.budget, "enforce", fail)
    stop = threading.Event()
    loop = threading.Thread(target=night.housekeeping.run, args=(stop,))
    loop.start()
    deadline = time.monotonic() + 20
    while len(calls) < 3 and time.monotonic() < deadline:
        night.clock.advance(61)
        time.sleep(0.01)
    stop.set()
    loop.join(10)
    assert len(calls) >= 3

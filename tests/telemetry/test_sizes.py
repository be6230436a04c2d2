"""What stored samples take, asked of a real engine, and when a disk is full."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from setpoint.database import TelemetryDatabase
from setpoint.telemetry.journal_log import open_log
from setpoint.telemetry.sizes import Outlook, SizeMeter, StoreSize, TableSize, outlook

DAY_S = 86_400


def test_tables_are_measured(telemetry_database: TelemetryDatabase, tmp_path: Path) -> None:
    meter = SizeMeter(telemetry_database, tmp_path)
    assert meter.latest == StoreSize()
    chance = np.random.default_rng(1)  # so that nothing is compressed
    telemetry_database.insert(
        "blocks",
        {
            "fingerprint": np.arange(200, dtype=np.uint64),
            "first_ms": np.full(200, 10 * DAY_S * 1000),
            "last_ms": np.full(200, 10 * DAY_S * 1000 + 1),
            "samples": np.full(200, 1000, np.uint32),
            "generation": np.ones(200, np.uint64),
            "payload": [chance.bytes(1000) for _ in range(200)],
        },
    )
    meter.refresh()
    size = meter.latest
    assert size.tables["blocks"].rows == 200
    assert size.tables["blocks"].parts == 1
    assert 1 <= (size.sample_bytes or 0) < 1.1, "1,000 bytes for 1,000 samples, and little around them"
    assert size.bytes >= 200_000
    assert {"series", "blocks", "spans", "logs"} <= set(size.tables)
    assert (size.free_bytes or 0) > 0


def test_generations_of_the_journal_are_one_table(telemetry_database: TelemetryDatabase) -> None:
    log = open_log(telemetry_database)
    for generation in (1, 2):
        log.begin(generation)
        log.append(0, 1, b"x" * 5000)
    meter = SizeMeter(telemetry_database, None)
    meter.refresh()
    assert 10_000 < meter.latest.tables["journal"].bytes < 10_100
    assert meter.latest.tables["journal"].parts == 2


def test_few_samples_say_nothing_of_their_size(telemetry_database: TelemetryDatabase) -> None:
    meter = SizeMeter(telemetry_database, None)
    meter.refresh()
    assert meter.latest.sample_bytes is None
    assert meter.latest.free_bytes is None


def test_when_the_disk_does_not_answer_the_latest_stays(
    telemetry_database: TelemetryDatabase, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    meter = SizeMeter(telemetry_database, folder)
    meter.refresh()
    before = meter.latest
    folder.rmdir()
    meter.refresh()
    assert meter.latest is before


@pytest.mark.parametrize(
    ("free_bytes", "limit_bytes", "stored_bytes", "kept_days", "days_left"),
    [
        (100 * DAY_S, None, 0, 35, None),  # 35 days fit into room for 100
        (10 * DAY_S, None, 0, 35, 10),
        (10 * DAY_S, None, 30 * DAY_S, 35, None),  # only five days more come, then old ones go
        (100 * DAY_S, 20 * DAY_S, DAY_S, 20, None),
        (5 * DAY_S, 20 * DAY_S, DAY_S, 20, 5),
        (None, None, 0, 35, None),
    ],
)
def test_when_the_disk_is_full(
    free_bytes: int | None,
    limit_bytes: int | None,
    stored_bytes: int,
    kept_days: float,
    days_left: float | None,
) -> None:
    size = StoreSize({"blocks": TableSize(stored_bytes, 1, 1)}, sample_bytes=1.0, free_bytes=free_bytes)
    assert outlook(size, 1.0, 35, limit_bytes) == Outlook(DAY_S, kept_days * DAY_S, kept_days, days_left)


@pytest.mark.parametrize(
    ("free_days", "limit_days", "stored_days", "steady_days", "kept_days", "days_left"),
    [
        (10, None, 0, 75, 35, 10 / 1.1),
        (60, None, 0, 75, 35, 35 + (60 - 35 * 1.1) / 0.1),  # samples level off before rollups do
        (75, None, 0, 75, 35, None),
        (60, None, 30, 75, 35, None),  # only 45 are to come
        (None, 50, 0, 50, 10, None),  # rollups stay, so samples go
        (None, 20, 0, 40, 0, None),
    ],
)
def test_rollups_grow_for_longer_than_samples(  # noqa: PLR0917 — a table of cases
    free_days: float | None,
    limit_days: float | None,
    stored_days: int,
    steady_days: float,
    kept_days: float,
    days_left: float | None,
) -> None:
    """One series of 9,000 bytes of samples a day for 35 days, and 900 of rollups for 400; sizes in days of samples."""
    day = 9_000
    free_bytes = None if free_days is None else int(free_days * day)
    size = StoreSize({"blocks": TableSize(stored_days * day, 1, 1)}, sample_bytes=1.0, free_bytes=free_bytes)
    found = outlook(size, day / DAY_S, 35, limit_days and limit_days * day, series=1, rollup_days=400)
    assert found is not None
    assert found.bytes_per_day == pytest.approx(1.1 * day)
    assert found.kept_days == pytest.approx(kept_days)
    assert found.days_left == (None if days_left is None else pytest.approx(days_left))
    assert found.steady_bytes == pytest.approx(steady_days * day)


def test_what_a_day_of_a_series_takes_is_measured_when_there_are_some() -> None:
    tables = {"blocks": TableSize(0, 1, 1), "rollups": TableSize(4_000_000, 3, 2000)}
    found = outlook(StoreSize(tables, sample_bytes=1.0), 1.0, 35, None, series=10, rollup_days=100)
    assert found is not None
    assert found.bytes_per_day == DAY_S + 10 * 2000


def test_no_outlook_without_a_pace_or_a_size() -> None:
    assert outlook(StoreSize(), 1.0, 35, None) is None
    assert outlook(StoreSize({"blocks": TableSize(1, 1, 1)}, 1.0), None, 35, None) is None

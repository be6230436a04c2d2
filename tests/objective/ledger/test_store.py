"""The ledger's tables on a real chdb: exact packing, what replaces what, older versions, what happens when it fails."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.database import TelemetryDatabase
from setpoint.errors import Unavailable
from setpoint.objective.ledger.codec import HOUR, HourBlocks, decode_rows, encode_rows
from setpoint.objective.ledger.ledgers import Ledgers
from setpoint.objective.store import MINUTE, LedgerStore, Stretch, ledger_id
from tests.objective.ledger.test_stored import slots
from tests.objective.memory import MemoryLedger

_HOUR = 490_000
_NOW = _HOUR * 60
_FULL = (1 << 60) - 1


def _hours(
    count: int, first: int = _HOUR, *, ledger: int = 7, value: float = 5.0, version: int = 1
) -> HourBlocks:
    head = np.zeros(count, HOUR)
    head["ledger"], head["hour"], head["computed_ms"] = ledger, np.arange(first, first + count), version
    head["good"], head["total"] = value * 60, value * 60
    head["present"] = head["counted"] = _FULL
    return HourBlocks(head, np.full((count, 60, 2), value), np.ones(count, np.bool_))


@pytest.mark.parametrize("kind", ["any bits", "whole numbers", "all good", "fractions", "nothing"])
@pytest.mark.parametrize("count", [0, 1, 40])
def test_hours_are_packed_to_the_bit(kind: str, count: int) -> None:
    random, blocks = np.random.default_rng(count), _hours(count)
    shape = blocks.cells.shape
    if kind == "any bits":
        blocks.cells[:] = random.integers(0, 2**64, shape, np.uint64, endpoint=False).view(np.float64)
    elif kind == "nothing":
        blocks.cells[:] = 0
    else:
        blocks.cells[:] = random.integers(0, 2 ** random.integers(1, 53), shape) / (
            7 if kind == "fractions" else 1
        )
        if kind == "all good":
            blocks.cells[:, :, 0] = blocks.cells[:, :, 1]
    found = decode_rows(encode_rows(blocks).tobytes())
    assert (found.head == blocks.head).all()
    assert (found.cells.view(np.uint64) == blocks.cells.view(np.uint64)).all()
    assert found.is_whole.all()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damaged_hours_are_refused_or_read_as_something(data: st.DataObject) -> None:
    rows = encode_rows(_hours(2)).copy()
    cut = data.draw(st.integers(0, len(rows)))
    for at in data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=4)):
        rows[at] = data.draw(st.integers(0, 255))
    try:
        found = decode_rows(rows[:cut].tobytes())
    except Unavailable as error:
        assert "damaged" in error.message
    else:
        assert len(found.head) == len(found.cells) == len(found.is_whole)


def test_minutes_lie_on_top_of_older_hours(telemetry_database: TelemetryDatabase) -> None:
    store = LedgerStore(telemetry_database)
    store.write_hours(_hours(2, version=5))
    minutes = np.zeros(4, MINUTE)
    minutes["ledger"], minutes["minute"] = 7, np.array([_NOW, _NOW + 1, _NOW + 2, _NOW + 180])
    minutes["good"], minutes["total"], minutes["computed_ms"] = 1, [2, np.nan, 2, 2], [6, 6, 4, 6]
    store.write_minutes(minutes)
    found = store.blocks(Stretch(0, 2**64 - 1, 0, 2**25))
    assert found.head["hour"].tolist() == [_HOUR, _HOUR + 1, _HOUR + 3]
    assert found.cells[0, :4, 1].tolist() == [2, 0, 5, 5]
    assert found.head["total"].tolist() == [58 * 5 + 2, 300, 2]
    assert [int(bits).bit_count() for bits in found.head["present"]] == [59, 60, 1]
    assert store.fold(_HOUR // 24 * 24 + 48) == 1
    again = store.finished(Stretch(0, 2**64 - 1, 0, 2**25))
    assert (again.cells == found.cells).all()
    assert again.head.tolist() == found.head.tolist()
    assert len(store.minutes(Stretch(0, 2**64 - 1, 0, 2**25))) == 0


def test_minutes_of_an_older_setpoint_are_kept(telemetry_database: TelemetryDatabase) -> None:
    """The table of one row a minute is taken over, also of objectives that nobody declares any more."""
    keys = ["checkout/12", "gone/34"]
    telemetry_database.command(
        "CREATE TABLE ledger (objective String, minute UInt32, good Float64, total Float64, computed_ms Int64) "
        "ENGINE = ReplacingMergeTree(computed_ms) ORDER BY (objective, minute)"
    )
    minutes = np.arange(_NOW - 43_200, _NOW)
    for version in (1, 2):
        for key in keys:
            columns: dict[str, Any] = {
                "objective": [key] * len(minutes),
                "minute": minutes.astype(np.uint32),
                "good": (minutes % 7 * version).astype(np.float64),
                "total": np.where(minutes % 11 == 0, np.nan, 10.0 * version),
                "computed_ms": np.full(len(minutes), version),
            }
            telemetry_database.insert("ledger", columns)
    telemetry_database.command("ALTER TABLE migrations DELETE WHERE number = 6 SETTINGS mutations_sync = 2")
    telemetry_database._migrate()
    store = LedgerStore(telemetry_database)
    ledgers = Ledgers(store)
    row = ledgers.add(keys[0], 43_200)
    loaded = ledgers.load(np.array([row]), _NOW - 1)
    assert (loaded.first[0], loaded.last[0], list(loaded.holes[0])) == (_NOW - 43_200, _NOW - 1, [])
    total = ledgers.counts(np.array([row]), np.array([_NOW - 43_200]), np.array([_NOW]))[1, 0]
    assert total == 20 * (minutes % 11 != 0).sum()
    for _ in range(2):
        for key in keys:
            found = store.read(key, 0)
            assert found.minutes.tolist() == minutes.tolist()
            assert (np.isnan(found.total) == (minutes % 11 == 0)).all()
            assert (found.good[~np.isnan(found.total)] == (minutes % 7 * 2)[minutes % 11 != 0]).all()
        assert store.fold(_HOUR) in (30, 31, 0)


def test_old_minutes_go_and_their_hours_stay(telemetry_database: TelemetryDatabase) -> None:
    store = LedgerStore(telemetry_database)
    store.write_hours(_hours(24 * 40, ledger=ledger_id("a/1")))
    now = (_HOUR + 24 * 40) * 60
    ledgers = Ledgers(store)
    row = ledgers.add("a/1", 40 * 1440)
    rows = np.array([row])
    ledgers.load(rows, now - 1)
    store.tidy(_HOUR, now, 1440)
    assert len(store.read("a/1", 0).minutes) == 24 * 40 * 60
    store.tidy(_HOUR, now + 101 * 1440, 1440)
    left = store.read("a/1", 0).minutes
    assert 0 < len(left) < 24 * 40 * 60
    assert len(store.hours(Stretch(0, 2**64 - 1, 0, 2**25))) == 24 * 40
    first = int(left[0])
    assert ledgers.counts(rows, rows * 0 + first - 600, rows * 0 + first)[0, 0] == 600 * 5
    # What is left of such an hour is its sum: a minute of it is not changed any more, and not lost either.
    assert not ledgers.write(row, slots(first - 60, [(1, 1)])).any()
    assert ledgers.counts(rows, rows * 0 + first - 600, rows * 0 + first)[0, 0] == 600 * 5


def test_rows_written_twice_count_once(telemetry_database: TelemetryDatabase) -> None:
    store = LedgerStore(telemetry_database)
    for version, total in ((5, 10.0), (9, 20.0), (7, 30.0)):
        minute = np.array([(ledger_id("a/1"), _NOW, 1.0, total, version)], MINUTE)
        store.write_minutes(minute)
        store.write_hours(_hours(1, _HOUR - 50, ledger=ledger_id("a/1"), value=total, version=version))
    assert store.read("a/1", _NOW).total.tolist() == [20.0]
    ledgers = Ledgers(store)
    rows_ = np.array([ledgers.add("a/1", 7200)])
    ledgers.load(rows_, _NOW)
    counts = ledgers.counts(np.repeat(rows_, 2), np.array([_NOW, _NOW - 3000]), np.array([_NOW + 1, _NOW]))
    assert counts.tolist() == [[1, 1200], [20, 1200], [1, 60]]
    assert store.newest() == (9, _HOUR - 49)


def test_what_cannot_be_stored_waits() -> None:
    store = MemoryLedger()
    ledgers = Ledgers(store)
    row = ledgers.add("a/1", 7200)
    store.broken = True
    with pytest.raises(Unavailable):
        ledgers.load(np.array([row]), _NOW)
    ledgers.write(row, slots(_NOW - 2000, [(1, 0)]))
    ledgers.write(row, slots(_NOW, [(1, 1)]))
    with pytest.raises(Unavailable):
        ledgers.save(5)
    store.broken = False
    assert ledgers.save(6) == 0  # what is stored is not known yet: a whole hour could not be written
    store.rows["a/1"] = {_NOW - 1999: (3.0, 3.0)}
    ledgers.load(np.array([row]), _NOW)
    assert ledgers.counts(np.array([row]), np.array([0]), np.array([2**40])).tolist() == [[5], [6], [3]]
    assert ledgers.save(7) == 2
    assert store.rows["a/1"] == {_NOW - 2000: (1, 1), _NOW - 1999: (3, 3), _NOW: (1, 2)}
    assert ledgers.save(8) == 0
    store.broken = True
    ledgers.write(row, slots(_NOW, [(2, 2)]))
    with pytest.raises(Unavailable):
        ledgers.save(9)
    store.broken = False
    assert ledgers.save(10) == 1
    assert ledgers.save(11, everything=False) == 0


def test_the_running_minute_can_wait() -> None:
    store = MemoryLedger()
    ledgers = Ledgers(store)
    row = ledgers.add("a/1", 60)
    ledgers.load(np.array([row]), _NOW + 5)
    ledgers.advance(_NOW + 5)
    ledgers.write(row, slots(_NOW + 4, [(1, 0), (2, 0)]))
    assert ledgers.save(1, everything=False) == 1
    assert list(store.rows["a/1"]) == [_NOW + 4]
    ledgers.advance(_NOW + 6)
    assert ledgers.save(2, everything=False) == 1


def test_a_late_minute_that_cannot_be_read_changes_nothing() -> None:
    store = MemoryLedger()
    store.rows["a/1"] = {_NOW - 5000: (3.0, 3.0)}
    ledgers = Ledgers(store)
    row = ledgers.add("a/1", 7200)
    ledgers.load(np.array([row]), _NOW)
    before = ledgers.counts(np.array([row]), np.array([0]), np.array([2**40]))
    store.broken = True
    with pytest.raises(Unavailable):
        ledgers.write(row, slots(_NOW - 5000, [(1, 0)]))
    assert (ledgers.counts(np.array([row]), np.array([0]), np.array([2**40])) == before).all()
    store.broken = False
    assert ledgers.write(row, slots(_NOW - 5000, [(1, 0)])).all()
    assert ledgers.counts(np.array([row]), np.array([0]), np.array([2**40])).tolist() == [[1], [1], [1]]


def test_a_row_that_is_given_out_again_is_empty(telemetry_database: TelemetryDatabase) -> None:
    ledgers = Ledgers(LedgerStore(telemetry_database))
    rows = [ledgers.add(f"a{i}/1", 43_200) for i in range(3)]
    ledgers.load(np.array(rows), _NOW)
    for row in rows:
        ledgers.write(row, slots(_NOW - 3000, [(1, 1)] * 3000))
    ledgers.save(1)
    ledgers.remove(rows[1])
    with pytest.raises(KeyError):
        ledgers.counts(np.array([rows[1]]), np.array([0]), np.array([1]))
    with pytest.raises(KeyError):
        ledgers.write(rows[1], slots(_NOW, [(1, 1)]))
    again = ledgers.add("other/1", 1440)
    assert again == rows[1]
    assert ledgers.counts(np.array([again]), np.array([0]), np.array([2**40])).sum() == 0
    assert ledgers.row_of("a1/1") is None
    back = ledgers.add("a1/1", 43_200)
    ledgers.load(np.array([back]), _NOW)
    assert ledgers.counts(np.array([back]), np.array([0]), np.array([2**40])).tolist() == [
        [3000],
        [6000],
        [3000],
    ]


def test_threads_write_save_and_read(telemetry_database: TelemetryDatabase) -> None:
    """Every minute is written as 3, 3 and rewritten as 4, 4: no reader ever sees anything else, nothing is lost."""
    ledgers = Ledgers(LedgerStore(telemetry_database))
    rows = np.array([ledgers.add(f"t{i}/1", 7200) for i in range(20)])
    ledgers.load(rows, _NOW)
    done, faults = threading.Event(), list[str]()

    def save() -> None:
        version = 0
        while not done.is_set():
            ledgers.save(version := version + 1, everything=False)
            ledgers.upkeep(_NOW)

    def read() -> None:
        while not done.is_set():
            starts = np.full(20, _NOW - 7000)
            good, total, minutes = ledgers.counts(rows, starts, starts + 20_000)
            if not ((good == total) & (good >= 3 * minutes) & (good <= 4 * minutes)).all():
                faults.append(f"{good} {total} {minutes}")

    threads = [threading.Thread(target=one) for one in (save, save, read)]
    for thread in threads:
        thread.start()
    for value in (3.0, 4.0):
        for first in range(_NOW - 7000, _NOW + 3000, 200):
            cells = np.full((20, 200), value)
            ledgers.write_many(rows, first, cells, cells, np.ones((20, 200), np.bool_))
    done.set()
    for thread in threads:
        thread.join(30)
    assert not faults
    ledgers.save(10**6)
    again = Ledgers(LedgerStore(telemetry_database))
    rows = np.array([again.add(f"t{i}/1", 7200) for i in range(20)])
    again.load(rows, _NOW + 2999)
    for one in (ledgers, again):
        starts = np.full(20, _NOW - 4200)
        assert one.counts(rows, starts, starts + 7200).tolist() == [[28_800] * 20] * 2 + [[7200] * 20]

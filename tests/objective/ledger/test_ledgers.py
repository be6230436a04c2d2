"""All ledgers against dictionaries of minutes."""

from __future__ import annotations

import numpy as np

from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.ledger.ledgers import Ledgers, Slices

_NOW = 29_000_000


def test_minutes_of_many_rows_and_windows_over_them() -> None:
    ledgers = Ledgers()
    rows = np.array([ledgers.add("one/1", 43_200), ledgers.add("two/2", 43_200)])
    good = np.array([[1.0, 2, 3], [4, 5, 6]])
    present = np.array([[True, True, False], [True, True, True]])
    changed = ledgers.write_many(rows, _NOW, good, good + 1, present)
    assert changed.tolist() == present.tolist()
    assert not ledgers.write_many(rows, _NOW, good, good + 1, present).any()
    counts = ledgers.counts(rows, np.full(2, _NOW), np.full(2, _NOW + 3))
    assert counts.tolist() == [[3, 15], [5, 18], [2, 3]]
    assert ledgers.last_with(rows, _NOW + 9).tolist() == [_NOW + 1, _NOW + 2]
    assert ledgers.first_with(rows, np.array([_NOW - 5, _NOW + 2])).tolist() == [_NOW, _NOW + 2]
    assert ledgers.minutes(int(rows[0]), _NOW - 1, _NOW + 2).total.tolist() == [0, 2, 3]


def test_slices_keep_the_last_minutes() -> None:
    slices = Slices(kept=24)
    rows = np.array([3, 1])
    ones = np.ones((2, 4))
    slices.write_many(rows, 100, ones, ones * 2, ones > 0)
    slices.write_many(rows, 104, ones, ones * 3, ones > 0)
    assert slices.counts(rows, np.array([102, 0]), np.array([106, 200])).tolist() == [
        [4, 8],
        [10, 20],
        [4, 8],
    ]
    assert slices.last_with(np.array([3, 0]), 106).tolist() == [105, -1]
    slices.advance(105)
    assert slices.counts(rows, np.array([102, 0]), np.array([200, 200])).tolist() == [
        [4, 6],
        [10, 14],
        [4, 6],
    ]
    slices.write_many(rows, 150, ones, ones, ones > 0)
    assert slices.counts(rows, np.array([0, 0]), np.array([200, 200])).tolist() == [[4, 4], [4, 4], [4, 4]]


def test_memory_is_bounded_by_rows_and_windows() -> None:
    """Ten thousand objectives of 30 days take less than a gigabyte, whatever they count."""
    ledgers = Ledgers()
    rows = np.array([ledgers.add(f"o{i}/1", 43_200) for i in range(100)])
    ledgers.advance(_NOW)
    cells, present = np.full((100, 750), 1e9 / 7), np.ones((100, 750), np.bool_)
    for first in (_NOW - 1499, _NOW - 749):
        ledgers.write_many(rows, first, cells, cells, present)
    assert ledgers.memory_bytes < 100 * 1e9 / 10_000
    assert ledgers.waiting == 0


def test_rows_that_come_later_leave_the_others_as_they_are() -> None:
    ledgers = Ledgers()
    rows = np.array([ledgers.add(f"o{i}/1", 43_200) for i in range(60)])
    good, present = np.arange(180.0).reshape(60, 3), np.ones((60, 3), np.bool_)
    present[10] = False
    for first in (_NOW - 2 * 1440, _NOW):  # hours that have left the last day, and the running one
        ledgers.write_many(rows, first, good, good + 1, present)
    starts, ends = np.full(60, _NOW - 3 * 1440), np.full(60, _NOW + 3)
    before = ledgers.counts(rows, starts, ends)
    later = np.array([ledgers.add(f"later{i}/1", 43_200) for i in range(400)])
    assert np.array_equal(ledgers.counts(rows, starts, ends), before)
    assert before[2].tolist() == np.where(np.arange(60) == 10, 0, 6).tolist()
    assert not ledgers.counts(later, np.full(400, _NOW - 43_000), np.full(400, _NOW + 3)).any()
    ledgers.remove(int(rows[5]))
    assert ledgers.add("again/1", 43_200) == rows[5]
    assert not ledgers.counts(rows[5:6], starts[:1], ends[:1]).any()


def test_what_is_no_number_is_a_gap() -> None:
    ledgers = Ledgers()
    row = ledgers.add("o/1", 60)
    good, total = np.array([1.0, np.nan, 1.0, np.inf]), np.array([2.0, 2.0, np.nan, np.inf])
    ledgers.write(row, Slots(_NOW, good, total, np.ones(4, np.bool_)))
    window = np.array([row]), np.array([_NOW]), np.array([_NOW + 4])
    assert ledgers.counts(*window).tolist() == [[1], [2], [1]]


def test_fractions_are_replaced_exactly() -> None:
    ledgers = Ledgers()
    row = ledgers.add("o/1", 60)
    random = np.random.default_rng(1)
    for _ in range(500):
        values = random.random(3)
        slots = Slots(_NOW, values, values, np.ones(3, np.bool_))
        assert ledgers.write(row, slots).all()
        assert not ledgers.write(row, slots).any()
    found = ledgers.minutes(row, _NOW, _NOW + 3)
    assert (found.good == values).all()
    total = ledgers.counts(np.array([row]), np.array([_NOW]), np.array([_NOW + 3]))[1, 0]
    assert abs(total - values.sum()) < 1e-11


def test_numbers_up_to_two_to_the_53_are_exact() -> None:
    ledgers = Ledgers()
    row = ledgers.add("o/1", 43_200)
    first = _NOW - 43_000
    total = np.zeros(43_000)
    total[::1000] = 2.0**53 / 43 // 1
    good = np.maximum(total - 1, 0)
    ledgers.write(row, Slots(first, good, total, np.ones(43_000, np.bool_)))
    counts = ledgers.counts(np.array([row]), np.array([first]), np.array([_NOW]))
    assert counts[:, 0].tolist() == [good.sum(), total.sum(), 43_000]
    assert int(total.sum()) == 43 * (2**53 // 43)

"""All ledgers against dictionaries of minutes."""

from __future__ import annotations

import numpy as np

from setpoint.objective.ledgers import Ledgers, Slices

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

"""Ledger windows against a naive computation: random minutes, gaps, late data, any order of recounts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from setpoint.objective.ledger.ledger import Ledger, Slots
from setpoint.objective.ranges import Ranges

_START = 29_000_000  # a minute of 2025


def _slots(first: int, cells: list[tuple[int, int] | None]) -> Slots:
    """`cells` are (good, bad) per slot, None without data."""
    return Slots(
        first,
        np.array([cell[0] if cell else 0 for cell in cells], np.float64),
        np.array([sum(cell) if cell else 0 for cell in cells], np.float64),
        np.array([cell is not None for cell in cells], np.bool_),
    )


_CELLS = st.lists(st.none() | st.tuples(st.integers(0, 10**7), st.integers(0, 1000)), min_size=1, max_size=40)


class LedgerMachine(RuleBasedStateMachine):
    """Writes stretches anywhere, in any order, and asks for any window."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.naive: dict[int, tuple[int, int]] = {}
        self.edges: tuple[int, int] | None = None

    @rule(offset=st.integers(-700, 700), cells=_CELLS)
    def write(self, offset: int, cells: list[tuple[int, int] | None]) -> None:
        first = _START + offset
        before = {first + i: self.naive.get(first + i) for i in range(len(cells))}
        changed = self.ledger.write(_slots(first, cells))
        for i, cell in enumerate(cells):
            assert bool(changed[i]) == (before[first + i] != cell)
            self.naive.pop(first + i, None)
            if cell is not None:
                self.naive[first + i] = cell
        low, high = self.edges or (first, first)
        self.edges = min(low, first), max(high, first + len(cells))

    @rule(offset=st.integers(-800, 800))
    def forget(self, offset: int) -> None:
        slot = _START + offset
        self.ledger.forget_before(slot)
        self.naive = {minute: cell for minute, cell in self.naive.items() if minute >= slot}
        if self.edges is not None:
            low, high = max(self.edges[0], slot), self.edges[1]
            self.edges = (low, high) if low < high else None

    @rule(start=st.integers(-900, 900), length=st.integers(0, 1500))
    def window(self, start: int, length: int) -> None:
        first, end = _START + start, _START + start + length
        inside = [cell for minute, cell in self.naive.items() if first <= minute < end]
        counts = self.ledger.counts(first, end)
        assert counts.good == sum(good for good, _ in inside)
        assert counts.bad == sum(bad for _, bad in inside)
        assert counts.minutes == len(inside)
        before = [minute for minute in self.naive if minute < end]
        assert self.ledger.last_with(end) == max(before, default=None)

    @rule(starts=st.lists(st.integers(-900, 900), min_size=1, max_size=5), length=st.integers(0, 1500))
    def windows(self, starts: list[int], length: int) -> None:
        first = _START + np.array(starts)
        many = self.ledger.counts_of(first, first + length)
        for i, start in enumerate(first.tolist()):
            one = self.ledger.counts(start, start + length)
            assert many[:, i].tolist() == [one.good, one.total, one.minutes]

    @invariant()
    def the_edges_are_those_written(self) -> None:
        if self.edges is None:
            assert self.ledger.first == self.ledger.end
        else:
            assert (self.ledger.first, self.ledger.end) == self.edges
        present = self.naive
        assert self.ledger.last_with() == (max(present) if present else None)
        with_events = [minute for minute, cell in present.items() if sum(cell)]
        assert self.ledger.last_with(events=True) == (max(with_events) if with_events else None)
        assert self.ledger.first_with_data(0) == (min(present) if present else None)


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLedger = LedgerMachine.TestCase


def test_slots_are_left_open() -> None:
    ledger = Ledger()
    assert ledger.slot_of(60_000) == 0
    assert ledger.slot_of(60_001) == 1
    assert (ledger.start_ms(1), ledger.end_ms(1)) == (60_000, 120_000)


def test_a_month_of_windows_is_exact() -> None:
    """43,200 minutes with ten thousand events each: every window is a whole number, not nearly one."""
    minutes = 43_200
    ledger = Ledger()
    bad = np.arange(minutes) % 7 == 0
    ledger.write(Slots(_START, 10_000.0 - bad, np.full(minutes, 10_000.0), np.ones(minutes, np.bool_)))
    counts = ledger.counts(_START + 1, _START + minutes)
    assert counts.total == 10_000 * (minutes - 1)
    assert counts.bad == bad[1:].sum()


def test_an_empty_ledger_counts_nothing() -> None:
    ledger = Ledger()
    assert ledger.counts(0, 10**9).total == 0
    assert ledger.last_with() is None
    assert len(ledger.slots(0, 10).total) == 0


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60)), max_size=12), st.integers(1, 50))
def test_ranges_give_every_slot_once_and_newest_first(added: list[tuple[int, int]], most: int) -> None:
    ranges = Ranges()
    wanted: set[int] = set()
    for start, length in added:
        ranges.add(start, start + length)
        wanted |= set(range(start, start + length))
    assert ranges.size == len(wanted)
    taken: list[int] = []
    while (chunk := ranges.take_newest(most)) is not None:
        assert 0 < chunk[1] - chunk[0] <= most
        taken.extend(reversed(range(*chunk)))
    assert taken == sorted(wanted, reverse=True)
    assert not ranges


@pytest.mark.parametrize("slot_s", [5, 60])
def test_copies_are_cut_to_what_is_written(slot_s: int) -> None:
    ledger = Ledger(slot_s)
    ledger.write(_slots(10, [(1, 0), None, (2, 2)]))
    copy = ledger.slots(0, 100)
    assert (copy.first, copy.end) == (10, 13)
    assert copy.present.tolist() == [True, False, True]
    copy.total[:] = 99
    assert ledger.counts(0, 100).total == 5

"""All ledgers over the real store against a dictionary of minutes: late data, restarts, clocks that jump, far edges."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from setpoint.database import TelemetryDatabase
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.ledger.ledgers import Ledgers
from setpoint.objective.store import LedgerStore

_START = 29_000_000
_NUMBERS = itertools.count()
_WINDOWS = (1800, 4320, 7333)
_WATCHED = 1640  # its edge leaves the ring while time passes
_EVENTS = st.one_of(st.integers(0, 1000), st.integers(0, 2**40))
_CELLS = st.lists(st.none() | st.tuples(_EVENTS, st.integers(0, 1000)), min_size=1, max_size=130)

Cell = tuple[int, int] | None


def slots(first: int, cells: list[Cell]) -> Slots:
    """`cells` are (good, bad) per minute, None without data."""
    return Slots(
        first,
        np.array([cell[0] if cell else 0 for cell in cells], np.float64),
        np.array([sum(cell) if cell else 0 for cell in cells], np.float64),
        np.array([cell is not None for cell in cells], np.bool_),
    )


class Machine(RuleBasedStateMachine):
    """Some ledgers, and what was written to them minute by minute."""

    store: LedgerStore | None = None

    def __init__(self) -> None:
        super().__init__()
        number = next(_NUMBERS)
        self.keys = [f"o{number}-{index}/x" for index in range(len(_WINDOWS))]
        self.now, self.head = _START, _START // 60
        self.naive: list[dict[int, Cell]] = [{} for _ in _WINDOWS]
        self.doubtful: set[int] = set()
        self.computed_ms = 0
        self.open()

    def open(self) -> None:
        self.forget_the_future()
        self.ledgers = Ledgers(self.store)
        self.rows = np.array([self.ledgers.add(*one) for one in zip(self.keys, _WINDOWS, strict=True)])
        loaded = self.ledgers.load(self.rows, self.now)
        for index, window in enumerate(_WINDOWS):
            low, counted = self.now + 1 - window, set(self.naive[index])
            missing = {minute for start, end in loaded.holes[index] for minute in range(start, end)}
            assert missing == {minute for minute in range(low, self.now + 1) if minute not in counted}
            inside = [minute for minute in counted if minute >= low]
            if inside:
                assert loaded.last[index] == max(inside)
        self.ledgers.watch(self.rows[:1], np.array([_WATCHED]))

    @rule(index=st.integers(0, 2), back=st.integers(0, 7500), cells=_CELLS)
    def write(self, index: int, back: int, cells: list[Cell]) -> None:
        first = max(self.now - min(back, _WINDOWS[index] - 1), self.now - len(cells) - back)
        cells = cells[: self.now + 1 - first]
        before = self.naive[index]
        changed = self.ledgers.write(int(self.rows[index]), slots(first, cells))
        for i, cell in enumerate(cells):
            assert changed[i] == (before.get(first + i) != cell)
            before[first + i] = cell

    @rule(back=st.integers(0, 200), good=st.integers(0, 50))
    def write_all(self, back: int, good: int) -> None:
        """Every ledger gets the same recent minutes in one call; one of them has no data."""
        shape = (len(self.rows), min(back + 1, 40))
        present = np.arange(shape[0])[:, None] != np.full(shape, good % 4)
        first = self.now - back
        self.ledgers.write_many(self.rows, first, np.full(shape, good), np.full(shape, 50.0), present)
        for index, naive in enumerate(self.naive):
            cell = (good, 50 - good) if index != good % 4 else None
            naive.update(dict.fromkeys(range(first, first + shape[1]), cell))

    @rule(index=st.integers(0, 2), good=st.integers(1, 9), gaps=st.integers(2, 50))
    def history(self, index: int, good: int, gaps: int) -> None:
        """The whole window is counted, as when an objective is new."""
        window = _WINDOWS[index]
        cells: list[Cell] = [None if i % gaps == 0 else (good, i % 7) for i in range(window)]
        self.ledgers.write(int(self.rows[index]), slots(self.now + 1 - window, cells))
        self.naive[index].update(zip(range(self.now + 1 - window, self.now + 1), cells, strict=True))

    @rule(minutes=st.one_of(st.integers(1, 70), st.integers(1, 3000)))
    def wait(self, minutes: int) -> None:
        self.now += minutes
        self.head = max(self.head, self.now // 60)
        self.ledgers.advance(self.now)
        passed = sorted(minute for minute in self.doubtful if minute <= self.now)
        for minute in passed:  # what was counted before the clock was set back is counted again
            for index, row in enumerate(self.rows.tolist()):
                self.ledgers.write(row, slots(minute, [None]))
                self.naive[index][minute] = None
        self.doubtful.difference_update(passed)

    @precondition(lambda self: self.store is not None)
    @rule(minutes=st.one_of(st.integers(1, 59), st.integers(120, 4000)))
    def set_back(self, minutes: int) -> None:
        self.save()
        self.now -= minutes
        self.ledgers.advance(self.now)
        if self.now // 60 < self.head - 1:
            self.forget_the_future()

    def forget_the_future(self) -> None:
        """What was counted for later hours is not looked at, and counted again when they come."""
        self.head = self.now // 60
        for naive in self.naive:
            gone = {minute for minute in naive if minute >= (self.now // 60 + 1) * 60}
            self.doubtful |= gone
            for minute in gone:
                del naive[minute]

    @rule(everything=st.booleans())
    def save(self, everything: bool = True) -> None:
        self.ledgers.save(self.computed_ms, everything=everything)

    @precondition(lambda self: self.store is not None and not self.doubtful)
    @rule(folds=st.booleans())
    def restart(self, folds: bool) -> None:
        self.save()
        assert self.store is not None
        if folds:
            self.ledgers.upkeep(self.now)
        self.open()

    @precondition(lambda self: self.store is not None and not self.doubtful)
    @rule(index=st.integers(0, 2), back=st.integers(0, 4300), cells=_CELLS)
    def load_over_unsaved(self, index: int, back: int, cells: list[Cell]) -> None:
        self.save()
        self.write(index, back, cells)
        self.ledgers.load(self.rows, self.now)

    @rule(index=st.integers(0, 2), edges=st.lists(st.integers(-60, 7600), min_size=2, max_size=12))
    def windows(self, index: int, edges: list[int]) -> None:
        window = _WINDOWS[index]
        minutes = np.array([self.now + 1 - min(edge, window) for edge in sorted(edges, reverse=True)])
        rows = np.full(len(minutes), self.rows[index])
        self.ledgers.anchor(rows, minutes)
        self.ledgers.fetch_edges(self.now)
        before = self.ledgers.rounded
        found = self.ledgers.counts(rows[1:], minutes[:-1], minutes[1:])
        assert self.ledgers.rounded == before
        for i, (start, end) in enumerate(itertools.pairwise(minutes.tolist())):
            assert found[:, i].tolist() == self.expected(index, start, end)

    @rule()
    def windows_that_end_now(self) -> None:
        self.ledgers.upkeep(self.now)
        before = self.ledgers.rounded
        rows = np.append(self.rows, self.rows[0])
        lengths = np.array([*_WINDOWS, _WATCHED])
        for minutes in (0, 1, 39):
            if minutes:
                self.wait(minutes)
            ends = np.full(4, self.now + 1)
            found = self.ledgers.counts(rows, ends - lengths, ends)
            for i, index in enumerate((0, 1, 2, 0)):
                assert found[:, i].tolist() == self.expected(index, ends[i] - lengths[i], ends[i])
        assert self.ledgers.rounded == before

    def expected(self, index: int, start: int, end: int) -> list[float]:
        inside = [cell for minute, cell in self.naive[index].items() if cell and start <= minute < end]
        return [sum(cell[0] for cell in inside), sum(sum(cell) for cell in inside), len(inside)]

    @rule(index=st.integers(0, 2), back=st.integers(0, 7600), length=st.integers(0, 3000))
    def copies(self, index: int, back: int, length: int) -> None:
        start = self.now + 1 - min(back, _WINDOWS[index])
        found = self.ledgers.minutes(int(self.rows[index]), start, start + length)
        assert len(found.total) == length
        for i in range(length):
            cell = self.naive[index].get(start + i)
            expected = (True, cell[0], sum(cell)) if cell else (False, 0, 0)
            assert (bool(found.present[i]), found.good[i], found.total[i]) == expected

    @rule(before=st.integers(0, 7000))
    def searches(self, before: int) -> None:
        end = self.now + 1 - before
        last = self.ledgers.last_with(self.rows, end).tolist()
        first = self.ledgers.first_with(self.rows, np.full(len(self.rows), end)).tolist()
        events = self.ledgers.last_with(self.rows, end, events=True).tolist()
        for index, window in enumerate(_WINDOWS):
            low = self.now + 1 - window
            known = {minute: cell for minute, cell in self.naive[index].items() if cell and minute >= low}
            totals = {minute: sum(cell) for minute, cell in known.items()}
            sooner = [minute for minute in known if minute < end]
            if sooner:
                assert last[index] == max(sooner)
            else:
                assert last[index] < low
            assert first[index] == min((minute for minute in known if minute >= end), default=-1) or end < low
            with_events = [minute for minute in sooner if totals[minute]]
            if with_events:
                assert events[index] // 60 == max(with_events) // 60


_STEPS = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
_STORED = settings(_STEPS, max_examples=10, stateful_step_count=15)


def test_over_the_store(telemetry_database: TelemetryDatabase) -> None:
    class OverStore(Machine):
        store = LedgerStore(telemetry_database)

    run_state_machine_as_test(OverStore, settings=_STORED)


def test_in_memory() -> None:
    run_state_machine_as_test(Machine, settings=_STEPS)

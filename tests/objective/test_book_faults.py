"""The book when something around it goes wrong: the clock is set, the listener or the evaluation fails."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from setpoint.clock import VirtualClock
from setpoint.errors import Unavailable
from setpoint.objective import ObjectiveBook, ObjectiveStatus
from tests.objective.memory import MemoryLedger, Samples
from tests.objective.test_book import T0, World, slo


def _born(store: MemoryLedger | None = None) -> World:
    world = World.make(store)
    world.born("200")
    world.book.apply([slo()])
    return world


def test_silence_is_no_data_also_after_the_clock_was_set_back() -> None:
    """What was counted for later instants says nothing about now."""
    world = _born()
    world.run(60, lambda: world.report(c200=5))
    world.clock.advance(-1800)
    status = world.run(100)
    assert status.state == "no data"
    assert status.last_event_ms is None


def test_the_ledger_is_saved_after_the_clock_was_set_back() -> None:
    store = MemoryLedger()
    world = _born(store)
    world.run(60, lambda: world.report(c200=5))
    writes = store.writes
    world.clock.advance(-3600)
    world.run(15, lambda: world.report(c200=5))
    assert store.writes > writes
    assert store.versions == sorted(set(store.versions))  # the database keeps the highest of a minute


class _Waits(VirtualClock):
    """Notes how long it was asked to wait, and ends the loop then."""

    def __init__(self) -> None:
        super().__init__(T0)
        self.waits: list[float] = []

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.waits.append(timeout_s)
        event.set()
        return True


def test_a_clock_that_is_set_back_during_a_tick_does_not_stop_the_loop() -> None:
    clock, samples = _Waits(), Samples()

    def set_back() -> int | None:
        clock.advance(-3600)
        return None

    book = ObjectiveBook(samples.select, set_back, MemoryLedger(), clock)
    book.apply([slo()])
    book.run(threading.Event())
    assert clock.waits == [1.0]


def test_a_state_that_could_not_be_stored_is_told_again() -> None:
    world, told, fails = World.make(), [], True

    def tell(status: ObjectiveStatus, previous: ObjectiveStatus | None) -> None:
        if fails:
            raise Unavailable("the state database does not answer")
        told.append((status.name, status.state, previous.state if previous else None))

    book = ObjectiveBook(
        world.samples.select, world.samples.take_oldest_write_ms, MemoryLedger(), world.clock, on_change=tell
    )
    book.apply([slo("a"), slo("b")])
    book.tick()
    fails = False
    book.tick()
    book.tick()
    assert told == [("a", "no data", None), ("b", "no data", None)]


def test_a_state_that_the_listener_cannot_take_is_not_told_for_ever() -> None:
    world, calls = World.make(), 0

    def tell(status: ObjectiveStatus, previous: ObjectiveStatus | None) -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("a fault of the listener")

    book = ObjectiveBook(
        world.samples.select, world.samples.take_oldest_write_ms, MemoryLedger(), world.clock, on_change=tell
    )
    book.apply([slo()])
    book.tick()
    assert calls == 1


def test_a_verdict_does_not_outlive_the_loop_that_makes_it() -> None:
    """A stuck evaluation must not look healthy."""
    world = _born()
    assert world.run(30, lambda: world.report(c200=5)).state == "healthy"
    world.clock.advance(60)
    assert world.book.status("checkout").state == "healthy"
    world.clock.advance(60)
    for status in (world.book.status("checkout"), *world.book.statuses()):
        assert status.state == "no data"
        assert status.reason.startswith("not evaluated for 2 min")
    assert world.run(1, lambda: world.report(c200=5)).state == "healthy"


def test_one_report_of_a_dead_sender_does_not_count_for_minutes() -> None:
    """counter: false: Prometheus's lookback of five minutes would make five good minutes of one sample."""
    world = World.make()
    world.book.apply([slo(counter=False, good="good_last_minute", total="all_last_minute")])
    for _ in range(5):
        world.clock.advance(30)
        world.samples.add("good_last_minute", world.clock.now_ms(), 60)
        world.samples.add("all_last_minute", world.clock.now_ms(), 60)
        world.clock.advance(30)
        world.book.tick()
    assert world.run(600, step_s=10).total <= 6 * 60
    assert world.book.status("checkout").state == "no data"


def test_late_data_is_counted_also_when_the_window_grows_meanwhile() -> None:
    world, fails = World.make(), False

    def select(*arguments: Any) -> Any:
        if fails:
            raise Unavailable("the telemetry database does not answer")
        return world.samples.select(*arguments)

    take_oldest_write_ms = world.samples.take_oldest_write_ms
    world.book = ObjectiveBook(select, take_oldest_write_ms, MemoryLedger(), world.clock)
    world.born("200")
    world.book.apply([slo(window="1d")])
    world.run(3600, lambda: world.report(c200=10), step_s=10)
    fails = True  # so that what comes late has to wait
    world.samples.add("requests_total", T0 + 600_500, 0, code="late")
    world.samples.add("requests_total", T0 + 601_500, 77, code="late")
    world.run(1)
    fails = False
    world.book.apply([slo(window="30d")])
    assert world.run(30).total == 3600 + 77


def test_a_target_that_rounds_to_100_percent_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves no error budget"):
        slo(target="0.99999999999999999999")  # type: ignore[arg-type]

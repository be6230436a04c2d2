"""History that is read from another server: counted beside the evaluation, shared, given back, never asked twice."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from setpoint.clock import VirtualClock
from setpoint.errors import InvalidInput, Unavailable
from setpoint.objective import ObjectiveBook
from setpoint.objective.counting.feed import Feed
from setpoint.objective.resolve import no_groups, resolve
from setpoint.telemetry.model import Matcher, SampleColumns
from tests.objective.memory import MemoryLedger, Samples
from tests.objective.test_book import T0, slo

HOUR_MS = 3_600_000


class Far:
    """Another server: its samples of the last two hours are at hand, older ones are fetched."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock, self.samples = clock, Samples()
        self.asked: list[tuple[int, int]] = []
        self.error: Exception | None = None
        self.most_ms = 10**12
        self.fault: str | None = None

    def fill(self, hours: float) -> None:
        for count, at_ms in enumerate(range(T0 - round(hours * HOUR_MS), T0 + 1, 15_000), 1):
            self.samples.add("requests_total", at_ms, 9 * count, code="200")
            self.samples.add("requests_total", at_ms, count, code="500")

    def fetch(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        self.asked.append((start_ms, end_ms))
        if self.error is not None:
            raise self.error
        if end_ms - start_ms > self.most_ms:
            raise InvalidInput("too many samples at once")
        return self.samples.select(matchers, start_ms, end_ms)

    def feed(self, name: str) -> Feed:
        assert name == "far"
        return Feed(
            self.samples.select,
            self.samples.take_oldest_write_ms,
            lambda: self.clock.now_ms() - 30 * 24 * HOUR_MS,
            lambda: self.clock.now_ms() - 34 * 24 * HOUR_MS,
            self.fetch,
            lambda: self.fault,
        )

    def book(self, store: MemoryLedger) -> ObjectiveBook:
        return ObjectiveBook(Samples().select, lambda: None, store, self.clock, feeds=self.feed)


@pytest.fixture
def far() -> Far:
    made = Far(VirtualClock(T0))
    made.fill(30)
    return made


def objectives(*names: str, **settings: Any) -> list[Any]:
    return [slo(name, **({"window": "1d", "source": "far"} | settings)) for name in names]


def count(book: ObjectiveBook) -> int:
    """Count what is pending; how many chunks that took."""
    for steps in range(500):
        if book.fetched.step("far") is None:
            book.tick()
            return steps
    raise AssertionError("there is no end")


def test_a_day_is_counted_beside_the_ticks(far: Far) -> None:
    book = far.book(MemoryLedger())
    book.apply(objectives("one"))
    for _ in range(20):
        book.tick()
    assert book.status("one").backfilling
    assert far.asked == []  # a tick never waits for another server
    assert count(book) == 5
    status = book.status("one")
    assert not status.backfilling
    assert (status.total, status.bad) == (1440 * 4 * 10, 1440 * 4)
    assert status.gap_minutes == 0


def test_objectives_go_back_together(far: Far) -> None:
    book = far.book(MemoryLedger())
    book.apply(objectives("one", "two", "three"))
    count(book)
    assert len(set(far.asked)) == 5
    assert len(far.asked) == 5 * 2  # of three that count the same, once
    assert far.asked[::2] == sorted(set(far.asked), reverse=True)


def test_what_cannot_be_fetched_waits(far: Far, caplog: pytest.LogCaptureFixture) -> None:
    book = far.book(MemoryLedger())
    book.apply(objectives("one"))
    far.error = Unavailable("data source 'far': connection refused", retry_after_s=7)
    assert [book.fetched.step("far") for _ in range(3)] == [7, 7, 7]
    assert len(caplog.messages) == 1
    far.error = None
    count(book)
    assert book.status("one").total == 1440 * 4 * 10


def test_too_much_at_once_is_asked_for_in_parts(far: Far) -> None:
    book = far.book(MemoryLedger())
    far.most_ms = 3 * HOUR_MS
    book.apply(objectives("one"))
    count(book)
    assert book.status("one").total == 1440 * 4 * 10


def test_minutes_of_the_ledger_are_not_asked_again(far: Far) -> None:
    store = MemoryLedger()
    book = far.book(store)
    book.apply(objectives("one"))
    count(book)
    book.close()
    far.asked.clear()
    far.clock.advance(20 * 60)
    again = far.book(store)
    again.apply(objectives("one"))
    again.tick()
    count(again)
    assert again.status("one").total > 1400 * 4 * 10
    assert min(start for start, _ in far.asked) >= T0 - 2 * HOUR_MS
    again.close()


def test_history_that_was_half_counted_goes_on(far: Far) -> None:
    store = MemoryLedger()
    book = far.book(store)
    book.apply(objectives("one"))
    for _ in range(2):
        book.fetched.step("far")
    book.close()
    reached_ms = min(start for start, _ in far.asked) + HOUR_MS
    far.asked.clear()
    again = far.book(store)
    again.apply(objectives("one"))
    count(again)
    older = [end for _, end in far.asked if end <= reached_ms + 60_000]
    assert len(older) >= 4
    assert again.status("one").total == 1440 * 4 * 10
    again.close()


def test_the_source_says_why_nothing_comes(far: Far) -> None:
    book = far.book(MemoryLedger())
    book.apply(objectives("one"))
    assert book.status("one").state != "no data"
    far.fault = "data source 'far': connection refused"
    far.clock.advance(60)
    book.tick()
    assert book.status("one").state != "no data"  # samples are still young
    far.clock.advance(60)
    book.tick()
    assert (book.status("one").state, book.status("one").reason) == ("no data", far.fault)
    far.fault = None
    book.tick()
    assert book.status("one").reason.endswith(": the total query returns nothing")


def test_an_objective_that_changes_while_its_past_is_fetched(far: Far) -> None:
    store = MemoryLedger()
    book = far.book(store)
    book.apply(objectives("one", window="1h"))
    book.apply(objectives("one", window="1h"))
    before = book.status("one").window_s

    def change(matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        if len(far.asked) == 0:
            book.apply(objectives("one", window="1d"))
        return Far.fetch(far, matchers, start_ms, end_ms)

    far.fetch = change  # type: ignore[method-assign]
    book.apply(objectives("one", window="1h", target=0.9))
    assert book.fetched.step("far") == 0
    assert book.status("one").window_s > before
    count(book)
    assert book.status("one").total == 1440 * 4 * 10


def test_one_thread_for_each_source_until_stopped(far: Far) -> None:
    book = far.book(MemoryLedger())
    book.apply(objectives("one", "two"))
    stop = threading.Event()
    thread = threading.Thread(target=book.fetched.run, args=(stop,))
    thread.start()
    for _ in range(200):
        book.tick()
        if not book.status("two").backfilling and not book.status("one").backfilling:
            break
        stop.wait(0.1)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert book.status("one").total == book.status("two").total == 1440 * 4 * 10


def test_a_book_without_sources_refuses() -> None:
    book = ObjectiveBook(Samples().select, lambda: None, MemoryLedger(), VirtualClock(T0))
    with pytest.raises(InvalidInput, match="there is no data source 'far'"):
        book.apply(objectives("one"))


def test_the_ledger_knows_the_source_apart() -> None:
    own, other = (resolve([document], no_groups)[0] for document in (slo("one"), slo("one", source="far")))
    assert own.ledger_key != other.ledger_key

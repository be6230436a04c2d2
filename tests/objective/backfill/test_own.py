"""History of many objectives: read together from where it is stored, beside the ticks."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.clock import VirtualClock
from setpoint.errors import InvalidInput, SetpointError, Unavailable
from setpoint.objective import ObjectiveBook
from setpoint.objective.counting.count import EventCounter
from setpoint.objective.counting.feed import Feed
from setpoint.objective.counting.plan import Counting, Plan
from setpoint.objective.model import Objective
from setpoint.telemetry.head import Head
from setpoint.telemetry.model import Matcher, SampleColumns
from tests.objective.memory import MemoryLedger, Samples
from tests.objective.test_book import T0, slo

MINUTE_MS = 60_000
SERVICES = ("shop", "a|b", "x.y-z", "(", "", 'q"\\d')


class Store:
    """Samples that are not in memory any more; the head is empty and begins to cover at `covered_ms`."""

    def __init__(self) -> None:
        self.samples, self.head = Samples(), Head(MINUTE_MS)
        self.head.complete_from(T0)
        self.asked: list[Sequence[Matcher]] = []
        self.most = 10**9
        self.error: SetpointError | None = None

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        self.asked.append(matchers)
        if self.error is not None:
            raise self.error
        found = self.samples.select(matchers, start_ms, end_ms)
        if len(found.labels) > self.most:
            raise InvalidInput("too many samples at once")
        return found

    def feed(self, source: str) -> Feed:
        del source
        return Feed(self.select, lambda: None, lambda: None, lambda: 0, head=self.head)

    def plan(self, objectives: Sequence[Objective]) -> Plan:
        return Counting(self.feed).plan(objectives)


def of_service(service: str, *, by: str = "") -> Objective:
    text = service.replace("\\", "\\\\").replace('"', '\\"')
    total, good = f'http{{service="{text}"}}', f'http{{service="{text}",code!~"5.."}}'
    return Objective(text or "none", "s", 0.9, 86_400, f"sum{by}({total})", f"sum{by}({good})")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equals_reading_for_each_objective(seed: int) -> None:
    rng = random.Random(seed)
    store = Store()
    for _ in range(rng.randrange(300)):
        labels = {
            "service": rng.choice(SERVICES),
            "code": rng.choice(("200", "500")),
            "pod": rng.choice("ab"),
        }
        at_ms = T0 - rng.randrange(300) * 15_000
        store.samples.add(rng.choice(("http", "https")), at_ms, float(rng.randrange(100)), **labels)
    objectives = [of_service(service, by=rng.choice(("", " by (code)"))) for service in SERVICES]
    objectives += [
        Objective("all", "s", 0.9, 86_400, "sum(http)", "sum(http) - sum(https)"),
        Objective("gauge", "s", 0.9, 86_400, "sum(http)", 'sum(https{pod="a"})', is_counter=False),
    ]
    store.most = rng.choice((10**9, 5))
    plan = store.plan(objectives)
    end = T0 // MINUTE_MS - rng.randrange(5)
    first = end - rng.randrange(1, 80)
    found = plan.count(np.arange(len(objectives)), first, end, 60, history=True)
    store_most, store.most = store.most, 10**9
    for number, one in enumerate(objectives):
        if number in found.errors and found.errors[number].message == "too many samples at once":
            assert store_most == 5
            continue
        try:
            right = EventCounter(one, store.select).count(first, end, 60)
        except InvalidInput as error:
            assert found.errors[number].message == error.message
            continue
        assert found.total[number].tolist() == right.total.tolist()
        assert found.good[number].tolist() == right.good.tolist()
        assert found.present[number].tolist() == right.present.tolist()


def test_many_objectives_are_read_with_few_questions() -> None:
    store = Store()
    names = [f"service-{number}" for number in range(100)]
    for name in names:
        for minute in range(3):
            store.samples.add("http", T0 - minute * MINUTE_MS, 30.0 - minute, service=name, code="200")
    plan = store.plan([of_service(name) for name in names])
    found = plan.count(np.arange(100), T0 // MINUTE_MS - 2, T0 // MINUTE_MS, 60, history=True)
    assert found.total.sum() == found.good.sum() == 200
    assert len(store.asked) <= 2


def test_what_cannot_be_read_is_an_error_of_all() -> None:
    store = Store()
    store.error = Unavailable("the database is away")
    plan = store.plan([of_service("one"), of_service("other")])
    found = plan.count(np.arange(2), 0, 2, 60, history=True)
    assert [found.errors[number].message for number in (0, 1)] == ["the database is away"] * 2
    assert not found.present.any()


class Past:
    """Our own telemetry in a book's tests."""

    def __init__(self, hours: float) -> None:
        self.clock, self.samples = VirtualClock(T0), Samples()
        self.error: Exception | None = None
        self.threads: set[str] = set()
        for count, at_ms in enumerate(range(T0 - round(hours * 3_600_000), T0 + 1, 15_000), 1):
            self.samples.add("requests_total", at_ms, 10.0 * count, code="200")

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        if start_ms < T0 - 3 * 3_600_000:
            self.threads.add(threading.current_thread().name)
            if self.error is not None:
                raise self.error
        return self.samples.select(matchers, start_ms, end_ms)

    def book(self) -> ObjectiveBook:
        return ObjectiveBook(
            self.select,
            self.samples.take_oldest_write_ms,
            MemoryLedger(),
            self.clock,
            oldest_sample_ms=self.samples.oldest_sample_ms,
        )


def follow(book: ObjectiveBook, stop: threading.Event) -> None:
    for _ in range(300):
        book.tick()
        if not book.status("one").backfilling:
            return
        stop.wait(0.05)


def test_history_is_counted_beside_the_ticks(caplog: pytest.LogCaptureFixture) -> None:
    past = Past(30)
    past.error = Unavailable("the database is away")
    book = past.book()
    book.apply([slo("one", window="1d")])
    stop = threading.Event()
    thread = threading.Thread(target=book.fetched.run, args=(stop,))
    with caplog.at_level(logging.WARNING):
        thread.start()
        for _ in range(100):
            if caplog.text:
                break
            stop.wait(0.05)
    past.error = None
    follow(book, stop)
    stop.set()
    thread.join(10)
    assert past.threads == {"history"}
    assert book.status("one").total == 1440 * 4 * 10
    assert caplog.text.count("history of objectives waits: the database is away") == 1

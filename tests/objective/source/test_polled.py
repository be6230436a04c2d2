"""Objectives over spans and SQL are kept current by the threads that count them: live, late, history, faults."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from setpoint.clock import SystemClock, VirtualClock
from setpoint.database import TelemetryDatabase
from setpoint.errors import InvalidInput, Unavailable
from setpoint.objective.ledger.ledger import Ledger, Slots
from setpoint.objective.model import Objective
from setpoint.objective.source.outcome import Outcome
from setpoint.objective.source.polled import Polled
from setpoint.objective.source.span_count import SpanCounter
from setpoint.objective.source.sql_count import SqlCounter
from tests.objective.spans import Span, store_spans

MINUTE_MS = 60_000
NOW_MS = SystemClock().now_ms() // MINUTE_MS * MINUTE_MS
STEADY_MS = 1_790_000_100_000
"""A whole minute, and not a whole hour, for tests without a database."""

DAY_MINUTES = 1440


@dataclass
class Shelf:
    """The book as `Polled` sees it."""

    objectives: list[Objective]
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    notes: dict[str, tuple[str | None, float]] = field(default_factory=dict)
    is_loaded: bool = True
    begins_ms: dict[str, int] = field(default_factory=dict)

    def polled(self) -> list[Objective]:
        return self.objectives

    def first_ms(self, objective: Objective) -> int | None:
        return self.begins_ms.get(objective.name)

    def ledger(self, name: str) -> Ledger:
        return self.ledgers.setdefault(name, Ledger())

    def known(self, name: str, first: int, end: int) -> Slots | None:
        return self.ledger(name).slots(first, end) if self.is_loaded else None

    def put(self, name: str, raw: Slots) -> None:
        assert self.is_loaded
        self.ledger(name).write(raw)

    def note(self, name: str, *, fault: str | None, history_done: float) -> None:
        self.notes[name] = fault, history_done

    def total(self, name: str) -> float:
        ledger = self.ledger(name)
        return ledger.counts(ledger.first, ledger.end).total


class Steps:
    """A counter of one good event a minute; it remembers what it was asked for, and can fail."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], int, int]] = []
        self.error: Exception | None = None
        self.news = True
        self.oldest: int | None = 0
        self.is_gone_before = 0
        self.stopping: Callable[[], bool] = lambda: False

    def count(self, objectives: Sequence[Objective], first: int, end: int) -> list[Outcome]:
        self.asked.append((tuple(one.name for one in objectives), first, end))
        if isinstance(self.error, InvalidInput | Unavailable):
            return [Outcome(None, self.error)] * len(objectives)
        present = np.arange(first, end) >= self.is_gone_before
        ones = present.astype(np.float64)
        return [Outcome(Slots(first, ones.copy(), ones.copy(), present.copy())) for _ in objectives]

    def oldest_ms(self) -> int | None:
        return self.oldest

    def has_news(self) -> bool:
        return self.news


def objective(name: str = "pay", window_s: int = 86_400, *, total: Any = None, **more: Any) -> Objective:
    text = json.dumps({"service": ["shop"]} | (total or {}))
    more = {"bad_query": json.dumps({"status": ["error"]}), "engine": "spans"} | more
    return Objective(name, "shop", 0.99, window_s, text, is_counter=False, **more)


def settle(polled: Polled, clock: VirtualClock, seconds: float) -> None:
    """Let time pass, as fast as `step` asks for."""
    end_ms = clock.now_ms() + round(seconds * 1000)
    while clock.now_ms() < end_ms:
        clock.advance(max(0.05, polled.step()))


def make(
    shelf: Shelf, counter: Any, *, engine: str = "spans", now_ms: int = STEADY_MS
) -> tuple[Polled, VirtualClock]:
    clock = VirtualClock(now_ms)
    return Polled(shelf, engine, counter, clock, final_after_s=300, counts_running=engine == "spans"), clock


def test_the_groups_of_a_declaration_are_counted_in_one_turn() -> None:
    """However many they are, live and for history, and also when one came later."""
    groups = [objective(f"pay.{i}", group={"operation": f"op-{i}"}) for i in range(100)]
    shelf, counter = Shelf(groups[:99]), Steps()
    polled, clock = make(shelf, counter)
    settle(polled, clock, 60)
    assert {len(names) for names, _, _ in counter.asked} == {99}
    assert min(first for _, first, _ in counter.asked) <= STEADY_MS // MINUTE_MS - 1439
    shelf.objectives = groups
    settle(polled, clock, 60)
    counter.asked.clear()
    settle(polled, clock, 60)
    assert {len(names) for names, _, _ in counter.asked} == {100}


def test_before_a_group_was_there_nothing_is_counted() -> None:
    shelf, counter = Shelf([objective("new"), objective("old")]), Steps()
    shelf.begins_ms["new"] = STEADY_MS - 90 * MINUTE_MS
    polled, clock = make(shelf, counter)
    settle(polled, clock, 60)
    assert shelf.ledger("new").first == STEADY_MS // MINUTE_MS - 90
    assert shelf.ledger("old").first == STEADY_MS // MINUTE_MS - 1440


def test_spans_live_late_and_before(telemetry_database: TelemetryDatabase) -> None:
    start_ms = NOW_MS - 180 * MINUTE_MS
    store_spans(telemetry_database, [Span(start_ms + i * MINUTE_MS + 1000) for i in range(170)], NOW_MS)
    shelf = Shelf([objective(), objective("errors", good_query='{"status":["error"]}', bad_query=None)])
    polled, clock = make(shelf, SpanCounter(telemetry_database), now_ms=start_ms + 120 * MINUTE_MS)
    settle(polled, clock, 30)
    first = start_ms // MINUTE_MS
    assert shelf.ledger("pay").counts(first, first + 121).total == 121
    assert shelf.ledger("pay").counts(first, first + 121).good == 121
    assert shelf.ledger("errors").counts(first, first + 121).good == 0
    assert shelf.notes.get("pay", (None, 1.0)) == (None, 1.0)
    late = Span(start_ms + 117 * MINUTE_MS + 2000, status=2)
    store_spans(telemetry_database, [late], NOW_MS)
    settle(polled, clock, 15)
    assert shelf.ledger("pay").counts(first, first + 121).bad == 1


def test_sql_counts_whole_minutes(telemetry_database: TelemetryDatabase) -> None:
    text = (
        "SELECT toStartOfMinute(fromUnixTimestamp64Nano(start_ns)) AS minute, count() AS value FROM spans "
        "WHERE start_ns >= {from_s:Int64} * 1000000000 AND start_ns < {to_s:Int64} * 1000000000 GROUP BY minute"
    )
    store_spans(telemetry_database, [Span(NOW_MS - i * 30_000 + 1000) for i in range(100)], NOW_MS)
    one = Objective("pay", "shop", 0.99, 3600, text, text, engine="sql", is_counter=False)
    broken = Objective("broken", "shop", 0.99, 3600, text, text.replace("spans", "nowhere"), engine="sql")
    shelf = Shelf([one, broken, objective("other")])
    polled, clock = make(shelf, SqlCounter(telemetry_database), engine="sql", now_ms=NOW_MS)
    settle(polled, clock, 60)
    now = NOW_MS // MINUTE_MS
    assert shelf.ledger("pay").counts(now - 40, now + 5).total == 80  # from now on the minute has not ended
    fault, done = shelf.notes["broken"]
    assert fault is not None
    assert fault.startswith("the good query: ")
    assert "nowhere" in fault
    assert done < 1
    assert shelf.total("broken") == 0
    assert "other" not in shelf.ledgers


def test_history_is_counted_newest_first_and_goes_on_after_a_restart() -> None:
    shelf, counter = Shelf([objective(window_s=3 * 86_400)]), Steps()
    polled, clock = make(shelf, counter)
    running = (STEADY_MS - 1) // MINUTE_MS
    for _ in range(4):
        polled.step()
    stretches = [(first, end) for _, first, end in counter.asked]
    assert stretches[0] == (running - 5, running + 1)
    assert all(one[0] == two[1] for one, two in itertools.pairwise(stretches))
    assert stretches[1][1] == running - 5
    assert 0 < shelf.notes["pay"][1] < 1
    counted_from = stretches[-1][0]

    polled, clock = make(shelf, counter)
    counter.asked.clear()
    settle(polled, clock, 20)
    assert shelf.total("pay") == 3 * DAY_MINUTES + 1
    assert min(first for _, first, _ in counter.asked) == running + 1 - 3 * DAY_MINUTES
    again = sum(max(0, end - max(first, counted_from)) for _, first, end in counter.asked)
    assert again < 180  # what was not final, and hours of which a part was missing
    assert shelf.notes["pay"] == (None, 1.0)


def test_objectives_are_counted_together_and_only_once() -> None:
    shelf, counter = Shelf([objective(f"o{i}") for i in range(5)]), Steps()
    polled, clock = make(shelf, counter)
    settle(polled, clock, 5)
    assert {len(names) for names, _, _ in counter.asked} == {5}
    before = len(counter.asked)
    settle(polled, clock, 60)
    assert 6 <= len(counter.asked) - before <= 8


def test_without_news_nothing_is_asked() -> None:
    shelf, counter = Shelf([objective(window_s=600)]), Steps()
    counter.news = False
    polled, clock = make(shelf, counter, now_ms=STEADY_MS + 1)
    settle(polled, clock, 55)
    assert len(counter.asked) == 2  # the live minutes and the history
    settle(polled, clock, 15)
    assert len(counter.asked) == 3  # another minute began


def test_what_the_database_forgot_stays_in_the_ledger() -> None:
    shelf, counter = Shelf([objective()]), Steps()
    running = (STEADY_MS - 1) // MINUTE_MS
    known = Slots(running - 700, np.full(600, 7.0), np.full(600, 9.0), np.ones(600, np.bool_))
    known.present[300] = False
    shelf.put("pay", known)
    counter.is_gone_before = running - 90
    polled, clock = make(shelf, counter)
    settle(polled, clock, 20)
    counts = shelf.ledger("pay").counts(running - 700, running - 100)
    assert (counts.good, counts.total, counts.minutes) == (7 * 599, 9 * 599, 599)


def test_a_query_that_fails_is_tried_again_and_leaves_no_hole() -> None:
    shelf, counter = Shelf([objective(window_s=7200)]), Steps()
    counter.error = InvalidInput("the spans cannot be counted: no")
    polled, clock = make(shelf, counter)
    settle(polled, clock, 300)
    assert shelf.notes["pay"][0] == "the spans cannot be counted: no"
    assert len(counter.asked) < 12
    counter.error = Unavailable("the telemetry database does not answer")
    settle(polled, clock, 100 * 60)
    assert shelf.notes["pay"][0] == "the telemetry database does not answer"
    counter.error = None
    settle(polled, clock, 90)
    assert shelf.notes["pay"] == (None, 1.0)
    now = (clock.now_ms() - 1) // MINUTE_MS
    assert shelf.ledger("pay").counts(now - 120, now).total == 120


def test_a_hiccup_of_the_database_is_not_told() -> None:
    shelf, counter = Shelf([objective(window_s=600)]), Steps()
    polled, clock = make(shelf, counter)
    settle(polled, clock, 5)
    counter.error = Unavailable("not now")
    settle(polled, clock, 45)
    assert shelf.notes.get("pay", (None, 1.0))[0] is None
    settle(polled, clock, 90)
    assert shelf.notes["pay"][0] == "not now"
    counter.error = None
    settle(polled, clock, 90)
    assert shelf.notes["pay"] == (None, 1.0)


def test_history_waits_for_the_database() -> None:
    shelf, counter = Shelf([objective()]), Steps()
    polled, clock = make(shelf, counter)
    polled.step()
    counter.error = Unavailable("not now")
    with pytest.raises(Unavailable):
        polled.step()
    counter.error = None
    settle(polled, clock, 20)
    assert shelf.total("pay") == DAY_MINUTES + 1


def test_history_that_is_too_much_is_taken_in_parts() -> None:
    class Narrow(Steps):
        def count(self, objectives: Sequence[Objective], first: int, end: int) -> list[Outcome]:
            if end - first > 20:
                return [Outcome(None, InvalidInput("too much"))] * len(objectives)
            return super().count(objectives, first, end)

    shelf = Shelf([objective()])
    polled, clock = make(shelf, Narrow())
    settle(polled, clock, 20)
    assert shelf.total("pay") == DAY_MINUTES + 1


def test_an_objective_waits_for_its_ledger_and_a_changed_one_begins_anew() -> None:
    shelf, counter = Shelf([objective(window_s=3600)], is_loaded=False), Steps()
    polled, clock = make(shelf, counter)
    settle(polled, clock, 3)
    assert not counter.asked
    shelf.is_loaded = True
    settle(polled, clock, 3)
    assert shelf.total("pay") == 60
    shelf.ledgers.clear()
    shelf.objectives = [objective(window_s=3600, total={"operation": ["GET /"]})]
    settle(polled, clock, 3)
    assert shelf.total("pay") == 60
    shelf.objectives = []
    settle(polled, clock, 3)


def test_a_clock_that_is_set_back_does_not_stop_the_counting() -> None:
    shelf, counter = Shelf([objective(window_s=3600)]), Steps()
    polled, clock = make(shelf, counter)
    settle(polled, clock, 30)
    clock.advance(-7200)
    before = len(counter.asked)
    settle(polled, clock, 15)
    assert len(counter.asked) > before


def test_nothing_stored_is_no_history() -> None:
    shelf, counter = Shelf([objective()]), Steps()
    counter.oldest = None
    polled, clock = make(shelf, counter)
    settle(polled, clock, 5)
    assert len(counter.asked) == 1


def test_what_is_cut_off_by_the_end_is_no_fault() -> None:
    class Cut(Steps):
        def count(self, objectives: Sequence[Objective], first: int, end: int) -> list[Outcome]:
            stop.set()
            return [Outcome(None, Unavailable("Setpoint stops"))] * len(objectives)

    stop = threading.Event()
    shelf = Shelf([objective()])
    polled, _ = make(shelf, Cut())
    polled.run(stop)
    assert shelf.notes.get("pay", (None, 0.0))[0] is None

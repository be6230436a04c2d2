"""The book on a virtual clock: live states, late data, history, failures, and a restart on a real chdb."""

from __future__ import annotations

import itertools
import math
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.clock import VirtualClock
from setpoint.database import TelemetryDatabase
from setpoint.errors import NotFound, Unavailable
from setpoint.objective import LedgerStore, ObjectiveBook, ObjectiveStatus
from setpoint.objective.overview import STATES
from setpoint.objective.resolve import no_groups, resolve
from tests.objective import documents
from tests.objective.memory import MemoryLedger, Samples

T0 = 1_790_000_040_000 - 1_790_000_040_000 % 60_000  # on a minute
DAY = 86_400


def slo(
    name: str = "checkout", *, target: float = 0.999, window: str = "30d", **queries: Any
) -> SimpleNamespace:
    """A document as `resource` hands it over."""
    counter = queries.pop("counter", True)
    ref = {"metricSourceRef": source} if (source := queries.pop("source", "")) else {}
    texts = queries or {"good": 'sum(requests_total{code!~"5.."})', "total": "sum(requests_total)"}
    metrics = {role: {"metricSource": {"spec": {"query": text}} | ref} for role, text in texts.items()}
    return documents.slo(
        name,
        service="checkout",
        indicator={"spec": {"ratioMetric": {"counter": counter, **metrics}}},
        timeWindow=[{"duration": window, "isRolling": True}],
        objectives=[{"target": target}],
    )


@dataclass
class World:
    """A clock, samples, a ledger store and a book."""

    clock: VirtualClock
    samples: Samples
    store: LedgerStore
    book: ObjectiveBook
    changes: list[tuple[str, str | None]]
    counters: dict[str, float]

    @classmethod
    def make(cls, store: LedgerStore | None = None, start_ms: int = T0, **settings: Any) -> World:
        clock, samples, store = VirtualClock(start_ms), Samples(), store or MemoryLedger()
        changes: list[tuple[str, str | None]] = []
        book = cls.open(clock, samples, store, changes, **settings)
        return cls(clock, samples, store, book, changes, {})

    @staticmethod
    def open(
        clock: VirtualClock, samples: Samples, store: LedgerStore, changes: list[Any], **settings: Any
    ) -> ObjectiveBook:
        def note(status: ObjectiveStatus, previous: ObjectiveStatus | None) -> None:
            changes.append((status.state, previous.state if previous else None))

        return ObjectiveBook(
            samples.select,
            samples.take_oldest_write_ms,
            store,
            clock,
            oldest_sample_ms=samples.oldest_sample_ms,
            on_change=note,
            **settings,
        )

    def restart(self, store: LedgerStore) -> None:
        """The same samples, another process."""
        self.changes.clear()
        self.samples.take_oldest_write_ms()
        self.book = self.open(self.clock, self.samples, store, self.changes)

    def born(self, *codes: str) -> None:
        for code in codes:
            self.report(**{f"c{code}": 0})

    def report(self, at_ms: int | None = None, **requests: int) -> None:
        """Add requests per code (`c200=5`) and report the counters now."""
        for name, count in requests.items():
            code = name.removeprefix("c")
            self.counters[code] = self.counters.get(code, 0) + count
            self.samples.add("requests_total", at_ms or self.clock.now_ms(), self.counters[code], code=code)

    def run(self, seconds: int, each: Callable[[], None] | None = None, step_s: int = 1) -> ObjectiveStatus:
        """Advance second by second, report with `each`, tick; the last status of the first objective."""
        for _ in range(0, seconds, step_s):
            self.clock.advance(step_s)
            if each is not None:
                each()
            self.book.tick()
        return self.book.statuses()[0]


@pytest.fixture
def world() -> Iterator[World]:
    world = World.make()
    world.born("200", "500")
    world.book.apply([slo()])
    yield world
    world.book.close()


def test_nothing_ever_is_no_data() -> None:
    world = World.make()
    world.book.apply([slo()])
    status = world.book.status("checkout")
    assert status.state == "no data"
    assert status.budget_left is None
    assert status.reason.startswith("no events yet")
    assert world.changes == [("no data", None)]


def test_healthy_with_exact_counts(world: World) -> None:
    status = world.run(120, lambda: world.report(c200=50))
    world.report(c500=1)
    status = world.run(1)
    assert (status.state, status.total, status.bad) == ("healthy", 6001, 1)
    assert status.budget_left == pytest.approx(1 - 1 / 6.001)
    assert status.explanation.endswith("1 − 1 / (6,001 × 0.001) = 83.3 %")
    assert status.covered_s == pytest.approx(121, abs=60)
    assert status.gap_minutes == 0
    assert status.last_event_ms == T0 + 120_000
    assert "of the budget left: 1 bad event of 6.0 allowed in " in status.reason


def test_burning_is_seen_within_seconds_and_ends(world: World) -> None:
    world.book.apply([slo(target=0.99)])
    world.run(600, lambda: world.report(c200=200))
    world.changes.clear()
    started_ms = world.clock.now_ms()
    while world.book.status("checkout").state == "healthy":
        world.run(1, lambda: world.report(c200=140, c500=60))
        assert world.clock.now_ms() - started_ms <= 10_000
    assert world.changes == [("burning", "healthy")]
    status = world.book.status("checkout")
    watch = next(rate for rate in status.burn if rate.severity == "watch")
    assert watch.firing
    assert status.reason.startswith("burning ")
    status = world.run(15, lambda: world.report(c200=140, c500=60))
    assert status.reason.startswith("burning 30.0×: ")
    assert status.burn_now == pytest.approx(30)
    assert "at this rate the budget is gone in" in status.reason
    status = world.run(60, lambda: world.report(c200=200))
    assert status.state == "healthy"
    assert world.changes == [("burning", "healthy"), ("healthy", "burning")]


def test_a_fault_right_after_a_surge_shows_within_half_a_minute(world: World) -> None:
    world.book.apply([slo(target=0.99)])
    world.run(60, lambda: world.report(c200=200))
    started_ms = world.clock.now_ms()
    while world.book.status("checkout").state != "burning":
        world.run(1, lambda: world.report(c200=3, c500=1))
        assert world.clock.now_ms() - started_ms <= 20_000


def test_a_few_failures_do_not_burn(world: World) -> None:
    world.run(60, lambda: world.report(c200=1))
    world.report(c500=3)
    watch = next(rate for rate in world.run(2).burn if rate.severity == "watch")
    assert watch.long_burn is not None
    assert watch.long_burn > 6
    assert not watch.firing


def test_senders_that_report_every_ten_seconds_do_not_flicker(world: World) -> None:
    world.book.apply([slo(target=0.9)])

    def every_ten(**requests: int) -> Callable[[], None]:
        return lambda: world.report(**requests) if world.clock.now_ms() % 10_000 == 0 else None

    world.run(600, every_ten(c200=100))
    world.changes.clear()
    world.run(60, every_ten(c200=10, c500=90))
    assert world.changes == [("burning", "healthy")]


def test_an_outage_whose_good_series_is_missing_is_all_bad() -> None:
    world = World.make()
    world.born("500")
    world.book.apply([slo(good='sum(requests_total{code="200"})', total="sum(requests_total)")])
    status = world.run(20, lambda: world.report(c500=5))
    assert (status.good, status.total, status.state) == (0, 100, "exhausted")
    assert status.budget_left == pytest.approx(1 - 1000)
    assert status.exhaustion_s == 0
    assert status.exhausted_since_ms is not None


def test_a_missing_bad_series_means_none_was_bad() -> None:
    world = World.make()
    world.born("200")
    world.book.apply([slo(bad='sum(requests_total{code="500"})', total="sum(requests_total)")])
    status = world.run(20, lambda: world.report(c200=5))
    assert (status.bad, status.total, status.state) == (0, 100, "healthy")
    world.born("500")
    world.clock.advance(1)
    world.report(c500=1)
    assert world.run(1).bad == 1


def test_silence_is_never_healthy(world: World) -> None:
    world.run(120, lambda: world.report(c200=50))
    world.changes.clear()
    seen = {world.run(1).state for _ in range(80)}
    assert seen == {"healthy"}
    status = world.run(20)
    assert status.state == "no data"
    assert status.reason.startswith("no events for 1 min")
    assert status.budget_left == 1  # what was counted stays counted
    status = world.run(60, lambda: world.report(c200=50))
    assert status.state == "healthy"
    assert [change for change, _ in world.changes] == ["no data", "healthy"]
    world.run(120, lambda: world.report(c200=50))
    assert world.book.status("checkout").gap_minutes == 1


def test_samples_that_count_nothing_are_no_data(world: World) -> None:
    status = world.run(30, lambda: world.report(c200=0))
    assert status.state == "no data"
    assert "samples arrive, but they count nothing" in status.reason
    assert status.budget_left is None


@pytest.mark.parametrize("bad_for_minutes", [1, 15, 516, 517, 518, 1400])
def test_since_when_it_is_exhausted(bad_for_minutes: int) -> None:
    """From the minute on whose end the budget of a day was gone, however far back that is."""
    store, document = MemoryLedger(), slo(target=0.99, window="1d")
    end = T0 // 60_000 - 10  # younger minutes are counted live
    rows = store.rows.setdefault(resolve([document], no_groups)[0].ledger_key, {})
    for minute in range(end - 6000, end):
        rows[minute] = (0.0 if minute >= end - bad_for_minutes else 100.0, 100.0)
    world = World.make(store)
    world.book.apply([document])
    status = world.book.status("checkout")
    spent = 15  # the bad minute that makes 1 % of the 1,440: 14.4
    since = end - bad_for_minutes + spent
    assert status.exhausted_since_ms == (since * 60_000 if bad_for_minutes >= spent else None)


def test_no_data_stands_above_exhausted(world: World) -> None:
    assert world.run(30, lambda: world.report(c500=5)).state == "exhausted"
    assert world.run(120).state == "no data"


def test_a_counter_reset_loses_nothing(world: World) -> None:
    world.run(60, lambda: world.report(c200=10))
    world.counters["200"] = 0  # the process starts anew
    status = world.run(60, lambda: world.report(c200=10))
    assert status.total == 1200


def test_late_data_is_counted(world: World) -> None:
    world.run(1200, lambda: world.report(c200=10), step_s=5)
    before = world.book.status("checkout").total
    # Another instance was cut off: its samples of the last 15 minutes arrive at once.
    now_ms = world.clock.now_ms()
    for ago_s in range(900, -1, -30):
        world.samples.add("requests_total", now_ms - ago_s * 1000, 30 - ago_s // 30, code="500", instance="b")
    for _ in range(3):
        status = world.run(1)
    assert status.total == before + 30
    assert status.bad == 30


def test_counted_minutes_outlive_their_samples(world: World) -> None:
    """A very late sample does not make minutes be counted again whose other samples were deleted since."""
    world.book.apply([slo(window="90d")])
    world.run(3600, lambda: world.report(c200=10), step_s=5)
    before = world.book.status("checkout").total
    world.clock.advance(40 * DAY)
    world.samples.forget_before(world.clock.now_ms() - 35 * DAY * 1000)
    world.samples.add("requests_total", T0 + 120_000, 7, code="200", instance="late")
    world.run(1)
    while world.book.status("checkout").backfilling:
        world.run(1)
    assert world.book.status("checkout").total == before == 7200


@pytest.mark.parametrize("part", ["good", "bad"])
def test_a_part_that_is_not_a_number_is_no_data(world: World, part: str) -> None:
    """0/0 in the bad query is not "none was bad"."""
    queries: dict[str, Any] = {part: "sum(broken)", "total": "sum(all_last_minute)"}
    world.book.apply([slo(counter=False, **queries)])

    def report() -> None:
        world.samples.add("all_last_minute", world.clock.now_ms(), 60)
        world.samples.add("broken", world.clock.now_ms(), math.nan)

    status = world.run(190, report)
    assert status.state == "no data"
    assert status.total == 0


def test_several_series_are_no_number(world: World) -> None:
    world.book.apply([slo(), slo("bare", good='requests_total{code="200"}', total="requests_total")])
    world.run(30, lambda: world.report(c200=5, c500=0))
    bare = world.book.status("bare")
    assert bare.state == "no data"
    assert bare.reason == "the total query returns 2 series instead of one number; write sum(…) around it"
    assert world.book.status("checkout").state == "healthy"


def test_history_that_cannot_be_counted_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    world = World.make()
    for minute in range(-600, 0):
        for code in ("200", "500"):
            world.samples.add("requests_total", world.clock.now_ms() + minute * 60_000, minute, code=code)
    world.book.apply([slo("bare", good="requests_total", total="requests_total")])
    while world.run(1).backfilling:
        pass
    assert sum("not counted" in record.message for record in caplog.records) == 1


def test_more_good_than_total_is_cut_and_told(world: World) -> None:
    world.book.apply([slo(good="sum(requests_total) * 2", total="sum(requests_total)")])
    status = world.run(30, lambda: world.report(c200=5))
    assert status.good == status.total == 150
    assert len(status.warnings) == 1
    assert "in 1 minute the good query counted" in status.warnings[0]


def test_values_of_minutes(world: World) -> None:
    """counter: false: the query's value at the end of a minute is that minute's number of events."""
    world.book.apply([slo(counter=False, good="sum(good_last_minute)", total="sum(all_last_minute)")])

    def report() -> None:
        world.samples.add("good_last_minute", world.clock.now_ms(), 59)
        world.samples.add("all_last_minute", world.clock.now_ms(), 60)

    status = world.run(190, report)
    assert (status.total, status.bad) == (180, 3)
    assert status.state == "exhausted"
    assert all(rate.severity != "watch" for rate in status.burn)


def test_history_before_the_objective_is_counted(world: World) -> None:
    """Newest first and a little per tick; live evaluation goes on meanwhile."""
    for minute in range(-7 * 24 * 60, 1):
        world.report(T0 + minute * 60_000, c200=99, c500=1 if minute % 2 else 0)
    world.book.apply([slo("late", window="7d", target=0.9)])
    first = world.book.status("late")
    assert first.backfilling
    assert first.total > 0
    ticks = 0
    while world.book.status("late").backfilling:
        world.run(1)
        ticks += 1
    assert 1 < ticks < 60
    status = world.book.status("late")
    assert status.total == pytest.approx(7 * 24 * 60 * 99.5, abs=200)
    history = world.book.past.history("late", T0 - 7 * DAY * 1000, T0, 100)
    assert history.has_data.all()
    assert history.total.sum() == pytest.approx(status.total, rel=0.01)


def test_burn_down_of_a_partly_filled_window(world: World) -> None:
    world.run(3600, lambda: world.report(c200=100), step_s=10)
    world.run(600, lambda: world.report(c200=90, c500=10), step_s=10)
    now_ms = world.clock.now_ms()
    history = world.book.past.history("checkout", now_ms - 2 * 3600_000, now_ms + 3600_000, 120)
    assert history.times_ms[-1] == now_ms
    assert np.isnan(history.budget_left[0])
    assert not history.has_data[0]
    assert history.covered[-1] == pytest.approx(4200 / (30 * DAY), rel=0.05)
    status = world.book.status("checkout")
    assert history.budget_left[-1] == pytest.approx(status.budget_left)
    assert history.budget_left[-20] == 1
    assert history.total.sum() == status.total
    assert history.burn[-1] > 1


def test_a_burn_down_of_all_time_takes_no_more_than_what_there_is(world: World) -> None:
    """An address with since=0 took 3.5 GB and 13 s."""
    world.run(600, lambda: world.report(c200=90, c500=10), step_s=10)
    now_ms = world.clock.now_ms()
    tracemalloc.start()
    try:
        history = world.book.past.history("checkout", 0, now_ms, 120)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    status = world.book.status("checkout")
    assert most < 10_000_000
    assert history.total.sum() == status.total
    assert history.budget_left[-1] == pytest.approx(status.budget_left)
    assert np.isnan(history.budget_left[0])


def test_a_failing_ledger_store_stops_nothing() -> None:
    store = MemoryLedger()
    world = World.make(store)
    world.born("200")
    world.book.apply([slo()])
    store.broken = True
    assert world.run(30, lambda: world.report(c200=5)).state == "healthy"
    store.broken = False
    world.run(20, lambda: world.report(c200=5))
    (rows,) = store.rows.values()
    assert sum(total for _, total in rows.values() if not math.isnan(total)) >= 200


def test_a_ledger_that_cannot_be_read_is_no_data_until_it_can() -> None:
    store = MemoryLedger()
    store.broken = True
    world = World.make(store)
    world.born("200")
    world.book.apply([slo()])
    status = world.run(30, lambda: world.report(c200=5))
    assert (status.state, status.reason) == ("no data", "the ledger does not answer")
    store.broken = False
    assert world.run(1).total == 150


def test_writes_are_few() -> None:
    store = MemoryLedger()
    world = World.make(store)
    world.born("200")
    world.book.apply([slo(f"o{i}") for i in range(5)])
    world.run(120, lambda: world.report(c200=5))
    assert store.writes <= 13


def test_a_failing_listener_stops_nothing() -> None:
    clock, samples = VirtualClock(T0), Samples()

    def fail(status: ObjectiveStatus, previous: ObjectiveStatus | None) -> None:
        raise RuntimeError("the listener fails")

    book = ObjectiveBook(samples.select, samples.take_oldest_write_ms, MemoryLedger(), clock, on_change=fail)
    book.apply([slo("a"), slo("b")])
    book.tick()
    assert [status.name for status in book.statuses()] == ["a", "b"]


def test_a_failing_select_is_no_data_with_the_reason(world: World) -> None:
    world.run(30, lambda: world.report(c200=5))
    select, failing = world.samples.select, True

    def sometimes(*arguments: Any) -> Any:
        if failing:
            raise Unavailable("the telemetry database does not answer")
        return select(*arguments)

    book = ObjectiveBook(sometimes, world.samples.take_oldest_write_ms, MemoryLedger(), world.clock)
    book.apply([slo()])
    assert book.status("checkout").state == "no data"
    assert book.status("checkout").reason == "the telemetry database does not answer"
    failing = False
    book.tick()
    assert book.status("checkout").state == "healthy"
    assert book.status("checkout").total == 150


def test_apply_adds_changes_and_removes(world: World) -> None:
    world.run(60, lambda: world.report(c200=999, c500=1))
    world.book.apply([slo(target=0.99), slo("second")])
    changed = world.book.status("checkout")
    assert changed.target == 0.99
    assert changed.total == world.book.status("second").total == 60_000
    world.book.apply([slo("second"), SimpleNamespace(spec=object())])
    assert [status.name for status in world.book.statuses()] == ["second"]
    with pytest.raises(NotFound, match="setpoint status"):
        world.book.status("checkout")
    with pytest.raises(NotFound):
        world.book.past.history("checkout", T0, T0 + 1)


def test_the_loop_stops_and_saves() -> None:
    store = MemoryLedger()
    world = World.make(store)
    world.born("200")
    world.book.apply([slo()])
    world.clock.advance(1)
    world.report(c200=7)
    stop = threading.Event()
    thread = threading.Thread(target=world.book.run, args=(stop,))
    thread.start()
    while world.book.status("checkout").total != 7:
        world.clock.advance(1)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    (rows,) = store.rows.values()
    assert sum(total for _, total in rows.values() if not math.isnan(total)) == 7


def test_restart_on_a_real_database(telemetry_database: TelemetryDatabase) -> None:
    """The same numbers after a restart, read from the ledger; no more than the last day is counted again."""
    store = LedgerStore(telemetry_database)
    world = World.make(store)
    world.born("200", "500")
    world.book.apply([slo()])
    world.run(3600, lambda: world.report(c200=99, c500=1), step_s=30)
    world.book.close()
    before = world.book.status("checkout")
    assert before.total == 12_000
    reads = world.samples.reads
    world.restart(store)
    world.book.apply([slo()])
    world.run(2)
    after = world.book.status("checkout")
    assert (after.good, after.total, after.state) == (before.good, before.total, before.state)
    assert after.gap_minutes == before.gap_minutes
    assert not after.backfilling
    assert world.samples.reads - reads < 20
    minutes = LedgerStore(telemetry_database).read(resolve([slo()], no_groups)[0].ledger_key, 0).minutes
    assert 60 <= len(minutes) <= 73  # also those before it that were counted and had no data


@pytest.mark.parametrize("seconds_alive", [0, 3], ids=["before it is counted", "before it is saved"])
def test_late_data_is_counted_though_the_process_dies(seconds_alive: int) -> None:
    """What was acknowledged is in the samples; the next process finds it there."""
    world = World.make(MemoryLedger())
    world.born("200")
    world.book.apply([slo()])
    world.run(6 * 3600, lambda: world.report(c200=10), step_s=60)
    before = world.book.status("checkout").total
    for minutes_ago in range(300, 240, -1):
        at_ms = world.clock.now_ms() - minutes_ago * 60_000
        world.samples.add("requests_total", at_ms, 300 - minutes_ago, code="500", instance="b")
    if seconds_alive:
        world.run(seconds_alive)
    world.restart(world.store)
    world.book.apply([slo()])
    status = world.run(5)
    while status.backfilling:
        status = world.run(1)
    assert (status.total, status.bad) == (before + 59, 59)


def test_other_queries_are_another_ledger(telemetry_database: TelemetryDatabase) -> None:
    store = LedgerStore(telemetry_database)
    world = World.make(store)
    world.born("200", "500")
    world.book.apply([slo()])
    world.run(1200, lambda: world.report(c200=9, c500=1), step_s=5)
    assert world.book.status("checkout").bad == 240
    world.book.apply([slo(bad='sum(requests_total{code="200"})', total="sum(requests_total)")])
    world.run(5)
    assert world.book.status("checkout").bad == 2160
    world.book.close()
    keys = telemetry_database.query("SELECT key FROM ledger_keys")["key"]
    assert len(keys) == 2
    assert all(key.startswith("checkout/") for key in keys)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_order_of_arrival_gives_the_same_ledger(data: st.DataObject) -> None:
    """Samples in any order, with gaps and resets: the counts are those of a naive walk over all of them."""
    world = World.make()
    samples: dict[str, dict[int, int]] = {}
    for code in ("200", "500"):
        count = data.draw(st.integers(1, 30), label=f"samples of {code}")
        value, at, series = 0, 0, {}
        for _ in range(count):
            at += data.draw(st.sampled_from([1, 5, 9, 10, 60, 61, 300]))
            value = data.draw(st.integers(0, 5)) if data.draw(st.booleans()) else value + 3
            series[at] = value
        samples[code] = series
    arrivals = [(code, at, value) for code, series in samples.items() for at, value in series.items()]
    arrivals = data.draw(st.permutations(arrivals))
    world.book.apply([slo()])
    end_s = max(at for _, at, _ in arrivals)
    for i, (code, at, value) in enumerate(arrivals):
        due_ms = T0 + at * 1000
        if due_ms > world.clock.now_ms():
            world.clock.advance((due_ms - world.clock.now_ms()) / 1000)
        world.samples.add("requests_total", due_ms, value, code=code)
        if i % 3 == 0:
            world.book.tick()
    for _ in range(3 + end_s // 3600):
        world.run(1)
    expected = {code: _naive_increase(series) for code, series in samples.items()}
    status = world.book.status("checkout")
    assert not status.backfilling
    assert (status.good, status.bad) == (expected["200"], expected["500"])


def _naive_increase(series: dict[int, int]) -> int:
    values = [value for _, value in sorted(series.items())]
    return sum(value - before if value >= before else value for before, value in itertools.pairwise(values))


def test_the_overview_says_what_the_statuses_say(world: World) -> None:
    world.book.apply([slo(), slo("second", target=0.9)])
    world.run(60, lambda: world.report(c200=99, c500=1))
    seen, statuses = world.book.overview(), world.book.statuses()
    assert seen.names == ("checkout", "second")
    assert [STATES[state] for state in seen.state] == [one.state for one in statuses]
    assert seen.budget_left.tolist() == [one.budget_left for one in statuses]
    assert seen.target.tolist() == [0.999, 0.9]
    assert seen.spark.shape == (2, 72)
    assert seen.spark[0, -1] == pytest.approx(10.0)
    assert [one.name for one in world.book.statuses(["second", "gone"])] == ["second"]

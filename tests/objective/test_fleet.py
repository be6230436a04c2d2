"""The fleet against a naive computation from raw events: all methods, composites, silence, however it was counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setpoint.clock import VirtualClock
from setpoint.database import TelemetryDatabase
from setpoint.objective import LedgerStore, ObjectiveBook
from setpoint.objective.counting.feed import Feed
from setpoint.objective.overview import STATES
from tests.objective.documents import composite, document
from tests.objective.memory import MemoryLedger, Samples
from tests.objective.test_book import T0

Minute = tuple[int, int] | None
"""Good and total events of a minute; None: silence."""

FIRST = T0 // 60_000


class Shop:
    """Two services whose counters are reported at second 30 of each minute that is not silent."""

    def __init__(self, minutes: Mapping[str, Sequence[Minute]]) -> None:
        self.minutes = minutes
        self.clock, self.samples = VirtualClock(T0), Samples()
        self._counters = {(name, code): 0 for name in minutes for code in ("200", "500")}
        for name in minutes:
            self._send(name, T0 + 1000)

    def book(self, store: LedgerStore | None = None, **settings: Any) -> ObjectiveBook:
        return ObjectiveBook(
            self.samples.select,
            self.samples.take_oldest_write_ms,
            store or MemoryLedger(),
            self.clock,
            oldest_sample_ms=self.samples.oldest_sample_ms,
            **settings,
        )

    def report(self, number: int) -> None:
        for name, minutes in self.minutes.items():
            counted = minutes[number] if number < len(minutes) else None
            if counted is not None:
                good, total = counted
                self._counters[name, "200"] += good
                self._counters[name, "500"] += total - good
                self._send(name, T0 + number * 60_000 + 30_000)

    def go_to(self, number: int, second: int = 0) -> None:
        self.clock.advance((T0 + number * 60_000 + second * 1000 - self.clock.now_ms()) / 1000)

    def _send(self, name: str, at_ms: int) -> None:
        for code in ("200", "500"):
            self.samples.add("requests_total", at_ms, self._counters[name, code], service=name, code=code)


def settle(book: ObjectiveBook) -> None:
    """Tick until nothing of the history waits."""
    for _ in range(400):
        book.tick()
        if not book.overview().backfilling.any():
            book.tick()
            return
    raise AssertionError("history has no end")


SLICES: list[dict[str, Any]] = [{"timeSliceTarget": 0.8, "timeSliceWindow": 5}, {"timeSliceWindow": 5}]


def all_kinds() -> list[SimpleNamespace]:
    return [
        document("events"),
        document("slices", method="Timeslices", entry=SLICES[0]),
        document("ratios", method="RatioTimeslices", entry=SLICES[1]),
        document("strict", noData={"action": "bad", "after": "5m"}),
        composite("weighted", weights=(3, 1)),
        composite("all", all_of=True),
        composite("slices-of-all", all_of=True, method="Timeslices", entry=SLICES[0]),
        composite("slices-weighted", weights=(3, 1), method="RatioTimeslices", entry=SLICES[1]),
    ]


def naive(minutes: Mapping[str, Sequence[Minute]], now: int) -> dict[str, tuple[float, float]]:
    """Good and total of each objective when minute `now` begins, by the definitions."""
    a = list(minutes["a"][:now])
    found: dict[str, tuple[float, float]] = {"events": (sum(m[0] for m in a if m), sum(m[1] for m in a if m))}
    ended = _slices(a, now)
    found["slices"] = sum(ratio >= 0.8 for ratio in ended.values()), len(ended)
    found["ratios"] = sum(ended.values()), len(ended)
    others = _slices(minutes["b"][:now], now)
    both = [(ended[key], others[key]) for key in ended if key in others]
    found["slices-of-all"] = sum(x >= 0.8 and y >= 0.8 for x, y in both), len(both)
    found["slices-weighted"] = sum((3 * x + y) / 4 for x, y in both), len(both)
    found["strict"] = _with_silence(a, now)
    pairs = [(x, y) for x, y in zip(a, minutes["b"][:now], strict=True) if x and y and x[1] and y[1]]
    ratios = [(x[0] / x[1], y[0] / y[1]) for x, y in pairs]
    found["weighted"] = sum((3 * x + y) / 4 for x, y in ratios), len(ratios)
    found["all"] = sum(x >= 0.9 and y >= 0.5 for x, y in ratios), len(ratios)
    return {name: (float(good), float(total)) for name, (good, total) in found.items()}


def _slices(minutes: Sequence[Minute], now: int) -> dict[int, float]:
    """The ratio of each slice of five minutes that has events and has ended."""
    slices: dict[int, tuple[int, int]] = {}
    for number, counted in enumerate(minutes):
        if counted:
            good, total = slices.get((FIRST + number) // 5, (0, 0))
            slices[(FIRST + number) // 5] = good + counted[0], total + counted[1]
    return {
        key: good / total for key, (good, total) in slices.items() if total and (key + 1) * 5 <= FIRST + now
    }


def _with_silence(minutes: Sequence[Minute], now: int) -> tuple[float, float]:
    good, total = sum(m[0] for m in minutes if m), float(sum(m[1] for m in minutes if m))
    for number, counted in enumerate(minutes):
        if counted is None and number + 1 <= now - 5:
            last = max(i for i in range(number) if minutes[i] is not None)
            before = [m[1] for m in minutes[: last + 1] if m is not None]
            total += sum(before) / len(before)
    return good, total


@st.composite
def traffic(draw: st.DrawFn) -> list[Minute]:
    """A minute with events, then stretches of traffic, of nothing counted, of silence."""
    minutes: list[Minute] = [(draw(st.integers(1, 9)), 10)]
    while len(minutes) < 40:
        length = draw(st.integers(1, 9))
        kind = draw(st.sampled_from(["busy", "busy", "idle", "silent"]))
        for _ in range(length):
            total = draw(st.integers(0, 20)) if kind == "busy" else 0
            minutes.append(None if kind == "silent" else (draw(st.integers(0, total)), total))
    return minutes[:40]


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(a=traffic(), b=traffic(), applied=st.integers(0, 40), reversed_late=st.booleans())
def test_every_kind_counts_what_a_naive_walk_counts(
    a: list[Minute], b: list[Minute], applied: int, reversed_late: bool
) -> None:
    """Before `applied` it is history, after it live; some of it comes late and in another order."""
    shop = Shop({"a": a, "b": b})
    for number in range(applied):
        shop.report(number)
    shop.go_to(applied)
    book = shop.book()
    book.apply(all_kinds())
    held: list[int] = []
    for number in range(applied, 40):
        shop.go_to(number, 31)
        shop.report(number)
        book.tick()
        held.append(number)
        if reversed_late:
            shop.go_to(number, 59)
            book.tick()
    shop.go_to(40)
    settle(book)
    expected = naive(shop.minutes, 40)
    for name, (good, total) in expected.items():
        status = book.status(name)
        assert (status.good, status.total) == pytest.approx((good, total), abs=1e-6), name
    check_overview(book)


def check_overview(book: ObjectiveBook) -> None:
    """The columns say what the statuses say."""
    seen = book.overview()
    for at, status in enumerate(book.statuses()):
        assert seen.names[at] == status.name
        assert STATES[seen.state[at]] == status.state
        assert seen.budget_left[at] == pytest.approx(status.budget_left, nan_ok=True) or (
            status.budget_left is None
        )
        if status.state != "burning":
            assert seen.exhaustion_s[at] == pytest.approx(status.exhaustion_s) or status.exhaustion_s is None


A_DAY: list[Minute] = [None if 20 <= i < 32 else (9 - i % 3, 10) for i in range(60)]
B_DAY: list[Minute] = [(5, 5 + i % 4) for i in range(60)]


def test_a_restart_changes_nothing(telemetry_database: TelemetryDatabase) -> None:
    """What was derived is stored, too, and goes on where it was."""
    shop = Shop({"a": A_DAY, "b": B_DAY})
    store = LedgerStore(telemetry_database)
    book = shop.book(store)
    book.apply(all_kinds())
    for number in range(45):
        shop.go_to(number, 31)
        shop.report(number)
        book.tick()
    shop.go_to(45)
    settle(book)
    before = {one.name: (one.good, one.total, one.state) for one in book.statuses()}
    book.close()
    again = shop.book(LedgerStore(telemetry_database))
    again.apply(all_kinds())
    settle(again)
    after = {one.name: (one.good, one.total, one.state) for one in again.statuses()}
    assert {name: one[2] for name, one in after.items()} == {name: one[2] for name, one in before.items()}
    for name, (good, total, _) in after.items():
        assert (good, total) == pytest.approx(before[name][:2]), name
    for number in range(45, 60):
        shop.go_to(number, 31)
        shop.report(number)
        again.tick()
    shop.go_to(60)
    settle(again)
    for name, counted in naive(shop.minutes, 60).items():
        status = again.status(name)
        assert (status.good, status.total) == pytest.approx(counted), name
    again.close()


def test_a_changed_slice_is_derived_from_what_is_counted() -> None:
    """Another slice target is another budget of the same events: nothing is counted again."""
    shop = Shop({"a": A_DAY, "b": B_DAY})
    for number in range(60):
        shop.report(number)
    shop.go_to(60)
    book = shop.book()
    book.apply([document("slices", method="Timeslices", entry=SLICES[0])])
    settle(book)
    good, total = naive(shop.minutes, 60)["slices"]
    assert book.status("slices").bad == total - good > 0
    reads = shop.samples.reads
    book.apply([document("slices", method="Timeslices", entry=SLICES[0] | {"timeSliceTarget": 0.5})])
    settle(book)
    assert (book.status("slices").bad, book.status("slices").total) == (
        0,
        naive(shop.minutes, 60)["slices"][1],
    )
    assert shop.samples.reads - reads <= 12  # the live minutes


def test_late_minutes_of_a_part_change_the_composite() -> None:
    shop = Shop({"a": [(9, 10)] * 60, "b": [(9, 10)] * 60})
    for number in range(60):
        shop.report(number)
    shop.go_to(60)
    book = shop.book()
    book.apply(all_kinds())
    settle(book)
    assert book.status("all").bad == 0
    shop.samples.add("requests_total", T0 + 10 * 60_000 + 1000, 0, service="b", code="502")
    shop.samples.add("requests_total", T0 + 10 * 60_000 + 2000, 99, service="b", code="502")
    settle(book)
    assert book.status("all").bad == 1
    assert book.status("weighted").good < 60 * 0.9


def test_one_objective_that_fails_leaves_the_others_alone(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop({"a": [(9, 10)] * 20, "b": [(9, 10)] * 20})
    select = shop.samples.select

    def sometimes(matchers: Any, start_ms: int, end_ms: int) -> Any:
        if any(one.value == "b" for one in matchers):
            raise RuntimeError("a fault of ours")
        return select(matchers, start_ms, end_ms)

    shop.samples.select = sometimes  # type: ignore[method-assign]
    book = shop.book()
    book.apply([document("one"), document("broken", service="b"), document("two")])
    for number in range(5):
        shop.go_to(number, 31)
        shop.report(number)
        book.tick()
    assert [one.state for one in book.statuses()] == ["no data", "healthy", "healthy"]
    assert "a fault in Setpoint" in book.status("broken").reason
    assert book.status("two").total == 50
    assert sum("cannot be computed" in message for message in caplog.messages) == 1


def test_clocks_that_jump() -> None:
    """Hours forward and back: nothing is counted twice, and what was not seen is counted when it can be."""
    shop = Shop({"a": [(9, 10)] * 600, "b": []})
    book = shop.book()
    book.apply([document("events"), document("slices", method="Timeslices", entry=SLICES[0])])
    for number in range(10):
        shop.go_to(number, 31)
        shop.report(number)
        book.tick()
    for number in range(10, 200):  # the machine slept
        shop.report(number)
    shop.go_to(200)
    settle(book)
    assert book.status("events").total == 2000
    shop.go_to(100)  # the clock was set back
    settle(book)
    assert book.status("events").total == 1000
    assert book.status("events").state == "healthy"
    shop.go_to(200)
    settle(book)
    assert book.status("events").total == 2000
    assert book.status("slices").total == naive({"a": shop.minutes["a"], "b": [None] * 600}, 200)["slices"][1]


def test_groups_come_and_stay() -> None:
    """One document, one objective for each value; one that falls silent is no data, and does not go away."""
    shop = Shop({"a": [(9, 10)] * 40, "b": [(9, 10)] * 2})

    def series(selectors: Any, start_ms: int, end_ms: int) -> list[Mapping[str, str]]:
        return [
            one for matchers in selectors for one in shop.samples.select(matchers, start_ms, end_ms).labels
        ]

    samples = shop.samples
    own = Feed(
        samples.select, samples.take_oldest_write_ms, samples.oldest_sample_ms, lambda: 0, series=series
    )
    book = shop.book(own=own)
    shop.go_to(0, 2)
    grouped = document("shop", indicator=indicator_of_all(), groupBy=["service"])
    book.apply([grouped])
    assert [one.name for one in book.statuses()] == ["shop.a", "shop.b"]
    for number in range(30):
        shop.go_to(number, 31)
        shop.report(number)
        book.tick()
    samples.add("requests_total", shop.clock.now_ms(), 0, service="new", code="200")
    book.regroup()
    assert {one.name: one.state for one in book.statuses()} == {
        "shop.a": "healthy",
        "shop.b": "no data",
        "shop.new": "no data",
    }
    assert book.status("shop.b").total == 20
    assert book.status("shop.a").group == {"service": "a"}


def indicator_of_all() -> dict[str, Any]:
    queries = {"good": 'sum(requests_total{code!~"5.."})', "total": "sum(requests_total)"}
    metrics = {role: {"metricSource": {"spec": {"query": query}}} for role, query in queries.items()}
    return {"spec": {"ratioMetric": {"counter": True, **metrics}}}


def test_no_alert_fires_from_history_that_is_not_counted_yet() -> None:
    """Ten bad minutes at the end of a good day: counted alone, they would burn every window."""
    minutes: list[Minute] = [*[(100, 100)] * 240, *[(97, 100)] * 8]
    shop = Shop({"a": minutes})
    for number in range(len(minutes)):
        shop.report(number)
    shop.go_to(len(minutes))
    heard: list[Any] = []
    book = shop.book(on_alert=heard.extend)
    book.apply([document("slo", target=0.99, window={"duration": "30d", "isRolling": True})])
    assert book.status("slo").backfilling
    settle(book)
    assert [one.state for one in book.status("slo").alerts if one.state != "inactive"] == []
    assert heard == []
    assert book.status("slo").total == 24_800

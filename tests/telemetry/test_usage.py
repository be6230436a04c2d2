"""Who sends what, counted over a real table and head, against counting by hand."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.clock import VirtualClock
from setpoint.errors import InvalidInput
from setpoint.telemetry import Head
from setpoint.telemetry.model import RefBatch, Series, fingerprint
from setpoint.telemetry.protect import Limits, Protection
from setpoint.telemetry.series_table import SeriesTable
from setpoint.telemetry.usage import SORTS, Arrivals, By, UsageMeter

NOW_MS = 1_790_000_000_000


def series(metric: str, service: str = "shop", **labels: str) -> Series:
    whole = {"__name__": metric, **labels}
    return Series(fingerprint(whole), whole, service)


@dataclass
class World:
    """A table, a head and a meter on one virtual clock."""

    limits: Limits = field(default_factory=Limits)
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(NOW_MS))
    stored: int = 0

    def __post_init__(self) -> None:
        self.arrivals = Arrivals(self.clock)
        self.protection = Protection(self.limits, self.clock, on_admitted=self.arrivals.note)
        self.table = SeriesTable(admit=self.protection.admit)
        self.head = Head(3 * 3600 * 1000, self.table)
        self.meter = UsageMeter(
            self.table,
            self.head,
            self.protection,
            self.arrivals,
            self.clock,
            samples_stored=lambda: self.stored,
            bytes_per_sample=lambda: 1.25,
        )

    def send(self, sender: str, many: Sequence[Series], samples: int = 1) -> int:
        """`samples` of each series now, a second apart; how many series were taken."""
        lease = self.table.lease(sender)
        refs = self.table.resolve(many, lease)
        refs = refs[refs >= 0]
        times = self.clock.now_ms() + 1000 * np.arange(samples, dtype=np.int64)
        self.head.append(
            RefBatch(lease, np.repeat(refs, samples), np.tile(times, len(refs)), np.ones(samples * len(refs)))
        )
        self.stored += samples * len(refs)
        lease.release()
        return len(refs)


def shop() -> list[Series]:
    return [
        series("requests_total", "storefront", code=code, pod=pod)
        for code in ("200", "404", "500")
        for pod in ("a", "b")
    ] + [series("up", pod="a"), series("free_bytes", "", disk="sda")]


def test_top_by_everything() -> None:
    world = World()
    world.send("scrape shop", shop())
    world.send("otlp cart", [series("carts", "cart")])
    world.clock.advance(10)
    world.send("scrape shop", shop(), samples=3)
    top = world.meter.top("metric")
    assert (top.total, top.series, top.sort) == (4, 9, "series")
    assert top.samples_per_s == pytest.approx(3.3)
    first = top.rows[0]
    assert (first.name, first.series, first.new, first.values) == ("requests_total", 6, 6, None)
    assert first.share == pytest.approx(6 / 9)
    assert first.samples_per_s == pytest.approx(2.4)
    assert first.disk_bytes_per_day == pytest.approx(2.4 * 86_400 * 1.25)
    assert {row.name: row.series for row in world.meter.top("sender").rows} == {
        "scrape shop": 8,
        "otlp cart": 1,
    }
    services = {row.name: row.series for row in world.meter.top("service").rows}
    assert services == {"storefront": 6, "shop": 1, "cart": 1, "": 1}
    labels = world.meter.top("label")
    assert [(row.name, row.values, row.series) for row in labels.rows] == [
        ("__name__", 4, 9),
        ("code", 3, 6),
        ("pod", 2, 7),
        ("disk", 1, 1),
    ]
    assert labels.rows[0].share == pytest.approx(4 / 10)
    pairs = {row.name: row for row in world.meter.top("pair").rows}
    assert pairs['__name__="requests_total"'].series == 6
    assert pairs['__name__="requests_total"'].samples_per_s == pytest.approx(2.4)
    assert pairs['pod="a"'].series == 4
    assert pairs['pod="a"'].samples_per_s == pytest.approx(1.6)


def test_memory_is_shared_out_whole() -> None:
    world = World()
    world.send("a", [series("big", label="x" * 500, id=str(number)) for number in range(50)], samples=20)
    world.send("b", [series("small", id=str(number)) for number in range(50)])
    whole = sum(world.meter.memory_bytes.values())
    for by in ("metric", "sender"):
        rows = world.meter.top(by, "memory").rows
        assert sum(row.memory_bytes for row in rows) == pytest.approx(whole, rel=0.01)
        assert rows[0].name in ("big", "a")
        assert rows[0].memory_bytes > 1.2 * rows[1].memory_bytes
    labels = world.meter.top("label", "memory").rows
    assert 0 < sum(row.memory_bytes for row in labels) < whole


def test_an_answer_is_kept_for_three_seconds() -> None:
    world = World()
    world.send("a", [series("one")])
    first = world.meter.top("metric")
    world.send("a", [series("two")])
    assert world.meter.top("metric") is first
    world.clock.advance(3)
    assert world.meter.top("metric").total == 2


def test_rates_are_those_of_the_last_two_minutes() -> None:
    world = World()
    assert world.meter.top("metric").samples_per_s is None, "nothing is known in the first second"
    for _ in range(40):
        world.send("a", [series("one")], samples=2)
        world.clock.advance(10)
        world.meter.tick()
    assert world.meter.samples_per_s == pytest.approx(0.2)
    for _ in range(18):
        world.clock.advance(10)
        world.meter.tick()
    assert world.meter.samples_per_s == 0
    assert world.meter.top("metric").rows[0].samples_per_s == 0


def test_series_are_new_for_an_hour() -> None:
    world = World()
    world.send("a", [series("one", id=str(number)) for number in range(7)])
    world.clock.advance(1900)
    world.send("b", [series("one", id="late"), series("two")])
    assert world.meter.arrived == 9
    rows = {row.name: row.new for row in world.meter.top("metric", "new").rows}
    assert rows == {"one": 8, "two": 1}
    assert {row.name: row.new for row in world.meter.top("sender", "new").rows} == {"a": 7, "b": 2}
    world.clock.advance(1900)
    assert world.meter.arrived == 2
    world.clock.advance(3600)
    assert world.meter.arrived == 0


def test_a_tick_makes_room_when_series_have_ended() -> None:
    world = World(Limits(series=1000, metric_series=1000, sender_series=100))
    assert world.send("a", [series("one", id=str(number)) for number in range(150)]) == 100
    world.clock.advance(4 * 3600)
    world.head.seal()
    list(world.head.unflushed())
    world.head.flushed()
    world.head.evict(world.clock.now_ms())
    assert world.table.size == 0
    assert world.send("a", [series("two")]) == 0, "the count is set right by the next tick"
    world.meter.tick()
    assert world.send("a", [series("two")]) == 1
    assert world.protection.counted == 1


def test_a_recount_knows_who_has_few_of_a_big_metric() -> None:
    world = World(Limits(metric_series=200))
    assert world.send("bomb", [series("one", id=str(number)) for number in range(300)]) == 180
    world.meter.tick()
    assert world.send("bomb", [series("one", id="x")]) == 0
    assert world.send("small", [series("one", id=f"s{number}") for number in range(5)]) == 2
    world.meter.tick()
    assert world.send("small", [series("one", id="t")]) == 0


def test_what_cannot_be_asked_is_refused_with_what_can() -> None:
    meter = World().meter
    with pytest.raises(
        InvalidInput, match="by pair, rows are sorted by series, samples, memory, not by 'new'"
    ):
        meter.top("pair", "new")
    with pytest.raises(InvalidInput, match="'pod' is not one of metric, label"):
        meter.top("pod")  # type: ignore[arg-type]


def test_nothing_is_no_row() -> None:
    meter = World().meter
    for by, sorts in SORTS.items():
        for sort in sorts:
            assert meter.top(by, sort).rows == ()


def test_the_thread_outlives_a_fault() -> None:
    world, stop, calls = World(), threading.Event(), []

    def then() -> None:
        calls.append(world.clock.now_ms())
        if len(calls) == 3:
            stop.set()
        raise RuntimeError("a fault of what is called")

    thread = threading.Thread(target=world.meter.run, args=(stop, then))
    thread.start()
    while thread.is_alive():
        world.clock.advance(1)
    thread.join()
    assert len(calls) == 3


_NAMES = st.sampled_from(["a", "b", "c"])
_BROUGHT = st.lists(
    st.tuples(_NAMES, _NAMES, st.dictionaries(_NAMES, _NAMES, max_size=3), st.integers(1, 4)), max_size=40
)


@settings(max_examples=40, deadline=None)
@given(_BROUGHT)
def test_sums_are_those_of_counting_by_hand(brought: list[tuple[str, str, dict[str, str], int]]) -> None:
    world = World()
    world.clock.advance(1)
    owner: dict[int, tuple[str, Series]] = {}
    samples: Counter[int] = Counter()
    for metric, sender, labels, count in brought:
        one = series(metric, f"service of {metric}", **labels)
        owner.setdefault(one.fingerprint, (sender, one))
        world.clock.advance(5)
        world.send(sender, [one], count)
        samples[one.fingerprint] += count
    world.clock.advance(5)
    elapsed_s = (world.clock.now_ms() - NOW_MS) / 1000

    def groups(by: By, sender: str, one: Series) -> list[str]:
        return {
            "metric": [one.labels["__name__"]],
            "sender": [sender],
            "service": [one.service],
            "label": list(one.labels),
            "pair": [f'{name}="{value}"' for name, value in one.labels.items()],
        }[by]

    for by in SORTS:
        counted: Counter[str] = Counter()
        grown: Counter[str] = Counter()
        for key, (sender, one) in owner.items():
            for group in groups(by, sender, one):
                counted[group] += 1
                grown[group] += samples[key]
        rows = world.meter.top(by, "series", 1000).rows
        assert {row.name: row.series for row in rows} == dict(counted)
        assert {row.name: row.samples_per_s for row in rows} == {
            name: pytest.approx(count / elapsed_s) for name, count in grown.items()
        }
        assert [row.series for row in rows] == sorted(counted.values(), reverse=True)

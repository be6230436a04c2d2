"""A watch over series: the same series as the table finds, what they rose by as the samples say, what came late."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.telemetry.head import Head
from setpoint.telemetry.model import Labels, Matcher
from setpoint.telemetry.recent.increase import Window
from setpoint.telemetry.selector_index import Selector, SelectorIndex
from setpoint.telemetry.series_table import SeriesTable
from setpoint.telemetry.watch import NOTHING_MS, SeriesWatch
from tests.telemetry.naive import accepted, batch

T0 = 1_700_000_000_000
MINUTE_MS = 60_000
VALUES = ("", "a", "b", "ab")


def labels_of(rng: random.Random) -> Labels:
    chosen = {"__name__": rng.choice(("m", "n")), "x": rng.choice(VALUES), "y": rng.choice(VALUES)}
    return {name: value for name, value in chosen.items() if value}


def selector(rng: random.Random) -> Selector:
    some = [Matcher("__name__", "=", rng.choice(("m", "n")))] if rng.random() < 0.8 else []
    for name in rng.choice((("x",), ("x", "y"), ("x", "x"), ())):
        op = rng.choice(("=", "!=", "=~", "!~"))
        some.append(Matcher(name, op, rng.choice((*VALUES, "a.*", "a|b", ".+"))))  # type: ignore[arg-type]
    return tuple(some)


@given(st.integers(0, 2**32 - 1))
def test_an_index_of_selectors_equals_trying_each(seed: int) -> None:
    rng = random.Random(seed)
    selectors = [selector(rng) for _ in range(12)]
    series = [labels_of(rng) for _ in range(12)]
    places, numbers = SelectorIndex(selectors).match(series)
    found = sorted(zip(places.tolist(), numbers.tolist(), strict=True))
    assert found == [
        (place, number)
        for place, labels in enumerate(series)
        for number, one in enumerate(selectors)
        if accepted(one, labels)
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_follows_the_series_that_come_and_go(seed: int) -> None:
    rng = random.Random(seed)
    table = SeriesTable()
    head = Head(10 * MINUTE_MS, table)
    selectors = [selector(rng) for _ in range(rng.choice((3, 80)))]  # looked for one by one, and all at once
    watch = SeriesWatch(head, selectors, range(len(selectors)))
    now_ms = T0
    window = Window(T0, MINUTE_MS, 1, MINUTE_MS)
    for step in range(10):
        now_ms += rng.randrange(6) * MINUTE_MS
        head.append(batch([(labels_of(rng), now_ms, 1.0) for _ in range(rng.randrange(1, 6))]))
        if rng.random() < 0.5:
            head.seal()
            list(head.unflushed())
            head.flushed()
            head.evict(now_ms)
        if step == 5:
            selectors = [*selectors[1:], selector(rng)]
            watch = SeriesWatch(head, selectors, range(len(selectors)), watch)
        read = watch.read(np.arange(len(selectors)), window)
        assert np.array_equal(np.diff(read.offsets), watch.counts())
        for number, one in enumerate(selectors):
            refs, labels = table.match_labels(one)
            assert read.labels[number] == labels
            assert watch.counts()[number] == len(refs)
            assert watch.has_series(number) is bool(len(refs))


def test_late_samples_are_told_and_the_rest_is_not_noted() -> None:
    head = Head(60 * MINUTE_MS, SeriesTable())
    one, other = {"__name__": "m", "x": "a"}, {"__name__": "m", "x": "b"}
    head.append(batch([(one, T0, 1.0), (other, T0, 1.0)]))
    watch = SeriesWatch(
        head, [(Matcher("x", "=", "a"),), (Matcher("x", "=", "b"),), (Matcher("x", "=", "c"),)]
    )
    assert watch.take_news().tolist() == [NOTHING_MS] * 3
    head.append(batch([(one, T0 + 1000, 2.0), (one, T0 + 2000, 3.0)]))
    assert len(head.late_writes.take()[0]) == 0
    assert watch.take_news().tolist() == [T0 + 1000, NOTHING_MS, NOTHING_MS]
    head.append(batch([(one, T0 - 5000, 2.0), (one, T0 - 3000, 3.0), (one, T0 + 3000, 3.0)]))
    head.append(batch([(other, T0 - 90 * MINUTE_MS, 3.0)]))
    assert watch.take_news().tolist() == [T0 - 5000, T0 - 90 * MINUTE_MS, NOTHING_MS]
    head.append(batch([(other, T0, 7.0)]))  # the same instant again
    assert watch.take_news().tolist() == [NOTHING_MS, T0, NOTHING_MS]


def test_many_late_samples_are_kept_as_the_oldest_of_each_series() -> None:
    head = Head(1000 * MINUTE_MS, SeriesTable())
    labels = {"__name__": "m"}
    head.append(batch([(labels, T0, 1.0)]))
    watch = SeriesWatch(head, [(Matcher("__name__", "=", "m"),)])
    for start in range(0, 80_000, 20_000):
        head.append(batch([(labels, T0 - 1000 - (start + count), 1.0) for count in range(20_000)]))
    assert watch.take_news().tolist() == [T0 - 1000 - 79_999]


def test_reads_what_counters_rose_by_across_a_flush() -> None:
    head = Head(60 * MINUTE_MS, SeriesTable())
    labels = {"__name__": "m"}
    watch = SeriesWatch(head, [(Matcher("__name__", "=", "m"),)])
    head.append(batch([(labels, T0 + 1000, 5.0), (labels, T0 + 30_000, 9.0)]))
    head.seal()
    head.append(batch([(labels, T0 + 61_000, 11.0), (labels, T0 + 70_000, 2.0)]))
    for begin_ms, rises in ((T0, [4.0, 4.0]), (T0 + MINUTE_MS, [4.0, 0.0])):
        read = watch.read(np.zeros(1, np.int64), Window(begin_ms, MINUTE_MS, 2, 3_600_000))
        assert read.grid.values[read.rows].tolist() == [rises]
    last = Window(T0, MINUTE_MS, 3, 2 * MINUTE_MS, is_last=True)
    assert watch.read(np.zeros(1, np.int64), last).grid.values.tolist() == [[9.0, 2.0, 2.0]]

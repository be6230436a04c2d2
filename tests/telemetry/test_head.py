"""The head against a dictionary: any order of writes, duplicates, evictions and every kind of matcher."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.errors import InvalidInput
from setpoint.telemetry import Head, Matcher, MetricBatch
from tests.telemetry.naive import Naive, answer, batch, label_sets, matchers, series

LABELS = {"__name__": "requests_total", "job": "shop"}
STALE_BITS = 0x7FF0000000000002

times = st.integers(0, 120)
samples = st.tuples(st.integers(0, 3), times, st.floats(allow_nan=False, allow_infinity=False))
operations = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.lists(samples, min_size=1, max_size=60)),
        st.tuples(st.just("restore"), st.lists(samples, min_size=1, max_size=60)),
        st.tuples(st.just("evict"), times),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(
    universe=st.lists(
        label_sets, min_size=4, max_size=4, unique_by=lambda labels: tuple(sorted(labels.items()))
    ),
    steps=operations,
    asked=st.lists(st.tuples(matchers, times, times), min_size=1, max_size=4),
)
def test_equals_a_dictionary(universe: list[dict[str, str]], steps: list[Any], asked: list[Any]) -> None:
    head, naive, everything, floor_ms = Head(horizon_ms=50), Naive(), Naive(), None
    head.complete_from(-1000)
    for kind, argument in steps:
        if kind == "evict":
            head.evict(argument)
            floor_ms = argument - 50  # also earlier than before: a clock can be set back
            naive.drop_until(floor_ms)
            continue
        written = [(universe[place], time_ms, value) for place, time_ms, value in argument]
        (head.append if kind == "append" else head.restore)(batch(written))
        naive.write(written, replace=kind == "append", floor_ms=floor_ms)
        everything.write(written, replace=kind == "append")
        for query, start_ms, end_ms in asked:
            assert answer(head.select(query, start_ms, end_ms)) == naive.select(query, start_ms, end_ms)
    for query, start_ms, end_ms in [([], -1000, 1000), *asked]:
        assert answer(head.select(query, start_ms, end_ms)) == naive.select(query, start_ms, end_ms)
    since_ms = head.covers_from_ms
    assert answer(head.select([], since_ms, 1000)) == everything.select([], since_ms, 1000)
    assert head.sample_count == sum(len(held) for held in naive.samples.values())


@settings(max_examples=300, deadline=None)
@given(universe=st.lists(label_sets, max_size=12), query=matchers)
def test_matchers_mean_what_they_mean_in_prometheus(
    universe: list[dict[str, str]], query: list[Matcher]
) -> None:
    head, naive = Head(1000), Naive()
    written = [(labels, 1, 1.0) for labels in universe]
    if written:
        head.append(batch(written))
    naive.write(written)
    assert answer(head.select(query, 0, 1)) == naive.select(query, 0, 1)


def test_a_late_sample_takes_its_place_and_a_repeated_one_replaces() -> None:
    head = Head(10_000)
    for time_ms, value in ((10, 1.0), (30, 3.0), (20, 2.0), (30, 33.0), (5, 0.5)):
        head.append(batch([(LABELS, time_ms, value)]))
    assert answer(head.select([], 0, 100)) == [(LABELS, [5, 10, 20, 30], [0.5, 1.0, 2.0, 33.0])]


def test_windows_are_left_open() -> None:
    head = Head(10_000)
    head.append(batch([(LABELS, 10, 1.0), (LABELS, 20, 2.0)]))
    assert answer(head.select([], 10, 20)) == [(LABELS, [20], [2.0])]
    assert answer(head.select([], 20, 30)) == []


def test_a_batch_that_names_a_series_twice_fills_one() -> None:
    head = Head(10_000)
    twice = MetricBatch(
        [series(LABELS), series(LABELS)],
        np.array([0, 1], np.int32),
        np.array([1, 2], np.int64),
        np.array([1.0, 2.0]),
    )
    head.append(twice)
    assert answer(head.select([], 0, 10)) == [(LABELS, [1, 2], [1.0, 2.0])]


@pytest.mark.parametrize("count", [1, 40], ids=["one by one", "in runs"])
def test_stale_markers_keep_their_bits(count: int) -> None:
    stale = np.array([STALE_BITS], np.uint64).view(np.float64)
    head = Head(10_000)
    head.append(
        MetricBatch(
            [series(LABELS)],
            np.zeros(count, np.int32),
            np.arange(1, count + 1, dtype=np.int64),
            np.repeat(stale, count),
        )
    )
    found = head.select([], 0, 100).values.view(np.uint64)
    assert found.tolist() == [STALE_BITS] * count


def test_oldest_write_is_taken_once_and_counts_what_is_too_old_to_keep() -> None:
    head = Head(100)
    assert head.take_oldest_write_ms() is None
    head.evict(1000)
    head.append(batch([(LABELS, 950, 1.0)]))
    head.append(batch([(LABELS, 40, 1.0), (LABELS, 960, 1.0)]))
    assert head.take_oldest_write_ms() == 40
    assert head.take_oldest_write_ms() is None
    assert answer(head.select([], 0, 2000)) == [(LABELS, [950, 960], [1.0, 1.0])]
    assert head.newest_ms == 960


def test_eviction_gives_memory_and_labels_back() -> None:
    head = Head(100)
    for number in range(50):
        labels = {**LABELS, "pod": str(number)}
        head.append(batch([(labels, time_ms, math.sqrt(time_ms + number)) for time_ms in range(1, 2001)]))
    full_bytes = head.sample_bytes
    head.evict(2000)
    assert head.sample_count == 50 * 100
    assert head.sample_bytes <= full_bytes / 5
    head.evict(5000)
    assert (head.series_count, head.sample_count, head.sample_bytes) == (0, 0, 0)
    assert answer(head.select([Matcher("pod", "=~", ".+")], 0, 10_000)) == []


def test_a_steady_series_does_not_grow_while_its_window_slides() -> None:
    head = Head(1000)
    sizes = []
    for time_ms in range(0, 20_000, 10):
        head.append(batch([(LABELS, time_ms, 1.0)]))
        if time_ms % 100 == 0:
            head.evict(time_ms)
            sizes.append(head.sample_bytes)
    assert max(sizes) <= 110 * 16 * 2


def test_coverage_begins_when_declared_and_moves_with_eviction() -> None:
    head = Head(100)
    head.append(batch([(LABELS, 1000, 1.0)]))
    assert head.covers_from_ms > 10**15
    head.evict(1050)
    assert head.covers_from_ms > 10**15
    head.complete_from(950)
    assert head.covers_from_ms == 950
    head.evict(1070)
    assert head.covers_from_ms == 970
    head.append(batch([(LABELS, 965, 1.0)]))
    head.evict(1060)
    assert head.covers_from_ms == 965
    head.append(batch([(LABELS, 963, 1.0)]))
    assert head.covers_from_ms == 965


@pytest.mark.parametrize("expression", ["(", "a(?=b)", r"(a)\1", "a++", r"\p{Greek}", "(?P<n>a)(?P=n)"])
def test_an_expression_that_re2_or_python_lacks_is_refused(expression: str) -> None:
    head = Head(100)
    head.append(batch([(LABELS, 1, 1.0)]))
    with pytest.raises(InvalidInput, match="regular expression"):
        head.select([Matcher("job", "=~", expression)], 0, 10)


def test_posix_classes_and_the_end_of_text_are_understood() -> None:
    head = Head(100)
    head.append(batch([(LABELS, 1, 1.0)]))
    assert len(head.select([Matcher("job", "=~", r"[[:alpha:]]+\z")], 0, 10).labels) == 1


def test_a_new_series_appears_in_an_answer_that_was_asked_before() -> None:
    head = Head(1000)
    query = [Matcher("job", "=~", "s.*")]
    head.append(batch([(LABELS, 1, 1.0)]))
    assert len(head.select(query, 0, 10).labels) == 1
    head.append(batch([({**LABELS, "code": "500"}, 1, 1.0)]))
    assert len(head.select(query, 0, 10).labels) == 2


def test_readers_see_whole_series_while_a_writer_appends_and_evicts() -> None:
    head = Head(200)
    done = threading.Event()
    wrong: list[str] = []

    def read() -> None:
        while not done.is_set():
            covers_from_ms, columns = head.select_covered([], 0, 10**9)
            for labels, found, values in answer(columns):
                if found != list(map(int, values)) or found != list(range(found[0], found[-1] + 1)):
                    wrong.append(f"{labels}: {found[:3]}… {values[:3]}…")
                if found[0] <= covers_from_ms:
                    wrong.append(f"{found[0]} is not later than {covers_from_ms}")

    head.complete_from(0)
    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for time_ms in range(1, 2000):
        head.append(batch([({**LABELS, "pod": str(pod)}, time_ms, float(time_ms)) for pod in range(4)]))
        if time_ms % 50 == 0:
            head.evict(time_ms)
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []

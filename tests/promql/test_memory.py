"""Series in memory: samples in any order, a clock that hides what comes later, matchers, histograms, by a model."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.promql.from_telemetry import Matcher, NativeHistogram
from setpoint.promql.memory import Duplicate, MemoryStore
from setpoint.promql.notation import STALE

HISTOGRAM = NativeHistogram(0, 3, 5, positive_spans=((0, 2),), positive_counts=(1, 2))


def found(
    store: MemoryStore, *matchers: Matcher, start_ms: int = -1, end_ms: int = 1000
) -> dict[str, list[float]]:
    columns = store.select(matchers, start_ms, end_ms)
    bounds = list(zip(columns.offsets[:-1].tolist(), columns.offsets[1:].tolist(), strict=True))
    return {
        labels["x"]: columns.values[low:high].tolist()
        for labels, (low, high) in zip(columns.labels, bounds, strict=True)
    }


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.integers(0, 9)), max_size=60),
    st.integers(-1, 50),
    st.integers(0, 60),
    st.integers(0, 60),
)
def test_samples_are_those_within_the_time(
    samples: list[tuple[str, int, int]], start_ms: int, end_ms: int, until_ms: int
) -> None:
    store, model = MemoryStore(), dict[tuple[str, int], float]()
    for number, (series, at_ms, value) in enumerate(samples):
        if number % 3:
            try:
                store.append({"x": series}, at_ms, float(value))
            except Duplicate:
                assert model[series, at_ms] != value
                continue
            assert model.get((series, at_ms), value) == value
        else:
            store.load({"x": series}, [(at_ms, float(value))])
        model[series, at_ms] = float(value)
    store.until_ms = until_ms
    wanted: dict[str, list[float]] = {}
    for (series, at_ms), number_of in sorted(model.items()):
        if start_ms < at_ms <= min(end_ms, until_ms):
            wanted.setdefault(series, []).append(number_of)
    assert found(store, start_ms=start_ms, end_ms=end_ms) == wanted


def test_new_series_are_found_by_matchers_that_were_asked_before() -> None:
    store = MemoryStore()
    matcher = Matcher("x", "=~", "b|c.*")
    for name in ("c", "a", "b"):
        store.append({"x": name, "gone": ""}, 0, 1.0)
        found(store, matcher)
    store.append({"x": "cd"}, 0, 2.0)
    assert list(found(store, matcher)) == ["b", "c", "cd"]
    assert store.has({"x": "a", "gone": ""})
    assert not store.has({"x": "z"})


def test_a_value_may_be_given_twice_but_not_changed() -> None:
    store = MemoryStore()
    store.append({"x": "a"}, 5, float("nan"))
    store.append({"x": "a"}, 5, float("nan"))
    with pytest.raises(Duplicate):
        store.append({"x": "a"}, 5, STALE)


def test_histograms_stand_beside_samples() -> None:
    store = MemoryStore()
    assert store.select_histograms((), -1, 100) is None
    store.load({"x": "h"}, [(20, HISTOGRAM), (10, HISTOGRAM), (30, 7.0)])
    stored = store.select_histograms((Matcher("x", "=", "h"),), 10, 100)
    assert stored is not None
    assert stored.labels == ({"x": "h"},)
    assert stored.columns.timestamps_ms.tolist() == [20]
    assert NativeHistogram.decode(stored.columns.payloads[0]) == HISTOGRAM
    assert found(store) == {"h": [7.0]}
    store.until_ms = 15
    stored = store.select_histograms((), -1, 100)
    assert stored is not None
    assert stored.columns.timestamps_ms.tolist() == [10]

"""Native histograms in PromQL: against a naive model, and by examples where the model has nothing to say."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.promql.native import Naive, rate

from setpoint.errors import InvalidInput
from setpoint.promql import Unsupported, parse, prettify
from setpoint.promql.budget import Budget
from setpoint.promql.errors import ExecutionError, QueryCanceled
from setpoint.promql.evaluate import evaluate, evaluate_instant
from setpoint.promql.format import to_api
from setpoint.promql.from_telemetry import NativeHistogram
from setpoint.promql.memory import MemoryStore, Value
from setpoint.promql.model import Matrix
from setpoint.promql.native import Histogram
from setpoint.promql.native_from_classic import custom_bucket_series
from setpoint.promql.notation import STALE, sequence
from setpoint.promql.promqltest import same
from setpoint.promql.vector import cell

STEP_MS = 15_000

observations = st.one_of(
    st.floats(0.001, 1e6), st.floats(-1e6, -0.001), st.just(0.0), st.sampled_from([1.0, 2.0, 0.5, -4.0])
)
schemas = st.integers(-4, 8)


@st.composite
def histograms(draw: st.DrawFn, threshold: float = 1e-3) -> Naive:
    found = Naive(draw(schemas), threshold)
    for value in draw(st.lists(observations, max_size=12)):
        found.observe(value, draw(st.integers(1, 5)))
    return found


@st.composite
def counters(draw: st.DrawFn) -> list[tuple[int, Naive]]:
    """A counter with gaps and resets, that now and then changes its resolution."""
    samples, value = [], Naive(draw(schemas), 1e-3)
    for k in range(1, draw(st.integers(2, 14))):
        action = draw(st.sampled_from(["grow", "grow", "grow", "stay", "reset", "gap", "coarser"]))
        if action == "reset":
            value = Naive(value.schema, 1e-3)
        elif action == "coarser" and value.schema > -4:
            value = value.at_schema(value.schema - 1)
        else:
            value = value.times(1)
        if action in ("grow", "reset"):
            for observed in draw(st.lists(observations, min_size=1, max_size=4)):
                value.observe(observed)
        if action != "gap":
            samples.append((k * STEP_MS, value))
    return samples


def store_of(**series: Sequence[tuple[int, Value]]) -> MemoryStore:
    store = MemoryStore()
    for name, samples in series.items():
        store.load({"__name__": "h", "i": name}, samples)
    return store


def written(**series: str) -> MemoryStore:
    """Series in the notation of test files, a sample a minute."""
    return store_of(
        **{
            name: [(k * 60_000, value) for k, value in enumerate(sequence(text)) if value is not None]
            for name, text in series.items()
        }
    )


def ask(query: str, store: MemoryStore, at_ms: int) -> Matrix:
    return evaluate_instant(parse(query), at_ms, store.select, histograms=store.select_histograms)


def values(query: str, store: MemoryStore, at_ms: int) -> list[Value | None]:
    matrix = ask(query, store, at_ms)
    return [cell(matrix, row, 0) for row in range(len(matrix.labels))]


def close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def alike(found: Value | None, model: Naive) -> bool:
    """Equal but for rounding; buckets that rounding leaves are as good as empty."""
    assert isinstance(found, NativeHistogram)
    mine, theirs = _numbers(Histogram.of(found)), _numbers(Histogram.of(model.stored()))
    return all(close(mine.get(key, 0.0), theirs.get(key, 0.0)) for key in {*mine, *theirs})


def _numbers(histogram: Histogram) -> dict[object, float]:
    layout, numbers = histogram.layout, histogram.numbers.tolist()
    names: list[object] = ["count", "sum", "zero"]
    names += [("+", index) for index in layout.positive.tolist()]
    names += [("-", index) for index in layout.negative.tolist()]
    return {"schema": layout.schema, **dict(zip(names, numbers, strict=True))}


@settings(max_examples=150, deadline=None)
@given(st.lists(histograms(), min_size=1, max_size=5))
def test_a_sum_holds_all_observations(members: list[Naive]) -> None:
    store = store_of(**{f"i{i}": [(1000, one.stored())] for i, one in enumerate(members)})
    expected = members[0]
    for other in members[1:]:
        expected = expected.plus(other)
    assert alike(values("sum(h)", store, 1000)[0], expected)
    assert alike(values("avg(h)", store, 1000)[0], expected.times(1 / len(members)))
    assert values("count(h)", store, 1000) == [len(members)]


@settings(max_examples=150, deadline=None)
@given(counters(), st.integers(15_000, 200_000))
def test_rates_are_those_of_the_model(samples: list[tuple[int, Naive]], range_ms: int) -> None:
    store = store_of(a=[(at, value.stored()) for at, value in samples])
    query = parse(f"rate(h[{range_ms}ms])")
    matrix = evaluate(query, 0, 240_000, 7_000, store.select, histograms=store.select_histograms)
    for step, at_ms in enumerate(matrix.times_ms.tolist()):
        expected = rate(samples, at_ms, range_ms)
        found = cell(matrix, 0, step) if len(matrix.labels) else None
        assert (found is None) == (expected is None)
        if expected is not None:
            assert alike(found, expected)


@settings(max_examples=150, deadline=None)
@given(counters(), st.integers(20_000, 200_000))
def test_sums_over_time_and_resets(samples: list[tuple[int, Naive]], range_ms: int) -> None:
    store = store_of(a=[(at, value.stored()) for at, value in samples])
    for at_ms in (60_000, 130_000, 200_000):
        inside = [value for at, value in samples if at_ms - range_ms < at <= at_ms]
        found = values(f"sum_over_time(h[{range_ms}ms])", store, at_ms)
        assert bool(found) == bool(inside)
        if not inside:
            continue
        expected = inside[0]
        for other in inside[1:]:
            expected = expected.plus(other)
        assert alike(found[0], expected)
        fell = sum(after.fell_from(before) for before, after in itertools.pairwise(inside))
        assert values(f"resets(h[{range_ms}ms])", store, at_ms) == [fell]
        assert values(f"count_over_time(h[{range_ms}ms])", store, at_ms) == [len(inside)]


@settings(max_examples=200, deadline=None)
@given(histograms(), st.floats(0.01, 0.99))
def test_quantiles_are_those_of_the_model(model: Naive, q: float) -> None:
    store = store_of(a=[(1000, model.stored())])
    found = values(f"histogram_quantile({q}, h)", store, 1000)[0]
    assert isinstance(found, float)
    expected = model.quantile(q)
    if math.isnan(expected):
        assert math.isnan(found)
        return
    # At the edge of a bucket rounding decides which of two is right: both edges are.
    edges = [edge for lower, upper, _ in model.bounds() for edge in (lower, upper)]
    on_edges = any(math.isclose(expected, edge, rel_tol=1e-6) for edge in edges)
    assert math.isclose(found, expected, rel_tol=1e-6, abs_tol=1e-12) or on_edges


@settings(max_examples=200, deadline=None)
@given(histograms(), observations, observations)
def test_fractions_add_up_and_undo_quantiles(model: Naive, one: float, other: float) -> None:
    store = store_of(a=[(1000, model.stored())])
    low, high = sorted((one, other))
    below, between, above = (
        values(f"histogram_fraction({a}, {b}, h)", store, 1000)[0]
        for a, b in (("-Inf", low), (low, high), (high, "+Inf"))
    )
    assert isinstance(below, float) and isinstance(between, float) and isinstance(above, float)
    if not model.count:
        assert math.isnan(below)
        return
    assert close(below + between + above, 1.0)
    assert min(below, between, above) >= -1e-12
    if 0.001 < below < 0.999:
        back = values(f"histogram_fraction(-Inf, scalar(histogram_quantile({below!r}, h)), h)", store, 1000)[
            0
        ]
        assert isinstance(back, float) and math.isclose(back, below, abs_tol=1e-6)


@settings(max_examples=100, deadline=None)
@given(histograms(), histograms(), st.floats(-10, 10).filter(lambda factor: abs(factor) > 0.1))
def test_operators(left: Naive, right: Naive, factor: float) -> None:
    store = store_of(a=[(1000, left.stored())], b=[(1000, right.stored())])
    pairs = 'h{i="a"} %s ignoring(i) h{i="b"}'
    assert alike(values(pairs % "+", store, 1000)[0], left.plus(right))
    assert alike(values(pairs % "-", store, 1000)[0], left.plus(right, -1))
    assert alike(values(f'h{{i="a"}} * {factor}', store, 1000)[0], left.times(factor))
    assert alike(values(f'h{{i="a"}} / {factor}', store, 1000)[0], left.times(1 / factor))
    assert alike(values('-h{i="a"}', store, 1000)[0], left.times(-1))
    same_ones = values('h{i="a"} == ignoring(i) h{i="a"}', store, 1000)
    assert len(same_ones) == 1
    assert not values('h{i="a"} != h{i="a"}', store, 1000)
    for operator in ("*", "/", "%", "^", "<", ">="):
        matrix = ask(pairs % operator, store, 1000)
        assert not len(matrix.labels)
        assert "incompatible sample types" in matrix.infos[0]


@settings(max_examples=100, deadline=None)
@given(histograms(), histograms(), st.sampled_from([0.0, 1e-3, 0.25, 1.0, 8.0]))
def test_the_wider_zero_bucket_wins_and_loses_nothing(left: Naive, right: Naive, threshold: float) -> None:
    wide = NativeHistogram(0, 3.0, 0.0, threshold, 3.0, is_float=True)
    store = store_of(a=[(1000, left.stored())], b=[(1000, wide)], c=[(1000, right.stored())])
    found = values("sum(h)", store, 1000)[0]
    assert isinstance(found, NativeHistogram)
    assert found.zero_threshold >= max(threshold, 1e-3)
    held = math.fsum((found.zero_count, *found.positive_counts, *found.negative_counts))
    assert close(held, left.count + right.count + 3)
    assert close(found.count, held)


@settings(max_examples=100, deadline=None)
@given(histograms(threshold=0.0), observations)
def test_trims_part_a_histogram_where_fractions_do(model: Naive, limit: float) -> None:
    store = store_of(a=[(1000, model.stored())])
    below, above = (
        values(f"histogram_count(h {operator} {limit})", store, 1000)[0] for operator in ("</", ">/")
    )
    assert isinstance(below, float) and isinstance(above, float)
    assert close(below + above, model.count)
    if model.count:
        share = values(f"histogram_fraction(-Inf, {limit}, h)", store, 1000)[0]
        assert isinstance(share, float) and close(below, share * model.count)
    assert values(f"h </ 2 * {limit} >/ +Inf", store, 1000)  # binds as a comparison does
    for operator in ("</", ">/"):
        assert "incompatible sample types" in ask(f"vector(1) {operator} 2", store, 1000).infos[0]
        with pytest.raises(InvalidInput):
            parse(f"h {operator} bool 2")


def test_conflicting_resets_are_told_where_only_counts_are_asked_for() -> None:
    store = written(a="{{count:3}} {{count:1}} {{count:2}}", b="{{count:1}} {{count:2}} {{count:3}}")
    for query in (
        "histogram_count(sum(h))",
        "histogram_avg(avg(h))",
        "histogram_sum(h + on() group_left() sum(h))",
    ):
        warnings = ask(query, store, 60_000).warnings
        assert len(warnings) == 1 and "conflicting counter resets" in warnings[0]
    for query in (
        "sum(h)",
        "histogram_quantile(0.5, sum(h))",
        "histogram_count(sum(last_over_time(h[1m:1m])))",
    ):
        assert ask(query, store, 60_000).warnings == ()
    both = ask(
        "histogram_count(sum(h)) + histogram_sum(sum(h)) + histogram_quantile(0.5, sum(h))", store, 60_000
    )
    assert len(both.warnings) == 1


def test_trims_are_operators_not_text() -> None:
    node = parse('h{i="</"} </ 2 # >/')
    assert node == parse('h{i = "</"}\n  </ 2')
    assert parse("h </ 2") != parse("h < 2")
    with pytest.raises(Unsupported):
        prettify("h </ 2")


def test_custom_bounds_that_both_have_are_kept() -> None:
    store = written(
        a="{{schema:-53 count:6 sum:1 custom_values:[1 2 3] buckets:[1 2 3]}}",
        b="{{schema:-53 count:10 sum:1 custom_values:[2 4] buckets:[1 2 7]}}",
    )
    found = values("sum(h)", store, 0)[0]
    assert isinstance(found, NativeHistogram)
    assert (found.custom_bounds, found.positive_counts) == ((2.0,), (4.0, 12.0))
    assert "mismatched custom buckets" in ask("sum(h)", store, 0).infos[0]


def test_a_group_of_both_kinds_has_no_value_and_says_so() -> None:
    store = written(a="{{count:2 sum:3 buckets:[2]}}", b="5", c="_")
    for query in ("sum(h)", "avg(h)"):
        matrix = ask(query, store, 0)
        assert not len(matrix.labels)
        assert "mix of histograms and floats" in matrix.warnings[0]
    assert values("max(h)", store, 0) == [5.0]
    assert "ignored histogram in max aggregation" in ask("max(h)", store, 0).infos[0]
    assert values("count(h)", store, 0) == [2.0]


def test_a_series_may_change_its_kind() -> None:
    store = written(a="1 2 {{count:2 sum:3}} {{count:4 sum:5}} 7 stale", b="{{count:1}} _ _ _ _ _")
    matrix = evaluate(parse('h{i="a"}'), 0, 300_000, 60_000, store.select, histograms=store.select_histograms)
    kinds = [type(cell(matrix, 0, step)).__name__ for step in range(6)]
    assert kinds == ["float", "float", "NativeHistogram", "NativeHistogram", "float", "NoneType"]
    assert values('count_over_time(h{i="a"}[10m])', store, 240_000) == [5.0]
    assert values('changes(h{i="a"}[10m])', store, 240_000) == [4.0]
    assert not values('rate(h{i="a"}[10m])', store, 240_000)
    assert values('timestamp(h{i="a"})', store, 130_000) == [120.0]
    assert values("absent(h)", store, 0) == []
    assert values('absent_over_time(h{i="b"}[1m])', store, 0) == []
    raw = ask('h{i="a"}[4m]', store, 240_000)
    assert [type(cell(raw, 0, k)).__name__ for k in range(4)] == ["float", *["NativeHistogram"] * 2, "float"]


def test_a_stale_marker_ends_a_histogram() -> None:
    ended = NativeHistogram(0, 0.0, STALE)
    store = store_of(a=[(0, NativeHistogram(0, 2.0, 3.0)), (60_000, ended)])
    assert len(values("h", store, 30_000)) == 1
    assert not values("h", store, 60_000)
    assert values("count_over_time(h[5m])", store, 60_000) == [1.0]


def test_the_answer_has_prometheus_s_shape() -> None:
    store = written(
        a="{{schema:0 count:10 sum:5.5 z_bucket:1 z_bucket_w:0.001 buckets:[2 0 3] n_buckets:[4]}}", b="2"
    )
    vector = to_api(ask("h", store, 0))["result"]
    assert vector[0] == {
        "metric": {"__name__": "h", "i": "a"},
        "histogram": [
            0,
            {
                "count": "10",
                "sum": "5.5",
                "buckets": [
                    [1, "-1", "-0.5", "4"],
                    [3, "-0.001", "0.001", "1"],
                    [0, "0.5", "1", "2"],
                    [0, "2", "4", "3"],
                ],
            },
        ],
    }
    assert vector[1]["value"] == [0, "2"]
    node = parse("h")
    matrix = evaluate(node, 0, 60_000, 60_000, store.select, histograms=store.select_histograms)
    series = to_api(matrix, is_range=True)["result"]
    assert [len(series[0]["histograms"]), "values" in series[0]] == [2, False]
    assert [len(series[1]["values"]), "histograms" in series[1]] == [2, False]


def test_native_histograms_cost_what_they_hold() -> None:
    store = written(a="{{schema:8 count:1000 buckets:[" + "1 " * 1000 + "]}}x50")
    with pytest.raises(ExecutionError, match="too many samples"):
        evaluate_instant(
            parse("rate(h[1h])"),
            3_000_000,
            store.select,
            budget=Budget(10_000),
            histograms=store.select_histograms,
        )


def test_a_query_that_nobody_waits_for_ends() -> None:
    """Wherever it is: every look at the budget may be the last one."""
    store = written(
        a="{{schema:3 count:9 buckets:[1 2 3]}}+{{schema:3 count:2 buckets:[1 0 1]}}x30",
        b="{{schema:3 count:3 buckets:[1 2]}}x30",
        c="{{schema:0 z_bucket_w:1 count:3 z_bucket:1 buckets:[0 1 2]}}x30",
    )
    query = parse("histogram_quantile(0.5, sum(rate(h[5m]) * 2) + sum(avg_over_time(h[5m])))")
    looks, most = 0, 10**9

    def is_canceled() -> bool:
        nonlocal looks
        looks += 1
        return looks > most

    def run() -> Matrix:
        budget = Budget(10**9, is_canceled=is_canceled)
        return evaluate(
            query, 0, 1_200_000, 60_000, store.select, budget=budget, histograms=store.select_histograms
        )

    assert len(run().labels) == 1
    needed = looks
    assert needed > 50
    for ends_after in range(0, needed, 7):
        looks, most = 0, ends_after
        with pytest.raises(QueryCanceled):
            run()


def test_layouts_that_grow_without_end_are_computed_all_the_same() -> None:
    """Buckets spread over 8,000 indices are not brought into one layout, and the rate is right."""
    samples: list[tuple[int, Value]] = []
    spans: list[int] = []
    for k in range(12):
        spans.append(k * 700 - 4000)
        ends = [0, *(index + 1 for index in spans)]
        samples.append(
            (
                k * STEP_MS,
                NativeHistogram(
                    8,
                    float(len(spans)),
                    1.0,
                    positive_spans=tuple((index - end, 1) for index, end in zip(spans, ends, strict=False)),
                    positive_counts=(1.0,) * len(spans),
                    is_float=True,
                ),
            )
        )
    store = store_of(a=samples)
    found = values("increase(h[165s])", store, 11 * STEP_MS)[0]
    assert isinstance(found, NativeHistogram)
    assert len(found.positive_counts) == 11 - 1
    assert np.allclose(found.positive_counts, found.positive_counts[0])


@pytest.mark.parametrize(
    "text",
    [
        "{{count}}",
        "{{count:1 count:2}}",
        "{{schema:9}}",
        "{{buckets:3}}",
        "{{counter_reset_hint:maybe}}",
        "{{schema:x}}",
        "{{count:1}}x99999999",
        "{{count:y}}",
        "{{schema:1}}+{{schema:0}}x2",
        "{{}}+{{schema:-53 custom_values:[1]}}x1",
    ],
)
def test_badly_written_histograms_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        list(sequence(text))


def test_hints_are_compared_only_where_they_are_written() -> None:
    plain, gauge, reset = (
        next(iter(sequence(text)))
        for text in (
            "{{count:1}}",
            "{{count:1 counter_reset_hint:gauge}}",
            "{{count:1 counter_reset_hint:reset}}",
        )
    )
    assert same(plain, gauge)
    assert same(gauge, gauge)
    assert not same(gauge, reset)
    assert not same(gauge, 1.0)


def test_classic_histograms_as_native_ones() -> None:
    series: list[tuple[dict[str, str], list[tuple[int, Value]]]] = [
        ({"__name__": "h_bucket", "le": "1"}, [(0, 2.0)]),
        ({"__name__": "h_bucket", "le": "+Inf"}, [(0, 5.0)]),
        ({"__name__": "h_sum"}, [(0, 9.0)]),
    ]
    ((labels, ((at_ms, found),)),) = custom_bucket_series(series)
    assert (labels, at_ms) == ({"__name__": "h"}, 0)
    assert (found.count, found.sum, found.positive_counts, found.custom_bounds) == (
        5.0,
        9.0,
        (2.0, 3.0),
        (1.0,),
    )
    with pytest.raises(InvalidInput, match="not those of a histogram"):
        custom_bucket_series([*series, ({"__name__": "h_count"}, [(0, 4.0)])])

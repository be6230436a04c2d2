"""Expressions over small series: selectors, matching, aggregation, names, limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.promql.samples import STALE, Recorder, Series, close, every, selecting

from setpoint.errors import InvalidInput
from setpoint.promql import ExecutionError, as_increase, parse
from setpoint.promql.evaluate import Options, evaluate, evaluate_instant
from setpoint.promql.plan import check_resolution, make_plan

REQUESTS: Series = {
    'requests{job="shop",code="200"}': every(60, [0, 60, 120, 180, 240, 300]),
    'requests{job="shop",code="500"}': every(60, [0, 6, 12, 18, 24, 30]),
    'requests{job="cart",code="200"}': every(60, [0, 120, 240, 360, 480, 600]),
}


def at(query: str, seconds: float, series: Series, **options: object) -> dict[str, float]:
    """An instant query's result: `name{labels}` with labels sorted, to value."""
    node = parse(query)
    matrix = evaluate_instant(node, round(seconds * 1000), selecting(series), options=Options(**options))  # type: ignore[arg-type]
    found = {}
    for i, labels in enumerate(matrix.labels):
        rest = ",".join(f"{name}={labels[name]}" for name in sorted(labels) if name != "__name__")
        found[f"{labels.get('__name__', '')}{{{rest}}}"] = float(matrix.values[i, 0])
    return found


def over(query: str, end_s: int, step_s: int, series: Series) -> list[list[float | None]]:
    """A range query from 0: per series the values, None where there is none."""
    matrix = evaluate(parse(query), 0, end_s * 1000, step_s * 1000, selecting(series))
    return [
        [float(v) if p else None for v, p in zip(row, there, strict=True)]
        for row, there in zip(matrix.values, matrix.present, strict=True)
    ]


def test_lookback_is_left_open_and_stale_markers_end_a_series() -> None:
    assert at("a", 299.999, {"a": [(0, 1.0)]}) == {"a{}": 1.0}
    assert at("a", 300, {"a": [(0, 1.0)]}) == {}
    assert at("a", 20, {"a": [(0, 1.0), (10, STALE)]}) == {}
    assert at("a", 20, {"a": [(0, 1.0), (10, STALE), (20, 2.0)]}) == {"a{}": 2.0}
    assert math.isnan(at("a", 20, {"a": [(0, 1.0), (10, math.nan)]})["a{}"])
    assert at("count_over_time(a[1m])", 20, {"a": [(0, 1.0), (10, STALE), (20, 2.0)]}) == {"{}": 2.0}


def test_range_windows_are_left_open() -> None:
    series = {"a": every(10, [1, 2, 3, 4])}
    assert at("count_over_time(a[20s])", 30, series) == {"{}": 2.0}
    assert at("sum_over_time(a[20s] offset 10s)", 30, series) == {"{}": 5.0}
    assert at("sum_over_time(a[20s] @ 10)", 30, series) == {"{}": 3.0}


def test_start_and_end_fix_the_time() -> None:
    series = {"a": every(10, [1, 2, 3, 4])}
    assert over("a @ end()", 30, 10, series) == [[4, 4, 4, 4]]
    assert over("a @ start()", 30, 10, series) == [[1, 1, 1, 1]]
    assert over("a offset 10s", 30, 10, series) == [[None, 1, 2, 3]]


def test_matchers() -> None:
    assert len(at('requests{job=~"sho.|cart",code!="500"}', 60, REQUESTS)) == 2
    assert at('requests{job!~"sh.*"}', 60, REQUESTS) == {"requests{code=200,job=cart}": 120.0}


def test_rate_increase_delta() -> None:
    assert at('rate(requests{job="cart"}[5m])', 300, REQUESTS) == {"{code=200,job=cart}": 2.0}
    assert at('increase(requests{job="cart"}[5m])', 300, REQUESTS) == {"{code=200,job=cart}": 600.0}
    assert at("delta(a[1m])", 60, {"a": [(15, 10.0), (45, 4.0)]}) == {"{}": -12.0}
    assert at("irate(a[1m])", 60, {"a": [(15, 10.0), (45, 6.0)]}) == {"{}": 0.2}
    assert at("idelta(a[1m])", 60, {"a": [(15, 10.0), (45, 6.0)]}) == {"{}": -4.0}


def test_an_error_ratio() -> None:
    query = 'sum by (job) (rate(requests{code=~"5.."}[5m])) / sum by (job) (rate(requests[5m]))'
    found = at(query, 300, REQUESTS)
    assert list(found) == ["{job=shop}"]
    assert close(found["{job=shop}"], 6 / 66)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sum(a)", {"{}": 6.0}),
        ("sum by (x) (a)", {"{x=1}": 3.0, "{x=2}": 3.0}),
        ("sum without (y) (a)", {"{x=1}": 3.0, "{x=2}": 3.0}),
        ("avg(a)", {"{}": 2.0}),
        ("min by (x) (a)", {"{x=1}": 1.0, "{x=2}": 3.0}),
        ("max(a)", {"{}": 3.0}),
        ("count by (y) (a)", {"{y=1}": 2.0, "{y=2}": 1.0}),
        ("group(a)", {"{}": 1.0}),
        ("stdvar(a)", {"{}": 2 / 3}),
        ("quantile(0.5, a)", {"{}": 2.0}),
        ("topk(1, a)", {"a{x=2,y=1}": 3.0}),
        ("bottomk by (x) (1, a)", {"a{x=1,y=1}": 1.0, "a{x=2,y=1}": 3.0}),
        ('count_values("v", a)', {"{v=1}": 1.0, "{v=2}": 1.0, "{v=3}": 1.0}),
    ],
)
def test_aggregations(query: str, expected: dict[str, float]) -> None:
    series = {'a{x="1",y="1"}': [(0, 1.0)], 'a{x="1",y="2"}': [(0, 2.0)], 'a{x="2",y="1"}': [(0, 3.0)]}
    found = at(query, 0, series)
    assert found.keys() == expected.keys()
    assert all(close(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a + 1", {"{x=1}": 2.0, "{x=2}": 3.0}),
        ("2 ^ a", {"{x=1}": 2.0, "{x=2}": 4.0}),
        ("-a", {"{x=1}": -1.0, "{x=2}": -2.0}),
        ("a > 1", {"a{x=2}": 2.0}),
        ("1 < a", {"a{x=2}": 2.0}),
        ("a > bool 1", {"{x=1}": 0.0, "{x=2}": 1.0}),
        ("a * b", {"{x=1}": 10.0}),
        ("a == b", {}),
        ("a != b", {"a{x=1}": 1.0}),
        ("a and b", {"a{x=1}": 1.0}),
        ("a unless b", {"a{x=2}": 2.0}),
        ("a or b", {"a{x=1}": 1.0, "a{x=2}": 2.0, "b{x=3}": 30.0}),
        ("a * on(x) group_left(y) c", {"{x=1,y=p}": 5.0}),
        ("c * on(x) group_right(y) a", {"{x=1,y=p}": 5.0}),
        ("a - on() group_left sum(b)", {"{x=1}": -39.0, "{x=2}": -38.0}),
        ("a + fill(0) b", {"{x=1}": 11.0, "{x=2}": 2.0, "{x=3}": 30.0}),
        ("sum(a) or vector(0)", {"{}": 3.0}),
        ("sum(nothing) or vector(0)", {"{}": 0.0}),
        ("1 / 0", {"{}": math.inf}),
        ("a % 2", {"{x=1}": 1.0, "{x=2}": 0.0}),
    ],
)
def test_operators_and_matching(query: str, expected: dict[str, float]) -> None:
    series = {
        'a{x="1"}': [(0, 1.0)],
        'a{x="2"}': [(0, 2.0)],
        'b{x="1"}': [(0, 10.0)],
        'b{x="3"}': [(0, 30.0)],
        'c{x="1",y="p"}': [(0, 5.0)],
    }
    assert at(query, 0, series) == expected


def test_ambiguous_matches_are_errors() -> None:
    series = {'a{x="1"}': [(0, 1.0)], 'b{x="1",y="1"}': [(0, 1.0)], 'b{x="1",y="2"}': [(0, 1.0)]}
    with pytest.raises(ExecutionError, match=r"found duplicate series for the match group .* on the right"):
        at("a * on(x) b", 0, series)
    with pytest.raises(ExecutionError, match="many-to-one matching must be explicit"):
        at("b * on(x) a", 0, series)
    with pytest.raises(ExecutionError, match="same labelset"):
        at("rate({__name__=~'.+'}[1m])", 30, {"a": every(10, [1, 2]), "b": every(10, [1, 2])})


def test_series_of_one_match_group_may_take_turns() -> None:
    """Ambiguity is per step, not per query."""
    series: Series = {
        "a": every(60, [1] * 20),
        'b{pod="1"}': [(0, 10.0), (60, STALE)],
        'b{pod="2"}': every(60, [None] * 3 + [20.0] * 17),
    }
    assert over("a + on() b", 300, 60, series) == [[11, None, None, 21, 21, 21]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("scalar(a)", {"{}": -1.5}),
        ("abs(a)", {"{}": 1.5}),
        ("ceil(a)", {"{}": -1.0}),
        ("floor(a)", {"{}": -2.0}),
        ("round(a)", {"{}": -1.0}),
        ("round(a, 0.2)", {"{}": -1.4}),
        ("clamp_min(a, 0)", {"{}": 0.0}),
        ("clamp_max(a, -2)", {"{}": -2.0}),
        ("time()", {"{}": 100.0}),
        ("timestamp(a)", {"{}": 40.0}),
        ('absent(b{x="1"})', {"{x=1}": 1.0}),
        ("absent(a)", {}),
        ('label_replace(a, "x", "$1-y", "__name__", "(.*)")', {"a{x=a-y}": -1.5}),
        ("last_over_time(a[2m])", {"a{}": -1.5}),
        ("sum_over_time(vector(1)[1m:10s])", {"{}": 6.0}),
        ("day_of_week(vector(0))", {"{}": 4.0}),
    ],
)
def test_functions(query: str, expected: dict[str, float]) -> None:
    found = at(query, 100, {"a": [(40, -1.5)]})
    assert found.keys() == expected.keys()
    assert all(close(found[key], expected[key]) for key in expected)


def test_histogram_quantile() -> None:
    series = {
        f'h_bucket{{le="{bound}",job="shop"}}': every(60, [0, count])
        for bound, count in (("0.1", 50.0), ("0.5", 90.0), ("+Inf", 100.0))
    }
    found = at("histogram_quantile(0.7, sum by (le) (rate(h_bucket[2m])))", 60, series)
    assert close(found["{}"], 0.1 + 0.4 * (70 - 50) / 40)
    assert at("histogram_quantile(0.99, h_bucket)", 60, series) == {"{job=shop}": 0.5}


def test_delayed_name_removal_lets_the_name_be_used_once_more() -> None:
    series = {"a": every(10, [1, 2, 3]), "b": every(10, [1, 2, 3])}
    query = "label_replace(count_over_time({__name__=~'a|b'}[1m]), 'm', '$1', '__name__', '(.+)')"
    assert at(query, 20, series, delayed_name_removal=True) == {"{m=a}": 3.0, "{m=b}": 3.0}
    with pytest.raises(ExecutionError, match="same labelset"):
        at(query, 20, series)


def test_exact_increase_through_sums_and_differences() -> None:
    series = {
        'requests{pod="1"}': every(15, [0, 5, 10, 2, 7, 9, 14, 15, 20]),
        'requests{pod="2"}': every(15, [None, 0, 4, 4, 8, 8, 8, 9, 12]),
        'errors{pod="1"}': every(15, [0, 0, 1, 0, 1, 1, 3, 3, 3]),
    }
    node = as_increase(parse("sum(requests) - sum(errors)"), 60_000)
    minutes = evaluate(node, 60_000, 120_000, 60_000, selecting(series))
    assert minutes.values.tolist() == [[(10 + 2 + 5 + 8) - (1 + 0 + 1), (13 + 4) - 2]]
    whole = evaluate_instant(
        as_increase(parse("sum(requests) - sum(errors)"), 120_000), 120_000, selecting(series)
    )
    assert whole.values[0, 0] == minutes.values.sum()


_counter = st.lists(st.none() | st.integers(0, 1000).map(float), min_size=1, max_size=30)


@settings(deadline=None)
@given(st.lists(_counter, min_size=1, max_size=4), st.integers(1, 4))
def test_minutes_add_up_to_the_whole(counters: list[list[float | None]], minutes: int) -> None:
    series = {f'c{{i="{i}"}}': every(15, values) for i, values in enumerate(counters)}
    query, end_ms = parse("sum(c) - sum(c{i='0'}) * 0"), minutes * 60_000
    parts = evaluate(as_increase(query, 60_000), 60_000, end_ms, 60_000, selecting(series))
    whole = evaluate_instant(as_increase(parse("sum(c)"), end_ms), end_ms, selecting(series))
    ones = evaluate(as_increase(parse("sum(c)"), 60_000), 60_000, end_ms, 60_000, selecting(series))
    assert ones.values[ones.present].sum() == (whole.values.sum() if len(whole.labels) else 0)
    assert not (parts.present & ~ones.present).any() if len(parts.labels) else True


def test_a_selector_is_fetched_once_with_the_union_of_its_ranges() -> None:
    store = Recorder(REQUESTS)
    node = parse("sum(rate(requests[5m])) / sum(requests offset 1h) + sum(requests{job='shop'})")
    evaluate(node, 7_200_000, 7_260_000, 60_000, store)
    assert sorted(store.asked) == [
        ("__name__=requests", 7_200_000 - 3_600_000 - 300_000, 7_260_000),
        ("__name__=requests,job=shop", 7_200_000 - 300_000, 7_260_000),
    ]


def test_an_exact_increase_asks_for_an_hour_before() -> None:
    plan = make_plan(as_increase(parse("a"), 60_000), 7_200_000, 7_200_000, Options(), query_end_ms=7_200_000)
    assert list(plan.fetches.values()) == [(7_200_000 - 60_000 - 3_600_000, 7_200_000)]


def test_limits_have_the_texts_of_prometheus() -> None:
    with pytest.raises(ExecutionError, match="query processing would load too many samples into memory"):
        at("requests", 300, REQUESTS, max_samples=10)
    with pytest.raises(ExecutionError, match="too many samples"):
        at("sum_over_time(requests[200y:1ms])", 300, REQUESTS)
    with pytest.raises(ExecutionError, match="too many samples"):
        evaluate(parse("1"), 0, 2**50, 1, selecting({}))
    with pytest.raises(InvalidInput, match="exceeded maximum resolution of 11,000 points per timeseries"):
        check_resolution(0, 11_001_000, 1000)
    check_resolution(0, 11_000_000, 1000)
    with pytest.raises(InvalidInput, match="zero or negative query resolution"):
        check_resolution(0, 1, 0)
    with pytest.raises(InvalidInput, match="range vector"):
        evaluate(parse("a[5m]"), 0, 1, 1, selecting({}))


def test_an_instant_range_vector_is_its_samples() -> None:
    matrix = evaluate_instant(parse("a[20s]"), 30_000, selecting({"a": every(10, [1, 2, STALE, 4])}))
    assert matrix.kind == "matrix"
    assert matrix.times_ms.tolist() == [30_000]
    assert matrix.values.tolist() == [[4.0]]


@settings(deadline=None)
@given(
    st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), min_size=1, max_size=8),
    st.sampled_from(["sum", "avg", "min", "max", "count"]),
)
def test_aggregations_equal_numpy(values: list[float], op: str) -> None:
    series = {f'a{{i="{i}"}}': [(0, value)] for i, value in enumerate(values)}
    found = at(f"{op}(a)", 0, series)["{}"]
    array = np.array(values)
    plain = {
        "sum": array.sum(),
        "avg": array.mean(),
        "min": np.fmin.reduce(array),
        "max": np.fmax.reduce(array),
        "count": float(len(array)),
    }[op]
    assert close(found, float(plain), 1e-9) or abs(found - plain) < 1e-9


def test_a_range_query_equals_instant_queries_step_by_step() -> None:
    for query in (
        "requests",
        "rate(requests[2m])",
        "sum by (job) (requests) > 100",
        "max_over_time(requests[3m:30s])",
    ):
        matrix = evaluate(parse(query), 0, 300_000, 30_000, selecting(REQUESTS))
        for j, at_ms in enumerate(matrix.times_ms):
            single = evaluate_instant(parse(query), int(at_ms), selecting(REQUESTS))
            both = [
                {
                    tuple(sorted(labels.items())): m.values[i, k]
                    for i, labels in enumerate(m.labels)
                    if m.present[i, k]
                }
                for m, k in ((matrix, j), (single, 0))
            ]
            assert both[0] == both[1], (query, at_ms)

"""What a query may not do: nest too deep, hold too much, take too long, explode in a join; and that results are
the same however the work is cut.
"""

from __future__ import annotations

import itertools
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.promql.samples import every, selecting

from setpoint.errors import InvalidInput, Unavailable
from setpoint.promql import ExecutionError, QueryError, parse, slices
from setpoint.promql.budget import Budget, SamplePool
from setpoint.promql.errors import QueryCanceled, QueryTimeout
from setpoint.promql.evaluate import evaluate, evaluate_instant
from setpoint.promql.from_telemetry import Select
from setpoint.promql.plan import check_resolution
from setpoint.promql.queries import Queries

DEEP: dict[str, Callable[[int], str]] = {
    "parentheses": lambda n: "(" * n + "1" + ")" * n,
    "unary": lambda n: "-" * n + "a",
    "spaced unary": lambda n: "- " * n + "a",
    "binary": lambda n: "+".join(["a"] * n),
    "power": lambda n: "^".join(["2"] * n),
    "words": lambda n: " or ".join(["a"] * n),
    "calls": lambda n: "abs(" * n + "a" + ")" * n,
    "aggregations": lambda n: "sum by (x) (" * n + "a" + ")" * n,
    "subqueries": lambda n: "max_over_time(" * n + "a" + "[1m:])" * n,
    "unclosed": lambda n: "(" * n,
    "durations": lambda n: "a[" + "(" * n + "1m" + ")" * n + "]",
    "signs of durations": lambda n: "a[5m + " + "-" * n + "1m]",
    "powers of durations": lambda n: "a offset (" + "^".join(["1"] * n) + ")",
    "comparisons": lambda n: " == ".join(["a"] * n),
}


@pytest.mark.parametrize("kind", sorted(DEEP))
@pytest.mark.parametrize("levels", [1_000, 100_000])
def test_a_deep_query_is_refused(kind: str, levels: int) -> None:
    with pytest.raises(QueryError, match=r"too many operators and brackets|levels deep"):
        parse(DEEP[kind](levels))


@pytest.mark.parametrize("kind", sorted(set(DEEP) - {"unclosed"}))
def test_what_the_parser_takes_is_evaluated(kind: str) -> None:
    for levels in (45, 95, 190, 400, 999):
        try:
            node = parse(DEEP[kind](levels))
        except QueryError as error:
            assert levels > 45, error
            return
        evaluate_instant(node, 60_000, selecting({"a": [(60, 1)]}))


def wide(count: int = 40, length: int = 60) -> Select:
    """Counters and gauges with gaps, a sample each 15 s."""
    random = np.random.default_rng(4)
    series = {}
    for i in range(count):
        values = [None if random.random() < 0.1 else float(v) for v in random.integers(0, 1000, length)]
        series[f'a{{i="{i}"}}'] = every(15, values)
    return selecting(series)


QUERIES = [
    "a",
    "timestamp(a)",
    "rate(a[2m])",
    "quantile_over_time(0.7, a[3m])",
    "mad_over_time(a[3m])",
    "predict_linear(a[3m], 60)",
    "double_exponential_smoothing(a[3m], 0.3, 0.6)",
    "max_over_time(rate(a[1m])[3m:20s])",
    "quantile(0.3, a)",
    "topk(3, a)",
    "bottomk(35, a)",
    "absent_over_time(a[30s])",
]


@pytest.mark.parametrize("query", QUERIES)
def test_slices_change_nothing(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    node, select = parse(query), wide()
    whole = evaluate(node, 0, 900_000, 10_000, select)
    looks = itertools.count()
    budget = Budget(10**9, is_canceled=lambda: next(looks) < 0)
    monkeypatch.setattr(slices, "SLICE_COST", 500)
    monkeypatch.setattr("setpoint.promql.sampling.SLICE_COST", 500)
    cut = evaluate(node, 0, 900_000, 10_000, select, budget=budget)
    assert next(looks) > 8, "the work was not cut"
    assert cut.labels == whole.labels
    assert np.array_equal(cut.present, whole.present)
    assert np.array_equal(cut.values[cut.present], whole.values[whole.present], equal_nan=True)


def test_topk_of_many_is_what_sorting_gives() -> None:
    random = np.random.default_rng(7)
    values = [*random.integers(0, 30, 90).tolist(), *[float("nan")] * 5]
    select = selecting({f'a{{i="{i:03}"}}': [(60, value)] for i, value in enumerate(values)})
    for op, sign in (("topk", -1), ("bottomk", 1)):
        order = sorted(range(95), key=lambda i: (np.isnan(values[i]), sign * values[i] if i < 90 else 0, i))
        for k in (3, 31, 33, 80, 95):
            found = evaluate_instant(parse(f"{op}({k}, a)"), 60_000, select)
            assert [int(labels["i"]) for labels in found.labels] == order[:k]


def test_time_ends_a_query_between_two_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SLICE_COST", 500)
    seconds = itertools.count()
    budget = Budget(10**9, timeout_s=15, elapsed_s=lambda: float(next(seconds)))
    with pytest.raises(QueryTimeout, match="query timed out in expression evaluation"):
        evaluate(parse("quantile_over_time(0.5, a[3m])"), 0, 900_000, 10_000, wide(), budget=budget)
    assert next(seconds) == 17


def test_a_query_that_nobody_waits_for_ends() -> None:
    budget = Budget(10**9, is_canceled=lambda: True)
    with pytest.raises(QueryCanceled, match="query was canceled"):
        evaluate(parse("a"), 0, 900_000, 10_000, wide(), budget=budget)


@pytest.mark.parametrize(
    ("query", "limit"),
    [
        ("a * on() group_left() b", 10_000_000),
        ("a == on() b", 10_000_000),
        ("a + on(i) group_left() fill(0) b", 20_000_000),
        ('count_values("v", a)', 7_000_000),
        ("a", 3_000_000),
        ("count_over_time(a[1000d:7s])", 10_000_000),
    ],
)
def test_an_explosion_is_refused_before_memory_is_taken(query: str, limit: int) -> None:
    """Series that live one after the other are many on both sides of a match, and never at one step."""
    series = {f'{name}{{i="{i}"}}': [(400 * i, float(i))] for name in "ab" for i in range(2000)}
    select = selecting(series)
    budget = Budget(limit)
    tracemalloc.start()
    try:
        with pytest.raises(ExecutionError, match="too many samples"):
            evaluate(parse(query), 0, 800_000_000, 400_000, select, budget=budget)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 25 * limit


def test_what_is_consumed_is_given_back() -> None:
    select = wide()
    budget = Budget(40_000)  # 40 series on 91 steps are 3,640 samples, and what is read 2,200
    result = evaluate(parse(" + ".join(["a"] * 50)), 0, 900_000, 10_000, select, budget=budget)
    assert budget.kept == 0
    assert budget.held == budget.fetched + result.values.size
    assert budget.peak <= 40_000


def test_what_stands_twice_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from setpoint.promql import kernels

    calls, real = [], kernels.extrapolated

    def counted(*args: Any) -> object:
        calls.append(args)
        return real(*args)

    monkeypatch.setattr(kernels, "extrapolated", counted)
    budget = Budget(10**9)
    query = "sum(rate(a[2m])) / (sum(rate(a[2m])) + sum(rate(a[2m] offset 1m))) + max(rate(a[2m]))"
    evaluate(parse(query), 0, 900_000, 10_000, wide(), budget=budget)
    assert len(calls) == 2
    assert budget.kept == 0
    evaluate(parse("max_over_time(rate(a[2m])[3m:]) + rate(a[2m])"), 0, 900_000, 10_000, wide())
    assert len(calls) == 4, "the steps of a subquery are others"


def test_all_queries_share_a_pool() -> None:
    pool = SamplePool(3_000_000)
    with Budget(2_000_000, pool=pool) as first:
        first.spend(1_900_000)
        with Budget(2_000_000, pool=pool) as second:
            second.spend(1_000_000)
            with pytest.raises(Unavailable, match="together with the queries that run now"):
                second.spend(900_000)
        with Budget(2_000_000, pool=pool) as third:
            third.spend(1_000_000)
    assert pool.held == 0


def test_a_result_that_is_still_sent_counts_until_it_is_gone() -> None:
    pool = SamplePool(3_000_000)
    with Budget(2_000_000, pool=pool) as budget:
        budget.spend(1_500_000)
        sending = (piece for piece in (b"",))
        budget.outlive(sending, 1_000_000)
    assert pool.held == 1_000_000
    del sending
    assert pool.held == 0


def test_queries_wait_for_their_turn() -> None:
    queries = Queries(timeout_s=60, samples_limit=10_000, concurrency=1)
    entered, leave, order = threading.Event(), threading.Event(), []

    def first() -> None:
        with queries.running():
            entered.set()
            leave.wait(30)
            order.append("first")

    def second() -> None:
        with queries.running():
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    entered.wait(30)
    threads[1].start()
    with pytest.raises(QueryTimeout, match="query timed out in query queue"), queries.running(0.1):
        pass
    with pytest.raises(QueryCanceled), queries.running(is_canceled=lambda: True):
        pass
    leave.set()
    for thread in threads:
        thread.join(30)
    assert order == ["first", "second"]
    assert (queries.active, queries.pool.held) == (0, 0)


def test_steps_are_limited() -> None:
    check_resolution(0, 11_000_000, 1000)
    with pytest.raises(InvalidInput, match=r"exceeded maximum resolution of 11,000 points per timeseries"):
        check_resolution(0, 11_001_000, 1000)

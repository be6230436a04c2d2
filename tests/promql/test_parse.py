"""Queries become our own nodes; what is wrong with one is said with its place and what to write instead."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.promql.samples import selecting

from setpoint.errors import InvalidInput
from setpoint.promql import QueryError, Unsupported, as_increase, parse, value_type
from setpoint.promql.aggregate import COMBINED
from setpoint.promql.evaluate import evaluate_instant
from setpoint.promql.functions import FUNCTIONS
from setpoint.promql.nodes import (
    Aggregation,
    Binary,
    Call,
    ExactIncrease,
    Grouping,
    LabelMatcher,
    Matching,
    MatrixSelector,
    NumberLiteral,
    Subquery,
    Unary,
    VectorSelector,
)
from setpoint.promql.supported import AGGREGATIONS
from setpoint.promql.supported import FUNCTIONS as SUPPORTED

A = VectorSelector((LabelMatcher("__name__", "=", "a"),))
B = VectorSelector((LabelMatcher("__name__", "=", "b"),))


def test_selectors() -> None:
    node = parse('a{x="1",y!="2",z=~"3.*",w!~"4"} offset -90s @ 12.5')
    assert node == VectorSelector(
        (
            LabelMatcher("__name__", "=", "a"),
            LabelMatcher("x", "=", "1"),
            LabelMatcher("y", "!=", "2"),
            LabelMatcher("z", "=~", "3.*"),
            LabelMatcher("w", "!~", "4"),
        ),
        offset_ms=-90_000,
        at=12_500,
    )
    assert parse("rate(a[1m30s] @ end())") == Call(
        "rate", (MatrixSelector(VectorSelector(A.matchers, at="end"), 90_000),)
    )
    assert parse("a[1h:5m] @ start() offset 1d") == Subquery(A, 3_600_000, 300_000, 86_400_000, "start")
    assert parse("a[1h:]") == Subquery(A, 3_600_000)


def test_operators() -> None:
    assert parse("sum without (x) (a)") == Aggregation("sum", A, None, Grouping(("x",), without=True))
    assert parse("topk by (x) (3, a)") == Aggregation("topk", A, NumberLiteral(3), Grouping(("x",)))
    assert parse("a > bool on(x) group_left(y) b") == Binary(
        ">", A, B, True, Matching(on=True, labels=("x",), group="left", include=("y",))
    )
    assert parse("a AND ignoring(x) b") == Binary("and", A, B, False, Matching(labels=("x",)))
    assert parse("-a ^ 2") == Unary(Binary("^", A, NumberLiteral(2)))
    assert parse("((a))") == A


@pytest.mark.parametrize(
    ("query", "kind"),
    [
        ("1 + time()", "scalar"),
        ("a", "vector"),
        ("1 + a", "vector"),
        ("a[5m]", "matrix"),
        ("'x'", "string"),
        ("-1", "scalar"),
    ],
)
def test_value_type(query: str, kind: str) -> None:
    assert value_type(parse(query)) == kind


@pytest.mark.parametrize(
    ("query", "position", "says"),
    [
        ("sum(rate(a[5m])", 3, "Close the parenthesis"),
        ("rate(a[5m", 6, "close them, such as [5m]"),
        ('rate(a{x="b}[5m])', 9, "Close the quote"),
        ("a{x=b}", 4, 'Put the value between quotes, such as {job="shop"}'),
        ("a)", 1, "unexpected right parenthesis"),
        ("sum(nosuch(a))", 4, "unknown function with name 'nosuch'"),
        ("rate(a)", 0, "write a duration after the selector, as in rate(metric[5m])"),
        ("abs(a[5m])", 0, "Take a rate of the range first"),
        ("http.requests", 4, "underscores instead of dots"),
        ("a $ b", 2, "unexpected character: '$'"),
        ('a{x="$"} $ b', 9, "unexpected character: '$'"),
        ("a[5z]", 2, "A duration is a number with ms, s, m, h, d, w or y"),
        ("sum(a) by", 9, "does not parse at character 10"),
        ("", None, "Write an expression"),
        ('{x=""}', None, "match a label that is not empty"),
        ("1 == 2", None, "Write bool after the operator"),
        ("a && b", 2, "Write and, or, unless"),
    ],
)
def test_errors_say_where_and_what_instead(query: str, position: int | None, says: str) -> None:
    with pytest.raises(QueryError) as raised:
        parse(query)
    assert raised.value.position == position
    assert raised.value.query == query
    assert says in raised.value.message
    assert query in raised.value.message
    assert raised.value.http_status == 400


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("start_timestamp(a)", "start_timestamp"),
        ('a{x="1" or y="2"}', "'or' between"),
        ("a @ -10", "before 1970"),
        ("rate(a[5m] smoothed)", "the modifier 'smoothed'"),
        ("increase(a[5m] ANCHORED)", "the modifier 'anchored'"),
    ],
)
def test_what_is_not_supported_is_named(query: str, names: str) -> None:
    with pytest.raises(Unsupported, match=names):
        parse(query)


@pytest.mark.parametrize(
    "query",
    [
        "(" * 100_000 + "a" + ")" * 100_000,
        "-" * 100_000 + "a",
        "a+" * 100_000 + "a",
        "a or " * 5000 + "a",
        "abs(" * 900 + "a" + ")" * 900,
    ],
)
def test_a_hostile_query_is_refused_and_ends_nothing(query: str) -> None:
    with pytest.raises(QueryError, match="split it into several"):
        parse(query)


def test_a_deep_query_is_computed() -> None:
    for query in (
        "abs(" * 199 + "a" + ")" * 199,
        "a" + " + a" * 199,
        "(" * 900 + "a" + ")" * 900,
        "a" + " or a" * 150,
    ):
        node = as_increase(parse(query), 60_000)
        assert evaluate_instant(node, 60_000, selecting({"a": [(0, 1.0), (30, 2.0)]})).present.all()


@pytest.mark.parametrize("query", ["a[300000000y]", "a offset -99999999y", "a @ 1e300", "a[99999999999y]"])
def test_times_out_of_range_are_refused(query: str) -> None:
    with pytest.raises(QueryError):
        parse(query)


@settings(deadline=None)
@given(st.text(max_size=60) | st.text("ab(){}[]\"'`=~!<>+-*/ 0123456789smh,:@#\\.\n", max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        node = parse(text)
    except InvalidInput as error:
        assert error.message
        if isinstance(error, QueryError) and error.position is not None:
            assert 0 <= error.position <= len(text)
    else:
        hash(node)


def test_the_names_that_parse_accepts_are_those_that_are_computed() -> None:
    assert set(FUNCTIONS) == SUPPORTED
    assert {
        *COMBINED,
        *("topk", "bottomk", "limitk", "limit_ratio"),
        "quantile",
        "count_values",
    } == AGGREGATIONS


def test_parsing_imports_neither_numpy_nor_numba() -> None:
    program = (
        "import sys; from setpoint.promql import parse; parse('sum(rate(a[5m]))'); "
        "print([name for name in ('numpy', 'numba', 'setpoint.telemetry') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_as_increase_replaces_bare_selectors_only() -> None:
    node = as_increase(parse("sum(a) - sum(rate(b[5m])) * scalar(a) > 0"), 60_000)
    increase = ExactIncrease(A, 60_000)
    rate = Call("rate", (MatrixSelector(B, 300_000),))
    product = Binary("*", Aggregation("sum", rate), Call("scalar", (increase,)))
    assert node == Binary(">", Binary("-", Aggregation("sum", increase), product), NumberLiteral(0))
    subquery = parse("max_over_time(a[5m:1m])")
    assert as_increase(subquery, 60_000) == subquery

"""What `show` writes, `parse` reads as the same tree; a narrowed query has its labels in every selector."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.promql.nodes import (
    Aggregation,
    Binary,
    Call,
    ExactIncrease,
    Grouping,
    LabelMatcher,
    Matching,
    MatrixSelector,
    Node,
    NumberLiteral,
    Unary,
    VectorSelector,
)
from setpoint.promql.parse import parse
from setpoint.promql.show import narrowed, selectors, show

QUERIES = [
    "up",
    "{__name__=~'a.*', __name__!='ab'}",
    '{__name__="metric.with.dots"}',
    '{__name__="inf"}',
    r'a{b="x\\y\"z\n", c=~"d|e", d!="", e!~"f\\d"}',
    '{"quoted.label"="x", __name__="a"}',
    "a offset 5m",
    "a offset -1h30m @ 1609746000.5",
    "rate(a[5m] offset 1m @ end())",
    "max_over_time(sum(rate(a[1m]))[1h:30s] offset 1d)",
    "max_over_time((a + b)[1h:])",
    "sum by (job, instance) (a) / on (job) group_left (version) b",
    "sum without () (a)",
    "sum(a) by (x)",
    "a * ignoring (x) group_right () b",
    "a == bool 1",
    "a + b * c - d",
    "(a + b) * (c - d) ^ 2 ^ 3",
    "-a ^ 2",
    "-(a + b)",
    "(-1) ^ a",
    "topk(3, a) or bottomk(2, b) unless c and d",
    'label_replace(a, "b", "$1", "c", "(.*)")',
    "quantile(0.9, a)",
    'count_values("version", a)',
    "histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))",
    "vector(1) > Inf",
    "a > -Inf",
    "a < 1e-9 or a > 1e22 or a == 0.1",
    "absent(a{b='c'})",
    "info(a, {b=~'.+'})",
    "info(a)",
    "a + on () group_left () fill (0) b",
    "a + fill_right (2) b",
    "time() - a",
    "scalar(a) + 1",
    "a atan2 b",
]


@pytest.mark.parametrize("query", QUERIES)
def test_what_is_shown_reads_as_the_same(query: str) -> None:
    tree = parse(query)
    assert parse(show(tree)) == tree, show(tree)
    assert show(parse(show(tree))) == show(tree)


def test_what_is_no_number_is_shown() -> None:
    assert show(parse("a > NaN")) == "a > NaN"


_names = st.sampled_from(["a", "b_total", "c:d", "le"])
_values = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
_matchers = st.builds(LabelMatcher, st.sampled_from(["job", "x_1"]), st.sampled_from(["=", "!="]), _values)
_selectors = st.builds(
    lambda name, inside, offset: VectorSelector(
        (LabelMatcher("__name__", "=", name), *inside), offset_ms=offset
    ),
    _names,
    st.lists(_matchers, max_size=2),
    st.sampled_from([0, 1000, -61_000, 86_400_000]),
)
_numbers = st.builds(NumberLiteral, st.floats(allow_nan=False).filter(lambda value: value > 0 or value == 0))


def _larger(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    labels = st.lists(_names.filter(lambda name: ":" not in name), unique=True, max_size=2).map(tuple)
    return st.one_of(
        st.builds(Unary, inner),
        st.builds(lambda expr, by: Aggregation("sum", expr, None, Grouping(by)), inner, labels),
        st.builds(lambda n, expr: Aggregation("topk", expr, NumberLiteral(n)), st.sampled_from([1.0, 2.5]), inner),
        st.builds(lambda left, op, right: Binary(op, left, right), inner, st.sampled_from(["+", "^", "-"]), inner),
        st.builds(
            lambda left, right, on: Binary("and", left, right, matching=Matching(True, on)), inner, inner, labels
        ),
        st.builds(lambda expr: Call("abs", (expr,)), inner),
        st.builds(lambda one, size: Call("rate", (MatrixSelector(one, size),)), _selectors, st.just(90_000)),
    )  # fmt: skip


_trees: st.SearchStrategy[Node] = st.recursive(_selectors, _larger, max_leaves=8)


@settings(max_examples=150, deadline=None)
@given(_trees)
def test_any_tree_reads_as_the_same(tree: Node) -> None:
    assert parse(show(tree)) == tree, show(tree)


@settings(max_examples=50, deadline=None)
@given(_numbers)
def test_any_number_reads_as_the_same(number: NumberLiteral) -> None:
    assert parse(show(number)) == number


@settings(max_examples=100, deadline=None)
@given(_trees, _values)
def test_a_narrowed_query_has_its_labels_in_every_selector(tree: Node, value: str) -> None:
    wanted = LabelMatcher("region", "=", value)
    again = parse(show(narrowed(tree, [wanted])))
    found = list(selectors(again))
    assert found
    assert all(one.matchers[-1] == wanted for one in found)
    assert [one.matchers[:-1] for one in found] == [one.matchers for one in selectors(tree)]


def test_the_selectors_of_info_are_no_series_that_are_counted() -> None:
    tree = narrowed(parse("sum(info(a, {version=~'.+'})) / b"), [LabelMatcher("x", "=", "1")])
    assert show(tree) == 'sum(info(a{x="1"}, {version=~".+"})) / b{x="1"}'
    assert [show(one) for one in selectors(tree)] == ['a{x="1"}', 'b{x="1"}']


def test_an_exact_increase_cannot_be_shown() -> None:
    with pytest.raises(ValueError, match="cannot be written"):
        show(ExactIncrease(VectorSelector((LabelMatcher("__name__", "=", "a"),)), 60_000))

"""The door of `convert` to PromQL: queries over a window, as Sloth has them, become queries that count events, and
those that count events become queries over a window (`over_window`).

Sloth asks for events as `sum(rate(x[{{.window}}]))` over several windows. Setpoint counts the events of every minute,
and any window is the sum of its minutes. So what is summed must add up: the exact rise of counters does, and samples do
that are summed or counted (`sum_over_time`, `count_over_time`). Whatever is made of these by sums, differences and
numeric factors adds up, too; everything else is kept as a ready-made ratio (`fixed`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from setpoint.errors import InvalidInput
from setpoint.promql.nodes import (
    Aggregation,
    Binary,
    Call,
    Grouping,
    LabelMatcher,
    Matching,
    MatrixSelector,
    Node,
    NumberLiteral,
    Subquery,
    Unary,
    VectorSelector,
    value_type,
    walk,
)
from setpoint.promql.parse import parse
from setpoint.promql.show import show
from setpoint.resource.duration import duration_ms

__all__ = [
    "Count",
    "LabelMatcher",
    "Labels",
    "Node",
    "NumberLiteral",
    "binary",
    "count_of",
    "difference",
    "equal_matchers",
    "fixed",
    "over",
    "over_window",
    "parse_plain",
    "parse_template",
    "reads_native",
    "result_labels",
    "selector_of",
    "show",
    "split_ratio",
    "summed",
    "without_silence",
]

Form = Literal["rate", "increase", "sampled"]
Labels = tuple[str, ...] | None
"""The labels that a query's series have in common names, () for one series, None where that cannot be told."""

_WINDOW = re.compile(r"\{\{-?\s*\.window\s*-?\}\}", re.ASCII)
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_WINDOW_MS = 86_399_917  # a length that nobody writes
_MINUTE_MS = 60_000
_SILENT = Call("vector", (NumberLiteral(0.0),))
_NATIVE = frozenset(
    {
        "histogram_avg",
        "histogram_count",
        "histogram_fraction",
        "histogram_stddev",
        "histogram_stdvar",
        "histogram_sum",
    }
)
_SAMPLED = frozenset({"sum_over_time", "count_over_time"})


@dataclass(frozen=True, slots=True)
class Count:
    """A query that counts events: over plain counters (`rate`, `increase`: in which of the two it was written), or
    over the samples of the last minute.
    """

    node: Node
    form: Form
    labels: Labels

    @property
    def is_counter(self) -> bool:
        """Whether Setpoint takes the increase itself."""
        return self.form != "sampled"

    @property
    def text(self) -> str:
        """As PromQL."""
        return show(self.node)


def parse_template(query: str) -> Node:
    """The tree of a query with `{{.window}}` in it. Raises InvalidInput, with what to do, when it is none."""
    if not _WINDOW.search(query):
        raise InvalidInput(
            "names no {{.window}}, which Sloth demands of its queries; write it as the range, [{{.window}}]"
        )
    plain = _WINDOW.sub(f"{_WINDOW_MS}ms", query)
    other = _TEMPLATE.search(plain)
    if other is not None:
        raise InvalidInput(f"'{other[0][:40]}' is a template that is not known; only {{{{.window}}}} is")
    return parse_plain(plain)


def parse_plain(query: str) -> Node:
    """The tree of `query`. Raises InvalidInput when it is no PromQL that gives a number."""
    try:
        node = parse(query)
    except InvalidInput as error:
        shown = error.message.splitlines()[0].replace(f"{_WINDOW_MS}ms", "{{.window}}")
        raise InvalidInput(f"is no PromQL that can be read: {shown}") from error
    if value_type(node) != "vector":
        raise InvalidInput(
            f"is a {value_type(node)}, and a query must give series; write one such as sum(rate(x[{{{{.window}}}}]))"
        )
    return node


def selector_of(metric: str) -> VectorSelector:
    """The selector that `metric` is. Raises InvalidInput when it is more than that."""
    node = parse_plain(metric)
    if not isinstance(node, VectorSelector) or node.offset_ms or node.at is not None:
        raise InvalidInput('is no plain selector; write one such as http_requests_total{job="shop"}')
    return node


def equal_matchers(node: Node) -> Mapping[str, str]:
    """What the selectors of `node` demand of labels by `=`, where they agree; the first one counts."""
    found: dict[str, str] = {}
    for one in walk(node):
        if isinstance(one, VectorSelector):
            for matcher in one.matchers:
                if matcher.op == "=" and matcher.name != "__name__" and matcher.value:
                    found.setdefault(matcher.name, matcher.value)
    return found


def summed(node: Node) -> Node:
    """`sum(node)`."""
    return Aggregation("sum", node)


def over(function: str, selector: VectorSelector, range_ms: int) -> Node:
    """`function(selector[range])`."""
    return Call(function, (MatrixSelector(selector, range_ms),))


def binary(op: str, left: Node, right: Node) -> Node:
    """`left op right`."""
    return Binary(op, left, right)


def difference(part: Node, whole: Node) -> Node | None:
    """x where `part` is `whole - x`; None where it is not."""
    if isinstance(part, Binary) and part.op == "-" and part.left == whole and _is_plain(part.matching):
        return part.right
    return None


def over_window(query: str, window: str, *, is_counter: bool) -> str:
    """The events that `query` counts, over the window before an instant: their rate where it names counters, else the
    sum of what it gives each minute. One series.
    """
    node = parse(query)
    if result_labels(node) != ():
        node = summed(node)
    length_ms = duration_ms(window)
    if is_counter:
        return show(_rates(node, length_ms))
    wide = _with_length(node, _WINDOW_MS, of_ms=_MINUTE_MS)
    found = _count(wide)
    if found is not None and found.node == node:  # samples of a minute that add up: those of the window
        return show(_with_length(wide, length_ms))
    return show(Call("sum_over_time", (Subquery(node, length_ms, _MINUTE_MS),)))


def _rates(node: Node, length_ms: int) -> Node:
    """`node` with the rate of every selector in its place, where `promql.exact` puts the exact increase."""
    match node:
        case VectorSelector():
            return over("rate", node, length_ms)
        case Call():
            return replace(node, args=tuple(_rates(one, length_ms) for one in node.args))
        case Aggregation() | Unary():
            return replace(node, expr=_rates(node.expr, length_ms))
        case Binary():
            return replace(node, left=_rates(node.left, length_ms), right=_rates(node.right, length_ms))
        case _:
            return node


def without_silence(node: Node) -> tuple[Node, bool]:
    """`node` without an `or vector(0)` behind it, and whether there was one."""
    if isinstance(node, Binary) and node.op == "or" and node.right == _SILENT:
        return node.left, True
    return node, False


def reads_native(node: Node) -> bool:
    """Whether `node` takes native histograms apart."""
    return any(isinstance(one, Call) and one.name in _NATIVE for one in walk(node))


def split_ratio(node: Node) -> tuple[Node, Node, bool] | None:
    """Part, whole, and whether the part is what is left (`1 - part/whole`), of a ready-made ratio; None when it is not
    written as one.
    """
    if isinstance(node, Binary) and node.op == "-" and node.left == NumberLiteral(1.0):
        inner = split_ratio(node.right)
        return None if inner is None else (inner[0], inner[1], not inner[2])
    if isinstance(node, Binary) and node.op == "/" and _is_plain(node.matching):
        return None if isinstance(node.right, NumberLiteral) else (node.left, node.right, False)
    return None


def count_of(node: Node) -> Count | None:
    """The events that `node` counts over the window, for any window; None when they do not add up.

    A query without sum() around it is summed: Setpoint keeps one number of events. Labels of `sum by` are taken off,
    they are what an objective is grouped by.
    """
    found = _count(node)
    if found is None:
        return None
    if found.labels is None:
        return Count(summed(found.node), found.form, None)
    return Count(_ungrouped(found.node), found.form, found.labels)


def _count(node: Node) -> Count | None:  # noqa: PLR0911 — one per kind of node
    match node:
        case Call(
            name="rate" | "increase" as form, args=(MatrixSelector(selector=selector, range_ms=range_ms),)
        ):
            is_window = range_ms == _WINDOW_MS and not selector.offset_ms and selector.at is None
            return Count(selector, form, None) if is_window else None
        case Call(name=name, args=(MatrixSelector() | Subquery() as inner,)) if name in _SAMPLED:
            return _sampled(name, inner)
        case Aggregation(op="sum", param=None):
            return _sum(node)
        case Unary():
            below = _count(node.expr)
            return None if below is None else replace(below, node=Unary(below.node))
        case Binary(op="or"):
            spoken, is_silent = without_silence(node)
            below = _count(spoken) if is_silent else None
            is_one = below is not None and below.labels == ()
            return replace(below, node=Binary("or", below.node, _SILENT)) if below and is_one else None
        case Binary(op="+" | "-"):
            return _both(node)
        case Binary(op="*" | "/", right=NumberLiteral()):
            below = _count(node.left)
            return None if below is None else replace(below, node=Binary(node.op, below.node, node.right))
        case Binary(op="*", left=NumberLiteral()):
            below = _count(node.right)
            return None if below is None else replace(below, node=Binary("*", node.left, below.node))
        case _:
            return None


def _sampled(name: str, inner: MatrixSelector | Subquery) -> Count | None:
    """Samples of the window as those of the last minute: minutes next to each other have every sample once."""
    timed = inner.selector if isinstance(inner, MatrixSelector) else inner
    if inner.range_ms != _WINDOW_MS or timed.offset_ms or timed.at is not None:
        return None
    if isinstance(inner, MatrixSelector):
        return Count(Call(name, (replace(inner, range_ms=_MINUTE_MS),)), "sampled", None)
    if any(_is_window(one) for one in walk(inner.expr)):
        return None
    step_ms = inner.step_ms or _MINUTE_MS
    labels = result_labels(inner.expr)
    if step_ms == _MINUTE_MS and name == "sum_over_time":
        return Count(inner.expr, "sampled", labels)
    if _MINUTE_MS % step_ms:
        return None
    return Count(Call(name, (replace(inner, range_ms=_MINUTE_MS, step_ms=step_ms),)), "sampled", labels)


def _sum(node: Aggregation) -> Count | None:
    if node.grouping.without:
        return None
    inner, is_silent = without_silence(node.expr)
    below = _count(inner)
    if below is None or (is_silent and node.grouping.labels):
        return None
    aggregated: Node = replace(node, expr=below.node)
    if is_silent:
        aggregated = Binary("or", aggregated, _SILENT)
    return Count(aggregated, below.form, node.grouping.labels)


def _both(node: Binary) -> Count | None:
    left, right = _count(node.left), _count(node.right)
    if left is None or right is None or left.form != right.form:
        return None
    if left.labels is None or right.labels is None or set(left.labels) != set(right.labels):
        return None
    is_free = node.matching == Matching(on=True, labels=node.matching.labels) and (
        set(node.matching.labels) == set(left.labels)
    )
    if not (_is_plain(node.matching) or is_free):
        return None
    return Count(Binary(node.op, left.node, right.node), left.form, left.labels)


def _is_plain(matching: Matching) -> bool:
    return matching in (Matching(), Matching(on=True))


def _ungrouped(node: Node) -> Node:
    """`node` without the labels of its outermost sums."""
    match node:
        case Aggregation(op="sum"):
            return replace(node, grouping=Grouping())
        case Binary():
            return replace(node, left=_ungrouped(node.left), right=_ungrouped(node.right))
        case Unary():
            return replace(node, expr=_ungrouped(node.expr))
        case _:
            return node


def _is_window(node: Node) -> bool:
    return isinstance(node, MatrixSelector | Subquery) and node.range_ms == _WINDOW_MS


def result_labels(node: Node) -> Labels:  # noqa: PLR0911 — one per kind of node
    """The names of the labels that the series of `node` have, as far as its text tells."""
    match node:
        case Aggregation(op="topk" | "bottomk" | "limitk" | "limit_ratio"):
            return None
        case Aggregation():
            return None if node.grouping.without else node.grouping.labels
        case NumberLiteral() | Call(name="vector"):
            return ()
        case Unary():
            return result_labels(node.expr)
        case Subquery():
            return result_labels(node.expr)
        case Call():
            vectors = [one for one in node.args if value_type(one) in ("vector", "matrix")]
            return result_labels(vectors[0]) if len(vectors) == 1 else None
        case Binary():
            left, right = result_labels(node.left), result_labels(node.right)
            if left is not None and right is not None and set(left) == set(right):
                return left
            if isinstance(node.right, NumberLiteral):
                return left
            return right if isinstance(node.left, NumberLiteral) else None
        case _:
            return None


def fixed(node: Node) -> tuple[str, int]:
    """`node` with a fixed length for the window, and that in seconds: a minute where samples are looked at as they are
    (`avg_over_time`), five minutes where rates are, because a rate needs samples to be computed from.
    """
    parents = [
        one for one in walk(node) if isinstance(one, Call) and any(_is_window(arg) for arg in one.args)
    ]
    is_gauge = all(one.name.endswith("_over_time") for one in parents)
    length_ms = _MINUTE_MS if is_gauge else 5 * _MINUTE_MS
    return show(_with_length(node, length_ms)), length_ms // 1000


def _with_length(node: Node, length_ms: int, of_ms: int = _WINDOW_MS) -> Node:  # noqa: PLR0911 — one per kind
    """`node` with every range of `of_ms` made one of `length_ms`."""
    match node:
        case MatrixSelector():
            return replace(node, range_ms=length_ms) if node.range_ms == of_ms else node
        case Subquery():
            expr = _with_length(node.expr, length_ms, of_ms)
            if node.range_ms != of_ms:
                return replace(node, expr=expr)
            return replace(node, expr=expr, range_ms=length_ms, step_ms=node.step_ms or _MINUTE_MS)
        case Call():
            return replace(node, args=tuple(_with_length(one, length_ms, of_ms) for one in node.args))
        case Aggregation():
            param = None if node.param is None else _with_length(node.param, length_ms, of_ms)
            return replace(node, expr=_with_length(node.expr, length_ms, of_ms), param=param)
        case Binary():
            left, right = (
                _with_length(node.left, length_ms, of_ms),
                _with_length(node.right, length_ms, of_ms),
            )
            return replace(node, left=left, right=right)
        case Unary():
            return replace(node, expr=_with_length(node.expr, length_ms, of_ms))
        case _:
            return node

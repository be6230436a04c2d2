"""A tree as text again, and a tree whose selectors are narrowed to some series.

`objective` makes one query for each group of an SLO: `sum(x_total)` grouped by region becomes
`sum(x_total{region="eu"})`, which a person reads on a page and can paste into any Prometheus. What `show` writes,
`parse` reads as the same tree; brackets stand around every operation inside an operation.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from setpoint.promql.nodes import (
    Aggregation,
    At,
    Binary,
    Call,
    ExactIncrease,
    LabelMatcher,
    Matching,
    MatrixSelector,
    Node,
    NumberLiteral,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
)

__all__ = ["narrowed", "selectors", "show"]

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}
_WORDS = frozenset({"inf", "nan"})


def show(node: Node) -> str:  # noqa: PLR0911 — one per kind of node
    """`node` as PromQL. Raises ValueError for an ExactIncrease, which PromQL cannot say."""
    match node:
        case NumberLiteral():
            return _number(node.value)
        case StringLiteral():
            return _quoted(node.value)
        case VectorSelector():
            return _selector(node)
        case MatrixSelector():
            bare = replace(node.selector, offset_ms=0, at=None)
            return f"{_selector(bare)}[{_duration(node.range_ms)}]{_time(node.selector.offset_ms, node.selector.at)}"
        case Subquery():
            step = "" if node.step_ms is None else _duration(node.step_ms)
            return f"{_operand(node.expr)}[{_duration(node.range_ms)}:{step}]{_time(node.offset_ms, node.at)}"
        case Call():
            return f"{node.name}({', '.join(map(show, node.args))})"
        case Aggregation():
            return _aggregation(node)
        case Unary():
            return f"-{_operand(node.expr)}"
        case Binary():
            return f"{_operand(node.left)} {node.op}{_how(node)} {_operand(node.right)}"
        case ExactIncrease():
            raise ValueError("an exact increase cannot be written in PromQL")


def narrowed(node: Node, matchers: Sequence[LabelMatcher]) -> Node:  # noqa: PLR0911 — one per kind of node
    """`node` with `matchers` beside those of every selector, but for the label selectors of info()."""
    match node:
        case VectorSelector():
            return _with(node, matchers)
        case MatrixSelector() | ExactIncrease():
            return replace(node, selector=_with(node.selector, matchers))
        case Subquery() | Unary():
            return replace(node, expr=narrowed(node.expr, matchers))
        case Call() if node.name == "info":
            return replace(node, args=(narrowed(node.args[0], matchers), *node.args[1:]))
        case Call():
            return replace(node, args=tuple(narrowed(one, matchers) for one in node.args))
        case Aggregation():
            param = None if node.param is None else narrowed(node.param, matchers)
            return replace(node, expr=narrowed(node.expr, matchers), param=param)
        case Binary():
            return replace(node, left=narrowed(node.left, matchers), right=narrowed(node.right, matchers))
        case _:
            return node


def selectors(node: Node) -> Iterable[VectorSelector]:
    """Every selector that `narrowed` narrows, in the order in which they are written."""
    match node:
        case VectorSelector():
            yield node
        case MatrixSelector() | ExactIncrease():
            yield node.selector
        case Subquery() | Unary():
            yield from selectors(node.expr)
        case Call():
            for one in node.args[:1] if node.name == "info" else node.args:
                yield from selectors(one)
        case Aggregation():
            if node.param is not None:
                yield from selectors(node.param)
            yield from selectors(node.expr)
        case Binary():
            yield from selectors(node.left)
            yield from selectors(node.right)
        case _:
            return


def _with(selector: VectorSelector, matchers: Sequence[LabelMatcher]) -> VectorSelector:
    return replace(selector, matchers=(*selector.matchers, *matchers))


def _operand(node: Node) -> str:
    is_negative = isinstance(node, NumberLiteral) and math.copysign(1, node.value) < 0
    brackets = isinstance(node, Binary | Unary | Subquery | MatrixSelector) or is_negative
    return f"({show(node)})" if brackets and not isinstance(node, MatrixSelector) else show(node)


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Inf" if value > 0 else "-Inf"
    return repr(int(value)) if value.is_integer() and abs(value) < 1e15 and value else repr(value)


def _quoted(text: str) -> str:
    return f'"{"".join(_letter(letter) for letter in text)}"'


def _letter(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _selector(node: VectorSelector) -> str:
    first = node.matchers[0] if node.matchers else None
    is_name = first is not None and (first.name, first.op) == ("__name__", "=") and _is_metric(first.value)
    name = first if is_name else None
    inside = ", ".join(_matcher(one) for one in node.matchers[1 if name else 0 :])
    braces = f"{{{inside}}}" if inside or name is None else ""
    return f"{name.value if name else ''}{braces}{_time(node.offset_ms, node.at)}"


def _is_metric(name: str) -> bool:
    return _METRIC.fullmatch(name) is not None and name.lower() not in _WORDS


def _matcher(matcher: LabelMatcher) -> str:
    name = matcher.name if _LABEL.fullmatch(matcher.name) else _quoted(matcher.name)
    return f"{name}{matcher.op}{_quoted(matcher.value)}"


def _time(offset_ms: int, at: At) -> str:
    offset = f" offset {'-' if offset_ms < 0 else ''}{_duration(abs(offset_ms))}" if offset_ms else ""
    if at is None:
        return offset
    return offset + (f" @ {at / 1000:.3f}" if isinstance(at, int) else f" @ {at}()")


def _duration(duration_ms: int) -> str:
    left, parts = duration_ms, []
    for unit, size in _UNITS:
        amount, left = divmod(left, size)
        if amount:
            parts.append(f"{amount}{unit}")
    return "".join(parts) or "0s"


def _aggregation(node: Aggregation) -> str:
    grouping = ""
    if node.grouping.labels or node.grouping.without:
        word = "without" if node.grouping.without else "by"
        grouping = f" {word} ({_labels(node.grouping.labels)}) "
    param = "" if node.param is None else f"{show(node.param)}, "
    return f"{node.op}{grouping}({param}{show(node.expr)})"


def _labels(labels: Iterable[str]) -> str:
    return ", ".join(one if _LABEL.fullmatch(one) else _quoted(one) for one in labels)


def _how(node: Binary) -> str:
    """What stands behind the operator: bool, and which series find each other."""
    matching: Matching = node.matching
    said = " bool" if node.return_bool else ""
    if matching.on or matching.labels or matching.group is not None:
        said += f" {'on' if matching.on else 'ignoring'} ({_labels(matching.labels)})"
    if matching.group is not None:
        said += f" group_{matching.group} ({_labels(matching.include)})"
    left, right = matching.fill_left, matching.fill_right
    if left is not None:
        said += f" fill_left ({_number(left)})"
    if right is not None:
        said += f" fill_right ({_number(right)})"
    return said

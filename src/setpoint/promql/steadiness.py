"""Which range queries give each step the same answer, to the bit, whatever other steps are asked for with it.

`range_cache` keeps results of these alone. A step may depend on others in ways that do not show: sums over windows are
made of blocks that begin where the samples do, aggregations add in the order of series, and some orders come from
series that only other steps have. So this is a list of what is known to be steady, and everything else is not kept.
"""

from __future__ import annotations

from dataclasses import dataclass

from setpoint.promql.nodes import (
    Aggregation,
    Binary,
    Call,
    MatrixSelector,
    Node,
    NumberLiteral,
    StringLiteral,
    Unary,
    VectorSelector,
    children,
    value_type,
    walk,
)

__all__ = ["Reach", "reach_of"]

_NAME = "__name__"

# Each window by itself, or exactly so; not sum, avg and quantile, whose sliding kernels depend on where they begin.
_OVER_WINDOWS = frozenset(
    {
        *("rate", "increase", "delta", "irate", "idelta", "deriv", "changes", "resets"),
        *("min_over_time", "max_over_time", "count_over_time", "last_over_time", "first_over_time"),
        *("present_over_time", "stddev_over_time", "stdvar_over_time", "mad_over_time"),
        *("ts_of_last_over_time", "ts_of_first_over_time", "ts_of_max_over_time", "ts_of_min_over_time"),
    }
)
# Element by element and rounded once; not those whose last bit is the library's choice (exp, ln, ^ and their kin).
_ROW_BY_ROW = frozenset(
    {"abs", "ceil", "floor", "sqrt", "sgn", "round", "clamp", "clamp_min", "clamp_max", "timestamp"}
)
_OTHERS = frozenset({"histogram_quantile", "absent", "label_replace", "label_join", "vector", "time", "pi"})
_OPERATORS = frozenset({"+", "-", "*", "/", "%", "==", "!=", ">", "<", ">=", "<=", "and", "or", "unless"})

# These see only which series there are; the others depend on the order in which they come.
_WITHOUT_ORDER = frozenset({"count", "group"})
_IN_ORDER = frozenset({"sum", "avg", "min", "max", "stddev", "stdvar", "topk", "bottomk"})


@dataclass(frozen=True, slots=True)
class Reach:
    """What a step at t reads: samples from t - `back_ms` to t - `ahead_ms`. Steps that are no more than `window_ms`
    apart leave no sample between them unread.
    """

    back_ms: int
    ahead_ms: int
    window_ms: int


def reach_of(node: Node, lookback_ms: int) -> Reach | None:
    """What `node` reads for a step, or None where its steps are not known to be independent."""
    if value_type(node) != "vector" or not _is_steady(node):
        return None
    windows: list[tuple[int, int]] = []
    in_windows = {id(part.selector) for part in walk(node) if isinstance(part, MatrixSelector)}
    for part in walk(node):
        if isinstance(part, MatrixSelector):
            windows.append((part.selector.offset_ms, part.range_ms))
        elif isinstance(part, VectorSelector) and id(part) not in in_windows:
            windows.append((part.offset_ms, lookback_ms))
    if not windows:
        return None
    return Reach(
        max(offset_ms + length_ms for offset_ms, length_ms in windows),
        min(offset_ms for offset_ms, _ in windows),
        min(length_ms for _, length_ms in windows),
    )


def _is_steady(node: Node) -> bool:
    return _stands_alone(node) and all(_is_steady(child) for child in children(node))


def _stands_alone(node: Node) -> bool:  # noqa: PLR0911 - one per kind of node
    """Whether `node` is steady where its operands are."""
    match node:
        case NumberLiteral() | StringLiteral() | MatrixSelector() | Unary():
            return True
        case VectorSelector():
            return node.at is None and node.offset_ms >= 0 and _names_metric(node)
        case Call():
            if node.name in _OVER_WINDOWS:
                return all(isinstance(arg, MatrixSelector) for arg in node.args)
            return node.name in _ROW_BY_ROW or node.name in _OTHERS
        case Binary():
            return node.op in _OPERATORS
        case Aggregation():
            if node.param is not None and not isinstance(node.param, NumberLiteral):
                return False
            return node.op in _WITHOUT_ORDER or (node.op in _IN_ORDER and _is_ordered(node.expr))
        case _:
            return False


def _names_metric(selector: VectorSelector) -> bool:
    """Series of one metric: they are as different without its name, so that no two of them become one."""
    return any(matcher.name == _NAME and matcher.op == "=" and matcher.value for matcher in selector.matchers)


def _is_ordered(node: Node) -> bool:  # noqa: PLR0911 - one per kind of node
    """Whether the series of `node` come in the order of a selector's: that of their labels, whichever there are."""
    match node:
        case VectorSelector():
            return True
        case Call():
            if node.name in _OVER_WINDOWS:
                return True
            return node.name in _ROW_BY_ROW and _is_ordered(node.args[0])
        case Unary():
            return _is_ordered(node.expr)
        case Binary():
            left, right = value_type(node.left), value_type(node.right)
            if left == "scalar":
                return right == "vector" and _is_ordered(node.right)
            return right == "scalar" and _is_ordered(node.left)
        case _:
            return False

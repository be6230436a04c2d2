"""What an expression reads, for callers that evaluate many in an order of their own: rules that feed each other."""

from __future__ import annotations

from setpoint.promql.nodes import Call, Node, Subquery, VectorSelector, walk

__all__ = ["metrics_read", "reads_only_back"]

_OF_THE_RANGE = frozenset({"start", "end", "range", "step"})
_NAME = "__name__"


def metrics_read(node: Node) -> frozenset[str] | None:
    """The names of the metrics that `node` reads; None where it may read any."""
    names = set()
    for part in walk(node):
        if isinstance(part, Call) and part.name == "info":
            return None
        if isinstance(part, VectorSelector):
            named = [
                matcher.value for matcher in part.matchers if matcher.name == _NAME and matcher.op == "="
            ]
            if not named:
                return None
            names.update(named)
    return frozenset(names)


def reads_only_back(node: Node) -> bool:
    """Whether an evaluation at an instant reads nothing after it, and none of it depends on the range of the query."""
    for part in walk(node):
        if isinstance(part, VectorSelector | Subquery) and (part.offset_ms < 0 or part.at is not None):
            return False
        if isinstance(part, Call) and part.name in _OF_THE_RANGE:
            return False
    return True

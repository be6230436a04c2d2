"""What finds the info series of info(), such as target_info: `plan` fetches it, `info` evaluates it."""

from __future__ import annotations

from collections.abc import Sequence

from setpoint.promql.errors import ExecutionError
from setpoint.promql.nodes import At, Call, LabelMatcher, Node, Subquery, VectorSelector, children

__all__ = ["info_matchers", "info_selector"]

_NAME = "__name__"
_DEFAULT = LabelMatcher(_NAME, "=", "target_info")
_ANY_INFO = LabelMatcher(_NAME, "=~", ".+_info")


def info_selector(call: Call) -> VectorSelector:
    """What finds the info series of a call of info(): at the time of the first selector in its first argument."""
    names, data = info_matchers(call)
    at, offset_ms = _first_time(call.args[0]) or (None, 0)
    return VectorSelector((*names, *data), offset_ms, at)


def info_matchers(call: Call) -> tuple[list[LabelMatcher], list[LabelMatcher]]:
    """The matchers of the second argument, those on names apart; they always name some info metric."""
    given: Sequence[LabelMatcher] = ()
    if len(call.args) > 1:
        if not isinstance(call.args[1], VectorSelector):
            raise ExecutionError(
                'expected label selectors as second argument of info(), such as {k8s_cluster=~".+"}'
            )
        given = call.args[1].matchers
    names = [matcher for matcher in given if matcher.name == _NAME]
    if not names:
        names = [_DEFAULT]
    elif all(matcher.op in ("!=", "!~") for matcher in names):
        names.insert(0, _ANY_INFO)
    return names, [matcher for matcher in given if matcher.name != _NAME]


def _first_time(node: Node) -> tuple[At, int] | None:
    """The `@` and the offset of the first selector in `node`; those of subqueries around it count as well."""
    if isinstance(node, VectorSelector):
        return node.at, node.offset_ms
    for child in children(node):
        found = _first_time(child)
        if found is None:
            continue
        at, offset_ms = found
        if at is None and isinstance(node, Subquery):
            return node.at, offset_ms + node.offset_ms
        return found
    return None

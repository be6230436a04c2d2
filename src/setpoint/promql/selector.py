"""A selector alone, as the matchers that telemetry understands: what resources and APIs select series with.

`telemetry` must not know PromQL, so `app` hands `read_selector` down to it.
"""

from __future__ import annotations

from setpoint.promql.errors import QueryError
from setpoint.promql.from_telemetry import Matcher
from setpoint.promql.nodes import VectorSelector
from setpoint.promql.parse import parse

__all__ = ["read_selector"]


def read_selector(text: str) -> tuple[Matcher, ...]:
    """The matchers of a selector such as `up{job="api"}`. Raises InvalidInput when it is anything else."""
    node = parse(text)
    if not isinstance(node, VectorSelector) or node.offset_ms or node.at is not None:
        raise QueryError('this is no selector; write one, such as requests_total{job="api"}', text)
    return tuple(Matcher(matcher.name, matcher.op, matcher.value) for matcher in node.matchers)

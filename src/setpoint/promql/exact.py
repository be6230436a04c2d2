"""Turns a query over counters into one over their exact increases, which is what an objective counts events
with.

`objective` writes `sum(http_requests_total{code!~"5.."})` and means the events of a minute. `increase()`
would extrapolate to the edges of the minute, and so the minutes of a day would not add up to the day.
`as_increase` replaces each counter by its exact increase over the step's window instead; sums and differences
of such windows are additive by construction.
"""

from __future__ import annotations

from dataclasses import replace

from setpoint.promql.nodes import (
    Aggregation,
    Binary,
    Call,
    ExactIncrease,
    Node,
    Unary,
    VectorSelector,
)

__all__ = ["PREVIOUS_SAMPLE_MS", "as_increase"]

PREVIOUS_SAMPLE_MS = 3_600_000
"""How far back the sample that a sample is compared with may lie; after a longer gap a series starts anew."""


def as_increase(node: Node, window_ms: int) -> Node:
    """`node` with every bare vector selector replaced by its exact increase over (t - `window_ms`, t].

    Selectors inside range selectors and subqueries are left alone: they say themselves which window they
    mean.
    """
    match node:
        case VectorSelector():
            return ExactIncrease(node, window_ms)
        case Call():
            return replace(node, args=tuple(as_increase(arg, window_ms) for arg in node.args))
        case Aggregation():
            return replace(node, expr=as_increase(node.expr, window_ms))
        case Binary():
            return replace(
                node, left=as_increase(node.left, window_ms), right=as_increase(node.right, window_ms)
            )
        case Unary():
            return replace(node, expr=as_increase(node.expr, window_ms))
        case _:
            return node

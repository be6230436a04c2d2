"""What every part of an evaluation has at hand: the grid of steps, the fetched samples, the limits.

`evaluate` makes one per query and hands it down; a subquery gets a copy with a grid of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from setpoint.promql.errors import ExecutionError
from setpoint.promql.from_telemetry import SampleColumns
from setpoint.promql.model import FloatGrid, Matrix, Times
from setpoint.promql.nodes import At, LabelMatcher, Node, StringLiteral, value_type

__all__ = ["TOO_MANY_SAMPLES", "Budget", "Context", "Options", "Value"]

TOO_MANY_SAMPLES = "query processing would load too many samples into memory in query execution"

Value = Matrix | FloatGrid
"""A vector is a Matrix, a scalar a float64[s]."""


@dataclass(frozen=True, slots=True)
class Options:
    """What may differ between callers; the defaults are Prometheus's."""

    lookback_ms: int = 300_000
    """How old the sample of an instant selector may be."""
    max_samples: int = 50_000_000
    """Samples that one query may hold in memory."""
    subquery_step_ms: int = 60_000
    """The step of a subquery that names none."""
    delayed_name_removal: bool = False
    """Drop metric names at the end of the evaluation rather than in each operation (experimental in
    Prometheus).
    """


class Budget:
    """Counts the samples that a query holds."""

    def __init__(self, limit: int) -> None:
        self.left = limit

    def spend(self, samples: int) -> None:
        """Raise ExecutionError with Prometheus's text when `samples` more are too many."""
        self.left -= samples
        if self.left < 0:
            raise ExecutionError(f"{TOO_MANY_SAMPLES}; ask for fewer series, a shorter time or a larger step")


@dataclass(frozen=True, slots=True)
class Context:
    """`times_ms` int64[s] are the steps; `start_ms`, `end_ms` and `step_ms` are those of the whole query."""

    times_ms: Times
    start_ms: int
    end_ms: int
    step_ms: int
    columns: Mapping[tuple[LabelMatcher, ...], SampleColumns]
    options: Options
    budget: Budget
    compute: Callable[[Node, Context], Value]

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self.times_ms)

    def vector(self, node: Node) -> Matrix:
        """The value of `node`, which the parser has checked to be a vector."""
        value = self.compute(node, self)
        if not isinstance(value, Matrix):
            raise ExecutionError("expected an instant vector; write vector(...) around a scalar")
        return value

    def scalar(self, node: Node) -> FloatGrid:
        """The value of `node`, which the parser has checked to be a scalar, float64[s]."""
        value = self.compute(node, self)
        if isinstance(value, Matrix):
            raise ExecutionError("expected a scalar; write scalar(...) around a vector")
        return value

    def text(self, node: Node) -> str:
        """The text of a string literal."""
        if not isinstance(node, StringLiteral):
            raise ExecutionError(f"expected a string, found a {value_type(node)}")
        return node.value

    def on(self, times_ms: Times) -> Context:
        """The same query on other steps."""
        return replace(self, times_ms=times_ms)

    def ends(self, at: At, offset_ms: int) -> Times:
        """Per step the instant that a selector looks at, int64[s]."""
        fixed = {"start": self.start_ms, "end": self.end_ms}.get(at) if isinstance(at, str) else at
        base = self.times_ms if fixed is None else np.full(self.steps, fixed, np.int64)
        return base - offset_ms

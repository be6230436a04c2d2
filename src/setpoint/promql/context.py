"""What every part of an evaluation has at hand: the grid of steps, the fetched samples, the limits.

`evaluate` makes one per query and hands it down; a subquery gets a copy with a grid of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from setpoint.promql.budget import TOO_MANY_SAMPLES, Budget
from setpoint.promql.errors import ExecutionError
from setpoint.promql.from_telemetry import SampleColumns
from setpoint.promql.literals import is_valid, quoted, readable
from setpoint.promql.model import FloatGrid, Matrix, Times
from setpoint.promql.native_series import NativeSamples
from setpoint.promql.nodes import At, LabelMatcher, Node, StringLiteral, value_type
from setpoint.promql.notes import Notes

__all__ = ["TOO_MANY_SAMPLES", "Budget", "Context", "Grid", "Options", "Shared", "Value", "size"]

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


Grid = tuple[int, int, int]
"""First step, last step and number of steps: steps are always equally far apart."""


class Shared:
    """The parts of a query that stand in it more than once, computed the first time and kept until the last.

    `uses` says how often each is needed on which grid; what stands there once is not kept.
    """

    def __init__(self, uses: Mapping[tuple[Node, Grid], int]) -> None:
        self._left = {key: count for key, count in uses.items() if count > 1}
        self._values: dict[tuple[Node, Grid], Value] = {}

    def is_shared(self, key: tuple[Node, Grid]) -> bool:
        """Whether the part is needed again, or is here for the last time."""
        return key in self._left

    def take(self, key: tuple[Node, Grid], budget: Budget) -> Value | None:
        """The value if it was computed before."""
        value = self._values.get(key)
        if value is None:
            return None
        self._left[key] -= 1
        if not self._left[key]:
            budget.keep(-size(self._values.pop(key)))
            del self._left[key]
        return value

    def put(self, key: tuple[Node, Grid], value: Value, budget: Budget) -> None:
        """Keep a value for who needs it next."""
        budget.keep(size(value))
        self._values[key] = value
        self._left[key] -= 1


def size(value: Value) -> int:
    """The samples that a value holds."""
    return value.values.size if isinstance(value, Matrix) else value.size


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
    shared: Shared
    native: Mapping[tuple[LabelMatcher, ...], NativeSamples] = field(default_factory=dict)
    """The native histograms of the selectors that have any, with the rows of `columns`."""
    reads: Literal["plain", "stats", "whole"] = "plain"
    """What of histograms is wanted: `stats` below histogram_count() and its kin, unless anything needs the whole."""
    notes: Notes = field(default_factory=Notes)

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self.times_ms)

    @property
    def grid(self) -> Grid:
        """What tells these steps from others."""
        if not self.steps:
            return 0, 0, 0
        return int(self.times_ms[0]), int(self.times_ms[-1]), self.steps

    def vector(self, node: Node) -> Matrix:
        """The floats of `node`, which the parser has checked to be a vector; most functions see no more."""
        return _as_vector(self.compute(node, self)).floats()

    def mixed(self, node: Node) -> Matrix:
        """The value of `node`, a vector, native histograms among its values."""
        return _as_vector(self.compute(node, self))

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
        return readable(node.value)

    def label_name(self, node: Node, refusal: str) -> str:
        """The text of a string literal that names a label; `refusal` is what is wrong if it cannot."""
        name = node.value if isinstance(node, StringLiteral) else self.text(node)
        if not name or not is_valid(name):
            raise ExecutionError(f"{refusal} {quoted(name)}: write a label's name")
        return name

    def reading(self, reads: Literal["stats", "whole"]) -> Context:
        """The same query, of whose histograms no more than this is wanted below."""
        return self if self.reads in (reads, "whole") else replace(self, reads=reads)

    def histograms(self, matchers: tuple[LabelMatcher, ...]) -> NativeSamples | None:
        """The native histograms of a selector."""
        samples = self.native.get(matchers)
        return samples.with_resets() if samples is not None and self.reads == "stats" else samples

    def on(self, times_ms: Times) -> Context:
        """The same query on other steps."""
        return replace(self, times_ms=times_ms)

    def ends(self, at: At, offset_ms: int) -> Times:
        """Per step the instant that a selector looks at, int64[s]."""
        fixed = {"start": self.start_ms, "end": self.end_ms}.get(at) if isinstance(at, str) else at
        base = self.times_ms if fixed is None else np.full(self.steps, fixed, np.int64)
        return base - offset_ms


def _as_vector(value: Value) -> Matrix:
    if not isinstance(value, Matrix):
        raise ExecutionError("expected an instant vector; write vector(...) around a scalar")
    return value

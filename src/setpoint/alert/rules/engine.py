"""Where rules ask their expressions: Setpoint's own query engine, or the server behind a data source.

An engine gives the samples of an expression at an instant. `OwnEngine` evaluates over head and store, without waiting
for queries of people; `SourceEngine` sends the expression to another server, which evaluates it there, so that only the
answer travels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from setpoint.alert.from_promql import (
    Budget,
    Node,
    Select,
    SelectHistograms,
    VectorSample,
    evaluate_instant,
    samples_of,
    show,
)
from setpoint.clock import stopwatch

__all__ = ["Ask", "OwnEngine", "SourceEngine"]

Ask = Callable[[Node, int], Sequence[VectorSample]]
"""The samples of an expression at an instant (Unix ms). Raises SetpointError."""


class OwnEngine:
    """Evaluates on Setpoint's own samples. Thread-safe."""

    def __init__(
        self,
        select: Select,
        histograms: SelectHistograms | None = None,
        *,
        timeout_s: float = 120.0,
        samples_limit: int = 50_000_000,
    ) -> None:
        """An expression may take `timeout_s` and hold `samples_limit`."""
        self._select, self._histograms = select, histograms
        self._timeout_s, self._samples_limit = timeout_s, samples_limit

    def __call__(self, node: Node, at_ms: int) -> Sequence[VectorSample]:
        """See `Ask`."""
        budget = Budget(self._samples_limit, timeout_s=self._timeout_s, elapsed_s=stopwatch())
        return samples_of(
            evaluate_instant(node, at_ms, self._select, budget=budget, histograms=self._histograms)
        )


class SourceEngine:
    """Asks the server behind a data source. Thread-safe."""

    def __init__(self, vector: Callable[[str, int], Sequence[tuple[Mapping[str, str], float]]]) -> None:
        """`vector` answers an instant query."""
        self._vector = vector

    def __call__(self, node: Node, at_ms: int) -> Sequence[VectorSample]:
        """See `Ask`."""
        return [VectorSample(labels, value) for labels, value in self._vector(show(node), at_ms)]

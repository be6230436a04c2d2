"""Answers as lists of samples, for callers that go through them one by one: rules, templates and tests.

A matrix is the shape to compute with; a rule makes an alert of each series.
"""

from __future__ import annotations

from dataclasses import dataclass

from setpoint.promql.context import Options
from setpoint.promql.errors import ExecutionError
from setpoint.promql.evaluate import evaluate, evaluate_instant
from setpoint.promql.from_telemetry import Labels, NativeHistogram
from setpoint.promql.memory import MemoryStore, Value
from setpoint.promql.model import Matrix
from setpoint.promql.native import Histogram
from setpoint.promql.native_buckets import text
from setpoint.promql.nodes import Node

__all__ = ["VectorSample", "cell", "histogram_text", "instant_vector", "range_matrix", "samples_of"]


@dataclass(frozen=True, slots=True)
class VectorSample:
    """One series of an instant vector."""

    labels: Labels
    value: Value


def instant_vector(node: Node, at_ms: int, store: MemoryStore, options: Options) -> list[VectorSample]:
    """The samples of `node` at an instant; a scalar is one without labels. Raises ExecutionError."""
    return samples_of(
        evaluate_instant(node, at_ms, store.select, options=options, histograms=store.select_histograms)
    )


def samples_of(matrix: Matrix) -> list[VectorSample]:
    """The samples of a matrix with one step. Raises ExecutionError where it is no vector or scalar."""
    if matrix.kind not in ("vector", "scalar"):
        raise ExecutionError("the result is not a vector or scalar")
    if matrix.histograms is None:
        values, present = matrix.values[:, 0].tolist(), matrix.present[:, 0].tolist()
        rows = zip(matrix.labels, values, present, strict=True)
        return [VectorSample(labels, value) for labels, value, is_there in rows if is_there]
    found = []
    for row, labels in enumerate(matrix.labels):
        value = cell(matrix, row, 0)
        if value is not None:
            found.append(VectorSample(labels, value))
    return found


def range_matrix(node: Node, times_ms: range, store: MemoryStore, options: Options) -> Matrix:
    """The value of `node` at equally spaced instants; a scalar is a series without labels. Raises InvalidInput."""
    return evaluate(
        node,
        times_ms[0],
        times_ms[-1],
        times_ms.step,
        store.select,
        options=options,
        histograms=store.select_histograms,
    )


def cell(matrix: Matrix, row: int, step: int) -> Value | None:
    """One value of a matrix, None where there is none."""
    if not matrix.present[row, step]:
        return None
    histogram = None if matrix.histograms is None else matrix.histograms[row, step]
    if histogram is None:
        return float(matrix.values[row, step])
    stored: NativeHistogram = histogram.stored()
    return stored


def histogram_text(histogram: NativeHistogram) -> str:
    """A histogram as Prometheus writes it in texts: its count, its sum, its buckets with their bounds."""
    return text(Histogram.of(histogram))

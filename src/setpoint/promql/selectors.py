"""The leaves of an expression: from fetched sample columns to a matrix or to windows of samples.

Instant selectors see stale markers (a series that ended has no value), range selectors leave them out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.promql import kernels
from setpoint.promql.context import Context
from setpoint.promql.errors import ExecutionError
from setpoint.promql.exact import PREVIOUS_SAMPLE_MS
from setpoint.promql.from_telemetry import SampleColumns
from setpoint.promql.model import FloatGrid, Labels, Matrix, Presence, Times, without_name
from setpoint.promql.native_series import NativeSamples, of_matrix, with_newest, with_raw, without_stale
from setpoint.promql.nodes import ExactIncrease, MatrixSelector, Node, Subquery, VectorSelector
from setpoint.promql.plan import subquery_grid
from setpoint.promql.slices import sliced

__all__ = ["Windows", "exact_increase", "instant", "raw_samples", "sample_times", "windows"]


@dataclass(frozen=True, slots=True)
class Windows:
    """A range vector: the samples of n series and, per step, the window (ends[j] - range_ms, ends[j]].

    Columns as in SampleColumns, without stale markers; `ends` int64[s]; `drops_name` bool[n] as in Matrix. Native
    histograms, if there are any, stand beside them with the same rows.
    """

    labels: tuple[Labels, ...]
    offsets: npt.NDArray[np.int64]
    timestamps_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    ends: Times
    range_ms: int
    drops_name: Presence
    histograms: NativeSamples | None = None


def _bits(columns: SampleColumns) -> npt.NDArray[np.int64]:
    return np.ascontiguousarray(columns.values).view(np.int64)


def _newest(context: Context, node: VectorSelector, of_samples: npt.NDArray[np.float64]) -> Matrix:
    """Per step what `of_samples` float64[m] says of the newest sample of the lookback."""
    columns = context.columns[node.matchers]
    ends, lookback_ms, bits = (
        context.ends(node.at, node.offset_ms),
        context.options.lookback_ms,
        _bits(columns),
    )

    def run(rows: slice, steps: slice) -> tuple[FloatGrid, Presence]:
        offsets = columns.offsets[rows.start : rows.stop + 1]
        index = kernels.last_sample(offsets, columns.timestamps_ms, bits, ends[steps], lookback_ms)
        return of_samples[index] if len(of_samples) else np.zeros(index.shape), index >= 0

    counts = np.diff(columns.offsets)
    values, present = sliced(
        context.budget, counts.astype(np.float64) + context.steps, counts, context.steps, run
    )
    return Matrix(columns.labels, context.times_ms, values, present)


def instant(context: Context, node: VectorSelector) -> Matrix:
    """Per step the newest sample of the lookback."""
    matrix = _newest(context, node, context.columns[node.matchers].values)
    return _with_histograms(context, node, matrix)


def sample_times(context: Context, node: VectorSelector) -> Matrix:
    """As `instant`, but with the timestamps of the samples, in seconds, as values."""
    matrix = _newest(context, node, context.columns[node.matchers].timestamps_ms / 1000)
    return _with_histograms(context, node, matrix, as_times=True)


def _with_histograms(
    context: Context, node: VectorSelector, matrix: Matrix, *, as_times: bool = False
) -> Matrix:
    samples = context.histograms(node.matchers)
    if samples is None:
        return matrix
    ends, lookback_ms = context.ends(node.at, node.offset_ms), context.options.lookback_ms
    columns = context.columns[node.matchers]
    return with_newest(matrix, samples, columns, ends, lookback_ms, context.budget, as_times=as_times)


def windows(context: Context, node: Node) -> Windows:
    """The range vector of a range selector or subquery."""
    match node:
        case MatrixSelector():
            selector = node.selector
            columns = context.columns[selector.matchers]
            offsets, timestamps, values = _without_stale(columns)
            ends = context.ends(selector.at, selector.offset_ms)
            unnamed = np.zeros(len(columns.labels), np.bool_)
            native = context.histograms(selector.matchers)
            return Windows(
                columns.labels,
                offsets,
                timestamps,
                values,
                ends,
                node.range_ms,
                unnamed,
                None if native is None else without_stale(native),
            )
        case Subquery():
            return _subquery(context, node)
        case _:
            raise ExecutionError("expected a range vector; write a duration in brackets, such as metric[5m]")


def _without_stale(
    columns: SampleColumns,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    bits = _bits(columns)
    if not (bits == kernels.STALE_BITS).any():
        return columns.offsets, columns.timestamps_ms, columns.values
    offsets, timestamps, values = kernels.drop_stale(
        columns.offsets, columns.timestamps_ms, columns.values, bits
    )
    return offsets, timestamps, values


def _subquery(context: Context, node: Subquery) -> Windows:
    ends = context.ends(node.at, node.offset_ms)
    if len(ends):
        first_ms, last_ms, step_ms = subquery_grid(node, int(ends[0]), int(ends[-1]), context.options)
        context.budget.spend(max(0, (last_ms - first_ms) // step_ms))
        times = np.arange(first_ms, last_ms + 1, step_ms, dtype=np.int64)
    else:
        times = np.empty(0, np.int64)
    inner = context.on(times).reading("whole")
    value = context.compute(node.expr, inner)
    matrix = value if isinstance(value, Matrix) else _as_vector(value, times)
    context.budget.spend(matrix.values.size)
    native, matrix = of_matrix(matrix), matrix.floats()
    counts = matrix.present.sum(axis=1)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])
    timestamps = np.broadcast_to(times, matrix.values.shape)[matrix.present]
    return Windows(
        matrix.labels,
        offsets,
        timestamps,
        matrix.values[matrix.present],
        ends,
        node.range_ms,
        matrix.drops_name,
        native,
    )


def _as_vector(scalar: npt.NDArray[np.float64], times: Times) -> Matrix:
    values = scalar[np.newaxis, :]
    return Matrix(({},), times, values, np.ones(values.shape, np.bool_))


def exact_increase(context: Context, node: ExactIncrease) -> Matrix:
    """Per step what each counter rose by, without extrapolation (see `kernels.exact_increase`)."""
    selector = node.selector
    columns = context.columns[selector.matchers]
    ends = context.ends(selector.at, selector.offset_ms)

    def run(rows: slice, steps: slice) -> tuple[FloatGrid, Presence]:
        values, present = kernels.exact_increase(
            columns.offsets[rows.start : rows.stop + 1],
            columns.timestamps_ms,
            columns.values,
            ends[steps],
            node.window_ms,
            PREVIOUS_SAMPLE_MS,
        )
        return values, present

    counts = np.diff(columns.offsets)
    values, present = sliced(
        context.budget, counts.astype(np.float64) * 2 + context.steps, counts, context.steps, run
    )
    matrix = Matrix(columns.labels, context.times_ms, values, present)
    return without_name(matrix, context.options.delayed_name_removal)


def raw_samples(context: Context, node: Node) -> Matrix:
    """The samples of a range vector at the first step, as a matrix whose times are their timestamps."""
    found = windows(context, node)
    end = int(found.ends[0])
    inside = (found.timestamps_ms > end - found.range_ms) & (found.timestamps_ms <= end)
    times, column = np.unique(found.timestamps_ms[inside], return_inverse=True)
    row = np.repeat(np.arange(len(found.labels)), np.diff(found.offsets))[inside]
    context.budget.spend(len(found.labels) * len(times))
    values = np.zeros((len(found.labels), len(times)))
    present = np.zeros(values.shape, np.bool_)
    values[row, column] = found.values[inside]
    present[row, column] = True
    matrix = Matrix(found.labels, times, values, present, "matrix", drops_name=found.drops_name)
    return with_raw(matrix, found)

"""Aggregations over vectors that hold native histograms.

`aggregate` hands its vector here first. What counts values (count, group, limitk) treats a histogram as any other
value; sum and avg are computed here; the rest see floats only, and say so.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from setpoint.promql import native_notes
from setpoint.promql.context import Context
from setpoint.promql.model import Matrix
from setpoint.promql.native_series import histogram_cells, objects
from setpoint.promql.native_sums import SumNote, totals
from setpoint.promql.nodes import Aggregation

__all__ = ["aggregated_values", "with_totals"]

_ANY_VALUE = frozenset({"count", "group", "count_values", "limitk", "limit_ratio"})
_SUMS = frozenset({"sum", "avg"})


def aggregated_values(context: Context, node: Aggregation, matrix: Matrix) -> Matrix:
    """The values of `matrix` that the aggregation sees: all, or the floats."""
    if matrix.histograms is None or node.op in _ANY_VALUE or node.op in _SUMS:
        return matrix
    if matrix.is_histogram.any():
        native_notes.ignored_in_aggregation(context, node.expr, node.op)
    return matrix.floats()


def with_totals(
    context: Context, node: Aggregation, matrix: Matrix, group: npt.NDArray[np.int64], floats: Matrix
) -> Matrix:
    """`floats`, the sums or averages of the floats of `matrix`, with those of its histograms.

    `group` int64[n] is the group of each series. A group with values of both kinds at a step has none.
    """
    if matrix.histograms is None or node.op not in _SUMS:
        return floats
    is_histogram = matrix.is_histogram
    shape = floats.values.shape
    held, has_floats = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
    np.logical_or.at(held, group, is_histogram)
    np.logical_or.at(has_floats, group, matrix.present & ~is_histogram)
    if (held & has_floats).any():
        native_notes.mixed_aggregation(context, node.expr)
    # In the order of groups, steps and series, so that every sum is one run.
    series, steps = np.nonzero(is_histogram & ~has_floats[group])
    order = np.lexsort((series, steps, group[series]))
    series, steps = series[order], steps[order]
    keys = group[series] * shape[1] + steps
    sums, starts = np.unique(keys, return_index=True)
    offsets = np.append(starts, len(keys)).astype(np.int64)
    context.budget.spend(2 * len(keys))

    def note(what: SumNote, place: int) -> None:
        if what == "mixed":
            labels = matrix.labels[series[offsets[place]]]
            native_notes.mixed_schemas(context, node.expr, labels)
        elif what == "collision":
            native_notes.collision(context, node.expr, "aggregation")
        else:
            native_notes.reconciled(context, node.expr, "aggregation")

    pool = list(matrix.histograms[series, steps])
    found = totals(pool, np.arange(len(pool)), offsets, node.op == "avg", note, context.budget.check)
    cells = histogram_cells(shape)
    cells[sums // shape[1], sums % shape[1]] = objects(found)
    present = floats.present & ~held
    return replace(floats, present=present | cells.astype(np.bool_), histograms=cells)

"""Aggregations: series are put into groups by their labels once, then combined per step in a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from setpoint.promql import group_kernels
from setpoint.promql.budget import SERIES_COST
from setpoint.promql.context import Context
from setpoint.promql.errors import ExecutionError
from setpoint.promql.format import format_number
from setpoint.promql.model import NAME, FloatGrid, Labels, Matrix, Presence, compact
from setpoint.promql.native_aggregate import aggregated_values, with_totals
from setpoint.promql.native_buckets import text as histogram_text
from setpoint.promql.nodes import Aggregation, Grouping
from setpoint.promql.slices import SLICE_COST, by_steps

__all__ = ["COMBINED", "aggregate"]

COMBINED: dict[str, int] = {
    "sum": group_kernels.SUM,
    "avg": group_kernels.AVG,
    "min": group_kernels.MIN,
    "max": group_kernels.MAX,
    "count": group_kernels.COUNT,
    "group": group_kernels.GROUP,
    "stddev": group_kernels.STDDEV,
    "stdvar": group_kernels.STDVAR,
}

# What a value costs that is sorted among its group.
_SORTING = 20.0
_LARGEST_K = float(2**63)


def _group_labels(labels: Labels, grouping: Grouping) -> dict[str, str]:
    if grouping.without:
        left_out = {*grouping.labels, NAME}
        return {name: value for name, value in labels.items() if name not in left_out}
    return {name: labels[name] for name in grouping.labels if name in labels}


def _groups(
    context: Context, matrix: Matrix, grouping: Grouping
) -> tuple[npt.NDArray[np.int64], tuple[Labels, ...]]:
    """The group of each series (int64[n]) and the labels of each group, in order of appearance."""
    known: dict[frozenset[tuple[str, str]], int] = {}
    labels: list[Labels] = []
    group = np.empty(len(matrix.labels), np.int64)
    for i, series in enumerate(context.budget.watch(matrix.labels)):
        of_group = _group_labels(series, grouping)
        key = frozenset(of_group.items())
        if key not in known:
            known[key] = len(labels)
            labels.append(of_group)
        group[i] = known[key]
    return group, tuple(labels)


def _members(
    group: npt.NDArray[np.int64], groups: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    members = np.argsort(group, kind="stable").astype(np.int64)
    counts = np.bincount(group, minlength=groups).astype(np.int64)
    return members, np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def aggregate(context: Context, node: Aggregation) -> Matrix:
    """The value of an aggregation."""
    if node.op == "count_values":
        return _count_values(context, node)
    param = np.zeros(context.steps) if node.param is None else context.scalar(node.param)
    matrix = compact(aggregated_values(context, node, context.mixed(node.expr)))
    if node.op in {"topk", "bottomk"}:
        return _pick(context, node, param, matrix)
    group, labels = _groups(context, matrix, node.grouping)
    # The kernels keep up to four numbers per group and step.
    context.budget.spend(4 * len(labels) * context.steps)
    if node.op == "quantile":
        values, present = _quantile(context, param, matrix, _members(group, len(labels)))
    else:
        floats = matrix if node.op in {"count", "group"} else matrix.floats()
        values, present = group_kernels.combine(
            COMBINED[node.op], floats.values, floats.present, group, len(labels)
        )
    drops_name = np.zeros(len(labels), np.bool_)
    np.logical_or.at(drops_name, group, matrix.drops_name)
    result = Matrix(labels, context.times_ms, values, present, drops_name=drops_name)
    return with_totals(context, node, matrix, group, result)


def _parts(context: Context, matrix: Matrix, cost: float) -> Iterator[tuple[slice, FloatGrid, Presence]]:
    """The matrix in slices of steps, each of which takes a kernel a fraction of a second at `cost` a value."""
    for steps in by_steps(context.steps, int(matrix.values.size * cost // SLICE_COST) + 1):
        context.budget.check()
        yield (
            steps,
            np.ascontiguousarray(matrix.values[:, steps]),
            np.ascontiguousarray(matrix.present[:, steps]),
        )


def _quantile(
    context: Context, param: FloatGrid, matrix: Matrix, members: tuple[npt.NDArray[np.int64], ...]
) -> tuple[FloatGrid, Presence]:
    shape = len(members[1]) - 1, context.steps
    values, present = np.zeros(shape), np.zeros(shape, np.bool_)
    for steps, cells, held in _parts(context, matrix, _SORTING):
        values[:, steps], present[:, steps] = group_kernels.group_quantile(
            np.ascontiguousarray(param[steps]), cells, held, *members
        )
    return values, present


def _pick(context: Context, node: Aggregation, param: FloatGrid, matrix: Matrix) -> Matrix:
    if not len(param) or param.max() < 1:
        return Matrix.empty(context.times_ms)
    if np.isnan(param).any():
        raise ExecutionError(f"Parameter value is NaN: {node.op} needs a number of series")
    if (param <= -_LARGEST_K).any() or (param >= _LARGEST_K).any():
        flow = "overflows" if (param >= _LARGEST_K).any() else "underflows"
        raise ExecutionError(
            f"Scalar value {param[np.abs(param).argmax()]} {flow} int64; give {node.op} a small number"
        )
    k = np.clip(param, 0, len(matrix.labels)).astype(np.int64)
    group, labels = _groups(context, matrix, node.grouping)
    members = _members(group, len(labels))
    context.budget.spend(matrix.values.size)
    rank = np.empty(matrix.values.shape, np.int64)
    for steps, cells, held in _parts(context, matrix, _SORTING):
        rank[:, steps] = group_kernels.pick(node.op == "topk", k[steps], cells, held, *members)
    result = replace(matrix, present=rank >= 0)
    if context.steps != 1:
        return compact(result)
    order = np.lexsort((rank[:, 0], group))
    return result.rows(order[rank[order, 0] >= 0])


def _count_values(context: Context, node: Aggregation) -> Matrix:
    """How many series of each group have each value; the value becomes a label."""
    assert node.param is not None
    label = context.text(node.param)
    if not label:
        raise ExecutionError(
            'invalid label name ""; name the label that takes the value, as in count_values("version", x)'
        )
    matrix = compact(context.mixed(node.expr))
    grouping = node.grouping
    if not grouping.without:
        grouping = Grouping((*grouping.labels, label))
    rows: dict[frozenset[tuple[str, str]], int] = {}
    labels: list[Labels] = []
    counts: list[FloatGrid] = []
    drops_name: list[bool] = []
    for i, series in enumerate(matrix.labels):
        context.budget.check()
        for j in np.flatnonzero(matrix.present[i]):
            histogram = None if matrix.histograms is None else matrix.histograms[i, j]
            value = (
                histogram_text(histogram) if histogram else format_number(matrix.values[i, j], exponent=False)
            )
            valued = {**series, label: value}
            of_group = _group_labels(valued, grouping)
            row = rows.setdefault(frozenset(of_group.items()), len(labels))
            if row == len(labels):
                context.budget.spend(context.steps + SERIES_COST)
                labels.append(of_group)
                counts.append(np.zeros(context.steps))
                drops_name.append(False)
            counts[row][j] += 1
            drops_name[row] |= bool(matrix.drops_name[i])
    if not labels:
        return Matrix.empty(context.times_ms)
    values = np.array(counts)
    return Matrix(tuple(labels), context.times_ms, values, values > 0, drops_name=np.array(drops_name))

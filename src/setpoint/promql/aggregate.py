"""Aggregations: series are put into groups by their labels once, then combined per step in a kernel."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from setpoint.promql import group_kernels
from setpoint.promql.budget import SERIES_COST
from setpoint.promql.context import Context
from setpoint.promql.format import format_number
from setpoint.promql.label_memo import remembered
from setpoint.promql.model import NAME, FloatGrid, Labels, Matrix, Presence, compact
from setpoint.promql.native_aggregate import aggregated_values, with_totals
from setpoint.promql.native_buckets import text as histogram_text
from setpoint.promql.nodes import Aggregation, Grouping
from setpoint.promql.sampling import SORTING, Groups, in_parts, limit_count, limit_ratio, members_of, top

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


def _group_labels(labels: Labels, grouping: Grouping) -> dict[str, str]:
    if grouping.without:
        left_out = {*grouping.labels, NAME}
        return {name: value for name, value in labels.items() if name not in left_out}
    return {name: labels[name] for name in grouping.labels if name in labels}


def _groups(
    context: Context, matrix: Matrix, grouping: Grouping
) -> tuple[npt.NDArray[np.int64], tuple[Labels, ...]]:
    """The group of each series (int64[n]) and the labels of each group, in order of appearance."""

    def made() -> tuple[npt.NDArray[np.int64], tuple[Labels, ...]]:
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

    return remembered(grouping, made, matrix.labels)


def aggregate(context: Context, node: Aggregation) -> Matrix:
    """The value of an aggregation."""
    if node.op == "count_values":
        return _count_values(context, node)
    param = np.zeros(context.steps) if node.param is None else context.scalar(node.param)
    matrix = compact(aggregated_values(context, node, context.mixed(node.expr)))
    if node.op == "limit_ratio":
        return limit_ratio(context, node, param, matrix)
    group, labels = _groups(context, matrix, node.grouping)
    groups = group, len(labels)
    if node.op in {"topk", "bottomk"}:
        return top(context, node, param, matrix, groups)
    if node.op == "limitk":
        return limit_count(context, node, param, matrix, groups)
    # The kernels keep up to four numbers per group and step.
    context.budget.spend(4 * len(labels) * context.steps)
    if node.op == "quantile":
        values, present = _quantile(context, node, param, matrix, groups)
    else:
        floats = matrix if node.op in {"count", "group"} else matrix.floats()
        values, present = group_kernels.combine(
            COMBINED[node.op], floats.values, floats.present, group, len(labels)
        )
    drops_name = np.zeros(len(labels), np.bool_)
    np.logical_or.at(drops_name, group, matrix.drops_name)
    result = Matrix(labels, context.times_ms, values, present, drops_name=drops_name)
    return with_totals(context, node, matrix, group, result)


def _quantile(
    context: Context, node: Aggregation, param: FloatGrid, matrix: Matrix, groups: Groups
) -> tuple[FloatGrid, Presence]:
    context.notes.quantile_outside(
        node.param or node,
        [
            *([math.nan] if np.isnan(param).any() else []),
            *(
                value
                for value in (np.nanmax(param, initial=0), np.nanmin(param, initial=1))
                if not 0 <= value <= 1
            ),
        ],
    )
    shape = groups[1], context.steps
    values, present = np.zeros(shape), np.zeros(shape, np.bool_)
    members = members_of(groups)
    for steps, cells, held in in_parts(context, matrix, SORTING):
        values[:, steps], present[:, steps] = group_kernels.group_quantile(
            np.ascontiguousarray(param[steps]), cells, held, *members
        )
    return values, present


def _count_values(context: Context, node: Aggregation) -> Matrix:
    """How many series of each group have each value; the value becomes a label."""
    assert node.param is not None
    label = context.label_name(node.param, "invalid label name")
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

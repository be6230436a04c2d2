"""The functions over windows of samples: rate and its kin, and all that end in `_over_time`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from setpoint.promql import kernels, uncut_kernels
from setpoint.promql import sliding_kernels as sliding
from setpoint.promql.context import Context
from setpoint.promql.errors import ExecutionError
from setpoint.promql.from_telemetry import UncutColumns
from setpoint.promql.label_memo import remembered
from setpoint.promql.model import NAME, FloatGrid, Labels, Matrix, Presence, without_name
from setpoint.promql.native_ranges import with_histograms
from setpoint.promql.nodes import Call, MatrixSelector, Node, VectorSelector
from setpoint.promql.selectors import Windows, windows
from setpoint.promql.slices import sliced, window_cost

__all__ = ["RANGE_FUNCTIONS", "absent_labels"]

_FOLDS: dict[str, tuple[int, int]] = {
    # name: (code of the kernel, samples that a window needs)
    "sum_over_time": (kernels.SUM, 1),
    "avg_over_time": (kernels.AVG, 1),
    "min_over_time": (kernels.MIN, 1),
    "max_over_time": (kernels.MAX, 1),
    "count_over_time": (kernels.COUNT, 1),
    "last_over_time": (kernels.LAST, 1),
    "first_over_time": (kernels.FIRST, 1),
    "present_over_time": (kernels.PRESENT, 1),
    "stddev_over_time": (kernels.STDDEV, 1),
    "stdvar_over_time": (kernels.STDVAR, 1),
    "mad_over_time": (kernels.MAD, 1),
    "changes": (kernels.CHANGES, 1),
    "resets": (kernels.RESETS, 1),
    "quantile_over_time": (kernels.QUANTILE, 1),
    "irate": (kernels.IRATE, 2),
    "idelta": (kernels.IDELTA, 2),
    "deriv": (kernels.DERIV, 2),
    "predict_linear": (kernels.PREDICT, 2),
    "double_exponential_smoothing": (kernels.SMOOTH, 2),
    "ts_of_last_over_time": (kernels.TS_LAST, 1),
    "ts_of_first_over_time": (kernels.TS_FIRST, 1),
    "ts_of_max_over_time": (kernels.TS_MAX, 1),
    "ts_of_min_over_time": (kernels.TS_MIN, 1),
}

# How much more a sample of a window costs where windows are sorted or added up with care.
_COSTS = {kernels.QUANTILE: 20, kernels.MAD: 60, kernels.STDDEV: 6, kernels.STDVAR: 6, kernels.AVG: 3}
_COSTS |= {kernels.SUM: 3, kernels.DERIV: 10, kernels.PREDICT: 10, kernels.SMOOTH: 3}

# Kernels that look at what a window adds and drops, with their first arguments, and which share of a window that is.
_SLIDING: dict[int, tuple[Callable[..., Any], tuple[bool, ...]]] = {
    kernels.MAX: (sliding.extremes, (True, False)),
    kernels.MIN: (sliding.extremes, (False, False)),
    kernels.TS_MAX: (sliding.extremes, (True, True)),
    kernels.TS_MIN: (sliding.extremes, (False, True)),
    kernels.CHANGES: (sliding.count_changes, (False,)),
    kernels.RESETS: (sliding.count_changes, (True,)),
    kernels.SUM: (sliding.sums, (False,)),
    kernels.AVG: (sliding.sums, (True,)),
    kernels.QUANTILE: (sliding.quantiles, ()),
}
_SHARE = dict.fromkeys(_SLIDING, 30) | {kernels.QUANTILE: 2}
_OVERLAP = 4

# These act like an offset: the result is a sample of the same metric.
_KEEP_NAME = {"last_over_time", "first_over_time"}

# What the name of a counter ends in; other names are worth a remark.
_COUNTERS = ("_total", "_sum", "_count", "_bucket")

_NOWHERE = np.empty(0, np.int64)

_EXTRAPOLATED = {"rate": (True, True), "increase": (True, False), "delta": (False, False)}


def _result(context: Context, call: Call, found: Windows, values: FloatGrid, present: Presence) -> Matrix:
    matrix = Matrix(found.labels, context.times_ms, values, present, drops_name=found.drops_name)
    matrix = with_histograms(context, call, found, matrix)
    if call.name in _KEEP_NAME:
        return matrix
    return without_name(matrix, context.options.delayed_name_removal)


def _extrapolated(context: Context, call: Call) -> Matrix:
    node = call.args[0]
    if isinstance(node, MatrixSelector) and (uncut := _uncut(context, node)) is not None:
        return _extrapolated_uncut(context, call, node, uncut)
    found = windows(context, call.args[0])
    counter, per_second = _EXTRAPOLATED[call.name]

    def run(rows: slice, steps: slice) -> tuple[FloatGrid, Presence]:
        values, present = kernels.extrapolated(
            found.offsets[rows.start : rows.stop + 1],
            found.timestamps_ms,
            found.values,
            found.ends[steps],
            found.range_ms,
            counter,
            per_second,
        )
        return values, present

    counts = np.diff(found.offsets)
    cost = counts.astype(np.float64) * 2 + context.steps * 4
    values, present = sliced(context.budget, cost, counts, context.steps, run)
    if counter:
        _note_no_counters(context, call.args[0], found, present)
    return _result(context, call, found, values, present)


def _uncut(context: Context, node: MatrixSelector) -> UncutColumns | None:
    """The samples of a range selector where they lie, if that is all there is to its windows."""
    if context.histograms(node.selector.matchers) is not None:
        return None
    columns = context.columns[node.selector.matchers]
    return columns if isinstance(columns, UncutColumns) and not columns.source.has_stale else None


def _extrapolated_uncut(context: Context, call: Call, node: MatrixSelector, columns: UncutColumns) -> Matrix:
    """As `_extrapolated`, at a cost that does not grow with the windows."""
    counter, per_second = _EXTRAPOLATED[call.name]
    ends = context.ends(node.selector.at, node.selector.offset_ms)
    source = columns.source.columns
    resets, of_series = columns.source.resets if counter else (_NOWHERE, _NOWHERE)

    def run(rows: slice, steps: slice) -> tuple[FloatGrid, Presence]:
        values, present = uncut_kernels.extrapolated(
            columns.rows[rows],
            columns.firsts[rows],
            columns.offsets[rows.start : rows.stop + 1],
            source.timestamps_ms,
            source.values,
            resets,
            of_series,
            ends[steps],
            node.range_ms,
            counter,
            per_second,
        )
        return values, present

    counts = np.diff(columns.offsets)
    cost = np.minimum(counts, 40 + context.steps * 4) + context.steps * 4.0
    values, present = sliced(context.budget, cost, counts, context.steps, run)
    unnamed = np.zeros(len(columns.labels), np.bool_)
    nothing = np.empty(0, np.float64)
    found = Windows(columns.labels, columns.offsets, _NOWHERE, nothing, ends, node.range_ms, unnamed)
    if counter:
        _note_no_counters(context, node, found, present)
    return _result(context, call, found, values, present)


def _note_no_counters(context: Context, node: Node, found: Windows, present: Presence) -> None:
    suspects = remembered("no counters", lambda: _no_counters(found.labels), found.labels)
    if not suspects:
        return
    held = np.flatnonzero(np.any(present, axis=1)).tolist()
    for name in sorted({found.labels[row].get(NAME, "") for row in held}):
        if name in suspects:
            context.notes.inform(
                node,
                f'metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "{name}"',
            )


def _no_counters(every: tuple[Labels, ...]) -> set[str]:
    names = {labels.get(NAME, "") for labels in every}
    return {name for name in names if name and not name.endswith(_COUNTERS)}


def _folded(
    context: Context, found: Windows, code: int, least: int, *params: FloatGrid
) -> tuple[FloatGrid, Presence]:
    """Each window's samples to one value; `params` float64[s] are up to two parameters of the function."""
    first, second = (*params, *(np.zeros(context.steps),) * 2)[:2]
    if code in _SLIDING:
        counts = np.diff(found.offsets)
        cost = window_cost(found.offsets, found.timestamps_ms, found.range_ms, context.steps)
        if cost.sum() > _OVERLAP * (counts.sum() + len(counts) * context.steps):
            return _slid(context, found, code, first)
    return _read_anew(context, found, code, least, first, second)


def _read_anew(  # noqa: PLR0917 - the query in parts
    context: Context, found: Windows, code: int, least: int, first: FloatGrid, second: FloatGrid
) -> tuple[FloatGrid, Presence]:
    def run(rows: slice, steps: slice) -> tuple[FloatGrid, Presence]:
        values, present = kernels.fold(
            code,
            found.offsets[rows.start : rows.stop + 1],
            found.timestamps_ms,
            found.values,
            found.ends[steps],
            found.range_ms,
            np.ascontiguousarray(first[steps]),
            np.ascontiguousarray(second[steps]),
            context.times_ms[steps],
            least,
        )
        return values, present

    cost = window_cost(found.offsets, found.timestamps_ms, found.range_ms, context.steps)
    cost *= _COSTS.get(code, 1)
    return sliced(context.budget, cost, np.diff(found.offsets), context.steps, run)


def _slid(context: Context, found: Windows, code: int, param: FloatGrid) -> tuple[FloatGrid, Presence]:
    """As `_folded`, for windows that share most of their samples with the one before."""
    kernel, fixed = _SLIDING[code]

    def run(rows: slice, steps: slice) -> tuple[FloatGrid, Presence]:
        first = (np.ascontiguousarray(param[steps]),) if code == kernels.QUANTILE else fixed
        columns = found.offsets[rows.start : rows.stop + 1], found.timestamps_ms, found.values
        values, present = kernel(*first, *columns, found.ends[steps], found.range_ms)
        return values, present

    counts = np.diff(found.offsets)
    per_step = window_cost(found.offsets, found.timestamps_ms, found.range_ms, context.steps) / _SHARE[code]
    values, present = sliced(context.budget, counts * 10 + per_step, counts, context.steps, run)
    if code in (kernels.SUM, kernels.AVG):
        for row in np.flatnonzero(np.isnan(values).any(axis=1)).tolist():
            alone = replace(found, offsets=found.offsets[row : row + 2])
            values[row], present[row] = _read_anew(context, alone, code, 1, param, param)
    return values, present


def _fold(context: Context, call: Call) -> Matrix:
    code, least = _FOLDS[call.name]
    window_node: Node = call.args[0]
    params: list[FloatGrid] = []
    if call.name == "quantile_over_time":
        window_node = call.args[1]
        params = [context.scalar(call.args[0])]
    elif len(call.args) > 1:  # predict_linear, double_exponential_smoothing
        params = [context.scalar(arg) for arg in call.args[1:]]
    found = windows(context, window_node)
    if call.name == "quantile_over_time" and len(found.values):
        quantiles = np.unique(params[0])
        outside = quantiles[~((quantiles >= 0) & (quantiles <= 1))]
        context.notes.quantile_outside(call.args[0], outside.tolist())
    if call.name == "double_exponential_smoothing" and found.labels:
        _refuse_factors(*params)
    return _result(context, call, found, *_folded(context, found, code, least, *params))


def _refuse_factors(smoothing: FloatGrid, trend: FloatGrid) -> None:
    for name, factors in (("smoothing", smoothing), ("trend", trend)):
        wrong = factors[(factors <= 0) | (factors >= 1)]
        if len(wrong):
            raise ExecutionError(f"invalid {name} factor. Expected: 0 < {name[0]}f < 1, got: {wrong[0]:f}")


def _absent_over_time(context: Context, call: Call) -> Matrix:
    found = windows(context, call.args[0])
    floats = _folded(context, found, kernels.PRESENT, 1)
    held = with_histograms(context, call, found, Matrix(found.labels, context.times_ms, *floats))
    missing = ~np.any(held.present, axis=0, keepdims=True)
    return Matrix((absent_labels(call.args[0]),), context.times_ms, np.ones(missing.shape), missing)


def absent_labels(node: Node) -> dict[str, str]:
    """The labels that absent() can tell from its argument: those of equality matchers."""
    selector = node.selector if isinstance(node, MatrixSelector) else node
    if not isinstance(selector, VectorSelector):
        return {}
    labels: dict[str, str] = {}
    seen: set[str] = set()
    for matcher in selector.matchers:  # in this order, as Prometheus does: a second matcher removes the label
        if matcher.name == "__name__":
            continue
        if matcher.op == "=" and matcher.name not in seen:
            labels[matcher.name] = matcher.value
            seen.add(matcher.name)
        else:
            labels.pop(matcher.name, None)
    return {name: value for name, value in labels.items() if value}


RANGE_FUNCTIONS: dict[str, Callable[[Context, Call], Matrix]] = {
    **dict.fromkeys(_EXTRAPOLATED, _extrapolated),
    **dict.fromkeys(_FOLDS, _fold),
    "absent_over_time": _absent_over_time,
}

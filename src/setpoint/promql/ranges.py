"""The functions over windows of samples: rate and its kin, and all that end in `_over_time`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from setpoint.promql import kernels
from setpoint.promql.context import Context
from setpoint.promql.model import FloatGrid, Matrix, Presence, without_name
from setpoint.promql.nodes import Call, MatrixSelector, Node, VectorSelector
from setpoint.promql.selectors import Windows, windows

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
    "ts_of_last_over_time": (kernels.TS_LAST, 1),
    "ts_of_first_over_time": (kernels.TS_FIRST, 1),
    "ts_of_max_over_time": (kernels.TS_MAX, 1),
    "ts_of_min_over_time": (kernels.TS_MIN, 1),
}

# These act like an offset: the result is a sample of the same metric.
_KEEP_NAME = {"last_over_time", "first_over_time"}

_EXTRAPOLATED = {"rate": (True, True), "increase": (True, False), "delta": (False, False)}


def _result(context: Context, call: Call, found: Windows, values: FloatGrid, present: Presence) -> Matrix:
    matrix = Matrix(found.labels, context.times_ms, values, present, drops_name=found.drops_name)
    if call.name in _KEEP_NAME:
        return matrix
    return without_name(matrix, context.options.delayed_name_removal)


def _extrapolated(context: Context, call: Call) -> Matrix:
    found = windows(context, call.args[0])
    counter, per_second = _EXTRAPOLATED[call.name]
    values, present = kernels.extrapolated(
        found.offsets, found.timestamps_ms, found.values, found.ends, found.range_ms, counter, per_second
    )
    return _result(context, call, found, values, present)


def _fold(context: Context, call: Call) -> Matrix:
    code, least = _FOLDS[call.name]
    param = np.zeros(context.steps)
    window_node: Node = call.args[0]
    if call.name == "quantile_over_time":
        param, window_node = context.scalar(call.args[0]), call.args[1]
    elif call.name == "predict_linear":
        param = context.scalar(call.args[1])
    found = windows(context, window_node)
    values, present = kernels.fold(
        code,
        found.offsets,
        found.timestamps_ms,
        found.values,
        found.ends,
        found.range_ms,
        np.ascontiguousarray(param),
        context.times_ms,
        least,
    )
    return _result(context, call, found, values, present)


def _absent_over_time(context: Context, call: Call) -> Matrix:
    found = windows(context, call.args[0])
    _, present = kernels.fold(
        kernels.PRESENT,
        found.offsets,
        found.timestamps_ms,
        found.values,
        found.ends,
        found.range_ms,
        np.zeros(context.steps),
        context.times_ms,
        1,
    )
    missing = ~present.any(axis=0)[np.newaxis, :]
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

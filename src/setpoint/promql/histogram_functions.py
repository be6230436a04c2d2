"""The functions of histograms, classic and native: histogram_quantile, histogram_fraction, histogram_count and so on.

A vector may hold both kinds. Of native histograms all of a layout are computed at once (`native_buckets`). Where a
classic and a native one have the same labels at a step, neither has a value, as in Prometheus.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from setpoint.promql import histogram, native_buckets, native_notes
from setpoint.promql.context import Context
from setpoint.promql.errors import ExecutionError
from setpoint.promql.format import format_number
from setpoint.promql.histogram import ClassicHistograms
from setpoint.promql.model import NAME, FloatGrid, Labels, Matrix, Presence, compact, without_name
from setpoint.promql.native import Numbers
from setpoint.promql.native_layout import COUNT, SUM, Layout
from setpoint.promql.nodes import Call, Node

__all__ = ["HISTOGRAM_FUNCTIONS"]

_AT_ONCE = 1 << 22
"""Numbers that are computed in one go."""

Compute = Callable[[Layout, Numbers, npt.NDArray[np.intp]], tuple[FloatGrid, Presence]]
"""Of k histograms (their numbers [k, size], their steps [k]) the values, and which deserve a note."""


def _computed(
    context: Context, matrix: Matrix, compute: Compute, note: Callable[[Labels, float], None]
) -> Matrix:
    """The native histograms of `matrix` as what `compute` makes of them, floats left out."""
    values, present = np.zeros(matrix.values.shape), matrix.is_histogram
    rows, steps = np.nonzero(present)
    if matrix.histograms is None or not len(rows):
        return replace(matrix, present=present, histograms=None).rows([])
    found = list(matrix.histograms[rows, steps])
    members: dict[int, list[int]] = {}
    for place, value in enumerate(found):
        members.setdefault(id(value.layout), []).append(place)
    for places in members.values():
        layout = found[places[0]].layout
        together = max(1, _AT_ONCE // layout.size)
        for first in range(0, len(places), together):
            context.budget.check()
            part = np.array(places[first : first + together])
            numbers = np.stack([found[place].numbers for place in part])
            answer, noted = compute(layout, numbers, steps[part])
            values[rows[part], steps[part]] = answer
            for place in part[noted].tolist():
                note(matrix.labels[rows[place]], float(values[rows[place], steps[place]]))
    return compact(replace(matrix, values=values, present=present, histograms=None))


def _simple(
    function: Callable[[Layout, Numbers], FloatGrid], *, reads: Literal["stats", "whole"] = "stats"
) -> Callable[[Context, Call], Matrix]:
    def compute(layout: Layout, numbers: Numbers, steps: npt.NDArray[np.intp]) -> tuple[FloatGrid, Presence]:
        return function(layout, numbers), np.zeros(len(steps), np.bool_)

    def answer(context: Context, call: Call) -> Matrix:
        vector = context.reading(reads).mixed(call.args[0])
        matrix = _computed(context, vector, compute, lambda labels, value: None)
        return without_name(matrix, context.options.delayed_name_removal)

    return answer


def _both(
    context: Context,
    node: Node,
    matrix: Matrix,
    native: Callable[[Matrix], Matrix],
    classic: Callable[[ClassicHistograms], Matrix],
) -> Matrix:
    """The native and the classic histograms of `matrix`, those left out that contradict each other."""
    buckets = ClassicHistograms.of(matrix)
    for labels in buckets.malformed:
        context.notes.malformed_bucket(node, _note_name(context, labels), labels.get("le", ""))
    of_buckets = classic(buckets)
    if matrix.histograms is None:
        return of_buckets
    of_native = native(matrix)
    rows = {frozenset(labels.items()): i for i, labels in enumerate(of_buckets.labels)}
    for i, labels in enumerate(of_native.labels):
        other = rows.get(frozenset(labels.items()))
        if other is None:
            continue
        clash = of_native.present[i] & of_buckets.present[other]
        if clash.any():
            native_notes.mixed_classic(context, node, labels)
            of_native.present[i, clash] = False
            of_buckets.present[other, clash] = False
    return Matrix(
        (*of_native.labels, *of_buckets.labels),
        matrix.times_ms,
        np.concatenate([of_native.values, of_buckets.values]),
        np.concatenate([of_native.present, of_buckets.present]),
    )


def _note_name(context: Context, labels: Labels) -> str:
    """The name that a note shows: Prometheus has dropped it already, unless names are dropped at the end."""
    return labels.get(NAME, "") if context.options.delayed_name_removal else ""


def _quantile(context: Context, argument: Node) -> FloatGrid:
    """A quantile per step, float64[s]."""
    quantile = context.scalar(argument)
    values = np.unique(quantile)
    context.notes.quantile_outside(argument, values[~((values >= 0) & (values <= 1))].tolist())
    return quantile


def _quantiles(context: Context, node: Node, matrix: Matrix, quantile: FloatGrid) -> Matrix:
    """The quantile (float64[s]) of each histogram in `matrix`, names kept."""

    def compute(layout: Layout, numbers: Numbers, steps: npt.NDArray[np.intp]) -> tuple[FloatGrid, Presence]:
        return native_buckets.quantile(quantile[steps], layout, numbers)

    def note(labels: Labels, value: float) -> None:
        (native_notes.nan_result if math.isnan(value) else native_notes.nan_skew)(context, node, labels)

    def note_fixed(labels: Labels, fixed: FloatGrid) -> None:
        context.notes.forced(node, _note_name(context, labels), context.times_ms, fixed)

    return _both(
        context,
        node,
        matrix,
        lambda vector: _computed(context, vector, compute, note),
        lambda buckets: histogram.histogram_quantile(quantile, buckets, note_fixed),
    )


def _histogram_quantile(context: Context, call: Call) -> Matrix:
    quantile, node = _quantile(context, call.args[0]), call.args[1]
    matrix = _quantiles(context, node, context.reading("whole").mixed(node), quantile)
    return without_name(matrix, context.options.delayed_name_removal)


def _histogram_quantiles(context: Context, call: Call) -> Matrix:
    """Several quantiles at once, told apart by a label."""
    node, name = call.args[0], context.text(call.args[1])
    if not name:
        raise ExecutionError("invalid label name in histogram_quantiles(): name the label of the quantile")
    matrix = context.reading("whole").mixed(node)
    parts: list[Matrix] = []
    for argument in call.args[2:]:
        quantile = _quantile(context, argument)
        found = _quantiles(context, node, matrix, quantile)
        for wanted in np.unique(quantile):
            at = np.isnan(quantile) if np.isnan(wanted) else quantile == wanted
            labels = tuple({**own, name: _quantile_label(float(wanted))} for own in found.labels)
            parts.append(replace(found, labels=labels, present=found.present & at))
    together = Matrix(
        tuple(labels for part in parts for labels in part.labels),
        matrix.times_ms,
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.present for part in parts]),
    )
    return without_name(compact(together), context.options.delayed_name_removal)


def _quantile_label(quantile: float) -> str:
    """A number as OpenMetrics writes it: 0.5, 1.0."""
    text = format_number(quantile)
    return text if not text.lstrip("-").isdigit() else f"{text}.0"


def _histogram_fraction(context: Context, call: Call) -> Matrix:
    low, high, node = context.scalar(call.args[0]), context.scalar(call.args[1]), call.args[2]

    def compute(layout: Layout, numbers: Numbers, steps: npt.NDArray[np.intp]) -> tuple[FloatGrid, Presence]:
        return native_buckets.fraction(low[steps], high[steps], layout, numbers)

    matrix = _both(
        context,
        node,
        context.reading("whole").mixed(node),
        lambda vector: _computed(
            context, vector, compute, lambda labels, value: native_notes.nan_fraction(context, node, labels)
        ),
        lambda buckets: histogram.histogram_fraction(low, high, buckets),
    )
    return without_name(matrix, context.options.delayed_name_removal)


HISTOGRAM_FUNCTIONS: dict[str, Callable[[Context, Call], Matrix]] = {
    "histogram_quantile": _histogram_quantile,
    "histogram_quantiles": _histogram_quantiles,
    "histogram_fraction": _histogram_fraction,
    "histogram_count": _simple(lambda layout, numbers: numbers[:, COUNT]),
    "histogram_sum": _simple(lambda layout, numbers: numbers[:, SUM]),
    "histogram_avg": _simple(lambda layout, numbers: numbers[:, SUM] / numbers[:, COUNT]),
    "histogram_stdvar": _simple(native_buckets.deviation, reads="whole"),
    "histogram_stddev": _simple(
        lambda layout, numbers: np.sqrt(native_buckets.deviation(layout, numbers)), reads="whole"
    ),
}

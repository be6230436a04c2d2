"""Operators where a native histogram stands on a side: which of them have a meaning, and what comes of it.

`binary` decides which values meet and computes the floats; then `operate` is given both sides as grids and replaces
what it answered wherever a histogram is involved. Rules after Prometheus 3 (vectorElemBinop in promql/engine.go):
histograms are added, subtracted and compared for equality with each other, scaled by floats; all else has no value.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from setpoint.promql import native_notes
from setpoint.promql.context import Context
from setpoint.promql.model import FloatGrid, Matrix, Presence
from setpoint.promql.native import GAUGE, Cells, Histogram, IncompatibleBuckets, add, subtract
from setpoint.promql.native_series import histogram_cells
from setpoint.promql.native_trim import trimmed
from setpoint.promql.nodes import TRIMS, Binary

__all__ = ["Side", "negated", "note_floats", "operate", "stacked"]

_EQUALITIES = ("==", "!=")

Side = tuple[FloatGrid, npt.NDArray[np.object_] | None]
"""The values of one side: floats, and histograms where there are any."""


def negated(matrix: Matrix) -> Cells | None:
    """The histograms of `matrix` times -1."""
    if matrix.histograms is None:
        return None
    cells = histogram_cells(matrix.values.shape)
    for place in zip(*np.nonzero(matrix.is_histogram), strict=True):
        cells[place] = matrix.histograms[place].scaled(-1.0)
    return cells


def operate(  # noqa: PLR0917 — both sides, and what the floats became
    context: Context, node: Binary, left: Side, right: Side, met: Presence, values: FloatGrid, keep: Presence
) -> tuple[FloatGrid, Presence, Cells]:
    """What becomes of the values that `met`: `values` and `keep` as computed for floats, completed.

    Answers the floats that result (the truth of a comparison with `bool`), which values remain, and the histograms.
    """
    involved = met & (_held(left) | _held(right))
    values, keep = values.copy(), keep & ~involved
    cells = histogram_cells(met.shape)
    compares = node.op in _EQUALITIES
    for place in context.budget.watch(zip(*np.nonzero(involved), strict=True)):
        ours, theirs = _value(left, place), _value(right, place)
        if compares and isinstance(ours, Histogram) and isinstance(theirs, Histogram):
            holds = ours.equals(theirs) == (node.op == "==")
            keep[place] = holds or node.return_bool
            values[place] = float(holds)
            cells[place] = None if node.return_bool else ours
            continue
        result = _one(context, node, ours, theirs)
        keep[place] = result is not None
        cells[place] = result
    return values, keep, cells


def note_floats(context: Context, node: Binary, left: Side, right: Side, met: Presence) -> None:
    """Say where an operator of histograms `met` two floats."""
    if (met & ~_held(left) & ~_held(right)).any():
        native_notes.bad_type(context, node, node.op, "float", "float")


def _held(side: Side) -> Presence:
    floats, histograms = side
    if histograms is None:
        return np.zeros(floats.shape, np.bool_)
    return histograms.astype(np.bool_)


def _value(side: Side, place: tuple[np.intp, ...]) -> Histogram | float:
    floats, histograms = side
    histogram: Histogram | None = None if histograms is None else histograms[place]
    return float(floats[place]) if histogram is None else histogram


def _one(
    context: Context, node: Binary, left: Histogram | float, right: Histogram | float
) -> Histogram | None:
    if isinstance(left, Histogram) and isinstance(right, Histogram):
        if node.op in ("+", "-"):
            return _combined(context, node, left, right)
    elif isinstance(left, Histogram) and not isinstance(right, Histogram):
        if node.op == "*":
            return left.scaled(right)
        if node.op == "/":
            return left.divided(right)
        if node.op in TRIMS:
            return trimmed(left, node.op, right)
    elif isinstance(right, Histogram) and not isinstance(left, Histogram) and node.op == "*":
        return right.scaled(left)
    native_notes.bad_type(context, node, node.op, _kind(left), _kind(right))
    return None


def _kind(value: Histogram | float) -> Literal["histogram", "float"]:
    return "histogram" if isinstance(value, Histogram) else "float"


def _combined(context: Context, node: Binary, left: Histogram, right: Histogram) -> Histogram | None:
    name = "addition" if node.op == "+" else "subtraction"
    try:
        result, collision, reconciled = (add if node.op == "+" else subtract)(left, right)
    except IncompatibleBuckets:
        native_notes.incompatible_layout(context, node, node.op)
        return None
    if collision:
        native_notes.collision(context, node, name)
    if reconciled:
        native_notes.reconciled(context, node, name)
    return result if node.op == "+" else result.hinted(GAUGE)


def stacked(*parts: tuple[FloatGrid, Cells | None]) -> Cells | None:
    """The histograms of several grids, one below the other; None where none has any."""
    if all(histograms is None for _, histograms in parts):
        return None
    return np.concatenate([histogram_cells(floats.shape) if held is None else held for floats, held in parts])

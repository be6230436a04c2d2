"""A Matrix as the data of the Prometheus HTTP API, numbers written as Go writes them.

The API handler (`web`) puts `{"status": "success", "data": …}` around it. Grafana and promtool read the
result.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from setpoint.promql.model import Matrix
from setpoint.promql.native import Histogram
from setpoint.promql.native_buckets import filled_buckets

__all__ = ["format_number", "to_api"]


def format_number(value: float, *, exponent: bool = True) -> str:
    """`value` as Prometheus writes it in JSON: shortest digits, exponents below 1e-6 and from 1e21, NaN and
    ±Inf.

    Without `exponent` all digits are written out (Go's 'f' format), as count_values does.
    """
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    if exponent and not 1e-6 <= abs(value) < 1e21:
        text: str = np.format_float_scientific(value, trim="-", exp_digits=2)
        return text
    plain: str = np.format_float_positional(value, trim="-")
    return plain


def _seconds(at_ms: int) -> float | int:
    return at_ms // 1000 if at_ms % 1000 == 0 else at_ms / 1000


def to_api(
    matrix: Matrix,
    *,
    is_range: bool = False,
    most: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """The object under `data`: `{"resultType": …, "result": …}`, with at most `most` series.

    An instant query yields `scalar`, `string`, `vector` or (for a range vector) `matrix`; with `is_range` the
    result is always a `matrix`, sorted by labels. Native histograms stand beside floats, their buckets as
    [boundary rule, lower bound, upper bound, count] (see `native_buckets.filled_buckets`). `check` is called
    now and then, and raises to end it.
    """
    times = [_seconds(int(at_ms)) for at_ms in matrix.times_ms]
    if matrix.kind == "string" and not is_range:
        return {"resultType": "string", "result": [times[0], matrix.text]}
    if matrix.kind == "scalar" and not is_range:
        return {"resultType": "scalar", "result": [times[0], format_number(float(matrix.values[0, 0]))]}
    if matrix.kind == "vector" and not is_range:
        check()
        vector = [
            {"metric": dict(labels), **_points(matrix, i, times, one=True)}
            for i, labels in enumerate(matrix.labels[:most])
            if matrix.present[i, 0]
        ]
        return {"resultType": "vector", "result": vector}
    order = sorted(range(len(matrix.labels)), key=lambda i: sorted(matrix.labels[i].items()))
    series = []
    for i in order[:most]:
        check()
        points = _points(matrix, i, times)
        if points:
            series.append({"metric": dict(matrix.labels[i]), **points})
    return {"resultType": "matrix", "result": series}


def _points(matrix: Matrix, row: int, times: list[float | int], *, one: bool = False) -> dict[str, Any]:
    """The values of a series under `values` and `histograms`, where it has any; of `one` step in the singular."""
    floats: list[list[Any]] = []
    histograms: list[list[Any]] = []
    for j in np.flatnonzero(matrix.present[row]).tolist():
        histogram = None if matrix.histograms is None else matrix.histograms[row, j]
        if histogram is None:
            floats.append([times[j], format_number(float(matrix.values[row, j]))])
        else:
            histograms.append([times[j], _histogram(histogram)])
    found = {"value": floats, "histogram": histograms}
    if one:
        return {name: points[0] for name, points in found.items() if points}
    return {f"{name}s": points for name, points in found.items() if points}


def _histogram(histogram: Histogram) -> dict[str, Any]:
    said: dict[str, Any] = {"count": format_number(histogram.count), "sum": format_number(histogram.sum)}
    buckets = [[rule, *map(format_number, edges)] for rule, *edges in filled_buckets(histogram)]
    return said | {"buckets": buckets} if buckets else said

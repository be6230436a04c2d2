"""Quantiles of classic histograms: series that differ only in `le` are put together and computed per step."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from setpoint.promql import group_kernels
from setpoint.promql.model import FloatGrid, Labels, Matrix, compact

__all__ = ["histogram_quantile"]


def _bound(text: str) -> float | None:
    try:
        return float(text.replace("_", "?"))  # float() takes underscores, le does not
    except ValueError:
        return None


def histogram_quantile(quantile: FloatGrid, matrix: Matrix) -> Matrix:
    """The quantile (float64[s]) of each histogram in `matrix`, whose series carry the buckets' bounds in
    `le`.

    Series without a number in `le` are ignored. The names are kept; the caller drops them.
    """
    matrix = compact(matrix)
    histograms: dict[frozenset[tuple[str, str]], list[tuple[float, int]]] = {}
    labels: list[Labels] = []
    for i, own in enumerate(matrix.labels):
        bound = _bound(own.get("le", ""))
        if bound is None or math.isnan(bound):
            continue
        rest = {name: value for name, value in own.items() if name != "le"}
        key = frozenset(rest.items())
        if key not in histograms:
            histograms[key] = []
            labels.append(rest)
        histograms[key].append((bound, i))
    shape = (len(labels), len(matrix.times_ms))
    values, present = np.zeros(shape), np.zeros(shape, np.bool_)
    param = np.ascontiguousarray(quantile)
    for row, buckets in enumerate(histograms.values()):
        buckets.sort()
        rows = np.array([i for _, i in buckets], np.intp)
        bounds = np.array([bound for bound, _ in buckets])
        values[row], present[row] = group_kernels.bucket_quantile(
            param, bounds, matrix.values[rows], matrix.present[rows]
        )
    return replace(
        matrix,
        labels=tuple(labels),
        values=values,
        present=present,
        drops_name=np.zeros(len(labels), np.bool_),
    )

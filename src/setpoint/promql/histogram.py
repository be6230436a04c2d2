"""Classic histograms: series that differ only in `le` are put together, and asked for quantiles or fractions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from setpoint.promql import group_kernels
from setpoint.promql.label_memo import remembered
from setpoint.promql.model import FloatGrid, Labels, Matrix, Presence, compact
from setpoint.promql.native_buckets import rank_below

__all__ = ["ClassicHistograms", "histogram_fraction", "histogram_quantile"]

Buckets = tuple[tuple[FloatGrid, npt.NDArray[np.intp]], ...]
Answer = Callable[[FloatGrid, FloatGrid, Presence], tuple[FloatGrid, Presence]]


def _bound(text: str) -> float | None:
    try:
        return float(text.replace("_", "?"))  # float() takes underscores, le does not
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class ClassicHistograms:
    """The histograms of a vector whose series carry the buckets' bounds in `le`, names kept.

    Series without a number there are ignored; `malformed` are their labels.
    """

    matrix: Matrix
    labels: tuple[Labels, ...]
    buckets: Buckets
    """Per histogram its ascending bounds, and which rows of the matrix count below them."""
    malformed: tuple[Labels, ...]

    @classmethod
    def of(cls, matrix: Matrix) -> ClassicHistograms:
        """Those of the floats of `matrix`."""
        matrix = compact(matrix.floats())
        return cls(matrix, *remembered("histograms", lambda: _found(matrix.labels), matrix.labels))

    def answered(self, answer: Answer) -> Matrix:
        """Per histogram and step what `answer` makes of its bounds float64[b], its counts and presence [b, s]."""
        shape = (len(self.labels), len(self.matrix.times_ms))
        values, present = np.zeros(shape), np.zeros(shape, np.bool_)
        for row, (bounds, rows) in enumerate(self.buckets):
            values[row], present[row] = answer(bounds, self.matrix.values[rows], self.matrix.present[rows])
        return replace(
            self.matrix,
            labels=self.labels,
            values=values,
            present=present,
            drops_name=np.zeros(shape[0], np.bool_),
        )


def _found(every: tuple[Labels, ...]) -> tuple[tuple[Labels, ...], Buckets, tuple[Labels, ...]]:
    """What of `ClassicHistograms` depends on labels alone."""
    histograms: dict[frozenset[tuple[str, str]], list[tuple[float, int]]] = {}
    labels: list[Labels] = []
    malformed: list[Labels] = []
    for i, own in enumerate(every):
        bound = _bound(own.get("le", ""))
        if bound is None or math.isnan(bound):
            malformed.append(own)
            continue
        rest = {name: value for name, value in own.items() if name != "le"}
        key = frozenset(rest.items())
        if key not in histograms:
            histograms[key] = []
            labels.append(rest)
        histograms[key].append((bound, i))
    buckets = []
    for found in histograms.values():
        found.sort()
        rows = np.array([i for _, i in found], np.intp)
        buckets.append((np.array([bound for bound, _ in found]), rows))
    return tuple(labels), tuple(buckets), tuple(malformed)


def histogram_quantile(
    quantile: FloatGrid, histograms: ClassicHistograms, note: Callable[[Labels, FloatGrid], None]
) -> Matrix:
    """The quantile (float64[s]) of each histogram.

    `note` is told of each whose buckets were not cumulative, and per step of the lowest and highest bound that
    had to be fixed and by how much at most, float64[3, s] (see `group_kernels.bucket_quantile`).
    """
    param = np.ascontiguousarray(quantile)
    labels = iter(histograms.labels)

    def answer(bounds: FloatGrid, counts: FloatGrid, held: Presence) -> tuple[FloatGrid, Presence]:
        values, present, fixed = group_kernels.bucket_quantile(param, bounds, counts, held)
        own = next(labels)
        if fixed[2].any():
            note(own, fixed)
        return values, present

    return histograms.answered(answer)


def histogram_fraction(low: FloatGrid, high: FloatGrid, histograms: ClassicHistograms) -> Matrix:
    """Which share of each histogram lies between `low` and `high` (float64[s]); Prometheus's BucketFraction."""

    def answer(bounds: FloatGrid, counts: FloatGrid, held: Presence) -> tuple[FloatGrid, Presence]:
        values = np.full(counts.shape[1], np.nan)
        # Steps at which the same buckets are there are computed together.
        patterns, of_step = np.unique(held.T, axis=0, return_inverse=True)
        for number, pattern in enumerate(patterns):
            steps = np.flatnonzero(of_step.ravel() == number)
            ends = bounds[pattern]
            if len(ends) and math.isinf(ends[-1]):
                values[steps] = _fraction(low[steps], high[steps], ends, counts[np.ix_(pattern, steps)])
        return values, np.asarray(held.any(axis=0), np.bool_)

    return histograms.answered(answer)


def _fraction(low: FloatGrid, high: FloatGrid, ends: FloatGrid, counts: FloatGrid) -> FloatGrid:
    """`ends` float64[b] ascending up to infinity, `counts` float64[b, k] cumulative."""
    upper, place = np.unique(ends, return_inverse=True)
    cumulative = np.zeros((counts.shape[1], len(upper)))
    np.add.at(cumulative.T, place, counts)  # one bucket per bound
    lower = np.concatenate([[-np.inf if upper[0] <= 0 else 0.0], upper[:-1]])
    before = np.hstack([np.zeros((len(cumulative), 1)), cumulative[:, :-1]])
    lowers, uppers = (np.broadcast_to(edge, cumulative.shape) for edge in (lower, upper))
    total = cumulative[:, -1]
    linear = np.ones(cumulative.shape, np.bool_)
    ranks = [
        np.minimum(
            rank_below(bound, lowers, uppers, cumulative - before, before, linear, total),
            total,
        )
        for bound in (low, high)
    ]
    share = np.where(low >= high, 0.0, (ranks[1] - ranks[0]) / total)
    return np.where((total == 0) | np.isnan(low) | np.isnan(high), np.nan, share)

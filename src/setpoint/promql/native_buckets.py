"""What is asked of the buckets of native histograms: quantiles, fractions, deviation, and their bounds for an answer.

Every question is computed for all histograms of one layout at once. Formulas after Prometheus 3 (promql/quantile.go,
docs/specs/native_histograms.md): exponential interpolation within exponential buckets, linear within the zero bucket
and custom ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from setpoint.promql.native import Histogram
from setpoint.promql.native_layout import COUNT, FIRST_BUCKET, SUM, ZERO, Layout, upper_bounds

__all__ = ["deviation", "filled_buckets", "fraction", "quantile", "rank_below", "text"]

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Buckets:
    """The b buckets of a layout in ascending order: their bounds, and where their counts stand.

    A layout without any has one that is always empty, at 0.
    """

    lower: Numbers
    upper: Numbers
    columns: npt.NDArray[np.int64]
    is_zero: npt.NDArray[np.bool_]
    negatives: slice
    positives: slice

    def counts(self, numbers: Numbers) -> Numbers:
        """float64[k, b]; a zero bucket without observations is no bucket."""
        counts = numbers[:, self.columns]
        if self.is_zero.any():
            counts[:, self.is_zero] = np.maximum(counts[:, self.is_zero], 0.0)
        return counts


@lru_cache(maxsize=1024)
def _buckets(layout: Layout) -> _Buckets:
    is_custom = layout.schema == -53
    split = FIRST_BUCKET + len(layout.positive)
    threshold = layout.zero_threshold
    upper = upper_bounds(layout, layout.positive)
    lower = upper_bounds(layout, layout.positive - 1)
    columns = np.arange(FIRST_BUCKET, split)
    if is_custom:
        nothing = slice(0, 0)
        if not len(columns):
            return _Buckets(np.zeros(1), np.zeros(1), np.array([ZERO]), np.array([True]), nothing, nothing)
        no_zero = np.zeros(len(columns), np.bool_)
        return _Buckets(lower, upper, columns, no_zero, nothing, slice(0, len(columns)))
    below = -upper_bounds(layout, layout.negative[::-1] - 1)
    above_below = -upper_bounds(layout, layout.negative[::-1])
    # The zero bucket reaches into the first buckets beside it.
    below = np.where(below > -threshold, -threshold, below)
    lower = np.where(lower < threshold, threshold, lower)
    minus = len(layout.negative)
    is_zero = np.zeros(minus + 1 + len(columns), np.bool_)
    is_zero[minus] = True
    return _Buckets(
        np.concatenate([above_below, [-threshold], lower]),
        np.concatenate([below, [threshold], upper]),
        np.concatenate([np.arange(layout.size - 1, split - 1, -1), [ZERO], columns]),
        is_zero,
        slice(0, minus),
        slice(minus + 1, None),
    )


def _zero_bounds(buckets: _Buckets, counts: Numbers, at: npt.NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    """The bounds of the buckets `at` (int64[k]); one around 0 ends there when all else is on one side of it."""
    lower, upper = buckets.lower[at], buckets.upper[at]
    around = buckets.is_zero[at]
    has_negative = (counts[:, buckets.negatives] != 0).any(axis=1)
    has_positive = (counts[:, buckets.positives] != 0).any(axis=1)
    lower = np.where(around & has_positive & ~has_negative, 0.0, lower)
    return lower, np.where(around & has_negative & ~has_positive, 0.0, upper)


def quantile(q: Numbers, layout: Layout, numbers: Numbers) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """The quantile q[k] of k histograms, float64[k], and which of them hold NaN that bears on it.

    Those observations are in no bucket and count as larger than all.
    """
    buckets = _buckets(layout)
    counts = buckets.counts(numbers)
    k = np.arange(len(numbers))
    total, not_a_sum = numbers[:, COUNT], np.isnan(numbers[:, SUM])
    forward = not_a_sum | (q < 0.5)
    rank = np.where(forward, q * total, (1 - q) * total)
    upwards = np.cumsum(counts, axis=1)
    downwards = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
    filled = counts != 0
    last = counts.shape[1] - 1
    hit_up = filled & (upwards >= rank[:, np.newaxis])
    hit_down = (filled & (downwards >= rank[:, np.newaxis]))[:, ::-1]
    up = np.where(hit_up.any(axis=1), hit_up.argmax(axis=1), last)
    down = np.where(hit_down.any(axis=1), last - hit_down.argmax(axis=1), 0)
    at = np.where(forward, up, down)
    own, reached = counts[k, at], np.where(forward, upwards[k, at], downwards[k, at])
    lower, upper = _zero_bounds(buckets, counts, at)
    answer = np.full(len(numbers), np.nan)
    open_ended = np.zeros(len(numbers), np.bool_)
    if layout.schema == -53:
        open_below = np.isneginf(lower)
        answer = np.where(open_below & (upper <= 0), upper, np.where(np.isposinf(upper), lower, np.nan))
        open_ended = (open_below & (upper <= 0)) | (~open_below & np.isposinf(upper))
        lower = np.where(open_below, 0.0, lower)
    reached = np.minimum(reached, total)
    beyond = reached < rank
    within = np.where(forward, rank - (reached - own), reached - rank) / own
    interpolated = _interpolated(layout, lower, upper, within)
    interpolated = np.where(beyond, np.where(not_a_sum, np.nan, upper), interpolated)
    answer = np.where(open_ended, answer, interpolated)
    answer = np.where((total == 0) | np.isnan(q), np.nan, answer)
    answer = np.where(q < 0, -np.inf, np.where(q > 1, np.inf, answer))
    asked = (q >= 0) & (q <= 1) & (total != 0)
    return answer, asked & not_a_sum & (counts.sum(axis=1) < total)


def _interpolated(layout: Layout, lower: Numbers, upper: Numbers, share: Numbers) -> Numbers:
    linear = lower + (upper - lower) * share
    if layout.schema == -53:
        return linear
    log_lower, log_upper = np.log2(np.abs(lower)), np.log2(np.abs(upper))
    positive = np.exp2(log_lower + (log_upper - log_lower) * share)
    negative = -np.exp2(log_upper + (log_lower - log_upper) * (1 - share))
    return np.where((lower <= 0) & (upper >= 0), linear, np.where(lower > 0, positive, negative))


def fraction(
    low: Numbers, high: Numbers, layout: Layout, numbers: Numbers
) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """Which share of the observations of k histograms lies in (low[k], high[k]], and which of them hold NaN."""
    buckets = _buckets(layout)
    counts = buckets.counts(numbers)
    total, not_a_sum = numbers[:, COUNT], np.isnan(numbers[:, SUM])
    lower = np.broadcast_to(buckets.lower, counts.shape).copy()
    upper = np.broadcast_to(buckets.upper, counts.shape).copy()
    has_negative = (counts[:, buckets.negatives] != 0).any(axis=1, keepdims=True)
    has_positive = (counts[:, buckets.positives] != 0).any(axis=1, keepdims=True)
    around = (lower <= 0) & (upper >= 0)
    lower[around & has_positive & ~has_negative] = 0.0
    upper[around & has_negative & ~has_positive] = 0.0
    held = counts.sum(axis=1)
    largest = np.where(not_a_sum, held, total)
    before = np.cumsum(counts, axis=1) - counts
    linear = around | (layout.schema == -53)
    ranks = [
        np.minimum(rank_below(bound, lower, upper, counts, before, linear, largest), largest)
        for bound in (low, high)
    ]
    answer = (ranks[1] - ranks[0]) / total
    answer = np.where(low >= high, 0.0, answer)
    answer = np.where((total == 0) | np.isnan(low) | np.isnan(high), np.nan, answer)
    return answer, not_a_sum & (held < total) & ~np.isnan(answer) & (low < high)


def rank_below(  # noqa: PLR0917 - one array each
    bound: Numbers,
    lower: Numbers,
    upper: Numbers,
    counts: Numbers,
    before: Numbers,
    linear: npt.NDArray[np.bool_],
    largest: Numbers,
) -> Numbers:
    """How many observations lie at or below `bound` float64[k], of k histograms with ascending buckets [k, b].

    `before` are the observations below each bucket, `largest` float64[k] all that there are.
    """
    value = bound[:, np.newaxis]
    reached = (lower >= value) | (upper > value)
    at = reached.argmax(axis=1)
    k = np.arange(len(bound))
    low, high, own, base = lower[k, at], upper[k, at], counts[k, at], before[k, at]
    log_low, log_high, log_value = (np.log2(np.abs(edge)) for edge in (low, high, bound))
    share = np.where(
        bound > 0,
        (log_value - log_low) / (log_high - log_low),
        1 - (log_value - log_high) / (log_low - log_high),
    )
    share = np.where(linear[k, at], (bound - low) / (high - low), share)
    inside = np.where(np.isneginf(low) & linear[k, at], own, base + own * share)
    rank = np.where(low >= bound, base, inside)
    return np.where(reached.any(axis=1), rank, largest)


def deviation(layout: Layout, numbers: Numbers) -> Numbers:
    """The variance of k histograms, every observation taken to be in the middle of its bucket; float64[k]."""
    buckets = _buckets(layout)
    counts = buckets.counts(numbers)
    total = numbers[:, COUNT]
    mean = numbers[:, SUM] / total
    if layout.schema == -53:
        middle = (buckets.upper + buckets.lower) / 2
    else:
        middle = np.sqrt(buckets.upper * buckets.lower)
        middle = np.where(buckets.upper < 0, -middle, middle)
        middle = np.where((buckets.lower <= 0) & (buckets.upper >= 0), 0.0, middle)
    away = middle - mean[:, np.newaxis]
    squares = np.where(counts != 0, counts * away * away, 0.0)
    variance: Numbers = squares.sum(axis=1) / total
    return variance


def filled_buckets(histogram: Histogram) -> list[tuple[int, float, float, float]]:
    """The buckets that are not empty, ascending: (boundary rule, lower bound, upper bound, count).

    The rule is 0 when the upper bound belongs to the bucket, 1 when the lower does, 3 when both do.
    """
    layout = histogram.layout
    buckets = _buckets(layout)
    counts = buckets.counts(histogram.numbers[np.newaxis, :])[0]
    found = []
    for i in np.flatnonzero(counts != 0).tolist():
        lower, upper = float(buckets.lower[i]), float(buckets.upper[i])
        if layout.schema == -53:
            rule = 3 if math.isinf(lower) else 0
        elif buckets.is_zero[i]:
            rule = 3
        else:
            rule = 1 if lower < 0 else 0
        found.append((rule, lower, upper, float(counts[i])))
    return found


def text(histogram: Histogram) -> str:
    """A histogram as Prometheus writes it into a label: `{count:2, sum:3, (1,2]:2}`."""
    parts = [f"count:{_short(histogram.count)}", f"sum:{_short(histogram.sum)}"]
    for rule, lower, upper, count in filled_buckets(histogram):
        opening, closing = "[" if rule in (1, 3) else "(", "]" if rule in (0, 3) else ")"
        parts.append(f"{opening}{_short(lower)},{_short(upper)}{closing}:{_short(count)}")
    return "{" + ", ".join(parts) + "}"


def _short(value: float) -> str:
    """Go's %g: the shortest digits, an exponent below 1e-4 and from 1e21."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value != 0 and not 1e-4 <= abs(value) < 1e21:
        return str(np.format_float_scientific(value, trim="-", exp_digits=2))
    return str(np.format_float_positional(value, trim="-"))

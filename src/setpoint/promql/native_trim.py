"""The trim operators: `h </ x` keeps the observations of a histogram up to x, `h >/ x` those above.

`native_binary` calls `trimmed` per value. A bucket that x cuts is interpolated as quantiles are, and the sum becomes an
estimate by the middles of what is left, because nobody knows what was taken away. After Prometheus's TrimBuckets.
"""

from __future__ import annotations

import math

import numpy as np

from setpoint.promql.native import Histogram
from setpoint.promql.native_layout import COUNT, FIRST_BUCKET, SUM, ZERO, upper_bounds

__all__ = ["trimmed"]


def trimmed(histogram: Histogram, operator: str, limit: float) -> Histogram:
    """What `operator` leaves of `histogram`; the same one if that is all of it."""
    layout, numbers = histogram.layout, histogram.numbers.copy()
    split = FIRST_BUCKET + len(layout.positive)
    count = total = 0.0
    populated = {}
    for sign, indices, first in ((1, layout.positive, FIRST_BUCKET), (-1, layout.negative, split)):
        upper, lower = upper_bounds(layout, indices), upper_bounds(layout, indices - 1)
        filled = np.flatnonzero(numbers[first : first + len(indices)] != 0)
        populated[sign] = len(filled) > 0
        for place in filled.tolist():
            edges = (float(lower[place]), float(upper[place]))
            bucket = _Bucket(*(edges if sign > 0 else (-edges[1], -edges[0])), histogram.is_custom)
            held = float(numbers[first + place])
            kept, middle = bucket.left(held, operator, limit)
            numbers[first + place] = kept
            count, total = count + kept, total + middle * kept
    if numbers[ZERO] > 0:
        threshold = layout.zero_threshold
        low = 0.0 if populated[1] and not populated[-1] else -threshold
        high = 0.0 if populated[-1] and not populated[1] else threshold
        kept, middle = _zero_left(low, high, float(numbers[ZERO]), operator, limit)
        numbers[ZERO] = kept
        count, total = count + kept, total + middle * kept
    if np.array_equal(numbers, histogram.numbers, equal_nan=True):
        return histogram
    numbers[COUNT], numbers[SUM] = count, total
    return Histogram(layout, numbers, histogram.hint)


class _Bucket:
    """One bucket and the middle of its parts."""

    def __init__(self, lower: float, upper: float, is_custom: bool) -> None:
        self.lower = lower
        self.upper = upper
        self.is_custom = is_custom

    def left(self, held: float, operator: str, limit: float) -> tuple[float, float]:
        """How many of `held` observations are left, and the middle of where they are."""
        upwards = operator == ">/"
        if (self.lower >= limit) if upwards else (self.upper <= limit):
            return held, self._middle(self.lower, self.upper)
        if not (self.upper > limit if upwards else self.lower < limit):
            return 0.0, 0.0
        if math.isinf(self.lower) or math.isinf(self.upper):
            return self._open_left(held, upwards, limit)
        below = held * self._share_below(limit)
        if upwards:
            return held - below, self._middle(limit, self.upper)
        return below, self._middle(self.lower, limit)

    def _share_below(self, limit: float) -> float:
        if self.is_custom:
            return (limit - self.lower) / (self.upper - self.lower)
        log_lower, log_upper, log_limit = (
            math.log2(abs(edge)) if edge else -math.inf for edge in (self.lower, self.upper, limit)
        )
        if limit > 0:
            return (log_limit - log_lower) / (log_upper - log_lower)
        return 1 - (log_limit - log_upper) / (log_lower - log_upper)

    def _open_left(self, held: float, upwards: bool, limit: float) -> tuple[float, float]:
        """Of a bucket without an end: all of it, or nothing, but for the lowest, which starts at 0 if it can."""
        if math.isinf(self.lower):
            starts_at_zero = self.upper > 0 and not math.isinf(self.upper)
            if upwards:
                if limit >= 0 and starts_at_zero:
                    return held * (1 - limit / self.upper), (limit + self.upper) / 2
                return 0.0, 0.0
            if limit > 0 and starts_at_zero:
                return held * limit / self.upper, limit / 2
            return (held, limit) if self.upper <= 0 else (0.0, 0.0)
        return (held, limit) if upwards else (0.0, 0.0)

    def _middle(self, low: float, high: float) -> float:
        if math.isinf(low):
            if math.isinf(high):
                return 0.0
            return high / 2 if high > 0 else high
        if math.isinf(high):
            return low
        if self.is_custom:
            return (low + high) / 2
        middle = math.sqrt(abs(low * high))
        return middle if self.upper > 0 else -middle


def _zero_left(low: float, high: float, held: float, operator: str, limit: float) -> tuple[float, float]:
    """As `_Bucket.left`, of the zero bucket; one without width lies above its place."""
    if operator == "</":
        if limit <= low:
            return 0.0, 0.0
        share, high = (1.0, high) if limit >= high else ((limit - low) / (high - low), limit)
    else:
        if low < limit and limit >= high:
            return 0.0, 0.0
        share, low = (1.0, low) if limit <= low else ((high - limit) / (high - low), limit)
    return held * share, (low + high) / 2

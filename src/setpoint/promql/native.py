"""Native histograms as values of an expression: a layout of buckets, shared by many, and a vector of numbers.

A cell of a `Matrix` may be one instead of a float. Most histograms of a metric have the same buckets, so arithmetic is
an operation on two short arrays, and what is asked of many of them (quantiles, sums) is computed for all of a layout
at once (`native_buckets`, `native_sums`). Only where layouts differ are buckets mapped (`native_layout`).

Rules after Prometheus 3 (docs/specs/native_histograms.md and model/histogram there), with two differences that no
answer shows: buckets without observations are kept until an answer is written, and a bucket that a wider zero bucket
takes in is counted once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.promql.from_telemetry import CUSTOM_SCHEMA, NativeHistogram, ResetHint, Span
from setpoint.promql.native_layout import (
    COUNT,
    FIRST_BUCKET,
    SUM,
    ZERO,
    Layout,
    common_layout,
    layout_of,
    layout_of_spans,
    mapped,
    widened_threshold,
)

__all__ = [
    "GAUGE",
    "NOT_RESET",
    "RESET",
    "UNKNOWN",
    "Cells",
    "Histogram",
    "IncompatibleBuckets",
    "add",
    "align",
    "joined_hint",
    "subtract",
]

UNKNOWN: ResetHint = "unknown"
RESET: ResetHint = "reset"
NOT_RESET: ResetHint = "not_reset"
GAUGE: ResetHint = "gauge"

Numbers = npt.NDArray[np.float64]


class IncompatibleBuckets(Exception):
    """One histogram has exponential buckets, the other custom ones: nothing can be computed of both."""


class Histogram:
    """One native histogram. Immutable: nobody writes into `numbers` once it is made.

    `numbers` float64[size of the layout]: count, sum, zero bucket, positive and negative buckets. Counts may be
    fractions, and negative after a subtraction. `hint` says whether a counter was reset since the sample before it.
    """

    __slots__ = ("hint", "layout", "numbers")

    def __init__(self, layout: Layout, numbers: Numbers, hint: ResetHint = UNKNOWN) -> None:
        self.layout = layout
        self.numbers = numbers
        self.hint = hint

    @property
    def count(self) -> float:
        """How many observations, NaN among them."""
        return float(self.numbers[COUNT])

    @property
    def sum(self) -> float:
        """What the observations add up to."""
        return float(self.numbers[SUM])

    @property
    def is_custom(self) -> bool:
        """True for buckets between custom bounds (NHCB)."""
        return self.layout.schema == CUSTOM_SCHEMA

    def hinted(self, hint: ResetHint) -> Histogram:
        """The same histogram with another hint."""
        return self if self.hint == hint else Histogram(self.layout, self.numbers, hint)

    def scaled(self, factor: float) -> Histogram:
        """Every number times `factor`; a negative one makes a gauge."""
        with np.errstate(all="ignore"):
            return Histogram(self.layout, self.numbers * factor, GAUGE if factor < 0 else self.hint)

    def divided(self, divisor: float) -> Histogram:
        """Every number by `divisor`; by 0, the buckets are lost."""
        with np.errstate(all="ignore"):
            if divisor == 0:
                bare = layout_of(self.layout.schema, self.layout.zero_threshold, (), (), self.layout.bounds)
                return Histogram(bare, self.numbers[:FIRST_BUCKET] / divisor, self.hint)
            return Histogram(self.layout, self.numbers / divisor, GAUGE if divisor < 0 else self.hint)

    def overflows(self) -> bool:
        """True when any number is infinite."""
        return bool(np.isinf(self.numbers).any())

    def equals(self, other: Histogram) -> bool:
        """Equality as `==` and `changes` see it: bucket for bucket, NaN equal to NaN, without hints."""
        if self.layout is other.layout:
            return np.array_equal(self.numbers, other.numbers, equal_nan=True)
        mine, theirs = self.layout, other.layout
        if (mine.schema, mine.zero_threshold, mine.bounds) != (
            theirs.schema,
            theirs.zero_threshold,
            theirs.bounds,
        ):
            return False
        _, left, right, _ = align(self, other)
        return np.array_equal(left, right, equal_nan=True)

    def was_reset_since(self, before: Histogram) -> bool:
        """True when a counter must have started anew between `before` and this sample."""
        if self.hint in (RESET, NOT_RESET):
            return self.hint == RESET
        if self.layout is before.layout:
            fell = self.numbers < before.numbers
            return bool(fell[COUNT] or fell[ZERO:].any())
        if self.count < before.count:
            return True
        mine, older = self.layout, before.layout
        if self.is_custom != before.is_custom:
            return True
        if not self.is_custom and (
            mine.schema > older.schema
            or mine.zero_threshold < older.zero_threshold
            or widened_threshold(older, before.numbers, mine.zero_threshold) != mine.zero_threshold
        ):
            return True
        _, now, then, _ = align(self, before)
        return bool((now < then)[ZERO:].any())

    @classmethod
    def of(cls, stored: NativeHistogram) -> Histogram:
        """A stored histogram as a value."""
        layout = layout_of_spans(
            stored.schema,
            stored.zero_threshold,
            stored.positive_spans,
            stored.negative_spans,
            stored.custom_bounds,
        )
        head = (stored.count, stored.sum, stored.zero_count)
        numbers = np.array((*head, *stored.positive_counts, *stored.negative_counts), np.float64)
        return cls(layout, numbers, stored.reset_hint)

    def stored(self) -> NativeHistogram:
        """The histogram in the form that is stored and compared, without empty buckets."""
        layout, numbers = self.layout, self.numbers
        ends = FIRST_BUCKET + len(layout.positive)
        positive = _spans(layout.positive, numbers[FIRST_BUCKET:ends])
        negative = _spans(layout.negative, numbers[ends:])
        return NativeHistogram(
            layout.schema,
            float(numbers[COUNT]),
            float(numbers[SUM]),
            layout.zero_threshold,
            float(numbers[ZERO]),
            *positive,
            *negative,
            custom_bounds=layout.bounds,
            reset_hint=self.hint,
            is_float=True,
        )

    def __repr__(self) -> str:
        return f"Histogram({self.stored()})"


Cells = npt.NDArray[np.object_]
"""object[n, s]: a Histogram where the value of a series at a step is one, None elsewhere."""


def _spans(indices: npt.NDArray[np.int64], counts: Numbers) -> tuple[tuple[Span, ...], tuple[float, ...]]:
    filled = np.flatnonzero(counts != 0)
    spans: list[list[int]] = []
    end = 0
    for index in indices[filled].tolist():
        if spans and index == end:
            spans[-1][1] += 1
        else:
            spans.append([index - end if spans else index, 1])
        end = index + 1
    return tuple((offset, length) for offset, length in spans), tuple(counts[filled].tolist())


def align(left: Histogram, right: Histogram) -> tuple[Layout, Numbers, Numbers, bool]:
    """Both histograms' numbers in a layout that holds both, and whether custom bounds had to be given up for it.

    The coarser schema, the wider zero bucket and the bounds that both have win. Raises IncompatibleBuckets.
    """
    one, other = left.layout, right.layout
    if one is other:
        return one, left.numbers, right.numbers, False
    if left.is_custom != right.is_custom:
        raise IncompatibleBuckets
    threshold = max(one.zero_threshold, other.zero_threshold)
    while one.zero_threshold != other.zero_threshold:
        # A populated bucket that the wider zero bucket would cut makes it wider still, for both.
        grown = widened_threshold(one, left.numbers, threshold)
        grown = widened_threshold(other, right.numbers, grown)
        if grown == threshold:
            break
        threshold = grown
    target = common_layout(one, other, threshold)
    reconciled = left.is_custom and one.bounds != other.bounds
    return target, mapped(one, left.numbers, target), mapped(other, right.numbers, target), reconciled


def joined_hint(one: ResetHint, other: ResetHint) -> tuple[ResetHint, bool]:
    """The hint of a sum of histograms with these hints, and whether they contradict each other."""
    if one == other:
        return one, False
    if GAUGE in (one, other):
        return GAUGE, False
    return UNKNOWN, UNKNOWN not in (one, other)


def _combined(left: Histogram, right: Histogram, operation: Any) -> tuple[Histogram, bool, bool]:
    target, mine, theirs, reconciled = align(left, right)
    hint, collision = joined_hint(left.hint, right.hint)
    with np.errstate(all="ignore"):
        return Histogram(target, operation(mine, theirs), hint), collision, reconciled


def add(left: Histogram, right: Histogram) -> tuple[Histogram, bool, bool]:
    """The sum, whether the hints collide, whether custom bounds were reconciled. Raises IncompatibleBuckets."""
    return _combined(left, right, np.add)


def subtract(left: Histogram, right: Histogram) -> tuple[Histogram, bool, bool]:
    """The difference, as `add`; its hint is that of a sum, the caller makes it a gauge where it is one."""
    return _combined(left, right, np.subtract)

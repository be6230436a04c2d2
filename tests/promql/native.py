"""A naive model of native histograms: observations in buckets of a dictionary, one Python loop per question.

`test_native` compares the query language with it. It shares no code with it, and is as slow as it is plain.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from setpoint.telemetry.native_histogram import NativeHistogram, Span

Bucket = tuple[float, float]
"""Lower and upper bound."""


def bucket_of(value: float, schema: int) -> Bucket:
    """The exponential bucket that holds a positive value, found by stepping over the bounds."""
    base = 2.0 ** (2.0**-schema)
    index = math.ceil(math.log(value, base))
    while base**index < value:
        index += 1
    while base ** (index - 1) >= value:
        index -= 1
    return base ** (index - 1), base**index


@dataclass
class Naive:
    """A histogram with exponential buckets; those of negative values have negative bounds."""

    schema: int
    threshold: float = 0.0
    zero: float = 0.0
    count: float = 0.0
    sum: float = 0.0
    buckets: Counter[int] = field(default_factory=Counter)
    """By index, shifted by 1000 to the positive side for positive values and mirrored for negative ones."""

    def observe(self, value: float, times: float = 1) -> None:
        self.count += times
        self.sum += value * times
        if abs(value) <= self.threshold:
            self.zero += times
            return
        upper = bucket_of(abs(value), self.schema)[1]
        index = round(math.log2(upper) * 2.0**self.schema)
        self.buckets[index + 1000 if value > 0 else -index - 1000] += times  # type: ignore[assignment]

    def at_schema(self, schema: int) -> Naive:
        """The same observations in coarser buckets."""
        coarse = Naive(schema, self.threshold, self.zero, self.count, self.sum)
        for key, times in self.buckets.items():
            index = key - 1000 if key > 0 else -key - 1000
            merged = math.ceil(index / 2 ** (self.schema - schema))
            coarse.buckets[merged + 1000 if key > 0 else -merged - 1000] += times
        return coarse

    def plus(self, other: Naive, factor: float = 1) -> Naive:
        """The sum with `factor` times the other; both have the same zero bucket."""
        schema = min(self.schema, other.schema)
        mine, theirs = self.at_schema(schema), other.at_schema(schema)
        result = Naive(
            schema,
            self.threshold,
            self.zero + factor * other.zero,
            self.count + factor * other.count,
            self.sum + factor * other.sum,
        )
        for key in {*mine.buckets, *theirs.buckets}:
            result.buckets[key] = mine.buckets[key] + factor * theirs.buckets[key]  # type: ignore[assignment]
        return result

    def times(self, factor: float) -> Naive:
        return Naive(self.schema, self.threshold).plus(self, factor)

    def fell_from(self, before: Naive) -> bool:
        """True when a counter cannot have gone on from `before`."""
        if self.schema > before.schema or self.count < before.count or self.zero < before.zero:
            return True
        older = before.at_schema(self.schema)
        return any(self.buckets[key] < times for key, times in older.buckets.items())

    def bounds(self) -> list[tuple[float, float, float]]:
        """(lower, upper, count) of every bucket with observations, ascending; the zero bucket among them."""
        found: list[tuple[float, float, float]] = []
        for key, times in self.buckets.items():
            index = key - 1000 if key > 0 else -key - 1000
            upper, lower = 2.0 ** (index / 2.0**self.schema), 2.0 ** ((index - 1) / 2.0**self.schema)
            lower = max(lower, self.threshold)  # the zero bucket reaches into the bucket beside it
            found.append((lower, upper, times) if key > 0 else (-upper, -lower, times))
        if self.zero:
            found.append((-self.threshold, self.threshold, self.zero))
        return sorted(one for one in found if one[2])

    def quantile(self, q: float) -> float:
        """Walk up the buckets to the one that holds the rank."""
        if not self.count:
            return math.nan
        rank, seen, signs = (
            q * self.count,
            0.0,
            {math.copysign(1, key) for key in self.buckets if self.buckets[key]},
        )
        for lower, upper, times in self.bounds():
            if seen + times < rank * (1 - 1e-12):
                seen += times
                continue
            share = (rank - seen) / times
            if lower <= 0 <= upper:
                low = 0.0 if signs == {1.0} else lower
                high = 0.0 if signs == {-1.0} else upper
                return low + (high - low) * share
            if lower > 0:
                return float(lower * (upper / lower) ** share)
            return float(-(-upper * (lower / upper) ** (1 - share)))
        return math.nan

    def stored(self) -> NativeHistogram:
        """As a client sends it."""
        sides: list[tuple[tuple[Span, ...], tuple[float, ...]]] = []
        for sign in (1, -1):
            indices = sorted(sign * key - 1000 for key in self.buckets if sign * key > 0)
            sides.append(_spans(indices, [float(self.buckets[sign * (i + 1000)]) for i in indices]))
        return NativeHistogram(
            self.schema,
            self.count,
            self.sum,
            self.threshold,
            self.zero,
            *sides[0],
            *sides[1],
            is_float=True,
        )


def _spans(indices: Sequence[int], counts: Sequence[float]) -> tuple[tuple[Span, ...], tuple[float, ...]]:
    spans: list[Span] = []
    end = 0
    for index in indices:
        spans.append((index - end, 1))
        end = index + 1
    return tuple(spans), tuple(counts)


def rate(samples: Sequence[tuple[int, Naive]], end_ms: int, range_ms: int) -> Naive | None:
    """rate() of one window, as the documentation of Prometheus tells it."""
    inside = [(at, value) for at, value in samples if end_ms - range_ms < at <= end_ms]
    if len(inside) < 2:
        return None
    rise = inside[-1][1].plus(inside[0][1], -1)
    for (_, before), (_, after) in itertools.pairwise(inside):
        if after.fell_from(before):
            rise = rise.plus(before)
    first_ms, last_ms = inside[0][0], inside[-1][0]
    sampled = (last_ms - first_ms) / 1000
    average = sampled / (len(inside) - 1)
    to_start, to_end = (first_ms - (end_ms - range_ms)) / 1000, (end_ms - last_ms) / 1000
    to_start = average / 2 if to_start >= 1.1 * average else to_start
    to_end = average / 2 if to_end >= 1.1 * average else to_end
    if rise.count > 0 and inside[0][1].count >= 0:
        to_start = min(to_start, sampled * inside[0][1].count / rise.count)
    return rise.times((sampled + to_start + to_end) / sampled / (range_ms / 1000))

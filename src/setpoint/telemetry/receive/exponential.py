"""OpenTelemetry's exponential histograms as Prometheus's native ones, and the sum of several.

Both have buckets on the grid of 2^(2^-scale); they differ in three ways, which Prometheus's OTLP endpoint settles
like this (storage/remote/otlptranslator/prometheusremotewrite/histograms.go) and so does this module: a bucket is
named by its upper bound, not its lower (index plus one); scales above 8 are merged down to 8 and scales below -4 are
refused; a zero threshold that is not sent is 1e-128. How two are added follows the collector's deltatocumulative
processor: at the coarser scale, with the wider zero bucket, and at most 160 buckets a side.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from setpoint.telemetry.native_histogram import MAX_BUCKETS, STALE_BITS, NativeHistogram, ResetHint, Span

__all__ = ["MAX_POINT_BYTES", "Exponential", "stale_histogram"]

MAX_POINT_BYTES = 1 << 18
"""Bytes of a point, attributes included; SDKs keep to 160 buckets a side, which are some hundred bytes."""

_FINEST, _COARSEST = 8, -4
_ZERO_THRESHOLD = 1e-128
_MOST_BUCKETS = 160
_FARTHEST = 2**20
"""No float is in a bucket this far from 1, on the finest grid."""

_GAP_FILLED = 2
"""Empty buckets that are cheaper to store than a new span."""

Buckets = Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Exponential:
    """An exponential histogram: {index of a bucket by its upper bound: count} on either side of zero.

    Bucket i of scale s holds what is above 2^((i-1)*2^-s) and not above 2^(i*2^-s).
    """

    scale: int
    count: float
    sum: float
    zero_threshold: float
    zero_count: float
    positive: Buckets
    negative: Buckets

    @classmethod
    def of(cls, point: Any) -> Exponential:
        """That of an `ExponentialHistogramDataPoint`. Raises ValueError for what no native histogram can be."""
        if point.scale < _COARSEST:
            raise ValueError(
                f"an exponential histogram of scale {point.scale} is too coarse, native histograms begin at "
                f"{_COARSEST}; let the SDK begin with a finer scale (max_scale)"
            )
        buckets = len(point.positive.bucket_counts) + len(point.negative.bucket_counts)
        if buckets > MAX_BUCKETS:
            raise ValueError(
                f"an exponential histogram has {buckets} buckets, at most {MAX_BUCKETS} are taken"
            )
        threshold = point.zero_threshold or _ZERO_THRESHOLD
        if not 0 < threshold < math.inf:
            raise ValueError(f"the zero threshold of an exponential histogram is {threshold}")
        scale = min(point.scale, _FINEST)
        shift = point.scale - scale
        found = cls(
            scale,
            float(point.count),
            point.sum,
            threshold,
            float(point.zero_count),
            _sparse(point.positive, shift),
            _sparse(point.negative, shift),
        )
        if any(abs(index) > _FARTHEST for side in (found.positive, found.negative) for index in side):
            raise ValueError("a bucket of an exponential histogram is beyond what a float can be")
        fault = found.native("unknown").fault()
        if fault is not None:
            raise ValueError(f"an exponential histogram makes no sense: {fault}")
        return found

    def plus(self, other: Exponential) -> Exponential:
        """The histogram of the observations of both."""
        scale = min(self.scale, other.scale)
        one, more = self._coarser(scale), other._coarser(scale)
        threshold = max(one.zero_threshold, more.zero_threshold)
        if one.zero_threshold != more.zero_threshold:
            while (wider := max(one._zero_until(threshold), more._zero_until(threshold))) > threshold:
                threshold = wider
            one, more = one._widened(threshold), more._widened(threshold)
        total = Exponential(
            scale,
            one.count + more.count,
            one.sum + more.sum,
            threshold,
            one.zero_count + more.zero_count,
            _added(one.positive, more.positive),
            _added(one.negative, more.negative),
        )
        while max(map(_width, (total.positive, total.negative))) > _MOST_BUCKETS and total.scale > _COARSEST:
            total = total._coarser(total.scale - 1)
        return total

    def native(self, hint: ResetHint) -> NativeHistogram:
        """The native histogram to store."""
        positive, positive_counts = _spans(self.positive)
        negative, negative_counts = _spans(self.negative)
        return NativeHistogram(
            self.scale,
            self.count,
            self.sum,
            self.zero_threshold,
            self.zero_count,
            positive,
            positive_counts,
            negative,
            negative_counts,
            reset_hint=hint,
        )

    def empty(self) -> Exponential:
        """The same grid without observations: what a series is at its beginning."""
        return replace(self, count=0.0, sum=0.0, zero_count=0.0, positive={}, negative={})

    def _coarser(self, scale: int) -> Exponential:
        shift = self.scale - scale
        if not shift:
            return self
        return replace(
            self,
            scale=scale,
            positive=_merged(self.positive, shift),
            negative=_merged(self.negative, shift),
        )

    def _zero_until(self, threshold: float) -> float:
        """The threshold that cuts no bucket in two: at least `threshold`."""
        for index in sorted({*self.positive, *self.negative}):
            if self._bound(index - 1) < threshold < self._bound(index):
                return self._bound(index)
        return threshold

    def _widened(self, threshold: float) -> Exponential:
        """The buckets up to `threshold` are part of the zero bucket."""
        zero, sides = self.zero_count, []
        for side in (self.positive, self.negative):
            zero += sum(count for index, count in side.items() if self._bound(index) <= threshold)
            sides.append(
                {index: count for index, count in side.items() if not self._bound(index) <= threshold}
            )
        return replace(self, zero_threshold=threshold, zero_count=zero, positive=sides[0], negative=sides[1])

    def _bound(self, index: int) -> float:
        exponent = index * 2.0**-self.scale
        return math.inf if exponent >= 1024 else 2.0**exponent


def stale_histogram() -> NativeHistogram:
    """The marker that a series of native histograms has ended."""
    (stale,) = struct.unpack("<d", STALE_BITS.to_bytes(8, "little"))
    return NativeHistogram(0, 0.0, stale)


def _sparse(buckets: Any, shift: int) -> Buckets:
    """{index by upper bound: count} of a `Buckets` message, `shift` scales coarser."""
    found: dict[int, float] = {}
    for index, count in enumerate(buckets.bucket_counts, buckets.offset):
        if count:
            place = (index >> shift) + 1
            found[place] = found.get(place, 0.0) + count
    return found


def _merged(buckets: Buckets, shift: int) -> Buckets:
    # The bucket by its upper bound i is the one by its lower bound i - 1.
    found: dict[int, float] = {}
    for index, count in buckets.items():
        place = ((index - 1) >> shift) + 1
        found[place] = found.get(place, 0.0) + count
    return found


def _added(one: Buckets, more: Buckets) -> Buckets:
    total = dict(one)
    for index, count in more.items():
        total[index] = total.get(index, 0.0) + count
    return total


def _width(buckets: Buckets) -> int:
    return max(buckets) - min(buckets) + 1 if buckets else 0


def _spans(buckets: Buckets) -> tuple[tuple[Span, ...], tuple[float, ...]]:
    """Spans and their counts; gaps of at most two buckets are filled with zeros."""
    spans: list[list[int]] = []
    counts: list[float] = []
    behind = 0
    for index in sorted(buckets):
        gap = index - behind
        if not spans or gap > _GAP_FILLED:
            spans.append([gap, 0])
        else:
            counts.extend([0.0] * gap)
            spans[-1][1] += gap
        counts.append(float(buckets[index]))
        spans[-1][1] += 1
        behind = index + 1
    return tuple((offset, length) for offset, length in spans), tuple(counts)

"""A native histogram of Prometheus: sparse buckets on an exponential grid, or between custom bounds.

Remote write and OTLP's exponential histograms arrive as this, the store keeps the encoded form beside the samples
(`HistogramColumns`), and the query language decodes it. Counts are absolute and of floats whatever the sender used,
because every question is asked of floats; `is_float` only says what to show. The encoding has fixed-width fields, so
that decoding costs a few calls of `struct` and the database's own compression does the rest.

Rules of validity after Prometheus's model/histogram (its specification: docs/specs/native_histograms.md).
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

from setpoint.errors import InvalidInput

__all__ = [
    "CUSTOM_SCHEMA",
    "MAX_BUCKETS",
    "PAYLOAD_HEAD",
    "RESET_HINTS",
    "STALE",
    "STALE_BITS",
    "NativeHistogram",
    "ResetHint",
    "Span",
]

ResetHint = Literal["unknown", "reset", "not_reset", "gauge"]
Span = tuple[int, int]
"""Gap to the end of the previous span (of the first: index of its first bucket), and how many buckets follow."""

CUSTOM_SCHEMA = -53
"""The schema whose buckets lie between `custom_bounds`; -4 to 8 are exponential with a base of 2^(2^-schema)."""

STALE_BITS = 0x7FF0000000000002
"""The bits of the NaN that says that a series has ended: as a sample, or as the sum of a histogram."""

STALE: float = struct.unpack("<d", STALE_BITS.to_bytes(8, "little"))[0]
"""That NaN."""

MAX_BUCKETS = 10_000
"""Buckets (and bounds) of one histogram; clients keep to 160 or 320."""

RESET_HINTS: tuple[ResetHint, ...] = ("unknown", "reset", "not_reset", "gauge")
"""By the number that stands above the lowest bit of a payload's second byte."""

_SCHEMAS = range(-4, 9)
_VERSION = 1
PAYLOAD_HEAD = struct.Struct("<BBb4d5H")
"""Version, flags, schema; count, sum, zero threshold, zero count; how many spans and counts of either sign, bounds.

Spans (two int32 each), positive and negative counts and bounds (float64) follow.
"""
_INT8 = range(-128, 128)
_INT32 = range(-(2**31), 2**31)
_SUM_TOLERANCE = 1e-6
"""By how much integer counts may differ from the sum of their buckets once they are floats, relative."""


@dataclass(frozen=True, slots=True)
class NativeHistogram:
    """One native histogram. Bucket i of a side has the count at its place in `*_counts`, its index by the spans.

    `count`, `zero_count` and the bucket counts are observations; `sum` is in the metric's unit. `custom_bounds` are
    the upper, inclusive bounds of schema -53, ascending, without +Inf.
    """

    schema: int
    count: float
    sum: float
    zero_threshold: float = 0.0
    zero_count: float = 0.0
    positive_spans: tuple[Span, ...] = ()
    positive_counts: tuple[float, ...] = ()
    negative_spans: tuple[Span, ...] = ()
    negative_counts: tuple[float, ...] = ()
    custom_bounds: tuple[float, ...] = ()
    reset_hint: ResetHint = "unknown"
    is_float: bool = False

    @property
    def is_stale(self) -> bool:
        """True for the marker that the series has ended."""
        return struct.pack("<d", self.sum) == STALE_BITS.to_bytes(8, "little")

    def fault(self) -> str | None:
        """Why no query could use this histogram, or None. A stale marker is never faulty."""
        if self.is_stale:
            return None
        if self.schema == CUSTOM_SCHEMA:
            return self._custom_fault() or self._counts_fault()
        if self.schema not in _SCHEMAS:
            return f"schema {self.schema} is none of -4 to 8 and {CUSTOM_SCHEMA}"
        if self.custom_bounds:
            return f"custom bounds need schema {CUSTOM_SCHEMA}, not {self.schema}"
        if not self.zero_threshold >= 0 or math.isinf(self.zero_threshold):
            return f"the zero threshold is {self.zero_threshold}"
        return (
            _side_fault("positive", self.positive_spans, self.positive_counts)
            or _side_fault("negative", self.negative_spans, self.negative_counts)
            or self._counts_fault()
        )

    def _custom_fault(self) -> str | None:
        if self.negative_spans or self.negative_counts or self.zero_count or self.zero_threshold:
            return "a histogram with custom bounds has no negative and no zero bucket"
        bounds = self.custom_bounds
        if any(not lower < upper for lower, upper in itertools.pairwise((-math.inf, *bounds, math.inf))):
            return "the custom bounds must be finite and ascend"
        width = sum(offset + length for offset, length in self.positive_spans)
        if width > len(bounds) + 1 or (self.positive_spans and self.positive_spans[0][0] < 0):
            return f"the spans reach bucket {width} of {len(bounds) + 1}"
        return _side_fault("positive", self.positive_spans, self.positive_counts)

    def _counts_fault(self) -> str | None:
        if not self.count >= 0 or not self.zero_count >= 0:
            return f"the count is {self.count}, that of the zero bucket {self.zero_count}"
        if self.is_float:
            return None  # rounding and scaling let them differ
        held = math.fsum((self.zero_count, *self.positive_counts, *self.negative_counts))
        # Observations of NaN are counted but in no bucket, and make the sum NaN.
        missing = self.count - held
        if missing < -_SUM_TOLERANCE * held or (missing > _SUM_TOLERANCE * held and not math.isnan(self.sum)):
            return f"the buckets hold {held:g} observations, the count says {self.count:g}"
        return None

    def encode(self) -> bytes:
        """The stored form. Raises InvalidInput when spans, counts or bounds are too many for it."""
        sides = (self.positive_spans, self.positive_counts, self.negative_spans, self.negative_counts)
        lengths = [*map(len, sides), len(self.custom_bounds)]
        spans = list(itertools.chain.from_iterable((*self.positive_spans, *self.negative_spans)))
        fits = max(lengths) <= MAX_BUCKETS and self.schema in _INT8
        if not fits or any(number not in _INT32 for number in spans):
            raise InvalidInput(
                f"a native histogram has {max(lengths)} buckets or spans, schema {self.schema}, or a span "
                f"beyond 32 bits; keep to {MAX_BUCKETS} buckets"
            )
        flags = RESET_HINTS.index(self.reset_hint) << 1 | self.is_float
        floats = (self.count, self.sum, self.zero_threshold, self.zero_count)
        head = PAYLOAD_HEAD.pack(_VERSION, flags, self.schema, *floats, *lengths)
        numbers = (*self.positive_counts, *self.negative_counts, *self.custom_bounds)
        return head + struct.pack(f"<{len(spans)}i{len(numbers)}d", *spans, *numbers)

    @classmethod
    def decode(cls, encoded: bytes) -> NativeHistogram:
        """What `encode` made. Raises InvalidInput for anything else."""
        if len(encoded) < PAYLOAD_HEAD.size or encoded[0] != _VERSION:
            raise InvalidInput("a stored native histogram is damaged or of a newer Setpoint; upgrade it")
        _, flags, schema, count, total, threshold, zero_count, *lengths = PAYLOAD_HEAD.unpack_from(encoded)
        p_spans, p_counts, n_spans, n_counts, bounds = lengths
        spans, numbers = 2 * (p_spans + n_spans), p_counts + n_counts + bounds
        if flags > 7 or len(encoded) != PAYLOAD_HEAD.size + 4 * spans + 8 * numbers:
            raise InvalidInput("a stored native histogram is damaged: its length is not what it says")
        rest = struct.unpack_from(f"<{spans}i{numbers}d", encoded, PAYLOAD_HEAD.size)
        pairs = tuple(zip(rest[:spans:2], rest[1:spans:2], strict=True))
        floats = rest[spans:]
        return cls(
            schema,
            count,
            total,
            threshold,
            zero_count,
            cast(tuple[Span, ...], pairs[:p_spans]),
            floats[:p_counts],
            cast(tuple[Span, ...], pairs[p_spans:]),
            floats[p_counts : p_counts + n_counts],
            floats[p_counts + n_counts :],
            RESET_HINTS[flags >> 1],
            bool(flags & 1),
        )


def _side_fault(side: str, spans: Sequence[Span], counts: Sequence[float]) -> str | None:
    if sum(length for _, length in spans) != len(counts):
        return f"the {side} spans name {sum(length for _, length in spans)} buckets, {len(counts)} are there"
    if any(length < 0 for _, length in spans) or any(offset < 0 for offset, _ in spans[1:]):
        return f"a {side} span has a negative gap or length"
    if any(not count >= 0 for count in counts):
        return f"a {side} bucket has the count {next(count for count in counts if not count >= 0)}"
    return None

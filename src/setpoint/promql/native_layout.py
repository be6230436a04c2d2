"""The buckets that a native histogram has: which ones, where they lie, and how they map into those of another.

`native` computes with it. Layouts are few and shared (most histograms of a metric have the same), so what is derived
from one, or from a pair, is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from setpoint.promql.from_telemetry import CUSTOM_SCHEMA, Span

__all__ = [
    "COUNT",
    "FIRST_BUCKET",
    "SUM",
    "ZERO",
    "Layout",
    "common_layout",
    "layout_of",
    "layout_of_spans",
    "mapped",
    "union_layout",
    "upper_bounds",
    "widened_threshold",
]

COUNT, SUM, ZERO, FIRST_BUCKET = range(4)
"""Where the numbers of a histogram stand; its buckets follow, the positive ones first."""

Indices = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

_LARGEST_KEPT = 1000
"""Buckets of a layout that is kept for others to share; larger ones are made anew each time."""

_LARGEST = np.finfo(np.float64).max


class Layout:
    """Which buckets there are. `positive` and `negative` int64[p], int64[m]: their indices, ascending.

    Bucket i of schema s ends at 2^(i * 2^-s); of schema -53 at `bounds[i]`, the last one at infinity. The zero bucket
    reaches `zero_threshold` to both sides.
    """

    __slots__ = ("bounds", "negative", "positive", "schema", "size", "zero_threshold")

    def __init__(
        self,
        schema: int,
        zero_threshold: float,
        positive: Indices,
        negative: Indices,
        bounds: tuple[float, ...] = (),
    ) -> None:
        self.schema = schema
        self.zero_threshold = zero_threshold
        self.positive = positive
        self.negative = negative
        self.bounds = bounds
        self.size = FIRST_BUCKET + len(positive) + len(negative)

    @property
    def family(self) -> tuple[int, float, tuple[float, ...]]:
        """What two layouts must share for a bucket's index to mean the same in both."""
        return self.schema, self.zero_threshold, self.bounds


@lru_cache(maxsize=1024)
def _kept(
    schema: int,
    zero_threshold: float,
    positive: tuple[int, ...],
    negative: tuple[int, ...],
    bounds: tuple[float, ...],
) -> Layout:
    return Layout(schema, zero_threshold, np.array(positive, np.int64), np.array(negative, np.int64), bounds)


def layout_of(
    schema: int,
    zero_threshold: float,
    positive: Iterable[int],
    negative: Iterable[int],
    bounds: tuple[float, ...] = (),
) -> Layout:
    """The layout of these buckets (ascending indices); equal ones are mostly the same object."""
    ups, downs = tuple(positive), tuple(negative)
    make = _kept if len(ups) + len(downs) + len(bounds) <= _LARGEST_KEPT else _kept.__wrapped__
    return make(schema, zero_threshold, ups, downs, bounds)


@lru_cache(maxsize=2048)
def _kept_of_spans(
    schema: int,
    zero_threshold: float,
    positive: tuple[Span, ...],
    negative: tuple[Span, ...],
    bounds: tuple[float, ...],
) -> Layout:
    return layout_of(schema, zero_threshold, _indices(positive), _indices(negative), bounds)


def layout_of_spans(
    schema: int,
    zero_threshold: float,
    positive: tuple[Span, ...],
    negative: tuple[Span, ...],
    bounds: tuple[float, ...] = (),
) -> Layout:
    """The layout of a stored histogram, whose spans are (gap, length)."""
    large = len(positive) + len(negative) + len(bounds) > _LARGEST_KEPT
    make = _kept_of_spans.__wrapped__ if large else _kept_of_spans
    return make(schema, zero_threshold, positive, negative, bounds)


def _indices(spans: Sequence[Span]) -> list[int]:
    indices: list[int] = []
    end = 0
    for offset, length in spans:
        indices.extend(range(end + offset, end + offset + length))
        end += offset + length
    return indices


def upper_bounds(layout: Layout, indices: Indices) -> Numbers:
    """Where the buckets `indices` of the positive side end, float64[k]; negative ones mirror it.

    The bucket of index i - 1 ends where that of i begins.
    """
    if layout.schema == CUSTOM_SCHEMA:
        ends = np.array((-np.inf, *layout.bounds, np.inf))
        return ends[np.clip(indices + 1, 0, len(ends) - 1)]
    with np.errstate(over="ignore", under="ignore"):
        if layout.schema < 0:
            exponents = np.clip(indices, -(2**20), 2**20) << -layout.schema
            ends = np.ldexp(1.0, np.clip(exponents, -3000, 3000))
            # The last bucket of finite numbers ends at the largest of them; infinities have a bucket of their own.
            return np.where(exponents == 1024, _LARGEST, ends)
        steps = 1 << layout.schema
        fraction, exponents = np.exp2((indices & (steps - 1)) / steps), indices >> layout.schema
        ends = np.ldexp(fraction, np.clip(exponents, -3000, 3000))
        return np.where((fraction == 1.0) & (exponents == 1024), _LARGEST, ends)


def widened_threshold(layout: Layout, numbers: Numbers, threshold: float) -> float:
    """The zero threshold, at least `threshold`, that cuts no populated bucket of a histogram."""
    if threshold <= layout.zero_threshold:
        return threshold
    split = FIRST_BUCKET + len(layout.positive)
    sides = ((layout.positive, numbers[FIRST_BUCKET:split]), (layout.negative, numbers[split:]))
    while True:
        grown = threshold
        for indices, counts in sides:
            ends = upper_bounds(layout, indices)
            cut = (counts != 0) & (upper_bounds(layout, indices - 1) < grown) & (ends > grown)
            if cut.any():
                grown = float(ends[cut].max())
        if grown == threshold:
            return threshold
        threshold = grown


def _shared_bounds(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    known = set(other)
    return tuple(bound for bound in one if bound in known)


def _moved(
    layout: Layout, indices: Indices, schema: int, threshold: float, bounds: tuple[float, ...]
) -> Indices:
    """The index of each bucket in another layout, and -2^62 for those that its zero bucket takes in."""
    if schema == CUSTOM_SCHEMA:
        if bounds == layout.bounds:
            return indices
        ends = np.append(layout.bounds, np.inf)[np.minimum(indices, len(layout.bounds))]
        return np.searchsorted(np.array(bounds), ends).astype(np.int64)
    moved = ((indices - 1) >> (layout.schema - schema)) + 1 if schema != layout.schema else indices
    if threshold > layout.zero_threshold:
        taken = upper_bounds(layout, indices - 1) < threshold
        moved = np.where(taken, _TAKEN, moved)
    return moved


_TAKEN = -(2**62)


def _common(one: Layout, other: Layout, threshold: float) -> Layout:
    schema = min(one.schema, other.schema)
    bounds = _shared_bounds(one.bounds, other.bounds)
    sides = []
    for mine, theirs in ((one.positive, other.positive), (one.negative, other.negative)):
        union = np.union1d(
            _moved(one, mine, schema, threshold, bounds), _moved(other, theirs, schema, threshold, bounds)
        )
        sides.append(union[union != _TAKEN].tolist())
    return layout_of(schema, threshold, sides[0], sides[1], bounds)


_kept_common = lru_cache(maxsize=1024)(_common)


def common_layout(one: Layout, other: Layout, threshold: float) -> Layout:
    """The finest layout into which both fit, with a zero bucket of `threshold`; both custom or neither."""
    if one is other and threshold == one.zero_threshold:
        return one
    make = _kept_common if max(one.size, other.size) <= _LARGEST_KEPT else _common
    return make(one, other, threshold)


def union_layout(layouts: Sequence[Layout]) -> Layout:
    """One layout with the buckets of all of them, which must be of one family."""
    if len(layouts) == 1:
        return layouts[0]
    positive = np.unique(np.concatenate([layout.positive for layout in layouts]))
    negative = np.unique(np.concatenate([layout.negative for layout in layouts]))
    schema, threshold, bounds = layouts[0].family
    return layout_of(schema, threshold, positive.tolist(), negative.tolist(), bounds)


def _columns(layout: Layout, target: Layout) -> Indices | None:
    """Per number of `layout` its place in `target`, or None when all stay where they are."""
    parts = [np.arange(FIRST_BUCKET)]
    first = FIRST_BUCKET
    for indices, there in ((layout.positive, target.positive), (layout.negative, target.negative)):
        moved = _moved(layout, indices, target.schema, target.zero_threshold, target.bounds)
        parts.append(np.where(moved == _TAKEN, ZERO, first + np.searchsorted(there, moved)))
        first += len(there)
    columns = np.concatenate(parts)
    same = layout.size == target.size and bool((columns == np.arange(target.size)).all())
    return None if same else columns


_kept_columns = lru_cache(maxsize=2048)(_columns)


def mapped(layout: Layout, numbers: Numbers, target: Layout) -> Numbers:
    """The numbers of a histogram of `layout` in `target`, which holds it; float64[size] or [k, size] of k ones."""
    if layout is target:
        return numbers
    make = _kept_columns if max(layout.size, target.size) <= _LARGEST_KEPT else _columns
    columns = make(layout, target)
    if columns is None:
        return numbers
    if numbers.ndim == 1:
        return np.bincount(columns, numbers, target.size).astype(np.float64, copy=False)
    out = np.zeros((len(numbers), target.size))
    if np.bincount(columns).max() == 1:
        out[:, columns] = numbers
    else:
        np.add.at(out.T, columns, numbers.T)
    return out

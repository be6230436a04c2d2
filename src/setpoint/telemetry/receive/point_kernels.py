# ruff: noqa: PLR0917, PLR1714, SIM109 - kernels take flat arrays, and numba's `in` builds a tuple
"""The compiled loops over the points of a scanned metrics request: how many series each has, their values, the zeros
at their beginnings, the sums of deltas, and all of it as rows of a `RefBatch`.

`decode_metrics` calls them in this order with the arrays that `metric_kernels` filled (METRIC, POINT). The series of
point i stand at `first[i]:first[i + 1]` of every array "by row": the cumulated buckets, the one of +Inf, count and sum
of a histogram (the sum only if the point has one); the native histogram, count and sum of an exponential one; count,
sum and quantiles of a summary; one of a number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled_lean
from setpoint.telemetry.receive.metric_kernels import (
    EXPONENTIAL,
    GAUGE,
    HAS_SUM,
    HISTOGRAM,
    NO_RECORDED_VALUE,
    SUM,
    SUMMARY,
)

__all__ = [
    "CUMULATIVE",
    "DELTA",
    "MEASURE",
    "derive",
    "emit",
    "exemplar_places",
    "layout",
    "lowest",
    "values",
]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Refs = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

MEASURE, CUMULATIVE, DELTA = 1, 2, 3
"""What a metric's values are: momentary, counted since a start, or counted since the point before. 0 is refused."""

STALE_BITS = np.uint64(0x7FF0000000000002)
_STEP_HIGH, _STEP_LOW = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_NS_PER_MS = np.uint64(1_000_000)


@compiled_lean
def _float(body: Bytes, at: int) -> Any:
    """The eight bytes at `at` as the float that they are."""
    word = np.uint64(0)
    for place in range(8):
        word |= np.uint64(body[at + place]) << np.uint64(8 * place)
    return np.uint64(word).view(np.float64)


@compiled_lean
def _count(body: Bytes, at: int) -> Any:
    """The eight bytes at `at` as the unsigned number that they are."""
    word = np.uint64(0)
    for place in range(8):
        word |= np.uint64(body[at + place]) << np.uint64(8 * place)
    return word


@compiled_lean
def _finite(body: Bytes, point: Any) -> Any:
    """How many buckets of a histogram have a finite bound; a bound of +Inf has no series of its own."""
    bounds = np.int64(point["bounds"])
    if bounds > 0 and _float(body, point["bounds_at"] + 8 * (bounds - 1)) == np.inf:
        return bounds - 1
    return bounds


@compiled_lean
def layout(body: Bytes, metrics: Any, points: Any, modes: npt.NDArray[np.int8], first: Ints) -> None:
    """Fill `first` int64[points + 1]. A point with a fault, or of a metric whose mode is 0, has no series."""
    row = 0
    for i in range(len(points)):
        first[i] = row
        point = points[i]
        if point["fault"] or not modes[point["metric"]]:
            continue
        kind = metrics[point["metric"]]["kind"]
        sums = 1 if point["has"] & HAS_SUM else 0
        if kind == HISTOGRAM:
            row += _finite(body, point) + 2 + sums
        elif kind == EXPONENTIAL:
            row += 2 + sums
        elif kind == SUMMARY:
            row += 2 + point["bounds"]
        else:
            row += 1
    first[len(points)] = row


@compiled_lean
def derive(points: Any, first: Ints, keys: Words) -> None:
    """Fill `keys` uint64[rows, 2]: the keys of a point's series, made of its own key and the series' number."""
    for i in range(len(points)):
        high, low = points[i]["high"], points[i]["low"]
        for row in range(first[i], first[i + 1]):
            step = np.uint64(row - first[i])
            keys[row, 0] = high + step * _STEP_HIGH
            keys[row, 1] = low ^ (step * _STEP_LOW)


@compiled_lean
def lowest(first: Ints, refs: Refs, found: Refs) -> None:
    """Fill `found` int32[points] with the smallest ref of each point's series, 0 where it has none."""
    for i in range(len(first) - 1):
        least = np.int32(0)
        for row in range(first[i], first[i + 1]):
            least = min(least, refs[row])
        found[i] = least


@compiled_lean
def _varint(body: Bytes, at: int) -> Any:
    """A varint that `metric_kernels` has read before, and the place behind it."""
    value, shift = np.uint64(0), np.uint64(0)
    while shift < np.uint64(64):
        byte = np.uint64(body[at])
        at += 1
        value |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            break
        shift += np.uint64(7)
    return value, at


@compiled_lean
def _skip(body: Bytes, at: int, wire: Any) -> Any:
    """The place behind a payload that `metric_kernels` has passed before."""
    if wire == np.uint64(1):
        return at + 8
    if wire == np.uint64(5):
        return at + 4
    length, behind = _varint(body, at)
    return behind + np.int64(length) if wire == np.uint64(2) else behind


@compiled_lean
def _quantile_values(body: Bytes, point: Any, row: int, end: int, out: Floats) -> None:
    """Values of a summary's quantiles into `out[row:end]`; one that is not sent is 0."""
    at = point["counts_at"]
    while row < end:
        tag, at = _varint(body, at)
        if tag != np.uint64(0x32):
            at = _skip(body, at, tag & np.uint64(7))
            continue
        length, at = _varint(body, at)
        behind = at + np.int64(length)
        out[row] = 0.0
        while at < behind:
            tag, at = _varint(body, at)
            if tag == np.uint64(0x11):
                out[row] = _float(body, at)
            at = _skip(body, at, tag & np.uint64(7))
        row += 1


@compiled_lean
def _histogram_values(body: Bytes, point: Any, row: int, out: Floats) -> int:
    """Cumulated buckets and +Inf of a histogram from `out[row]` on; the row behind them."""
    total, carry = np.uint64(0), 0.0
    for bucket in range(_finite(body, point)):
        count = _count(body, point["counts_at"] + 8 * bucket)
        total += count
        if total < count:  # beyond 64 bits no count is honest; this only keeps it from wrapping
            carry += 2.0**64
        out[row] = carry + np.float64(total)
        row += 1
    out[row] = np.float64(point["count"])
    return row + 1


@compiled_lean
def values(body: Bytes, metrics: Any, points: Any, first: Ints, out: Floats) -> None:
    """Fill `out` float64[rows] with the values as sent, buckets cumulated; a native histogram's is 0."""
    bits = out.view(np.uint64)
    for i in range(len(points)):
        row, end = first[i], first[i + 1]
        if row == end:
            continue
        point = points[i]
        if point["flags"] & NO_RECORDED_VALUE:
            for place in range(row, end):
                bits[place] = STALE_BITS
            continue
        kind = metrics[point["metric"]]["kind"]
        if kind == GAUGE or kind == SUM:
            out[row] = point["value"]
            continue
        if kind == HISTOGRAM:
            row = _histogram_values(body, point, row, out)
        elif kind == EXPONENTIAL:
            out[row] = 0.0
            row += 1
        out[row] = np.float64(point["count"])
        if row + 1 < end:
            out[row + 1] = point["value"]
        if kind == SUMMARY:
            _quantile_values(body, point, row + 2, end, out)


@compiled_lean
def emit(
    metrics: Any,
    points: Any,
    taken: npt.NDArray[np.uint8],
    first: Ints,
    refs: Refs,
    sent: Floats,
    zero_ms: Ints,
    newest_ms: Ints,
    out_refs: Refs,
    out_ms: Ints,
    out_values: Floats,
) -> int:
    """Write the rows of a batch and answer how many.

    `taken` uint8[points] chooses the points; `zero_ms` int64[rows] is where a series needs a zero, -1 for none.
    `newest_ms` int64[resources] becomes the newest of each resource. The three columns have room for two rows of each
    series. The first series of an exponential histogram is no float and gets no row.
    """
    place = 0
    for i in range(len(points)):
        if not taken[i]:
            continue
        point = points[i]
        metric = metrics[point["metric"]]
        at_ms = np.int64(point["time_ns"] // _NS_PER_MS)
        newest_ms[metric["resource"]] = max(newest_ms[metric["resource"]], at_ms)
        row = first[i]
        if metric["kind"] == EXPONENTIAL:
            row += 1
        while row < first[i + 1]:
            if zero_ms[row] >= 0:
                out_refs[place], out_ms[place], out_values[place] = refs[row], zero_ms[row], 0.0
                place += 1
            out_refs[place], out_ms[place], out_values[place] = refs[row], at_ms, sent[row]
            place += 1
            row += 1
    return place


@compiled_lean
def exemplar_places(
    body: Bytes, metrics: Any, points: Any, taken: npt.NDArray[np.uint8], places: Ints
) -> int:
    """Where the exemplars of the chosen points are: rows (point, from, to) of `places` int64[n, 3] up to the answer."""
    found = 0
    for i in range(len(points)):
        if not taken[i] or points[i]["exemplars"] == 0:
            continue
        kind = metrics[points[i]["metric"]]["kind"]
        wanted = np.uint64(0x2A if kind == GAUGE or kind == SUM else 0x42 if kind == HISTOGRAM else 0x5A)
        at = points[i]["start"]
        while at < points[i]["end"] and found < len(places):
            tag, at = _varint(body, at)
            behind = _skip(body, at, tag & np.uint64(7))
            if tag == wanted:
                _, begin = _varint(body, at)
                places[found, 0], places[found, 1], places[found, 2] = i, begin, behind
                found += 1
            at = behind
    return found

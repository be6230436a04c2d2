# ruff: noqa: PLR0917 - kernels take flat arrays, and numba has no keyword arguments to speak of
"""The compiled part of `series_memory` that adds up deltas, so that they are stored as cumulative series.

What was added up stands in an array by ref (SUMMED), with the fingerprint of its series, because a ref may be given to
another series. A request first only writes what would be next (`add_up`); `settle` makes it so when the request is
stored, or forgets it. Until then the series is pending and other requests wait, so that every sum is of exactly the
deltas that are stored.

The rules are those of OpenTelemetry's data model ("Sums: Delta-to-Cumulative") as its collector's deltatocumulative
processor applies them: the first delta begins the sum, a gap in time loses nothing of it, what is not later than the
last is not added, nor what began before the sum did.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled_lean
from setpoint.telemetry.receive.metric_kernels import NO_RECORDED_VALUE, SUM

__all__ = [
    "ADDED",
    "OLDER",
    "PAST",
    "REPEATED",
    "SUMMED",
    "add_up",
    "adopt",
    "pending",
    "settle",
    "strangers",
]

Ints = npt.NDArray[np.int64]
Refs = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.uint8]

SUMMED = np.dtype(
    [
        ("owner", np.uint64),  # the fingerprint of the series
        ("start_ns", np.uint64),  # where the sum began, 0 if that is unknown
        ("last_ns", np.uint64),  # the end of the last delta in it
        ("total", np.float64),
        ("pending", np.int64),  # the number of the request that would make the following so, or 0
        ("next_start_ns", np.uint64),
        ("next_last_ns", np.uint64),
        ("next_total", np.float64),
    ]
)
"""The sum of a series' deltas."""

ADDED, REPEATED, PAST, OLDER = range(4)
"""What becomes of a delta: added; the last one again; not later than the last; begun before the sum."""

_NS_PER_MS = np.uint64(1_000_000)


@compiled_lean
def pending(order: Ints, first: Ints, refs: Refs, summed: Any) -> Any:
    """The number of a request that has not settled one of the series yet, or 0."""
    for i in order:
        for row in range(first[i], first[i + 1]):
            if summed[refs[row]]["pending"]:
                return summed[refs[row]]["pending"]
    return 0


@compiled_lean
def strangers(order: Ints, first: Ints, refs: Refs, owners: Words, summed: Any, found: Flags) -> None:
    """Set `found` uint8[rows] to 1 at the series of the points `order` of which nothing is known."""
    for i in order:
        for row in range(first[i], first[i + 1]):
            if summed[refs[row]]["owner"] != owners[row]:
                found[row] = 1


@compiled_lean
def adopt(refs: Refs, owners: Words, last_ms: Ints, totals: Floats, summed: Any) -> None:
    """Go on from samples that are stored: their times and values, of series of which nothing else is known."""
    for i in range(len(refs)):
        one = summed[refs[i]]
        if one["owner"] != owners[i] and one["pending"] == 0:
            one["owner"], one["start_ns"], one["total"] = owners[i], 0, totals[i]
            # The whole millisecond: the delta that this sample ends with may come once more.
            one["last_ns"] = np.uint64(last_ms[i] + 1) * _NS_PER_MS - np.uint64(1)


@compiled_lean
def _verdict(point: Any, begin: int, end: int, refs: Refs, owners: Words, request: int, summed: Any) -> int:
    """What becomes of one delta, by all of its series together."""
    verdict = ADDED
    for row in range(begin, end):
        one = summed[refs[row]]
        if one["pending"] == request:
            start_ns, last_ns = one["next_start_ns"], one["next_last_ns"]
        elif one["owner"] == owners[row]:
            start_ns, last_ns = one["start_ns"], one["last_ns"]
        else:
            continue
        if point["time_ns"] <= last_ns:
            if point["time_ns"] // _NS_PER_MS != last_ns // _NS_PER_MS:
                return PAST
            verdict = REPEATED
        elif point["start_ns"] != np.uint64(0) and point["start_ns"] < start_ns:
            return OLDER
    return verdict


@compiled_lean
def _begin_ms(point: Any, longest_ms: int, shift_ms: Any) -> Any:
    """Where the zero of a sum stands whose first delta is this point."""
    at_ms = np.int64(point["time_ns"] // _NS_PER_MS)
    if point["start_ns"] == np.uint64(0) or point["start_ns"] >= point["time_ns"]:
        return at_ms - 1
    start_ms = np.int64(point["start_ns"] // _NS_PER_MS) + shift_ms
    return min(max(start_ms, at_ms - longest_ms), at_ms - 1)


@compiled_lean
def add_up(
    order: Ints,
    metrics: Any,
    points: Any,
    first: Ints,
    refs: Refs,
    owners: Words,
    stored: Flags,
    request: int,
    longest_ms: int,
    summed: Any,
    values: Floats,
    zero_ms: Ints,
    fresh: Flags,
    verdicts: npt.NDArray[np.int8],
) -> None:
    """Turn the deltas of the points `order` int64[k] (ascending in time) into sums, in `values` float64[rows].

    `owners` uint64[rows] are fingerprints, `stored` uint8[rows] is 1 where a series has samples in the store already.
    `verdicts` int8[points] says what became of each; only of ADDED ones are the values sums. `fresh` uint8[rows]
    becomes 1 where a sum begins; it needs a zero at `zero_ms` int64[rows] (if the series only grows), at most
    `longest_ms` before the point. `request` is the number under which `settle` is told.
    """
    for i in order:
        point = points[i]
        begin, end = first[i], first[i + 1]
        verdicts[i] = _verdict(point, begin, end, refs, owners, request, summed)
        if verdicts[i] != ADDED or point["flags"] & NO_RECORDED_VALUE:
            continue
        metric = metrics[point["metric"]]
        grows = metric["kind"] != SUM or metric["monotonic"] == 1
        for row in range(begin, end):
            one = summed[refs[row]]
            total, start_ns = 0.0, point["start_ns"]
            if one["pending"] == request:
                total, start_ns = one["next_total"], one["next_start_ns"]
            elif one["owner"] == owners[row]:
                total, start_ns = one["total"], one["start_ns"]
            else:
                fresh[row] = 1
                if grows:  # one millisecond later where a sample of an earlier sum may stand
                    zero_ms[row] = _begin_ms(point, longest_ms, np.int64(stored[row]))
            values[row] += total
            # A value that is no number is shown as it is, and must not be all that is shown from then on.
            one["next_total"] = values[row] if np.isfinite(values[row]) else total
            one["next_start_ns"], one["next_last_ns"] = start_ns, point["time_ns"]
            one["pending"] = request


@compiled_lean
def settle(refs: Refs, owners: Words, request: int, stored: bool, summed: Any) -> None:
    """The request is stored, and its sums are the sums; or it is not, and nothing happened."""
    for i in range(len(refs)):
        one = summed[refs[i]]
        if one["pending"] != request:
            continue
        one["pending"] = 0
        if stored:
            one["owner"], one["start_ns"] = owners[i], one["next_start_ns"]
            one["last_ns"], one["total"] = one["next_last_ns"], one["next_total"]

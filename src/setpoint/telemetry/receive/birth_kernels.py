# ruff: noqa: PLR0912, PLR0917 - kernels take flat arrays, and numba has no keyword arguments to speak of
"""The compiled part of `series_memory` that decides which cumulative series need a zero, and where.

What is remembered stands in arrays by ref, with the fingerprint of the series it is remembered of, because a ref may
be given to another series. Metrics are watched in a table of their own, by the keys of `metric_kernels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled_lean
from setpoint.telemetry.receive.metric_kernels import NO_RECORDED_VALUE, SUM, SUMMARY
from setpoint.telemetry.receive.point_kernels import CUMULATIVE

__all__ = ["BIRTH", "LATE", "SEEN", "WATCH", "births", "forget", "note", "remember"]

Ints = npt.NDArray[np.int64]
Refs = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]

BIRTH = np.dtype([("owner", np.uint64), ("start_ns", np.uint64), ("last_ms", np.int64)])
"""What is remembered of a cumulative series: its fingerprint, latest start, and last sample."""

WATCH = np.dtype(
    [
        ("high", np.uint64),
        ("low", np.uint64),
        ("first_ms", np.int64),
        ("before_ms", np.int64),
        ("last_ms", np.int64),
        ("spare", np.int64),
    ]
)
"""One metric of one resource: when it was first sent, and the last two times."""

SEEN, LATE = 1, 2
"""What a point was found to be: of a cumulative series; and a first one whose start is long past, with samples of its
metric before it.
"""

_NS_PER_MS = np.uint64(1_000_000)
_WAYS = 4
_WATCHED_MS = 300_000
_USUAL_TIMES = 10.0


@compiled_lean
def _slot(watch: Any, high: Any, low: Any) -> Any:
    """The place of a metric in `watch`, or the place that it would take, and whether it is there."""
    begin = np.int64(high % np.uint64(len(watch) // _WAYS)) * _WAYS
    oldest = begin
    for way in range(_WAYS):
        place = begin + way
        if watch[place]["high"] == high and watch[place]["low"] == low and watch[place]["last_ms"] > 0:
            return place, True
        if watch[place]["last_ms"] < watch[oldest]["last_ms"]:
            oldest = place
    return oldest, False


@compiled_lean
def _before_ms(watch: Any, metric: Any, oldest_ms: Any) -> Any:
    """When this metric was sent before `oldest_ms`, if it was watched for long enough until then, else -1."""
    place, known = _slot(watch, metric["high"], metric["low"])
    if not known:
        return np.int64(-1)
    seen = watch[place]
    before_ms = seen["last_ms"] if seen["last_ms"] < oldest_ms else seen["before_ms"]
    if before_ms >= oldest_ms or before_ms - seen["first_ms"] < _WATCHED_MS:
        return np.int64(-1)
    return before_ms


@compiled_lean
def _event_count(metric: Any, point: Any) -> Any:
    return point["value"] if metric["kind"] == SUM else np.float64(point["count"])


@compiled_lean
def _zero_ms(point: Any, known: Any, owner: Any, oldest_ms: Any) -> Any:
    """Where the series of this point needs a zero: -1 nowhere, -2 where its start is too long ago."""
    start_ns = point["start_ns"]
    if start_ns == np.uint64(0) or start_ns >= point["time_ns"]:
        return np.int64(-1)
    start_ms = np.int64(start_ns // _NS_PER_MS)
    zero_ms = min(start_ms, np.int64(point["time_ns"] // _NS_PER_MS) - 1)
    if known["owner"] == owner and (start_ns <= known["start_ns"] or zero_ms <= known["last_ms"]):
        return np.int64(-1)
    return zero_ms if start_ms >= oldest_ms else np.int64(-2)


@compiled_lean
def births(
    metrics: Any,
    points: Any,
    modes: npt.NDArray[np.int8],
    taken: npt.NDArray[np.uint8],
    first: Ints,
    refs: Refs,
    owners: Words,
    memory: Any,
    latest: Refs,
    watch: Any,
    oldest_ms: int,
    found: npt.NDArray[np.uint8],
    late_ms: Ints,
    usual: Floats,
    zero_ms: Ints,
) -> None:
    """Find where cumulative series need zeros: `zero_ms` int64[rows], -1 before.

    `owners` uint64[points]: fingerprints of the points' first series. `latest` int32[refs] is room. Starts before
    `oldest_ms` get no zero, but `found` uint8[points] says LATE where `late_ms` int64[metrics] is a good place for one
    if the series is new; SEEN is every other point of a cumulative series. `usual` float64[metrics] (zeros) becomes the
    events a second that the known series of each metric have counted.
    """
    late_ms[:] = 2**62
    for i in range(len(points)):
        if taken[i] and modes[points[i]["metric"]] == CUMULATIVE:
            place = points[i]["metric"]
            late_ms[place] = min(late_ms[place], np.int64(points[i]["time_ns"] // _NS_PER_MS))
    for place in range(len(metrics)):
        if late_ms[place] < 2**62 and metrics[place]["kind"] != SUMMARY:
            late_ms[place] = _before_ms(watch, metrics[place], late_ms[place])
        else:
            late_ms[place] = -1
    for i in range(len(points)):
        point = points[i]
        place = point["metric"]
        if not taken[i] or modes[place] != CUMULATIVE or point["flags"] & NO_RECORDED_VALUE:
            continue
        ref = refs[first[i]]
        found[i] = SEEN
        before = np.int64(latest[ref])
        # What `latest` says of an earlier request does not fit this one, or names a point of this series all the same.
        again = 0 <= before < i and found[before] != 0 and refs[first[before]] == ref
        latest[ref] = i
        if again and points[before]["time_ns"] > points[before]["start_ns"] == point["start_ns"]:
            continue
        known = memory[ref]
        if known["owner"] == owners[i] and point["start_ns"] < point["time_ns"]:
            lived_s = np.float64(point["time_ns"] - point["start_ns"]) / 1e9
            usual[place] += _event_count(metrics[place], point) / lived_s
        begin_ms = _zero_ms(point, known, owners[i], oldest_ms)
        if begin_ms == -2 and known["owner"] != owners[i] and not again:
            found[i] = LATE if late_ms[place] >= np.int64(point["start_ns"] // _NS_PER_MS) else SEEN
        if begin_ms >= 0:
            end = first[i] + 2 if metrics[place]["kind"] == SUMMARY else first[i + 1]
            zero_ms[first[i] : end] = begin_ms
    for i in range(len(points)):
        if found[i] == LATE:
            point = points[i]
            place = point["metric"]
            passed_s = np.float64(np.int64(point["time_ns"] // _NS_PER_MS) - late_ms[place]) / 1e3
            if not _event_count(metrics[place], point) <= _USUAL_TIMES * usual[place] * passed_s:
                found[i] = SEEN


@compiled_lean
def remember(refs: Refs, owners: Words, starts_ns: Words, times_ns: Words, memory: Any) -> None:
    """Keep starts and times of points that are stored; a start that is not before its point says nothing."""
    for i in range(len(refs)):
        known = memory[refs[i]]
        start_ns = starts_ns[i] if starts_ns[i] < times_ns[i] else np.uint64(0)
        at_ms = np.int64(times_ns[i] // _NS_PER_MS)
        if known["owner"] == owners[i]:
            start_ns, at_ms = max(start_ns, known["start_ns"]), max(at_ms, known["last_ms"])
        known["owner"], known["start_ns"], known["last_ms"] = owners[i], start_ns, at_ms


@compiled_lean
def note(keys: Words, times_ms: Ints, watch: Any) -> None:
    """Keep that the metrics `keys` uint64[n, 2] were sent, with samples up to `times_ms`."""
    for i in range(len(keys)):
        place, known = _slot(watch, keys[i, 0], keys[i, 1])
        seen = watch[place]
        if not known:
            seen["high"], seen["low"] = keys[i, 0], keys[i, 1]
            seen["first_ms"] = seen["before_ms"] = seen["last_ms"] = times_ms[i]
        elif times_ms[i] > seen["last_ms"]:
            seen["before_ms"], seen["last_ms"] = seen["last_ms"], times_ms[i]


@compiled_lean
def forget(keys: Words, watch: Any) -> None:
    """Watch the metrics `keys` uint64[n, 2] anew: some of their points were refused, so absence says nothing."""
    for i in range(len(keys)):
        place, known = _slot(watch, keys[i, 0], keys[i, 1])
        if known:
            watch[place]["last_ms"] = 0

# ruff: noqa: PLR0911, PLR0912, PLR0915, PLR0917, PLR1714, SIM109 - a kernel is flat, and numba's `in` builds a tuple
"""The compiled scan of an `ExportMetricsServiceRequest`: where each data point is, what it measured, and a key for
what it is a point of.

`metric_scan` calls `measure`, which counts, and then `scan`, which fills arrays of exactly that size. No string is
decoded and no message made: a point's key is a keyed hash over the bytes of its resource, scope, metric and
attributes, and only keys that the series table has not seen are decoded, in Python.

A kernel stops at what a serializer does not write although protobuf allows it (a field that may come once and comes
twice, a group, a repeated number that is not packed) and at what is no protobuf at all; `metric_scan` then lets the
protobuf library decide and write it anew. Every read is within `body` by an explicit comparison.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled_lean
from setpoint.telemetry.receive.wire_kernels import field, hashed, varint, word_at

__all__ = [
    "BAD_BUCKETS",
    "EXCESS",
    "EXPONENTIAL",
    "GAUGE",
    "HAS_SUM",
    "HAS_VALUE",
    "HISTOGRAM",
    "METRIC",
    "NO_DATA",
    "NO_RECORDED_VALUE",
    "NO_VALUE",
    "OUT_OF_TIME",
    "POINT",
    "SUM",
    "SUMMARY",
    "TOO_MANY_ATTRIBUTES",
    "TOO_MANY_BUCKETS",
    "measure",
    "scan",
]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

NO_DATA, GAUGE, SUM, HISTOGRAM, EXPONENTIAL, SUMMARY = range(6)
"""Kinds of a metric, by the field of its data."""

OUT_OF_TIME, TOO_MANY_ATTRIBUTES, BAD_BUCKETS, TOO_MANY_BUCKETS, NO_VALUE = range(1, 6)
"""Faults of a point, in the order in which they are looked for."""

HAS_VALUE, HAS_SUM, _HAS_START, _HAS_TIME, _HAS_COUNT, _HAS_COUNTS, _HAS_BOUNDS, _HAS_FLAGS = (
    1 << bit for bit in range(8)
)
NO_RECORDED_VALUE = 1

METRIC = np.dtype(
    [
        ("high", np.uint64),  # key over resource, scope, everything of the metric but its data, and its kind
        ("low", np.uint64),
        ("start", np.int64),  # the Metric message is body[start:end], its data field (with the tag) within it
        ("end", np.int64),  # body[data_start:data_end]
        ("data_start", np.int64),
        ("data_end", np.int64),
        ("resource", np.int32),
        ("scope", np.int32),
        ("first", np.int32),  # its points are points[first:first + points]
        ("points", np.int32),
        ("kind", np.int32),
        ("temporality", np.int32),
        ("monotonic", np.int32),
        ("place", np.int32),
    ]
)
"""One metric of a request."""

POINT = np.dtype(
    [
        ("high", np.uint64),  # key over the metric's key, the attributes, and the bounds or quantiles
        ("low", np.uint64),
        ("time_ns", np.uint64),
        ("start_ns", np.uint64),
        ("count", np.uint64),
        ("value", np.float64),  # of a number; the sum of all else
        ("start", np.int64),  # the point's message is body[start:end]
        ("end", np.int64),
        (
            "counts_at",
            np.int64,
        ),  # body[counts_at:counts_at + 8 * counts]: bucket counts, and likewise bounds;
        ("bounds_at", np.int64),  # a summary's quantiles begin at counts_at
        ("metric", np.int32),
        ("counts", np.int32),
        ("bounds", np.int32),  # of a summary: how many quantiles
        ("attributes", np.int32),
        ("flags", np.uint32),
        ("exemplars", np.int32),
        ("has", np.int32),
        ("fault", np.int32),
    ]
)
"""One data point of a request."""

ODD, EXCESS = 1, 2
_MANY = 2**31 - 1


@compiled_lean
def _kind(tag: int) -> int:
    """The kind of metric whose data is the field `tag` of a Metric, or NO_DATA."""
    if tag == 0x2A:
        return GAUGE
    if tag == 0x3A:
        return SUM
    if tag == 0x4A:
        return HISTOGRAM
    if tag == 0x52:
        return EXPONENTIAL
    return SUMMARY if tag == 0x5A else NO_DATA


@compiled_lean
def _measure_metric(body: Bytes, at: int, end: int, sizes: Ints) -> int:
    while at < end:
        tag, begin, at = field(body, at, end)
        if at < 0:
            return ODD
        if _kind(tag) == NO_DATA:
            continue
        inner = begin
        while inner < at:
            tag, _, inner = field(body, inner, at)
            if inner < 0:
                return ODD
            if tag == 0x0A:
                sizes[3] += 1
    return 0


@compiled_lean
def measure(body: Bytes, containers: int, items: int, sizes: Ints) -> int:
    """Count resources, scopes, metrics and points of a request into `sizes` int64[4], which is zeros.

    Answers 0, ODD, or EXCESS when there are more than `containers` resources, scopes and metrics together, or
    more than `items` points.
    """
    at, end, status = 0, len(body), 0
    while at < end and status == 0:
        tag, scope_at, at = field(body, at, end)
        if at < 0:
            status = ODD
            break
        if tag != 0x0A:
            continue
        sizes[0] += 1
        while scope_at < at and status == 0:
            tag, metric_at, scope_at = field(body, scope_at, at)
            if scope_at < 0:
                status = ODD
                break
            if tag != 0x12:
                continue
            sizes[1] += 1
            while metric_at < scope_at and status == 0:
                tag, begin, metric_at = field(body, metric_at, scope_at)
                if metric_at < 0:
                    status = ODD
                    break
                if tag == 0x12:
                    sizes[2] += 1
                    status = _measure_metric(body, begin, metric_at, sizes)
                if sizes[0] + sizes[1] + sizes[2] > containers or sizes[3] > items:
                    status = EXCESS
        if sizes[0] + sizes[1] + sizes[2] > containers or sizes[3] > items:
            status = EXCESS
    return status


@compiled_lean
def _quantiles(body: Bytes, point: Any, high: Any, low: Any, secret: Words) -> Any:
    """The key of a summary over its quantiles; the place of (high, low) is kept when one of them is odd."""
    at = point["counts_at"]
    for _ in range(point["bounds"]):
        tag, begin, at = field(body, at, point["end"])
        while tag != 0x32:  # attributes may stand between
            tag, begin, at = field(body, at, point["end"])
        found = -1
        inner = begin
        while inner < at:
            tag, place, inner = field(body, inner, at)
            if inner < 0:
                return high, low, ODD
            if tag == 0x09:
                found = place
        high, low = hashed(body, max(found, 0), found + 8 if found >= 0 else 0, high, low, secret)
    return high, low, 0


@compiled_lean
def _number_field(body: Bytes, tag: int, begin: int, point: Any) -> int:
    """Take a field of a NumberDataPoint; the bit of what it was."""
    if tag == 0x21:
        point["value"] = np.uint64(word_at(body, begin)).view(np.float64)
        return HAS_VALUE
    if tag == 0x31:
        point["value"] = np.float64(np.int64(word_at(body, begin)))
        return HAS_VALUE
    return 0


@compiled_lean
def _histogram_field(body: Bytes, tag: int, begin: int, behind: int, kind: int, point: Any) -> int:
    """Take a field of a point with count and sum; the bit of what it was, -1 for what is odd."""
    if tag == 0x21:
        point["count"] = word_at(body, begin)
        return _HAS_COUNT
    if tag == 0x29:
        point["value"] = np.uint64(word_at(body, begin)).view(np.float64)
        return HAS_SUM
    if kind != HISTOGRAM:
        if kind == SUMMARY and tag == 0x32:
            if point["bounds"] == 0:
                point["counts_at"] = begin  # set to the tag's place by the caller
            point["bounds"] += 1
        return 0
    if tag == 0x31 or tag == 0x39:
        return -1
    if tag == 0x32:
        point["counts_at"], point["counts"] = begin, (behind - begin) >> 3
        return _HAS_COUNTS if (behind - begin) & 7 == 0 else -1
    if tag == 0x3A:
        point["bounds_at"], point["bounds"] = begin, (behind - begin) >> 3
        return _HAS_BOUNDS if (behind - begin) & 7 == 0 else -1
    return 0


@compiled_lean
def _fault(point: Any, kind: int, limits: Words) -> int:
    """What is wrong with a point, or 0; `limits` are oldest and newest nanosecond, most attributes, most buckets."""
    if point["time_ns"] < limits[0] or point["time_ns"] > limits[1]:
        return OUT_OF_TIME
    if np.uint64(point["attributes"]) > limits[2]:
        return TOO_MANY_ATTRIBUTES
    if kind == HISTOGRAM and point["counts"] > 0 and point["counts"] != point["bounds"] + 1:
        return BAD_BUCKETS
    if np.uint64(point["bounds"]) > limits[3]:
        return TOO_MANY_BUCKETS
    is_number = kind == GAUGE or kind == SUM
    if is_number and not point["has"] & HAS_VALUE and not point["flags"] & NO_RECORDED_VALUE:
        return NO_VALUE
    return 0


@compiled_lean
def _point(body: Bytes, at: int, end: int, metric: Any, point: Any, limits: Words, secret: Words) -> int:
    """Fill in one point of `metric`, whose message is `body[at:end]`; 0 or ODD."""
    kind = metric["kind"]
    is_number = kind == GAUGE or kind == SUM
    attribute_tag = 0x3A if is_number or kind == SUMMARY else 0x4A if kind == HISTOGRAM else 0x0A
    flags_tag = 0x40 if is_number or kind == SUMMARY else 0x50
    exemplar_tag = 0x2A if is_number else 0x42 if kind == HISTOGRAM else 0x5A if kind == EXPONENTIAL else 0
    point["start"], point["end"] = at, end
    high, low = metric["high"], metric["low"]
    run_at = run_end = at
    has = 0
    while at < end:
        here = at
        tag, begin, at = field(body, at, end)
        if at < 0:
            return ODD
        bit = 0
        if tag == attribute_tag:
            if here != run_end:  # the first, or one that stands apart from those before
                if point["attributes"] > 0:
                    high, low = hashed(body, run_at, run_end, high, low, secret)
                run_at = here
            run_end = at
            point["attributes"] += 1
        elif tag == 0x11:
            point["start_ns"], bit = word_at(body, begin), _HAS_START
        elif tag == 0x19:
            point["time_ns"], bit = word_at(body, begin), _HAS_TIME
        elif tag == flags_tag:
            flags, _ = varint(body, begin, at)
            point["flags"], bit = np.uint32(flags & np.uint64(0xFFFFFFFF)), _HAS_FLAGS
        elif tag == exemplar_tag:
            point["exemplars"] += 1
        elif is_number:
            bit = _number_field(body, tag, begin, point)
        else:
            bit = _histogram_field(body, tag, begin, at, kind, point)
            if kind == SUMMARY and tag == 0x32 and point["bounds"] == 1:
                point["counts_at"] = here
        if bit < 0 or has & bit:
            return ODD
        has |= bit
    point["has"] = has
    if kind == HISTOGRAM and point["counts"] == 0:
        point["bounds"] = 0  # bounds say nothing without counts
    high, low = hashed(body, run_at, run_end, high, low, secret)
    odd = 0
    if kind == HISTOGRAM:
        bounds_at = point["bounds_at"]
        high, low = hashed(body, bounds_at, bounds_at + 8 * point["bounds"], high, low, secret)
    elif kind == SUMMARY:
        high, low, odd = _quantiles(body, point, high, low, secret)
    point["high"], point["low"] = high, low
    point["fault"] = _fault(point, kind, limits)
    return odd


@compiled_lean
def _metric(
    body: Bytes,
    at: int,
    end: int,
    high: Any,
    low: Any,
    metric: Any,
    points: Any,
    limits: Words,
    secret: Words,
) -> int:
    """Fill in one metric whose message is `body[at:end]`, in the scope of the key (high, low), and its points."""
    metric["start"], metric["end"] = at, end
    metric["data_start"] = metric["data_end"] = end
    data_at = data_end = end
    while at < end:
        here = at
        tag, begin, at = field(body, at, end)
        if at < 0:
            return ODD
        kind = _kind(tag)
        if kind != NO_DATA:
            if metric["kind"] != NO_DATA:
                return ODD
            metric["kind"] = kind
            metric["data_start"], metric["data_end"] = here, at
            data_at, data_end = begin, at
    at = data_at
    while at < data_end:
        tag, begin, at = field(body, at, data_end)
        if at < 0:
            return ODD
        if tag == 0x10 and metric["kind"] != GAUGE and metric["kind"] != SUMMARY:
            value, _ = varint(body, begin, at)
            metric["temporality"] = np.int32(min(value & np.uint64(0xFFFFFFFF), np.uint64(_MANY)))
        elif tag == 0x18 and metric["kind"] == SUM:
            value, _ = varint(body, begin, at)
            metric["monotonic"] = 1 if value else 0
    high, low = hashed(body, metric["start"], metric["data_start"], high, low, secret)
    high, low = hashed(body, metric["data_end"], end, high, low, secret)
    high ^= np.uint64(metric["kind"] + 8 * metric["monotonic"])
    metric["high"], metric["low"] = hashed(body, 0, 0, high, low, secret)
    at = data_at
    place = metric["first"]
    while at < data_end:
        tag, begin, at = field(body, at, data_end)
        if tag == 0x0A:
            point = points[place]
            point["metric"] = metric["place"]
            if _point(body, begin, at, metric, point, limits, secret) != 0:
                return ODD
            place += 1
    metric["points"] = place - metric["first"]
    return 0


@compiled_lean
def _header(body: Bytes, at: int, end: int, place: Any) -> int:
    """Find the fields of a ResourceMetrics or ScopeMetrics that come once: `place` int64[4] takes the bytes of the
    resource or scope from and to, and those of the schema's address.
    """
    place[:] = at
    times = 0
    while at < end:
        tag, begin, at = field(body, at, end)
        if at < 0:
            return ODD
        if tag == 0x0A:
            place[0], place[1] = begin, at
            times += 1
        elif tag == 0x1A:
            place[2], place[3] = begin, at
    return ODD if times > 1 else 0


@compiled_lean
def scan(
    body: Bytes,
    seed: Words,
    limits: Words,
    resources: Ints,
    resource_keys: Words,
    scopes: Ints,
    metrics: Any,
    points: Any,
) -> int:
    """Fill in the arrays of a request that `measure` has counted: 0, or ODD.

    `seed` uint64[8] is secret: a key and the six words of `_hash`. `limits` uint64[4] as `_fault` takes them.
    `resources` and `scopes` int64[n, 4] take the places that `_header` finds, `resource_keys` uint64[n, 2]. `metrics`
    (METRIC) and `points` (POINT) are zeros.
    """
    secret = seed[2:]
    resource = scope = metric = point = -1
    point = 0
    at, end = 0, len(body)
    while at < end:
        tag, scope_at, at = field(body, at, end)
        if tag != 0x0A:
            continue
        resource += 1
        place = resources[resource]
        if _header(body, scope_at, at, place) != 0:
            return ODD
        high, low = hashed(body, place[0], place[1], seed[0], seed[1], secret)
        high, low = hashed(body, place[2], place[3], high, low, secret)
        resource_keys[resource, 0], resource_keys[resource, 1] = high, low
        while scope_at < at:
            tag, metric_at, scope_at = field(body, scope_at, at)
            if tag != 0x12:
                continue
            scope += 1
            place = scopes[scope]
            if _header(body, metric_at, scope_at, place) != 0:
                return ODD
            within_high, within_low = hashed(body, place[0], place[1], high, low, secret)
            within_high, within_low = hashed(body, place[2], place[3], within_high, within_low, secret)
            while metric_at < scope_at:
                tag, begin, metric_at = field(body, metric_at, scope_at)
                if tag != 0x12:
                    continue
                metric += 1
                one = metrics[metric]
                one["resource"], one["scope"], one["first"], one["place"] = resource, scope, point, metric
                if _metric(body, begin, metric_at, within_high, within_low, one, points, limits, secret) != 0:
                    return ODD
                point += one["points"]
    return 0

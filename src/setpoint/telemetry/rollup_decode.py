# ruff: noqa: PLR0917 - kernels take flat arrays
"""The compiled reading side of `rollup_codec`: bits back into buckets.

`rollup_codec.decode` is its only caller. The bytes may come from a damaged disk, so every length is checked
against the end of its chunk before a bit is read; a function that finds something wrong answers a negative
bit position. It mirrors `rollup_encode` step by step, the running predictions included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled

__all__ = ["count_all", "decode_all"]

_VERSION = 1
_DECIMAL, _FLOAT, _RAW = range(3)
_BLOCK = 32
_UNARY_MAX = 16
_POWERS = 10.0 ** np.arange(16)
_LEVELS_BITS = 7
_MANTISSA_CUT = 42
_HEADER_BITS = 15


@compiled
def _get(source: Any, at: Any, width: Any) -> Any:
    """`width` (0 to 64) bits from bit `at` on. The caller has checked that they are there."""
    value = np.uint64(0)
    done = 0
    while done < width:
        inside = at & 7
        take = min(8 - inside, width - done)
        part = (np.uint64(source[at >> 3]) >> np.uint64(inside)) & (
            (np.uint64(1) << np.uint64(take)) - np.uint64(1)
        )
        value |= part << np.uint64(done)
        at += take
        done += take
    return value


@compiled
def _unzigzag(coded: Any) -> Any:
    return np.int64(coded >> np.uint64(1)) ^ -np.int64(coded & np.uint64(1))


@compiled
def _get_uint(source: Any, at: Any, end: Any) -> Any:
    """(next bit or -1, number)."""
    if at < 0 or at + 7 > end:
        return -1, np.uint64(0)
    width = np.int64(_get(source, at, 7))
    at += 7
    if width > 64 or at + width > end:
        return -1, np.uint64(0)
    return at + width, _get(source, at, width)


@compiled
def _get_float(source: Any, at: Any, end: Any) -> Any:
    """(next bit or -1, a float by its 64 bits)."""
    if at < 0 or at + 64 > end:
        return -1, 0.0
    return at + 64, np.int64(_get(source, at, 64)).view(np.float64)


@compiled
def _get_rice(source: Any, at: Any, end: Any, k: Any) -> Any:
    """(next bit or -1, number)."""
    ones = 0
    while True:
        if at >= end:
            return -1, np.uint64(0)
        if not (source[at >> 3] >> np.uint8(at & 7)) & 1:
            at += 1
            break
        ones += 1
        at += 1
        if ones == _UNARY_MAX:
            break
    if ones < _UNARY_MAX:
        if at + k > end:
            return -1, np.uint64(0)
        return at + k, (np.uint64(ones) << np.uint64(k)) | _get(source, at, k)
    if at + 6 > end:
        return -1, np.uint64(0)
    width = np.int64(_get(source, at, 6)) + 1
    at += 6
    if at + width > end:
        return -1, np.uint64(0)
    return at + width, _get(source, at, width)


@compiled
def _get_stream(source: Any, at: Any, end: Any, numbers: Any, follows: Any) -> Any:
    """Fill `numbers`; the next bit or -1."""
    numbers[:] = 0
    if at < 0 or at >= end:
        return -1
    if not _get(source, at, 1):
        return at + 1
    at += 1
    count = len(numbers)
    mean = np.int64(0)
    weight, seen = 0.0, 1
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        if at >= end:
            return -1
        quiet = not _get(source, at, 1)
        at += 1
        if quiet:
            numbers[start:stop] = mean >> 4 if follows else 0
            continue
        for i in range(start, stop):
            k = 0
            while seen * 2.0**k < weight and k < 62:
                k += 1
            at, coded = _get_rice(source, at, end, k)
            if at < 0:
                return -1
            numbers[i] = _unzigzag(coded) + (mean >> 4 if follows else 0)
            if follows and i == 0:
                mean = numbers[0] << 4
                weight = abs(float(numbers[0])) / 8
                continue
            if follows:
                mean += ((numbers[i] << 4) - mean) >> 3
            weight += float(coded)
            seen += 1
            if seen >= 16:
                weight /= 2
                seen >>= 1
    return at


@compiled
def _unorder(number: Any) -> Any:
    bits = number if number >= 0 else np.int64(-0x8000000000000000) - number
    return np.int64(bits).view(np.float64)


@compiled
def _long(short: Any) -> Any:
    return np.int64(short << _MANTISSA_CUT).view(np.float64)


@compiled
def _get_places(source: Any, at: Any, end: Any, most: Any, places: Any, ended: Any, scratch: Any) -> Any:
    if at + 10 > end:
        return -1
    place = np.int64(_get(source, at, 9))
    broken = _get(source, at + 9, 1)
    at += 10
    scratch[:] = 0
    if broken:
        at = _get_stream(source, at, end, scratch, False)
        if at < 0:
            return -1
    places[0] = place
    for b in range(1, len(places)):
        gap = scratch[b]
        if gap < 0 or gap > most:
            return -1
        places[b] = places[b - 1] + 1 + gap
    if places[len(places) - 1] > most:
        return -1
    at = _get_stream(source, at, end, scratch, False)
    for b in range(len(places)):
        ended[b] = scratch[b] != 0
    return at


@compiled
def _get_counts(source: Any, at: Any, end: Any, counts: Any, scratch: Any) -> Any:
    at, number = _get_uint(source, at, end)
    if at < 0:
        return -1
    at = _get_stream(source, at, end, scratch, False)
    if at < 0:
        return -1
    here = np.int64(number)
    for b in range(len(counts)):
        here += scratch[b]
        if here < 0 or here > 1 << 32:
            return -1
        counts[b] = here
    return at


@compiled
def _get_decimal(
    source: Any,
    at: Any,
    end: Any,
    is_gauge: Any,
    counts: Any,
    minimum: Any,
    maximum: Any,
    total: Any,
    last: Any,
    reset: Any,
    marks: Any,
) -> Any:
    """(next bit or -1, first)."""
    if at + 10 > end:
        return -1, 0.0
    scale = _POWERS[np.int64(_get(source, at, 4))]
    shift = np.int64(_get(source, at + 4, 6))
    at, coded = _get_uint(source, at + 10, end)
    if at < 0:
        return -1, 0.0
    before = _unzigzag(coded)
    first = (before << shift) / scale
    buckets = len(counts)
    rise, low = np.empty(buckets, np.int64), np.empty(buckets, np.int64)
    high, middle = np.empty(buckets, np.int64), np.empty(buckets, np.int64)
    at = _get_stream(source, at, end, rise, not is_gauge)
    at = _get_stream(source, at, end, low, not is_gauge)
    at = _get_stream(source, at, end, high, False)
    at = _get_stream(source, at, end, middle, False)
    for b in range(buckets):
        newest = before + rise[b]
        least = newest - low[b] if is_gauge else before + low[b]
        most = newest + high[b]
        off = middle[b]
        if not is_gauge and most == newest and least >= before:
            off *= max(np.int64(1), (counts[b] * (most - least)) >> _LEVELS_BITS)
        last[b] = (newest << shift) / scale
        minimum[b] = (least << shift) / scale
        maximum[b] = (most << shift) / scale
        total[b] = ((((counts[b] * (least + most)) >> 1) + off) << shift) / scale
        before = newest
        if marks[b]:
            at, coded = _get_uint(source, at, end)
            reset[b] = (_unzigzag(coded) << shift) / scale
    return at, first


@compiled
def _get_float_mode(
    source: Any,
    at: Any,
    end: Any,
    counts: Any,
    minimum: Any,
    maximum: Any,
    total: Any,
    last: Any,
    reset: Any,
    marks: Any,
) -> Any:
    """(next bit or -1, first)."""
    at, coded = _get_uint(source, at, end)
    if at < 0:
        return -1, 0.0
    before = _unzigzag(coded)
    first = _unorder(before)
    buckets = len(counts)
    rise, low = np.empty(buckets, np.int64), np.empty(buckets, np.int64)
    high, middle = np.empty(buckets, np.int64), np.empty(buckets, np.int64)
    at = _get_stream(source, at, end, rise, True)
    at = _get_stream(source, at, end, low, True)
    at = _get_stream(source, at, end, high, True)
    at = _get_stream(source, at, end, middle, False)
    for b in range(buckets):
        before += rise[b]
        last[b] = _unorder(before)
        minimum[b] = last[b] - _long(low[b])
        maximum[b] = last[b] + _long(high[b])
        span = maximum[b] - minimum[b]
        part = 0.5 + middle[b] / (1 << _LEVELS_BITS) if span > 0 and np.isfinite(span) else 0.0
        total[b] = (minimum[b] + part * span if part else minimum[b]) * counts[b]
        if marks[b]:
            at, reset[b] = _get_float(source, at, end)
    return at, first


@compiled
def _get_raw(
    source: Any,
    at: Any,
    end: Any,
    minimum: Any,
    maximum: Any,
    total: Any,
    last: Any,
    reset: Any,
    marks: Any,
) -> Any:
    """(next bit or -1, first)."""
    at, first = _get_float(source, at, end)
    numbers = np.empty(len(last), np.int64)
    for column in (last, minimum, maximum, total):
        at = _get_stream(source, at, end, numbers, False)
        bits = np.int64(0)
        for b in range(len(column)):
            bits += numbers[b]
            column[b] = np.int64(bits).view(np.float64)
    for b in range(len(reset)):
        if marks[b]:
            at, reset[b] = _get_float(source, at, end)
    return at, first


@compiled
def count_all(source: Any, bounds: Any, most: Any) -> Any:
    """Per chunk how many buckets its header announces, int64[n]; -1 where the header is damaged.

    `most` is the greatest index of a bucket. An empty chunk has none.
    """
    chunks = len(bounds) - 1
    found = np.zeros(chunks, np.int64)
    for i in range(chunks):
        if bounds[i] == bounds[i + 1]:
            continue
        at = bounds[i] << 3
        found[i] = -1
        if at + _HEADER_BITS <= bounds[i + 1] << 3 and _get(source, at, 3) == _VERSION:
            buckets = np.int64(_get(source, at + 6, 9))
            if 0 < buckets <= most + 1:
                found[i] = buckets
    return found


@compiled
def _get_chunk(
    source: Any,
    at: Any,
    end: Any,
    most: Any,
    places: Any,
    counts: Any,
    minimum: Any,
    maximum: Any,
    total: Any,
    last: Any,
    reset: Any,
    ended: Any,
) -> Any:
    """(next bit or -1, first, whether it falls as a gauge) of a chunk whose header is checked."""
    mode = np.int64(_get(source, at + 3, 2))
    is_gauge = _get(source, at + 5, 1) != 0
    marks = np.zeros(len(places), np.int64)
    at = _get_places(source, at + _HEADER_BITS, end, most, places, ended, marks)
    at = _get_counts(source, at, end, counts, marks)
    at = _get_stream(source, at, end, marks, False)
    if at < 0:
        return -1, 0.0, is_gauge
    if mode == _DECIMAL:
        at, first = _get_decimal(
            source, at, end, is_gauge, counts, minimum, maximum, total, last, reset, marks
        )
    elif mode == _FLOAT:
        at, first = _get_float_mode(source, at, end, counts, minimum, maximum, total, last, reset, marks)
    elif mode == _RAW:
        at, first = _get_raw(source, at, end, minimum, maximum, total, last, reset, marks)
    else:
        return -1, 0.0, is_gauge
    return at, first, is_gauge


@compiled
def decode_all(
    source: Any,
    bounds: Any,
    most: Any,
    offsets: Any,
    places: Any,
    counts: Any,
    minimum: Any,
    maximum: Any,
    total: Any,
    last: Any,
    reset: Any,
    ended: Any,
    first: Any,
    is_gauge: Any,
) -> Any:
    """Fill the columns of `Buckets`, chunk i at `offsets[i]:offsets[i + 1]`; the first damaged chunk, or -1."""
    for i in range(len(offsets) - 1):
        a, z = offsets[i], offsets[i + 1]
        if a == z:
            first[i] = np.nan
            continue
        at, first[i], is_gauge[i] = _get_chunk(
            source,
            bounds[i] << 3,
            bounds[i + 1] << 3,
            most,
            places[a:z],
            counts[a:z],
            minimum[a:z],
            maximum[a:z],
            total[a:z],
            last[a:z],
            reset[a:z],
            ended[a:z],
        )
        if at < 0 or (at + 7) >> 3 != bounds[i + 1]:
            return i
    return -1

# ruff: noqa: PLR0917 - kernels take flat arrays
"""The compiled writing side of `rollup_codec`: the buckets of a series and day as few bits.

`rollup_codec.encode` is its only caller, and its module says what the bits mean. `rollup_decode` mirrors
every step here, the running predictions included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled

__all__ = ["encode_all"]

_VERSION = 1
_DECIMAL, _FLOAT, _RAW = range(3)
_BLOCK = 32
_UNARY_MAX = 16
_POWERS = 10.0 ** np.arange(16)
_LARGEST = 2.0**50
_PRODUCT_MAX = 2.0**61
_LEVELS_BITS = 7
_MANTISSA_CUT = 42
_BUCKET_BITS_MAX = 5 * 96 + 96 + 16


@compiled
def _put(out: Any, at: Any, value: Any, width: Any) -> Any:
    """Write the low `width` bits of `value` from bit `at` on; the bit after them."""
    rest = np.uint64(value)
    while width > 0:
        inside = at & 7
        take = min(8 - inside, width)
        part = rest & ((np.uint64(1) << np.uint64(take)) - np.uint64(1))
        out[at >> 3] |= np.uint8(part << np.uint64(inside))
        rest >>= np.uint64(take)
        at += take
        width -= take
    return at


@compiled
def _zigzag(value: Any) -> Any:
    return np.uint64((value << 1) ^ (value >> 63))


@compiled
def _length(value: Any) -> Any:
    """How many bits `value` (uint64) has."""
    bits = 0
    while value:
        value >>= np.uint64(1)
        bits += 1
    return bits


@compiled
def _put_uint(out: Any, at: Any, value: Any) -> Any:
    """7 bits of length, then that many bits."""
    number = np.uint64(value)
    width = _length(number)
    at = _put(out, at, np.uint64(width), 7)
    return _put(out, at, number, width)


@compiled
def _put_rice(out: Any, at: Any, coded: Any, k: Any) -> Any:
    """A Golomb-Rice code with parameter `k`; what has too long a unary part is written with its length."""
    above = coded >> np.uint64(k)
    if above < np.uint64(_UNARY_MAX):
        ones = np.int64(above)
        at = _put(out, at, (np.uint64(1) << np.uint64(ones)) - np.uint64(1), ones + 1)
        return _put(out, at, coded, k)
    at = _put(out, at, np.uint64(0xFFFF), _UNARY_MAX)
    width = _length(coded)
    at = _put(out, at, np.uint64(width - 1), 6)
    return _put(out, at, coded, width)


@compiled
def _put_stream(out: Any, at: Any, numbers: Any, follows: Any) -> Any:
    """A column of integers: Rice codes whose parameter follows the mean of what came before (as in JPEG-LS).

    With `follows` the numbers are coded as differences from their running mean. A block of 32 that brings
    nothing new is one bit, a column of zeros too.
    """
    count = len(numbers)
    if not numbers.any():
        return _put(out, at, np.uint64(0), 1)
    at = _put(out, at, np.uint64(1), 1)
    mean = np.int64(0)  # in sixteenths
    weight, seen = 0.0, 1
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        quiet = True
        for i in range(start, stop):
            if numbers[i] != (mean >> 4 if follows else 0):
                quiet = False
                break
        at = _put(out, at, np.uint64(not quiet), 1)
        if quiet:
            continue
        for i in range(start, stop):
            coded = _zigzag(numbers[i] - (mean >> 4 if follows else 0))
            k = 0
            while seen * 2.0**k < weight and k < 62:
                k += 1
            at = _put_rice(out, at, coded, k)
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
def _order(value: Any) -> Any:
    """The bits of a float as an integer that is ordered as the floats are."""
    bits = np.float64(value).view(np.int64)
    return bits if bits >= 0 else np.int64(-0x8000000000000000) - bits


@compiled
def _short(value: Any) -> Any:
    """A float that is not negative with 11 bits of exponent and 10 of mantissa, rounded up."""
    bits = np.float64(value).view(np.int64)
    low = bits & ((1 << _MANTISSA_CUT) - 1)
    return (bits >> _MANTISSA_CUT) + (low != 0)


@compiled
def _decimals(value: Any, exponent: Any) -> Any:
    """The least exponent from `exponent` on with which `value` is an integer over a power of ten, or 16."""
    while exponent < 16:
        scaled = value * _POWERS[exponent]
        if abs(scaled) > _LARGEST:
            return 16
        if np.rint(scaled) / _POWERS[exponent] == value:
            return exponent
        exponent += 1
    return 16


@compiled
def _choose_mode(
    counts: Any, minimum: Any, maximum: Any, total: Any, last: Any, reset: Any, first: Any
) -> Any:
    """(mode, decimal exponent, binary shift) for the buckets of a chunk."""
    finite = np.isfinite(first)
    for b in range(len(counts)):
        finite = finite and np.isfinite(minimum[b]) and np.isfinite(maximum[b]) and np.isfinite(total[b])
    if not finite:
        return _RAW, 0, 0
    exponent, most, many = _decimals(first, 0), abs(first), np.int64(1)
    for b in range(len(counts)):
        if exponent < 16:
            exponent = _decimals(last[b], exponent)
        if exponent < 16:
            exponent = _decimals(minimum[b], exponent)
        if exponent < 16:
            exponent = _decimals(maximum[b], exponent)
        if exponent < 16 and reset[b] != 0:
            exponent = _decimals(reset[b], exponent)
        most = max(most, abs(minimum[b]), abs(maximum[b]))
        many = max(many, counts[b])
    if exponent == 16 or 2.0 * most * _POWERS[exponent] * many > _PRODUCT_MAX:
        return _FLOAT, 0, 0
    together = np.int64(np.rint(first * _POWERS[exponent]))
    for b in range(len(counts)):
        scale = _POWERS[exponent]
        together |= np.int64(np.rint(last[b] * scale)) | np.int64(np.rint(minimum[b] * scale))
        together |= np.int64(np.rint(maximum[b] * scale)) | np.int64(np.rint(reset[b] * scale))
        together |= np.int64(np.rint(total[b] * scale))
    shift = 0
    while together != 0 and together & 1 == 0:
        together >>= 1
        shift += 1
    return _DECIMAL, exponent, shift


@compiled
def _put_places(out: Any, at: Any, places: Any, ended: Any) -> Any:
    """Which buckets there are, and which of them end with a stale marker."""
    count = len(places)
    at = _put(out, at, np.uint64(places[0]), 9)
    whole = places[count - 1] - places[0] == count - 1
    at = _put(out, at, np.uint64(not whole), 1)
    if not whole:
        gaps = np.zeros(count, np.int64)
        for b in range(1, count):
            gaps[b] = places[b] - places[b - 1] - 1
        at = _put_stream(out, at, gaps, False)
    marks = np.zeros(count, np.int64)
    for b in range(count):
        marks[b] = ended[b]
    return _put_stream(out, at, marks, False)


@compiled
def _put_decimal(
    out: Any,
    at: Any,
    scale: Any,
    shift: Any,
    is_gauge: Any,
    counts: Any,
    minimum: Any,
    maximum: Any,
    total: Any,
    last: Any,
    reset: Any,
    first: Any,
) -> Any:
    buckets = len(counts)
    before = np.int64(np.rint(first * scale)) >> shift
    at = _put_uint(out, at, _zigzag(before))
    rise, low = np.empty(buckets, np.int64), np.empty(buckets, np.int64)
    high, middle = np.empty(buckets, np.int64), np.empty(buckets, np.int64)
    for b in range(buckets):
        newest = np.int64(np.rint(last[b] * scale)) >> shift
        least = np.int64(np.rint(minimum[b] * scale)) >> shift
        most = np.int64(np.rint(maximum[b] * scale)) >> shift
        rise[b] = newest - before
        low[b] = newest - least if is_gauge else least - before
        high[b] = most - newest
        off = (np.int64(np.rint(total[b] * scale)) >> shift) - ((counts[b] * (least + most)) >> 1)
        if not is_gauge and most == newest and least >= before:
            level = max(np.int64(1), (counts[b] * (most - least)) >> _LEVELS_BITS)
            off = (off + (level >> 1)) // level
        middle[b] = off
        before = newest
    at = _put_stream(out, at, rise, not is_gauge)
    at = _put_stream(out, at, low, not is_gauge)
    at = _put_stream(out, at, high, False)
    at = _put_stream(out, at, middle, False)
    for b in range(buckets):
        if reset[b] != 0:
            at = _put_uint(out, at, _zigzag(np.int64(np.rint(reset[b] * scale)) >> shift))
    return at


@compiled
def _put_float(
    out: Any,
    at: Any,
    counts: Any,
    minimum: Any,
    maximum: Any,
    total: Any,
    last: Any,
    reset: Any,
    first: Any,
) -> Any:
    buckets = len(counts)
    before = _order(first)
    at = _put_uint(out, at, _zigzag(before))
    rise, low = np.empty(buckets, np.int64), np.empty(buckets, np.int64)
    high, middle = np.empty(buckets, np.int64), np.zeros(buckets, np.int64)
    for b in range(buckets):
        newest = _order(last[b])
        rise[b] = newest - before
        before = newest
        low[b] = _short(last[b] - minimum[b])
        high[b] = _short(maximum[b] - last[b])
        least = last[b] - np.int64(low[b] << _MANTISSA_CUT).view(np.float64)
        if least > minimum[b]:  # the difference above was rounded
            low[b] += 1
            least = last[b] - np.int64(low[b] << _MANTISSA_CUT).view(np.float64)
        most = last[b] + np.int64(high[b] << _MANTISSA_CUT).view(np.float64)
        if most < maximum[b]:
            high[b] += 1
            most = last[b] + np.int64(high[b] << _MANTISSA_CUT).view(np.float64)
        span = most - least
        if span > 0 and np.isfinite(span):
            part = (total[b] / counts[b] - least) / span
            levels = 1 << _LEVELS_BITS
            middle[b] = np.int64(np.rint(min(max(part, 0.0), 1.0) * levels)) - levels // 2
    at = _put_stream(out, at, rise, True)
    at = _put_stream(out, at, low, True)
    at = _put_stream(out, at, high, True)
    at = _put_stream(out, at, middle, False)
    for b in range(buckets):
        if reset[b] != 0:
            at = _put(out, at, np.uint64(np.float64(reset[b]).view(np.int64)), 64)
    return at


@compiled
def _put_raw(
    out: Any, at: Any, minimum: Any, maximum: Any, total: Any, last: Any, reset: Any, first: Any
) -> Any:
    at = _put(out, at, np.uint64(np.float64(first).view(np.int64)), 64)
    numbers = np.empty(len(last), np.int64)
    for column in (last, minimum, maximum, total):
        before = np.int64(0)
        for b in range(len(column)):
            bits = np.float64(column[b]).view(np.int64)
            numbers[b] = bits - before
            before = bits
        at = _put_stream(out, at, numbers, False)
    for b in range(len(reset)):
        if reset[b] != 0:
            at = _put(out, at, np.uint64(np.float64(reset[b]).view(np.int64)), 64)
    return at


@compiled
def _put_chunk(
    out: Any,
    at: Any,
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
    buckets = len(places)
    mode, exponent, shift = _choose_mode(counts, minimum, maximum, total, last, reset, first)
    at = _put(out, at, np.uint64(_VERSION), 3)
    at = _put(out, at, np.uint64(mode), 2)
    at = _put(out, at, np.uint64(is_gauge), 1)
    at = _put(out, at, np.uint64(buckets), 9)
    at = _put_places(out, at, places, ended)
    steps, marks = np.zeros(buckets, np.int64), np.zeros(buckets, np.int64)
    for b in range(buckets):
        steps[b] = counts[b] - counts[b - 1] if b > 0 else 0
        marks[b] = reset[b] != 0
    at = _put_uint(out, at, np.uint64(counts[0]))
    at = _put_stream(out, at, steps, False)
    at = _put_stream(out, at, marks, False)
    if mode == _DECIMAL:
        at = _put(out, at, np.uint64(exponent), 4)
        at = _put(out, at, np.uint64(shift), 6)
        scale = _POWERS[exponent]
        return _put_decimal(
            out, at, scale, shift, is_gauge, counts, minimum, maximum, total, last, reset, first
        )
    if mode == _FLOAT:
        return _put_float(out, at, counts, minimum, maximum, total, last, reset, first)
    return _put_raw(out, at, minimum, maximum, total, last, reset, first)


@compiled
def encode_all(
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
    """The chunks of n series: (payload uint8[k], payload offsets int64[n + 1]); no buckets, no bytes."""
    series = len(offsets) - 1
    out = np.zeros(max(64, len(places) * 4), np.uint8)
    ends = np.zeros(series + 1, np.int64)
    for i in range(series):
        a, z = offsets[i], offsets[i + 1]
        ends[i + 1] = ends[i]
        if a == z:
            continue
        needed = ends[i] + 64 + ((z - a) * _BUCKET_BITS_MAX >> 3)
        if needed > len(out):
            more = np.zeros(max(needed, 2 * len(out)), np.uint8)
            more[: ends[i]] = out[: ends[i]]
            out = more
        at = _put_chunk(
            out,
            ends[i] << 3,
            places[a:z],
            counts[a:z],
            minimum[a:z],
            maximum[a:z],
            total[a:z],
            last[a:z],
            reset[a:z],
            ended[a:z],
            first[i],
            is_gauge[i],
        )
        ends[i + 1] = (at + 7) >> 3
    return out[: ends[series]].copy(), ends

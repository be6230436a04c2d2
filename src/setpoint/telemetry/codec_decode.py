# ruff: noqa: PLR0912, PLR0917 - kernels take flat arrays, and a reader of untrusted bytes asks at every step
"""The compiled reading side of `codec`: chunks of bits back into timestamps and values.

`codec` calls `decode_into` with whole columns of chunks, the head with the chunks that a query touches. The
bytes may come from a damaged disk, so every width, count and position is checked against the end of its
chunk before a bit is read; a function that finds something wrong answers a negative bit position. The
layout of a chunk is described in `codec`.

Numbers are unsigned words throughout, because sums of hostile numbers wrap around, and numba promises LLVM
that signed ones do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from setpoint.compiled import compiled, inlined

__all__ = ["decode_into", "first_bad_header"]

_BLOCK = 32
_VERSION = 1
_FLAT, _LINEAR, _DELTA, _DELTA2, _LEVEL = range(5)
_LONGEST = 1 << 24
_MAX_EXPONENT = 18
_STALE = 0x7FF0000000000002
_POWERS = np.array([float(10**exponent) for exponent in range(_MAX_EXPONENT + 1)])


@compiled
def _load(source: Any, place: Any) -> Any:
    """Eight bytes from `place` on as a little-endian word; the compiler makes one load of it."""
    i = np.uint64(place)
    word = np.uint64(source[i])
    word |= np.uint64(source[i + np.uint64(1)]) << np.uint64(8)
    word |= np.uint64(source[i + np.uint64(2)]) << np.uint64(16)
    word |= np.uint64(source[i + np.uint64(3)]) << np.uint64(24)
    word |= np.uint64(source[i + np.uint64(4)]) << np.uint64(32)
    word |= np.uint64(source[i + np.uint64(5)]) << np.uint64(40)
    word |= np.uint64(source[i + np.uint64(6)]) << np.uint64(48)
    word |= np.uint64(source[i + np.uint64(7)]) << np.uint64(56)
    return word


@compiled
def _get(source: Any, at: Any, width: Any) -> Any:
    """`width` (0 to 64) bits from bit `at` on. The caller has checked that they are there."""
    if width == 0:
        return np.uint64(0)
    shift = np.uint64(at & 7)
    if width <= 57:
        mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
        return (_load(source, at >> 3) >> shift) & mask
    low = (_load(source, at >> 3) >> shift) & np.uint64(0xFFFFFFFF)
    rest = width - 32
    mask = (np.uint64(1) << np.uint64(rest)) - np.uint64(1)
    return low | ((_load(source, (at + 32) >> 3) >> shift) & mask) << np.uint64(32)


@compiled
def _signed(coded: Any) -> Any:
    """Zigzag undone: 0, -1, 1, -2, … as a word."""
    return (coded >> np.uint64(1)) ^ (np.uint64(0) - (coded & np.uint64(1)))


@compiled
def _get_int(source: Any, at: Any, end: Any) -> Any:
    """(next bit or -1, a signed integer as a word): 7 bits of length, then that many bits, zigzag."""
    if at < 0 or at + 7 > end:
        return -1, np.uint64(0)
    width = np.int64(_get(source, at, 7))
    at += 7
    if width > 64 or at + width > end:
        return -1, np.uint64(0)
    return at + width, _signed(_get(source, at, width))


@inlined
def _unpack(source: Any, at: Any, width: Any, count: Any, coded: Any) -> Any:
    """`count` numbers of `width` bits each into `coded`."""
    if width <= 57:
        step = np.uint64(width)
        here = np.uint64(at)
        mask = (np.uint64(1) << step) - np.uint64(1)
        for j in range(count):
            coded[j] = (_load(source, here >> np.uint64(3)) >> (here & np.uint64(7))) & mask
            here += step
    else:
        for j in range(count):
            coded[j] = _get(source, at + j * width, width)


@inlined
def _patch(source: Any, at: Any, end: Any, width: Any, count: Any, coded: Any) -> Any:
    """Add the high bits of outliers to `coded`: (the bit after them or -1, how many, the sum of their numbers).

    `at` is where the patch begins: number of outliers - 1, their extra width - 1, places, high bits.
    """
    total = np.uint64(0)
    if at + 11 > end:
        return -1, np.int64(0), total
    outliers = np.int64(_get(source, at, 5)) + 1
    extra = np.int64(_get(source, at + 5, 6)) + 1
    at += 11
    listed = outliers <= 6
    size = 5 * outliers if listed else count
    if outliers > count or width + extra > 64 or at + size + outliers * extra > end:
        return -1, outliers, total
    bitmap = _get(source, at, size)
    if listed:
        places = bitmap
        bitmap = np.uint64(0)
        for _ in range(outliers):
            bitmap |= np.uint64(1) << (places & np.uint64(31))
            places >>= np.uint64(5)
    at += size
    for _ in range(outliers):
        place = np.int64(trailing_zeros(bitmap))
        if place >= count:
            return -1, outliers, total
        bitmap &= bitmap - np.uint64(1)
        coded[place] |= _get(source, at, extra) << np.uint64(width)
        total += _signed(coded[place])
        at += extra
    return at if bitmap == 0 else -1, outliers, total


@inlined
def _read_block(source: Any, at: Any, end: Any, count: Any, reference: Any, residues: Any, coded: Any) -> Any:
    """`count` residues of one block into `residues`: (next bit or -1, the reference of the next block)."""
    if at + 8 > end:
        return -1, reference
    header = np.int64(_get(source, at, 8))
    at += 8
    width = header >> 1
    if width > 64 or at + width * count > end or header == 129:
        return -1, reference
    if header == 0:
        for j in range(count):
            residues[j] = reference
        return at, reference
    if width:
        _unpack(source, at, width, count, coded)
        at += width * count
    else:
        for j in range(count):
            coded[j] = np.uint64(0)
    inside = count
    total = np.uint64(0)
    if header & 1:
        at, outliers, outside = _patch(source, at, end, width, count, coded)
        inside -= outliers
        total -= outside
    for j in range(count):
        offset = _signed(coded[j])
        total += offset
        residues[j] = reference + offset
    if width and inside > 0:
        reference += np.uint64(np.int64(total) // inside)
    return at, reference


@inlined
def _read_numbers(source: Any, at: Any, end: Any, kind: Any, out: Any, coded: Any) -> Any:
    """The numbers relative to the first (which is 0) into `out`; the bit after them, or -1."""
    count = len(out)
    out[0] = np.uint64(0)
    slope = reference = before = np.uint64(0)
    if count > 1 and kind in (_FLAT, _LINEAR, _DELTA2):
        at, slope = _get_int(source, at, end)
    if count > 1 and kind in (_LINEAR, _DELTA, _LEVEL):
        at, reference = _get_int(source, at, end)
    if at >= 0 and kind == _FLAT:
        for i in range(1, count):
            out[i] = np.uint64(i) * slope
    elif at >= 0:
        for start in range(1, count, _BLOCK):
            stop = min(start + _BLOCK, count)
            at, reference = _read_block(source, at, end, stop - start, reference, out[start:stop], coded)
            if at < 0:
                break
            if kind == _DELTA:
                for j in range(start, stop):
                    before += out[j]
                    out[j] = before
            elif kind == _LINEAR:
                for j in range(start, stop):
                    out[j] += np.uint64(j) * slope
            elif kind == _DELTA2:
                for j in range(start, stop):
                    slope += out[j]
                    before += slope
                    out[j] = before
    return at


@compiled
def _read_head(source: Any, start: Any, end: Any) -> Any:
    """(next bit or -1, number of samples): version and flags, then 5 bits of length and the count."""
    if end - start < 2 or source[start] & 7 != _VERSION or source[start] & 128:
        return -1, 0
    at = start * 8 + 8
    width = np.int64(_get(source, at, 5))
    at += 5
    if at + width > end * 8:
        return -1, 0
    count = np.int64(_get(source, at, width))
    if count > _LONGEST:
        return -1, 0
    return at + width, count


@compiled
def _read_exceptions(source: Any, at: Any, end: Any, bits: Any) -> Any:
    """Put back the values that are no decimals: count, then place and bits of each."""
    count = len(bits)
    width = 0
    while count >> width:
        width += 1
    at, exceptions = _get_int(source, at, end)
    if at < 0 or exceptions > np.uint64(count):
        return -1
    raw = np.uint64(_STALE)
    for _ in range(np.int64(exceptions)):
        if at + width + 1 > end:
            return -1
        place = np.int64(_get(source, at, width))
        repeated = _get(source, at + width, 1)
        at += width + 1
        if not repeated:
            if at + 64 > end:
                return -1
            raw = _get(source, at, 64)
            at += 64
        if place >= count:
            return -1
        bits[place] = raw
    return at


@inlined
def _read_series(source: Any, at: Any, end: Any, scaled: Any, kind: Any, out: Any, coded: Any) -> Any:
    """Integers into `out`: the first, their common factor if `scaled`, the rest relative to the first."""
    at, first = _get_int(source, at, end)
    factor = np.uint64(1)
    if scaled:
        at, factor = _get_int(source, at, end)
    if at >= 0:
        at = _read_numbers(source, at, end, kind, out, coded)
        if scaled:
            for i in range(len(out)):
                out[i] = first + factor * out[i]
        else:
            for i in range(len(out)):
                out[i] += first
    return at


@inlined
def _finish(
    source: Any, at: Any, end: Any, flags: Any, exponent: Any, words: Any, bits: Any, values: Any
) -> Any:
    """From integers to values, and the exceptions; the bit after them, or -1 (also if timestamps do not ascend)."""
    descending: Any = False
    for i in range(1, len(words)):
        descending |= np.int64(words[i]) <= np.int64(words[i - 1])
    if descending:
        return np.int64(-1)
    if not flags & 16:
        if exponent:
            power = _POWERS[exponent]
            for i in range(len(values)):
                values[i] = np.int64(bits[i]) / power
        else:
            for i in range(len(values)):
                values[i] = np.int64(bits[i])
    return _read_exceptions(source, at, end, bits) if flags & 8 else at


@inlined
def _decode(source: Any, start: Any, stop: Any, words: Any, values: Any, bits: Any, coded: Any) -> Any:
    """One chunk; False when it is malformed. `source` is readable for eight bytes beyond `stop`.

    `words` are the timestamps and `bits` the values, as words.
    """
    at, count = _read_head(source, start, stop)
    end = stop * 8
    good = False
    if at >= 0 and count == len(words):
        flags = np.int64(source[start])
        if count == 0:
            good = flags == _VERSION and (at + 7) >> 3 == stop
        elif at + 6 <= end:
            kinds = np.int64(_get(source, at, 6))
            at += 6
            exponent = np.int64(0)
            for part in range(2):  # one loop, so that all of it is compiled into one place
                out = words if part == 0 else bits
                if part and not flags & 16 and at >= 0:
                    if at + 5 <= end:
                        exponent = np.int64(_get(source, at, 5))
                    at = at + 5 if at + 5 <= end and exponent <= _MAX_EXPONENT else np.int64(-1)
                kind = (kinds >> (3 * part)) & 7
                if at >= 0:
                    scaled = flags & (32 << part)
                    at = (
                        _read_series(source, at, end, scaled, kind, out, coded)
                        if kind <= _LEVEL
                        else np.int64(-1)
                    )
            if at >= 0:
                at = _finish(source, at, end, flags, exponent, words, bits, values)
            good = at >= 0 and (at + 7) >> 3 == stop
    return good


@compiled
def first_bad_header(payload: Any, starts: Any, ends: Any, counts: Any) -> Any:
    """Index of the first chunk whose place or count is not what `counts` says, or -1: asked before room is made."""
    padded = np.zeros(16, np.uint8)
    for c in range(len(starts)):
        start, end = starts[c], ends[c]
        if start < 0 or end < start or end > len(payload):
            return c
        head = min(end - start, 8)
        padded[:head] = payload[start : start + head]
        at, count = _read_head(padded, 0, head)
        if at < 0 or count != counts[c]:
            return c
    return -1


@compiled
def decode_into(
    payload: Any, starts: Any, ends: Any, counts: Any, places: Any, times: Any, values: Any
) -> Any:
    """Decode chunk c, `payload[starts[c]:ends[c]]`, to positions `places[c]` and on of `times` and `values`.

    Returns the index of the first malformed chunk, or -1. Chunks before it are decoded.
    """
    coded = np.empty(_BLOCK, np.uint64)
    bits = values.view(np.uint64)
    words = times.view(np.uint64)
    for c in range(len(starts)):
        start, end, count, place = starts[c], ends[c], counts[c], places[c]
        if start < 0 or end < start or end > len(payload):
            return c
        if count < 0 or place < 0 or place + count > len(times) or place + count > len(values):
            return c
        into = slice(place, place + count)
        source = payload
        if end + 8 > len(payload):
            source = np.zeros(end - start + 8, np.uint8)
            source[: end - start] = payload[start:end]
            start, end = 0, end - start
        good = _decode(source, start, end, words[into], values[into], bits[into], coded)
        if not good:
            return c
    return -1

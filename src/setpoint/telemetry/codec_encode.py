# ruff: noqa: PLR0917, SIM110 - kernels take flat arrays, and numba compiles loops
"""The compiled writing side of `codec`: timestamps and values of many series into chunks of bits.

`codec.encode_chunks` is the only caller. For each chunk the kernels look for the description that needs the
fewest bits: decimals or bit patterns, and of what the residues are taken (a line, the number before, the
step before, a level); then blocks of 32 residues are packed, outliers apart. The layout is in `codec`.

Numbers are unsigned words throughout, because differences of far numbers wrap around, and numba promises
LLVM that signed ones do not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.cpython.unsafe.numbers import leading_zeros

from setpoint.compiled import compiled, inlined

__all__ = ["encode_all"]

_BLOCK = 32
_VERSION = 1
_FLAT, _LINEAR, _DELTA, _DELTA2, _LEVEL = range(5)
_LONGEST = 1 << 24
_MAX_EXPONENT = 18
_STALE = 0x7FF0000000000002
_POWERS = np.array([float(10**exponent) for exponent in range(_MAX_EXPONENT + 1)])
_EXACT = 9007199254740992.0
"""2^53: a decimal mantissa below it is an exact float64."""

_ASKED = 15
"""Numbers that are looked at to guess a median or an exponent."""

_TRIED = 96
"""Numbers over which the kinds of residue are compared."""

_CODED, _WIDTHS, _HIGH, _RESIDUES, _HISTOGRAM, _MEDIANS = 0, 32, 64, 96, 128, 193
"""Where each has its place in `room`, the one array of scratch words: every array more would cost time."""

_ROOM = _MEDIANS + _ASKED

_BYTES_PER_SAMPLE = 30
_BYTES_PER_CHUNK = 256
"""More than any chunk can need."""


@compiled
def _width(coded: Any) -> Any:
    """Number of bits of an unsigned integer."""
    return np.int64(64) - np.int64(leading_zeros(coded))


@compiled
def _zigzag(number: Any) -> Any:
    """A signed number in a word so that small stays small: 0, -1, 1, -2, …"""
    return (number << np.uint64(1)) ^ (np.uint64(0) - (number >> np.uint64(63)))


@compiled
def _store(out: Any, place: Any, word: Any) -> Any:
    """Eight bytes, little-endian; the compiler makes one store of it."""
    i = np.uint64(place)
    out[i] = np.uint8(word)
    out[i + np.uint64(1)] = np.uint8(word >> np.uint64(8))
    out[i + np.uint64(2)] = np.uint8(word >> np.uint64(16))
    out[i + np.uint64(3)] = np.uint8(word >> np.uint64(24))
    out[i + np.uint64(4)] = np.uint8(word >> np.uint64(32))
    out[i + np.uint64(5)] = np.uint8(word >> np.uint64(40))
    out[i + np.uint64(6)] = np.uint8(word >> np.uint64(48))
    out[i + np.uint64(7)] = np.uint8(word >> np.uint64(56))


@compiled
def _put(out: Any, at: Any, bits: Any, width: Any) -> Any:
    """Write `bits`, which are no more than `width`, from bit `at` on; the bit after them. What follows in the
    nine bytes from there is overwritten.
    """
    place, shift = at >> 3, np.uint64(at & 7)
    before = np.uint64(out[place]) & ((np.uint64(1) << shift) - np.uint64(1))
    _store(out, place, before | (bits << shift))
    if shift:
        out[place + 8] = np.uint8(bits >> (np.uint64(64) - shift))
    return at + width


@compiled
def _put_int(out: Any, at: Any, number: Any) -> Any:
    """A signed integer: 7 bits of length, then that many bits, zigzag."""
    coded = _zigzag(number)
    width = _width(coded)
    at = _put(out, at, np.uint64(width), 7)
    return _put(out, at, coded, width)


@inlined
def _pack(out: Any, at: Any, room: Any, first: Any, count: Any, width: Any) -> Any:
    """The low `width` (1 to 64) bits of `count` words of `room` from `first` on; the bit after them."""
    place = at >> 3
    held = at & 7
    word = np.uint64(out[place]) & ((np.uint64(1) << np.uint64(held)) - np.uint64(1))
    mask = ~np.uint64(0) >> np.uint64(64 - width)
    for j in range(first, first + count):
        number = room[j] & mask
        word |= number << np.uint64(held)
        held += width
        if held >= 64:
            _store(out, place, word)
            place += 8
            held -= 64
            word = number >> np.uint64(width - held) if held else np.uint64(0)
    _store(out, place, word)
    return at + count * width


@inlined
def _best_width(room: Any, count: Any) -> Any:
    """(width, widest, outliers) that make a block smallest: numbers wider than `width` are patched."""
    together = np.uint64(0)
    for j in range(count):
        together |= room[_CODED + j]
    widest = _width(together)
    best, best_cost, best_outliers = widest, widest * count, 0
    if widest:
        for width in range(widest + 1):
            room[_HISTOGRAM + width] = np.uint64(0)
        for j in range(count):
            each = _width(room[_CODED + j])
            room[_WIDTHS + j] = np.uint64(each)
            room[_HISTOGRAM + each] += np.uint64(1)
        outliers: Any = 0
        for width in range(widest - 1, -1, -1):
            outliers += np.int64(room[_HISTOGRAM + width + 1])
            if 4 * outliers > 3 * count:
                break
            places = 5 * outliers if outliers <= 6 else count
            cost = width * count + 11 + places + outliers * (widest - width)
            if cost < best_cost:
                best, best_cost, best_outliers = width, cost, outliers
    return best, widest, best_outliers


@inlined
def _put_outliers(out: Any, at: Any, room: Any, count: Any, width: Any, widest: Any, outliers: Any) -> Any:
    """Number of outliers - 1, their extra width - 1, places (5 bits each or one bit per number), high bits."""
    at = _put(out, at, np.uint64(outliers - 1 | (widest - width - 1) << 5), 11)
    places: Any = np.uint64(0)
    bitmap: Any = np.uint64(0)
    found = 0
    for j in range(count):
        if np.int64(room[_WIDTHS + j]) > width:
            places |= np.uint64(j) << np.uint64(5 * min(found, 12))
            bitmap |= np.uint64(1) << np.uint64(j)
            room[_HIGH + found] = room[_CODED + j] >> np.uint64(width)
            found += 1
    at = _put(out, at, places, 5 * outliers) if outliers <= 6 else _put(out, at, bitmap, count)
    return _pack(out, at, room, _HIGH, outliers, widest - width)


@inlined
def _put_block(out: Any, at: Any, count: Any, reference: Any, room: Any) -> Any:
    """One block: (next bit, the reference of the next block, which is the mean of what is no outlier)."""
    for j in range(count):
        room[_CODED + j] = _zigzag(room[_RESIDUES + j] - reference)
    width, widest, outliers = _best_width(room, count)
    at = _put(out, at, np.uint64(width << 1 | (outliers > 0)), 8)
    if width:
        at = _pack(out, at, room, _CODED, count, width)
    if outliers:
        at = _put_outliers(out, at, room, count, width, widest, outliers)
    if width:
        total = np.uint64(0)
        for j in range(count):
            if not outliers or np.int64(room[_WIDTHS + j]) <= width:
                total += room[_RESIDUES + j] - reference
        reference += np.uint64(np.int64(total) // (count - outliers))
    return at, reference


@compiled
def _median(numbers: Any, order: Any, slope: Any, room: Any) -> Any:
    """A guess at the median of numbers[1:] less a line of `slope` (order 0), or of their steps (order 1)."""
    count = len(numbers) - 1
    asked = min(count, _ASKED)
    for k in range(asked):
        i = 1 + k * count // asked
        number = numbers[i] - numbers[i - 1] if order else numbers[i] - np.uint64(i) * slope
        j = _MEDIANS + k
        while j > _MEDIANS and np.int64(room[j - 1]) > np.int64(number):
            room[j] = room[j - 1]
            j -= 1
        room[j] = number
    return room[_MEDIANS + asked // 2]


@compiled
def _choose_kind(numbers: Any, is_time: Any, step: Any, offset: Any, level: Any) -> Any:
    """The kind of residue that needs the fewest bits over the first numbers."""
    if is_time:
        linear = delta = np.int64(0)
        for i in range(1, min(len(numbers), _TRIED)):
            linear += _width(_zigzag(numbers[i] - np.uint64(i) * step - offset))
            delta += _width(_zigzag(numbers[i] - numbers[i - 1] - step))
        return _DELTA if delta <= linear else _LINEAR
    linear = delta = delta2 = flat = np.int64(0)
    before = step
    for i in range(1, min(len(numbers), _TRIED)):
        here = numbers[i] - numbers[i - 1]
        linear += _width(_zigzag(numbers[i] - np.uint64(i) * step - offset))
        delta += _width(_zigzag(here - step))
        delta2 += _width(_zigzag(here - before))
        flat += _width(_zigzag(numbers[i] - level))
        before = here
    least = min(linear, delta, delta2, flat)
    if least == delta:
        return _DELTA
    if least == linear:
        return _LINEAR
    return _LEVEL if least == flat else _DELTA2


@compiled
def _is_line(numbers: Any) -> Any:
    """Whether the numbers are 0, s, 2s, 3s, …"""
    slope = numbers[1] if len(numbers) > 1 else np.uint64(0)
    for i in range(len(numbers)):
        if numbers[i] != np.uint64(i) * slope:
            return False
    return True


@inlined
def _put_numbers(
    out: Any, at: Any, kind: Any, numbers: Any, step: Any, offset: Any, level: Any, room: Any
) -> Any:
    """The numbers after the first (which is 0): slope and reference as the kind has them, then blocks."""
    slope = reference = np.uint64(0)
    if kind in (_LINEAR, _DELTA2):
        slope = step
        at = _put_int(out, at, slope)
    if kind != _DELTA2:
        reference = offset if kind == _LINEAR else step if kind == _DELTA else level
        at = _put_int(out, at, reference)
    for start in range(1, len(numbers), _BLOCK):
        count = min(_BLOCK, len(numbers) - start)
        for j in range(count):
            i = start + j
            if kind == _LEVEL:
                room[_RESIDUES + j] = numbers[i]
            elif kind == _LINEAR:
                room[_RESIDUES + j] = numbers[i] - np.uint64(i) * slope
            else:
                here = numbers[i] - numbers[i - 1]
                room[_RESIDUES + j] = here
                if kind == _DELTA2:
                    room[_RESIDUES + j] = here - slope
                    slope = here
        at, reference = _put_block(out, at, count, reference, room)
    return at


@compiled
def _factor(numbers: Any) -> Any:
    """The greatest common divisor of the distances from the first number; 0 when all are equal."""
    found = np.uint64(0)
    for i in range(1, len(numbers)):
        rest = numbers[i] - numbers[0]
        if rest >> np.uint64(63):
            rest = np.uint64(0) - rest
        while rest:
            found, rest = rest, (found % rest if found else np.uint64(0))
        if found == 1:
            break
    return np.int64(1) if found >> np.uint64(62) else np.int64(found)


@compiled
def _put_series(out: Any, at: Any, numbers: Any, kind_at: Any, is_time: Any, room: Any) -> Any:
    """(next bit, whether scaled): the first number, the common factor, the rest. The kind goes to `kind_at`.

    `numbers` is overwritten.
    """
    first = numbers[0]
    factor = _factor(numbers)
    scaled = factor > 1
    if scaled:
        for i in range(len(numbers)):
            numbers[i] = np.uint64(np.int64(numbers[i] - first) // factor)
    else:
        for i in range(len(numbers)):
            numbers[i] -= first
    at = _put_int(out, at, first)
    line = _is_line(numbers)
    if line:  # the factor of a line is in its slope
        kind = np.int64(_FLAT)
        if len(numbers) > 1:
            at = _put_int(out, at, numbers[1] * np.uint64(max(factor, 1)))
        scaled = False
    else:
        if scaled:
            at = _put_int(out, at, np.uint64(factor))
        step = _median(numbers, 1, np.uint64(0), room)
        offset = _median(numbers, 0, step, room)
        level = step if is_time else _median(numbers, 0, np.uint64(0), room)
        kind = np.int64(_choose_kind(numbers, is_time, step, offset, level))
        at = _put_numbers(out, at, kind, numbers, step, offset, level, room)
    out[kind_at >> 3] |= np.uint8((kind << (kind_at & 7)) & 255)
    if (kind_at & 7) > 5:
        out[(kind_at >> 3) + 1] |= np.uint8(kind >> (8 - (kind_at & 7)))
    return at, scaled


@compiled
def _exponent_of(value: Any, least: Any) -> Any:
    """The least number of decimals, from `least` on, that describes `value` exactly, or -1."""
    for exponent in range(least, _MAX_EXPONENT + 1):
        scaled = value * _POWERS[exponent]
        if not abs(scaled) < _EXACT:
            return -1
        if np.rint(scaled) / _POWERS[exponent] == value:
            return exponent
    return -1


@compiled
def _guess_exponent(values: Any) -> Any:
    """Decimals that a few of the values need, or -1 when most of those are no short decimals."""
    count = len(values)
    asked = min(count, _ASKED)
    most = 0
    missed = 0
    for k in range(asked):
        found = _exponent_of(values[k * count // asked], 0)
        most = max(most, found)
        missed += found < 0
    return -1 if 2 * missed > asked else most


@compiled
def _to_decimals(values: Any, bits: Any, exponent: Any, mantissas: Any, odd: Any) -> Any:
    """(number of values that are no decimals of `exponent`, the exponent that would describe more of them).

    Mantissas go to `mantissas`; `odd` marks the others, which take the mantissa before them.
    """
    power = _POWERS[exponent]
    is_good = np.bool_(True)
    for i in range(len(values)):  # nearly always all are, and this loop is quick
        scaled = values[i] * power
        whole = np.rint(scaled)
        good = (
            (abs(scaled) < _EXACT) & (whole / power == values[i]) & ((whole != 0) | (bits[i] == np.uint64(0)))
        )
        mantissas[i] = np.uint64(np.int64(whole if good else 0.0))
        is_good &= good
    if is_good:
        return 0, exponent
    count = 0
    wanted = exponent
    longer = 0
    before = np.int64(0)
    for i in range(len(values)):
        scaled = values[i] * power
        whole = np.rint(scaled)
        if abs(scaled) < _EXACT and whole / power == values[i] and (whole != 0 or bits[i] == np.uint64(0)):
            before = np.int64(whole)
            odd[i] = False
        else:
            odd[i] = True
            count += 1
            if count <= 64:
                more = _exponent_of(values[i], exponent + 1)
                longer += more > 0
                wanted = max(wanted, more)
        mantissas[i] = np.uint64(before)
    if longer <= len(values) >> 5:
        wanted = exponent
    leading = 0
    while leading < len(values) and odd[leading]:
        leading += 1
    if leading < len(values):
        mantissas[:leading] = mantissas[leading]
    return count, wanted


@compiled
def _decimals(values: Any, bits: Any, mantissas: Any, odd: Any) -> Any:
    """(exponent or -1, number of exceptions): how to describe the values as decimals, if that pays."""
    exponent = _guess_exponent(values)
    if exponent < 0:
        return -1, 0
    exceptions, wanted = _to_decimals(values, bits, exponent, mantissas, odd)
    if wanted > exponent:
        exponent = wanted
        exceptions, wanted = _to_decimals(values, bits, exponent, mantissas, odd)
    if exceptions > 1 + (len(values) >> 3):
        return -1, 0
    return exponent, exceptions


@compiled
def _put_exceptions(out: Any, at: Any, bits: Any, odd: Any, exceptions: Any) -> Any:
    """Their number, then place and bits of each; one that repeats the one before says so in a bit."""
    at = _put_int(out, at, np.uint64(exceptions))
    width = _width(np.uint64(len(bits)))
    before = np.uint64(_STALE)
    for i in range(len(bits)):
        if odd[i]:
            at = _put(out, at, np.uint64(i), width)
            at = _put(out, at, np.uint64(bits[i] == before), 1)
            if bits[i] != before:
                at = _put(out, at, bits[i], 64)
                before = bits[i]
    return at


@compiled
def _encode(
    times: Any, values: Any, bits: Any, out: Any, start: Any, numbers: Any, odd: Any, room: Any
) -> Any:
    """One chunk from byte `start` on; the byte after it, or -1 when the timestamps do not ascend."""
    count = len(times)
    for i in range(1, count):
        if times[i] <= times[i - 1]:
            return -1
    at = start * 8 + 8
    width = _width(np.uint64(count))
    at = _put(out, at, np.uint64(width), 5)
    at = _put(out, at, np.uint64(count), width)
    flags = np.int64(_VERSION)
    if count:
        kinds_at = at
        at = _put(out, at, np.uint64(0), 6)
        for i in range(count):
            numbers[i] = np.uint64(times[i])
        at, scaled = _put_series(out, at, numbers[:count], kinds_at, True, room)
        flags |= 32 * scaled
        exponent, exceptions = _decimals(values, bits, numbers, odd)
        if exponent < 0:
            flags |= 16
            numbers[:count] = bits
        else:
            at = _put(out, at, np.uint64(exponent), 5)
        at, scaled = _put_series(out, at, numbers[:count], kinds_at + 3, False, room)
        flags |= 64 * scaled
        if exceptions:
            flags |= 8
            at = _put_exceptions(out, at, bits, odd, exceptions)
    out[start] = np.uint8(flags)
    return (at + 7) >> 3


@compiled
def encode_all(times: Any, values: Any, offsets: Any) -> Any:
    """(payload, payload_offsets, -1), or the index of the first chunk that cannot be encoded as the third."""
    chunks = len(offsets) - 1
    ends = np.zeros(chunks + 1, np.int64)
    longest = 0
    for c in range(chunks):
        longest = max(longest, offsets[c + 1] - offsets[c])
    numbers = np.empty(longest, np.uint64)
    odd = np.empty(longest, np.bool_)
    room = np.empty(_ROOM, np.uint64)
    bits = values.view(np.uint64)
    out = np.empty(2 * len(times) + _BYTES_PER_CHUNK, np.uint8)
    for c in range(chunks):
        here = slice(offsets[c], offsets[c + 1])
        count = offsets[c + 1] - offsets[c]
        if count > _LONGEST:
            return out[:0], ends, c
        needed = ends[c] + count * _BYTES_PER_SAMPLE + _BYTES_PER_CHUNK
        if needed > len(out):
            larger = np.empty(needed + len(out) // 2, np.uint8)
            larger[: ends[c]] = out[: ends[c]]
            out = larger
        end = _encode(times[here], values[here], bits[here], out, ends[c], numbers, odd, room)
        if end < 0:
            return out[:0], ends, c
        ends[c + 1] = end
    return out[: ends[chunks]].copy(), ends, -1

# ruff: noqa: PLR0917, PLR0912 - kernels take flat arrays, and a loop that branches is not split
"""The compiled loops of the journal's encoding (`journal_codec`): samples to four streams of bytes, and back.

Rows are zigzag varints of the difference from the row before; they mostly follow each other. Times are varints of the
difference from what is expected: where a row repeats, the step that was last seen between two samples of a row, else
the first time of the row before. A value is an integer, thousandths, millionths, or the bits of the float (`tag`: kind,
and how many bytes of the value stream it takes); where a row repeats, the difference from the value before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled

__all__ = ["decode", "encode", "unbound"]

_EXACT = 2.0**53
_INTEGER, _THOUSANDTHS, _MILLIONTHS, _BITS = range(4)
_DIFFERENCE = 8  # added to a kind


@compiled
def unbound(refs: Any, fingerprints: Any, bound: Any) -> Any:
    """Positions of the samples whose row is not bound to its fingerprint yet; binds them."""
    found = np.empty(len(refs), np.int64)
    count = 0
    for place in range(len(refs)):
        if bound[refs[place]] != fingerprints[place]:
            bound[refs[place]] = fingerprints[place]
            found[count] = place
            count += 1
    return found[:count]


@compiled
def _put(out: Any, at: Any, number: Any) -> Any:
    """Write an int64 as a zigzag varint; the position behind it."""
    rest = np.uint64((number << 1) ^ (number >> 63))
    while rest > np.uint64(127):
        out[at] = np.uint8(rest & np.uint64(127)) | np.uint8(128)
        rest >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(rest)
    return at + 1


@compiled
def _take(data: Any, at: Any) -> Any:
    """Read what `_put` wrote: (int64, the position behind it), the position -1 when it does not end."""
    number = np.uint64(0)
    for place in range(10):
        if at >= len(data):
            return np.int64(0), -1
        byte = np.uint64(data[at])
        at += 1
        number |= (byte & np.uint64(127)) << np.uint64(7 * place)
        if byte < np.uint64(128):
            return np.int64(number >> np.uint64(1)) ^ -np.int64(number & np.uint64(1)), at
    return np.int64(0), -1


@compiled
def _whole(value: Any, bits: Any) -> Any:
    """(kind, integer) of a value: the scale at which it is an integer and comes back bit by bit, or its bits.

    Zero with a sign, NaN and infinity are only their bits.
    """
    if abs(value) < _EXACT and (value != 0.0 or bits == 0):
        if value == np.rint(value):
            return _INTEGER, np.int64(value)
        scaled = np.rint(value * 1e3)
        if abs(scaled) < _EXACT and scaled / 1e3 == value:
            return _THOUSANDTHS, np.int64(scaled)
        scaled = np.rint(value * 1e6)
        if abs(scaled) < _EXACT and scaled / 1e6 == value:
            return _MILLIONTHS, np.int64(scaled)
    return _BITS, bits


@compiled
def encode(refs: Any, times: Any, values: Any, bits: Any) -> Any:
    """The streams of m samples: (rows, times, tags, values), each uint8[]."""
    count = len(refs)
    rows, at_rows = np.empty(5 * count, np.uint8), 0
    moments, at_moments = np.empty(10 * count, np.uint8), 0
    tags = np.empty(count, np.uint8)
    numbers, at_numbers = np.empty(8 * count, np.uint8), 0
    row, moment, first, step = np.int64(-1), np.int64(0), np.int64(0), np.int64(0)
    kind_before, number_before = np.int64(-1), np.int64(0)
    for place in range(count):
        ref, time = np.int64(refs[place]), times[place]
        repeats = ref == row
        at_rows = _put(rows, at_rows, ref - row)
        row = ref
        # A repeated row goes on at the last known step, another one starts where the row before started.
        at_moments = _put(moments, at_moments, time - (moment + step if repeats else first))
        if repeats:
            step = time - moment
        else:
            first = time
        moment = time
        kind, number = _whole(values[place], bits[place])
        written = number
        tag = kind
        if repeats and kind == kind_before and kind != _BITS:
            written = number - number_before
            tag = kind + _DIFFERENCE
        kind_before, number_before = kind, number
        rest = np.uint64(written) if kind == _BITS else np.uint64((written << 1) ^ (written >> 63))
        size = 0
        while rest > np.uint64(0):
            numbers[at_numbers] = np.uint8(rest & np.uint64(255))
            rest >>= np.uint64(8)
            at_numbers += 1
            size += 1
        tags[place] = np.uint8(tag << 4 | size)
    return rows[:at_rows], moments[:at_moments], tags, numbers[:at_numbers]


@compiled
def decode(count: Any, refs: Any, rows: Any, moments: Any, tags: Any, numbers: Any) -> Any:
    """Reverses `encode`: (refs int32[m], times int64[m], bits int64[m], whether all was intact).

    `refs` int32[] says what the rows are now, less than -1 where a row was never bound.
    """
    found = np.empty(count, np.int32)
    times = np.empty(count, np.int64)
    values = np.empty(count, np.float64)
    bits = values.view(np.int64)
    at_rows, at_moments, at_numbers = np.int64(0), np.int64(0), np.int64(0)
    row, moment, first, step = np.int64(-1), np.int64(0), np.int64(0), np.int64(0)
    number = np.int64(0)
    for place in range(count):
        moved, at_rows = _take(rows, at_rows)
        if at_rows < 0:
            return found, times, bits, False
        ref = row + moved
        if ref < 0 or ref >= len(refs) or refs[ref] < -1:
            return found, times, bits, False
        repeats = ref == row
        row = ref
        found[place] = refs[ref]
        shift, at_moments = _take(moments, at_moments)
        if at_moments < 0:
            return found, times, bits, False
        time = shift + (moment + step if repeats else first)
        if repeats:
            step = time - moment
        else:
            first = time
        moment = time
        times[place] = time
        size, kind = np.int64(tags[place] & 15), np.int64(tags[place] >> 4)
        if size > 8 or at_numbers + size > len(numbers):
            return found, times, bits, False
        rest = np.uint64(0)
        for byte in range(size):
            rest |= np.uint64(numbers[at_numbers + byte]) << np.uint64(8 * byte)
        at_numbers += size
        if kind == _BITS:
            bits[place] = np.int64(rest)
            continue
        written = np.int64(rest >> np.uint64(1)) ^ -np.int64(rest & np.uint64(1))
        if kind >= _DIFFERENCE:
            kind -= _DIFFERENCE
            written += number
        number = written
        if kind == _INTEGER:
            values[place] = np.float64(number)
        elif kind == _THOUSANDTHS:
            values[place] = np.float64(number) / 1e3
        elif kind == _MILLIONTHS:
            values[place] = np.float64(number) / 1e6
        else:
            return found, times, bits, False
    intact = at_rows == len(rows) and at_moments == len(moments) and at_numbers == len(numbers)
    return found, times, bits, intact

"""Samples as Prometheus's wire has them, compiled: protobuf `Sample` messages, and chunks in its XOR encoding.

`remote_read` calls them. The XOR chunks are those of Prometheus's tsdb/chunkenc (Gorilla's encoding with its own
widths for timestamps): two bytes of how many samples, then a stream of bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled

__all__ = ["CHUNK_SAMPLES", "castagnoli", "put_chunks", "put_samples", "warm"]

CHUNK_SAMPLES = 120
"""Samples of a chunk, as Prometheus cuts them."""

SAMPLE_BYTES = 22
CHUNK_BYTES_PER_SAMPLE = 20
_CHUNK_HEAD_BYTES = 2

Bytes = npt.NDArray[np.uint8]
Times = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def _castagnoli_table() -> npt.NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1).astype(np.uint32)
    return table


_TABLE = _castagnoli_table()
_U0, _U1 = np.uint64(0), np.uint64(1)


@compiled
def castagnoli(data: Bytes) -> int:
    """The CRC-32 of `data` with Castagnoli's polynomial."""
    crc = np.uint32(0xFFFFFFFF)
    for place in range(len(data)):
        crc = _TABLE[np.uint8(crc) ^ data[place]] ^ (crc >> np.uint32(8))
    return int(crc ^ np.uint32(0xFFFFFFFF))


@compiled
def _put_varint(number: Any, out: Bytes, at: int) -> int:
    while number > np.uint64(0x7F):
        out[at] = np.uint8(number & np.uint64(0x7F)) | np.uint8(0x80)
        number >>= np.uint64(7)
        at += 1
    out[at] = np.uint8(number)
    return at + 1


@compiled
def put_samples(times: Times, values: Floats, out: Bytes) -> int:
    """Write samples as field 2 of a `TimeSeries`, SAMPLE_BYTES each at most; how many bytes."""
    bits = values.view(np.uint64)
    at = 0
    for place in range(len(times)):
        out[at] = 0x12
        start = at + 2
        out[start] = 0x09
        for byte in range(8):
            out[start + 1 + byte] = np.uint8(bits[place] >> np.uint64(8 * byte) & np.uint64(0xFF))
        out[start + 9] = 0x10
        end = _put_varint(np.uint64(times[place]), out, start + 10)
        out[at + 1] = end - start
        at = end
    return at


@compiled
def _put_bits(number: Any, count: int, out: Bytes, at: int) -> int:
    """Write the lowest `count` bits of `number` from bit `at` on; the bits there are zero."""
    while count > 0:
        room = 8 - (at & 7)
        taken = min(room, count)
        part = (number >> np.uint64(count - taken)) & np.uint64((1 << taken) - 1)
        out[at >> 3] |= np.uint8(part << np.uint64(room - taken))
        at += taken
        count -= taken
    return at


@compiled
def _put_delta(change: int, out: Bytes, at: int) -> int:
    """Write how the distance of timestamps changed."""
    if change == 0:
        return at + 1
    number = np.uint64(change)
    if -8191 <= change <= 8192:
        return _put_bits(number, 14, out, _put_bits(np.uint64(2), 2, out, at))
    if -65535 <= change <= 65536:
        return _put_bits(number, 17, out, _put_bits(np.uint64(6), 3, out, at))
    if -524287 <= change <= 524288:
        return _put_bits(number, 20, out, _put_bits(np.uint64(14), 4, out, at))
    return _put_bits(number, 64, out, _put_bits(np.uint64(15), 4, out, at))


@compiled
def _zeros(number: Any) -> tuple[int, int]:
    """Leading and trailing zero bits of a uint64 that is not 0."""
    leading, trailing = 0, 0
    while not number >> np.uint64(63 - leading) & _U1:
        leading += 1
    while not number >> np.uint64(trailing) & _U1:
        trailing += 1
    return leading, trailing


@compiled
def _put_chunk(times: Times, bits: Any, out: Bytes, first: int) -> int:
    """Write samples as one chunk at byte `first`; the byte after it."""
    count = len(times)
    out[first], out[first + 1] = np.uint8(count >> 8), np.uint8(count & 0xFF)
    time = times[0]
    at = 8 * _put_varint(np.uint64(time << 1) ^ np.uint64(time >> 63), out, first + _CHUNK_HEAD_BYTES)
    at = _put_bits(bits[0], 64, out, at)
    distance = np.int64(0)
    leading, trailing = -1, 0
    for place in range(1, count):
        step = times[place] - times[place - 1]
        is_second = place == 1
        at = (
            8 * _put_varint(np.uint64(step), out, at >> 3)
            if is_second
            else _put_delta(step - distance, out, at)
        )
        distance = step
        change = bits[place] ^ bits[place - 1]
        if change == _U0:
            at += 1
            continue
        at = _put_bits(_U1, 1, out, at)
        new_leading, new_trailing = _zeros(change)
        new_leading = min(new_leading, 31)
        if leading >= 0 and new_leading >= leading and new_trailing >= trailing:
            at += 1
        else:
            leading, trailing = new_leading, new_trailing
            width = 64 - leading - trailing
            at = _put_bits(_U1, 1, out, at)
            at = _put_bits(np.uint64(leading), 5, out, at)
            at = _put_bits(np.uint64(width & 63), 6, out, at)
        at = _put_bits(change >> np.uint64(trailing), 64 - leading - trailing, out, at)
    return (at + 7) >> 3


@compiled
def put_chunks(times: Times, values: Floats, out: Bytes, ends: Times) -> int:
    """Write the samples of a series as chunks of CHUNK_SAMPLES to `out`, which holds zeros and has
    CHUNK_BYTES_PER_SAMPLE for each and some for every chunk; chunk i ends at `ends[i]`. How many chunks.
    """
    bits = values.view(np.uint64)
    at, number = 0, 0
    for start in range(0, len(times), CHUNK_SAMPLES):
        end = min(start + CHUNK_SAMPLES, len(times))
        at = _put_chunk(times[start:end], bits[start:end], out, at)
        ends[number] = at
        number += 1
    return number


def warm() -> None:
    """Compile the kernels, or load them from the cache."""
    times, values, out = np.array([1, 2, 4], np.int64), np.array([1.0, 2.5, 1.0]), np.zeros(256, np.uint8)
    put_chunks(times, values, out, np.zeros(1, np.int64))
    put_samples(times, values, out)
    castagnoli(out)

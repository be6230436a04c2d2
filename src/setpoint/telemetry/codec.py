"""Encoded chunks: runs of samples of one series as few bytes, which the head keeps in memory, the store on
disk and compaction re-encodes.

A chunk is a string of bits, lowest first, that describes itself:

    8  version (3) and flags: 8 exceptions, 16 bit patterns, 32 timestamps scaled, 64 values scaled
    n  number of samples: 5 bits of length, then the number
    3  kind of the timestamps, 3 kind of the values
    …  timestamps: first, factor (if scaled), numbers
    5  decimal exponent e (not for bit patterns)
    …  values: first, factor (if scaled), numbers
    …  exceptions (if any): number, then place and raw bits of each

Values are integers m that stand for m / 10^e, exact for what was written as a decimal; what is no such
decimal (a stale marker, -0.0, 0.1 + 0.2) is an exception, and where most are, the bit patterns themselves
are the integers. Timestamps and values are then both sequences of integers relative to the first, divided by
their common factor, of a kind: flat (i·s), linear (i·s + residue), delta, delta of delta, level (residue).
Residues go in blocks of 32, as differences from a reference that follows the mean of the block before: a
byte of width and one bit "patched", the low bits of each, and if patched the high bits and places of the
outliers. So a constant interval or value costs nothing per sample, a jittered interval about 2 bits.

Scalars are zigzag integers with 7 bits of length. The idea of patched blocks is that of Zukowski et al.,
"Super-Scalar RAM-CPU Cache Compression" (2006), of decimals with exceptions that of Afroozeh et al., "ALP"
(2023).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.errors import InvalidInput, SetpointError
from setpoint.telemetry.codec_decode import decode_into, first_bad_header
from setpoint.telemetry.codec_encode import encode_all

__all__ = ["CorruptChunk", "decode_chunks", "decode_into", "encode_chunks", "warm"]


class CorruptChunk(SetpointError):
    """A stored chunk of samples is damaged; restore the telemetry database from a backup."""

    code = "corrupt_chunk"


def encode_chunks(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], offsets: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Encode chunk i from positions `offsets[i]:offsets[i + 1]`: (payload uint8[k], payload_offsets int64[n + 1]).

    `times` int64[m] strictly ascending within a chunk, `values` float64[m], kept bit for bit, `offsets`
    int64[n + 1]. Raises InvalidInput when timestamps do not ascend or a chunk holds more than 2^24 samples.
    """
    if not (offsets[0] >= 0 and offsets[-1] <= len(times) == len(values) and (np.diff(offsets) >= 0).all()):
        raise InvalidInput("the offsets of chunks do not fit their samples; nothing was encoded")
    payload, payload_offsets, bad = encode_all(
        np.ascontiguousarray(times, np.int64),
        np.ascontiguousarray(values, np.float64),
        np.ascontiguousarray(offsets, np.int64),
    )
    if bad >= 0:
        raise InvalidInput(
            f"chunk {bad} cannot be encoded: its timestamps must ascend, at most 2^24 of them; sort and split it"
        )
    return payload, payload_offsets


def decode_chunks(
    payload: npt.NDArray[np.uint8],
    payload_offsets: npt.NDArray[np.int64],
    counts: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """The samples of n chunks: (times int64[m], values float64[m], offsets int64[n + 1]).

    `payload` uint8[k], chunk i at `payload_offsets[i]:payload_offsets[i + 1]` with `counts[i]` samples.
    Raises CorruptChunk for anything malformed; a count that disagrees is found before memory is taken.
    """
    payload = np.ascontiguousarray(payload, np.uint8)
    bounds = np.ascontiguousarray(payload_offsets, np.int64)
    many = np.ascontiguousarray(counts, np.int64)
    if len(bounds) != len(many) + 1:
        raise CorruptChunk("the offsets of stored chunks do not fit their number")
    starts, ends = bounds[:-1], bounds[1:]
    bad = first_bad_header(payload, starts, ends, many)
    if bad < 0:
        offsets = np.zeros(len(many) + 1, np.int64)
        np.cumsum(many, out=offsets[1:])
        times, values = np.empty(offsets[-1], np.int64), np.empty(offsets[-1], np.float64)
        bad = decode_into(payload, starts, ends, many, offsets[:-1], times, values)
        if bad < 0:
            return times, values, offsets
    raise CorruptChunk(
        f"stored chunk {bad} ({int(many[bad])} samples, {int(ends[bad] - starts[bad])} bytes) is damaged; "
        "restore the telemetry database from a backup"
    )


def warm() -> None:
    """Compile the kernels, or load them from the cache."""
    times, values = np.arange(3, dtype=np.int64), np.array([1.0, 2.5, np.nan])
    payload, offsets = encode_chunks(times, values, np.array([0, 3], np.int64))
    decode_chunks(payload, offsets, np.array([3], np.int64))

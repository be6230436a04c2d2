# ruff: noqa: PLR0917 - kernels take flat arrays
"""Chunks as rows of ClickHouse's RowBinary, for `blocks`: fingerprint, first_ms, last_ms, samples (4 bytes), generation
as fixed-width little-endian numbers, then the payload behind its length as a varint.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.telemetry.compiled import compiled

__all__ = ["columns_of", "count_rows", "gathered", "rows_of"]


@compiled
def rows_of(
    fingerprints: Any,
    first_ms: Any,
    last_ms: Any,
    counts: Any,
    generations: Any,
    starts: Any,
    ends: Any,
    payload: Any,
) -> Any:
    """The chunks as RowBinary: the fixed columns, the payload's length as a varint, the payload."""
    size = 0
    for place in range(len(starts)):
        size += 46 + ends[place] - starts[place]
    out = np.empty(size, np.uint8)
    at = 0
    for place in range(len(starts)):
        words = (
            fingerprints[place],
            np.uint64(first_ms[place]),
            np.uint64(last_ms[place]),
            np.uint64(counts[place]),
            generations[place],
        )
        for column in range(5):
            word = words[column]
            for _ in range(4 if column == 3 else 8):
                out[at] = np.uint8(word & np.uint64(255))
                word >>= np.uint64(8)
                at += 1
        length = ends[place] - starts[place]
        rest = length
        while rest > 127:
            out[at] = np.uint8(rest & 127 | 128)
            rest >>= 7
            at += 1
        out[at] = np.uint8(rest)
        at += 1
        out[at : at + length] = payload[starts[place] : ends[place]]
        at += length
    return out[:at]


@compiled
def _payload_at(data: Any, at: Any) -> Any:
    """Start and end of the payload of the row at `at`; an end of -1 when the row is not whole."""
    at += 36
    length = np.int64(0)
    for place in range(9):
        if at >= len(data):
            return at, np.int64(-1)
        byte = np.int64(data[at])
        at += 1
        length |= (byte & 127) << (7 * place)
        if byte < 128:
            break
    if length > len(data) - at:
        return at, np.int64(-1)
    return at, at + length


@compiled
def count_rows(data: Any) -> Any:
    """Number of rows, -1 when the last is not whole."""
    at, count = np.int64(0), 0
    while at < len(data):
        _, at = _payload_at(data, at)
        if at < 0:
            return -1
        count += 1
    return count


@compiled
def _word(data: Any, at: Any, size: Any) -> Any:
    word = np.uint64(0)
    for place in range(size):
        word |= np.uint64(data[at + place]) << np.uint64(8 * place)
    return word


@compiled
def columns_of(data: Any, count: Any) -> Any:
    """The rows as columns, as in `StoredChunks`; the rows are whole."""
    fingerprints, generations = np.empty(count, np.uint64), np.empty(count, np.uint64)
    first_ms, last_ms = np.empty(count, np.int64), np.empty(count, np.int64)
    counts = np.empty(count, np.int64)
    starts, ends = np.empty(count, np.int64), np.empty(count, np.int64)
    at = np.int64(0)
    for place in range(count):
        fingerprints[place] = _word(data, at, 8)
        first_ms[place] = np.int64(_word(data, at + 8, 8))
        last_ms[place] = np.int64(_word(data, at + 16, 8))
        counts[place] = np.int64(_word(data, at + 24, 4))
        generations[place] = _word(data, at + 28, 8)
        starts[place], ends[place] = _payload_at(data, at)
        at = ends[place]
    return fingerprints, first_ms, last_ms, counts, generations, starts, ends


@compiled
def gathered(payload: Any, starts: Any, ends: Any, offsets: Any) -> Any:
    out = np.empty(offsets[-1], np.uint8)
    for place in range(len(starts)):
        out[offsets[place] : offsets[place + 1]] = payload[starts[place] : ends[place]]
    return out

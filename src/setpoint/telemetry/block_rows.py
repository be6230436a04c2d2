# ruff: noqa: PLR0917 - kernels take flat arrays
"""Chunks as rows of ClickHouse's RowBinary, for `blocks`: fingerprint, first_ms, last_ms, samples (4 bytes), generation
as fixed-width little-endian numbers, then the payload behind its length as a varint.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled
from setpoint.telemetry.row_binary import put_text, put_word, text_at, word_at

__all__ = ["columns_of", "count_rows", "gathered", "rows_of"]

_FIXED_BYTES = 36


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
            at = put_word(out, at, words[column], 4 if column == 3 else 8)
        at = put_text(out, at, payload, starts[place], ends[place])
    return out[:at]


@compiled
def count_rows(data: Any) -> Any:
    """Number of rows, -1 when the last is not whole."""
    at, count = np.int64(0), 0
    while at < len(data):
        _, at = text_at(data, at + _FIXED_BYTES)
        if at < 0:
            return -1
        count += 1
    return count


@compiled
def columns_of(data: Any, count: Any) -> Any:
    """The rows as columns, as in `StoredChunks`; the rows are whole."""
    fingerprints, generations = np.empty(count, np.uint64), np.empty(count, np.uint64)
    first_ms, last_ms = np.empty(count, np.int64), np.empty(count, np.int64)
    counts = np.empty(count, np.int64)
    starts, ends = np.empty(count, np.int64), np.empty(count, np.int64)
    at = np.int64(0)
    for place in range(count):
        fingerprints[place] = word_at(data, at, 8)
        first_ms[place] = np.int64(word_at(data, at + 8, 8))
        last_ms[place] = np.int64(word_at(data, at + 16, 8))
        counts[place] = np.int64(word_at(data, at + 24, 4))
        generations[place] = word_at(data, at + 28, 8)
        starts[place], ends[place] = text_at(data, at + _FIXED_BYTES)
        at = ends[place]
    return fingerprints, first_ms, last_ms, counts, generations, starts, ends


@compiled
def gathered(payload: Any, starts: Any, ends: Any, offsets: Any) -> Any:
    out = np.empty(offsets[-1], np.uint8)
    for place in range(len(starts)):
        out[offsets[place] : offsets[place + 1]] = payload[starts[place] : ends[place]]
    return out

"""ClickHouse's RowBinary in compiled loops: little-endian numbers, and texts behind their length as a varint.

`block_rows` and `rollup_kernels` write and read the rows of their tables with it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled

__all__ = ["put_text", "put_word", "text_at", "word_at"]


@compiled
def put_word(out: Any, at: Any, word: Any, size: Any) -> Any:
    """The low `size` bytes of `word`; the place after them."""
    for place in range(size):
        out[at + place] = np.uint8(word & np.uint64(255))
        word >>= np.uint64(8)
    return at + size


@compiled
def put_text(out: Any, at: Any, payload: Any, start: Any, end: Any) -> Any:
    """`payload[start:end]` as a String: its length as a varint, then its bytes; the place after it."""
    rest = end - start
    while rest > 127:
        out[at] = np.uint8(rest & 127 | 128)
        rest >>= 7
        at += 1
    out[at] = np.uint8(rest)
    at += 1
    out[at : at + end - start] = payload[start:end]
    return at + end - start


@compiled
def word_at(data: Any, at: Any, size: Any) -> Any:
    """The number of `size` bytes at `at`, uint64."""
    word = np.uint64(0)
    for place in range(size):
        word |= np.uint64(data[at + place]) << np.uint64(8 * place)
    return word


@compiled
def text_at(data: Any, at: Any) -> Any:
    """Start and end of the text whose length stands at `at`; an end of -1 when it is not whole."""
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

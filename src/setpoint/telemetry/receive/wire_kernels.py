# ruff: noqa: PLR0911, PLR0917, PLR1714 - flat arguments, plain comparisons, out at the first fault
"""What the compiled scans of requests share: words, 128-bit products, and the reading of protobuf fields.

`metric_kernels` calls all of it. `remote_write_kernels` reads fields by itself, because it tells a sender which rule of
the wire format was broken, and takes only words and products from here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from setpoint.compiled import compiled_lean

__all__ = ["field", "fold", "hashed", "varint", "word_at"]

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

_HASH_BLOCK = 16


@intrinsic  # type: ignore[untyped-decorator]
def fold(typing: Any, left: Any, right: Any) -> Any:
    """The two halves of a 128-bit product, exclusive-or."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        wide, word = ir.IntType(128), ir.IntType(64)
        product = builder.mul(builder.zext(arguments[0], wide), builder.zext(arguments[1], wide))
        high = builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), word)
        return builder.xor(builder.trunc(product, word), high)

    return types.uint64(types.uint64, types.uint64), build


@compiled_lean
def word_at(body: Bytes, at: int) -> Any:
    """The eight bytes at `at`, little-endian; the compiler makes one load of it."""
    word = np.uint64(0)
    for place in range(8):
        word |= np.uint64(body[at + place]) << np.uint64(8 * place)
    return word


@compiled_lean
def hashed(body: Bytes, at: int, end: int, high: Any, low: Any, secret: Words) -> Any:
    """The 128-bit key of `body[at:end]` under the key (high, low); with `secret` uint64[6] nobody can choose it."""
    high, low = high ^ np.uint64(end - at), low ^ secret[0]
    while end - at >= _HASH_BLOCK:
        one, other = word_at(body, at), word_at(body, at + 8)
        high = fold(one ^ secret[1], other ^ high)
        low = fold(one ^ secret[2], other ^ low)
        at += _HASH_BLOCK
    one, other = np.uint64(0), np.uint64(0)
    if end - at >= 8:
        one = word_at(body, at)
        at += 8
    shift = np.uint64(0)
    while at < end:
        other |= np.uint64(body[at]) << shift
        shift += np.uint64(8)
        at += 1
    high = fold(one ^ secret[3], other ^ high)
    low = fold(one ^ secret[4], other ^ low)
    return fold(high, secret[5] ^ low) ^ high, fold(low, secret[1] ^ high) ^ low


@compiled_lean
def varint(body: Bytes, at: int, end: int) -> Any:
    """A varint and the place behind it; -1 there when it is none."""
    value, shift = np.uint64(0), np.uint64(0)
    while at < end and shift < np.uint64(64):
        byte = np.uint64(body[at])
        at += 1
        value |= (byte & np.uint64(127)) << shift
        if byte < np.uint64(128):
            return value, at
        shift += np.uint64(7)
    return value, np.int64(-1)


@compiled_lean
def field(body: Bytes, at: int, end: int) -> Any:
    """Tag, first byte of the payload, place behind the field; the last is -1 for what is odd."""
    if end - at >= 2 and body[at] < 128 and body[at + 1] < 128 and body[at] & 7 == 2 and body[at] >= 8:
        behind = at + 2 + np.int64(body[at + 1])  # a short string or message of a low field: most fields
        return np.int64(body[at]), at + 2, behind if behind <= end else np.int64(-1)
    wide, at = varint(body, at, end)
    if at < 0 or wide < np.uint64(8) or wide > np.uint64(0xFFFFFFFF):
        return np.int64(0), at, np.int64(-1)
    tag = np.int64(wide)
    wire = tag & 7
    if wire == 2:
        length, at = varint(body, at, end)
        if at < 0 or length > np.uint64(end - at):
            return tag, at, np.int64(-1)
        return tag, at, at + np.int64(length)
    if wire == 0:
        _, behind = varint(body, at, end)
        return tag, at, behind
    width = 8 if wire == 1 else 4
    if (wire != 1 and wire != 5) or end - at < width:
        return tag, at, np.int64(-1)
    return tag, at, at + width

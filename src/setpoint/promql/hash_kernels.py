"""XXH64 with seed 0, compiled: the hash of many byte strings that lie one after the other.

`sampling` hashes labels with it. The algorithm is that of the xxHash specification
(github.com/Cyan4973/xxHash, doc/xxhash_spec.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled

__all__ = ["warm", "xxh64"]

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)
_BITS = np.uint64(64)


@compiled
def _rotated(value: Any, bits: Any) -> Any:
    return (value << bits) | (value >> (_BITS - bits))


@compiled
def _read(data: Any, at: Any, count: Any) -> Any:
    """A little-endian number of `count` bytes."""
    value = np.uint64(0)
    for i in range(count):
        value |= np.uint64(data[at + i]) << np.uint64(8 * i)
    return value


@compiled
def _round(lane: Any, word: Any) -> Any:
    return _rotated(lane + word * _P2, np.uint64(31)) * _P1


@compiled
def _stripes(data: Any, at: Any, stop: Any) -> Any:
    """The state after all stripes of 32 bytes, and where the rest begins."""
    a, b, c, d = _P1 + _P2, _P2, np.uint64(0), np.uint64(0) - _P1
    while at + 32 <= stop:
        a = _round(a, _read(data, at, 8))
        b = _round(b, _read(data, at + 8, 8))
        c = _round(c, _read(data, at + 16, 8))
        d = _round(d, _read(data, at + 24, 8))
        at += 32
    state = (
        _rotated(a, np.uint64(1))
        + _rotated(b, np.uint64(7))
        + _rotated(c, np.uint64(12))
        + _rotated(d, np.uint64(18))
    )
    for lane in (a, b, c, d):
        state = (state ^ _round(np.uint64(0), lane)) * _P1 + _P4
    return state, at


@compiled
def xxh64(data: Any, offsets: Any) -> Any:
    """The hash of each `data[offsets[i]:offsets[i + 1]]` (uint8), uint64[n]."""
    hashes = np.empty(len(offsets) - 1, np.uint64)
    for i in range(len(hashes)):
        at, stop = offsets[i], offsets[i + 1]
        length = stop - at
        if length >= 32:
            state, at = _stripes(data, at, stop)
        else:
            state = _P5
        state += np.uint64(length)
        while at + 8 <= stop:
            state ^= _round(np.uint64(0), _read(data, at, 8))
            state = _rotated(state, np.uint64(27)) * _P1 + _P4
            at += 8
        if at + 4 <= stop:
            state ^= _read(data, at, 4) * _P1
            state = _rotated(state, np.uint64(23)) * _P2 + _P3
            at += 4
        while at < stop:
            state ^= np.uint64(data[at]) * _P5
            state = _rotated(state, np.uint64(11)) * _P1
            at += 1
        state = (state ^ (state >> np.uint64(33))) * _P2
        state = (state ^ (state >> np.uint64(29))) * _P3
        hashes[i] = state ^ (state >> np.uint64(32))
    return hashes


def warm() -> None:
    """Compile the kernels of this file, or load them from the cache."""
    xxh64(np.frombuffer(bytes(40), np.uint8), np.array([0, 40], np.int64))

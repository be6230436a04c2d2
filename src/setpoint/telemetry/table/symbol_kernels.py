# ruff: noqa: PLR0917 - kernels take flat arrays
"""The compiled loops of `symbols`: hashing, interning, releasing and copying strings in one byte arena.

Strings come from senders, so the hash is SipHash-1-3 (Aumasson and Bernstein, 2012) under a random key, as
in Python's own dictionaries: nobody can choose strings that all fall into one slot.

`counters` int64[4]: ids given out so far, the first free id (-1: none; `starts` of a free id is the next
one), bytes of the arena in use, live strings.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled

__all__ = ["copy_texts", "distinct", "find_texts", "hold", "intern_texts", "place_all", "release", "renumber"]

IDS, FREE, BYTES, LIVE = range(4)


@compiled
def _rotate(word: Any, bits: Any) -> Any:
    return (word << np.uint64(bits)) | (word >> np.uint64(64 - bits))


@compiled
def _round(v0: Any, v1: Any, v2: Any, v3: Any) -> Any:
    v0 += v1
    v1 = _rotate(v1, 13) ^ v0
    v0 = _rotate(v0, 32)
    v2 += v3
    v3 = _rotate(v3, 16) ^ v2
    v0 += v3
    v3 = _rotate(v3, 21) ^ v0
    v2 += v1
    v1 = _rotate(v1, 17) ^ v2
    v2 = _rotate(v2, 32)
    return v0, v1, v2, v3


@compiled
def _word(data: Any, start: Any, count: Any) -> Any:
    """`count` (up to 8) bytes as a little-endian number."""
    word = np.uint64(0)
    for k in range(count):
        word |= np.uint64(data[start + k]) << np.uint64(8 * k)
    return word


@compiled
def _hash(data: Any, start: Any, length: Any, key: Any) -> Any:
    """SipHash-1-3 of bytes, its upper 32 bits."""
    v0 = key[0] ^ np.uint64(0x736F6D6570736575)
    v1 = key[1] ^ np.uint64(0x646F72616E646F6D)
    v2 = key[0] ^ np.uint64(0x6C7967656E657261)
    v3 = key[1] ^ np.uint64(0x7465646279746573)
    whole = length - length % 8
    for at in range(0, whole, 8):
        word = _word(data, start + at, 8)
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
    word = _word(data, start + whole, length - whole) | (np.uint64(length) << np.uint64(56))
    v3 ^= word
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0 ^= word
    v2 ^= np.uint64(0xFF)
    for _ in range(3):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return np.uint32((v0 ^ v1 ^ v2 ^ v3) >> np.uint64(32))


@compiled
def _home(hash_: Any, size: Any) -> Any:
    """The slot where a hash belongs, without a power of two for a size."""
    return np.int64((np.uint64(hash_) * np.uint64(size)) >> np.uint64(32))


@compiled
def _same(left: Any, at_left: Any, right: Any, at_right: Any, length: Any) -> Any:
    for k in range(length):  # noqa: SIM110 — all() is slow to compile
        if left[at_left + k] != right[at_right + k]:
            return False
    return True


@compiled
def _slot(
    blob: Any, at: Any, length: Any, hash_: Any, data: Any, starts: Any, lengths: Any, hashes: Any, slots: Any
) -> Any:
    """The slot of a string, or the empty one where it belongs."""
    place = _home(hash_, len(slots))
    while True:
        symbol = slots[place]
        if symbol < 0:
            return place
        if (
            hashes[symbol] == hash_
            and lengths[symbol] == length
            and _same(blob, at, data, starts[symbol], length)
        ):
            return place
        place += 1
        if place == len(slots):
            place = 0


@compiled
def intern_texts(
    blob: Any,
    offsets: Any,
    key: Any,
    data: Any,
    starts: Any,
    lengths: Any,
    uses: Any,
    hashes: Any,
    slots: Any,
    counters: Any,
) -> Any:
    """The ids int32[k] of the strings `blob[offsets[i]:offsets[i + 1]]`, unknown ones added without a use.

    The arrays must have room for k more strings and their bytes.
    """
    ids = np.empty(len(offsets) - 1, np.int32)
    for i in range(len(ids)):
        at, length = offsets[i], offsets[i + 1] - offsets[i]
        hash_ = _hash(blob, at, length, key)
        place = _slot(blob, at, length, hash_, data, starts, lengths, hashes, slots)
        symbol = slots[place]
        if symbol < 0:
            symbol = counters[FREE]
            if symbol >= 0:
                counters[FREE] = starts[symbol]
            else:
                symbol = counters[IDS]
                counters[IDS] += 1
            start = counters[BYTES]
            data[start : start + length] = blob[at : at + length]
            starts[symbol], lengths[symbol], uses[symbol], hashes[symbol] = start, length, 0, hash_
            counters[BYTES] = start + length
            counters[LIVE] += 1
            slots[place] = symbol
        ids[i] = symbol
    return ids


@compiled
def find_texts(
    blob: Any, offsets: Any, key: Any, data: Any, starts: Any, lengths: Any, hashes: Any, slots: Any
) -> Any:
    """The ids int32[k] of strings, -1 for an unknown one."""
    ids = np.empty(len(offsets) - 1, np.int32)
    for i in range(len(ids)):
        at, length = offsets[i], offsets[i + 1] - offsets[i]
        hash_ = _hash(blob, at, length, key)
        ids[i] = slots[_slot(blob, at, length, hash_, data, starts, lengths, hashes, slots)]
    return ids


@compiled
def hold(uses: Any, ids: Any) -> None:
    """Count one more use of each of `ids`."""
    for symbol in ids:
        uses[symbol] += 1


@compiled
def _take_out(symbol: Any, hashes: Any, slots: Any) -> None:
    """Empty the slot of `symbol` and move back what had to go around it."""
    size = len(slots)
    hole = _home(hashes[symbol], size)
    while slots[hole] != symbol:
        hole = hole + 1 if hole + 1 < size else 0
    place = hole
    while True:
        place = place + 1 if place + 1 < size else 0
        other = slots[place]
        if other < 0:
            break
        home = _home(hashes[other], size)
        if (place - home) % size >= (place - hole) % size:
            slots[hole] = other
            hole = place
    slots[hole] = -1


@compiled
def release(ids: Any, starts: Any, lengths: Any, uses: Any, hashes: Any, slots: Any, counters: Any) -> Any:
    """Count one use less of each of `ids`, forget those without any; returns the bytes that became waste."""
    waste = 0
    for symbol in ids:
        uses[symbol] -= 1
        if uses[symbol] == 0:
            _take_out(symbol, hashes, slots)
            waste += lengths[symbol]
            lengths[symbol] = 0
            starts[symbol] = counters[FREE]
            counters[FREE] = symbol
            counters[LIVE] -= 1
    return waste


@compiled
def place_all(count: Any, uses: Any, hashes: Any, slots: Any) -> None:
    """Enter every live id below `count` into the empty table `slots`."""
    for symbol in range(count):
        if uses[symbol] > 0:
            place = _home(hashes[symbol], len(slots))
            while slots[place] >= 0:
                place = place + 1 if place + 1 < len(slots) else 0
            slots[place] = symbol


@compiled
def copy_texts(data: Any, starts: Any, lengths: Any) -> Any:
    """The strings at `starts`, `lengths` as (bytes, offsets int64[k + 1])."""
    offsets = np.zeros(len(starts) + 1, np.int64)
    for i in range(len(starts)):
        offsets[i + 1] = offsets[i] + lengths[i]
    blob = np.empty(offsets[-1], np.uint8)
    for i in range(len(starts)):
        blob[offsets[i] : offsets[i + 1]] = data[starts[i] : starts[i] + lengths[i]]
    return blob, offsets


@compiled
def renumber(count: Any, uses: Any) -> Any:
    """New ids without gaps for the live ones below `count`: (old to new int32[count], new to old int32[k])."""
    new = np.full(count, -1, np.int32)
    old = np.empty(count, np.int32)
    live = 0
    for symbol in range(count):
        if uses[symbol] > 0:
            new[symbol] = live
            old[live] = symbol
            live += 1
    return new, old[:live].copy()


@compiled
def distinct(ids: Any) -> Any:
    """The different ones of `ids` (not below 0) in the order of their first place, int32[k], and for each of
    `ids` its place among them, int32[n].
    """
    size = 16
    while size < 2 * len(ids):
        size *= 2
    slots = np.full(size, -1, np.int32)
    found = np.empty(len(ids), np.int32)
    places = np.empty(len(ids), np.int32)
    used = 0
    for i in range(len(ids)):
        slot = (np.int64(ids[i]) * 0x9E3779B1 >> 7) & (size - 1)
        while slots[slot] >= 0 and found[slots[slot]] != ids[i]:
            slot = (slot + 1) & (size - 1)
        if slots[slot] < 0:
            slots[slot] = used
            found[used] = ids[i]
            used += 1
        places[i] = slots[slot]
    return found[:used].copy(), places

# ruff: noqa: PLR0917 - kernels take flat arrays
"""The compiled loops of `pairs`: interning label pairs and keeping the list of refs that have each.

A pair that one series has keeps the ref itself in `starts` (`rooms` is 0): most values of a label such as
`pod` or `id` are so. Others own `rooms` words of one arena from `starts` on, of which `counts` are used.

`counters` int64[5]: ids given out so far, the first free id (-1: none; `starts` of a free id is the next
one), live pairs, words of the arena in use, words of it that hold refs. `names` of a free id is -1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled

__all__ = [
    "append",
    "drop_refs",
    "find_pairs",
    "intern_pairs",
    "move_postings",
    "place_all",
    "release",
    "renumber",
    "union",
]

IDS, FREE, LIVE, WORDS, HELD = range(5)


@compiled
def _home(name: Any, value: Any, odd: Any, size: Any) -> Any:
    """The slot where a pair belongs: multiply-shift hashing by a random odd number."""
    mixed = ((np.uint64(name) << np.uint64(32)) | np.uint64(value)) * odd
    return np.int64(((mixed >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32))


@compiled
def _slot(name: Any, value: Any, odd: Any, names: Any, values: Any, slots: Any) -> Any:
    """The slot of a pair, or the empty one where it belongs."""
    place = _home(name, value, odd, len(slots))
    while True:
        pair = slots[place]
        if pair < 0 or (names[pair] == name and values[pair] == value):
            return place
        place = place + 1 if place + 1 < len(slots) else 0


@compiled
def find_pairs(name_ids: Any, value_ids: Any, odd: Any, names: Any, values: Any, slots: Any) -> Any:
    """The ids int32[k] of pairs of symbols, -1 for an unknown pair or symbol."""
    ids = np.full(len(name_ids), -1, np.int32)
    for i in range(len(ids)):
        if name_ids[i] >= 0 and value_ids[i] >= 0:
            ids[i] = slots[_slot(name_ids[i], value_ids[i], odd, names, values, slots)]
    return ids


@compiled
def intern_pairs(
    name_ids: Any,
    value_ids: Any,
    odd: Any,
    names: Any,
    values: Any,
    counts: Any,
    starts: Any,
    rooms: Any,
    slots: Any,
    counters: Any,
) -> Any:
    """The ids int32[k] of pairs, and those of the added ones int32[j], which no series has yet.

    The arrays must have room for k more pairs.
    """
    ids = np.empty(len(name_ids), np.int32)
    added = np.empty(len(name_ids), np.int32)
    new = 0
    for i in range(len(ids)):
        place = _slot(name_ids[i], value_ids[i], odd, names, values, slots)
        pair = slots[place]
        if pair < 0:
            pair = counters[FREE]
            if pair >= 0:
                counters[FREE] = starts[pair]
            else:
                pair = counters[IDS]
                counters[IDS] += 1
            names[pair], values[pair], counts[pair], rooms[pair] = name_ids[i], value_ids[i], 0, 0
            counters[LIVE] += 1
            slots[place] = pair
            added[new] = pair
            new += 1
        ids[i] = pair
    return ids, added[:new].copy()


@compiled
def append(
    pairs: Any, offsets: Any, refs: Any, first: Any, counts: Any, starts: Any, rooms: Any, arena: Any,
    counters: Any,
) -> Any:  # fmt: skip
    """Enter `refs[i]` under each of `pairs[offsets[i]:offsets[i + 1]]`, from series `first` on.

    Returns the first series that was not entered because the arena may be too small for it, or len(refs).
    """
    for i in range(first, len(refs)):
        need = np.int64(0)
        for k in range(offsets[i], offsets[i + 1]):
            count = counts[pairs[k]]
            if count >= 1 and count >= rooms[pairs[k]]:
                need += count + count // 4 + 2
        if counters[WORDS] + need > len(arena):
            return i
        for k in range(offsets[i], offsets[i + 1]):
            pair = pairs[k]
            count = counts[pair]
            counts[pair] = count + 1
            if count == 0 and rooms[pair] == 0:
                starts[pair] = refs[i]
                continue
            if count >= rooms[pair]:
                start = counters[WORDS]
                if rooms[pair] == 0:
                    arena[start] = starts[pair]
                    counters[HELD] += 1
                else:
                    arena[start : start + count] = arena[starts[pair] : starts[pair] + count]
                starts[pair] = start
                rooms[pair] = count + count // 4 + 2
                counters[WORDS] += rooms[pair]
            arena[starts[pair] + count] = refs[i]
            counters[HELD] += 1
    return len(refs)


@compiled
def move_postings(
    count: Any, names: Any, counts: Any, starts: Any, rooms: Any, arena: Any, fresh: Any, counters: Any
) -> None:
    """Copy every list to the arena `fresh`, with an eighth of room to grow, and count its words anew."""
    used = np.int64(0)
    for pair in range(count):
        if names[pair] >= 0 and rooms[pair] > 0:
            start, held = starts[pair], counts[pair]
            fresh[used : used + held] = arena[start : start + held]
            starts[pair] = used
            rooms[pair] = held + held // 8
            used += rooms[pair]
    counters[WORDS] = used


@compiled
def drop_refs(pairs: Any, gone: Any, counts: Any, starts: Any, rooms: Any, arena: Any, counters: Any) -> None:
    """Take the refs with `gone[ref]` out of the lists of `pairs` (each named once)."""
    for pair in pairs:
        count = counts[pair]
        if rooms[pair] == 0:
            if count == 1 and gone[starts[pair]]:
                counts[pair] = 0
            continue
        start = starts[pair]
        kept = 0
        for k in range(start, start + count):
            ref = arena[k]
            if not gone[ref]:
                arena[start + kept] = ref
                kept += 1
        counters[HELD] -= count - kept
        counts[pair] = kept
        if kept <= 1:
            counters[HELD] -= kept
            rooms[pair] = 0
            if kept == 1:
                starts[pair] = arena[start]


@compiled
def release(
    pairs: Any, odd: Any, names: Any, values: Any, counts: Any, starts: Any, slots: Any, counters: Any
) -> Any:
    """Forget those of `pairs` that no series has; returns the symbols that they used, int32[2 k]."""
    size = len(slots)
    freed = np.empty(2 * len(pairs), np.int32)
    used = 0
    for pair in pairs:
        if counts[pair] > 0:
            continue
        hole = _slot(names[pair], values[pair], odd, names, values, slots)
        place = hole
        while True:
            place = place + 1 if place + 1 < size else 0
            other = slots[place]
            if other < 0:
                break
            home = _home(names[other], values[other], odd, size)
            if (place - home) % size >= (place - hole) % size:
                slots[hole] = other
                hole = place
        slots[hole] = -1
        freed[used], freed[used + 1] = names[pair], values[pair]
        used += 2
        names[pair] = -1
        starts[pair] = counters[FREE]
        counters[FREE] = pair
        counters[LIVE] -= 1
    return freed[:used].copy()


@compiled
def place_all(count: Any, odd: Any, names: Any, values: Any, slots: Any) -> None:
    """Enter every live pair below `count` into the empty table `slots`."""
    for pair in range(count):
        if names[pair] >= 0:
            slots[_slot(names[pair], values[pair], odd, names, values, slots)] = pair


@compiled
def renumber(count: Any, names: Any) -> Any:
    """New ids without gaps for the live pairs below `count`: (old to new int32[count], new to old int32[k])."""
    new = np.full(count, -1, np.int32)
    old = np.empty(count, np.int32)
    live = 0
    for pair in range(count):
        if names[pair] >= 0:
            new[pair] = live
            old[live] = pair
            live += 1
    return new, old[:live].copy()


@compiled
def union(pairs: Any, counts: Any, starts: Any, rooms: Any, arena: Any) -> Any:
    """The refs that have any of `pairs`, of which no series has two, int32[m]."""
    total = 0
    for pair in pairs:
        total += counts[pair]
    refs = np.empty(total, np.int32)
    used = 0
    for pair in pairs:
        count, start = counts[pair], starts[pair]
        if rooms[pair] == 0:
            if count == 1:
                refs[used] = start
        else:
            refs[used : used + count] = arena[start : start + count]
        used += count
    return refs

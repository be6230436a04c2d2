# ruff: noqa: PLR0917 - kernels take flat arrays
"""The compiled loops of `rows`: finding, adding and removing series by ref, and testing their labels.

The row of a ref begins at word `starts[ref]` of the arena `words` (int64; -1: no series has the ref):
fingerprint; number of its addition; sender << 32 | origin; family << 32 | stored << 31 | number of labels;
then its pair ids, two to a word, in the order of their names. `pairs` is the int32 view of `words`.

`counters` int64[3]: words of the arena in use, words of live rows, live rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled

__all__ = [
    "added_since",
    "alive",
    "all_refs",
    "copy_rows",
    "filter_few",
    "filter_labels",
    "find_rows",
    "gather_labels",
    "gather_words",
    "give",
    "insert_rows",
    "insertion_points",
    "mark_stored",
    "older_than",
    "pair_of_name",
    "place_all",
    "remove_rows",
    "rename_pairs",
    "sum_lengths",
    "sum_weights",
    "touch",
    "unstored",
]

FINGERPRINT, BORN, ORIGIN, FAMILY, LABELS = range(5)
STORED = 1 << 31
COUNT = STORED - 1
USED, HELD, LIVE = range(3)


@compiled
def _home(fingerprint: Any, odd: Any, size: Any) -> Any:
    """The slot of a fingerprint: multiply-shift hashing by a random odd number."""
    mixed = np.uint64(fingerprint) * odd
    return np.int64(((mixed >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32))


@compiled
def _slot(fingerprint: Any, odd: Any, starts: Any, words: Any, slots: Any) -> Any:
    """The slot of a fingerprint (int64), or the empty one where it belongs."""
    place = _home(fingerprint, odd, len(slots))
    while True:
        ref = slots[place]
        if ref < 0 or words[starts[ref] + FINGERPRINT] == fingerprint:
            return place
        place = place + 1 if place + 1 < len(slots) else 0


@compiled
def find_rows(fingerprints: Any, odd: Any, starts: Any, words: Any, slots: Any) -> Any:
    """The refs int32[n] of fingerprints int64[n], -1 for an unknown one."""
    refs = np.empty(len(fingerprints), np.int32)
    for i in range(len(refs)):
        refs[i] = slots[_slot(fingerprints[i], odd, starts, words, slots)]
    return refs


@compiled
def touch(refs: Any, epoch: Any, touched: Any) -> None:
    """Say that a lease of `epoch` holds `refs`; those below 0 name nothing."""
    for ref in refs:
        if ref >= 0:
            touched[ref] = max(touched[ref], epoch)


@compiled
def insert_rows(
    refs: Any,
    fingerprints: Any,
    born: Any,
    owners: Any,
    labels: Any,
    offsets: Any,
    odd: Any,
    starts: Any,
    words: Any,
    pairs: Any,
    slots: Any,
    counters: Any,
) -> None:
    """Write the rows of n new series: `refs` int32[n] to use, `owners` int64[n, 2] (words 2 and 3 without the
    number of labels), `labels` their pair ids by `offsets`; the first is addition number `born`.

    The arrays must have room.
    """
    for i in range(len(refs)):
        ref, start = refs[i], counters[USED]
        count = offsets[i + 1] - offsets[i]
        place = _slot(fingerprints[i], odd, starts, words, slots)
        slots[place] = ref
        starts[ref] = start
        words[start + FINGERPRINT] = fingerprints[i]
        words[start + BORN] = born + i
        words[start + ORIGIN] = owners[i, 0]
        words[start + FAMILY] = owners[i, 1] | count
        at = 2 * (start + LABELS)
        pairs[at : at + count] = labels[offsets[i] : offsets[i + 1]]
        size = LABELS + (count + 1) // 2
        counters[USED] += size
        counters[HELD] += size
        counters[LIVE] += 1


@compiled
def alive(refs: Any, starts: Any, capacity: Any) -> Any:
    """Whether each of `refs` names a series, bool[n]."""
    found = np.empty(len(refs), np.bool_)
    for i in range(len(refs)):
        found[i] = 0 <= refs[i] < capacity and starts[refs[i]] >= 0
    return found


@compiled
def all_refs(starts: Any, capacity: Any, live: Any) -> Any:
    """Every live ref, ascending."""
    refs = np.empty(live, np.int32)
    used = 0
    for ref in range(capacity):
        if starts[ref] >= 0:
            refs[used] = ref
            used += 1
    return refs


@compiled
def older_than(refs: Any, born: Any, starts: Any, capacity: Any, words: Any) -> Any:
    """Whether each of `refs` still names a series that was added before addition `born`, bool[n]."""
    found = np.empty(len(refs), np.bool_)
    for i in range(len(refs)):
        ref = refs[i]
        found[i] = ref < capacity and starts[ref] >= 0 and words[starts[ref] + BORN] < born
    return found


@compiled
def added_since(log: Any, born: Any, starts: Any, capacity: Any, words: Any) -> Any:
    """The series of `log` (the refs of the additions from number `born` on) that are still there."""
    refs = np.empty(len(log), np.int32)
    used = 0
    for i in range(len(log)):
        ref = log[i]
        if ref < capacity and starts[ref] >= 0 and words[starts[ref] + BORN] == born + i:
            refs[used] = ref
            used += 1
    return refs[:used].copy()


@compiled
def gather_words(refs: Any, word: Any, starts: Any, words: Any) -> Any:
    """Word `word` of the rows of live refs, int64[n]."""
    found = np.empty(len(refs), np.int64)
    for i in range(len(refs)):
        found[i] = words[starts[refs[i]] + word]
    return found


@compiled
def gather_labels(refs: Any, pair_count: Any, starts: Any, words: Any, pairs: Any) -> Any:
    """The labels of live refs: (places int32[m], offsets int64[n + 1], distinct int32[k]).

    Label j is pair `distinct[places[j]]`; series i owns labels `offsets[i]:offsets[i + 1]`. There are no more
    than `pair_count` pairs.
    """
    offsets = np.zeros(len(refs) + 1, np.int64)
    for i in range(len(refs)):
        offsets[i + 1] = offsets[i] + (words[starts[refs[i]] + FAMILY] & COUNT)
    total = offsets[-1]
    places = np.empty(total, np.int32)
    distinct = np.empty(min(total, pair_count), np.int32)
    size = 16
    while size < 2 * len(distinct):
        size *= 2
    slots = np.full(size, -1, np.int32)
    used = 0
    for i in range(len(refs)):
        at = 2 * (starts[refs[i]] + LABELS)
        for k in range(offsets[i + 1] - offsets[i]):
            pair = pairs[at + k]
            slot = (np.int64(pair) * 0x9E3779B1 >> 7) & (size - 1)
            while slots[slot] >= 0 and distinct[slots[slot]] != pair:
                slot = (slot + 1) & (size - 1)
            if slots[slot] < 0:
                slots[slot] = used
                distinct[used] = pair
                used += 1
            places[offsets[i] + k] = slots[slot]
    return places, offsets, distinct[:used].copy()


@compiled
def filter_labels(
    refs: Any, flags: Any, required: Any, forbidden: Any, starts: Any, words: Any, pairs: Any
) -> Any:
    """Those of the live `refs` whose labels' `flags` (uint8 by pair id) together hold all bits of `required`
    and none of `forbidden`, in their order.
    """
    found = np.empty(len(refs), np.int32)
    used = 0
    for ref in refs:
        start = starts[ref]
        at = 2 * (start + LABELS)
        seen = np.uint8(0)
        for k in range(words[start + FAMILY] & COUNT):
            seen |= flags[pairs[at + k]]
        if (seen & required) == required and (seen & forbidden) == 0:
            found[used] = ref
            used += 1
    return found[:used].copy()


@compiled
def filter_few(
    refs: Any, asked: Any, bits: Any, required: Any, forbidden: Any, starts: Any, words: Any, pairs: Any
) -> Any:
    """As `filter_labels`, where only the few pairs `asked` have flags: `bits`, int64 each."""
    found = np.empty(len(refs), np.int32)
    used = 0
    for ref in refs:
        start = starts[ref]
        at = 2 * (start + LABELS)
        seen = np.int64(0)
        for k in range(words[start + FAMILY] & COUNT):
            for j in range(len(asked)):
                if pairs[at + k] == asked[j]:
                    seen |= bits[j]
        if (seen & required) == required and (seen & forbidden) == 0:
            found[used] = ref
            used += 1
    return found[:used].copy()


@compiled
def pair_of_name(refs: Any, name: Any, names: Any, starts: Any, words: Any, pairs: Any) -> Any:
    """The id of the pair with the name `name` of each of the live `refs`, -1 for none, int32[n]."""
    found = np.full(len(refs), -1, np.int32)
    for i in range(len(refs)):
        start = starts[refs[i]]
        at = 2 * (start + LABELS)
        for k in range(words[start + FAMILY] & COUNT):
            if names[pairs[at + k]] == name:
                found[i] = pairs[at + k]
                break
    return found


@compiled
def sum_lengths(refs: Any, lengths: Any, starts: Any, words: Any, pairs: Any) -> Any:
    """The sum of `lengths` (int32 by pair id) over the labels of each live ref, int32[n]."""
    sums = np.zeros(len(refs), np.int32)
    for i in range(len(refs)):
        start = starts[refs[i]]
        at = 2 * (start + LABELS)
        for k in range(words[start + FAMILY] & COUNT):
            sums[i] += lengths[pairs[at + k]]
    return sums


@compiled
def sum_weights(refs: Any, weights: Any, pair_count: Any, starts: Any, words: Any, pairs: Any) -> Any:
    """By pair id the sum of `weights` (float64 by ref) over the live `refs` that have it, float64."""
    sums = np.zeros(pair_count)
    for ref in refs:
        start = starts[ref]
        at = 2 * (start + LABELS)
        for k in range(words[start + FAMILY] & COUNT):
            sums[pairs[at + k]] += weights[ref]
    return sums


@compiled
def unstored(refs: Any, starts: Any, words: Any) -> Any:
    """Those of the live `refs` that are not marked as stored."""
    found = np.empty(len(refs), np.int32)
    used = 0
    for ref in refs:
        if not words[starts[ref] + FAMILY] & STORED:
            found[used] = ref
            used += 1
    return found[:used].copy()


@compiled
def mark_stored(refs: Any, starts: Any, capacity: Any, words: Any) -> None:
    """Mark the rows of `refs` as stored; a ref that names no series is passed over."""
    for ref in refs:
        if 0 <= ref < capacity and starts[ref] >= 0:
            words[starts[ref] + FAMILY] |= STORED


@compiled
def give(refs: Any, sender: Any, starts: Any, words: Any) -> None:
    """Write down the number `sender` in the rows of live refs."""
    for ref in refs:
        at = starts[ref] + ORIGIN
        words[at] = sender << 32 | words[at] & 0xFFFFFFFF


@compiled
def _take_out(ref: Any, odd: Any, starts: Any, words: Any, slots: Any) -> None:
    """Empty the slot of `ref` and move back what had to go around it."""
    size = len(slots)
    hole = _slot(words[starts[ref] + FINGERPRINT], odd, starts, words, slots)
    place = hole
    while True:
        place = place + 1 if place + 1 < size else 0
        other = slots[place]
        if other < 0:
            break
        home = _home(words[starts[other] + FINGERPRINT], odd, size)
        if (place - home) % size >= (place - hole) % size:
            slots[hole] = other
            hole = place
    slots[hole] = -1


@compiled
def remove_rows(
    refs: Any,
    oldest: Any,
    touched: Any,
    capacity: Any,
    odd: Any,
    starts: Any,
    words: Any,
    pairs: Any,
    slots: Any,
    counters: Any,
) -> Any:
    """Remove those of `refs` that live and that no lease from epoch `oldest` on touched.

    Returns (gone int32[k], their words 2 and 3 int64[k, 2], their pair ids int32[m], one for each label).
    """
    gone = np.empty(len(refs), np.int32)
    owners = np.empty((len(refs), 2), np.int64)
    used = 0
    total = 0
    for ref in refs:
        if 0 <= ref < capacity and starts[ref] >= 0:
            total += words[starts[ref] + FAMILY] & COUNT
    labels = np.empty(total, np.int32)
    entered = 0
    for ref in refs:
        if not 0 <= ref < capacity or starts[ref] < 0 or touched[ref] >= oldest:
            continue
        start = starts[ref]
        _take_out(ref, odd, starts, words, slots)
        starts[ref] = -1
        gone[used] = ref
        owners[used, 0] = words[start + ORIGIN]
        owners[used, 1] = words[start + FAMILY]
        used += 1
        count = words[start + FAMILY] & COUNT
        at = 2 * (start + LABELS)
        labels[entered : entered + count] = pairs[at : at + count]
        entered += count
        counters[HELD] -= LABELS + (count + 1) // 2
        counters[LIVE] -= 1
    return gone[:used].copy(), owners[:used].copy(), labels[:entered].copy()


@compiled
def place_all(capacity: Any, odd: Any, starts: Any, words: Any, slots: Any) -> None:
    """Enter every live ref into the empty table `slots`."""
    for ref in range(capacity):
        if starts[ref] >= 0:
            slots[_slot(words[starts[ref] + FINGERPRINT], odd, starts, words, slots)] = ref


@compiled
def copy_rows(capacity: Any, starts: Any, words: Any, fresh: Any) -> Any:
    """Copy every live row to the arena `fresh`, in the order of refs; returns the words used."""
    used = 0
    for ref in range(capacity):
        start = starts[ref]
        if start >= 0:
            size = LABELS + ((words[start + FAMILY] & COUNT) + 1) // 2
            fresh[used : used + size] = words[start : start + size]
            starts[ref] = used
            used += size
    return used


@compiled
def rename_pairs(capacity: Any, renamed: Any, starts: Any, words: Any, pairs: Any) -> None:
    """Replace every pair id of every row by `renamed[id]`."""
    for ref in range(capacity):
        start = starts[ref]
        if start >= 0:
            at = 2 * (start + LABELS)
            for k in range(words[start + FAMILY] & COUNT):
                pairs[at + k] = renamed[pairs[at + k]]


@compiled
def _compare_texts(left: Any, right: Any, data: Any, starts: Any, lengths: Any) -> Any:
    for k in range(min(lengths[left], lengths[right])):
        difference = np.int64(data[starts[left] + k]) - np.int64(data[starts[right] + k])
        if difference:
            return difference
    return np.int64(lengths[left]) - np.int64(lengths[right])


@compiled
def _compare_rows(
    left: Any, left_count: Any, right: Any, right_count: Any, pairs: Any, names: Any, values: Any,
    data: Any, starts: Any, lengths: Any,
) -> Any:  # fmt: skip
    """Below, at or above 0 as the labels at `pairs[left:]` come before, are, or come after the others."""
    for k in range(min(left_count, right_count)):
        first, second = pairs[left + k], pairs[right + k]
        if first == second:
            continue
        if names[first] != names[second]:
            return _compare_texts(names[first], names[second], data, starts, lengths)
        return _compare_texts(values[first], values[second], data, starts, lengths)
    return left_count - right_count


@compiled
def insertion_points(
    old: Any,
    new: Any,
    row_starts: Any,
    words: Any,
    pairs: Any,
    names: Any,
    values: Any,
    data: Any,
    starts: Any,
    lengths: Any,
) -> Any:
    """Where in the refs `old`, sorted by their labels, each of the refs `new`, sorted too, belongs: int64[k].

    `names` and `values` are symbols by pair id, `data`, `starts`, `lengths` their texts.
    """
    points = np.empty(len(new), np.int64)
    low = np.int64(0)
    for i in range(len(new)):
        start = row_starts[new[i]]
        count, at = words[start + FAMILY] & COUNT, 2 * (start + LABELS)
        high = np.int64(len(old))
        while low < high:
            middle = (low + high) // 2
            other = row_starts[old[middle]]
            other_count, other_at = words[other + FAMILY] & COUNT, 2 * (other + LABELS)
            difference = _compare_rows(
                other_at, other_count, at, count, pairs, names, values, data, starts, lengths
            )
            if difference < 0:
                low = middle + 1
            else:
                high = middle
        points[i] = low
    return points

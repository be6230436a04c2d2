"""From the key that a door computes over a series' raw bytes to its ref, without decoding a label.

An open-addressing table of 128-bit keys. The keys are hashes under a secret (`SeriesTable.hash_seed`), so two
series share one by chance only (one in 10^26 at a million series), and nobody can choose keys that collide.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled
from setpoint.telemetry.table.arrays import is_tight, slot_count

__all__ = ["WireKeys"]

Keys = npt.NDArray[np.uint64]
Refs = npt.NDArray[np.int32]


class WireKeys:
    """Refs by key; keys are uint64[n, 2]."""

    def __init__(self) -> None:
        self._count = 0
        self._make(0)

    def __len__(self) -> int:
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes of the table, free slots included."""
        return self._keys.nbytes + self._refs.nbytes

    def find(self, keys: Keys) -> Refs:
        """The refs int32[n] of keys, -1 for an unknown one."""
        found: Refs = _find(keys, self._keys, self._refs)
        return found

    def put(self, keys: Keys, refs: Refs) -> None:
        """Remember that each of `keys` means the ref beside it, if that is not below 0."""
        if is_tight(len(self._refs), self._count + len(keys)):
            self._rebuild(self._count + len(keys))
        self._count += _put(keys, refs, self._keys, self._refs)

    def drop(self, gone: npt.NDArray[np.bool_]) -> None:
        """Forget the keys of every ref with `gone[ref]`."""
        self._count -= _drop(gone, self._keys, self._refs)
        if is_tight(len(self._refs), self._count):
            self._rebuild(self._count)

    def _make(self, entries: int) -> None:
        size = slot_count(entries)
        self._keys = np.empty((size, 2), np.uint64)
        self._refs = np.full(size, -1, np.int32)

    def _rebuild(self, entries: int) -> None:
        keys, refs = self._keys, self._refs
        self._make(entries)
        _put(keys, refs, self._keys, self._refs)


@compiled
def _home(key: Any, size: Any) -> Any:
    """The slot where a key belongs. Both halves count: one of them may be poor in a test or a door."""
    mixed = (key[0] ^ (key[1] >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    return np.int64(((mixed >> np.uint64(32)) * np.uint64(size)) >> np.uint64(32))


@compiled
def _slot(key: Any, keys: Any, refs: Any) -> Any:
    """The slot of a key, or the empty one where it belongs."""
    place = _home(key, len(refs))
    while refs[place] >= 0 and (keys[place, 0] != key[0] or keys[place, 1] != key[1]):
        place = place + 1 if place + 1 < len(refs) else 0
    return place


@compiled
def _find(asked: Any, keys: Any, refs: Any) -> Any:
    found = np.empty(len(asked), np.int32)
    for i in range(len(asked)):
        found[i] = refs[_slot(asked[i], keys, refs)]
    return found


@compiled
def _put(new_keys: Any, new_refs: Any, keys: Any, refs: Any) -> Any:
    """Enter keys whose ref is not below 0; returns how many were new."""
    added = 0
    for i in range(len(new_refs)):
        if new_refs[i] < 0:
            continue
        place = _slot(new_keys[i], keys, refs)
        if refs[place] < 0:
            keys[place] = new_keys[i]
            added += 1
        refs[place] = new_refs[i]
    return added


@compiled
def _drop(gone: Any, keys: Any, refs: Any) -> Any:
    """Take out the keys of refs with `gone[ref]`; returns how many. Starts at a free slot: what moves back
    over the end of the table would be missed otherwise.
    """
    size = len(refs)
    first = 0
    while refs[first] >= 0:
        first += 1
    dropped = 0
    at = 0
    while at < size:
        hole = (first + at) % size
        if refs[hole] < 0 or not gone[refs[hole]]:
            at += 1
            continue
        dropped += 1
        place = hole
        while True:
            place = place + 1 if place + 1 < size else 0
            if refs[place] < 0:
                break
            if (place - _home(keys[place], size)) % size >= (place - hole) % size:
                keys[hole] = keys[place]
                refs[hole] = refs[place]
                hole = place
        refs[hole] = -1
    return dropped

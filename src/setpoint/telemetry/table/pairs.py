"""Label pairs (name, value) as small numbers, and which series have each: the inverted index.

`catalogue` interns the pairs of new series here. A row keeps pair ids, and the list of a pair keeps refs, so
a label of a series costs two int32; a value that one series has costs no list.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.table import pair_kernels as kernels
from setpoint.telemetry.table.arrays import empty_slots, is_tight, room
from setpoint.telemetry.table.symbols import Ids

__all__ = ["Pairs"]

_WASTE_MIN = 1 << 16


class Pairs:
    """Interned label pairs and the refs that have them; `odd` is a random odd uint64."""

    def __init__(self, odd: np.uint64) -> None:
        self._odd = odd
        self.names: npt.NDArray[np.int32] = np.empty(0, np.int32)
        """The symbol of the name by pair id, -1 for a free id; longer than there are ids."""
        self.values: npt.NDArray[np.int32] = np.empty(0, np.int32)
        """The symbol of the value by pair id."""
        self.counts: npt.NDArray[np.int32] = np.empty(0, np.int32)
        """How many series have the pair, by pair id."""
        self._starts = np.empty(0, np.int32)
        self._rooms = np.empty(0, np.int32)
        self._slots = empty_slots(0)
        self._arena = np.empty(0, np.int32)
        self._counters = np.array([0, -1, 0, 0, 0], np.int64)

    def __len__(self) -> int:
        return int(self._counters[kernels.LIVE])

    @property
    def id_count(self) -> int:
        """Every pair id is below this."""
        return int(self._counters[kernels.IDS])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays but the lists, spare room included."""
        columns = (self.names, self.values, self.counts, self._starts, self._rooms)
        return sum(part.nbytes for part in (*columns, self._slots))

    @property
    def postings_nbytes(self) -> int:
        """Bytes of the lists of refs, spare room included."""
        return self._arena.nbytes

    def intern(self, names: Ids, values: Ids) -> tuple[Ids, Ids]:
        """The ids of pairs of symbols, and the ids of those that are new (their symbols must be held)."""
        wanted = self.id_count + len(names)
        self.names = room(self.names, self.id_count, wanted)
        self.values = room(self.values, self.id_count, wanted)
        self.counts = room(self.counts, self.id_count, wanted)
        self._starts = room(self._starts, self.id_count, wanted)
        self._rooms = room(self._rooms, self.id_count, wanted)
        self._fit(len(self) + len(names))
        ids, added = kernels.intern_pairs(
            names, values, self._odd, self.names, self.values, self.counts, self._starts, self._rooms,
            self._slots, self._counters,
        )  # fmt: skip
        return ids, added

    def find(self, names: Ids, values: Ids) -> Ids:
        """The ids of pairs of symbols, -1 for an unknown one."""
        ids: Ids = kernels.find_pairs(names, values, self._odd, self.names, self.values, self._slots)
        return ids

    def of_name(self, name: int) -> Ids:
        """The ids of all pairs with this name."""
        return np.flatnonzero(self.names[: self.id_count] == name).astype(np.int32)

    def live(self) -> Ids:
        """The ids of all pairs."""
        return np.flatnonzero(self.names[: self.id_count] >= 0).astype(np.int32)

    def append(self, pairs: Ids, offsets: npt.NDArray[np.int64], refs: Ids) -> None:
        """Enter `refs[i]` under each of the pairs `pairs[offsets[i]:offsets[i + 1]]`."""
        done = 0
        while True:
            done = kernels.append(
                pairs,
                offsets,
                refs,
                done,
                self.counts,
                self._starts,
                self._rooms,
                self._arena,
                self._counters,
            )
            if done == len(refs):
                return
            self._make_room(pairs[offsets[done] : offsets[done + 1]])

    def refs(self, pairs: Ids) -> Ids:
        """The refs that have any of `pairs`, which share a name."""
        found: Ids = kernels.union(pairs, self.counts, self._starts, self._rooms, self._arena)
        return found

    def drop(self, pairs: Ids, gone: npt.NDArray[np.bool_]) -> Ids:
        """Take the refs with `gone[ref]` out of the lists of `pairs` (each named once) and forget pairs that
        no series has; returns the symbols to release.
        """
        kernels.drop_refs(pairs, gone, self.counts, self._starts, self._rooms, self._arena, self._counters)
        freed: Ids = kernels.release(
            pairs, self._odd, self.names, self.values, self.counts, self._starts, self._slots, self._counters
        )
        self._fit(len(self))
        words, held = self._counters[kernels.WORDS :].tolist()
        if words > _WASTE_MIN and words > 2 * held:
            self.shrink()
        return freed

    @property
    def is_wasteful(self) -> bool:
        """True when most of the ids are unused, so that `compact` gives memory back."""
        return self.id_count > _WASTE_MIN and 2 * len(self) < self.id_count

    def compact(self) -> Ids:
        """Renumber the live pairs without gaps into arrays that fit; returns old id → new id (-1: none)."""
        new, old = kernels.renumber(self.id_count, self.names)
        self.names, self.values, self.counts = self.names[old], self.values[old], self.counts[old]
        self._starts, self._rooms = self._starts[old], self._rooms[old]
        self._counters[[kernels.IDS, kernels.FREE]] = len(old), -1
        self._place_all(len(old))
        renumbered: Ids = new
        return renumbered

    def follow(self, symbols: Ids) -> None:
        """Take over the new numbers of symbols: old → new."""
        live = self.live()
        self.names[live] = symbols[self.names[live]]
        self.values[live] = symbols[self.values[live]]
        self._place_all(len(self))

    def shrink(self) -> None:
        """Move the lists into an arena that fits."""
        self._move(0)

    def _place_all(self, entries: int) -> None:
        self._slots = empty_slots(entries)
        kernels.place_all(self.id_count, self._odd, self.names, self.values, self._slots)

    def _fit(self, entries: int) -> None:
        if is_tight(len(self._slots), entries):
            self._place_all(entries)

    def _make_room(self, pairs: Ids) -> None:
        """Room for one more ref under each of `pairs`: in the waste of the arena if that is much."""
        words, held = self._counters[kernels.WORDS :].tolist()
        need = int((self.counts[pairs].astype(np.int64) * 5 // 4 + 2).sum())
        if 2 * words > 3 * held and words > _WASTE_MIN:
            self._move(need + held // 4)
        else:
            self._arena = room(self._arena, words, words + need)

    def _move(self, spare: int) -> None:
        held = int(self._counters[kernels.HELD])
        fresh = np.empty(held + held // 8 + spare, np.int32)
        kernels.move_postings(
            self.id_count, self.names, self.counts, self._starts, self._rooms, self._arena, fresh,
            self._counters,
        )  # fmt: skip
        self._arena = fresh

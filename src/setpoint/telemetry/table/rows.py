"""The series by ref: one row of numbers in an arena for each, found by fingerprint.

`catalogue` adds and removes rows. A free ref costs 12 bytes and no row, the lowest free ref is used first,
and free refs at the end are given up, so that a fleet that shrank gives its memory back although refs never
move.

Every addition has a number. A cached answer remembers how many there were; a row says which one it was: so
it is known which series of the answer are still the same, and `log` knows which came since.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.table import row_kernels as kernels
from setpoint.telemetry.table.arrays import empty_slots, is_tight, room
from setpoint.telemetry.table.pairs import Pairs
from setpoint.telemetry.table.symbols import Ids, Symbols

__all__ = ["Owners", "Refs", "Rows"]

Refs = npt.NDArray[np.int32]
Owners = npt.NDArray[np.int64]
"""int64[n, 2]: sender << 32 | origin, and family << 32 (with the bit `STORED`)."""

_LOG_MAX = 1 << 18
"""Additions remembered; an answer older than that is computed anew."""

_WASTE_MIN = 1 << 16


class Rows:
    """Rows of series; `odd` is a random odd uint64."""

    def __init__(self, odd: np.uint64) -> None:
        self._odd = odd
        self.capacity = 0
        """Every ref that is in use is below this."""
        self.added = 0
        """How many series were ever added."""
        self.removed = 0
        """How many series were ever removed."""
        self._starts = np.empty(0, np.int32)
        self._touched = np.empty(0, np.int64)
        self._words = np.empty(0, np.int64)
        self._slots = empty_slots(0)
        self._counters = np.zeros(3, np.int64)
        self._free = np.empty(0, np.int32)  # descending, the first `_free_count` are valid
        self._free_count = 0
        self._log = np.empty(0, np.int32)  # refs of the additions from number `added - _log_count` on
        self._log_count = 0
        self._since = ((-1, -1, -1), np.empty(0, np.int32))

    def __len__(self) -> int:
        return int(self._counters[kernels.LIVE])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, spare room included."""
        parts = (self._starts, self._touched, self._words, self._slots, self._free, self._log)
        return sum(part.nbytes for part in parts)

    @property
    def _pairs(self) -> Ids:
        return self._words.view(np.int32)

    def find(self, fingerprints: npt.NDArray[np.uint64]) -> Refs:
        """The refs of fingerprints uint64[n], -1 for an unknown one."""
        found: Refs = kernels.find_rows(
            fingerprints.view(np.int64), self._odd, self._starts, self._words, self._slots
        )
        return found

    def touch(self, refs: Refs, epoch: int) -> None:
        """Say that a lease of `epoch` holds `refs`; those below 0 name nothing."""
        kernels.touch(refs, epoch, self._touched)

    def add(
        self,
        fingerprints: npt.NDArray[np.uint64],
        owners: Owners,
        labels: Ids,
        offsets: npt.NDArray[np.int64],
    ) -> Refs:
        """Add n series that are not here: their labels are pair ids in the order of their names, series i
        those at `offsets[i]:offsets[i + 1]`. Returns their refs, ascending.
        """
        count = len(fingerprints)
        used = int(self._counters[kernels.USED])
        need = count * (kernels.LABELS + 1) + len(labels) // 2
        self._words = room(self._words, used, used + need)
        if is_tight(len(self._slots), len(self) + count):
            self._place_all(len(self) + count)
        refs = self._take(count)
        kernels.insert_rows(
            refs, fingerprints.view(np.int64), self.added, owners, labels, offsets, self._odd,
            self._starts, self._words, self._pairs, self._slots, self._counters,
        )  # fmt: skip
        self.added += count
        self._note(refs)
        return refs

    def remove(self, refs: Refs, oldest: int) -> tuple[Refs, Owners, Ids]:
        """Remove those of `refs` that live and that no lease from epoch `oldest` on touched.

        Returns the removed, words 2 and 3 of their rows, and the ids of their pairs, one for each label.
        """
        gone, owners, labels = kernels.remove_rows(
            refs, oldest, self._touched, self.capacity, self._odd, self._starts, self._words, self._pairs,
            self._slots, self._counters,
        )  # fmt: skip
        if len(gone):
            self.removed += len(gone)
            self._give_back(gone)
            self._shrink()
        return gone, owners, labels

    def rename_pairs(self, renamed: Ids) -> None:
        """Take over new ids of pairs: old → new."""
        kernels.rename_pairs(self.capacity, renamed, self._starts, self._words, self._pairs)

    # ---- what rows say -----------------------------------------------------------------------------------

    def all(self) -> Refs:
        """Every live ref, ascending."""
        found: Refs = kernels.all_refs(self._starts, self.capacity, len(self))
        return found

    def alive(self, refs: Refs) -> npt.NDArray[np.bool_]:
        """Whether each of `refs` names a series."""
        found: npt.NDArray[np.bool_] = kernels.alive(refs, self._starts, self.capacity)
        return found

    def older_than(self, refs: Refs, added: int) -> npt.NDArray[np.bool_]:
        """Whether each of `refs` names a series that was here when `added` were added."""
        found: npt.NDArray[np.bool_] = kernels.older_than(
            refs, added, self._starts, self.capacity, self._words
        )
        return found

    def added_since(self, added: int) -> Refs | None:
        """The live series that came after `added` were added; None when that is not remembered."""
        count = self.added - added
        if count > self._log_count:
            return None
        asked = (added, self.added, self.removed)
        if self._since[0] != asked:  # many answers that were made at one moment ask this, one after another
            log = self._log[self._log_count - count : self._log_count]
            found = kernels.added_since(log, added, self._starts, self.capacity, self._words)
            self._since = (asked, found)
        return self._since[1]

    def fingerprints(self, refs: Refs) -> npt.NDArray[np.uint64]:
        """The fingerprints of live refs."""
        found: npt.NDArray[np.int64] = kernels.gather_words(
            refs, kernels.FINGERPRINT, self._starts, self._words
        )
        return found.view(np.uint64)

    def owners(self, refs: Refs) -> Owners:
        """Words 2 and 3 of the rows of live refs."""
        words = (kernels.ORIGIN, kernels.FAMILY)
        return np.stack(
            [kernels.gather_words(refs, word, self._starts, self._words) for word in words], axis=1
        )

    def labels(self, refs: Refs, pair_count: int) -> tuple[Ids, npt.NDArray[np.int64], Ids]:
        """The labels of live refs: see `row_kernels.gather_labels`."""
        places, offsets, distinct = kernels.gather_labels(
            refs, pair_count, self._starts, self._words, self._pairs
        )
        return places, offsets, distinct

    def filter(self, refs: Refs, flags: npt.NDArray[np.uint8], required: int, forbidden: int) -> Refs:
        """Those of the live `refs` whose labels have the flags (by pair id) `required`, none `forbidden`."""
        found: Refs = kernels.filter_labels(
            refs, flags, required, forbidden, self._starts, self._words, self._pairs
        )
        return found

    def filter_few(
        self, refs: Refs, asked: Ids, bits: npt.NDArray[np.int64], required: int, forbidden: int
    ) -> Refs:
        """As `filter`, where only the few pairs `asked` have flags: `bits`."""
        found: Refs = kernels.filter_few(
            refs, asked, bits, required, forbidden, self._starts, self._words, self._pairs
        )
        return found

    def pair_of_name(self, refs: Refs, name: int, names: Ids) -> Ids:
        """The id of the pair with the symbol `name` that each of the live `refs` has, -1 for none."""
        found: Ids = kernels.pair_of_name(refs, name, names, self._starts, self._words, self._pairs)
        return found

    def sum_lengths(self, refs: Refs, lengths: Ids) -> npt.NDArray[np.int32]:
        """The sum of `lengths` (by pair id) over the labels of each live ref."""
        sums: npt.NDArray[np.int32] = kernels.sum_lengths(
            refs, lengths, self._starts, self._words, self._pairs
        )
        return sums

    def sum_weights(
        self, refs: Refs, weights: npt.NDArray[np.float64], pair_count: int
    ) -> npt.NDArray[np.float64]:
        """The sum of `weights` (by ref) over the live `refs` that have each pair, by pair id."""
        sums: npt.NDArray[np.float64] = kernels.sum_weights(
            refs, weights, pair_count, self._starts, self._words, self._pairs
        )
        return sums

    def insertion_points(self, old: Refs, new: Refs, pairs: Pairs, symbols: Symbols) -> npt.NDArray[np.int64]:
        """Where in `old` (sorted by labels) each of `new` (sorted too) belongs."""
        points: npt.NDArray[np.int64] = kernels.insertion_points(
            old, new, self._starts, self._words, self._pairs, pairs.names, pairs.values, *symbols.arena
        )
        return points

    def unstored(self, refs: Refs) -> Refs:
        """Those of the live `refs` that are not marked as stored."""
        found: Refs = kernels.unstored(refs, self._starts, self._words)
        return found

    def mark_stored(self, refs: Refs) -> None:
        """Mark `refs` as stored."""
        kernels.mark_stored(refs, self._starts, self.capacity, self._words)

    def give(self, refs: Refs, sender: int) -> None:
        """Write down another sender's number in the rows of live refs."""
        kernels.give(refs, sender, self._starts, self._words)

    # ---- memory ------------------------------------------------------------------------------------------

    def _take(self, count: int) -> Refs:
        """`count` free refs, ascending, untouched: the lowest ones, then new ones."""
        reused = min(count, self._free_count)
        left = self._free_count - reused
        refs = np.arange(self.capacity - reused, self.capacity - reused + count, dtype=np.int32)
        refs[:reused] = self._free[left : self._free_count][::-1]
        self._free_count = left
        if count > reused:
            capacity = self.capacity + count - reused
            self._starts = room(self._starts, self.capacity, capacity)
            self._touched = room(self._touched, self.capacity, capacity)
            self.capacity = capacity
        self._touched[refs] = 0
        return refs

    def _give_back(self, gone: Refs) -> None:
        free = np.concatenate([self._free[: self._free_count], gone])
        free.sort()
        free = free[::-1]
        at_end = free == np.arange(self.capacity - 1, self.capacity - 1 - len(free), -1)
        dropped = len(free) if at_end.all() else int(at_end.argmin())
        self.capacity -= dropped
        self._free = free[dropped:].copy()
        self._free_count = len(self._free)

    def _shrink(self) -> None:
        """Give back the memory of arrays that are mostly waste."""
        used, held, live = self._counters.tolist()
        if used > _WASTE_MIN and used > 2 * held:
            self._move_rows(held + held // 8)
        if len(self._starts) > _WASTE_MIN and len(self._starts) > 2 * self.capacity:
            self._cut()
        if is_tight(len(self._slots), live):
            self._place_all(live)

    def shrink(self) -> None:
        """Make every array as short as it can be."""
        self._move_rows(int(self._counters[kernels.HELD]))
        self._cut()
        self._place_all(len(self))

    def _move_rows(self, size: int) -> None:
        fresh = np.empty(size, np.int64)
        self._counters[kernels.USED] = kernels.copy_rows(self.capacity, self._starts, self._words, fresh)
        self._words = fresh

    def _cut(self) -> None:
        self._starts = self._starts[: self.capacity].copy()
        self._touched = self._touched[: self.capacity].copy()

    def _place_all(self, entries: int) -> None:
        self._slots = empty_slots(entries)
        kernels.place_all(self.capacity, self._odd, self._starts, self._words, self._slots)

    def _note(self, refs: Refs) -> None:
        count = len(refs)
        if self._log_count + count > _LOG_MAX:
            kept = min(self._log_count, max(0, _LOG_MAX // 2 - count))
            self._log = self._log[self._log_count - kept : self._log_count].copy()
            self._log_count = kept
        self._log = room(self._log, self._log_count, self._log_count + count)
        self._log[self._log_count : self._log_count + count] = refs
        self._log_count += count

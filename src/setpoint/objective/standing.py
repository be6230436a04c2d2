"""What is known of each ledger row beside its minutes: up to where it is counted, and what keeps it from being counted.

Arrays and dicts by row of `Ledgers`, so that it outlives a change of the documents: an objective whose target changes
keeps its row. `book` owns it; everything in it is read and changed while the book's lock is held.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["Standing"]

_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]
_UNKNOWN = -1


class Standing:
    """See above. `since`: the minute from which live counting goes on; `done`, `filled`: see `derive`. -1: not begun.

    `loaded`: what is stored was read. `errors`: why it cannot be counted now. `faults`, `shares`: what who counts
    elsewhere says of it: why it cannot be counted, and which part of its history is counted. `cut`: minutes in which
    its queries contradicted each other and were cut. `suspects`: rows that are counted alone, as they failed once.
    """

    def __init__(self) -> None:
        self.since = np.zeros(0, np.int64)
        self.done = np.zeros(0, np.int64)
        self.filled = np.zeros(0, np.int64)
        self.loaded = np.zeros(0, np.bool_)
        self.errors: dict[int, str] = {}
        self.faults: dict[int, str] = {}
        self.shares: dict[int, float] = {}
        self.cut: dict[int, set[int]] = {}
        self.suspects: set[int] = set()

    def reach(self, rows: Iterable[int]) -> None:
        """Make room for rows."""
        missing = max(rows, default=-1) + 1 - len(self.since)
        if missing > 0:
            unknown = np.full(missing, _UNKNOWN, np.int64)
            self.since, self.done, self.filled = (
                np.concatenate((column, unknown)) for column in (self.since, self.done, self.filled)
            )
            self.loaded = np.concatenate((self.loaded, np.zeros(missing, np.bool_)))

    def forget(self, row: int) -> None:
        """A row is given back, and may be given to another objective."""
        self.since[row] = self.done[row] = self.filled[row] = _UNKNOWN
        self.loaded[row] = False
        for known in (self.errors, self.faults, self.shares, self.cut):
            known.pop(row, None)
        self.suspects.discard(row)

    def note_cut(self, rows: _Ints, first: int, cut: _Bools) -> None:
        """Remember in which minutes of `first` on rows were cut, and that in the others they were not; bool[k, m]."""
        some: _Bools = np.any(cut, axis=1)
        for at, row in enumerate(rows.tolist()):
            if not some[at] and row not in self.cut:
                continue
            minutes = self.cut.setdefault(row, set())
            minutes.difference_update(range(first, first + cut.shape[1]))
            minutes.update((np.flatnonzero(cut[at]) + first).tolist())
            if not minutes:
                del self.cut[row]

    def cut_minutes(self, row: int, start: int) -> int:
        """In how many minutes from `start` on a row was cut; those before are forgotten."""
        minutes = self.cut.get(row)
        if minutes is None:
            return 0
        return sum(minute >= start for minute in tuple(minutes))

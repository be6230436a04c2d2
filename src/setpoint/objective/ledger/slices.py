"""The last minutes in slices of 5 s, for windows that are too short for minutes.

`book` keeps one `Slices` beside its `Ledgers`, with the same rows. Nothing of it is stored: after a restart the slices
are counted again from the samples.
"""

from __future__ import annotations

import threading

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled

__all__ = ["Slices", "warm"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@compiled
def _count(  # noqa: PLR0917 - kernels take flat arrays
    rows: Ints,
    starts: Ints,
    ends: Ints,
    first: int,
    end: int,
    good: Floats,
    total: Floats,
    present: Bools,
    found: Floats,
) -> None:
    """Sums of the slices of n windows into `found` float64[3, n]; the rings hold `first` to before `end`."""
    kept = present.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        for slot in range(max(starts[i], first), min(ends[i], end)):
            place = slot % kept
            if present[row, place]:
                found[0, i] += good[row, place]
                found[1, i] += total[row, place]
                found[2, i] += 1


@compiled
def _search(  # noqa: PLR0917 - kernels take flat arrays
    rows: Ints, first: int, end: int, total: Floats, present: Bools, events: bool, found: Ints
) -> None:
    """The last slice before `end` of each row into `found` int64[n], -1: none."""
    kept = present.shape[1]
    for i in range(len(rows)):
        found[i] = -1
        for slot in range(end - 1, first - 1, -1):
            place = slot % kept
            if present[rows[i], place] and (not events or total[rows[i], place] > 0):
                found[i] = slot
                break


def warm() -> None:
    """Compile the kernels, or load them from numba's cache."""
    slices = Slices()
    rows = np.zeros(1, np.int64)
    slices.counts(rows, rows, rows + 1)
    slices.last_with(rows, 1)


class Slices:
    """Events per slice of 5 s of the last minutes, row by row; the rows are those of `Ledgers`.

    Slice i covers the left-open stretch (i, i + 1] × 5 s since 1970. Only the last `kept` slices before the newest one
    written are there.
    """

    def __init__(self, kept: int = 144) -> None:
        self._kept = kept
        self._lock = threading.RLock()
        self._end = 0
        self._good = np.zeros((0, kept))
        self._total = np.zeros((0, kept))
        self._present = np.zeros((0, kept), np.bool_)

    def write_many(self, rows: Ints, first_slice: int, good: Floats, total: Floats, present: Bools) -> None:
        """Set m consecutive slices of k rows, as `Ledgers.write_many`."""
        with self._lock:
            if not len(rows) or not present.shape[1]:
                return
            self._grow(int(rows.max()) + 1)
            self._advance(first_slice + present.shape[1])
            slices = np.arange(first_slice, first_slice + present.shape[1])
            kept = slices >= self._end - self._kept
            place = np.ix_(rows, slices[kept] % self._kept)
            here = present[:, kept]
            self._good[place] = np.where(here, good[:, kept], 0.0)
            self._total[place] = np.where(here, total[:, kept], 0.0)
            self._present[place] = here

    def counts(self, rows: Ints, starts: Ints, ends: Ints) -> Floats:
        """Good, total and slices with data of n windows, float64[3, n], as `Ledgers.counts`."""
        found = np.zeros((3, len(rows)))
        with self._lock:
            self._grow(int(rows.max(initial=-1)) + 1)
            rings = self._good, self._total, self._present
            _count(rows, starts, ends, self._end - self._kept, self._end, *rings, found)
        return found

    def last_with(self, rows: Ints, before_slice: int, *, events: bool = False) -> Ints:
        """The last slice before `before_slice` with data, or (`events`) with a total above 0: int64[n], -1 none."""
        with self._lock:
            self._grow(int(rows.max(initial=-1)) + 1)
            last: Ints = np.empty(len(rows), np.int64)
            first, end = self._end - self._kept, min(before_slice, self._end)
            _search(rows, first, end, self._total, self._present, events, last)
            return last

    def advance(self, now_slice: int) -> None:
        """Tell the running slice, at the begin of each tick: later ones, from before the clock was set back, go."""
        with self._lock:
            if now_slice + 1 < self._end:
                gone = np.arange(max(now_slice + 1, self._end - self._kept), self._end) % self._kept
                self._good[:, gone], self._total[:, gone], self._present[:, gone] = 0.0, 0.0, False
                self._end = now_slice + 1

    def forget(self, row: int) -> None:
        """Empty a row, before it is given to another objective."""
        with self._lock:
            if row < len(self._present):
                self._present[row], self._good[row], self._total[row] = False, 0.0, 0.0

    @property
    def memory_bytes(self) -> int:
        """What the matrices hold."""
        return int(self._good.nbytes + self._total.nbytes + self._present.nbytes)

    def _grow(self, size: int) -> None:
        missing = size - len(self._present)
        if missing > 0:
            added = np.zeros((max(missing, len(self._present) // 4), self._kept))
            self._good, self._total = np.vstack((self._good, added)), np.vstack((self._total, added))
            self._present = np.vstack((self._present, added > 0))

    def _advance(self, end: int) -> None:
        if end <= self._end:
            return
        fresh = np.arange(max(self._end, end - self._kept), end) % self._kept
        self._good[:, fresh], self._total[:, fresh], self._present[:, fresh] = 0.0, 0.0, False
        self._end = end

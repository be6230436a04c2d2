"""The ledgers in memory as matrices: minutes of the last day, prefix sums per hour for as long as the windows reach.

`Ledgers` owns one, guards it with its lock and calls the kernels (`kernels`) on these arrays:
- `cells` float64[n, 27, 60, 2]: good and total per minute of the running hour and the 26 before it, as a ring (an hour
  is at its number modulo 27); 0 without data.
- `marks` uint64[3, n, 27]: bits per minute of those hours (counted, unsaved, touched since a save began).
- `sums` float64[a, 2], `tally` int32[a]: good, total and minutes with data of all hours before one, since some begin.
- `bits` uint64[a]: which minutes of an hour have data; bit 60 tells that any was counted.
- `places` int64[n, 3]: where the hours of a row begin in those three, for how many there is room (hour h is at h modulo
  that), and the first hour that is there. A row that is not in use has room for none.

Memory per row: 26 KB for the day and 28 B for each hour of its window; 20 KB for 30 days. Arrays are doubled; what was
never written of them takes no memory (the system gives zeroed pages when they are first touched).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.objective.ledger import kernels
from setpoint.objective.ledger.kernels import RECENT_HOURS

__all__ = ["Matrix"]

Ints = npt.NDArray[np.int64]

_ROWS = 64
_HOURS = 4096
_MARGIN = 4  # hours beyond the window: a part of one at its far edge, the next one, and the sum after it


class Matrix:
    """See above. `head` is the running hour, -1 before anything is known."""

    def __init__(self) -> None:
        self.head = -1
        self.cells = np.zeros((_ROWS, RECENT_HOURS, 60, 2))
        self.marks = np.zeros((3, _ROWS, RECENT_HOURS), np.uint64)
        self.places = np.zeros((_ROWS, 3), np.int64)
        self.sums = np.zeros((_HOURS, 2))
        self.tally = np.zeros(_HOURS, np.int32)
        self.bits = np.zeros(_HOURS, np.uint64)
        self._end = 0
        self._free: dict[int, list[int]] = {}

    @property
    def recent(self) -> int:
        """The first hour that has its minutes in the ring."""
        return self.head - RECENT_HOURS + 1

    def allocate(self, row: int, window_minutes: int) -> None:
        """Make an empty row for a window; one that grows keeps what it has."""
        size = max(-(-window_minutes // 60), RECENT_HOURS) + _MARGIN
        if row >= len(self.places):
            self._grow_rows(row + 1)
        had = int(self.places[row, 1])
        if had >= size:
            return
        offset = self._room(size)
        first = max(0, self.head + 2 - size) if self.head >= 0 else 0
        if had:
            old, base = int(self.places[row, 0]), int(self.places[row, 2])
            hours = np.arange(base, self.head + 2)
            for column in (self.sums, self.tally, self.bits):
                column[offset + hours % size] = column[old + hours % had]
            self._free.setdefault(had, []).append(old)
            first = base
        self.places[row] = offset, size, first

    def free(self, row: int) -> None:
        """Empty a row; it may be allocated again."""
        offset, size, _ = self.places[row].tolist()
        self._free.setdefault(size, []).append(offset)
        self.cells[row] = 0.0
        self.marks[:, row] = 0
        self.places[row] = 0

    def clear(self, head: int) -> None:
        """Empty all rows, and let the running hour be `head`."""
        used = np.flatnonzero(self.places[:, 1])
        self.cells[used] = 0.0
        self.marks[:, used] = 0
        self.sums[: self._end] = 0.0
        self.tally[: self._end] = 0
        self.bits[: self._end] = 0
        self.begin(head)

    def begin(self, head: int) -> None:
        """Let empty rows begin where their windows do."""
        self.head = head
        used = self.places[:, 1] > 0
        self.places[used, 2] = np.maximum(0, head + 2 - self.places[used, 1])

    def move_on(self, head: int) -> None:
        """Let the running hour be a later one; what leaves the ring must have been taken care of."""
        kernels.move_on(
            self.head, head, self.cells, self.marks, self.sums, self.tally, self.bits, self.places
        )
        self.head = head

    def bits_of(self, rows: Ints, hours: Ints) -> npt.NDArray[np.uint64]:
        """`bits` of hours of rows (they broadcast); 0 for hours that are not there."""
        offset, size, base = (self.places[rows, column] for column in range(3))
        is_there = (hours >= base) & (hours <= self.head) & (size > 0)
        at = np.where(is_there, offset + hours % np.maximum(size, 1), 0)
        found: npt.NDArray[np.uint64] = np.where(is_there, self.bits[at], np.uint64(0))
        return found

    def hour_cells(self, rows: Ints, hour: int) -> npt.NDArray[np.float64]:
        """A copy of an hour of the ring: float64[k, 60, 2]."""
        copied: npt.NDArray[np.float64] = self.cells[rows, hour % RECENT_HOURS]
        return copied

    @property
    def memory_bytes(self) -> int:
        """What the rows in use hold."""
        rows = int((self.places[:, 1] > 0).sum())
        per_row = int(self.cells[0].nbytes + self.marks[:, 0].nbytes)
        return rows * per_row + self._end * (16 + 4 + 8)

    def _room(self, size: int) -> int:
        free = self._free.get(size)
        if free:
            offset = free.pop()
            self.sums[offset : offset + size] = 0.0
            self.tally[offset : offset + size] = 0
            self.bits[offset : offset + size] = 0
            return offset
        offset, self._end = self._end, self._end + size
        if self._end > len(self.bits):
            self._grow_hours(self._end)
        return offset

    def _grow_rows(self, needed: int) -> None:
        have = len(self.places)
        size = max(needed, 2 * have)
        cells = np.zeros((size, *self.cells.shape[1:]))
        # Rows that nothing was written to stay without memory.
        counted = np.flatnonzero(self.marks.any(axis=(0, 2)))
        cells[counted] = self.cells[counted]
        marks = np.zeros((3, size, RECENT_HOURS), np.uint64)
        marks[:, :have] = self.marks
        places = np.zeros((size, 3), np.int64)
        places[:have] = self.places
        self.cells, self.marks, self.places = cells, marks, places

    def _grow_hours(self, needed: int) -> None:
        have = len(self.bits)
        size = max(needed, 2 * have)
        sums, tally, bits = np.zeros((size, 2)), np.zeros(size, np.int32), np.zeros(size, np.uint64)
        if self.head >= 0:
            sums[:have], tally[:have], bits[:have] = self.sums, self.tally, self.bits
        self.sums, self.tally, self.bits = sums, tally, bits

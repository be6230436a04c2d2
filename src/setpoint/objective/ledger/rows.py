"""What all ledgers of a server hold in memory, and the questions that it answers: the part of `Ledgers` that needs no
store.

The minutes of the last 26 hours and the sums of all hours before are a `Matrix`; hours beside them are `Blocks`.
"""

from __future__ import annotations

import heapq
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.objective.ledger import kernels
from setpoint.objective.ledger.blocks import COUNTED, PRESENT, TOUCHED, UNSAVED, Blocks, key_of
from setpoint.objective.ledger.edges import Edges
from setpoint.objective.ledger.matrix import Matrix
from setpoint.objective.store import ledger_id

__all__ = ["Row", "Rows", "plain"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def plain(values: npt.ArrayLike, dtype: type) -> npt.NDArray[Any]:
    """`values` as the kernels take them: another layout would be compiled on the spot."""
    return np.require(values, dtype, ["C", "W"])


@dataclass(slots=True)
class Row:
    """`serial` tells a row from the one that had its number before."""

    key: str
    number: int
    window_minutes: int
    serial: int
    is_loaded: bool


class Rows:
    """See above; a row is a dense int, given out again after `remove`. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._rows: list[Row | None] = []
        self._by_key: dict[str, int] = {}
        self._free: list[int] = []
        self._ids = np.zeros(0, np.uint64)
        self._serials = np.zeros(0, np.int64)
        self._serial = 0
        self._matrix, self._blocks, self._edges = Matrix(), Blocks(), Edges()
        self._now = -1
        self.rounded = 0
        """How many edges of windows were taken to the full hour, because their minutes were not in memory."""

    def add(self, key: str, window_minutes: int) -> int:
        """The row of a ledger (`Objective.ledger_key`), empty until `load`, that keeps at least `window_minutes`.

        A key that is known keeps its row and its minutes; when its window grows, call `load` again.
        """
        with self._lock:
            known = self._by_key.get(key)
            if known is not None:
                one = self._of(known)
                if window_minutes > one.window_minutes:
                    self._matrix.allocate(known, window_minutes)
                    one.is_loaded = False
                one.window_minutes = window_minutes
                self._edges.set_window(known, window_minutes)
                return known
            row = heapq.heappop(self._free) if self._free else len(self._rows)
            self._serial += 1
            fresh = Row(key, ledger_id(key), window_minutes, self._serial, is_loaded=False)
            if row == len(self._rows):
                self._rows.append(fresh)
            if row >= len(self._ids):
                more = np.zeros(row // 2 + 64, np.int64)
                self._ids = np.concatenate((self._ids, more.astype(np.uint64)))
                self._serials = np.concatenate((self._serials, more))
            self._rows[row], self._by_key[key] = fresh, row
            self._ids[row], self._serials[row] = np.uint64(fresh.number), fresh.serial
            self._matrix.allocate(row, window_minutes)
            self._edges.set_window(row, window_minutes)
            return row

    def remove(self, row: int) -> None:
        """Forget a row; what is stored stays. `save` first, or what is not saved yet is lost."""
        with self._lock:
            self._by_key.pop(self._of(row).key)
            self._rows[row] = None
            heapq.heappush(self._free, row)
            self._serials[row] = 0
            self._matrix.free(row)
            self._edges.forget(row)
            self._blocks.keep(self._blocks.keys >> 32 != row)

    def row_of(self, key: str) -> int | None:
        """The row of a key, None when it was not added."""
        with self._lock:
            return self._by_key.get(key)

    def counts(self, rows: Ints, starts: Ints, ends: Ints) -> Floats:
        """Good, total and minutes with data of n windows, float64[3, n]. Never reads the store.

        Window i is of row `rows[i]`, from minute `starts[i]` to before `ends[i]`.

        An edge more than a day back is exact at full hours, and where `watch` and `upkeep` provided for it; any other
        is taken to the full hour outside the window. What lies before the window of `add` counts nothing.
        """
        found = np.zeros((3, len(rows)))
        rows, starts, ends = (plain(one, np.int64) for one in (rows, starts, ends))
        with self._lock:
            self._check(rows)
            m, b = self._matrix, self._blocks
            self.rounded += kernels.count(
                rows, starts, ends, m.head, m.cells, m.sums, m.tally, m.bits, m.places, b.keys, b.slots,
                b.cells, found,
            )  # fmt: skip
        return found

    def last_with(self, rows: Ints, before_minute: int, *, events: bool = False) -> Ints:
        """The last minute before `before_minute` with data, or (`events`) with a total above 0: int64[n], -1 none.

        With `events`, and more than a day back: the last minute with data of the hour that has events.
        """
        found = np.empty(len(rows), np.int64)
        with self._lock:
            m, rows = self._matrix, plain(rows, np.int64)
            self._check(rows)
            kernels.last_with(rows, before_minute, events, m.head, m.cells, m.sums, m.bits, m.places, found)
        return found

    def first_with(self, rows: Ints, starts: Ints) -> Ints:
        """The first minute from `starts[i]` on with data: int64[n], -1 none."""
        found = np.empty(len(rows), np.int64)
        with self._lock:
            m = self._matrix
            self._check(rows)
            rows, starts = plain(rows, np.int64), plain(starts, np.int64)
            kernels.first_with(rows, starts, m.head, m.bits, m.places, found)
        return found

    def watch(self, rows: Ints, minutes: Ints) -> None:
        """Keep windows of `minutes[i]` that end now exact for `rows[i]`, beside the one of `add`.

        `upkeep` provides for it; what was watched for these rows before is not any more.
        """
        with self._lock:
            self._edges.watch(rows, minutes)

    def anchor(self, rows: Ints, starts: Ints) -> None:
        """Keep windows of `rows[i]` that begin with minute `starts[i]` exact, whenever they end; as `watch`."""
        with self._lock:
            self._edges.anchor(rows, starts)

    @property
    def memory_bytes(self) -> int:
        """What the ledgers hold."""
        with self._lock:
            return self._matrix.memory_bytes + self._blocks.memory_bytes

    @property
    def waiting(self) -> int:
        """How many hours are held in memory beside the last day: far edges, and what waits to be saved."""
        with self._lock:
            return len(self._blocks.keys)

    def _check(self, rows: Ints) -> None:
        """Kernels do not look where they write."""
        if len(rows) and not (rows.min() >= 0 and rows.max() < len(self._rows) and self._serials[rows].all()):
            raise KeyError("a row of the ledgers was removed")

    def _evict(self, wanted: Ints) -> None:
        """Drop the blocks that are neither unsaved nor wanted."""
        is_unsaved = self._blocks.marks[UNSAVED, self._blocks.slots] > 0
        self._blocks.keep(is_unsaved | np.isin(self._blocks.keys, wanted))

    def _of(self, row: int) -> Row:
        found = self._rows[row]
        if found is None:
            raise KeyError(f"row {row} of the ledgers was removed")
        return found

    def _move_on(self, hour: int) -> None:
        """Let `hour` be the running one, if it is later.

        What leaves the ring unsaved, or is an edge, becomes a block.
        """
        matrix = self._matrix
        if matrix.head < 0:
            matrix.begin(hour)
        if hour <= matrix.head:
            return
        wanted = self._edges.keys(max(self._now, 0))
        for leaving in range(max(matrix.recent, 0), min(matrix.head, hour - kernels.RECENT_HOURS) + 1):
            unsaved = np.flatnonzero(matrix.marks[UNSAVED, :, leaving % kernels.RECENT_HOURS])
            self._spill(leaving, np.union1d(unsaved, wanted[(wanted & 0xFFFFFFFF) == leaving] >> 32))
        # Blocks of hours that come now are from before the clock was set back.
        self._blocks.keep((self._blocks.keys & 0xFFFFFFFF) <= matrix.head)
        matrix.move_on(hour)

    def _spill(self, hour: int, rows: Ints) -> None:
        """Make blocks of an hour of the ring, for the rows in which it was counted."""
        matrix, blocks, at = self._matrix, self._blocks, hour % kernels.RECENT_HOURS
        rows = rows[matrix.marks[COUNTED, rows, at] > 0]
        keys = key_of(rows, np.array(hour))
        blocks.keep(~np.isin(blocks.keys, keys))
        slots = blocks.add(keys)
        blocks.cells[slots] = matrix.hour_cells(rows, hour)
        for mark in (COUNTED, UNSAVED, TOUCHED):
            blocks.marks[mark, slots] = matrix.marks[mark, rows, at]
        blocks.marks[PRESENT, slots] = matrix.bits_of(rows, np.array(hour)) & kernels.ALL_MINUTES

    def _spill_unsaved(self, rows: Ints) -> None:
        """Make blocks of all that `rows` have unsaved in the ring."""
        for hour in range(max(self._matrix.recent, 0), self._matrix.head + 1):
            unsaved = self._matrix.marks[UNSAVED, rows, hour % kernels.RECENT_HOURS] > 0
            if unsaved.any():
                self._spill(hour, np.sort(rows[unsaved]))

    def _overlay(
        self, rows: Ints, first: int, end: int, cells: Floats, marks: npt.NDArray[np.uint64]
    ) -> None:
        """Put what is in memory over what was read: it is newer."""
        matrix, blocks = self._matrix, self._blocks
        last = min(end, matrix.head + 1)
        ring = max(first, matrix.recent, 0)
        if first < min(last, ring) and len(blocks.keys):
            slots = blocks.find(key_of(rows[:, None], np.arange(first, min(last, ring))))
            there = np.nonzero(slots >= 0)
            cells[there] = blocks.cells[slots[there]]
            marks[there] = blocks.marks[PRESENT, slots[there]]
        for hour in range(ring, last):
            cells[:, hour - first] = matrix.hour_cells(rows, hour)
            marks[:, hour - first] = matrix.bits_of(rows, np.array(hour)) & kernels.ALL_MINUTES

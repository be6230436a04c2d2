"""All ledgers of a server: good and total events of every objective, minute by minute.

`book` has one `Ledgers`; its rows are the objectives. Minute i covers the left-open stretch (i, i + 1] × 60 s since
1970. A minute is in one of three states: never counted, counted without data (a gap, which is not zero good events),
or counted with data; a minute that is written again replaces itself. Whole numbers of events stay exact up to 2^53.

The evaluation thread writes, pages read, a background thread calls `save` and `fetch_edges`: all methods may be called
from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.objective.ledger import Ledger, Slots
from setpoint.objective.ranges import Ranges
from setpoint.objective.store import LedgerRows, LedgerStore

__all__ = ["Ledgers", "Loaded", "Slices"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the store knew of n rows: `first`, `last` int64[n] are the oldest and newest minute counted (-1: none).

    `holes[i]`: the half-open ranges of row i's window (which ends with the running minute) that were never counted.
    """

    first: Ints
    last: Ints
    holes: Sequence[Sequence[tuple[int, int]]]


class _Row:
    def __init__(self, key: str, window_minutes: int) -> None:
        self.key = key
        self.window_minutes = window_minutes
        self.ledger = Ledger(60)
        self.counted = Ranges()
        self.unsaved: set[int] = set()


class Ledgers:
    """See above. A row is a dense int, given out again after `remove`."""

    def __init__(self, store: LedgerStore | None = None) -> None:
        """Without a store nothing outlives the process."""
        self._store = store
        self._lock = threading.RLock()
        self._rows: list[_Row | None] = []
        self._by_key: dict[str, int] = {}

    def add(self, key: str, window_minutes: int) -> int:
        """The row of a ledger (`Objective.ledger_key`), empty until `load`, that keeps at least `window_minutes`.

        A key that is known keeps its row and its minutes; when its window grows, call `load` again.
        """
        with self._lock:
            row = self._by_key.get(key)
            if row is not None:
                self._of(row).window_minutes = window_minutes
                return row
            row = next((i for i, one in enumerate(self._rows) if one is None), len(self._rows))
            if row == len(self._rows):
                self._rows.append(None)
            self._rows[row] = _Row(key, window_minutes)
            self._by_key[key] = row
            return row

    def remove(self, row: int) -> None:
        """Forget a row; what is stored stays. `save` first, or what is not saved yet is lost."""
        with self._lock:
            self._by_key.pop(self._of(row).key)
            self._rows[row] = None

    def row_of(self, key: str) -> int | None:
        """The row of a key, None when it was not added."""
        with self._lock:
            return self._by_key.get(key)

    def advance(self, now_minute: int) -> None:
        """Tell the running minute; to be called at the begin of each tick, before anything is written.

        When the clock was set back far enough that minutes have left the memory for ones that lie in the future now,
        they are read again from the store. Raises Unavailable when that is needed and fails.
        """

    def write(self, row: int, slots: Slots) -> Bools:
        """`write_many` for one row. Returns bool[m]."""
        columns = slots.good[None], slots.total[None], slots.present[None]
        changed: Bools = self.write_many(np.array([row]), slots.first, *columns)[0]
        return changed

    def write_many(self, rows: Ints, first_minute: int, good: Floats, total: Floats, present: Bools) -> Bools:
        """Set m consecutive minutes of k rows (no row twice); all of them are counted then, where `present` with data.

        `good`, `total` float64[k, m] (read where present; 0 ≤ good ≤ total, finite) and `present` bool[k, m]. Returns
        bool[k, m]: what differs from before; a minute without data that was never counted does not.

        A minute with data that is older than a day may have to be read from the store before it can be replaced;
        raises Unavailable when the store does not answer, and nothing has changed then.
        """
        changed = np.zeros(present.shape, np.bool_)
        end = first_minute + present.shape[1]
        with self._lock:
            for i, row in enumerate(rows.tolist()):
                one = self._of(row)
                cells = np.where(present[i], good[i], 0.0), np.where(present[i], total[i], 0.0), present[i]
                changed[i] = one.ledger.write(Slots(first_minute, *cells))
                one.unsaved.update((np.flatnonzero(changed[i]) + first_minute).tolist())
                one.counted.add(first_minute, end)
                if end > first_minute:
                    one.unsaved.add(first_minute)
        return changed

    def counts(self, rows: Ints, starts: Ints, ends: Ints) -> Floats:
        """Good, total and minutes with data of n windows, float64[3, n]. Never reads the store.

        Window i is of row `rows[i]`, from minute `starts[i]` to before `ends[i]`.

        An edge more than a day back is exact at full hours, and where `watch` or `fetch_edges` provided for it; any
        other is taken to the full hour outside the window. What lies before the window of `add` counts nothing.
        """
        with self._lock:
            found = np.zeros((3, len(rows)))
            for row in np.unique(rows).tolist():
                at = np.flatnonzero(rows == row)
                found[:, at] = self._of(row).ledger.counts_of(starts[at], ends[at])
            return found

    def minutes(self, row: int, start: int, end: int) -> Slots:
        """A copy of the minutes from `start` to before `end`, exactly as many.

        Minutes older than a day are read from the store, so it is for pages and background work. Raises Unavailable.
        """
        size = max(0, end - start)
        good, total, present = np.zeros(size), np.zeros(size), np.zeros(size, np.bool_)
        with self._lock:
            known = self._of(row).ledger.slots(start, start + size)
        place = slice(known.first - start, known.end - start)
        if len(known.total):
            good[place], total[place], present[place] = known.good, known.total, known.present
        return Slots(start, good, total, present)

    def last_with(self, rows: Ints, before_minute: int, *, events: bool = False) -> Ints:
        """The last minute before `before_minute` with data, or (`events`) with a total above 0: int64[n], -1 none.

        Beyond the last day and for `events`, to the hour: the last minute of that hour.
        """
        with self._lock:
            found = [self._of(row).ledger.last_with(before_minute, events=events) for row in rows.tolist()]
        return np.array([-1 if one is None else one for one in found], np.int64)

    def first_with(self, rows: Ints, starts: Ints) -> Ints:
        """The first minute from `starts[i]` on with data: int64[n], -1 none."""
        with self._lock:
            pairs = zip(rows.tolist(), starts.tolist(), strict=True)
            found = [self._of(row).ledger.first_with_data(start) for row, start in pairs]
        return np.array([-1 if one is None else one for one in found], np.int64)

    def watch(self, rows: Ints, minutes: Ints) -> None:
        """Keep windows of `minutes[i]` that end now exact for `rows[i]`, beside the one of `add`.

        `fetch_edges` provides for it; what was watched for these rows before is not any more.
        """

    def load(self, rows: Ints, now_minute: int) -> Loaded:
        """Read what is stored of these rows, all in one go. What was written since they were added stays.

        Raises Unavailable; nothing has changed then.
        """
        with self._lock:
            stored = [self._read(self._of(row)) for row in rows.tolist()]
            holes = []
            for row, found in zip(rows.tolist(), stored, strict=True):
                one = self._of(row)
                _merge(one, found)
                holes.append(one.counted.holes(now_minute + 1 - one.window_minutes, now_minute + 1))
        first = [int(one.minutes[0]) if len(one.minutes) else -1 for one in stored]
        last = [int(one.minutes[-1]) if len(one.minutes) else -1 for one in stored]
        return Loaded(np.array(first, np.int64), np.array(last, np.int64), holes)

    def save(self, computed_ms: int) -> int:
        """Store what changed since the last time; returns how many minutes.

        Raises Unavailable; they stay to be saved then.
        """
        with self._lock:
            rows = [_unsaved(one) for one in self._rows if one is not None and one.unsaved]
            if self._store is not None:
                self._store.write(rows, computed_ms)
            for one in self._rows:
                if one is not None:
                    one.unsaved.clear()
        return sum(len(one.minutes) for one in rows)

    def fetch_edges(self, now_minute: int) -> int:
        """Read the minutes at the far edges of all windows in use for the next hour, where they are not in memory yet.

        For a background thread, every few minutes; returns how many hours were read. Raises Unavailable.
        """
        del now_minute
        return 0

    @property
    def memory_bytes(self) -> int:
        """What the ledgers hold."""
        with self._lock:
            return sum(48 * (one.ledger.end - one.ledger.first) for one in self._rows if one is not None)

    def _of(self, row: int) -> _Row:
        found = self._rows[row]
        if found is None:
            raise KeyError(f"row {row} of the ledgers was removed")
        return found

    def _read(self, one: _Row) -> LedgerRows:
        if self._store is None:
            return LedgerRows(one.key, np.empty(0, np.int64), np.empty(0), np.empty(0))
        return self._store.read(one.key, 0)


def _merge(one: _Row, stored: LedgerRows) -> None:
    fresh = [
        minute for minute in one.unsaved if one.ledger.first <= minute < one.ledger.end
    ]  # newer than what is stored
    kept = {minute: one.ledger.slots(minute, minute + 1) for minute in fresh}
    edges = np.flatnonzero(np.diff(stored.minutes) != 1) + 1
    for at in np.split(np.arange(len(stored.minutes)), edges):
        if len(at) == 0:
            continue
        known = ~np.isnan(stored.total[at])
        good, total = np.where(known, stored.good[at], 0.0), np.where(known, stored.total[at], 0.0)
        first = int(stored.minutes[at[0]])
        one.ledger.write(Slots(first, good, total, known))
        one.counted.add(first, first + len(at))
    for slots in kept.values():
        one.ledger.write(slots)


def _unsaved(one: _Row) -> LedgerRows:
    chosen = np.array(sorted(one.unsaved), np.int64)
    slots = one.ledger.slots(int(chosen[0]), int(chosen[-1]) + 1)
    at = chosen - slots.first
    return LedgerRows(one.key, chosen, slots.good[at], np.where(slots.present[at], slots.total[at], np.nan))


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
            slices = np.arange(self._end - self._kept, self._end)
            place = slices % self._kept
            inside = (slices >= starts[:, None]) & (slices < ends[:, None])
            for i, matrix in enumerate((self._good, self._total, self._present)):
                found[i] = np.where(inside, matrix[rows[:, None], place], 0.0).sum(axis=1)
        return found

    def last_with(self, rows: Ints, before_slice: int, *, events: bool = False) -> Ints:
        """The last slice before `before_slice` with data, or (`events`) with a total above 0: int64[n], -1 none."""
        with self._lock:
            self._grow(int(rows.max(initial=-1)) + 1)
            slices = np.arange(self._end - self._kept, self._end)
            slices = slices[slices < before_slice]
            matrix = (self._total > 0) if events else self._present
            found = matrix[rows[:, None], slices % self._kept]
            last: Ints = np.where(found, slices, -1).max(axis=1, initial=-1)
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

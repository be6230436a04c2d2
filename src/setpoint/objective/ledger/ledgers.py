"""All ledgers of a server: good and total events of every objective, minute by minute.

`book` has one `Ledgers`; its rows are the objectives. Minute i covers the left-open stretch (i, i + 1] × 60 s since
1970. A minute is in one of three states: never counted, counted without data (a gap, which is not zero good events),
or counted with data; a minute that is written again replaces itself. Whole numbers of events stay exact up to 2^53.

In memory are the minutes of the last 26 hours (`Matrix`) and the sums of all hours before. What else a window needs,
the minutes of the hour in which it begins, is fetched from the store ahead of time (`Blocks`; decision 0022).

The evaluation thread writes, pages read, a background thread calls `save` and `upkeep`: all methods may be called from
any thread. Nothing is read from the store while the lock is held.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.objective.ledger import kernels
from setpoint.objective.ledger.blocks import COUNTED, PRESENT, UNSAVED, key_of
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.ledger.load import Staged
from setpoint.objective.ledger.rows import Rows, plain
from setpoint.objective.ledger.save import finish, take, tick_off
from setpoint.objective.ledger.slices import Slices
from setpoint.objective.store import LedgerStore, Stretch, ledger_id, lookup, minutes_of

__all__ = ["Ledgers", "Loaded", "Slices"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
_Waiting = tuple[int, Floats, npt.NDArray[np.uint64]]

_FINAL_MINUTES = 10
_MONTH_HOURS, _HOURS_AT_ONCE = 800, 750_000
_LOST = -2
_BLOCKS_MOST = 50_000  # a save that leaves more drops those that are stored and no edge
_EVERY_ID = (0, 2**64 - 1)
_CHOSEN_MOST, _COPIED_AT_ONCE = 200, 50
_LAST_HOUR = 2**32 // 60


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the store knew of n rows: `first`, `last` int64[n] are the oldest and newest minute counted (-1: none).

    `holes[i]`: the half-open ranges of row i's window (which ends with the running minute) that were never counted.
    """

    first: Ints
    last: Ints
    holes: Sequence[Sequence[tuple[int, int]]]


class Ledgers(Rows):
    """See above. A row is a dense int, given out again after `remove`."""

    def __init__(self, store: LedgerStore | None = None) -> None:
        """Without a store nothing outlives the process."""
        super().__init__()
        self._store = store
        self._saving = threading.Lock()
        self._lost: set[int] = set()
        self._version, self._finished = 0, -1
        self._stored_finished = 0
        self._tidied = -1

    def advance(self, now_minute: int) -> None:
        """Tell the running minute; to be called at the begin of each tick, before anything is written.

        When the clock was set back by more than an hour, everything is read again from the store: minutes had left the
        memory for ones that lie in the future now. Raises Unavailable when that is needed and fails.
        """
        with self._lock:
            self._now = now_minute
            hour = now_minute // 60
            if hour >= self._matrix.head - 1 or self._store is None:
                self._move_on(hour)
                return
        self._go_back(hour)

    def write(self, row: int, slots: Slots) -> Bools:
        """`write_many` for one row. Returns bool[m]."""
        columns = slots.good[None], slots.total[None], slots.present[None]
        changed: Bools = self.write_many(np.array([row]), slots.first, *columns)[0]
        return changed

    def write_many(self, rows: Ints, first_minute: int, good: Floats, total: Floats, present: Bools) -> Bools:
        """Set m consecutive minutes of k rows (no row twice); all of them are counted then, where `present` with data.

        `good`, `total` float64[k, m] (read where present; 0 ≤ good ≤ total, finite: else there are no data) and
        `present` bool[k, m]. Returns bool[k, m]: what differs from before; a minute without data that was never counted
        does not. Minutes before a row's window are left alone.

        A minute with data that is older than a day may have to be read from the store before it can be replaced;
        raises Unavailable when the store does not answer, and nothing has changed then.
        """
        changed = np.zeros(present.shape, np.bool_)
        end = first_minute + present.shape[1]
        if not changed.size:
            return changed
        present = plain(present & np.isfinite(good) & np.isfinite(total), np.bool_)
        good, total = plain(good, np.float64), plain(total, np.float64)
        rows = plain(rows, np.int64)
        while True:
            with self._lock:
                self._check(rows)
                self._move_on((end - 1) // 60)
                slots, missing = self._slots(rows, first_minute // 60, (end - 1) // 60 + 1)
                if not len(missing):
                    m, b = self._matrix, self._blocks
                    kernels.write(
                        rows, first_minute, good, total, present, m.head, m.cells, m.marks, m.sums, m.tally,
                        m.bits, m.places, slots, b.cells, b.marks, changed,
                    )  # fmt: skip
                    return changed
            self._fetch(missing)

    def minutes(self, row: int, start: int, end: int) -> Slots:
        """`minutes_many` of one row."""
        good, total, present = self.minutes_many(np.array([row]), start, end)
        return Slots(start, good[0], total[0], present[0])

    def minutes_many(self, rows: Ints, start: int, end: int) -> tuple[Floats, Floats, Bools]:
        """Good and total float64[k, m] and present bool[k, m] of the minutes from `start` to before `end` of k rows.

        Minutes older than a day are read from the store, so it is for pages and background work. Raises Unavailable.
        """
        rows = np.asarray(rows, np.int64)
        first, last = start // 60, -(-max(start, end) // 60)
        while True:
            with self._lock:
                head = self._matrix.head
                numbers = self._ids[rows]
            old = min(last, head - kernels.RECENT_HOURS + 2)  # one hour more, it may leave the ring meanwhile
            cells = np.zeros((len(rows), max(last - first, 0), 60, 2))
            marks = np.zeros(cells.shape[:2], np.uint64)
            if self._store is not None and first < old and len(rows):
                stored = self._store.blocks(_stretch(numbers, first, old))
                order = np.argsort(numbers)
                at = np.minimum(np.searchsorted(numbers[order], stored.head["ledger"]), len(rows) - 1)
                known = np.flatnonzero(numbers[order][at] == stored.head["ledger"])
                place = order[at[known]], stored.head["hour"][known].astype(np.int64) - first
                cells[place], marks[place] = stored.cells[known], stored.head["present"][known]
            with self._lock:
                if self._matrix.head != head:
                    continue
                self._overlay(rows, first, last, cells, marks)
                break
        bits = (marks[:, :, None] >> np.arange(60, dtype=np.uint64)) & np.uint64(1)
        span = slice(start - first * 60, max(start, end) - first * 60)
        flat = cells.reshape(len(rows), -1, 2)[:, span]
        return flat[:, :, 0].copy(), flat[:, :, 1].copy(), bits.reshape(len(rows), -1)[:, span] > 0

    def first_stored(self, row: int, start: int) -> int:
        """`first_with` for one row, as far back as anything is stored; -1 none.

        Reads the store, so it is for pages and background work. Raises Unavailable.
        """
        with self._lock:
            number, base = self._of(row).number, int(self._matrix.places[row, 2])
        if self._store is not None and start < base * 60:
            head = self._store.hours(Stretch(number, number, start // 60, base, (number,)))
            hours = np.sort(head["hour"][head["present"] > 0])
            if len(hours):
                minutes = self.minutes(row, start, (int(hours[0]) + 1) * 60).present
                if minutes.any():
                    return start + int(minutes.argmax())
        return int(self.first_with(np.array([row]), np.array([start]))[0])

    def load(self, rows: Ints, now_minute: int) -> Loaded:
        """Read what is stored of these rows, all in one go. What was written since they were added stays.

        Raises Unavailable; what was read until then is kept, and the rows may be loaded again.
        """
        rows = np.asarray(rows, np.int64)
        with self._lock:
            self._check(rows)
            self._now = max(self._now, now_minute)
            self._move_on(now_minute // 60)
            windows = np.array([self._of(row).window_minutes for row in rows.tolist()], np.int64)
        first, last = np.full(len(rows), -1, np.int64), np.full(len(rows), -1, np.int64)
        holes: list[list[tuple[int, int]]] = [[] for _ in rows]
        self._know_versions()
        for batch in self._batches(rows):
            with self._lock:
                staged = self._stage(rows[batch])
            if self._store is not None:
                staged.read(self._store)
            with self._lock:
                late = self._put(staged, rows[batch])
            self._write_again(late)
            first[batch], last[batch], found = staged.known(now_minute + 1 - windows[batch], now_minute + 1)
            for at, ranges in zip(batch.tolist(), found, strict=True):
                holes[at] = ranges
        return Loaded(first, last, holes)

    def save(self, computed_ms: int, *, everything: bool = True) -> int:
        """Store what changed since the last time; returns how many minutes. Rows that `load` did not succeed for wait.

        Without `everything` the running minute is left for later: it will change again. Raises Unavailable; what could
        not be stored stays to be saved then.
        """
        if self._store is None:
            return 0
        self._know_versions()
        count = 0
        with self._saving:
            while True:
                with self._lock:
                    rows = np.array(
                        [i for i, one in enumerate(self._rows) if one and one.is_loaded], np.int64
                    )
                    self._version = max(computed_ms, self._version + 1)
                    finished = self._finish(rows)
                    before = 2**62 if everything else self._now
                    part = take(
                        self._matrix, self._blocks, self._ids, rows,
                        finished=finished, before_minute=before, version=self._version,
                    )  # fmt: skip
                    serials = self._serials[part.keys >> 32]
                    names = {
                        int(self._ids[row]): self._of(row).key for row in np.unique(part.keys >> 32).tolist()
                    }
                if not len(part.keys):
                    self._stored_finished = finished
                    return count
                self._store.name(names)
                self._store.write_hours(part.hours)
                self._store.write_minutes(part.minutes)
                with self._lock:
                    tick_off(self._matrix, self._blocks, part, self._serials[part.keys >> 32] == serials)
                    if len(self._blocks.keys) > _BLOCKS_MOST:
                        self._evict(self._edges.keys(max(self._now, 0)))
                count += part.count

    def copy(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Store under the second key of each pair what is stored under the first, in place of what was there; `save`
        first. Rows of these keys are to be loaded (again). Hours of which the minutes were dropped are left out.

        Raises Unavailable; it can be repeated then.
        """
        if self._store is None or not pairs:
            return
        self._know_versions()
        numbers = {ledger_id(source): ledger_id(target) for source, target in pairs}
        with self._saving:
            with self._lock:
                self._version += 1
                version, finished = self._version, self._finished
            self._store.name({ledger_id(target): target for _, target in pairs})
            for part in np.array_split(
                np.array(sorted(numbers), np.uint64), -(-len(numbers) // _COPIED_AT_ONCE)
            ):
                found = self._store.blocks(_stretch(part, 0, _LAST_HOUR))
                found = found.take(np.flatnonzero(found.is_whole & np.isin(found.head["ledger"], part)))
                found.head["ledger"] = [numbers[one] for one in found.head["ledger"].tolist()]
                found.head["computed_ms"] = version
                is_finished = found.head["hour"] < finished
                self._store.write_hours(found.take(np.flatnonzero(is_finished)))
                self._store.write_minutes(minutes_of(found.take(np.flatnonzero(~is_finished))))

    def fetch_edges(self, now_minute: int) -> int:
        """Read the minutes at the far edges of all windows in use for the next hour, where they are not in memory yet.

        For a background thread, every few minutes; returns how many hours were read. Raises Unavailable.
        """
        with self._lock:
            wanted = self._edges.keys(now_minute)
            rows, hours = wanted >> 32, wanted & 0xFFFFFFFF
            is_old = (hours < self._matrix.recent) & (self._matrix.bits_of(rows, hours) > 0)
            missing = wanted[is_old & (self._blocks.find(wanted) < 0) & ~self._is_lost(wanted)]
        if len(missing) and self._store is not None:
            self._fetch(missing)
        with self._lock:
            self._evict(wanted)
        return len(missing)

    def upkeep(self, now_minute: int) -> None:
        """What a background thread does every minute or few: `fetch_edges`, and once an hour tidying of the store.

        Raises Unavailable.
        """
        self.fetch_edges(now_minute)
        if self._store is None or self._tidied == now_minute // 60:
            return
        with self._lock:
            longest = max((one.window_minutes for one in self._rows if one), default=0)
            finished = self._stored_finished
        self._store.tidy(finished, now_minute, longest)
        self._tidied = now_minute // 60

    def _is_lost(self, keys: Ints) -> Bools:
        return np.isin(keys, np.array(sorted(self._lost), np.int64))

    def _go_back(self, hour: int) -> None:
        with self._lock:
            rows = np.array([i for i, one in enumerate(self._rows) if one], np.int64)
            batches = [rows[batch] for batch in self._batches(rows)]
            staged = [self._stage(batch, hour) for batch in batches]
        for one in staged:
            assert self._store is not None
            one.read(self._store)
        with self._lock:
            matrix = self._matrix
            if hour >= matrix.head - 1:
                return
            self._spill_unsaved(rows)
            self._blocks.keep((self._blocks.keys & 0xFFFFFFFF) <= hour)
            matrix.clear(hour)
            late = [self._put(one, batch) for one, batch in zip(staged, batches, strict=True)]
        for waiting in late:
            self._write_again(waiting)

    def _batches(self, rows: Ints) -> list[Ints]:
        """Places in `rows`, ordered by the ledgers' numbers, in parts that are read at once: long windows apart."""
        with self._lock:
            sizes, numbers = self._matrix.places[rows, 1], self._ids[rows]
        found = []
        for is_chosen in (sizes <= _MONTH_HOURS, sizes > _MONTH_HOURS):
            chosen = np.flatnonzero(is_chosen)
            chosen = chosen[np.argsort(numbers[chosen])]
            at_once = max(1, _HOURS_AT_ONCE // int(sizes[chosen].max(initial=1)))
            found += [chosen[begin : begin + at_once] for begin in range(0, len(chosen), at_once)]
        return found

    def _stage(self, rows: Ints, head: int | None = None) -> Staged:
        sizes = self._matrix.places[rows, 1]
        return Staged(self._ids[rows], sizes, self._matrix.head if head is None else head)

    def _put(self, staged: Staged, rows: Ints) -> list[_Waiting]:
        """Put what was read in its place, and what is unsaved of the ring on top of it; the lock is held.

        Returns what else is unsaved of these rows: it has to be written again without the lock.
        """
        matrix, blocks = self._matrix, self._blocks
        is_there = np.array([self._rows[row] is not None for row in rows.tolist()], np.bool_)
        is_there &= (self._ids[rows] == staged.ids) & (staged.head == matrix.head)
        rows = np.where(is_there, rows, -1)
        self._spill_unsaved(rows[is_there])
        is_ours = np.isin(blocks.keys >> 32, rows[is_there])
        slots = blocks.slots[is_ours & (blocks.marks[UNSAVED, blocks.slots] > 0)]
        keys = blocks.keys[is_ours & (blocks.marks[UNSAVED, blocks.slots] > 0)]
        waiting = list(zip(keys.tolist(), blocks.cells[slots], blocks.marks[:, slots].T, strict=True))
        blocks.keep(~is_ours)
        staged.put(rows, matrix)
        for row in rows[is_there].tolist():
            self._of(row).is_loaded = True
        self._write_again([one for one in waiting if one[0] & 0xFFFFFFFF >= matrix.recent])
        return [one for one in waiting if one[0] & 0xFFFFFFFF < matrix.recent]

    def _write_again(self, waiting: Sequence[_Waiting]) -> None:
        for key, cells, marks in waiting:
            bits = (marks[:, None] >> np.arange(60, dtype=np.uint64)) & np.uint64(1)
            minutes = np.flatnonzero(bits[UNSAVED])
            for run in np.split(minutes, np.flatnonzero(np.diff(minutes) != 1) + 1):
                first = (key & 0xFFFFFFFF) * 60 + int(run[0])
                slots = Slots(first, cells[run, 0], cells[run, 1], bits[PRESENT, run] > 0)
                self.write(key >> 32, slots)

    def _slots(self, rows: Ints, first: int, end: int) -> tuple[npt.NDArray[np.int32], Ints]:
        """Where the hours from `first` to before `end` are: int32[k, h] as `kernels.write` wants it, and the keys of
        those whose minutes have to be fetched first.
        """
        slots = np.full((len(rows), end - first), -1, np.int32)
        hours = np.arange(first, min(end, self._matrix.recent))
        if not len(hours):
            return slots, np.zeros(0, np.int64)
        keys = key_of(rows[:, None], hours)
        found = self._blocks.find(keys)
        is_there = hours >= self._matrix.places[rows, 2][:, None]
        missing = keys[(found < 0) & is_there]
        if len(missing):
            bits = self._matrix.bits_of(missing >> 32, missing & 0xFFFFFFFF)
            is_lost = self._is_lost(missing)
            missing, bits = missing[~is_lost], bits[~is_lost]
            self._blocks.add(np.sort(missing[bits == 0]))
            missing = missing[bits > 0]
            found = self._blocks.find(keys)
        slots[:, : len(hours)] = np.where((found < 0) & is_there, _LOST, found)
        return slots, missing

    def _fetch(self, keys: Ints) -> None:
        """Read hours that are stored and put them beside the others; what is not there is lost."""
        hours = keys & 0xFFFFFFFF
        apart = np.unique(hours)
        for part in np.split(apart, np.flatnonzero(np.diff(apart) > 1) + 1):
            self._fetch_stretch(keys[(hours >= part[0]) & (hours <= part[-1])])

    def _fetch_stretch(self, keys: Ints) -> None:
        assert self._store is not None
        rows, hours = keys >> 32, keys & 0xFFFFFFFF
        with self._lock:
            numbers, serials = self._ids[rows], self._serials[rows]
        stored = self._store.blocks(_stretch(np.unique(numbers), int(hours.min()), int(hours.max()) + 1))
        with self._lock:
            is_same = (self._serials[rows] == serials) & (serials > 0)
            found = lookup(stored.head, numbers, hours.astype(np.uint32))
            is_lost = (found < 0) | ~stored.is_whole[found] if len(stored.head) else found < 0
            self._lost.update(keys[is_same & is_lost].tolist())
            fresh = is_same & ~is_lost & (self._blocks.find(keys) < 0) & (hours < self._matrix.recent)
            order = np.argsort(keys[fresh])
            slots = self._blocks.add(keys[fresh][order])
            at = found[fresh][order]
            self._blocks.cells[slots] = stored.cells[at]
            self._blocks.marks[COUNTED, slots] = stored.head["counted"][at]
            self._blocks.marks[PRESENT, slots] = stored.head["present"][at]

    def _finish(self, rows: Ints) -> int:
        """The hour before which all are finished, and mark what has to be stored of those that just are."""
        matrix = self._matrix
        finished = max(self._finished, (max(self._now, matrix.recent * 60) - _FINAL_MINUTES) // 60)
        finish(matrix, rows, max(self._finished, 0), finished)
        self._finished = finished
        return finished

    def _know_versions(self) -> None:
        """Go on with the versions of the store: the newest counts, also when the clock was set back before a start."""
        if self._version == 0 and self._store is not None:
            version, finished = self._store.newest()
            with self._lock:
                self._version, self._finished = max(self._version, version), max(self._finished, finished)


def _stretch(numbers: npt.NDArray[np.uint64], first: int, end: int) -> Stretch:
    """What to read for some ledgers: one by one when they are few."""
    if len(numbers) <= _CHOSEN_MOST:
        return Stretch(int(numbers.min()), int(numbers.max()), first, end, tuple(numbers.tolist()))
    return Stretch(*_EVERY_ID, first, end)

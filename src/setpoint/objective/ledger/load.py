# ruff: noqa: PLR0917 - kernels take flat arrays, and numba has no keyword arguments to speak of
"""What the store knows of some ledgers, read in one go and laid out for `Matrix`.

`Ledgers.load` stages a batch of rows without holding its lock, because reading takes a while, and then puts each in its
place. Hours are read without their minutes: sums are all that most of a window needs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled
from setpoint.objective.ledger.codec import HOUR, HourBlocks
from setpoint.objective.ledger.kernels import RECENT_HOURS
from setpoint.objective.ledger.matrix import Matrix
from setpoint.objective.store import LedgerStore, Stretch, merged

__all__ = ["Staged", "warm"]

Ints = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]
_Floats = npt.NDArray[np.float64]

_CHOSEN_MOST = 200  # more than these are read with what lies between them
_SPARSE_MOST, _SPARSE = 5000, 2**63
"""So many are named one by one where they lie far apart: there may be many times as many between them."""


class Staged:
    """The hours of k ledgers, one after another: `sums` float64[a, 2] per hour, `present`, `counted` uint64[a] bits per
    minute. `ids` uint64[k] ascending; `sizes` int64[k] is how many hours of each, the last of which is `head`.
    """

    def __init__(self, ids: _Words, sizes: Ints, head: int) -> None:
        self.ids, self.sizes, self.head = ids, sizes, head
        self.bases = np.maximum(0, head + 2 - sizes)
        self.offsets = np.concatenate((np.zeros(1, np.int64), np.cumsum(head + 1 - self.bases)))
        count = int(self.offsets[-1])
        self.sums = np.zeros((count, 2))
        self.present, self.counted = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
        self.versions = np.zeros(count, np.int64)
        self.recent = HourBlocks(np.empty(0, HOUR), np.empty((0, 60, 2)), np.empty(0, np.bool_))

    def read(self, store: LedgerStore) -> None:
        """Fill it. Raises Unavailable."""
        low, high, first = int(self.ids[0]), int(self.ids[-1]), int(self.bases.min())
        begin = max(first, self.head - RECENT_HOURS + 1)
        most = _SPARSE_MOST if high - low > _SPARSE else _CHOSEN_MOST
        chosen = tuple(self.ids.tolist()) if len(self.ids) <= most else ()
        self._place(store.hours(Stretch(low, high, first, begin, chosen)))
        minutes = store.minutes(Stretch(low, high, first, begin, chosen))
        if len(minutes):
            self._place_minutes(store, minutes)
        recent = store.blocks(Stretch(low, high, begin, self.head + 1, chosen))
        self._place(recent.head)
        is_wanted = np.isin(recent.head["ledger"], self.ids)
        self.recent = recent if is_wanted.all() else recent.take(np.flatnonzero(is_wanted))

    def _place_minutes(self, store: LedgerStore, minutes: npt.NDArray[np.void]) -> None:
        """Hours of which minutes are newer than what was read of them: mostly those that nobody finished."""
        at = self._where(minutes["ledger"], (minutes["minute"] // 60).astype(np.int64))
        known = np.where(at >= 0, self.versions[at], np.iinfo(np.int64).max)
        newer, known = minutes[minutes["computed_ms"] > known], known[minutes["computed_ms"] > known]
        self._place(merged(self.recent, newer[known == 0]).head)
        for ledger, hour in {(int(one["ledger"]), int(one["minute"]) // 60) for one in newer[known > 0]}:
            self._place(store.blocks(Stretch(ledger, ledger, hour, hour + 1)).head)

    def _place(self, head: npt.NDArray[np.void]) -> None:
        at = self._where(np.ascontiguousarray(head["ledger"]), head["hour"].astype(np.int64))
        computed_ms, good, total, present, counted = (
            np.ascontiguousarray(head[name])
            for name in ("computed_ms", "good", "total", "present", "counted")
        )
        _place(
            at,
            computed_ms,
            good,
            total,
            present,
            counted,
            self.versions,
            self.sums,
            self.present,
            self.counted,
        )

    def _index(self, ledgers: _Words) -> Ints:
        """Where `ids` has or would have these, int64[n]. They come in runs of a ledger's hours, each looked up once."""
        ledgers = np.ascontiguousarray(ledgers)
        begins = np.ones(len(ledgers), np.bool_)
        begins[1:] = ledgers[1:] != ledgers[:-1]
        starts = np.flatnonzero(begins)
        found: Ints = np.searchsorted(self.ids, ledgers[starts])
        return np.repeat(found, np.diff(starts, append=len(ledgers)))

    def _where(self, ledgers: _Words, hours: Ints) -> Ints:
        """Where hours of ledgers are in the columns: int64[n], -1 for those that are not wanted."""
        if not len(self.ids):
            return np.full(len(ledgers), -1, np.int64)
        index = np.minimum(self._index(ledgers), len(self.ids) - 1)
        is_wanted = (self.ids[index] == ledgers) & (hours >= self.bases[index]) & (hours <= self.head)
        found: Ints = np.where(is_wanted, self.offsets[index] + hours - self.bases[index], -1)
        return found

    def put(self, rows: Ints, matrix: Matrix) -> None:
        """Let the rows int64[k] of the matrix (-1: none) hold what was read, and nothing else."""
        chosen = rows[rows >= 0]
        matrix.places[chosen, 2] = np.maximum(0, self.head + 2 - matrix.places[chosen, 1])
        matrix.cells[chosen] = 0.0
        matrix.marks[:, chosen] = 0
        _put(
            rows, matrix.places, matrix.sums, matrix.tally, matrix.bits, self.head, self.bases, self.offsets,
            self.sums, self.present, self.counted,
        )  # fmt: skip
        self._put_recent(rows, matrix)

    def _put_recent(self, rows: Ints, matrix: Matrix) -> None:
        head = self.recent.head
        row = rows[self._index(head["ledger"])]
        at = np.flatnonzero(row >= 0)
        hours = head["hour"][at].astype(np.int64) % RECENT_HOURS
        matrix.cells[row[at], hours] = self.recent.cells[at]
        matrix.marks[0, row[at], hours] = head["counted"][at]

    def known(self, starts: Ints, end: int) -> tuple[Ints, Ints, list[list[tuple[int, int]]]]:
        """Of each ledger the first and the last minute that was counted, int64[k] (-1: none), and the ranges of its
        window that were not; the windows begin with minutes `starts` and end before `end`.
        """
        count = len(self.ids)
        first, last = np.empty(count, np.int64), np.empty(count, np.int64)
        missing = np.empty(count, np.int64)
        _known(self.bases, self.offsets, self.counted, starts, end, first, last, missing)
        holes: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        places = np.flatnonzero(missing)
        span = places, self.bases, self.offsets, self.counted, starts, end
        runs = np.empty((_runs(*span, np.empty((0, 3), np.int64)), 3), np.int64)
        _runs(*span, runs)
        for index, begin, stop in runs.tolist():
            holes[index].append((begin, stop))
        return first, last, holes


@compiled
def _place(
    at: Ints,
    computed_ms: Ints,
    good: _Floats,
    total: _Floats,
    present: _Words,
    counted: _Words,
    versions: Ints,
    sums: _Floats,
    all_present: _Words,
    all_counted: _Words,
) -> None:
    for i in range(len(at)):
        place = at[i]
        if place >= 0 and computed_ms[i] >= versions[place]:
            versions[place] = computed_ms[i]
            sums[place, 0], sums[place, 1] = good[i], total[i]
            all_present[place], all_counted[place] = present[i], counted[i]


@compiled
def _put(
    rows: Ints,
    places: Ints,
    sums: _Floats,
    tally: npt.NDArray[np.int32],
    bits: _Words,
    head: int,
    bases: Ints,
    offsets: Ints,
    found_sums: _Floats,
    present: _Words,
    counted: _Words,
) -> None:
    """Prefix sums and bits of rows from what was read of ledgers."""
    one, none = np.uint64(1), np.uint64(0)
    for i in range(len(rows)):
        row = rows[i]
        if row < 0:
            continue
        offset, size, base = places[row, 0], places[row, 1], places[row, 2]
        good, total, minutes = 0.0, 0.0, 0
        sums[offset + base % size, 0], sums[offset + base % size, 1] = good, total
        tally[offset + base % size] = minutes
        for hour in range(base, head + 1):
            here, after = offset + hour % size, offset + (hour + 1) % size
            bits[here] = none
            if hour >= bases[i]:
                at = offsets[i] + hour - bases[i]
                good += found_sums[at, 0]
                total += found_sums[at, 1]
                has_data = present[at]
                bits[here] = has_data | (one << np.uint64(60)) if counted[at] != none else none
                while has_data != none:
                    minutes += 1
                    has_data &= has_data - one
            sums[after, 0], sums[after, 1], tally[after] = good, total, minutes


@compiled
def _known(
    bases: Ints,
    offsets: Ints,
    counted: _Words,
    starts: Ints,
    end: int,
    first: Ints,
    last: Ints,
    missing: Ints,
) -> None:
    """The first and last minute counted, and how many minutes from `starts` to before `end` were not."""
    one, none = np.uint64(1), np.uint64(0)
    whole = (one << np.uint64(60)) - one
    for i in range(len(bases)):
        first[i], last[i], missing[i] = -1, -1, end - starts[i]
        for at in range(offsets[i], offsets[i + 1]):
            bits = counted[at]
            if bits == none:
                continue
            begin = (bases[i] + at - offsets[i]) * 60
            if bits == whole and begin >= starts[i] and begin + 60 <= end:
                first[i] = first[i] if first[i] >= 0 else begin
                last[i] = begin + 59
                missing[i] -= 60
                continue
            for minute in range(60):
                if (bits >> np.uint64(minute)) & one:
                    if first[i] < 0:
                        first[i] = begin + minute
                    last[i] = begin + minute
                    if starts[i] <= begin + minute < end:
                        missing[i] -= 1


@compiled
def _runs(
    places: Ints, bases: Ints, offsets: Ints, counted: _Words, starts: Ints, end: int, out: Ints
) -> int:
    """How many runs of minutes of the ledgers `places`, from `starts` to before `end`, were not counted; as many as
    there is room for are put into `out` int64[r, 3]: ledger, first minute, minute after the last.
    """
    one, none = np.uint64(1), np.uint64(0)
    whole = (one << np.uint64(60)) - one
    found = 0
    for i in places:
        hours = offsets[i + 1] - offsets[i]
        minute, begin = starts[i], np.int64(-1)
        while minute <= end:
            at, stop = minute // 60 - bases[i], min((minute // 60 + 1) * 60, end)
            bits = counted[offsets[i] + at] if 0 <= at < hours else none
            is_counted = minute == end or (bits >> np.uint64(minute % 60)) & one == one
            if is_counted and begin >= 0:
                if found < len(out):
                    out[found, 0], out[found, 1], out[found, 2] = i, begin, minute
                found += 1
                begin = np.int64(-1)
            elif not is_counted and begin < 0:
                begin = minute
            minute = stop if minute < end and bits in (none, whole) else minute + 1
    return found


def warm() -> None:
    """Compile the kernel, or load it from numba's cache."""
    one, words = np.zeros(1, np.int64), np.zeros(1, np.uint64)
    sums, tally, places = np.zeros((4, 2)), np.zeros(4, np.int32), np.array([[0, 4, 0]])
    _place(one, one, np.zeros(1), np.zeros(1), words, words, one.copy(), sums, words, words)
    _put(one, places, sums, tally, np.zeros(4, np.uint64), 0, one, np.array([0, 1]), sums, words, words)
    _known(one, np.array([0, 1]), words, one, 1, one.copy(), one.copy(), one.copy())
    _runs(one, one, np.array([0, 1]), words, one, 1, np.empty((0, 3), np.int64))

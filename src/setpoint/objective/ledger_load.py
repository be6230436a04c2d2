# ruff: noqa: PLR0917 - kernels take flat arrays, and numba has no keyword arguments to speak of
"""What the store knows of some ledgers, read in one go and laid out for `Matrix`.

`Ledgers.load` stages a batch of rows without holding its lock, because reading takes a while, and then puts each in its
place. Hours are read without their minutes: sums are all that most of a window needs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.objective.compiled import compiled
from setpoint.objective.ledger_codec import HOUR, HourBlocks
from setpoint.objective.ledger_kernels import RECENT_HOURS
from setpoint.objective.ledger_matrix import Matrix
from setpoint.objective.store import LedgerStore, Stretch, merged

__all__ = ["Staged", "warm"]

Ints = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]
_Floats = npt.NDArray[np.float64]

_CHOSEN_MOST = 200  # more than these are read with what lies between them
_ALL = np.uint64((1 << 60) - 1)
_ONCE = np.uint64(1 << 60)


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
        chosen = tuple(self.ids.tolist()) if len(self.ids) <= _CHOSEN_MOST else ()
        self._place(store.hours(Stretch(low, high, first, begin, chosen)))
        minutes = store.minutes(Stretch(low, high, first, begin, chosen))
        if len(minutes):
            self._place_minutes(store, minutes)
        recent = store.blocks(Stretch(low, high, begin, self.head + 1, chosen))
        self._place(recent.head)
        self.recent = recent.take(np.flatnonzero(np.isin(recent.head["ledger"], self.ids)))

    def _place_minutes(self, store: LedgerStore, minutes: npt.NDArray[np.void]) -> None:
        """Hours of which minutes are newer than what was read of them: mostly those that nobody finished."""
        at = self._where(minutes["ledger"], (minutes["minute"] // 60).astype(np.int64))
        known = np.where(at >= 0, self.versions[at], np.iinfo(np.int64).max)
        newer, known = minutes[minutes["computed_ms"] > known], known[minutes["computed_ms"] > known]
        self._place(merged(self.recent, newer[known == 0]).head)
        for ledger, hour in {(int(one["ledger"]), int(one["minute"]) // 60) for one in newer[known > 0]}:
            self._place(store.blocks(Stretch(ledger, ledger, hour, hour + 1)).head)

    def _place(self, head: npt.NDArray[np.void]) -> None:
        at = self._where(head["ledger"], head["hour"].astype(np.int64))
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

    def _where(self, ledgers: _Words, hours: Ints) -> Ints:
        """Where hours of ledgers are in the columns: int64[n], -1 for those that are not wanted."""
        if not len(self.ids):
            return np.full(len(ledgers), -1, np.int64)
        index = np.minimum(np.searchsorted(self.ids, ledgers), len(self.ids) - 1)
        is_wanted = (self.ids[index] == ledgers) & (hours >= self.bases[index]) & (hours <= self.head)
        found: Ints = np.where(is_wanted, self.offsets[index] + hours - self.bases[index], -1)
        return found

    def put(self, index: int, row: int, matrix: Matrix) -> None:
        """Let a row of the matrix hold what was read of ledger `index`, and nothing else."""
        offset, size, _ = matrix.places[row].tolist()
        base = max(0, self.head + 2 - size)
        first = max(base, int(self.bases[index]))
        begin = int(self.offsets[index]) + first - int(self.bases[index])
        span = slice(begin, int(self.offsets[index + 1]))
        hours = np.arange(base, self.head + 1)
        matrix.places[row, 2] = base
        sums, tally = np.zeros((len(hours) + 1, 2)), np.zeros(len(hours) + 1, np.int64)
        bits = np.zeros(len(hours), np.uint64)
        skipped = first - base
        np.cumsum(self.sums[span], axis=0, out=sums[skipped + 1 :])
        np.cumsum(_ones(self.present[span]), out=tally[skipped + 1 :])
        bits[skipped:] = self.present[span] | np.where(self.counted[span] > 0, _ONCE, np.uint64(0))
        at = offset + np.append(hours, self.head + 1) % size
        matrix.sums[at], matrix.tally[at], matrix.bits[at[:-1]] = sums, tally, bits
        matrix.cells[row] = 0.0
        matrix.marks[:, row] = 0

    def put_recent(self, rows: Ints, matrix: Matrix) -> None:
        """Let the rows int64[k] of the matrix (-1: none) hold the minutes of the last day."""
        head = self.recent.head
        row = rows[np.searchsorted(self.ids, head["ledger"])]
        at = np.flatnonzero(row >= 0)
        hours = head["hour"][at].astype(np.int64) % RECENT_HOURS
        matrix.cells[row[at], hours] = self.recent.cells[at]
        matrix.marks[0, row[at], hours] = head["counted"][at]

    def known(self, index: int, window_start: int, window_end: int) -> tuple[int, int, list[tuple[int, int]]]:
        """The first and the last minute of ledger `index` that was counted (-1: none), and the ranges of the window's
        minutes that were not.
        """
        counted = self.counted[int(self.offsets[index]) : int(self.offsets[index + 1])]
        base = int(self.bases[index])
        some = np.flatnonzero(counted)
        if not len(some):
            return -1, -1, [(window_start, window_end)]
        low, high = int(counted[some[0]]), int(counted[some[-1]])
        first = (base + int(some[0])) * 60 + (low & -low).bit_length() - 1
        last = (base + int(some[-1])) * 60 + high.bit_length() - 1
        if (counted[some[0] : some[-1]] == _ALL).all() and last == window_end - 1 and first <= window_start:
            return first, last, []
        minutes = (counted[:, None] >> np.arange(60, dtype=np.uint64)) & np.uint64(1)
        flat = np.zeros(window_end - window_start + 2, np.bool_)
        flat[1:-1] = True
        start = base * 60
        low, high = max(window_start, start), min(window_end, start + minutes.size)
        if low < high:
            flat[1 + low - window_start : 1 + high - window_start] = (
                minutes.ravel()[low - start : high - start] == 0
            )
        edges = np.flatnonzero(flat[1:] != flat[:-1]) + window_start
        return first, last, list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _ones(bits: _Words) -> Ints:
    counted: Ints = np.bitwise_count(bits).astype(np.int64)
    return counted


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


def warm() -> None:
    """Compile the kernel, or load it from numba's cache."""
    one, words = np.zeros(1, np.int64), np.zeros(1, np.uint64)
    _place(one, one, np.zeros(1), np.zeros(1), words, words, one.copy(), np.zeros((1, 2)), words, words)

"""The ledger: good and total events per slot of time, in memory, with prefix sums.

Slot i covers the left-open stretch (i × slot, (i + 1) × slot]. A track keeps two: minutes for as far back as
its window reaches, and slices of 5 s for the last ten minutes. Slots are contiguous from the first to the
last one written; a slot without data is a gap, not zero good events. Any window is the difference of two
prefix sums, so 30 days cost as much as 5 minutes; whole numbers of events stay exact up to 2^53.

The evaluation thread writes, pages read: a lock guards both.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.objective.model import Counts

__all__ = ["Ledger", "Slots"]

_Ints = npt.NDArray[np.int64]
_SPARE = 256
_LOOKED_AT = 4096  # slots at once when the last one is searched from the end


@dataclass(frozen=True, slots=True)
class Slots:
    """Consecutive slots from `first` on: `good`, `total` float64[n] and `present` bool[n] (had data)."""

    first: int
    good: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]
    present: npt.NDArray[np.bool_]

    @property
    def end(self) -> int:
        """The slot after the last one."""
        return self.first + len(self.total)


class Ledger:
    """Events per slot of `slot_s` seconds."""

    def __init__(self, slot_s: int = 60) -> None:
        self.slot_s = slot_s
        self._slot_ms = slot_s * 1000
        self._lock = threading.Lock()
        self._first = 0
        self._size = 0
        self._slots = np.zeros((3, _SPARE))  # good, total, present
        self._sums = np.zeros((3, _SPARE + 1))  # their prefix sums, from slot to slot
        self._summed = 0  # how many slots the prefix sums hold

    def slot_of(self, at_ms: int) -> int:
        """The slot that holds an instant; an instant on the edge belongs to the slot that ends there."""
        return (at_ms - 1) // self._slot_ms

    def start_ms(self, slot: int) -> int:
        """Where a slot begins (exclusive)."""
        return slot * self._slot_ms

    def end_ms(self, slot: int) -> int:
        """Where a slot ends (inclusive)."""
        return (slot + 1) * self._slot_ms

    @property
    def first(self) -> int:
        """The first slot written; meaningless while the ledger is empty."""
        return self._first

    @property
    def end(self) -> int:
        """The slot after the last one written; equals `first` while the ledger is empty."""
        return self._first + self._size

    def write(self, slots: Slots) -> npt.NDArray[np.bool_]:
        """Set consecutive slots; what lies between them and the others becomes gaps. Returns bool[n]:
        what changed.
        """
        count = len(slots.total)
        if count == 0:
            return np.zeros(0, np.bool_)
        fresh = np.vstack((slots.good, slots.total, slots.present))
        with self._lock:
            self._reach(slots.first, slots.end)
            place = slice(slots.first - self._first, slots.end - self._first)
            changed: npt.NDArray[np.bool_] = (self._slots[:, place] != fresh).any(axis=0)
            if changed.any():
                self._slots[:, place] = fresh
                self._summed = min(self._summed, place.start + int(changed.argmax()))
            return changed

    def counts(self, start: int, end: int) -> Counts:
        """Events of the slots from `start` to before `end`; slots outside the ledger count nothing."""
        with self._lock:
            self._sum_up()
            low = min(max(start - self._first, 0), self._size)
            high = min(max(end - self._first, low), self._size)
            good, total, present = (self._sums[:, high] - self._sums[:, low]).tolist()
        return Counts(good=good, total=total, minutes=int(present))

    def counts_of(self, starts: _Ints, ends: _Ints) -> npt.NDArray[np.float64]:
        """Good, total and slots with data of many windows at once, as float64[3, n]."""
        with self._lock:
            return self._differences(starts, ends)

    def slots(self, start: int, end: int) -> Slots:
        """A copy of the slots from `start` to before `end`, cut to what is written."""
        with self._lock:
            low = min(max(start, self._first), self._first + self._size)
            high = min(max(end, low), self._first + self._size)
            part = self._slots[:, low - self._first : high - self._first].copy()
        return Slots(low, part[0], part[1], part[2] > 0)

    def last_with(self, end: int | None = None, *, events: bool = False) -> int | None:
        """The last slot (before `end`) that has data, or (`events`) that counted at least one event."""
        with self._lock:
            row = self._slots[1 if events else 2]
            high = self._size if end is None else min(max(end - self._first, 0), self._size)
            while high > 0:
                low = max(0, high - _LOOKED_AT)
                found = np.flatnonzero(row[low:high])
                if len(found):
                    return self._first + low + int(found[-1])
                high = low
            return None

    def first_with_data(self, start: int) -> int | None:
        """The first slot from `start` on that has data."""
        with self._lock:
            skipped = min(max(0, start - self._first), self._size)
            found = self._slots[2, skipped : self._size]
            position = int(found.argmax()) if len(found) else 0
            return self._first + skipped + position if len(found) and found[position] else None

    def forget_before(self, slot: int) -> None:
        """Drop older slots."""
        with self._lock:
            dropped = min(slot - self._first, self._size)
            if dropped <= 0:
                return
            self._slots = np.hstack((self._slots[:, dropped : self._size], np.zeros((3, _SPARE))))
            self._sums = np.zeros((3, self._slots.shape[1] + 1))
            self._first, self._size, self._summed = self._first + dropped, self._size - dropped, 0

    def _differences(self, starts: _Ints, ends: _Ints) -> npt.NDArray[np.float64]:
        self._sum_up()
        low = np.clip(starts - self._first, 0, self._size)
        high = np.maximum(np.clip(ends - self._first, 0, self._size), low)
        found: npt.NDArray[np.float64] = self._sums[:, high] - self._sums[:, low]
        return found

    def _sum_up(self) -> None:
        done, size = self._summed, self._size
        if done < size:
            steps = np.cumsum(self._slots[:, done:size], axis=1)
            self._sums[:, done + 1 : size + 1] = self._sums[:, done : done + 1] + steps
            self._summed = size

    def _reach(self, start: int, end: int) -> None:
        """Make room so that the slots from `start` to before `end` exist."""
        if self._size == 0:
            self._first = start
        low, high = min(start, self._first), max(end, self._first + self._size)
        before, size = self._first - low, high - low
        if before or size > self._slots.shape[1]:
            grown = np.zeros((3, size + max(_SPARE, size // 8)))
            grown[:, before : before + self._size] = self._slots[:, : self._size]
            self._slots = grown
            sums = np.zeros((3, grown.shape[1] + 1))
            if not before:
                sums[:, : self._summed + 1] = self._sums[:, : self._summed + 1]
            self._sums, self._summed = sums, 0 if before else self._summed
        self._first, self._size = low, size

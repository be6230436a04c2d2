# ruff: noqa: PLR0912, PLR0917 - kernels take flat arrays, and numba has no keyword arguments to speak of
"""The compiled loops of `ledgers`: write minutes, count windows, move on with time, search.

The arrays are described in `matrix`, which owns them. Everything here runs under the lock of `Ledgers`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled

__all__ = ["ALL_MINUTES", "RECENT_HOURS", "count", "first_with", "last_with", "move_on", "warm", "write"]

_Words = npt.NDArray[np.uint64]
_Ints = npt.NDArray[np.int64]
_Small = npt.NDArray[np.int32]
_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]

RECENT_HOURS = 27
"""How many hours have their minutes in memory: the running one, and the 26 before it."""

ALL_MINUTES = np.uint64((1 << 60) - 1)
"""The bits of the minutes of an hour."""

_RECENT = RECENT_HOURS
_LOST = -2
_COUNTED_ONCE = 60  # the bit of an hour's `bits` that says that some minute of it was counted


@compiled
def _set_hour(
    cells: _Floats,
    good: _Floats,
    total: _Floats,
    present: _Bools,
    minute: int,
    has_data: np.uint64,
    counted: np.uint64,
    changed: _Bools,
) -> tuple[float, float, np.uint64, np.uint64, np.uint64]:
    """Set consecutive minutes of one hour, from `minute` on. Returns by how much good and total grew, the bits with
    data, the bits set, and of those the ones that have to be saved.
    """
    one, none = np.uint64(1), np.uint64(0)
    more_good, more_total, touched, written = 0.0, 0.0, none, none
    for i in range(len(present)):
        bit = one << np.uint64(minute + i)
        new_good, new_total = 0.0, 0.0
        if present[i]:
            new_good, new_total = good[i], total[i]
        old_good, old_total = cells[minute + i, 0], cells[minute + i, 1]
        had_data = (has_data & bit) != none
        if had_data != present[i] or old_good != new_good or old_total != new_total:
            changed[i] = True
            cells[minute + i, 0], cells[minute + i, 1] = new_good, new_total
            more_good += new_good - old_good
            more_total += new_total - old_total
            has_data = (has_data | bit) if present[i] else (has_data & ~bit)
            touched |= bit
        elif (counted & bit) == none:
            touched |= bit
        written |= bit
    return more_good, more_total, has_data, written, touched


@compiled
def _add_up(sums: _Floats, tally: _Small, place: int, good: float, total: float, minutes: int) -> None:
    sums[place, 0] += good
    sums[place, 1] += total
    tally[place] += minutes


@compiled
def write(
    rows: _Ints,
    first: int,
    good: _Floats,
    total: _Floats,
    present: _Bools,
    head: int,
    cells: _Floats,
    marks: _Words,
    sums: _Floats,
    tally: _Small,
    bits: _Words,
    places: _Ints,
    slots: _Small,
    block_cells: _Floats,
    block_marks: _Words,
    changed: _Bools,
) -> None:
    """Set minutes of k rows. `slots` int32[k, h] are the blocks of the h hours from first // 60 on: -1 for the ring, -2
    where the minutes cannot be changed any more. `block_marks` uint64[4, b] are as `marks`, and the bits with data.
    """
    once = np.uint64(1) << np.uint64(_COUNTED_ONCE)
    width = present.shape[1]
    for i in range(len(rows)):
        row = rows[i]
        offset, size, base = places[row, 0], places[row, 1], places[row, 2]
        good_up, total_up, minutes_up = 0.0, 0.0, 0
        m = max(0, base * 60 - first)
        while m < width:
            hour = (first + m) // 60
            end = min(width, (hour + 1) * 60 - first)
            slot = slots[i, hour - first // 60]
            if slot != _LOST:
                at = hour % _RECENT
                had = bits[offset + hour % size] & ~once
                known = marks[0, row, at] if slot < 0 else block_marks[0, slot]
                target = cells[row, at] if slot < 0 else block_cells[slot]
                more_good, more_total, has, written, touched = _set_hour(
                    target, good[i, m:end], total[i, m:end], present[i, m:end], (first + m) % 60, had, known,
                    changed[i, m:end],
                )  # fmt: skip
                bits[offset + hour % size] = has | once
                if slot < 0:
                    marks[0, row, at] |= written
                    marks[1, row, at] |= touched
                    marks[2, row, at] |= touched
                else:
                    block_marks[0, slot] |= written
                    block_marks[1, slot] |= touched
                    block_marks[2, slot] |= touched
                    block_marks[3, slot] = has
                good_up, total_up = good_up + more_good, total_up + more_total
                minutes_up += _ones(has) - _ones(had)
            _add_up(sums, tally, offset + (hour + 1) % size, good_up, total_up, minutes_up)
            m = end
        if minutes_up != 0 or good_up != 0.0 or total_up != 0.0:
            for hour in range(max(base, (first + width - 1) // 60 + 1), head + 1):
                _add_up(sums, tally, offset + (hour + 1) % size, good_up, total_up, minutes_up)


@compiled
def _ones(bits: np.uint64) -> int:
    found = 0
    one = np.uint64(1)
    while bits:
        found += 1
        bits &= bits - one
    return found


@compiled
def count(
    rows: _Ints,
    starts: _Ints,
    ends: _Ints,
    head: int,
    cells: _Floats,
    sums: _Floats,
    tally: _Small,
    bits: _Words,
    places: _Ints,
    keys: _Ints,
    slots: _Small,
    block_cells: _Floats,
    found: _Floats,
) -> int:
    """Good, total and minutes with data of n windows into `found` float64[3, n]. Returns how many edges were taken to
    the full hour because their minutes are not in memory.
    """
    one, none = np.uint64(1), np.uint64(0)
    rounded = 0
    for i in range(len(rows)):
        row = rows[i]
        offset, size, base = places[row, 0], places[row, 1], places[row, 2]
        low, high = base * 60, (head + 1) * 60
        if size == 0 or ends[i] <= starts[i]:
            continue
        for side in range(2):
            minute = min(max(ends[i] if side else starts[i], low), high)
            sign = 1.0 if side else -1.0
            hour, part = minute // 60, minute % 60
            place = offset + hour % size
            good, total, minutes = sums[place, 0], sums[place, 1], float(tally[place])
            has_data = bits[place] & ((one << np.uint64(_COUNTED_ONCE)) - one)
            if part and has_data != none:
                is_known = True
                if hour > head - _RECENT:
                    for m in range(part):
                        good += cells[row, hour % _RECENT, m, 0]
                        total += cells[row, hour % _RECENT, m, 1]
                else:
                    key = (row << 32) | hour
                    left, right = 0, len(keys)
                    while left < right:
                        middle = (left + right) // 2
                        if keys[middle] < key:
                            left = middle + 1
                        else:
                            right = middle
                    if left < len(keys) and keys[left] == key:
                        slot = slots[left]
                        for m in range(part):
                            good += block_cells[slot, m, 0]
                            total += block_cells[slot, m, 1]
                    else:
                        is_known = False
                        rounded += 1
                        if side:
                            after = offset + (hour + 1) % size
                            good, total, minutes = sums[after, 0], sums[after, 1], float(tally[after])
                if is_known:
                    minutes += _ones(has_data & ((one << np.uint64(part)) - one))
            found[0, i] += sign * good
            found[1, i] += sign * total
            found[2, i] += sign * minutes
    return rounded


@compiled
def move_on(
    head: int,
    new_head: int,
    cells: _Floats,
    marks: _Words,
    sums: _Floats,
    tally: _Small,
    bits: _Words,
    places: _Ints,
) -> None:
    """Make room for the hours after `head` up to `new_head`, in all rows; what is too old goes."""
    none = np.uint64(0)
    fresh = max(head + 1, new_head - _RECENT + 1)
    for row in range(len(places)):
        offset, size, base = places[row, 0], places[row, 1], places[row, 2]
        if size == 0:
            continue
        for hour in range(fresh, new_head + 1):
            at_hour = hour % _RECENT
            cells[row, at_hour] = 0.0
            for k in range(3):
                marks[k, row, at_hour] = none
        last = offset + (head + 1) % size
        good, total, minutes = sums[last, 0], sums[last, 1], tally[last]
        new_base = max(base, new_head + 2 - size)
        begin = max(head + 1, new_base)
        for hour in range(begin, new_head + 2):
            place = offset + hour % size
            sums[place, 0], sums[place, 1], tally[place] = good, total, minutes
            bits[place] = none
        places[row, 2] = new_base


@compiled
def last_with(
    rows: _Ints,
    before: int,
    events: bool,
    head: int,
    cells: _Floats,
    sums: _Floats,
    bits: _Words,
    places: _Ints,
    found: _Ints,
) -> None:
    """The last minute before one with data (or with events) into `found` int64[n]; -1 where there is none."""
    one, none = np.uint64(1), np.uint64(0)
    for i in range(len(rows)):
        row = rows[i]
        offset, size, base = places[row, 0], places[row, 1], places[row, 2]
        found[i] = -1
        if size == 0:
            continue
        end = min(before, (head + 1) * 60)
        hour = (end - 1) // 60
        while hour >= base:
            place = offset + hour % size
            seen = bits[place] & ((one << np.uint64(_COUNTED_ONCE)) - one)
            if end - hour * 60 < 60:
                seen &= (one << np.uint64(end - hour * 60)) - one
            if seen != none:
                after = offset + (hour + 1) % size
                if not events or sums[after, 1] > sums[place, 1]:
                    minute = 59
                    while minute >= 0:
                        if (seen >> np.uint64(minute)) & one and (
                            not events or hour <= head - _RECENT or cells[row, hour % _RECENT, minute, 1] > 0
                        ):
                            break
                        minute -= 1
                    if minute >= 0:
                        found[i] = hour * 60 + minute
                        break
            hour -= 1


@compiled
def first_with(rows: _Ints, starts: _Ints, head: int, bits: _Words, places: _Ints, found: _Ints) -> None:
    """The first minute from `starts` on with data into `found` int64[n]; -1 where there is none."""
    one, none = np.uint64(1), np.uint64(0)
    for i in range(len(rows)):
        row = rows[i]
        offset, size, base = places[row, 0], places[row, 1], places[row, 2]
        found[i] = -1
        if size == 0:
            continue
        start = max(starts[i], base * 60)
        for hour in range(start // 60, head + 1):
            seen = bits[offset + hour % size] & ((one << np.uint64(_COUNTED_ONCE)) - one)
            skipped = start - hour * 60
            if skipped > 0:
                seen &= ~((one << np.uint64(skipped)) - one)
            if seen != none:
                minute = 0
                while not (seen >> np.uint64(minute)) & one:
                    minute += 1
                found[i] = hour * 60 + minute
                break


def warm() -> None:
    """Compile the kernels, or load them from numba's cache."""
    rows, hours = np.zeros(1, np.int64), np.ones(1, np.int64)
    cells, marks = np.zeros((1, _RECENT, 60, 2)), np.zeros((3, 1, _RECENT), np.uint64)
    sums, tally, bits = np.zeros((64, 2)), np.zeros(64, np.int32), np.zeros(64, np.uint64)
    places = np.array([[0, 64, 0]])
    slots, blocks = np.full((1, 1), -1, np.int32), np.zeros((1, 60, 2))
    row, yes = np.ones((1, 1)), np.ones((1, 1), np.bool_)
    write(
        rows, 61, row, row, yes, 1, cells, marks, sums, tally, bits, places, slots, blocks,
        np.zeros((4, 1), np.uint64), yes.copy(),
    )  # fmt: skip
    none = np.zeros(0, np.int64)
    counts = np.zeros((3, 1))
    count(rows, rows, hours, 1, cells, sums, tally, bits, places, none, slots[0], blocks, counts)
    last_with(rows, 90, False, 1, cells, sums, bits, places, hours)
    first_with(rows, rows, 1, bits, places, hours)
    move_on(1, 2, cells, marks, sums, tally, bits, places)

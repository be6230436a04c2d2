"""What of the ledgers has to be stored: taken in parts, and ticked off when it is stored.

`Ledgers.save` takes a part under its lock, stores it without, and ticks it off under the lock again. What was written
in between stays marked. An hour is finished some minutes after its end; from then on it is stored as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from setpoint.objective.ledger.blocks import COUNTED, PRESENT, TOUCHED, UNSAVED, Blocks, key_of
from setpoint.objective.ledger.codec import HOUR, HourBlocks
from setpoint.objective.ledger.kernels import RECENT_HOURS
from setpoint.objective.ledger.matrix import Matrix
from setpoint.objective.store import MINUTE

__all__ = ["Part", "finish", "take", "tick_off"]

Ints = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]

_HOURS_AT_ONCE = 20_000


@dataclass(slots=True)
class Part:
    """HOUR blocks and MINUTE rows to store; `keys` int64[t] and `taken` uint64[t] are the hours and bits that they
    come from.
    """

    hours: HourBlocks
    minutes: npt.NDArray[np.void]
    keys: Ints
    taken: _Words
    count: int = field(init=False)

    def __post_init__(self) -> None:
        self.count = int(np.bitwise_count(self.taken).sum())


def finish(matrix: Matrix, rows: Ints, first: int, end: int) -> None:
    """Mark all that was counted in the hours from `first` to before `end`, so that it is stored as whole hours."""
    for hour in range(max(first, matrix.recent), min(end, matrix.head + 1)):
        at = hour % RECENT_HOURS
        counted = matrix.marks[COUNTED, rows, at]
        matrix.marks[UNSAVED, rows, at] |= counted
        matrix.marks[TOUCHED, rows, at] |= counted


def take(
    matrix: Matrix,
    blocks: Blocks,
    ids: _Words,
    rows: Ints,
    *,
    finished: int,
    before_minute: int,
    version: int,
) -> Part:
    """Some of what `rows` have unsaved. Hours before `finished` are taken whole, of the others the minutes before
    `before_minute`. `ids` uint64[n] are the ledgers' numbers by row.
    """
    budget = _HOURS_AT_ONCE
    hours, minutes = [_empty_hours()], [np.empty(0, MINUTE)]
    keys, taken = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]

    is_ours = np.zeros(len(matrix.places), np.bool_)
    is_ours[rows] = True
    unsaved = np.flatnonzero((blocks.marks[UNSAVED, blocks.slots] > 0) & is_ours[blocks.keys >> 32])[:budget]
    if len(unsaved):
        budget -= len(unsaved)
        keys.append(blocks.keys[unsaved])
        slots = blocks.slots[unsaved]
        taken.append(blocks.marks[UNSAVED, slots])
        blocks.marks[TOUCHED, slots] = 0
        marks = blocks.marks[COUNTED, slots], blocks.marks[PRESENT, slots]
        at = blocks.keys[unsaved]
        hours.append(_hours(ids[at >> 32], at & 0xFFFFFFFF, blocks.cells[slots], *marks, version))

    for hour in range(max(0, matrix.recent), matrix.head + 1):
        at_hour = hour % RECENT_HOURS
        marks_of = matrix.marks[UNSAVED, rows, at_hour]
        if hour >= finished:
            left = min(max(before_minute - hour * 60, 0), 60)
            marks_of &= np.uint64((1 << left) - 1)
        chosen = np.flatnonzero(marks_of)
        if hour < finished:
            chosen = chosen[:budget]
            budget -= len(chosen)
        if not len(chosen):
            continue
        which, bits = rows[chosen], marks_of[chosen]
        keys.append(key_of(which, np.array(hour)))
        taken.append(bits)
        matrix.marks[TOUCHED, which, at_hour] &= ~bits
        cells, present = matrix.hour_cells(which, hour), matrix.bits_of(which, np.array(hour))
        if hour < finished:
            counted = matrix.marks[COUNTED, which, at_hour]
            hours.append(_hours(ids[which], np.full(len(which), hour), cells, counted, present, version))
        else:
            minutes.append(_minutes(ids[which], hour, cells, bits, present, version))
    joined = HourBlocks(
        np.concatenate([one.head for one in hours]),
        np.concatenate([one.cells for one in hours]),
        np.concatenate([one.is_whole for one in hours]),
    )
    return Part(joined, np.concatenate(minutes), np.concatenate(keys), np.concatenate(taken))


def tick_off(matrix: Matrix, blocks: Blocks, part: Part, is_same: npt.NDArray[np.bool_]) -> None:
    """A part is stored, of rows that are still the same (bool[t])."""
    keys, taken = part.keys[is_same], part.taken[is_same]
    rows, hours = keys >> 32, keys & 0xFFFFFFFF
    in_ring = (hours >= matrix.recent) & (hours <= matrix.head)
    at = rows[in_ring], hours[in_ring] % RECENT_HOURS
    matrix.marks[UNSAVED][at] &= ~taken[in_ring] | matrix.marks[TOUCHED][at]
    slots = blocks.find(keys)
    there = slots >= 0
    at_slots = slots[there]
    blocks.marks[UNSAVED, at_slots] &= ~taken[there] | blocks.marks[TOUCHED, at_slots]


def _empty_hours() -> HourBlocks:
    return HourBlocks(np.empty(0, HOUR), np.empty((0, 60, 2)), np.empty(0, np.bool_))


def _hours(  # noqa: PLR0917 — columns
    ids: _Words,
    hours: Ints,
    cells: npt.NDArray[np.float64],
    counted: _Words,
    present: _Words,
    version: int,
) -> HourBlocks:
    head = np.empty(len(ids), HOUR)
    head["ledger"], head["hour"], head["computed_ms"] = ids, hours, version
    head["good"], head["total"] = cells[:, :, 0].sum(axis=1), cells[:, :, 1].sum(axis=1)
    head["present"], head["counted"] = present & np.uint64((1 << 60) - 1), counted
    return HourBlocks(head, cells, np.ones(len(ids), np.bool_))


def _minutes(  # noqa: PLR0917 — columns
    ids: _Words,
    hour: int,
    cells: npt.NDArray[np.float64],
    bits: _Words,
    present: _Words,
    version: int,
) -> npt.NDArray[np.void]:
    minutes = np.arange(60, dtype=np.uint64)
    which, minute = np.nonzero((bits[:, None] >> minutes) & np.uint64(1))
    found = np.empty(len(which), MINUTE)
    found["ledger"], found["minute"], found["computed_ms"] = ids[which], hour * 60 + minute, version
    has_data = (present[which] >> minutes[minute]) & np.uint64(1) > 0
    found["good"] = cells[which, minute, 0]
    found["total"] = np.where(has_data, cells[which, minute, 1], np.nan)
    return found

# ruff: noqa: PLR0917 - the parts of the head, in one order everywhere
"""What series of the head rose by in each slot of a window, and their last values, straight from where they lie.

`watch` asks for many series at once. For nearly all of them the answer is in the last samples of the open block,
which a kernel reads in place while the head's lock is held, some thousand series at a time; after a flush the last
value of the newest chunk stands for what came before the block. Only series whose window reaches into chunks, or which
have late samples, are decoded, without the lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.recent import increase_kernels as kernels
from setpoint.telemetry.recent.gather import Columns, Taken, take
from setpoint.telemetry.recent.late import LateSamples
from setpoint.telemetry.recent.open_blocks import NEVER_MS, OpenBlocks
from setpoint.telemetry.recent.open_kernels import ROOM
from setpoint.telemetry.recent.segments import Segments

if TYPE_CHECKING:
    from setpoint.telemetry.head import Head

__all__ = ["Grid", "Window", "read_columns", "read_window"]

_AT_ONCE = 16_384
_TAKEN_AT_ONCE = 2048


@dataclass(frozen=True, slots=True)
class Window:
    """`slots` slots of `slot_ms` from `begin_ms` on, slot j being (begin + j × slot, begin + (j + 1) × slot].

    `back_ms` is how far back the sample may lie that the first sample of a slot is compared with, or (`is_last`: wanted
    is the newest value, not the rise) how old the value at the end of a slot may be.
    """

    begin_ms: int
    slot_ms: int
    slots: int
    back_ms: int
    is_last: bool = False

    @property
    def after_ms(self) -> int:
        """Only samples later than this matter."""
        return self.begin_ms + (self.slot_ms if self.is_last else 0) - self.back_ms

    @property
    def end_ms(self) -> int:
        """The end of the last slot."""
        return self.begin_ms + self.slots * self.slot_ms


@dataclass(frozen=True, slots=True)
class Grid:
    """`values` float64[s, m] of s series in m slots, and `held` bool[s, m]: where there are any; zero elsewhere."""

    values: npt.NDArray[np.float64]
    held: npt.NDArray[np.bool_]

    @classmethod
    def empty(cls, series: int, slots: int) -> Grid:
        """No values."""
        return cls(np.zeros((series, slots)), np.zeros((series, slots), np.bool_))


def read_window(head: Head, refs: npt.NDArray[np.int32], removed: int, window: Window) -> Grid | None:
    """The values of `refs` int32[s], each once, in the slots of `window`; None when series were removed since
    `removed` were, so that refs may name others. Raises CorruptChunk.
    """
    grid = Grid.empty(len(refs), window.slots)
    for start in range(0, len(refs), _AT_ONCE):
        rows = np.arange(start, min(start + _AT_ONCE, len(refs)))
        rest = head.look(partial(_read_open, refs, rows, window, grid))
        for first in range(0, len(rest), _TAKEN_AT_ONCE):
            some = rest[first : first + _TAKEN_AT_ONCE]
            read_columns(head.look(partial(_take, refs[some], window)).columns(), some, window, grid)
        if head.table.removed_total != removed:
            return None
    return grid


def read_columns(columns: Columns, rows: npt.NDArray[np.int64], window: Window, grid: Grid) -> None:
    """The values of series i of `columns` to row `rows[i]` of `grid`, where nothing is yet."""
    times, values, offsets = (np.require(column, None, ("C", "W")) for column in columns)
    at = offsets, times, values
    if window.is_last:
        kernels.column_values(
            *at,
            values.view(np.int64),
            rows,
            window.begin_ms,
            window.slot_ms,
            window.back_ms,
            grid.values,
            grid.held,
        )
    else:
        kernels.column_rises(
            *at, rows, window.begin_ms, window.slot_ms, window.back_ms, grid.values, grid.held
        )


def _read_open(
    refs: npt.NDArray[np.int32],
    rows: npt.NDArray[np.int64],
    window: Window,
    grid: Grid,
    blocks: OpenBlocks,
    segments: Segments,
    late: LateSamples,
) -> npt.NDArray[np.int64]:
    """Read what open blocks tell of the series in `rows`; the rows that need more."""
    del late
    read: Any = kernels.open_values if window.is_last else kernels.open_rises
    head = (window.begin_ms, window.slot_ms, window.back_ms, *blocks.arrays)
    some_times, some_values, fates = np.empty(ROOM, np.int64), np.empty(ROOM), np.empty(len(rows), np.uint8)
    if window.is_last:
        room = some_times, some_values, some_values.view(np.int64)
        read(refs[rows], rows, *head, *room, grid.values, grid.held, fates)
        return _chosen(rows, fates == kernels.NEEDS_ALL)
    room_and_grid = some_times, some_values, grid.values, grid.held
    prior_ms = np.full(len(rows), NEVER_MS)
    read(refs[rows], rows, *head, prior_ms, np.zeros(len(rows)), *room_and_grid, fates)
    rest, asked = _chosen(rows, fates == kernels.NEEDS_ALL), fates == kernels.NEEDS_PRIOR
    if not asked.any():
        return rest
    first_ms, some = prior_ms[asked], _chosen(rows, asked)
    since_ms, last_ms = np.full(len(some), NEVER_MS), np.full(len(some), NEVER_MS)
    values = np.zeros(len(some))
    for segment in segments.all:
        segment.last_chunks(refs[some], since_ms, last_ms, values)
    # The last sample of a chunk may be a stale marker: wherever the last value lies, it must be near enough. And the
    # chunk that was sealed last may be an older one, of samples that came late.
    is_last = last_ms == blocks.sealed[refs[some]]
    known = np.isfinite(values) & (first_ms - since_ms <= window.back_ms) & is_last
    told = _chosen(some, known)
    read(refs[told], told, *head, last_ms[known], values[known], *room_and_grid, fates[: len(told)])
    return np.concatenate([rest, some[~known]])


def _chosen(rows: npt.NDArray[np.int64], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    return rows[mask]


def _take(
    refs: npt.NDArray[np.int32], window: Window, blocks: OpenBlocks, segments: Segments, late: LateSamples
) -> Taken:
    return take(segments.all, blocks, late, refs, window.after_ms, max(window.end_ms, window.after_ms))

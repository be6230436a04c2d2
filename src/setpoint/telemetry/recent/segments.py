"""The head's list of segments: where sealed chunks are added, what is to be stored, what can be dropped.

Adopted segments come first, by the time in which their chunks end, so that they expire one by one as the live
ones do; chunks that overlap others are in a segment of their own behind them, because of two samples with
one timestamp the one in the later segment wins. Not thread-safe: the head holds its lock. The tuple `all` is
replaced, never changed, so that a select may keep the one it began with.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.model import ChunkColumns
from setpoint.telemetry.recent.open_blocks import NEVER_MS
from setpoint.telemetry.recent.segment import Order, Segment

__all__ = ["Segments"]

_PER_HORIZON = 8
_MOST_BYTES = 1 << 30
_ADOPTED, _ADOPTED_LATE, _LIVE = range(3)


class Segments:
    """Segments in their order. `keeps` says that chunks stay until they are stored, whatever their age."""

    def __init__(self, horizon_ms: int, keeps: bool) -> None:
        self.all: tuple[Segment, ...] = ()
        self._keeps = keeps
        self._step_ms = max(1, horizon_ms // _PER_HORIZON)
        self._current: Segment | None = None
        self._number = 0
        self._hidden = 0
        self._storing: tuple[Segment, ...] = ()

    # ---- in ----------------------------------------------------------------------------------------------

    def current(self, capacity: int) -> Segment:
        """The segment that chunks are added to, a new one when it has grown old or large; refs are below
        `capacity`.
        """
        current = self._current
        if current is not None and current.payload_bytes < _MOST_BYTES:
            is_young = current.last_ms - current.first_ms < self._step_ms
            if is_young or 4 * current.count < capacity:
                return current
        self._number += 1
        chunks = payload_bytes = 0
        if self.all:
            before = max(self.all[-2:], key=lambda segment: segment.count)
            chunks, payload_bytes = before.count * 5 // 4, before.payload_bytes * 5 // 4
        self._current = made = Segment((_LIVE, 0, self._number), capacity, chunks, payload_bytes)
        self.all = (*self.all, made)
        return made

    def adopt(
        self, chunks: ChunkColumns, refs: npt.NDArray[np.int32], chosen: npt.NDArray[np.int64], capacity: int
    ) -> None:
        """Take stored chunks, those at the positions `chosen`, which overlap no other."""
        steps = chunks.last_ms[chosen] // self._step_ms
        for step in np.unique(steps).tolist():
            self._adopted((_ADOPTED, self._hidden, step), capacity).add(chunks, refs, chosen[steps == step])

    def adopt_late(
        self, chunks: ChunkColumns, refs: npt.NDArray[np.int32], chosen: npt.NDArray[np.int64], capacity: int
    ) -> None:
        """Take stored chunks that overlap some that were adopted before."""
        self._adopted((_ADOPTED_LATE, self._hidden, 0), capacity).add(chunks, refs, chosen)

    def _adopted(self, order: Order, capacity: int) -> Segment:
        for segment in self.all:
            if segment.order == order:
                return segment
        made = Segment(order, capacity)
        made.is_sealed = made.is_stored = True
        self.all = tuple(sorted((*self.all, made), key=_order))
        return made

    # ---- storing -----------------------------------------------------------------------------------------

    def seal(self) -> None:
        """What was added until now is to be stored; what comes goes to another segment."""
        self._current = None
        for segment in self.all:
            segment.is_sealed = True

    def to_store(self) -> tuple[Segment, ...]:
        """The sealed segments that are not stored."""
        self._storing = tuple(one for one in self.all if one.is_sealed and not one.is_stored)
        return self._storing

    def stored(self) -> None:
        """What `to_store` gave last is stored."""
        for segment in self._storing:
            segment.is_stored = True
        self._storing = ()

    def is_unstored(self, refs: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Whether chunks of each of `refs` are still to be stored."""
        found = np.zeros(len(refs), np.bool_)
        for segment in self.all:
            if not segment.is_stored:
                found |= segment.holds(refs)
        return found

    # ---- out ---------------------------------------------------------------------------------------------

    def with_those(self, before: tuple[Segment, ...]) -> Sequence[Segment]:
        """The segments now, but what was dropped or made smaller since `before` was `all` as it was then."""
        if before is self.all:
            return before
        by_order = {segment.order: segment for segment in (*self.all, *before)}
        return [by_order[order] for order in sorted(by_order)]

    def with_gone(self, held: tuple[Segment, ...], before: tuple[Segment, ...]) -> tuple[Segment, ...]:
        """`held`, which a select has, and what of `before` (`all` as it was) has just left: a select that takes longer
        than the horizon may need what came and went since it began.
        """
        known = {segment.order for segment in held}
        gone = [one for one in before if one not in self.all and one.order not in known]
        return (*held, *gone) if gone else held

    # ---- eviction ----------------------------------------------------------------------------------------

    def drop(self, floor_ms: int) -> int:
        """Drop what ends at or before `floor_ms` and need not be stored: whole segments, or most of one.

        Returns a time at or before `floor_ms` after which nothing was dropped.
        """
        kept: list[Segment] = []
        dropped_ms = NEVER_MS
        for segment in self.all:
            smaller = None
            if not self._keeps or segment.is_stored:
                until_ms = max(floor_ms, segment.hidden_ms)
                if segment.last_ms <= until_ms:
                    dropped_ms = max(dropped_ms, min(segment.last_ms, floor_ms))
                    self._leave(segment)
                    continue
                smaller = segment.without_expired(until_ms)
            if smaller is not None:
                dropped_ms = max(dropped_ms, floor_ms)
                self._leave(segment)
            kept.append(smaller or segment)
        if kept != [*self.all]:
            self.all = tuple(kept)
        return dropped_ms

    def hide(self, floor_ms: int) -> int:
        """Keep the samples at or before `floor_ms` from being seen again; the newest of them."""
        newest_ms = NEVER_MS
        for segment in self.all:
            if segment.first_ms <= floor_ms:
                newest_ms = max(newest_ms, segment.newest_until(floor_ms))
            segment.hidden_ms = max(segment.hidden_ms, floor_ms)
        self._current = None
        self._hidden += 1  # adopted chunks that come now are to be seen
        return newest_ms

    def forget(self, refs: npt.NDArray[np.int32]) -> None:
        """The chunks of `refs` are nobody's any more."""
        for segment in self.all:
            segment.forget(refs)

    def _leave(self, segment: Segment) -> None:
        if segment is self._current:
            self._current = None


def _order(segment: Segment) -> Order:
    return segment.order

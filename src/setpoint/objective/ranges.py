"""Stretches of slots that are still to be counted, taken newest first: `track` keeps its backfill and
late data here.
"""

from __future__ import annotations

__all__ = ["Ranges"]


class Ranges:
    """A set of slots as disjoint half-open ranges."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self._ranges)

    @property
    def size(self) -> int:
        """How many slots are waiting."""
        return sum(end - start for start, end in self._ranges)

    def add(self, start: int, end: int) -> None:
        """Add the slots from `start` to before `end`."""
        if start >= end:
            return
        apart = []
        for low, high in self._ranges:
            if high < start or low > end:
                apart.append((low, high))
            else:
                start, end = min(start, low), max(end, high)
        self._ranges = sorted([*apart, (start, end)])

    def add_all(self, other: Ranges) -> None:
        """Add the slots that wait in another set."""
        for start, end in other._ranges:
            self.add(start, end)

    def take_newest(self, most: int) -> tuple[int, int] | None:
        """Remove and return up to `most` of the newest slots, or None when nothing is waiting."""
        if not self._ranges:
            return None
        start, end = self._ranges.pop()
        low = max(start, end - most)
        if low > start:
            self._ranges.append((start, low))
        return low, end

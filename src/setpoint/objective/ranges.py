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

    def holes(self, start: int, end: int) -> list[tuple[int, int]]:
        """The ranges from `start` to before `end` that are not in the set."""
        found = []
        for low, high in self._ranges:
            if low >= end:
                break
            if low > start:
                found.append((start, low))
            start = max(start, high)
        return [*found, (start, end)] if start < end else found

    @property
    def end(self) -> int:
        """The slot after the newest that is waiting; 0 when none is."""
        return self._ranges[-1][1] if self._ranges else 0

    def take_newest(self, most: int, *, is_aligned: bool = False) -> tuple[int, int] | None:
        """Remove and return up to `most` of the newest slots, or None when nothing is waiting.

        `is_aligned`: not beyond the last multiple of `most`, so that others who take as many get the same ones.
        """
        if not self._ranges:
            return None
        start, end = self._ranges.pop()
        low = max(start, (end - 1) // most * most if is_aligned else end - most)
        if low > start:
            self._ranges.append((start, low))
        return low, end

"""What is still to be counted, or derived, of the history of each ledger row: taken newest first, in chunks.

`backfill` and `fetched` take chunks for many rows at once: rows which wait for the same minutes get them together, so
that what they read is read once. A chunk grows while it is quick and shrinks when it is slow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from setpoint.objective.ranges import Ranges

__all__ = ["Backlog", "Chunk", "Pace"]

SMALLEST_CHUNK, _FIRST_CHUNK, _LARGEST_CHUNK = 15, 60, 1440
_FETCHED_CHUNK = 360
_QUICK_S, _SLOW_S = 0.05, 0.2
_CELLS = 1_000_000
_FIRST_ROWS, _MOST_ROWS = 32, 1024
_PATIENT_QUICK_S, _PATIENT_SLOW_S = 0.5, 2.0


class Pace:
    """How many rows are counted at once, where nothing waits for it: as many as take about a second."""

    def __init__(self) -> None:
        self.rows = _FIRST_ROWS

    def note(self, chunk: Chunk, took_s: float) -> float:
        """A chunk took so long; how long `Backlog.done` is to hear that it took, so that minutes shrink last."""
        many = len(chunk.rows)
        if took_s > _PATIENT_SLOW_S:
            self.rows = max(1, many // 2)
            return _SLOW_S if many > 1 else took_s
        if took_s > _PATIENT_QUICK_S:
            return _SLOW_S
        if many >= self.rows and chunk.end - chunk.first >= _LARGEST_CHUNK:
            self.rows = min(_MOST_ROWS, 2 * self.rows)
        return 0.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """The minutes `first` to before `end` of some rows, which now are the taker's: to be kept, refused or given back.
    `keys` tells of which ledgers the rows were when it was taken.
    """

    rows: tuple[int, ...]
    keys: tuple[str, ...]
    first: int
    end: int


@dataclass(slots=True)
class _Waiting:
    size: int
    ranges: Ranges = field(default_factory=Ranges)
    planned: int = 0


class Backlog:
    """See above; not thread-safe: the book's lock is held."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}

    def __contains__(self, row: int) -> bool:
        return row in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def rows(self) -> Iterable[int]:
        """The rows that wait."""
        return self._waiting.keys()

    def add(self, row: int, first: int, end: int, *, is_fetched: bool = False) -> None:
        """Count these minutes of a row some time."""
        if first >= end:
            return
        one = self._waiting.get(row)
        if one is None:
            one = self._waiting[row] = _Waiting(_FETCHED_CHUNK if is_fetched else _FIRST_CHUNK)
        before = one.ranges.size
        one.ranges.add(first, end)
        one.planned += one.ranges.size - before

    def forget(self, row: int) -> None:
        """Nothing of a row waits any more."""
        self._waiting.pop(row, None)

    def share_done(self, row: int) -> float:
        """Which part of what was planned for a row since it last waited for nothing is done, 0 to 1."""
        one = self._waiting.get(row)
        return 1.0 if one is None or not one.planned else max(0.0, 1 - one.ranges.size / one.planned)

    def take(self, keys: Mapping[int, str], most_rows: int, *, is_aligned: bool = False) -> Chunk | None:
        """The newest minutes that wait in any of the rows of `keys`, for all of them that wait for the same."""
        waiting = [(one, row) for row, one in self._waiting.items() if row in keys]
        if not waiting:
            return None
        newest, row = max(waiting, key=lambda pair: (pair[0].ranges.end, pair[0].size))
        found = newest.ranges.take_newest(newest.size, is_aligned=is_aligned)
        assert found is not None
        first, end = found
        taken = [row]
        most_rows = min(most_rows, max(1, _CELLS // (end - first)))
        for one, other in waiting:
            if len(taken) >= most_rows:
                break
            if one is not newest and one.size == newest.size and one.ranges.end == end:
                theirs = one.ranges.take_newest(one.size, is_aligned=is_aligned)
                if theirs == found:
                    taken.append(other)
                elif theirs is not None:
                    one.ranges.add(*theirs)
        return Chunk(tuple(taken), tuple(keys[one] for one in taken), first, end)

    def give_back(self, row: int, chunk: Chunk, *, size: int | None = None) -> None:
        """A row's part of a chunk was not counted; `size`: take so many minutes at once from now on."""
        one = self._waiting.setdefault(row, _Waiting(_FIRST_CHUNK, planned=chunk.end - chunk.first))
        one.ranges.add(chunk.first, chunk.end)
        one.size = min(one.size, _FIRST_CHUNK) if size is None else size

    def done(self, row: int, *, took_s: float | None = None) -> None:
        """A row's chunk is done. `took_s`: how long all of the chunk took; without it, it came from another server."""
        one = self._waiting.get(row)
        if one is None:
            return
        if not one.ranges:
            del self._waiting[row]
        elif took_s is None:
            one.size = min(_FETCHED_CHUNK, one.size * 2)
        elif took_s < _QUICK_S:
            one.size = min(_LARGEST_CHUNK, one.size * 2)
        elif took_s > _SLOW_S:
            one.size = max(SMALLEST_CHUNK, one.size // 2)

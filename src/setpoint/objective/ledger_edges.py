"""Which hours of which ledgers must have their minutes at hand, because windows begin in them.

`Ledgers` asks when it fetches ahead of time, and when hours leave the ring. Windows are known by row: their lengths
(they end now), or the minute with which they begin.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from setpoint.objective.ledger_blocks import key_of

__all__ = ["Edges"]

Ints = npt.NDArray[np.int64]

_BEFORE, _AHEAD = 2, 75
"""Minutes around the edge of a window that ends with the running minute: for windows that end with the one before, and
for those of the next hour."""


@dataclass(slots=True)
class _Windows:
    own: int = 0
    watched: set[int] = field(default_factory=set)
    anchors: set[int] = field(default_factory=set)


class Edges:
    """See above."""

    def __init__(self) -> None:
        self._of: dict[int, _Windows] = {}
        self._rolling: tuple[Ints, Ints] | None = None
        self._fixed = np.zeros(0, np.int64)

    def set_window(self, row: int, minutes: int) -> None:
        """The window of a row, which ends now."""
        self._of.setdefault(row, _Windows()).own = minutes
        self._rolling = None

    def forget(self, row: int) -> None:
        """A row is gone."""
        self._of.pop(row, None)
        self._rolling = None

    def watch(self, rows: Ints, minutes: Ints) -> None:
        """Other windows that end now, in place of those that were watched for these rows."""
        for row in set(rows.tolist()):
            self._of.setdefault(row, _Windows()).watched = set()
        for row, length in zip(rows.tolist(), minutes.tolist(), strict=True):
            self._of[row].watched.add(length)
        self._rolling = None

    def anchor(self, rows: Ints, starts: Ints) -> None:
        """Minutes with which windows begin, in place of those that were there for these rows."""
        for row in set(rows.tolist()):
            self._of.setdefault(row, _Windows()).anchors = set()
        for row, start in zip(rows.tolist(), starts.tolist(), strict=True):
            self._of[row].anchors.add(start)
        self._rolling = None

    def keys(self, now_minute: int) -> Ints:
        """The keys of all such hours, ascending, each once."""
        rows, lengths = self._rolling or self._collect()
        starts = now_minute - lengths
        found = [self._fixed]
        for edge in (starts - _BEFORE, starts + _AHEAD // 2, starts + _AHEAD):
            hours = edge // 60
            found.append(key_of(rows[hours >= 0], hours[hours >= 0]))
        return np.unique(np.concatenate(found))

    def _collect(self) -> tuple[Ints, Ints]:
        pairs = {(row, length) for row, one in self._of.items() for length in (one.own, *one.watched)}
        flat = np.array(sorted(pairs), np.int64).reshape(-1, 2)
        self._rolling = flat[:, 0].copy(), flat[:, 1].copy()
        fixed = [
            (row << 32) | start // 60
            for row, one in self._of.items()
            for start in one.anchors
            if start % 60 and start >= 0
        ]
        self._fixed = np.array(fixed, np.int64)
        return self._rolling

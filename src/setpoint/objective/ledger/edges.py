"""Which hours of which ledgers must have their minutes at hand, because windows begin in them.

`Ledgers` asks when it fetches ahead of time, and when hours leave the ring. Windows are known by row: their lengths
(they end now), or the minute with which they begin.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.objective.ledger.blocks import key_of

__all__ = ["Edges"]

Ints = npt.NDArray[np.int64]

_BEFORE, _AHEAD = 2, 75
"""Minutes around the edge of a window that ends with the running minute: for windows that end with the one before, and
for those of the next hour."""


class Edges:
    """See above."""

    def __init__(self) -> None:
        self._own = np.zeros(0, np.int64)
        self._watched, self._anchors = np.zeros((0, 2), np.int64), np.zeros((0, 2), np.int64)

    def set_window(self, row: int, minutes: int) -> None:
        """The window of a row, which ends now."""
        if row >= len(self._own):
            self._own = np.concatenate((self._own, np.zeros(row // 2 + 64, np.int64)))
        self._own[row] = minutes

    def forget(self, row: int) -> None:
        """A row is gone."""
        self._own[row] = 0
        self._watched = self._watched[self._watched[:, 0] != row]
        self._anchors = self._anchors[self._anchors[:, 0] != row]

    def watch(self, rows: Ints, minutes: Ints) -> None:
        """Other windows that end now, in place of those that were watched for these rows."""
        self._watched = _replaced(self._watched, rows, minutes)

    def anchor(self, rows: Ints, starts: Ints) -> None:
        """Minutes with which windows begin, in place of those that were there for these rows."""
        self._anchors = _replaced(self._anchors, rows, starts)

    def keys(self, now_minute: int) -> Ints:
        """The keys of all such hours, ascending, each once."""
        own = np.flatnonzero(self._own)
        rows = np.concatenate((own, self._watched[:, 0]))
        starts = now_minute - np.concatenate((self._own[own], self._watched[:, 1]))
        fixed = self._anchors[self._anchors[:, 1] % 60 > 0]
        found = [key_of(fixed[:, 0], np.maximum(fixed[:, 1], 0) // 60)]
        for edge in (starts - _BEFORE, starts + _AHEAD // 2, starts + _AHEAD):
            hours = edge // 60
            found.append(key_of(rows[hours >= 0], hours[hours >= 0]))
        return np.unique(np.concatenate(found))


def _replaced(pairs: Ints, rows: Ints, values: Ints) -> Ints:
    rest = pairs[~np.isin(pairs[:, 0], rows)]
    fresh = np.column_stack((rows, values)).astype(np.int64)
    replaced: Ints = np.concatenate((rest, fresh))
    return replaced

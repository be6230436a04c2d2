"""Hours of some ledgers with their minutes, beside the last day that `Matrix` holds for all.

`Ledgers` keeps here what has to be saved and is no longer in the ring (late data, history that is being counted), and
the hours at the far edges of windows. A key is `row << 32 | hour`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["COUNTED", "PRESENT", "TOUCHED", "UNSAVED", "Blocks", "key_of"]

Ints = npt.NDArray[np.int64]

COUNTED, UNSAVED, TOUCHED, PRESENT = range(4)
"""The rows of `Blocks.marks`, and but for the last of `Matrix.marks`: bits per minute."""

_SPARE = 256
_SHRINK = 4


def key_of(rows: Ints, hours: Ints) -> Ints:
    """The keys of hours of rows (they broadcast)."""
    keys: Ints = (rows << 32) | hours
    return keys


class Blocks:
    """`keys` int64[n] ascending with their `slots` int32[n]; by slot `cells` float64[b, 60, 2] (good, total; 0 without
    data) and `marks` uint64[4, b].
    """

    def __init__(self) -> None:
        self.keys = np.zeros(0, np.int64)
        self.slots = np.zeros(0, np.int32)
        self.cells = np.zeros((_SPARE, 60, 2))
        self.marks = np.zeros((4, _SPARE), np.uint64)
        self._free = np.arange(_SPARE, dtype=np.int32)

    def find(self, keys: Ints) -> npt.NDArray[np.int32]:
        """Slots of keys of any shape, -1 where there is no block."""
        if not len(self.keys):
            return np.full(keys.shape, -1, np.int32)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found: npt.NDArray[np.int32] = np.where(self.keys[at] == keys, self.slots[at], -1).astype(np.int32)
        return found

    def add(self, keys: Ints) -> npt.NDArray[np.int32]:
        """Empty blocks for keys (ascending, each once) that have none; their slots."""
        missing = len(keys) - len(self._free)
        if missing > 0:
            self._grow(max(missing, len(self.cells) // 2))
        slots, self._free = self._free[: len(keys)].copy(), self._free[len(keys) :]
        self.cells[slots] = 0.0
        self.marks[:, slots] = 0
        at = np.searchsorted(self.keys, keys)
        self.keys, self.slots = np.insert(self.keys, at, keys), np.insert(self.slots, at, slots)
        return slots

    def keep(self, stays: npt.NDArray[np.bool_]) -> None:
        """Drop the blocks of `keys` for which `stays` bool[n] is False."""
        if stays.all():
            return
        self._free = np.concatenate((self._free, self.slots[~stays]))
        self.keys, self.slots = self.keys[stays], self.slots[stays]
        if len(self.cells) > _SPARE and len(self.keys) * _SHRINK < len(self.cells):
            self._shrink()

    @property
    def memory_bytes(self) -> int:
        """What they hold."""
        return int(self.cells.nbytes + self.marks.nbytes + self.keys.nbytes + self.slots.nbytes)

    def _grow(self, more: int) -> None:
        size = len(self.cells)
        self._free = np.concatenate((self._free, np.arange(size, size + more, dtype=np.int32)))
        self.cells = np.concatenate((self.cells, np.zeros((more, 60, 2))))
        self.marks = np.concatenate((self.marks, np.zeros((4, more), np.uint64)), axis=1)

    def _shrink(self) -> None:
        used = len(self.keys)
        size = max(_SPARE, used + used // 4)
        cells, marks = np.zeros((size, 60, 2)), np.zeros((4, size), np.uint64)
        cells[:used], marks[:, :used] = self.cells[self.slots], self.marks[:, self.slots]
        self.cells, self.marks = cells, marks
        self.slots = np.arange(used, dtype=np.int32)
        self._free = np.arange(used, size, dtype=np.int32)

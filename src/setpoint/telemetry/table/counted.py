"""Things that many series share (a sender, a resource, a family's help) as numbers with counted uses.

Few at a time compared with series, so a dictionary is small enough.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["Counted"]

_Key = TypeVar("_Key", bound=Hashable)


class Counted(Generic[_Key]):
    """Numbers for keys; the number of a key that nothing uses is given to another."""

    def __init__(self) -> None:
        self.keys: list[_Key | None] = []
        """The key by number; None for a free number."""
        self._numbers: dict[_Key, int] = {}
        self._uses: list[int] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, key: _Key) -> int | None:
        """The number of a key; None when nothing uses it."""
        return self._numbers.get(key)

    def hold(self, keys: Sequence[_Key], places: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
        """The numbers of `keys[places[i]]`, each counted as one more use, int64[n]; every key is named."""
        counts = np.bincount(places, minlength=len(keys)).tolist()
        numbers = np.array([self._hold(*one) for one in zip(keys, counts, strict=True)], np.int64)
        return numbers[places]

    def release(self, numbers: npt.NDArray[Any]) -> list[tuple[int, _Key]]:
        """Count one use less of each of `numbers`; returns those that nothing uses any more."""
        freed = []
        for number, count in zip(
            *(part.tolist() for part in np.unique(numbers, return_counts=True)), strict=True
        ):
            self._uses[number] -= count
            key = self.keys[number]
            if self._uses[number] == 0 and key is not None:
                del self._numbers[key]
                self.keys[number] = None
                self._free.append(number)
                freed.append((number, key))
        return freed

    def _hold(self, key: _Key, count: int) -> int:
        number = self._numbers.get(key)
        if number is None:
            if self._free:
                number = self._free.pop()
                self.keys[number] = key
                self._uses[number] = 0
            else:
                number = len(self.keys)
                self.keys.append(key)
                self._uses.append(0)
            self._numbers[key] = number
        self._uses[number] += count
        return number

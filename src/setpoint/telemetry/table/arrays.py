"""Arrays that grow, and the sizes of open-addressing tables; every part of the series table uses them.

Growing by a quarter copies each element about five times and leaves a tenth unused on average; pages of the
unused tail are never touched, so they cost address space only.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from setpoint.errors import Unavailable

__all__ = ["LOAD_MAX", "empty_slots", "is_tight", "room", "slot_count"]

LOAD_MAX = 0.75
"""How full a table may be: beyond that linear probing walks far for what is not there."""

_LOAD_NEW = 0.55
_SMALLEST = 64
_INDEX_MAX = 2**31 - 1

_Array = TypeVar("_Array", bound=npt.NDArray[Any])


def room(array: _Array, used: int, wanted: int) -> _Array:
    """`array` if it holds `wanted` elements, else a longer one with its first `used` elements.

    Raises Unavailable beyond what an int32 can number.
    """
    if wanted <= len(array):
        return array
    if wanted > _INDEX_MAX:
        raise Unavailable("the series table is full; lower series_limit and drop labels that nobody asks for")
    size = min(max(wanted, used + used // 4, _SMALLEST), _INDEX_MAX)
    grown = np.empty((size, *array.shape[1:]), array.dtype)
    grown[:used] = array[:used]
    return grown  # type: ignore[return-value]


def slot_count(entries: int) -> int:
    """The size of a new table for `entries`."""
    return max(_SMALLEST, int(entries / _LOAD_NEW) + 1)


def is_tight(slots: int, entries: int) -> bool:
    """True when a table of `slots` is too small for `entries`, or so large that most of it is waste."""
    return entries > slots * LOAD_MAX or (slots > 4 * _SMALLEST and entries < slots * LOAD_MAX / 4)


def empty_slots(entries: int) -> npt.NDArray[np.int32]:
    """An empty table of int32 positions for `entries`."""
    return np.full(slot_count(entries), -1, np.int32)

"""What was made of the labels of a vector, kept for the next query over the same series.

Grouping, joining and naming look at labels only, and go through a mapping per series, which costs far more than the
arithmetic. The store gives the same tuple of labels for a selection as long as the series are the same, and what is
remembered here of a tuple is the same object again; so the whole chain of an expression is found by identity, and a
query that is asked again touches no label. Results are shared: nobody changes them.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from setpoint.promql.from_telemetry import Labels

__all__ = ["LabelMemo", "remembered"]

_SERIES_MAX = 400_000
"""Series of all remembered tuples together: a mapping takes some 200 bytes."""

_ENTRIES_MAX = 2_000

Result = TypeVar("Result")
Vector = tuple[Labels, ...]


class LabelMemo:
    """Results by what was asked of which tuples of labels, the longest unused goes first. Thread-safe."""

    def __init__(self, series_max: int = _SERIES_MAX) -> None:
        self._series_max = series_max
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[tuple[Vector, ...], Any]] = OrderedDict()
        self.series = 0
        """Series of the tuples that are remembered."""

    def remembered(self, what: Hashable, make: Callable[[], Result], *vectors: Vector) -> Result:
        """What `make` gives, which depends on nothing but `what` and the labels of `vectors`."""
        # The tuples are held with the result, so no other object has their identity.
        key = what, *map(id, vectors)
        with self._lock:
            known = self._kept.get(key)
            if known is not None:
                self._kept.move_to_end(key)
                result: Result = known[1]
                return result
        made = make()
        size = sum(map(len, vectors))
        if size > self._series_max // 2:
            return made
        with self._lock:
            if key not in self._kept:
                self._kept[key] = vectors, made
                self.series += size
            while self.series > self._series_max or len(self._kept) > _ENTRIES_MAX:
                _, (gone, _) = self._kept.popitem(last=False)
                self.series -= sum(map(len, gone))
        return made


_MEMO = LabelMemo()
remembered = _MEMO.remembered

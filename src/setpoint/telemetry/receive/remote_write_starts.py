"""Zeros at the start timestamps of 2.0, so that the first increments of a counter count.

A counter that appears with the value 5 has counted five events since it started; a query that takes differences
of samples would see none of them. `remote_write_receiver` asks which samples belong to a series that is new or has
started again, and writes a zero where it started. The zero of one start is always the same sample, so writing it again
after a restart or a retry changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.receive import remote_write_columns as kernels
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["Due", "Starts"]

_YOUNG_MS = 3_600_000
"""How far back a zero is written; what a series counted before is not ours to count."""

Ints = npt.NDArray[np.int64]
Refs = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """Positions of the samples whose series needs a zero at their start; call `remember` when they are stored."""

    positions: Ints
    remember: Callable[[], None]


class Starts:
    """The last start and the last sample of each row of the series table; thread-safe.

    24 bytes per row, and only when a sender says when its series started.
    """

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self._guard = threading.Lock()
        self._known = np.zeros((0, 3), np.uint64)

    def due(self, refs: Refs, times: Ints, starts: Ints, now_ms: int) -> Due:
        """Which samples need a zero; equally long columns, `starts` 0 where none is said.

        Nothing is remembered yet, so that a retry of a failed request gets its zeros.
        """
        due = np.empty(len(refs), np.int64)
        owners = self._table.fingerprints(refs)
        with self._guard:
            known = self._rows(refs)
            count = kernels.take_starts(refs, times, starts, owners, known, now_ms - _YOUNG_MS, due)
        return Due(due[:count], partial(self._remember, refs, times, starts, owners))

    def _remember(self, refs: Refs, times: Ints, starts: Ints, owners: npt.NDArray[np.uint64]) -> None:
        with self._guard:
            kernels.mark_starts(refs, times, starts, owners, self._rows(refs))

    def _rows(self, refs: Refs) -> npt.NDArray[np.uint64]:
        needed = int(refs.max(initial=-1)) + 1
        if needed > len(self._known):
            grown = np.zeros((max(needed, self._table.capacity), 3), np.uint64)
            grown[: len(self._known)] = self._known
            self._known = grown
        return self._known

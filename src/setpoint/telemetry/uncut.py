"""A range of samples that is not copied out of what holds it until somebody needs it as columns of its own.

`held_samples` answers with it. What rates need of a window are its first and last sample and the resets between them,
and those are found where the samples lie: the resets of a counter are listed once, however many queries ask.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from setpoint.telemetry import held_kernels as kernels
from setpoint.telemetry.model import Labels, SampleColumns

__all__ = ["Source", "UncutColumns"]

_STALE_BITS = 0x7FF0000000000002

Positions = npt.NDArray[np.int64]


class Source:
    """Columns that are never changed, and what is worked out of them at most once."""

    def __init__(self, columns: SampleColumns) -> None:
        self.columns = columns

    @cached_property
    def has_stale(self) -> bool:
        """Whether any sample is a stale marker."""
        bits = np.ascontiguousarray(self.columns.values).view(np.int64)
        return bool((bits == _STALE_BITS).any())

    @cached_property
    def resets(self) -> tuple[Positions, Positions]:
        """Where a value is below the one before it: the positions of all series int64[r], offsets int64[n + 1]."""
        positions, offsets = kernels.resets(self.columns.offsets, self.columns.values)
        return positions, offsets


class UncutColumns(SampleColumns):
    """`SampleColumns` over `source`: series i is its series `rows[i]`, from position `firsts[i]` on.

    `timestamps_ms` and `values` are copied when they are asked for.
    """

    __slots__ = ("_copied", "firsts", "rows", "source")

    source: Source
    rows: Positions
    firsts: Positions
    _copied: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]] | None

    def __init__(
        self,
        labels: tuple[Labels, ...],
        offsets: Positions,
        source: Source,
        rows: Positions,
        firsts: Positions,
    ) -> None:
        for name, value in (
            ("labels", labels), ("offsets", offsets), ("source", source), ("rows", rows), ("firsts", firsts),
            ("_copied", None),
        ):  # fmt: skip
            object.__setattr__(self, name, value)

    @property
    def timestamps_ms(self) -> npt.NDArray[np.int64]:
        """The times, as of `SampleColumns`."""
        return self._cut()[0]

    @property
    def values(self) -> npt.NDArray[np.float64]:
        """The values, as of `SampleColumns`."""
        return self._cut()[1]

    def _cut(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        copied = self._copied
        if copied is None:
            columns = self.source.columns
            copied = kernels.chosen(self.firsts, self.offsets, columns.timestamps_ms, columns.values)
            object.__setattr__(self, "_copied", copied)
        return copied

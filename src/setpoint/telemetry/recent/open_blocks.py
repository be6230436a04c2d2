"""The newest samples of every series, not encoded yet: at most 64 a series, in arrays by ref.

The head appends to them with every batch and seals them when they are full, when two hours or a UTC day are
over, and when the store is to be flushed. They are 12 bytes a sample: a distance from the block's first
timestamp and the value. Sample number k of all series is one row, so memory is touched row by row as the
blocks fill (series that are scraped together fill together), and after all were sealed the rows are given
back.

Costs per ref: 30 bytes, and 12 for each row that was touched. Not thread-safe: the head holds its lock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.model import MetricBatch, RefBatch
from setpoint.telemetry.recent import open_kernels as kernels
from setpoint.telemetry.recent.open_kernels import NEVER_MS, OVERLAID, ROOM

__all__ = ["NEVER_MS", "OpenBlocks", "Pieces", "Samples"]

_LAYOUT: tuple[Literal["C"], Literal["W"]] = ("C", "W")
_FEWEST = 16
_REF_BYTES = 30
_ROW_BYTES = 12


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples by ref as equally long columns: `refs` int32[m], `times` int64[m] in ms, `values` float64[m]."""

    refs: npt.NDArray[np.int32]
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    @classmethod
    def none(cls) -> Samples:
        """No samples."""
        return cls(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0, np.float64))

    @classmethod
    def of(cls, batch: RefBatch | MetricBatch, refs: npt.NDArray[np.int32]) -> Samples:
        """The samples of a batch, in the one memory layout that the kernels are compiled for."""
        return cls(
            np.require(refs, np.int32, _LAYOUT),
            np.require(batch.timestamps_ms, np.int64, _LAYOUT),
            np.require(batch.values, np.float64, _LAYOUT),
        )

    def __len__(self) -> int:
        return len(self.refs)

    def take(self, chosen: npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Samples:
        """Those that `chosen` names, by mask or position."""
        return Samples(self.refs[chosen], self.times[chosen], self.values[chosen])


@dataclass(frozen=True, slots=True)
class Pieces:
    """Runs of samples that become chunks: piece i is of `refs[i]`, at `offsets[i]:offsets[i + 1]`."""

    refs: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    def take(self, chosen: npt.NDArray[np.bool_]) -> Pieces:
        """The pieces that `chosen` names, their samples moved together."""
        counts = np.diff(self.offsets)
        kept = np.repeat(chosen, counts)
        return Pieces(self.refs[chosen], offsets_of(counts[chosen]), self.times[kept], self.values[kept])


def offsets_of(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """0 and the running sums of `counts`."""
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets


class OpenBlocks:
    """Open blocks by ref. `newest`, `sealed` int64[capacity] (ms or NEVER_MS), `count` uint8[capacity] and
    `is_late` bool[capacity] (the series has pieces that may overlap) are read by the head.
    """

    def __init__(self) -> None:
        self.series = 0
        self.samples = 0
        self._rows = 0
        self.newest = np.empty(0, np.int64)
        self.sealed = np.empty(0, np.int64)
        self.base = np.empty(0, np.int64)
        self.count = np.empty(0, np.uint8)
        self.is_late = np.empty(0, np.bool_)
        self.appended = np.empty(0, np.uint32)
        self._times = np.empty((ROOM, 0), np.int32)
        self._values = np.empty((ROOM, 0), np.float64)

    @property
    def capacity(self) -> int:
        """Every ref that is held is below this."""
        return len(self.newest)

    @property
    def ref_bytes(self) -> int:
        """Bytes that do not depend on samples."""
        return _REF_BYTES * self.capacity

    @property
    def sample_bytes(self) -> int:
        """Bytes of the rows that were touched, for the series that are held."""
        return _ROW_BYTES * self._rows * min(self.series, self.capacity)

    def make_room(self, capacity: int) -> None:
        """Let refs below `capacity` be appended to."""
        if capacity > self.capacity:
            self._resize(max(_FEWEST, capacity, self.capacity * 3 // 2))

    def shrink(self, capacity: int) -> None:
        """Give memory back when far fewer than half of the refs can be in use (all are below `capacity`)."""
        if capacity * 2 < self.capacity and self.capacity > _FEWEST:
            self._resize(max(_FEWEST, capacity * 5 // 4))

    def push(self, samples: Samples, floor_ms: int) -> tuple[npt.NDArray[np.uint8], int]:
        """Append what is the newest of its series; (fates uint8[m], the newest that was too old)."""
        fates = np.empty(len(samples), np.uint8)
        fresh, pushed, dropped_ms = kernels.push(
            samples.refs, samples.times, samples.values, floor_ms, self.newest, self.sealed, self.base,
            self.count, self.appended, self._times, self._values, fates,
        )  # fmt: skip
        self._grew(fresh, pushed)
        return fates, dropped_ms

    def insert(self, samples: Samples, replace: bool) -> Samples:
        """Put late samples into the open blocks; those that do not belong there are answered."""
        fates = np.empty(len(samples), np.uint8)
        fresh, added = kernels.insert_late(
            samples.refs, samples.times, samples.values, replace, self.newest, self.sealed, self.base,
            self.count, self._times, self._values, fates,
        )  # fmt: skip
        self._grew(fresh, added)
        return samples.take(fates == OVERLAID)

    def plan(self, samples: Samples) -> tuple[Pieces, Pieces, Samples]:
        """Blocks that are full and what follows them: (pieces to seal, pieces to stay open, what is late).

        `samples` in the order they came. Nothing is changed; `settle` does that when the pieces are encoded.
        """
        order = np.argsort(samples.refs, kind="stable")
        ordered = samples.take(order)
        times, values, offsets, refs, is_last, left = kernels.plan_runs(
            ordered.refs, ordered.times, ordered.values, self.newest, self.base, self.count, self._times,
            self._values,
        )  # fmt: skip
        pieces = Pieces(refs, offsets, times, values)
        return pieces.take(~is_last), pieces.take(is_last), samples.take(np.sort(order[left]))

    def copy_out(self, refs: npt.NDArray[np.int32]) -> Pieces:
        """The open blocks of `refs`, which are not empty. Nothing is changed."""
        times, values, offsets = kernels.copy_out(refs, self.base, self.count, self._times, self._values)
        return Pieces(refs, offsets, times, values)

    def settle(self, pieces: Pieces) -> None:
        """Make `pieces` the open blocks of their refs."""
        fresh = int((self.newest[pieces.refs] == NEVER_MS).sum())
        more = kernels.put_back(
            pieces.refs, pieces.offsets, pieces.times, pieces.values, self.newest, self.base, self.count,
            self._times, self._values,
        )  # fmt: skip
        self._grew(fresh, more)

    def sealed_until(self, refs: npt.NDArray[np.int32], last_ms: npt.NDArray[np.int64]) -> None:
        """Say that chunks of `refs` reach to `last_ms`; repeated refs ascend."""
        np.maximum.at(self.sealed, refs, last_ms)
        self.note(refs, last_ms)

    def empty(self, refs: npt.NDArray[np.int32]) -> None:
        """Clear the blocks of `refs`, each once."""
        self.samples -= int(self.count[refs].sum())
        self.count[refs] = 0

    def note(self, refs: npt.NDArray[np.int32], times_ms: npt.NDArray[np.int64]) -> None:
        """Keep the series of `refs` alive as if they had samples at `times_ms`."""
        fresh = np.unique(refs[self.newest[refs] == NEVER_MS])
        np.maximum.at(self.newest, refs, times_ms)
        self.series += len(fresh)

    def forget(self, refs: npt.NDArray[np.int32]) -> None:
        """Clear everything about `refs`, each once; they may name other series from now on."""
        refs = refs[refs < self.capacity]
        self.series -= int((self.newest[refs] != NEVER_MS).sum())
        self.empty(refs)
        self.newest[refs] = self.sealed[refs] = NEVER_MS
        self.is_late[refs] = False
        self.appended[refs] = 0

    def trim(self, floor_ms: int) -> Samples:
        """Take out the open samples with t <= floor_ms."""
        gone = Samples(
            *kernels.trim_open(floor_ms, self.newest, self.base, self.count, self._times, self._values)
        )
        self.samples -= len(gone)
        return gone

    def read(
        self, refs: npt.NDArray[np.int32], start_ms: int, end_ms: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """The open samples of `refs` with start_ms < t <= end_ms: (times, values, offsets int64[n + 1])."""
        return kernels.read_open(  # type: ignore[no-any-return]
            refs, start_ms, end_ms, self.newest, self.base, self.count, self._times, self._values
        )

    @property
    def arrays(self) -> Any:
        """What the kernels of `increase` read: newest, sealed, is_late, base, count, times, values."""
        return self.newest, self.sealed, self.is_late, self.base, self.count, self._times, self._values

    def counted(self, floor_ms: int) -> int:
        """Open samples with t > floor_ms of series without late samples."""
        return int(kernels.count_open(floor_ms, self.is_late, self.base, self.count, self._times))

    def renew(self) -> None:
        """When all blocks are empty: give the memory of the rows back."""
        if not self.samples and self._rows:
            self._times = np.empty((ROOM, self.capacity), np.int32)
            self._values = np.empty((ROOM, self.capacity), np.float64)
            self._rows = 0

    def _grew(self, fresh: int, samples: int) -> None:
        self.series += fresh
        self.samples += samples
        if samples:
            self._rows = max(self._rows, int(self.count.max(initial=0)))

    def _resize(self, capacity: int) -> None:
        kept = min(capacity, self.capacity)

        def moved(old: npt.NDArray[np.generic], fill: int) -> npt.NDArray[np.generic]:
            new = np.full(capacity, fill, old.dtype)
            new[:kept] = old[:kept]
            return new

        times, values = np.empty((ROOM, capacity), np.int32), np.empty((ROOM, capacity), np.float64)
        rows = int(self.count.max(initial=0))
        times[:rows, :kept], values[:rows, :kept] = self._times[:rows, :kept], self._values[:rows, :kept]
        self.newest = moved(self.newest, NEVER_MS)  # type: ignore[assignment]
        self.sealed = moved(self.sealed, NEVER_MS)  # type: ignore[assignment]
        self.base = moved(self.base, 0)  # type: ignore[assignment]
        self.count = moved(self.count, 0)  # type: ignore[assignment]
        self.is_late = moved(self.is_late, 0)  # type: ignore[assignment]
        self.appended = moved(self.appended, 0)  # type: ignore[assignment]
        self._times, self._values, self._rows = times, values, rows

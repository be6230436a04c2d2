"""Samples that came after later ones of their series had been sealed: a short log, sorted when it is asked.

The head empties it into chunks at every flush and when it is long, so an answer is sorted from 65,536
samples at most. Not thread-safe: the head holds its lock.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.recent import open_kernels as kernels
from setpoint.telemetry.recent.open_blocks import Pieces, Samples

__all__ = ["LateSamples", "in_order", "joined", "sorted_pieces"]

_SAMPLE_BYTES = 20
_LONGEST = 1024


class LateSamples:
    """Samples by ref in any order; of equal timestamps the later added stays."""

    def __init__(self) -> None:
        self._parts: list[Samples] = []
        self._sorted: Samples | None = None
        self.count = 0

    @property
    def sample_bytes(self) -> int:
        """Bytes of the samples."""
        return _SAMPLE_BYTES * self.count

    def add(self, samples: Samples) -> None:
        """Take samples."""
        if len(samples):
            self._parts.append(samples)
            self.count += len(samples)
            self._sorted = None

    def all(self) -> Samples:
        """All samples, sorted by ref and time."""
        if self._sorted is None:
            self._sorted = in_order(joined(self._parts))
        return self._sorted

    def clear(self) -> None:
        """Forget all samples."""
        self._parts, self._sorted, self.count = [], None, 0

    def keep_after(self, floor_ms: int) -> Samples:
        """Forget the samples with t <= floor_ms and answer them."""
        everything = self.all()
        gone = everything.times <= floor_ms
        self.clear()
        self.add(everything.take(~gone))
        return everything.take(gone)

    def read(
        self, refs: npt.NDArray[np.int32], start_ms: int, end_ms: int
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """The samples of `refs` with start_ms < t <= end_ms: (times, values, offsets int64[n + 1])."""
        offsets = np.zeros(len(refs) + 1, np.int64)
        if not self.count:
            return np.empty(0, np.int64), np.empty(0), offsets
        everything = self.all()
        begins = np.searchsorted(everything.refs, refs, "left")
        ends = np.searchsorted(everything.refs, refs, "right")
        times, values = [], []
        for place in np.flatnonzero(begins < ends).tolist():
            within = everything.times[begins[place] : ends[place]]
            first, end = begins[place] + np.searchsorted(within, (start_ms, end_ms), "right")
            times.append(everything.times[first:end])
            values.append(everything.values[first:end])
            offsets[place + 1] = end - first
        np.cumsum(offsets, out=offsets)
        return (
            np.concatenate([np.empty(0, np.int64), *times]),
            np.concatenate([np.empty(0), *values]),
            offsets,
        )


def sorted_pieces(samples: Samples) -> Pieces:
    """Samples, in any order, as runs that may become chunks."""
    samples = in_order(samples)
    offsets = kernels.split(samples.refs, samples.times, _LONGEST)
    return Pieces(samples.refs[offsets[:-1]], offsets, samples.times, samples.values)


def joined(parts: list[Samples]) -> Samples:
    """`parts` one after the other."""
    parts = [Samples.none(), *parts]
    return Samples(
        np.concatenate([part.refs for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
    )


def in_order(samples: Samples) -> Samples:
    """Sorted by ref and time, of equal ones only the last."""
    ordered = samples.take(np.lexsort((samples.times, samples.refs)))
    stays = np.ones(len(ordered), np.bool_)
    stays[:-1] = (ordered.refs[1:] != ordered.refs[:-1]) | (ordered.times[1:] != ordered.times[:-1])
    return ordered.take(stays)

"""Late samples: older than what the head shows, and not in `blocks` yet.

The head keeps them for the next flush; here they are found until then, as soon as they are acknowledged: `store` reads
them beside the stored chunks. A backfill is nothing but late samples, so their number is one reason to flush early.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.chunk_samples import Runs, run_bounds

__all__ = ["LateSamples"]

_LATEST = np.uint64(2**64 - 1)


class _Part(NamedTuple):
    fingerprints: npt.NDArray[np.uint64]
    timestamps_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


class LateSamples:
    """Samples in the order of their arrival. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flushing: list[_Part] = []
        self._arriving: list[_Part] = []
        self._count = 0

    @property
    def count(self) -> int:
        """Samples that came since the last `cut`."""
        return self._count

    def add(
        self,
        fingerprints: npt.NDArray[np.uint64],
        timestamps_ms: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> None:
        """Keep samples (columns of one length)."""
        with self._lock:
            self._arriving.append(_Part(fingerprints, timestamps_ms, values))
            self._count += len(fingerprints)

    def runs(self, start_ms: int, end_ms: int) -> Runs:
        """The samples with start_ms < t <= end_ms, a run per series, later than any stored generation."""
        with self._lock:
            parts = [*self._flushing, *self._arriving]
        cut = []
        for part in parts:
            inside = (part.timestamps_ms > start_ms) & (part.timestamps_ms <= end_ms)
            if inside.any():
                cut.append(_Part(part.fingerprints[inside], part.timestamps_ms[inside], part.values[inside]))
        fingerprints, times, values = _sorted(cut)
        bounds = run_bounds(fingerprints, times)
        firsts = bounds[:-1]
        return Runs(fingerprints[firsts], np.full(len(firsts), _LATEST), bounds, times, values)

    def cut(self) -> None:
        """What came until now is what the next flush stores."""
        with self._lock:
            self._flushing += self._arriving
            self._arriving = []
            self._count = 0

    def flushed(self) -> None:
        """Forget what the flush has stored."""
        with self._lock:
            self._flushing = []


def _sorted(parts: list[_Part]) -> _Part:
    """One part, by series and time; of equal timestamps the sample that came last."""
    if not parts:
        return _Part(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.float64))
    fingerprints, times, values = (np.concatenate([part[column] for part in parts]) for column in range(3))
    order = np.lexsort((times, fingerprints))  # stable, so equal ones stay in the order of their arrival
    fingerprints, times = fingerprints[order], times[order]
    last = np.append((fingerprints[1:] != fingerprints[:-1]) | (times[1:] != times[:-1]), True)
    return _Part(fingerprints[last], times[last], values[order][last])

"""The native histograms of the last hours, in memory: a query over a recent range never asks the engine for them.

`side_store` puts in what it has written and takes answers out. What came before the start of the process is not here,
so it tells from when on it is complete. It holds a bounded number of bytes: beyond, the oldest quarter goes.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.model import HistogramColumns, Labels, StoredHistograms

__all__ = ["RecentHistograms"]

_BYTES_MAX = 128 << 20
_OVERHEAD_BYTES = 100
"""What a histogram costs beside its payload."""
_HORIZON_MS = 6 * 3_600_000
_NEVER_MS = 2**62


class _Series:
    __slots__ = ("payloads", "times")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.payloads: list[bytes] = []

    def put(self, at_ms: int, payload: bytes) -> int:
        """Add a histogram, or replace the one of the same time; what it adds in bytes."""
        if not self.times or at_ms > self.times[-1]:
            self.times.append(at_ms)
            self.payloads.append(payload)
            return len(payload) + _OVERHEAD_BYTES
        place = bisect_left(self.times, at_ms)
        if self.times[place] == at_ms:
            added = len(payload) - len(self.payloads[place])
            self.payloads[place] = payload
            return added
        self.times.insert(place, at_ms)
        self.payloads.insert(place, payload)
        return len(payload) + _OVERHEAD_BYTES

    def cut(self, until_ms: int) -> int:
        """Drop what is not later than `until_ms`; the bytes of that."""
        place = bisect_right(self.times, until_ms)
        freed = sum(map(len, self.payloads[:place])) + place * _OVERHEAD_BYTES
        del self.times[:place], self.payloads[:place]
        return freed


class RecentHistograms:
    """Encoded histograms by fingerprint of their series. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._series: dict[int, _Series] = {}
        self._newest_ms = -_NEVER_MS
        self._cut_until_ms = -_NEVER_MS
        self._stored_until_ms = _NEVER_MS
        self.bytes = 0

    def begin(self, newest_stored_ms: int) -> None:
        """All that is stored and not here is not later than `newest_stored_ms`."""
        with self._lock:
            self._stored_until_ms = newest_stored_ms

    def covers(self, start_ms: int) -> bool:
        """Whether every histogram later than `start_ms` is here."""
        return start_ms >= max(self._stored_until_ms, self._cut_until_ms)

    def fingerprints(self) -> npt.NDArray[np.uint64]:
        """The series that have any."""
        with self._lock:
            return np.fromiter(self._series, np.uint64, len(self._series))

    def put(
        self, fingerprints: npt.NDArray[np.uint64], times_ms: npt.NDArray[np.int64], payloads: Sequence[bytes]
    ) -> None:
        """Histograms that are stored."""
        with self._lock:
            for fingerprint, at_ms, payload in zip(
                fingerprints.tolist(), times_ms.tolist(), payloads, strict=True
            ):
                series = self._series.get(fingerprint)
                if series is None:
                    series = self._series[fingerprint] = _Series()
                self.bytes += series.put(at_ms, payload)
            if len(times_ms):
                self._newest_ms = max(self._newest_ms, int(times_ms.max()))
            self._bound()

    def _bound(self) -> None:
        if self.bytes > _BYTES_MAX:
            oldest_ms = min(series.times[0] for series in self._series.values())
            self._cut(oldest_ms + (self._newest_ms - oldest_ms) // 4)
        elif self._cut_until_ms < self._newest_ms - _HORIZON_MS * 5 // 4:
            self._cut(self._newest_ms - _HORIZON_MS)

    def _cut(self, until_ms: int) -> None:
        for fingerprint, series in tuple(self._series.items()):
            self.bytes -= series.cut(until_ms)
            if not series.times:
                del self._series[fingerprint]
        self._cut_until_ms = max(self._cut_until_ms, until_ms)

    def select(
        self, series: Sequence[tuple[int, Labels]], start_ms: int, end_ms: int
    ) -> StoredHistograms | None:
        """The histograms with start_ms < t <= end_ms of these series (fingerprint and labels), those without left out;
        None where the range is not covered.
        """
        labels: list[Labels] = []
        counts: list[int] = []
        times: list[int] = []
        payloads: list[bytes] = []
        with self._lock:
            if not self.covers(start_ms):
                return None
            for fingerprint, named in series:
                held = self._series.get(fingerprint)
                if held is None:
                    continue
                first, last = bisect_right(held.times, start_ms), bisect_right(held.times, end_ms)
                if first < last:
                    labels.append(named)
                    counts.append(last - first)
                    times += held.times[first:last]
                    payloads += held.payloads[first:last]
        rows = np.repeat(np.arange(len(labels), dtype=np.int32), counts)
        return StoredHistograms(tuple(labels), HistogramColumns(rows, np.array(times, np.int64), payloads))

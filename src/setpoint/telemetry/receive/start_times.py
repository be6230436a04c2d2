"""When each cumulative series began, so that its first increments count: zero samples at OTLP start times.

A counter that appears with the value 5 has counted five events since its start time, but a query that takes
differences of samples would see none of them. So the metrics decoder writes a zero at the start time when a
series is first seen or has started again (as Prometheus does with created timestamps). The zero of one
start is always the same sample, so that writing it again after a restart, a retry or through a second
receiver changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["StartTimes"]

_YOUNG_S = 3600
"""How far back a zero is written, in seconds; what a series counted before is not ours to count."""


@dataclass(frozen=True, slots=True)
class _Known:
    start_ns: int
    last_ms: int


class StartTimes:
    """The last start time and sample of at most `limit` series by fingerprint; the longest unchanged is
    forgotten first.

    Forgetting is harmless within the first hour of a series (the same zero is written again) and after it
    (a start time that old is not used). Thread-safe.
    """

    def __init__(self, limit: int = 200_000) -> None:
        self._limit = limit
        self._known: dict[int, _Known] = {}
        self._guard = threading.Lock()

    def zero_ms(self, fingerprint: int, start_ns: int, at_ns: int, now_ms: int) -> int | None:
        """The instant (Unix ms) at which this sample's series needs a zero, or None.

        `start_ns` and `at_ns` are the sample's OTLP start time and time. Nothing is remembered yet:
        `remember` does that when the sample is stored, so that a retry of a failed request gets its zero.
        """
        at_ms = at_ns // 1_000_000
        if not 0 < start_ns < at_ns or start_ns // 1_000_000 < now_ms - _YOUNG_S * 1000:
            return None
        zero_ms = min(start_ns // 1_000_000, at_ms - 1)
        known = self._known.get(fingerprint)
        if known is not None and (start_ns <= known.start_ns or zero_ms <= known.last_ms):
            return None
        return zero_ms

    def remember(self, samples: Mapping[int, tuple[int, int]]) -> None:
        """Keep {fingerprint: (start_ns, last sample's ms)} of samples that are stored."""
        with self._guard:
            for fingerprint, (start_ns, at_ms) in samples.items():
                known = self._known.pop(fingerprint, None)
                if known is not None:
                    start_ns, at_ms = max(start_ns, known.start_ns), max(at_ms, known.last_ms)  # noqa: PLW2901
                self._known[fingerprint] = _Known(start_ns, at_ms)
            while len(self._known) > self._limit:
                del self._known[next(iter(self._known))]

"""How long something took, counted into a histogram: what every part of Setpoint measures of itself.

A part that works makes a `Durations` and observes into it; `web.metrics` shows it at `/metrics`. It has no
name, no labels and no registry, so that no part below the page knows of Prometheus.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from setpoint.clock import stopwatch

__all__ = ["DURATION_BOUNDS_S", "Counted", "Durations"]

DURATION_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Counted:
    """A histogram at one moment: `counts[i]` observations were at most `bounds_s[i]` seconds (cumulative; the
    last bound is infinity), `sum_s` is the sum of all.
    """

    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]
    sum_s: float


class Durations:
    """A histogram of durations in seconds. Thread-safe; observing costs under a microsecond."""

    def __init__(self, bounds_s: Sequence[float] = DURATION_BOUNDS_S) -> None:
        self._bounds_s = tuple(bounds_s)
        self._lock = threading.Lock()
        self._counts = [0] * (len(self._bounds_s) + 1)
        self._sum_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration; a negative one (a clock set back) counts as 0."""
        seconds = max(0.0, seconds)
        place = bisect.bisect_left(self._bounds_s, seconds)
        with self._lock:
            self._counts[place] += 1
            self._sum_s += seconds

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Observe how long the block takes, also when it raises."""
        elapsed_s = stopwatch()
        try:
            yield
        finally:
            self.observe(elapsed_s())

    @property
    def counted(self) -> Counted:
        """What was observed so far."""
        with self._lock:
            counts, sum_s = list(self._counts), self._sum_s
        total, cumulative = 0, []
        for count in counts:
            total += count
            cumulative.append(total)
        return Counted((*self._bounds_s, float("inf")), tuple(cumulative), sum_s)

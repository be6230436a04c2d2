"""How gently a source is asked: so many requests a second, so many at a time, and longer pauses while it fails."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from setpoint.clock import stopwatch

__all__ = ["BackOff", "Pace"]

_FIRST_S, _LONGEST_S = 1.0, 60.0
_RETRY_AFTER_MAX_S = 600.0
_DOUBLINGS_MAX = 10


class BackOff:
    """The pause after each failure in a row: 1 s, doubled up to a minute, with a jitter of half of it so that
    many servers which failed together do not come back together. A longer `Retry-After` is kept, up to ten minutes.
    """

    def __init__(self, jitter: Callable[[], float] = random.random) -> None:
        """`jitter` gives numbers in [0, 1)."""
        self._jitter = jitter
        self.failures = 0

    def failed(self, retry_after_s: float) -> float:
        """Seconds to leave the source alone now."""
        whole_s = min(_LONGEST_S, _FIRST_S * 2.0 ** min(self.failures, _DOUBLINGS_MAX))
        self.failures += 1
        asked_s = min(max(0.0, retry_after_s), _RETRY_AFTER_MAX_S)
        return max(whole_s * (0.5 + 0.5 * self._jitter()), asked_s * (1 + 0.1 * self._jitter()))

    def succeeded(self) -> None:
        """Begin with short pauses again."""
        self.failures = 0


class Pace:
    """Lets `per_s` requests a second begin, after a rest a second's worth at once, and `at_once` run.

    History waits until half of a second's worth is there, so that new samples find room.
    """

    def __init__(self, per_s: float, at_once: int, elapsed_s: Callable[[], float] | None = None) -> None:
        """`elapsed_s` tells seconds since any instant."""
        self._per_s = per_s
        self._most = max(1.0, per_s)
        self._elapsed_s = elapsed_s or stopwatch()
        self._left, self._at_s = self._most, self._elapsed_s()
        self._lock = threading.Lock()
        self._places = threading.BoundedSemaphore(at_once)

    @contextmanager
    def turn(self, stop: threading.Event, *, is_urgent: bool) -> Iterator[bool]:
        """Wait for a turn and hold it; gives False, without a turn, when `stop` was set meanwhile."""
        needed = 1.0 if is_urgent else min(self._most, 1 + self._most / 2)
        while (wait_s := self._take(needed)) > 0:
            if stop.wait(wait_s):
                yield False
                return
        with self._places:
            yield not stop.is_set()

    def _take(self, needed: float) -> float:
        """Take one when `needed` are there, else the seconds until they are."""
        with self._lock:
            now_s = self._elapsed_s()
            self._left = min(self._most, self._left + (now_s - self._at_s) * self._per_s)
            self._at_s = now_s
            if self._left >= needed:
                self._left -= 1
                return 0.0
            return max(0.001, (needed - self._left) / self._per_s)

"""Time as a parameter: the only module that asks the operating system what time it is.

Everything that depends on time takes a `Clock`, so that the whole platform runs on a virtual one: fast tests,
backtests on history, labs. Instants are Unix milliseconds (int, UTC); durations are seconds (float).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "VirtualClock", "processor_stopwatch", "rfc3339", "stopwatch"]


class Clock(Protocol):
    """What Setpoint needs of time."""

    def now_ms(self) -> int:
        """The current instant in Unix milliseconds, UTC."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until `event` is set or `timeout_s` of this clock's seconds have passed; True when it was set."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return event.wait(timeout_s)


class VirtualClock:
    """A clock that moves only when told to; `wait` returns as soon as somebody has advanced it far enough."""

    def __init__(self, start_ms: int = 0) -> None:
        self._now_ms = start_ms
        self._moved = threading.Condition()

    def now_ms(self) -> int:
        return self._now_ms

    def advance(self, seconds: float) -> int:
        """Move the clock forward by `seconds`, wake who waits, and return the new instant in milliseconds."""
        with self._moved:
            self._now_ms += round(seconds * 1000)
            self._moved.notify_all()
            return self._now_ms

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        deadline_ms = self._now_ms + round(timeout_s * 1000)
        with self._moved:
            while not event.is_set() and self._now_ms < deadline_ms:
                self._moved.wait(0.01)
        return event.is_set()


def stopwatch() -> Callable[[], float]:
    """A function that tells the seconds since now, in real time whatever the clock says: for how long work
    takes, never for what data means.
    """
    started = time.perf_counter()
    return lambda: time.perf_counter() - started


def processor_stopwatch() -> Callable[[], float]:
    """As `stopwatch`, but of the processor's seconds that the calling thread uses."""
    started = time.thread_time()
    return lambda: time.thread_time() - started


def rfc3339(instant_ms: int) -> str:
    """`instant_ms` (Unix milliseconds) as RFC 3339 in UTC, such as `2026-01-02T03:04:05.678Z`."""
    moment = datetime.fromtimestamp(instant_ms / 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{instant_ms % 1000:03d}Z"

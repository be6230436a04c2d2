"""The line to one data source: every request goes through here, in its turn, and is counted.

What it says of the source is shared by all who ask: after a failure nobody asks until the pause is over, so a server
that is down costs one request now and then, and those who wait for it nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol, TypeVar

from setpoint.clock import Clock, stopwatch
from setpoint.errors import TooLarge, Unavailable
from setpoint.telemetry.datasource.answer import Answer, VectorAnswer
from setpoint.telemetry.datasource.client import QueryRefused, SourceDown
from setpoint.telemetry.datasource.pacing import BackOff, Pace
from setpoint.telemetry.datasource.selectors import Selector, show
from setpoint.telemetry.datasource.status import SourceState

__all__ = ["Connection"]

log = logging.getLogger(__name__)

Found = TypeVar("Found", Answer, VectorAnswer)


class _Client(Protocol):
    def samples(self, selector: str, start_ms: int, end_ms: int) -> Answer: ...

    def vector(self, query: str, at_ms: int) -> VectorAnswer: ...


class Connection:
    """Asks one source for samples, gently. Thread-safe."""

    def __init__(
        self,
        name: str,
        client: _Client,
        clock: Clock,
        pace: Pace,
        *,
        stop: threading.Event,
        back_off: BackOff,
    ) -> None:
        """`stop` ends whoever waits for a turn."""
        self.name = name
        self._client, self._clock, self._pace, self._stop, self._back_off = (
            client,
            clock,
            pace,
            stop,
            back_off,
        )
        self._lock = threading.Lock()
        self.fault = ""
        """What went wrong with the last request; empty when it was answered."""
        self.since_ms = clock.now_ms()
        self.retry_ms: int | None = None
        self.answered_ms: int | None = None
        self.latency_s: float | None = None
        self.requests = self.failed = self.received_bytes = self.samples_read = 0

    @property
    def state(self) -> SourceState:
        """Whether the last request was answered."""
        return "down" if self.fault else "waiting" if self.answered_ms is None else "up"

    @property
    def failures(self) -> int:
        """Failures in a row."""
        return self._back_off.failures

    def pause_ms(self) -> int:
        """Milliseconds for which nobody may ask."""
        retry_ms = self.retry_ms
        return 0 if retry_ms is None else max(0, retry_ms - self._clock.now_ms())

    def ask(self, selector: Selector, start_ms: int, end_ms: int, *, is_urgent: bool) -> Answer:
        """The samples of `selector` with start_ms < t <= end_ms.

        Raises SourceDown at once during a pause, and what `PrometheusClient.samples` raises.
        """
        return self._turn(lambda: self._client.samples(show(selector), start_ms, end_ms), is_urgent=is_urgent)

    def vector(self, query: str, at_ms: int) -> VectorAnswer:
        """The answer to an instant query. Raises as `ask`."""
        return self._turn(lambda: self._client.vector(query, at_ms), is_urgent=True)

    def _turn(self, request: Callable[[], Found], *, is_urgent: bool) -> Found:
        self._refuse_in_pause()
        with self._pace.turn(self._stop, is_urgent=is_urgent) as is_mine:
            if not is_mine:
                raise SourceDown("it is no longer asked")
            self._refuse_in_pause()
            elapsed_s = stopwatch()
            try:
                answer = request()
            except (QueryRefused, TooLarge):
                self._note_answer(None, elapsed_s())
                raise
            except Unavailable as error:
                self._note_fault(error)
                raise SourceDown(error.message, self.pause_ms() / 1000) from error
            self._note_answer(answer, elapsed_s())
            return answer

    def _refuse_in_pause(self) -> None:
        if (pause_ms := self.pause_ms()) > 0:
            raise SourceDown(self.fault, pause_ms / 1000)

    def _note_fault(self, error: Unavailable) -> None:
        now_ms = self._clock.now_ms()
        with self._lock:
            self.requests += 1
            self.failed += 1
            if not self.fault:
                self.since_ms = now_ms
                log.warning("data source %s: %s", self.name, error.message)
            self.fault = error.message
            if (
                self.retry_ms is None or self.retry_ms <= now_ms
            ):  # else another request failed at the same time
                asked_s = error.retry_after_s if isinstance(error, SourceDown) else 0.0
                self.retry_ms = now_ms + round(self._back_off.failed(asked_s) * 1000)

    def _note_answer(self, answer: Answer | VectorAnswer | None, took_s: float) -> None:
        now_ms = self._clock.now_ms()
        with self._lock:
            self.requests += 1
            self.latency_s = took_s
            if self.fault:
                log.info("data source %s answers again", self.name)
            if self.fault or self.answered_ms is None:
                self.since_ms = now_ms
            self.fault, self.retry_ms, self.answered_ms = "", None, now_ms
            self._back_off.succeeded()
            if answer is None:
                self.failed += 1
            else:
                self.received_bytes += answer.size_bytes
                self.samples_read += answer.samples

"""One data source at work: its connection, its recent samples, its history, and what is known of it.

`DataSources` makes one for each resource and runs it in a thread; objectives and pages read through it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from setpoint.clock import Clock
from setpoint.errors import InvalidInput
from setpoint.telemetry.datasource.client import IoLoop, PrometheusClient, QueryRefused, SourceDown
from setpoint.telemetry.datasource.connection import Connection
from setpoint.telemetry.datasource.live import Live
from setpoint.telemetry.datasource.pacing import BackOff, Pace
from setpoint.telemetry.datasource.past import Check, Past
from setpoint.telemetry.datasource.spec import ConnectionDetails
from setpoint.telemetry.datasource.status import SourceStatus
from setpoint.telemetry.model import Labels, Matcher, SampleColumns

__all__ = ["Source"]

log = logging.getLogger(__name__)

_AFTER_FAULT_S = 5.0
_KEPT_MS = 34 * 86_400_000


class Source:
    """Reads from one server. Everything but `poll` and `run` may be called from any thread."""

    def __init__(
        self,
        name: str,
        details: ConnectionDetails,
        clock: Clock,
        *,
        loop: IoLoop,
        secrets: Path,
        patience_ms: int,
        back_off: BackOff | None = None,
    ) -> None:
        """`secrets` is the folder of the files that `details` name; `patience_ms` as of `Live`."""
        self.name, self.details = name, details
        self._clock = clock
        self._stop = threading.Event()
        self._client = PrometheusClient(details, secrets, loop, clock)
        pace = Pace(details.requests_per_second, details.max_concurrent)
        self._connection = Connection(
            name, self._client, clock, pace, stop=self._stop, back_off=back_off or BackOff()
        )
        self._live = Live(
            self._connection,
            clock,
            interval_ms=details.interval_ms,
            patience_ms=patience_ms,
            at_once=details.max_concurrent,
        )
        self._past = Past(self._connection, self._live, self._stop)

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        """Recent samples, from memory; see `Live.select`."""
        return self._live.select(matchers, start_ms, end_ms)

    def fetch(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, *, check: Check | None = None
    ) -> SampleColumns:
        """Samples of any age; waits for the server; see `Past.select`."""
        return self._past.select(matchers, start_ms, end_ms, *((check,) if check else ()))

    def vector(self, query: str, at_ms: int) -> Sequence[tuple[Labels, float]]:
        """The answer of the source to an instant query; waits for it, one request's timeout at most.

        Raises SourceDown when it does not answer, InvalidInput when it refuses.
        """
        try:
            return self._connection.vector(query, at_ms).series
        except QueryRefused as error:
            raise InvalidInput(f"data source '{self.name}' refuses the query: {error.message}") from error
        except SourceDown as error:
            raise SourceDown(f"data source '{self.name}': {error.message}", error.retry_after_s) from error

    def take_oldest_write_ms(self) -> int | None:
        """The oldest sample that came since the last call; None when none came."""
        return self._live.take_oldest_write_ms()

    def counted_from_ms(self) -> int:
        """How far back the history of a new objective is counted."""
        return self._clock.now_ms() - self.details.backfill_ms

    def kept_from_ms(self) -> int:
        """Since when samples are taken to be there still: what was missed later than this is counted."""
        return self._clock.now_ms() - max(self.details.backfill_ms, _KEPT_MS)

    @property
    def fault(self) -> str | None:
        """What it said to the last request, when that failed."""
        fault = self._connection.fault
        return f"data source '{self.name}': {fault}" if fault else None

    def poll(self) -> float:
        """Read what is due; seconds until it should be called again."""
        return self._live.poll()

    def run(self) -> None:
        """Poll until `close`; the body of the source's thread."""
        while not self._stop.is_set():
            try:
                wait_s = self.poll()
            except Exception:  # the loop must outlive any fault: without it nothing of the source arrives
                log.exception("data source %s: reading failed; it goes on", self.name)
                wait_s = _AFTER_FAULT_S
            self._clock.wait(self._stop, wait_s)

    def close(self) -> None:
        """Stop asking; requests that are under way end by themselves within their timeout."""
        self._stop.set()
        self._client.close()

    @property
    def status(self) -> SourceStatus:
        """What is known of it now."""
        line, live = self._connection, self._live
        return SourceStatus(
            name=self.name,
            url=self.details.url,
            state=line.state,
            fault=line.fault,
            refused=live.refused,
            since_ms=line.since_ms,
            answered_ms=line.answered_ms,
            retry_ms=line.retry_ms,
            failures=line.failures,
            latency_s=line.latency_s,
            selectors=live.selectors,
            requests_per_poll=live.requests_per_poll,
            reached_ms=live.reached_ms,
            series=live.head.series_count,
            samples=live.head.sample_count,
            requests=line.requests,
            failed=line.failed,
            received_bytes=line.received_bytes,
            samples_read=line.samples_read,
        )

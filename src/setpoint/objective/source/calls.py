"""Which service calls which, as traces show it: for whoever asks for dependencies that nobody declared.

`app` hands `known` to the service map. The spans of the last quarter of an hour are looked at, at most every ten
minutes and only when new ones came; of many, a sample of whole traces. A call that was seen once is remembered for a
day, so a service that is quiet, or dead, keeps its dependencies. One that is not sampled, or whose caller sends no
spans, is not known.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from typing import Final

from setpoint.clock import Clock
from setpoint.database import TelemetryDatabase, load_queries
from setpoint.errors import SetpointError
from setpoint.objective.dependencies import Dependencies
from setpoint.objective.source.outcome import limits_of

__all__ = ["TracedCalls"]

logger = logging.getLogger(__name__)

_QUERIES: Final = load_queries("setpoint.objective.source")
_LOOKED_MS, _EVERY_MS, _KEPT_MS = 15 * 60_000, 10 * 60_000, 86_400_000
_SPANS_MOST = 200_000
_LONGEST_S = 2.0


class TracedCalls:
    """Safe to use from several threads; one of them looks, the others are given what was known before."""

    def __init__(self, database: TelemetryDatabase, clock: Clock) -> None:
        self._database, self._clock = database, clock
        limits = limits_of(database)
        self._limited = database.limited(replace(limits, seconds=min(limits.seconds, _LONGEST_S)))
        self._looking = threading.Lock()
        self._seen_ms: dict[tuple[str, str], int] = {}
        self._revision: int | None = None
        self._known = Dependencies()
        self.looked_ms: int | None = None
        """When spans were last looked at; None: never."""

    def known(self) -> Dependencies:
        """What traces of the last day have shown, callees by name; what cannot be read at present is not known."""
        now_ms = self._clock.now_ms()
        is_due = self.looked_ms is None or not 0 <= now_ms - self.looked_ms < _EVERY_MS
        if is_due and self._looking.acquire(blocking=False):
            try:
                self._look(now_ms)
            except SetpointError as error:
                logger.warning("calls between services are not read from traces: %s", error.message)
            finally:
                self.looked_ms = now_ms
                self._looking.release()
        return self._known

    def _look(self, now_ms: int) -> None:
        revision = self._database.revision("spans")
        if revision == self._revision and self._database.is_embedded:
            return
        self._revision = revision
        from_ns = (now_ms - _LOOKED_MS) * 1_000_000
        spans = int(self._limited.query(_QUERIES["spans_since"], from_ns=from_ns)["spans"][0])
        if not spans:
            return
        one_in = -(-spans // _SPANS_MOST)
        rows = self._limited.query(_QUERIES["calls_since"], from_ns=from_ns, one_in=one_in)
        for caller, callee in (
            zip(rows["caller"].tolist(), rows["callee"].tolist(), strict=True) if rows else ()
        ):
            self._seen_ms[str(caller), str(callee)] = now_ms
        self._seen_ms = {call: at for call, at in self._seen_ms.items() if now_ms - at <= _KEPT_MS}
        direct: dict[str, list[str]] = {}
        for caller, callee in sorted(self._seen_ms):
            direct.setdefault(caller, []).append(callee)
        self._known = Dependencies({caller: tuple(called) for caller, called in direct.items()})

"""Tells the alert book of what rules fire, as Prometheus's notifier tells an Alertmanager.

What changed is told at once, all that fires again every minute with an end four minutes ahead (or four intervals), so
that it ends by itself if Setpoint does not come back. It is told again also while a rule's query fails or hangs: that
nothing is known is no reason to resolve. What the book does not take is told again until it does, for 15 minutes.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from setpoint.alert.model import Alert
from setpoint.alert.rules.running import Outcome, RunningGroup
from setpoint.clock import Clock
from setpoint.errors import SetpointError

__all__ = ["RESEND_MS", "Send", "Telling"]

log = logging.getLogger(__name__)

Send = Callable[[Sequence[Alert]], None]
"""Takes alerts that fire or have ended; they are stored when it returns. Raises Unavailable."""

RESEND_MS = 60_000
"""Prometheus's --rules.alert.resend-delay."""

_VALID = 4
_RESOLVED_FOR_MS = 15 * 60_000
_RETRY_MS = 2_000


class Telling:
    """Thread-safe."""

    def __init__(self, send: Send, clock: Clock) -> None:
        self._send, self._clock = send, clock
        self._lock = threading.Lock()
        self._untold: deque[Alert] = deque()
        self._retry_ms = 0
        self._is_late = False

    def tell(self, group: RunningGroup, outcome: Outcome) -> None:
        """Tell of what an evaluation changed."""
        now_ms = self._clock.now_ms()
        alerts = [*_valid(outcome.fired, group, now_ms), *outcome.resolved]
        if alerts and not self._try(alerts):
            self._later(group, outcome.resolved, now_ms)

    def refresh(self, groups: Iterable[RunningGroup]) -> None:
        """Tell again of what fires, and what was not taken."""
        now_ms = self._clock.now_ms()
        if 0 < self._retry_ms - now_ms <= _RETRY_MS:
            return
        due = [one for one in groups if one.firing and not 0 <= now_ms - one.told_ms < RESEND_MS]
        with self._lock:
            untold = [alert for alert in self._untold if now_ms - (alert.ends_ms or 0) <= _RESOLVED_FOR_MS]
            self._untold.clear()
        alerts = [*untold, *(alert for one in due for alert in _valid(one.firing, one, now_ms))]
        if not alerts:
            return
        if self._try(alerts):
            for one in due:
                one.told_ms = now_ms
        else:
            with self._lock:
                self._untold.extendleft(reversed(untold))
                self._retry_ms = now_ms + _RETRY_MS

    @property
    def is_waiting(self) -> bool:
        """Whether something is to be told that the book has not taken."""
        return bool(self._untold) or self._is_late

    def _later(self, group: RunningGroup, resolved: Sequence[Alert], now_ms: int) -> None:
        group.told_ms = 0
        with self._lock:
            self._untold.extend(resolved)
            self._retry_ms = now_ms + _RETRY_MS

    def _try(self, alerts: Sequence[Alert]) -> bool:
        try:
            self._send(alerts)
        except SetpointError as error:
            if not self._is_late:  # once, not every two seconds
                log.warning("alerts of rules wait to be taken: %s", error.message)
            self._is_late = True
            return False
        self._is_late = False
        return True


def _valid(alerts: Iterable[Alert], group: RunningGroup, now_ms: int) -> list[Alert]:
    """Alerts that fire, with the instant until which that is known."""
    ends_ms = now_ms + _VALID * max(group.interval_ms, RESEND_MS)
    return [replace(alert, updated_ms=now_ms, ends_ms=ends_ms) for alert in alerts]

"""The outbox: notifications that were decided and not yet heard, as rows of the state database.

The dispatcher puts them, `run` is the body of a thread of its own. A row is on disk before `put` returns, and it stays
until its receiver has answered, whoever is killed in between: at least once, under one idempotency key.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from setpoint.alert.notify.model import Notification, Reason
from setpoint.clock import Clock
from setpoint.database import StateDatabase, Transaction
from setpoint.timeline import Timeline

__all__ = ["Kept", "LaneStatus", "Notification", "Outbox", "Reason"]


@dataclass(frozen=True, slots=True)
class Kept:
    """A row: a notification, and how far its delivery has come."""

    id: int
    notification: Notification
    state: str
    created_ms: int
    due_ms: int
    attempts: int
    error: str
    settled_ms: int | None


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """How an integration of a receiver does: failures since the last success, why, and when it is tried again."""

    receiver: str
    integration: str
    pending: int
    failures: int
    error: str
    delivered_ms: int | None
    next_ms: int | None


class Outbox:
    """Keeps and delivers notifications; safe to use from several threads."""

    def __init__(self, database: StateDatabase, timeline: Timeline, clock: Clock) -> None:
        self._database, self._timeline, self._clock = database, timeline, clock
        self.on_delivered: Callable[[Transaction, Notification, int], None] = lambda *_: None
        """Called in the transaction that completes a row: what was delivered, and when."""

    def put(self, notifications: Sequence[Notification]) -> None:
        """Take notifications; they are on disk when this returns. Raises Unavailable."""
        raise NotImplementedError

    def pending(self) -> list[Kept]:
        """What waits, the oldest first. Raises Unavailable."""
        raise NotImplementedError

    def dead(self) -> list[Kept]:
        """What was given up, the newest first. Raises Unavailable."""
        raise NotImplementedError

    def resend(self, id: int) -> None:
        """Send a dead one again. Raises NotFound."""
        raise NotImplementedError

    def statuses(self) -> list[LaneStatus]:
        """How every integration does."""
        raise NotImplementedError

    def overdue_ms(self) -> int:
        """For how long the oldest has been due; 0 when nothing waits."""
        raise NotImplementedError

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set."""
        raise NotImplementedError

"""What deliveries leave on the timeline: each that succeeded or was given up, and failures, of which those that repeat
themselves are told once a minute with their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from setpoint.alert.notify.model import Notification
from setpoint.database import Transaction
from setpoint.timeline import SUMMARY_MAX, Event, Timeline

__all__ = ["DEAD", "FAILED", "SENT", "Teller"]

SENT, FAILED, DEAD = "notification.sent", "notification.failed", "notification.dead"
_EVERY_MS = 60_000
_ALERTS_NAMED = 20


@dataclass(slots=True)
class _Untold:
    """Failures of a lane since it was last told of one."""

    told_ms: int
    error: str
    count: int = 0
    since_ms: int = 0
    notification: Notification | None = None


class Teller:
    """Writes the events in the caller's transaction; belongs to one thread."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._untold: dict[tuple[str, str], _Untold] = {}

    def sent(
        self,
        transaction: Transaction,
        notification: Notification,
        *,
        id: int,
        attempts: int,
        key: str,
        at_ms: int,
    ) -> list[Event]:
        """It was delivered, after failures that nobody was told of, perhaps."""
        return [
            *self.rest(transaction, _lane(notification), at_ms),
            self._record(
                transaction,
                SENT,
                f"{_where(notification)} told: {_what(notification)}",
                notification,
                at_ms,
                {"notification": id, "attempts": attempts, "key": key},
            ),
        ]

    def failed(
        self,
        transaction: Transaction,
        notification: Notification,
        *,
        id: int,
        error: str,
        kind: str,
        at_ms: int,
    ) -> list[Event]:
        """An attempt failed: told at once, unless the same was told within the last minute."""
        lane = _lane(notification)
        known = self._untold.get(lane)
        if known is not None and 0 <= at_ms - known.told_ms < _EVERY_MS:
            known.count += 1
            known.since_ms = known.since_ms or at_ms
            known.error, known.notification = error, notification
            return []
        count = 1 + (known.count if known else 0)
        since_ms = known.since_ms if known and known.count else at_ms
        self._untold[lane] = _Untold(at_ms, error)
        return [
            self._failure(
                transaction,
                notification,
                error,
                count,
                at_ms,
                {"notification": id, "kind": kind, "since_ms": since_ms},
            )
        ]

    def rest(self, transaction: Transaction, lane: tuple[str, str], at_ms: int) -> list[Event]:
        """The failures of a lane that nobody was told of yet."""
        known = self._untold.pop(lane, None)
        if known is None or known.notification is None:
            return []
        data = {"since_ms": known.since_ms}
        return [self._failure(transaction, known.notification, known.error, known.count, at_ms, data)]

    def dead(
        self,
        transaction: Transaction,
        notification: Notification,
        *,
        id: int,
        attempts: int,
        error: str,
        at_ms: int,
    ) -> Event:
        """It is given up."""
        summary = (
            f"{_where(notification)} was not told after {attempts} attempts ({error}): {_what(notification)}"
        )
        data = {"notification": id, "attempts": attempts, "error": error}
        return self._record(transaction, DEAD, summary, notification, at_ms, data)

    def _failure(  # noqa: PLR0917 — what an event is made of
        self,
        transaction: Transaction,
        notification: Notification,
        error: str,
        count: int,
        at_ms: int,
        data: dict[str, Any],
    ) -> Event:
        where = _where(notification)
        told = f"{count} attempts to tell {where} failed" if count > 1 else f"{where} could not be told"
        summary = f"{told} ({error}): {_what(notification)}"
        return self._record(
            transaction, FAILED, summary, notification, at_ms, {"error": error, "count": count, **data}
        )

    def _record(  # noqa: PLR0917 — what an event is made of
        self,
        transaction: Transaction,
        kind: str,
        summary: str,
        notification: Notification,
        at_ms: int,
        data: dict[str, Any],
    ) -> Event:
        common = notification.common()
        named = {
            "receiver": notification.receiver,
            "integration": notification.integration,
            "reason": notification.reason,
            "group_key": notification.group_key[:1000],
            "group_labels": dict(notification.group_labels),
            "firing": len(notification.firing),
            "resolved": len(notification.resolved),
            "alerts": [alert.fingerprint for alert in notification.alerts[:_ALERTS_NAMED]],
            "bundled": notification.bundled,
        }
        return self._timeline.record(
            transaction,
            kind,
            _storable(summary)[:SUMMARY_MAX],
            service=_storable(common.get("service", ""))[:255],
            data=named | data,
            at_ms=max(0, at_ms),
        )


def _storable(text: str) -> str:
    """Without what no database stores as text."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode()


def _lane(notification: Notification) -> tuple[str, str]:
    return notification.receiver, notification.integration


def _where(notification: Notification) -> str:
    return f"{notification.receiver_name} ({notification.integration})"


def _what(notification: Notification) -> str:
    """How much fires and ended, and of what."""
    if notification.message is not None:
        return notification.message.title
    parts = []
    if notification.firing:
        parts.append(f"{len(notification.firing)} firing")
    if notification.resolved:
        parts.append(f"{len(notification.resolved)} resolved")
    names = list(dict.fromkeys(alert.name for alert in notification.alerts if alert.name))
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    told = f"{', '.join(parts) or 'nothing'}: {', '.join(names[:3])}{more}"
    return told if notification.bundled == 1 else f"{told} ({notification.bundled} notifications in one)"

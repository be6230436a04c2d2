"""The body of a webhook request: Alertmanager's version 4, so that whatever reads that reads this. Pure.

Setpoint's own fields stand beside the known ones: `values` (the numbers behind an alert), `source` (who brought it),
and `bundled` (of how many notifications the message was made).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from setpoint.alert.model import NEVER, Alert
from setpoint.alert.notify.model import Message, Notification
from setpoint.clock import rfc3339

__all__ = ["REASONS", "instant", "message_of", "payload_of"]

REASONS: Final[Mapping[str, str]] = {
    "first": "first notification",
    "new_alerts": "new alerts in group",
    "new_resolved": "new resolved alerts",
    "repeat": "repeat interval elapsed",
    "all_resolved": "all alerts resolved",
}
"""Alertmanager's words for why it notifies."""


def message_of(message: Message, receiver: str, external_url: str) -> dict[str, Any]:
    """The body of what is no alert: its kind and its data, with the same as text."""
    return {
        "version": "setpoint/v1",
        "receiver": receiver,
        "externalURL": external_url,
        "title": message.title,
        "text": message.text,
        **message.data,
    }


def payload_of(notification: Notification, external_url: str, max_alerts: int = 0) -> dict[str, Any]:
    """The body; of more than `max_alerts` (0: no limit) the first are told, and `truncatedAlerts` says of the rest."""
    ended = frozenset(notification.resolved)
    told = notification.alerts[:max_alerts] if max_alerts > 0 else notification.alerts
    return {
        "version": "4",
        "groupKey": notification.group_key,
        "truncatedAlerts": notification.truncated + len(notification.alerts) - len(told),
        "status": "firing" if notification.is_firing else "resolved",
        "receiver": notification.receiver_name,
        "groupLabels": dict(notification.group_labels),
        "commonLabels": notification.common(),
        "commonAnnotations": notification.common("annotations"),
        "externalURL": external_url,
        "notification_reason": REASONS[notification.reason],
        "alerts": [
            _alert(alert, is_over=alert.fingerprint in ended, at_ms=notification.at_ms) for alert in told
        ],
        "bundled": notification.bundled,
    }


def _alert(alert: Alert, *, is_over: bool, at_ms: int) -> dict[str, Any]:
    end_ms = alert.ends_ms if alert.ends_ms is not None else at_ms
    return {
        "status": "resolved" if is_over else "firing",
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "startsAt": instant(alert.starts_ms),
        "endsAt": instant(end_ms) if is_over else NEVER,
        "generatorURL": alert.generator_url,
        "fingerprint": alert.fingerprint,
        "source": alert.source,
        "values": {name: _number(value) for name, value in alert.values.items()},
    }


def _number(value: float | str | None) -> float | str | None:
    """JSON has no word for what is no number."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def instant(at_ms: int) -> str:
    """RFC 3339; what lies beyond what it can write stands at its edge."""
    return rfc3339(min(max(at_ms, 0), 253_402_300_799_999))

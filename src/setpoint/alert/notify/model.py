"""A notification: what one integration of one receiver is told of one group of alerts, and how it became what it is.

The dispatcher makes it, the outbox keeps it as JSON in a row, a channel sends it, and the notification log remembers
what of it was delivered. Two that follow each other before the first was heard become one (`merged`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from setpoint.alert.model import Alert, common_of

__all__ = ["TARGET", "Message", "Notification", "Reason", "bundled", "merged", "name_of_target"]

TARGET = "target:"
"""What receivers that stand for notification targets are called, before the target's key (`alert.target`)."""

Reason = Literal["first", "new_alerts", "new_resolved", "repeat", "all_resolved", "message"]

_BUNDLED_ALERTS_MOST = 1000


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent instead of alerts, such as a report: `text` is Markdown, `html` the same for an e-mail, and `data`
    the same as JSON, of which `kind` says what it is.
    """

    title: str
    text: str
    html: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Notification:
    """What an integration is told of a group. `alerts` are as they are sent; `firing` and `resolved` are their
    fingerprints, and those of what `truncated` alerts left out. `at_ms` (Unix milliseconds) is when it was decided.

    `bundled` says of how many notifications it is made: more than one when a contact's rate limit was reached. With a
    `message` it holds no alerts.
    """

    receiver: str
    integration: str
    group_key: str
    group_labels: Mapping[str, str]
    alerts: tuple[Alert, ...]
    firing: tuple[str, ...]
    resolved: tuple[str, ...]
    reason: Reason
    at_ms: int
    truncated: int = 0
    bundled: int = field(default=1)
    message: Message | None = None

    @property
    def receiver_name(self) -> str:
        """Its receiver as people know it: of a notification target only the name."""
        return name_of_target(self.receiver) or self.receiver

    @property
    def is_firing(self) -> bool:
        """Whether something of it fires."""
        return bool(self.firing)

    def common(self, of: Literal["labels", "annotations"] = "labels") -> dict[str, str]:
        """What all its alerts have in common."""
        return common_of([getattr(alert, of) for alert in self.alerts])

    def encoded(self) -> str:
        """As JSON, for a row."""
        data = {name: getattr(self, name) for name in _PLAIN}
        data["group_labels"] = dict(self.group_labels)
        data["alerts"] = [_written(alert) for alert in self.alerts]
        if self.message is not None:
            data["message"] = asdict(self.message)
        return json.dumps(data, ensure_ascii=True, allow_nan=True, separators=(",", ":"))

    @classmethod
    def decoded(cls, text: str) -> Notification:
        """What `encoded` wrote."""
        data = json.loads(text)
        data["alerts"] = tuple(
            Alert(**{**alert, "targets": tuple(alert.get("targets", ()))}) for alert in data["alerts"]
        )
        data["firing"], data["resolved"] = tuple(data["firing"]), tuple(data["resolved"])
        if "message" in data:
            data["message"] = Message(**data["message"])
        return cls(**data)


_PLAIN = (
    "receiver", "integration", "group_key", "firing", "resolved", "reason", "at_ms", "truncated", "bundled",
)  # fmt: skip


_ALERT = ("generator_url", "is_timeout", "source", "targets", "fingerprint")


def _written(alert: Alert) -> dict[str, Any]:
    """An alert without what is empty. Field by field: `asdict` copies all of it, ten times as slowly."""
    found: dict[str, Any] = {
        "labels": dict(alert.labels),
        "starts_ms": alert.starts_ms,
        "updated_ms": alert.updated_ms,
    }
    for name in _ALERT:
        if (value := getattr(alert, name)) not in (None, "", (), False):
            found[name] = value
    for name in ("annotations", "values"):
        if value := getattr(alert, name):
            found[name] = dict(value)
    if alert.ends_ms is not None:
        found["ends_ms"] = alert.ends_ms
    return found


def name_of_target(receiver: str) -> str:
    """The name of the notification target that a receiver stands for; empty for others."""
    return receiver.removeprefix(TARGET).rpartition(" ")[0] if receiver.startswith(TARGET) else ""


def merged(older: Notification, newer: Notification) -> Notification:
    """The newer one, which also tells of every alert that only the older one held: nobody heard of those. One that has
    ended by then goes out as resolved.
    """
    held = {*newer.firing, *newer.resolved}
    left = [alert for alert in older.alerts if alert.fingerprint not in held]
    known = {alert.fingerprint for alert in left}
    gone = [one for one in (*older.firing, *older.resolved) if one not in held and one not in known]
    ended = {alert.fingerprint for alert in left if alert.is_resolved(newer.at_ms)} | set(older.resolved)
    untold = [alert.fingerprint for alert in left] + gone
    return replace(
        newer,
        alerts=(*newer.alerts, *left),
        firing=(*newer.firing, *(one for one in untold if one not in ended)),
        resolved=(*newer.resolved, *(one for one in untold if one in ended)),
        reason="first" if older.reason == "first" and newer.reason != "all_resolved" else newer.reason,
        truncated=newer.truncated + len(gone),
    )


def bundled(notifications: Sequence[Notification]) -> Notification:
    """One message of several notifications to one contact, oldest first; of an alert that several hold, it tells the
    newest state.
    """
    if len(notifications) == 1:
        return notifications[0]
    alerts: dict[str, tuple[Alert, bool]] = {}
    beyond = 0
    for one in notifications:
        ended = set(one.resolved)
        beyond += one.truncated
        for alert in one.alerts:
            alerts.pop(alert.fingerprint, None)
            alerts[alert.fingerprint] = alert, alert.fingerprint in ended
    kept = sorted(alerts.values(), key=lambda one: one[1])  # what fires first, if not all are told
    told = kept[:_BUNDLED_ALERTS_MOST]
    first = notifications[0]
    return replace(
        notifications[-1],
        group_key="; ".join(dict.fromkeys(one.group_key for one in notifications))[:4000],
        group_labels=common_of([one.group_labels for one in notifications]),
        alerts=tuple(alert for alert, _ in told),
        firing=tuple(alert.fingerprint for alert, is_over in kept if not is_over),
        resolved=tuple(alert.fingerprint for alert, is_over in kept if is_over),
        reason=first.reason,
        truncated=beyond + len(kept) - len(told),
        bundled=sum(one.bundled for one in notifications),
    )

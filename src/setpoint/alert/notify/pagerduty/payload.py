"""The event that PagerDuty gets of a notification: a trigger while something fires, then a resolve, under one key for
each group. Pure but for the templates, which never fail.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from setpoint.alert.notify.model import Notification

__all__ = ["BYTES_MOST", "dedup_key", "encoded", "event_v1", "event_v2", "severity_of"]

BYTES_MOST: Final = 512_000
_SUMMARY_MOST = 1024
_SEVERITIES: Final = ("critical", "error", "warning", "info")
_SEVERITY_OF: Final[Mapping[str, str]] = {
    "page": "critical",
    "high": "critical",
    "fatal": "critical",
    "emergency": "critical",
    "warn": "warning",
    "ticket": "warning",
    "low": "info",
    "none": "info",
}
_INSTANCES = '{{{{ template "pagerduty.default.instances" .Alerts.{0} }}}}'
_DETAILS: Final[Mapping[str, str]] = {
    "firing": _INSTANCES.format("Firing"),
    "resolved": _INSTANCES.format("Resolved"),
    "num_firing": "{{ .Alerts.Firing | len }}",
    "num_resolved": "{{ .Alerts.Resolved | len }}",
}

Tell = Callable[[str], str]


def dedup_key(notification: Notification) -> str:
    """What joins the events of a group to one incident, as Alertmanager makes it."""
    return hashlib.sha256(notification.group_key.encode("utf-8", "replace")).hexdigest()


def severity_of(text: str) -> str:
    """One of PagerDuty's severities, for whatever word stands in a label."""
    word = text.strip().lower()
    return word if word in _SEVERITIES else _SEVERITY_OF.get(word, "error")


def event_v2(notification: Notification, settings: Mapping[str, Any], tell: Tell, key: str) -> dict[str, Any]:
    """The event for a routing key."""
    client = tell(str(settings.get("client") or '{{ template "pagerduty.default.client" . }}'))
    severity = str(settings.get("severity") or "{{ .CommonLabels.severity }}")
    payload: dict[str, Any] = {
        "summary": _summary(settings, tell),
        "source": tell(str(settings.get("source") or "")) or client,
        "severity": severity_of(tell(severity)),
        "custom_details": _details(settings, tell),
    }
    for name in ("class", "component", "group"):
        if settings.get(name):
            payload[name] = tell(str(settings[name]))
    return {
        "routing_key": key,
        "event_action": "trigger" if notification.is_firing else "resolve",
        "dedup_key": dedup_key(notification),
        "client": client,
        "client_url": _client_url(settings, tell),
        "payload": payload,
        "links": _links(notification, settings, tell),
        "images": _images(settings, tell),
    }


def event_v1(notification: Notification, settings: Mapping[str, Any], tell: Tell, key: str) -> dict[str, Any]:
    """The event for a service key."""
    event: dict[str, Any] = {
        "service_key": key,
        "event_type": "trigger" if notification.is_firing else "resolve",
        "incident_key": dedup_key(notification),
        "description": _summary(settings, tell),
        "details": _details(settings, tell),
    }
    if notification.is_firing:
        event["client"] = tell(str(settings.get("client") or '{{ template "pagerduty.default.client" . }}'))
        event["client_url"] = _client_url(settings, tell)
    return event


def encoded(event: dict[str, Any]) -> bytes:
    """The event as JSON; without its details, links and images where it is larger than PagerDuty takes."""
    body = json.dumps(event, allow_nan=False).encode()
    if len(body) <= BYTES_MOST:
        return body
    less = {
        "error": f"the details were left out: with them the event has {len(body):,} bytes, over {BYTES_MOST:,}"
    }
    if "payload" in event:
        event = {**event, "payload": {**event["payload"], "custom_details": less}}
    else:
        event = {**event, "details": less}
    body = json.dumps(event, allow_nan=False).encode()
    if len(body) > BYTES_MOST:
        body = json.dumps({**event, "links": [], "images": []}, allow_nan=False).encode()
    return body


def _summary(settings: Mapping[str, Any], tell: Tell) -> str:
    text = tell(
        str(settings.get("description") or '{{ template "pagerduty.default.description" . }}')
    ).strip()
    text = text or "an alert without a description"
    return text if len(text) <= _SUMMARY_MOST else text[: _SUMMARY_MOST - 1] + "…"


def _client_url(settings: Mapping[str, Any], tell: Tell) -> str:
    return tell(str(settings.get("client_url") or '{{ template "pagerduty.default.clientURL" . }}'))


def _details(settings: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
    own = settings.get("details")
    written = {**_DETAILS, **(own if isinstance(own, Mapping) else {})}
    return {str(name): _told(value, tell) for name, value in written.items()}


def _told(value: Any, tell: Tell) -> Any:
    if isinstance(value, str):
        return tell(value)
    if isinstance(value, Mapping):
        return {str(name): _told(one, tell) for name, one in value.items()}
    if isinstance(value, list):
        return [_told(one, tell) for one in value]
    return value


def _links(notification: Notification, settings: Mapping[str, Any], tell: Tell) -> list[dict[str, str]]:
    found = [
        {"href": tell(str(one.get("href") or "")), "text": tell(str(one.get("text") or ""))}
        for one in settings.get("links") or ()
    ]
    runbook = notification.common("annotations").get("runbook_url", "")
    if runbook.startswith(("http://", "https://")):
        found.append({"href": runbook, "text": "Runbook"})
    return [one for one in found if one["href"]]


def _images(settings: Mapping[str, Any], tell: Tell) -> list[dict[str, str]]:
    found = [
        {name: tell(str(one.get(name) or "")) for name in ("src", "alt", "href")}
        for one in settings.get("images") or ()
    ]
    return [one for one in found if one["src"]]

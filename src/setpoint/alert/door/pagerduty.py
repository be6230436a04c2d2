"""PagerDuty's Events API v2: what stands in an event, and what is wrong with it in PagerDuty's own words.

Clients show these sentences to people and match some of them, so they read as PagerDuty writes them. The facts are
from PagerDuty's documentation (events-API-v2, 01 to 05) and from answers that users of its clients reported.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from setpoint.alert.door.told import Action, Told, faults_of, instant_of, is_web_address
from setpoint.errors import InvalidInput, Problem

__all__ = ["BODY_BYTES_MOST", "ChangeEvent", "read_change", "read_event", "routing_key_of"]

BODY_BYTES_MOST: Final = 512 << 10
KEY_CHARACTERS: Final = 32
_ACTIONS = ("trigger", "acknowledge", "resolve")
_SEVERITIES = ("critical", "warning", "error", "info")
_SUMMARY_MOST = 1024
_DEDUP_MOST = 255
_NAME_MOST = 200
_DETAIL_MOST = 4096
_DETAILS_MOST = 60
_CONTEXT_MOST = 10


@dataclass(frozen=True, slots=True)
class ChangeEvent:
    """A change that is no problem: a deploy, a new secret. `at_ms` None: now."""

    summary: str
    source: str
    at_ms: int | None
    details: Mapping[str, Any]
    links: tuple[str, ...]


def routing_key_of(body: Any) -> str:
    """The routing key of an event. Raises InvalidInput with PagerDuty's sentence."""
    if not isinstance(body, Mapping):
        _refuse(["Event object is no JSON object"])
    key = body.get("routing_key")
    if key is None or key == "":
        _refuse(["'routing_key' is missing or blank"])
    if not isinstance(key, str):
        _refuse(["'routing_key' must be a string"])
    faults = []
    if len(key) != KEY_CHARACTERS:
        faults.append(f"Length of 'routing_key' is incorrect (should be {KEY_CHARACTERS} characters)")
    if not (key.isascii() and key.isalnum()):
        faults.append("'routing_key' cannot contain non-alphanumeric characters.")
    if faults:
        _refuse(faults)
    return cast(str, key)


def read_event(body: Mapping[str, Any], new_key: str) -> Told:
    """What an alert event tells; a trigger without a key gets `new_key`. Raises InvalidInput with every fault."""
    faults: list[str] = []
    action = _text(body, "event_action", faults, is_required=True)
    if action and action not in _ACTIONS:
        faults.append(
            "'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge' or 'resolve')"
        )
    key = _text(body, "dedup_key", faults, is_required=action in _ACTIONS[1:], most=_DEDUP_MOST)
    if action != "trigger":
        if faults:
            _refuse(faults)
        return Told(cast(Action, action), key=key)
    payload = body.get("payload")
    if not isinstance(payload, Mapping):
        faults.append("'payload' is missing or blank")
        payload = {}
    summary = _text(payload, "summary", faults, is_required=True, most=_SUMMARY_MOST, inside="payload.")
    source = _text(payload, "source", faults, is_required=True, inside="payload.")
    severity = _text(payload, "severity", faults, is_required=True, inside="payload.")
    if severity and severity not in _SEVERITIES:
        among = "'critical', 'warning', 'error' or 'info'"
        faults.append(f"'payload.severity' is invalid (must be one of the following: {among})")
    more = {name: _text(payload, name, faults, inside="payload.") for name in ("component", "group", "class")}
    client, address = (_text(body, name, faults) for name in ("client", "client_url"))
    starts_ms = _instant(payload, faults)
    annotations = {"summary": summary, **_details(payload.get("custom_details")), **_context(body, faults)}
    if client:
        annotations.setdefault("client", client)
    labels = {
        "alertname": more["class"] or summary[:_NAME_MOST],
        "dedup_key": key or new_key,
        "source": source,
        "severity": severity,
        **{name: text for name, text in more.items() if text},
    }
    address = address if is_web_address(address) else ""
    if not faults:
        faults += [str(fault) for fault in faults_of(labels, annotations, address, "payload")]
    if faults:
        _refuse(faults)
    return Told(
        "trigger",
        labels,
        annotations,
        starts_ms,
        key=key or new_key,
        generator_url=address,
        names_itself=bool(more["class"]),
    )


def read_change(body: Mapping[str, Any]) -> ChangeEvent:
    """What a change event tells. Raises InvalidInput with every fault."""
    faults: list[str] = []
    payload = body.get("payload")
    if not isinstance(payload, Mapping):
        faults.append("'payload' is missing or blank")
        payload = {}
    summary = _text(payload, "summary", faults, is_required=True, most=_SUMMARY_MOST, inside="payload.")
    source = _text(payload, "source", faults, inside="payload.")
    at_ms = _instant(payload, faults)
    links = tuple(_context(body, faults).values())
    details = payload.get("custom_details")
    if faults:
        _refuse(faults)
    return ChangeEvent(summary, source, at_ms, details if isinstance(details, Mapping) else {}, links)


def _text(
    found: Mapping[str, Any],
    name: str,
    faults: list[str],
    *,
    is_required: bool = False,
    most: int = _SUMMARY_MOST,
    inside: str = "",
) -> str:
    text = found.get(name)
    if text is None or (isinstance(text, str) and not text.strip()):
        if is_required:
            faults.append(f"'{inside}{name}' is missing or blank")
        return ""
    if not isinstance(text, str):
        faults.append(f"'{inside}{name}' must be a string")
        return ""
    if len(text) > most:
        faults.append(f"'{inside}{name}' is too long (maximum is {most} characters)")
        return ""
    return text


def _instant(payload: Mapping[str, Any], faults: list[str]) -> int | None:
    text = payload.get("timestamp")
    if text is None or text == "":
        return None
    try:
        if isinstance(text, str):
            return instant_of(text)
    except ValueError:
        pass
    faults.append("'payload.timestamp' is invalid (must be an ISO 8601 time such as 2026-11-23T14:00:00Z)")
    return None


def _details(details: Any) -> dict[str, str]:
    """Custom details as annotations, each its own; what is no object is one. `summary` stays the event's."""
    if details is None or details in ("", {}):
        return {}
    if not isinstance(details, Mapping):
        return {"custom_details": _shown(details)}
    kept = list(details.items())[:_DETAILS_MOST]
    left_out = len(details) - len(kept)
    named = {
        ("detail_summary" if name == "summary" else name or "detail"): _shown(item) for name, item in kept
    }
    return named | ({"details_left_out": str(left_out)} if left_out else {})


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _DETAIL_MOST else text[: _DETAIL_MOST - 1] + "…"


def _context(body: Mapping[str, Any], faults: list[str]) -> dict[str, str]:
    """Addresses of `links` and `images`, those that a page may link to, as annotations `link`, `link_2`, `image`, …."""
    found: dict[str, str] = {}
    for name, field in (("links", "href"), ("images", "src")):
        items = body.get(name)
        if items is None:
            continue
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            faults.append(f"'{name}' must be an array of objects")
            continue
        addresses = [address for item in items if isinstance(address := item.get(field), str)]
        shown = [address for address in addresses if is_web_address(address)][:_CONTEXT_MOST]
        for number, address in enumerate(shown, 1):
            found[name[:-1] + (f"_{number}" if number > 1 else "")] = address
    return found


def _refuse(faults: list[str]) -> Any:
    raise InvalidInput(problems=tuple(Problem(fault) for fault in faults))

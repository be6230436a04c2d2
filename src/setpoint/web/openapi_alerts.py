"""What `openapi` cannot read of the doors for alerts, which take their bodies as they come."""

from __future__ import annotations

from typing import Any

__all__ = ["BODIES", "PARAMETERS"]

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_LABELS: Schema = {"type": "object", "additionalProperties": _TEXT}
_INSTANT: Schema = {"type": "string", "format": "date-time"}
_ALERT: Schema = {
    "type": "object",
    "properties": {
        "labels": _LABELS | {"minProperties": 1},
        "annotations": _LABELS,
        "startsAt": _INSTANT,
        "endsAt": _INSTANT,
        "generatorURL": _TEXT,
    },
    "required": ["labels"],
}
_MATCHER: Schema = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "value": _TEXT,
        "isRegex": {"type": "boolean"},
        "isEqual": {"type": "boolean", "default": True},
    },
    "required": ["name", "value", "isRegex"],
}
_SILENCE: Schema = {
    "type": "object",
    "properties": {
        "id": _TEXT,
        "matchers": {"type": "array", "items": _MATCHER, "minItems": 1},
        "startsAt": _INSTANT,
        "endsAt": _INSTANT,
        "createdBy": _TEXT,
        "comment": _TEXT,
    },
    "required": ["matchers", "startsAt", "endsAt", "createdBy", "comment"],
}
_KEY: Schema = {"type": "string", "pattern": "^[A-Za-z0-9]{32}$"}
_LINKS: Schema = {"type": "array", "items": {"type": "object"}}


def _payload(*required: str) -> Schema:
    names = ("source", "component", "group", "class")
    properties: Schema = dict.fromkeys(names, _TEXT) | {
        "summary": {"type": "string", "minLength": 1, "maxLength": 1024},
        "severity": {"enum": ["critical", "error", "warning", "info"]},
        "timestamp": _INSTANT,
        "custom_details": {"type": "object"},
    }
    return {"type": "object", "properties": properties, "required": list(required)}


_EVENT: Schema = {
    "type": "object",
    "properties": {
        "routing_key": _KEY,
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "maxLength": 255},
        "payload": _payload("summary", "source", "severity"),
        "links": _LINKS,
        "images": _LINKS,
        "client": _TEXT,
        "client_url": _TEXT,
    },
    "required": ["routing_key", "event_action"],
}
_CHANGE: Schema = {
    "type": "object",
    "properties": {"routing_key": _KEY, "payload": _payload("summary"), "links": _LINKS},
    "required": ["routing_key", "payload"],
}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


BODIES: dict[str, Schema] = {
    "POST /api/v2/alerts": _json({"type": "array", "items": _ALERT}),
    "POST /api/v2/silences": _json(_SILENCE),
    "POST /v2/enqueue": _json(_EVENT),
    "POST /v2/change/enqueue": _json(_CHANGE),
    "POST /alerts/in/{source}": {
        **_json({}),
        "application/cloudevents+json": {"schema": {"type": "object"}},
        "application/cloudevents-batch+json": {"schema": {"type": "array"}},
    },
    "POST /alert-sources/try": _json(
        {
            "type": "object",
            "properties": {"spec": {}, "body": {}, "headers": _LABELS},
            "additionalProperties": False,
        }
    ),
}
"""Request bodies by method and path."""


def _query(name: str, about: str, schema: Schema = _TEXT) -> Schema:
    return {"name": name, "in": "query", "required": False, "description": about, "schema": schema}


def _states(*names: str) -> list[Schema]:
    return [_query(name, "false: without these.", {"type": "boolean", "default": True}) for name in names]


_FILTER = _query("filter", 'A matcher such as severity="page"; may be repeated.', _TEXTS)
_RECEIVER = _query("receiver", "An expression for the name of the receiver.")

PARAMETERS: dict[str, list[Schema]] = {
    "/api/v2/alerts": [_FILTER, _RECEIVER, *_states("active", "silenced", "inhibited", "unprocessed")],
    "/api/v2/alerts/groups": [_FILTER, _RECEIVER, *_states("active", "silenced", "inhibited", "muted")],
    "/api/v2/silences": [_FILTER, *_states("active", "pending", "expired")],
}
"""Query parameters by path, of GET."""

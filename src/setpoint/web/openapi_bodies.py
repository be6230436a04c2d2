"""What `openapi` cannot read from signatures: parameters that a handler takes from form or URL, bodies of forms and of
telemetry's doors.
"""

from __future__ import annotations

from typing import Any

from setpoint.access import ROLES
from setpoint.access.password import PASSWORD_MAX, PASSWORD_MIN
from setpoint.telemetry.receive.receiver import SIGNALS
from setpoint.telemetry.receive.remote_write import PATHS
from setpoint.web import openapi_alerts

__all__ = ["BODIES", "PARAMETERS"]

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": {"type": "string"}}


def _query(name: str, about: str, schema: Schema | None = None, *, required: bool = False) -> Schema:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": about,
        "schema": schema or _TEXT,
    }


_QUERY = _query("query", "PromQL.", required=True)
_START = _query("start", "The first instant: Unix seconds or RFC 3339.")
_END = _query("end", "The last instant: Unix seconds or RFC 3339.")
_LIMIT = _query("limit", "How many at most; 0 is all.", {"type": "integer", "minimum": 0})
_MATCH = _query("match[]", "A selector; may be repeated.", _TEXTS)
_COST = [
    _query("timeout", "How long it may take, such as 30s."),
    _LIMIT,
    _query("lookback_delta", "How far back a sample may lie, such as 5m."),
    _query("stats", "Anything: also tell what the query cost."),
]

PARAMETERS: dict[str, list[Schema]] = {
    **openapi_alerts.PARAMETERS,
    "/api/v1/query": [_QUERY, _query("time", "The instant; now when left out."), *_COST],
    "/api/v1/query_range": [
        _QUERY,
        _START | {"required": True},
        _END | {"required": True},
        _query("step", "The step, such as 15s.", required=True),
        *_COST,
    ],
    "/api/v1/query_exemplars": [_QUERY, _START, _END],
    "/api/v1/series": [_MATCH | {"required": True}, _START, _END, _LIMIT],
    "/api/v1/labels": [_MATCH, _START, _END, _LIMIT],
    "/api/v1/label/{name}/values": [_MATCH, _START, _END, _LIMIT],
    "/api/v1/metadata": [
        _query("metric", "One metric."),
        _LIMIT,
        _query("limit_per_metric", "How many of each."),
    ],
    "/api/v1/rules": [
        _query("type", "alert or record."),
        _query("rule_name[]", "The name of a rule."),
        _query("rule_group[]", "The name of a group."),
        _query("file[]", "The file of a group."),
        _MATCH,
        _query("exclude_alerts", "true leaves the alerts out."),
        _query("group_limit", "How many groups at a time."),
        _query("group_next_token", "Where the answer before ended."),
    ],
    "/api/v1/format_query": [_QUERY],
    "/api/v1/parse_query": [_QUERY],
}
"""Query parameters by path; the same fields are taken as a form by POST."""


def _fields(required: tuple[str, ...] = (), **properties: Schema) -> Schema:
    """A body that may be JSON or a form."""
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    return {"application/json": {"schema": schema}, "application/x-www-form-urlencoded": {"schema": schema}}


_NAME: Schema = {"type": "string", "pattern": "^[a-z0-9][a-z0-9._@+-]{0,62}$"}
_PASSWORD: Schema = {"type": "string", "minLength": PASSWORD_MIN, "maxLength": PASSWORD_MAX}
_ROLE: Schema = {"type": "string", "enum": list(ROLES)}
_POWER: Schema = {"type": "string", "enum": ["sender", *ROLES]}
_INSTANT: Schema = {"type": "string", "format": "date-time"}
_LABELS: Schema = {"type": "object", "additionalProperties": _TEXT}
_ALERT: Schema = {
    "type": "object",
    "properties": {
        "labels": _LABELS,
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
        "isEqual": {"type": "boolean"},
    },
    "required": ["name", "value"],
}
_BYTES: Schema = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}

BODIES: dict[str, Schema] = {
    **openapi_alerts.BODIES,
    "POST /login": _fields(name=_TEXT, password=_TEXT, token=_TEXT, next=_TEXT),
    "POST /logout": _fields(everywhere=_TEXT),
    "POST /users": _fields(
        ("name", "password"), name=_NAME, password=_PASSWORD, role=_ROLE, display_name=_TEXT, email=_TEXT
    ),
    "POST /users/{name}": _fields(role=_ROLE, password=_PASSWORD, display_name=_TEXT, email=_TEXT),
    "POST /users/{name}/delete": _fields(),
    "POST /account/password": _fields(("old", "new"), old=_TEXT, new=_PASSWORD),
    "POST /tokens": _fields(("name",), name=_NAME, role=_POWER, expires=_TEXT),
    "POST /tokens/{name}/revoke": _fields(),
    "POST /silences": _fields(
        ("matchers", "comment"),
        matchers=_TEXT,
        comment=_TEXT,
        duration=_TEXT,
        starts=_TEXT,
        every=_TEXT,
        zone=_TEXT,
        until=_TEXT,
        created_by=_TEXT,
        id=_TEXT,
    ),
    "POST /silences/preview": _fields(matchers=_TEXT, every=_TEXT, zone=_TEXT, duration=_TEXT),
    "POST /silences/{silence_id}/extend": _fields(duration=_TEXT),
    "POST /objectives/{name}/backtest": {
        "application/yaml": {"schema": _TEXT},
        **_fields(yaml=_TEXT, against_yaml=_TEXT, policies=_TEXT, against=_TEXT, since=_TEXT, until=_TEXT),
    },
    "POST /routing/try": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "labels": {"anyOf": [_LABELS, _TEXT]},
                    "at": {"type": ["string", "integer"]},
                },
            }
        }
    },
    "POST /api/v2/alerts": {"application/json": {"schema": {"type": "array", "items": _ALERT}}},
    "POST /api/v2/silences": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "id": _TEXT,
                    "matchers": {"type": "array", "items": _MATCHER},
                    "startsAt": _INSTANT,
                    "endsAt": _INSTANT,
                    "createdBy": _TEXT,
                    "comment": _TEXT,
                },
                "required": ["matchers", "startsAt", "endsAt", "createdBy", "comment"],
            }
        }
    },
    "POST /v2/enqueue": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "routing_key": _TEXT,
                    "event_action": {"type": "string", "enum": ["trigger", "acknowledge", "resolve"]},
                    "dedup_key": _TEXT,
                    "payload": {
                        "type": "object",
                        "properties": {
                            "summary": _TEXT,
                            "source": _TEXT,
                            "severity": {"type": "string", "enum": ["critical", "error", "warning", "info"]},
                            "custom_details": {"type": "object"},
                        },
                    },
                },
                "required": ["routing_key", "event_action"],
            }
        }
    },
    "POST /v2/change/enqueue": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {
                    "routing_key": _TEXT,
                    "payload": {"type": "object", "properties": {"summary": _TEXT}},
                },
                "required": ["routing_key", "payload"],
            }
        }
    },
    "POST /alerts/in/{source}": {"application/json": {"schema": {}}},
    "POST /api/v1/read": {"application/x-protobuf": _BYTES},
    **{f"POST {path}": {"application/x-protobuf": _BYTES} for path in PATHS},
    **{
        f"POST /v1/{signal}": {
            "application/x-protobuf": _BYTES,
            "application/json": {"schema": {"type": "object"}},
        }
        for signal in SIGNALS
    },
}
"""Request bodies by method and path."""

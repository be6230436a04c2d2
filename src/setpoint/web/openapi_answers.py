"""What the main answers look like, for `openapi`: handlers make them themselves, so no signature tells.

`tests/web/test_openapi.py` holds a real server's answers against them.
"""

from __future__ import annotations

from typing import Any

from setpoint.access import ROLES

__all__ = ["ANSWERS", "PROMETHEUS", "SCHEMAS"]

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_MS: Schema = {"type": "integer", "description": "Unix milliseconds."}
_MS_OR_NOT: Schema = {"type": ["integer", "null"], "description": "Unix milliseconds."}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_COUNTS: Schema = {"type": "object", "additionalProperties": _COUNT}
_NEXT: Schema = {"type": ["string", "null"], "description": "The address of the next page."}
_POWERS = ["sender", *ROLES]


def _object(**properties: Schema) -> Schema:
    """An object that has all of these, and may have more."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _items(item: Schema | str, **more: Schema) -> Schema:
    inner = {"$ref": f"#/components/schemas/{item}"} if isinstance(item, str) else item
    return _object(items={"type": "array", "items": inner}, **more)


SCHEMAS: dict[str, Schema] = {
    "User": _object(
        name=_TEXT,
        display_name=_TEXT,
        email=_TEXT,
        role={"type": "string", "enum": list(ROLES)},
        created_ms=_MS,
        created_by=_TEXT,
    ),
    "Token": _object(
        name=_TEXT,
        role={"type": "string", "enum": _POWERS},
        created_ms=_MS,
        created_by=_TEXT,
        expires_ms=_MS_OR_NOT,
        last_used_ms=_MS_OR_NOT,
    ),
    "Event": _object(
        id=_COUNT,
        at_ms=_MS,
        kind=_TEXT,
        service=_TEXT,
        actor=_TEXT,
        summary=_TEXT,
        data={"type": "object"},
        key={"type": ["string", "null"]},
    ),
    "Objective": _object(name=_TEXT, service=_TEXT, state=_TEXT, target={"type": "number"}),
    "Resource": _object(kind=_TEXT, name=_TEXT, revision=_COUNT),
}
"""What several answers hold."""

PROMETHEUS: Schema = {
    "type": "object",
    "properties": {
        "status": {"type": "string", "enum": ["success", "error"]},
        "data": {},
        "errorType": _TEXT,
        "error": _TEXT,
        "warnings": {"type": "array", "items": _TEXT},
        "infos": {"type": "array", "items": _TEXT},
    },
    "required": ["status"],
}
"""The envelope of Prometheus's API."""

_A_USER: Schema = {"$ref": "#/components/schemas/User"}

ANSWERS: dict[str, Schema] = {
    "GET /users": _items("User"),
    "POST /users": _A_USER,
    "POST /users/{name}": _A_USER,
    "GET /tokens": _items("Token"),
    "POST /tokens": {"allOf": [{"$ref": "#/components/schemas/Token"}, _object(token=_TEXT)]},
    "GET /account": _object(
        name=_TEXT, role={"type": "string", "enum": _POWERS}, kind=_TEXT, is_open={"type": "boolean"}
    ),
    "GET /audit": _items("Event", next=_NEXT),
    "GET /timeline": _items("Event", next=_NEXT),
    "POST /api/timeline": {"$ref": "#/components/schemas/Event"},
    "GET /objectives": _items("Objective", total=_COUNT, matching=_COUNT, counts=_COUNTS, next=_NEXT),
    "GET /api/resources": _items("Resource"),
    "GET /datasources": _items({"type": "object"}),
    "GET /targets": {"type": "object"},
    "GET /api/status": _object(
        version=_TEXT, started_ms=_MS, uptime_s={"type": "number"}, objectives=_COUNTS
    ),
    "GET /-/healthy": _object(status=_TEXT),
    "GET /-/ready": _object(status=_TEXT),
    "GET /silences": _items({"type": "object"}, matching=_COUNT, total=_COUNT, counts=_COUNTS, next=_NEXT),
    "GET /alerts": _items({"type": "object"}, matching=_COUNT, total=_COUNT, next=_NEXT),
    "GET /api/v2/alerts": {"type": "array", "items": {"type": "object"}},
    "GET /api/v2/silences": {"type": "array", "items": {"type": "object"}},
    "GET /api/v2/receivers": {"type": "array", "items": _object(name=_TEXT)},
}
"""The schema of an answer by method and path."""

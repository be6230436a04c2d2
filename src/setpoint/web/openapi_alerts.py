"""What `openapi` cannot read of alerts: filters of Alertmanager's API, and the body that is tried at a source."""

from __future__ import annotations

from typing import Any

__all__ = ["BODIES", "PARAMETERS"]

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_LABELS: Schema = {"type": "object", "additionalProperties": _TEXT}


def _json(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


BODIES: dict[str, Schema] = {
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

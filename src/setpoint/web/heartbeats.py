"""Heartbeats: which are expected and when they were heard, which are sent and why they are withheld; and the ping.

A ping is taken from who may send telemetry, or with the heartbeat's own key in the address, for a cron job's curl.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from setpoint.access import allows
from setpoint.alert.heartbeat.book import as_json
from setpoint.app import App
from setpoint.web.page import Parts, json_answer, render, wants_json
from setpoint.web.roles import needs

__all__ = ["router"]

router = APIRouter()


@router.get("/heartbeats")
@needs("viewer")
def list_heartbeats(request: Request, parts: Parts) -> Response:
    items = _items(parts)
    if wants_json(request):
        return json_answer({"items": items})
    states = [one["expect"]["state"] for one in items if one["expect"]]
    counts = {name: states.count(name) for name in ("missed", "waiting", "up") if name in states}
    return render(request, "heartbeats.html", items=items, counts=counts)


@router.api_route("/heartbeats/{name}/ping", methods=["GET", "POST"])
@needs("anyone")
def ping(
    request: Request, parts: Parts, name: str, key: Annotated[str, Query(max_length=8192)] = ""
) -> Response:
    identity = request.state.identity
    # A GET can be made by a page of another site in somebody's browser.
    is_trusted = identity is not None and allows(identity.role, "sender") and request.state.is_same_origin
    parts.heartbeats.admit(name, key, trusted=is_trusted)
    heard = parts.heartbeats.ping(name)
    return json_answer({"heartbeat": name, "state": heard.state, "due_ms": heard.due_ms})


def _items(parts: App) -> list[dict[str, Any]]:
    heard = parts.heartbeats.heard()
    found = []
    for name, spec in parts.heartbeats.specs.items():
        expect = as_json(spec, heard.get(name)) if spec.expect else None
        send = None
        if spec.send:
            status = parts.heartbeat_sender.status(name)
            send = {
                "every": spec.send.every,
                "last_ms": status.last_ms,
                "error": status.error,
                "withheld": list(status.withheld),
            }
        found.append({"name": name, "description": spec.description, "expect": expect, "send": send})
    return found

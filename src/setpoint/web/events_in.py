"""The doors of alert sources: PagerDuty's Events API v2 at /v2/enqueue, everything else at /alerts/in/{source}.

They are open to whoever has the source's key, so the guard of routes lets anyone come this far; `AlertSources.admit`
decides. A 2xx is answered when the alerts are stored. Bodies are read to a bound before anything else is looked at,
because a signature is made over the whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from setpoint.access import allows
from setpoint.alert.door.body import read_json
from setpoint.alert.door.keyed import Taken
from setpoint.alert.door.pagerduty import BODY_BYTES_MOST, read_change, read_event, routing_key_of
from setpoint.alert.door.sources import Source, TooMany, read_told
from setpoint.app import App
from setpoint.errors import InvalidInput, SetpointError, TooLarge, Unavailable
from setpoint.timeline import SUMMARY_MAX
from setpoint.web.alertmanager import alert_threads
from setpoint.web.page import json_answer
from setpoint.web.roles import needs

__all__ = ["BODY_LIMIT_BYTES", "router"]

BODY_LIMIT_BYTES = 2 << 20
_ORIGIN_MOST = 255
_DETAILS_BYTES_MOST = 64 << 10
_PRIVATE = {"Cache-Control": "private, no-store"}

router = APIRouter()


@router.post("/v2/enqueue")
@needs("anyone")
async def enqueue(request: Request) -> Response:
    """An alert event of a PagerDuty client."""
    return await _as_pagerduty(request, _take_event)


@router.post("/v2/change/enqueue")
@needs("anyone")
async def enqueue_change(request: Request) -> Response:
    """A change event of a PagerDuty client, for the timeline."""
    return await _as_pagerduty(request, _take_change)


@router.api_route("/alerts/in/{source}", methods=["POST", "OPTIONS"])
@needs("anyone")
async def bring_alerts(request: Request, source: str) -> Response:
    """The alerts of a source, in its form; or, by OPTIONS, the handshake of CloudEvents."""
    parts: App = request.app.state.parts
    known = parts.alert_sources.get(source)
    if request.method == "OPTIONS":
        return _handshake(request, known)
    identity = request.state.identity
    is_trusted = identity is not None and allows(identity.role, "sender")
    body = await _body(request, BODY_LIMIT_BYTES)
    headers = _headers(request)

    def take() -> Taken:
        parts.alert_sources.admit(known, headers, dict(request.query_params), body, trusted=is_trusted)
        return _counted(parts, known, lambda: read_told(known.spec, known.mapping, headers, body))

    taken = await to_thread.run_sync(take, limiter=alert_threads(request))
    stored = [alert.fingerprint for alert in taken.alerts]
    return json_answer(
        {"stored": stored, "acknowledged": len(taken.acknowledged), "dropped": taken.dropped},
        headers=_PRIVATE,
    )


def _handshake(request: Request, source: Source) -> Response:
    """Consent to deliveries (cloudevents/spec, http-webhook, 4); the callback is never called: no request of ours goes
    where a stranger says.
    """
    origin = request.headers.get("webhook-request-origin", "")
    headers = {"Allow": "POST, OPTIONS"}
    if source.spec.type == "cloudevents" and origin:
        if len(origin) > _ORIGIN_MOST or not origin.isascii() or not origin.isprintable():
            raise InvalidInput("WebHook-Request-Origin is no DNS name; send one such as events.example.com")
        headers["WebHook-Allowed-Origin"] = origin
        headers["WebHook-Allowed-Rate"] = str(source.spec.requests_per_minute)
    return Response(headers=headers)


def _counted(parts: App, source: Source, read: Callable[[], Any]) -> Taken:
    """Read and store what a source sent; who looks at the source sees why something was not taken."""
    try:
        taken = parts.alert_sources.receive(source, read())
    except SetpointError as error:
        parts.alert_sources.refuse(source, error.message)
        raise
    _tell_acknowledged(parts, source, taken)
    return taken


def _tell_acknowledged(parts: App, source: Source, taken: Taken) -> None:
    for alert in taken.acknowledged:
        data = {
            "fingerprint": alert.fingerprint,
            "alertname": alert.name[:SUMMARY_MAX],
            "source": source.name,
        }
        summary = alert.annotations.get("summary", alert.name)
        parts.timeline.append(
            "alert.acknowledged",
            f"acknowledged at {source.name}: {summary}"[:SUMMARY_MAX],
            service=alert.labels.get("service", "")[:255],
            actor=source.name,
            data=data,
            key=f"alert-acknowledged-{alert.fingerprint}-{alert.starts_ms}-{alert.values['acknowledged']}",
        )


async def _as_pagerduty(
    request: Request, take: Callable[[App, Source, Mapping[str, Any]], dict[str, str]]
) -> Response:
    """What `take` answers, with PagerDuty's status and words."""
    parts: App = request.app.state.parts
    try:
        body = await _body(request, BODY_BYTES_MOST)
        said = await to_thread.run_sync(_take, parts, body, take, limiter=alert_threads(request))
        return json_answer({"status": "success"} | said, 202)
    except TooMany as error:
        message = "Requests for this service are arriving too quickly.  Please retry later."
        headers = {"Retry-After": f"{error.retry_after_s:.0f}"}
        return json_answer({"status": "throttle exceeded", "message": message}, 429, headers)
    except Unavailable as error:
        headers = {"Retry-After": f"{max(1.0, error.retry_after_s):.0f}"}
        return json_answer({"status": "unavailable", "message": error.message}, 503, headers)
    except SetpointError as error:
        problems = error.problems if isinstance(error, InvalidInput) else ()
        errors = [str(problem) for problem in problems] or [error.message]
        told = {"status": "invalid event", "message": "Event object is invalid", "errors": errors}
        return json_answer(told, error.http_status)


def _take(
    parts: App, body: bytes, take: Callable[[App, Source, Mapping[str, Any]], dict[str, str]]
) -> dict[str, str]:
    event = read_json(body)
    source = parts.alert_sources.of_routing_key(routing_key_of(event))
    if source is None:
        raise InvalidInput("Invalid routing key")
    parts.alert_sources.pace(source)
    return take(parts, source, event)


def _take_event(parts: App, source: Source, event: Mapping[str, Any]) -> dict[str, str]:
    key = str(uuid.uuid4())

    def read() -> list[Any]:
        nonlocal key
        told = read_event(event, key)
        key = told.key
        return [told]

    _counted(parts, source, read)
    return {"message": "Event processed", "dedup_key": key}


def _take_change(parts: App, source: Source, event: Mapping[str, Any]) -> dict[str, str]:
    change = read_change(event)
    # What changes a service is what attribution looks for under this kind, unless the sender says that it is less.
    kind = "change" if change.details.get("kind") == "change" else "deploy"
    details = dict(change.details) if len(repr(change.details)) <= _DETAILS_BYTES_MOST else {}
    parts.timeline.append(
        kind,
        change.summary[:SUMMARY_MAX],
        service=source.spec.labels.get("service", "")[:255],
        actor=source.name,
        data=details | {"source": change.source, "links": list(change.links)},
        at_ms=None if change.at_ms is None else min(change.at_ms, parts.clock.now_ms()),
    )
    return {"message": "Change event processed"}


def _headers(request: Request) -> dict[str, str]:
    """Headers by their lower-case names; what is sent twice is not told apart, so it is refused."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        if name in found and (name.startswith(("ce-", "x-")) or name in ("authorization", "content-type")):
            raise InvalidInput(f"the header {name} stands twice; send it once")
        found[name] = value
    return found


async def _body(request: Request, most: int) -> bytes:
    length = request.headers.get("content-length", "")
    message = f"the body is larger than {most >> 10:,} KB; send less at a time"
    if length.isdigit() and int(length[:20]) > most:
        raise TooLarge(message)
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise TooLarge(message)
    except ClientDisconnect:
        raise InvalidInput("the sender went away before its body was here") from None
    return bytes(body)

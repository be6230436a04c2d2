"""Alertmanager's API v2, so that Prometheus, vmalert, Grafana and amtool work against Setpoint unchanged.

Shapes, filters, order and refusals are those of Alertmanager (api/v2/api.go and openapi.yaml of 0.34; amtool of 0.25 is
compared in the tests). Posted alerts take the shortest way there is: a bare route, one turn of a thread for reading and
storing, and the empty answer only when `AlertBook.receive` has returned. Lists are written on threads.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.requests import ClientDisconnect

from setpoint import __version__
from setpoint.alert.dispatch.status import AlertStatus, GroupView
from setpoint.alert.door.alertmanager import Refused, read_alerts
from setpoint.alert.model import Alert
from setpoint.alert.route.matcher import Matcher, matches_all, parse_matcher
from setpoint.app import App
from setpoint.clock import rfc3339
from setpoint.errors import InvalidInput, NotFound, SetpointError, Unavailable
from setpoint.web.alertmanager_json import (
    AlertTexts,
    alert_order,
    group_order,
    read_silence,
    silence_json,
    silence_order,
)
from setpoint.web.page import Parts
from setpoint.web.roles import needs

__all__ = ["alert_threads", "router"]

SPOKEN = "0.28.0"
"""The version of Alertmanager whose API this is, for clients that ask for one."""

_THREADS = 64
_FAULTS_SAID = 100
_TRUE = frozenset({"true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"})
_NOBODY = "route:\n  receiver: nobody\nreceivers:\n- name: nobody\n"
_PLAIN = {"Cache-Control": "no-store"}

router = APIRouter()
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Filter:
    """What a request for alerts or groups asks for."""

    matchers: Sequence[Matcher]
    receiver: Matcher | None
    receiver_matchers: Sequence[Matcher]
    active: bool
    silenced: bool
    inhibited: bool
    unprocessed: bool
    muted: bool

    @classmethod
    def of(cls, request: Request) -> _Filter:
        """Raises InvalidInput with Alertmanager's sentence."""
        given = request.query_params
        matchers = [parse_matcher(text) for text in given.getlist("filter")]
        receiver = None
        if (text := given.get("receiver")) is not None:
            try:
                receiver = Matcher("receiver", text, "=~")
            except InvalidInput as error:
                raise InvalidInput(f"failed to parse receiver param: {error.message}") from error
        try:
            receiver_matchers = [parse_matcher(text) for text in given.getlist("receiver_matchers")]
        except InvalidInput as error:
            raise InvalidInput(f"failed to parse receiver_matchers param: {error.message}") from error
        states = [
            _is_true(request, name) for name in ("active", "silenced", "inhibited", "unprocessed", "muted")
        ]
        return cls(matchers, receiver, receiver_matchers, *states)

    @property
    def picks_receivers(self) -> bool:
        """Whether it matters to whom an alert goes."""
        return self.receiver is not None or bool(self.receiver_matchers)

    def takes_receiver(self, name: str) -> bool:
        """Whether alerts that go to a receiver are asked for."""
        return (self.receiver is None or self.receiver.matches({"receiver": name})) and matches_all(
            self.receiver_matchers, {}
        )

    def takes(self, alert: Alert, status: AlertStatus) -> bool:
        """Whether an alert that stands so is asked for."""
        if (status.state == "active" and not self.active) or (
            status.state == "unprocessed" and not self.unprocessed
        ):
            return False
        if (status.silenced_by and not self.silenced) or (status.inhibited_by and not self.inhibited):
            return False
        return matches_all(self.matchers, alert.labels)


async def post_alerts(request: Request) -> Response:
    """Take alerts; see above."""
    parts: App = request.app.state.parts
    media = request.headers.get("content-type", "")
    if media.partition(";")[0].strip().lower() != "application/json":
        shown = media or "application/octet-stream"
        return _coded(
            415, 415, f'unsupported media type "{shown[:100]}", only [application/json] are allowed'
        )
    try:
        body = await request.body()
    except ClientDisconnect:
        return Response(status_code=400)

    def store() -> Response:
        try:
            posted = read_alerts(body, parts.clock.now_ms(), parts.dispatcher.routing.resolve_timeout_ms)
            parts.alert_book.receive(posted.alerts)
        except (Refused, SetpointError) as refused:
            parts.alert_sources.note_api(0, refused.message)
            raise
        left_out = len(posted.faults) - _FAULTS_SAID
        faults = "; ".join(posted.faults[:_FAULTS_SAID]) + (
            f"; and {left_out:,} more" if left_out > 0 else ""
        )
        parts.alert_sources.note_api(len(posted.alerts), faults)
        return _said(400, faults) if faults else Response(headers=_PLAIN)

    return await _on_a_thread(request, store)


post_alerts = needs("sender")(post_alerts)
# Not a route of FastAPI, which would take as long as the rest together to find that it needs nothing.
router.add_route("/api/v2/alerts", post_alerts, methods=["POST"])


@router.get("/api/v2/alerts")
@needs("viewer")
def list_alerts(request: Request, parts: Parts) -> Response:
    texts = _texts(request)
    try:
        wanted = _Filter.of(request)
    except InvalidInput as error:
        return _said(400, error.message)
    now_ms = parts.clock.now_ms()
    alerts = [one for one in parts.alert_book.alerts() if not one.is_resolved(now_ms)]
    found = []
    for alert in sorted(alerts, key=lambda one: one.fingerprint):
        if wanted.matchers and not matches_all(wanted.matchers, alert.labels):
            continue
        status = _status(parts, alert, now_ms)
        if not wanted.takes(alert, status):
            continue
        if not wanted.picks_receivers or any(map(wanted.takes_receiver, status.receivers)):
            found.append(texts.write(alert, status))
    texts.keep(alert.fingerprint for alert in alerts)
    return _written("[" + ",".join(found) + "]")


@router.get("/api/v2/alerts/groups")
@needs("viewer")
def list_groups(request: Request, parts: Parts) -> Response:
    texts = _texts(request)
    try:
        wanted = _Filter.of(request)
    except InvalidInput as error:
        return _said(400, error.message)
    now_ms = parts.clock.now_ms()
    groups = [one for one in parts.dispatcher.groups() if wanted.takes_receiver(one.receiver)]
    written = []
    for group in sorted(groups, key=lambda one: group_order(one.group_labels, one.receiver)):
        if group.muted_by and not wanted.muted:
            continue
        alerts = _of_group(parts, group, wanted, texts, now_ms)
        if alerts:
            labels, receiver = json.dumps(dict(group.group_labels)), json.dumps(group.receiver)
            written.append(
                f'{{"alerts":[{",".join(alerts)}],"labels":{labels},"receiver":{{"name":{receiver}}},"routeLabels":{{}}}}'
            )
    return _written("[" + ",".join(written) + "]")


def _of_group(parts: App, group: GroupView, wanted: _Filter, texts: AlertTexts, now_ms: int) -> list[str]:
    found = []
    for alert in sorted(group.alerts, key=alert_order):
        if alert.is_resolved(now_ms):
            continue
        status = _status(parts, alert, now_ms)
        is_muted = bool(status.silenced_by or status.inhibited_by or group.muted_by)
        status = replace(status, muted_by=group.muted_by, state="suppressed" if is_muted else "active")
        if wanted.takes(alert, status):
            found.append(texts.write(alert, status))
    return found


@router.get("/api/v2/receivers")
@needs("viewer")
def list_receivers(request: Request, parts: Parts) -> Response:
    try:
        wanted = _Filter.of(request)
    except InvalidInput as error:
        return _said(400, error.message)
    names = [name for name in parts.dispatcher.routing.receivers if matches_all(wanted.receiver_matchers, {})]
    return _json([{"labels": {}, "name": name} for name in names])


@router.get("/api/v2/status")
@needs("viewer")
def show_status(parts: Parts) -> Response:
    return _json(
        {
            "cluster": {"peers": [], "status": "disabled"},
            "config": {"original": parts.dispatcher.routing.text or _NOBODY},
            "uptime": rfc3339(parts.started_ms),
            "versionInfo": {
                "branch": "setpoint",
                "buildDate": "",
                "buildUser": "",
                "goVersion": "",
                "revision": f"setpoint {__version__}",
                "version": SPOKEN,
            },
        }
    )


@router.get("/api/v2/silences")
@needs("viewer")
def list_silences(request: Request, parts: Parts) -> Response:
    try:
        matchers = {(one.name, one.kind, one.value) for one in _Filter.of(request).matchers}
    except InvalidInput as error:
        return _said(400, error.message)
    now_ms = parts.clock.now_ms()
    states = {name for name in ("active", "pending", "expired") if _is_true(request, name)}
    found = [
        one
        for one in parts.silences.all()
        if one.state(now_ms) in states
        and matchers <= {(matcher.name, matcher.kind, matcher.value) for matcher in one.matchers}
    ]
    found.sort(key=lambda one: silence_order(one, now_ms))
    return _json([silence_json(one, now_ms) for one in found])


@router.post("/api/v2/silences")
@needs("responder")
async def post_silence(request: Request) -> Response:
    parts: App = request.app.state.parts
    body = await request.body()

    def post() -> Response:
        silence = read_silence(body)
        known = parts.silences.get(silence.id) if silence.id else None
        if known is not None:
            # Alertmanager's clients know of no recurrence, and must not end one by a change of the comment.
            silence = replace(silence, recurrence=known.recurrence)
        try:
            return _json({"silenceID": parts.silences.post(silence, actor=_actor(request))})
        except NotFound:
            return _said(404, "silence not found")

    return await _on_a_thread(request, post)


@router.get("/api/v2/silence/{silence_id}")
@needs("viewer")
def show_silence(silence_id: str, parts: Parts) -> Response:
    if (refusal := _refuse_id(silence_id)) is not None:
        return refusal
    found = parts.silences.get(silence_id)
    return Response(status_code=404) if found is None else _json(silence_json(found, parts.clock.now_ms()))


@router.delete("/api/v2/silence/{silence_id}")
@needs("responder")
def expire_silence(request: Request, silence_id: str, parts: Parts) -> Response:
    if (refusal := _refuse_id(silence_id)) is not None:
        return refusal
    try:
        parts.silences.expire(silence_id, actor=_actor(request))
    except NotFound:
        return Response(status_code=404)
    except Unavailable as error:
        return _unavailable(error)
    return Response(headers=_PLAIN)


def _status(parts: App, alert: Alert, now_ms: int) -> AlertStatus:
    """How an alert stands; for one that came this moment it is foretold, as Alertmanager does."""
    status = parts.dispatcher.status(alert.fingerprint)
    if status.state != "unprocessed":
        return status
    silenced_by = parts.silences.mutes(alert.labels, now_ms)
    receivers = dict.fromkeys(route.receiver for route in parts.dispatcher.routing.match(alert.labels))
    return AlertStatus("suppressed" if silenced_by else "active", silenced_by, receivers=tuple(receivers))


def _is_true(request: Request, name: str) -> bool:
    given = request.query_params.getlist(name)
    return not given or given[-1].lower() in _TRUE


def _actor(request: Request) -> str | None:
    """Who asks, where that is known; else who the silence says made it."""
    identity = request.state.identity
    return str(request.state.actor) if identity is not None and identity.is_named else None


def _refuse_id(silence_id: str) -> Response | None:
    try:
        uuid.UUID(silence_id)
    except ValueError:
        return _coded(422, 601, f'silenceID in path must be of type uuid: "{silence_id[:100]}"')
    return None


def alert_threads(request: Request) -> CapacityLimiter:
    """The threads that store alerts: of their own, so that pages that are slow keep no alert waiting."""
    state = request.app.state
    if not hasattr(state, "alert_threads"):  # it belongs to the running loop
        state.alert_threads = CapacityLimiter(_THREADS)
    limiter: CapacityLimiter = state.alert_threads
    return limiter


async def _on_a_thread(request: Request, work: Callable[[], Response]) -> Response:
    """What `work` answers, or how Alertmanager would refuse."""
    try:
        return await to_thread.run_sync(work, limiter=alert_threads(request))
    except Refused as refused:
        return _coded(refused.status, refused.code, refused.message)
    except Unavailable as error:
        return _unavailable(error)
    except SetpointError as error:
        return _said(error.http_status, error.message)


def _texts(request: Request) -> AlertTexts:
    state = request.app.state
    if not hasattr(state, "alert_texts"):
        state.alert_texts = AlertTexts()
    texts: AlertTexts = state.alert_texts
    return texts


def _unavailable(error: Unavailable) -> Response:
    answer = _said(error.http_status, error.message)
    answer.headers["Retry-After"] = f"{max(1.0, error.retry_after_s):.0f}"
    return answer


def _coded(status: int, code: int, message: str) -> Response:
    return _json({"code": code, "message": message}, status)


def _said(status: int, message: str) -> Response:
    return _json(message, status)


def _json(value: Any, status: int = 200) -> Response:
    return _written(json.dumps(value, separators=(",", ":"), allow_nan=False), status)


def _written(text: str, status: int = 200) -> Response:
    return Response(text, status, _PLAIN, media_type="application/json")

"""What each route and door needs, and the guard before it: who has less is refused before the body is read.

`routes.create_app` puts a `Guarded` around every route. A route says what it needs beside itself (`web.roles`); what
is no function of a router (telemetry's doors, the query API, static files, gRPC) says it here. What says nothing
needs an admin, so that a forgotten word opens nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import URLPath
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from setpoint.access import Directory, Identity, allows
from setpoint.clock import stopwatch
from setpoint.errors import Forbidden, NotEnough, SetpointError, TooLarge
from setpoint.telemetry.receive.receiver import SIGNALS
from setpoint.telemetry.receive.remote_write import PATHS
from setpoint.web.errors import answer
from setpoint.web.promql import QUERY_PATHS
from setpoint.web.roles import Need, role_of

__all__ = ["DOORS", "GRPC", "Guarded", "grpc_guard", "known_only", "need_of", "refuse", "undeclared"]

DOORS: Mapping[str, Need] = {
    **dict.fromkeys((f"/v1/{signal}" for signal in SIGNALS), "sender"),
    **dict.fromkeys(PATHS, "sender"),
    **dict.fromkeys(QUERY_PATHS, "viewer"),
    "/static": "anyone",
}
"""What is mounted as an application of its own, by path."""

GRPC: Need = "sender"
"""Every call of OTLP/gRPC."""

BODY_LIMIT_BYTES = 16 << 20
"""The largest body of a route; `DOORS` count their own."""

_READING = ("GET", "HEAD", "OPTIONS")
_UNKNOWN = (
    "Not signed in: send a token as 'Authorization: Bearer TOKEN' (commands: SETPOINT_TOKEN or --token), or sign in "
    "at /login; an admin makes tokens with 'setpoint token create'."
)
_WRONG = (
    "This token or session is not known here, or no longer: it may have expired, been revoked, or belong to another "
    "server. An admin makes tokens with 'setpoint token create'."
)


def need_of(route: BaseRoute) -> Need | None:
    """What a route says it needs; None when neither it nor `DOORS` says anything."""
    endpoint = getattr(route, "endpoint", None)
    return (role_of(endpoint) if endpoint is not None else None) or DOORS.get(getattr(route, "path", ""))


def undeclared(routes: Iterable[BaseRoute], doors: Iterable[str]) -> list[str]:
    """The paths of `routes` and of the applications at `doors` that do not say what they need."""
    plain = (route.route if isinstance(route, Guarded) else route for route in routes)
    silent = [str(getattr(route, "path", route)) for route in plain if need_of(route) is None]
    return [*silent, *(path for path in doors if path not in DOORS)]


class Guarded(BaseRoute):
    """A route behind its guard: it matches as before, and handles only what whoever asks may do."""

    def __init__(self, route: BaseRoute, directory: Directory) -> None:
        self.route = route
        self.need: Need = need_of(route) or "admin"
        self._directory = directory
        self._is_bounded = getattr(route, "path", "") not in DOORS

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        return self.route.matches(scope)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        return self.route.url_path_for(name, **path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = await refuse(Request(scope), self.need, self._directory)
        if refusal is not None:
            await refusal(scope, receive, send)
        else:
            await self.route.handle(scope, _bounded(receive) if self._is_bounded else receive, send)


def known_only(not_found: ASGIApp, directory: Directory) -> ASGIApp:
    """`not_found` for who is known; nobody else learns which paths there are."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        refusal = await refuse(Request(scope), "viewer", directory) if scope["type"] == "http" else None
        await (refusal or not_found)(scope, receive, send)

    return application


async def refuse(request: Request, need: Need, directory: Directory) -> Response | None:
    """The answer to who may not do this; None when it may be done."""
    if need == "anyone":
        return None
    identity: Identity | None = request.state.identity
    if identity is None:
        return _refuse_unknown(request)
    if not allows(identity.role, need):
        return await _refuse_known(request, identity, need, directory)
    if need == "sender" and not request.state.is_same_origin:
        # A heartbeat may come as GET, which other sites can make a browser send.
        message = "A page of another site tried to change something here; only Setpoint's own pages may."
        return answer(request, 403, Forbidden.code, message)
    return None


def _refuse_unknown(request: Request) -> Response:
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)
    given = "authorization" in request.headers or "setpoint_session=" in request.headers.get("cookie", "")
    message = _WRONG if given else _UNKNOWN
    return answer(request, 401, Forbidden.code, message, headers={"WWW-Authenticate": "Bearer"})


async def _refuse_known(request: Request, identity: Identity, need: Need, directory: Directory) -> Response:
    admins = [user.name for user in directory.users if user.role == "admin"]
    whom = f"an admin ({', '.join(admins[:3])}{', …' if len(admins) > 3 else ''})" if admins else "an admin"
    if identity.role == "sender":
        message = (
            f"The token '{identity.name}' may bring telemetry, alerts and heartbeats, and nothing else; this needs "
            f"the role {need}. {whom[0].upper()}{whom[1:]} can make another: setpoint token create NAME --role {need}"
        )
    else:
        wanted = "responder" if need == "sender" else need
        command = "user role" if identity.kind == "user" else "token create"
        message = (
            f"This needs the role {wanted}; {identity.name} has {identity.role}. "
            f"{whom[0].upper()}{whom[1:]} can change that: setpoint {command} …"
        )
    if request.method not in _READING:
        path = getattr(request.scope.get("route"), "path", request.scope["path"])
        told = f"{identity.name} was refused {request.method} {path}: it needs {need}"
        data = {"method": request.method, "path": path, "role": identity.role, "needs": need}
        about = f"{identity.name} {path}"
        with suppress(SetpointError):  # the refusal stands, whether it could be told or not
            await run_in_threadpool(
                directory.bundles.note, "access.refused", about, told, identity.name, data
            )
    return answer(request, 403, Forbidden.code, message)


def grpc_guard(directory: Directory) -> Callable[[str], None]:
    """What OTLP/gRPC asks of the `authorization` of each call, on its thread. Raises Forbidden."""

    def admit(authorization: str) -> None:
        identity = directory.identify(authorization)
        if identity is None and authorization and directory.may_be_behind:
            elapsed_s = stopwatch()
            threading.Event().wait(directory.refresh_due_s)
            directory.catch_up(elapsed_s)
            identity = directory.identify(authorization)
        if identity is None:
            raise Forbidden(
                "send a token as metadata 'authorization: Bearer TOKEN' "
                "(OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer TOKEN' in an SDK)"
            )
        if not allows(identity.role, GRPC):
            raise NotEnough(f"'{identity.name}' may only look; send a token with the role sender")

    return admit


def _bounded(receive: Receive) -> Receive:
    """`receive` that ends with 413 when the body grows beyond what a route takes."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > BODY_LIMIT_BYTES:
            raise HTTPException(TooLarge.http_status, f"The body has more than {BODY_LIMIT_BYTES:,} bytes.")
        return message

    return counted

"""Who speaks to the server: identity by token or session, Host and Origin checks, and security headers on every
answer.

The outermost layer of `routes.create_app`, written as plain ASGI so that streams pass through unbuffered. It finds out
who asks and puts `identity` and `actor` into the request's state; whether that is enough for a route `web.doors` says,
in front of the route and before the body is read. Nothing here reads a database, but for credentials that are not
known while another server may have stored them a moment ago.

- Where nobody has to say who they are, only the names of this machine are taken as `Host`: a page of another site that
  rebinds its DNS name to 127.0.0.1 still sends its own name. Elsewhere such a page has no session, and a proxy on this
  machine brings the name that people use.
- A browser that changes something must come from our own page: `Origin` has to name the host it talks to.
- What decides who asks must be there once: two `Host` or `Authorization` headers are refused, as a proxy may have
  judged by the other one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from setpoint.access import Directory, Identity, allows
from setpoint.access.accounts import RESERVED
from setpoint.clock import stopwatch
from setpoint.errors import Forbidden, InvalidInput, SetpointError, TooLarge
from setpoint.settings import Address
from setpoint.web.doors import DOORS, refuse
from setpoint.web.errors import answer
from setpoint.web.page import SECURITY_HEADERS

__all__ = ["COOKIE", "READING", "Access"]

COOKIE = "setpoint_session"

READING = ("GET", "HEAD", "OPTIONS")
_API_BODY_LIMIT_BYTES = 16 << 20
_ACTOR_MAX = 100
_COOKIE_PREFIX = f"{COOKIE}=".encode()

_Headers = Iterable[tuple[bytes, bytes]]


class Access:
    """ASGI layer that lets a request through to `inner` or answers why not.

    A path of `direct` goes to its own application, which counts its own bodies: doors for telemetry that want
    no other layer.
    """

    def __init__(
        self,
        inner: ASGIApp,
        directory: Directory,
        address: Address,
        direct: Mapping[str, ASGIApp] = MappingProxyType({}),
    ) -> None:
        self._inner = inner
        self._direct = direct
        self._directory = directory
        self._hosts = {"localhost", "127.0.0.1", "::1", address.host.lower()} if address.is_loopback else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        is_static = scope["path"].startswith("/static/")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if is_static and message["status"] == 200:
                    headers["Cache-Control"] = "public, max-age=31536000, immutable"
            await send(message)

        path: str = scope["path"]
        seen = _Seen(scope["headers"])
        inner = self._refuse(scope, seen, path) or await self._enter(scope, seen, path)
        await inner(scope, receive, send_with_headers)

    def _refuse(self, scope: Scope, seen: _Seen, path: str) -> Response | None:
        """The answer to what nobody may send, whoever it is."""
        if seen.is_doubled:
            message = "Send one Host and one Authorization header at most: of two, none can be trusted."
            return answer(Request(scope), 400, InvalidInput.code, message)
        if self._hosts is not None and _name(seen.host) not in self._hosts and self._directory.is_open:
            message = (
                f"This server is open to this machine only and does not answer as '{seen.host}'; "
                "open it as localhost or 127.0.0.1, or make a user: setpoint user add NAME --role admin"
            )
            return answer(Request(scope), 403, Forbidden.code, message)
        if scope["method"] in READING:
            return None
        if not seen.is_same_origin:
            message = "A page of another site tried to change something here; only Setpoint's own pages may."
            return answer(Request(scope), 403, Forbidden.code, message)
        return None if path in self._direct else _refuse_body(Request(scope))

    async def _enter(self, scope: Scope, seen: _Seen, path: str) -> ASGIApp:
        """Where the request goes, now that it is known who asks."""
        identity = self._directory.identify(seen.authorization, seen.cookies)
        if identity is None and (seen.authorization or seen.cookies) and self._directory.may_be_behind:
            identity = await self._identify_anew(seen)
        state = scope.setdefault("state", {})
        state["identity"] = identity
        state["is_same_origin"] = seen.is_same_origin
        state["actor"] = self._actor(identity, seen.actor)
        door = self._direct.get(path)
        if door is None:
            return self._inner
        need = DOORS.get(path, "admin")
        if identity is not None and seen.is_same_origin and allows(identity.role, need):
            return door
        return await refuse(Request(scope), need, self._directory) or door

    async def _identify_anew(self, seen: _Seen) -> Identity | None:
        elapsed_s = stopwatch()
        await asyncio.sleep(self._directory.refresh_due_s)
        try:
            await run_in_threadpool(self._directory.catch_up, elapsed_s)
        except SetpointError:
            return None
        return self._directory.identify(seen.authorization, seen.cookies)

    def _actor(self, identity: Identity | None, said: str) -> str:
        """The name for the timeline. Who is nobody in particular may say who it is, but not be somebody else."""
        if identity is None:
            return "unknown"
        is_free = 0 < len(said) <= _ACTOR_MAX and said.isprintable() and said not in RESERVED
        if identity.is_named or not is_free or self._directory.is_taken(said.lower()):
            return identity.name
        return said


class _Seen:
    """What the headers say that matters here, in one pass."""

    __slots__ = ("actor", "authorization", "cookies", "host", "is_doubled", "origin", "site")

    def __init__(self, headers: _Headers) -> None:
        self.host = self.authorization = self.actor = ""
        self.site = "none"
        self.origin: str | None = None
        self.cookies: list[str] = []
        hosts = authorizations = 0
        for name, value in headers:
            if name == b"host":
                hosts += 1
                self.host = value.decode("latin-1")
            elif name == b"authorization":
                authorizations += 1
                self.authorization = value.decode("latin-1")
            elif name == b"cookie":
                self.cookies += _cookies(value)
            elif name == b"origin":
                self.origin = value.decode("latin-1")
            elif name == b"sec-fetch-site":
                self.site = value.decode("latin-1")
            elif name == b"x-setpoint-actor":
                self.actor = value.decode("latin-1")
        self.is_doubled = hosts > 1 or authorizations > 1

    @property
    def is_same_origin(self) -> bool:
        if self.origin is None:
            return self.site in ("none", "same-origin")
        return urlsplit(self.origin).netloc.lower() == self.host.lower() != ""


def _cookies(header: bytes) -> list[str]:
    if _COOKIE_PREFIX not in header:
        return []
    parts = (part.strip() for part in header.split(b";"))
    return [
        part[len(_COOKIE_PREFIX) :].strip(b'"').decode("latin-1")
        for part in parts
        if part.startswith(_COOKIE_PREFIX)
    ]


def _refuse_body(request: Request) -> Response | None:
    """The API's JSON bodies say their length (Alertmanager's clients need not) and stay below a limit; OTLP counts its
    own, after decompression.
    """
    if not request.url.path.startswith("/api/"):
        return None
    length = request.headers.get("content-length", "")
    if not length and "transfer-encoding" in request.headers and not request.url.path.startswith("/api/v2/"):
        return answer(
            request, 411, InvalidInput.code, "Send the body with its Content-Length, not in chunks."
        )
    if length.isdigit() and int(length) > _API_BODY_LIMIT_BYTES:
        return answer(
            request,
            TooLarge.http_status,
            TooLarge.code,
            f"The body has {int(length):,} bytes; send it in parts of {_API_BODY_LIMIT_BYTES:,} at most.",
        )
    return None


def _name(host: str) -> str:
    """The host without its port and brackets, in lower case."""
    name = host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".")

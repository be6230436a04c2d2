"""Who may speak to the server: token or session, Host and Origin checks, and security headers on every
answer.

The outermost layer of `routes.create_app`, written as plain ASGI so that streams pass through unbuffered.

- With a token set, every request needs `Authorization: Bearer …`, or Basic with the token as password (of
  any user, for senders that know nothing else), or the cookie that the login page gives for it. The cookie
  is an expiry and its HMAC under the token: nothing is stored, and a new token ends every session.
- Listening on loopback, only the names of this machine are taken as `Host`: a page of another site that
  rebinds its DNS name to 127.0.0.1 still sends its own name.
- A browser that changes something must come from our own page: `Origin` has to name the host it talks to.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import parse_qs, quote, urlsplit

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from setpoint.clock import Clock
from setpoint.errors import Forbidden, InvalidInput, TooLarge
from setpoint.settings import Address
from setpoint.web.errors import answer
from setpoint.web.page import SECURITY_HEADERS, Parts, render_bare
from setpoint.web.roles import needs

__all__ = ["COOKIE", "Access", "router"]

COOKIE = "setpoint_session"
SESSION_S = 7 * 86400

_OPEN = ("/-/healthy", "/-/ready", "/login", "/static/")
_READING = ("GET", "HEAD", "OPTIONS")
_LOGIN_LIMIT_BYTES = 4096
_API_BODY_LIMIT_BYTES = 16 << 20

router = APIRouter()


class Access:
    """ASGI layer that lets a request through to `inner` or answers why not.

    A path of `direct` goes to its own application, which counts its own bodies: doors for telemetry that want
    no other layer.
    """

    def __init__(
        self,
        inner: ASGIApp,
        token: str,
        address: Address,
        clock: Clock,
        direct: Mapping[str, ASGIApp] = MappingProxyType({}),
    ) -> None:
        self._inner = inner
        self._direct = direct
        self._token = token
        self._clock = clock
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

        refusal = self._refuse(Request(scope))
        inner = refusal or self._direct.get(scope["path"], self._inner)
        await inner(scope, receive, send_with_headers)

    def _refuse(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            message = (
                f"This server listens on this machine only and does not answer as '{host}'; "
                "open it as localhost or 127.0.0.1, or set --listen to an outside address with a token."
            )
            return answer(request, 403, Forbidden.code, message)
        if request.method not in _READING and not _is_same_origin(request.headers, host):
            message = "A page of another site tried to change something here; only Setpoint's own pages may."
            return answer(request, 403, Forbidden.code, message)
        path: str = request.scope["path"]  # not `request.url`, which is made from many parts
        if path not in self._direct and (refusal := _refuse_body(request)) is not None:
            return refusal
        if not self._token or path.startswith(_OPEN) or self._is_known(request):
            return None
        if "text/html" in request.headers.get("accept", "") and request.method == "GET":
            target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)
        return answer(request, 401, Forbidden.code, str(Forbidden()), headers={"WWW-Authenticate": "Bearer"})

    def _is_known(self, request: Request) -> bool:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return is_same_secret(given.strip(), self._token)
        if scheme.lower() == "basic":
            return is_same_secret(_password(given.strip()), self._token)
        return is_session(request.cookies.get(COOKIE, ""), self._token, self._clock.now_ms())


def _password(credentials: str) -> str:
    """The password of Basic credentials; empty when there is none."""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _refuse_body(request: Request) -> Response | None:
    """The API's JSON bodies say their length and stay below a limit; OTLP counts its own, after
    decompression."""
    if request.method in _READING or not request.url.path.startswith("/api/"):
        return None
    length = request.headers.get("content-length", "")
    if not length and "transfer-encoding" in request.headers:
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


def is_same_secret(given: str, secret: str) -> bool:
    """Compare by hash and in constant time, so that neither content nor length shows in the time it takes."""
    hashes = [hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest() for text in (given, secret)]
    return hmac.compare_digest(*hashes)


def new_session(token: str, now_ms: int) -> str:
    """The cookie of a session that ends `SESSION_S` from now: its end in Unix seconds, and that under the
    token."""
    end = str(now_ms // 1000 + SESSION_S)
    return f"{end}.{_sign(token, end)}"


def is_session(cookie: str, token: str, now_ms: int) -> bool:
    """True for a cookie of `new_session` with this token that has not ended."""
    end, _, signature = cookie.partition(".")
    if not is_same_secret(signature, _sign(token, end)):
        return False
    return int(end) * 1000 > now_ms


def _sign(token: str, end: str) -> str:
    return hmac.new(token.encode(), f"setpoint session until {end}".encode(), hashlib.sha256).hexdigest()


def _name(host: str) -> str:
    """The host without its port and brackets, in lower case."""
    name = host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".")


def _is_same_origin(headers: Headers, host: str) -> bool:
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "none") in ("none", "same-origin")
    return urlsplit(origin).netloc.lower() == host.lower() != ""


def _inner_path(target: str) -> str:
    """`target` when it is a path of this server, else `/`: a login link must not lead elsewhere."""
    is_path = (
        target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    )
    return target if is_path else "/"


@router.get("/login")
@needs("anyone")
def show_login(request: Request, next: str = "/") -> Response:
    if not request.app.state.token:
        return RedirectResponse(_inner_path(next), 303)
    return render_bare("login.html", next=_inner_path(next), is_wrong=False)


@router.post("/login")
@needs("anyone")
async def log_in(parts: Parts, request: Request) -> Response:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LOGIN_LIMIT_BYTES:
            return answer(request, 413, "too_large", "That is no login form of Setpoint.")
    form = parse_qs(body.decode("utf-8", "replace"))
    given, target = (form.get(name, [""])[0] for name in ("token", "next"))
    token: str = request.app.state.token
    if not token or not is_same_secret(given.strip(), token):
        return render_bare("login.html", 401, next=_inner_path(target), is_wrong=True)
    response = RedirectResponse(_inner_path(target), 303)
    response.set_cookie(
        COOKIE,
        new_session(token, parts.clock.now_ms()),
        max_age=SESSION_S,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout")
@needs("anyone")
async def log_out() -> Response:
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response

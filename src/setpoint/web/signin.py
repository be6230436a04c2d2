"""Signing in and out: the login page takes a user's name and password, or a token, and gives a session.

A program does the same with JSON. Each failure makes the next try of that address and that name wait longer; a name
that nobody has takes as long as one that somebody has, and is answered alike.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Annotated

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from setpoint.access import Identity
from setpoint.access.directory import SESSION_S
from setpoint.access.throttle import Throttle
from setpoint.app import App
from setpoint.errors import Forbidden, SetpointError, Unavailable
from setpoint.web.access import COOKIE
from setpoint.web.errors import answer
from setpoint.web.form import Form, read_form
from setpoint.web.page import Parts, json_answer, render_bare
from setpoint.web.roles import needs

__all__ = ["Signing", "address_of", "router"]

router = APIRouter()

_WAITING_MAX = 32
_NAME_MAX, _SECRET_MAX = 63, 512


class Signing:
    """Who is signing in just now, and how often each may try; one for an application."""

    def __init__(self, parts: App) -> None:
        self.throttle = Throttle(parts.clock)
        self.waiting = 0
        self._limiter: CapacityLimiter | None = None

    @property
    def limiter(self) -> CapacityLimiter:
        """Few passwords are looked at together; it belongs to the running loop."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(2)
        return self._limiter


@router.get("/login")
@needs("anyone")
async def show_login(request: Request, parts: Parts, next: str = "/") -> Response:
    if parts.directory.is_open:
        return RedirectResponse(_inner_path(next), 303)
    return _page(parts, next)


@router.post("/login")
@needs("anyone")
async def log_in(request: Request, parts: Parts, form: Annotated[Form, Depends(read_form)]) -> Response:
    """Sign in with name and password, or with a token."""
    target = _inner_path(form.text("next", 4096, "/"))
    name = form.text("name", 200).lower()
    secret = form.text("password" if name else "token", _SECRET_MAX)
    signing: Signing = request.app.state.signing
    address = address_of(request)
    wait_s = signing.throttle.wait_s(address, name)
    if wait_s > 0 or signing.waiting >= _WAITING_MAX:
        return _too_often(request, parts, form, target, wait_s)
    signing.waiting += 1
    try:
        # Counted before it is known, so that tries that come together do not pass together.
        signing.throttle.failed(address, name)
        found = await to_thread.run_sync(_found, parts, name, secret, address, limiter=signing.limiter)
        cookie = (
            "" if found is None else await to_thread.run_sync(parts.directory.begin_session, found, address)
        )
    finally:
        signing.waiting -= 1
    if found is None:
        message = "That name and password do not go together." if name else "That is no token of this server."
        if form.is_json:
            return answer(request, 401, Forbidden.code, message)
        return _page(parts, target, 401, message=message, name=name)
    signing.throttle.succeeded(address, name)
    done = {"name": found.name, "role": found.role}
    response = json_answer(done) if form.is_json else RedirectResponse(target, 303)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=SESSION_S,
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout")
@needs("anyone")
async def log_out(request: Request, parts: Parts, form: Annotated[Form, Depends(read_form)]) -> Response:
    """End this session, or with `everywhere=yes` every session of who is signed in."""
    identity: Identity | None = request.state.identity
    cookie = request.cookies.get(COOKIE, "")
    if identity is not None and cookie and identity.kind != "local":
        if form.text("everywhere", 10):
            await to_thread.run_sync(parts.directory.end_sessions, identity)
        else:
            await to_thread.run_sync(parts.directory.end_session, identity, cookie)
    response = json_answer({}) if form.is_json else RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response


def address_of(request: Request) -> str:
    """From where a request comes, as far as the connection, or a proxy on this machine, tells."""
    return request.client.host if request.client else "unknown"


def _found(parts: App, name: str, secret: str, address: str) -> Identity | None:
    """Who this is; tells of a failure."""
    directory = parts.directory
    if not name:
        found = directory.of_secret(secret)
        if found is not None and found.role != "sender":
            return found
    elif parts.accounts.is_password(name, secret):
        if directory.user(name) is None:  # another server made it a moment ago
            directory.refresh()
        if (user := directory.user(name)) is not None:
            return Identity(name, user.role, "user")
    # Not what was typed as a name unless it is one: people type passwords there.
    known = name if name and directory.user(name) else "unknown"
    told = f"a sign-in as {known} failed" if known != "unknown" else "a sign-in failed"
    data = {"user": known, "address": address, "by": "password" if name else "token"}
    with suppress(SetpointError):  # the answer is no, whether it could be told or not
        directory.bundles.note("access.login_failed", f"{known} {address}", told, known, data)
    return None


def _too_often(request: Request, parts: App, form: Form, target: str, wait_s: float) -> Response:
    seconds = max(1, math.ceil(wait_s))
    message = f"Too many sign-ins failed; try again in {seconds} s."
    headers = {"Retry-After": str(seconds)}
    if form.is_json:
        return answer(request, 429, Unavailable.code, message, headers=headers)
    page = _page(parts, target, 429, message=message)
    page.headers.update(headers)
    return page


def _page(parts: App, target: str, status: int = 200, *, message: str = "", name: str = "") -> Response:
    return render_bare(
        "login.html",
        status,
        next=_inner_path(target),
        message=message,
        name=name,
        has_users=bool(parts.directory.users),
        has_server_token=parts.directory.has_server_token,
    )


def _inner_path(target: str) -> str:
    """`target` when it is a path of this server, else `/`: a login link must not lead elsewhere."""
    is_path = (
        target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    )
    return target if is_path else "/"

"""Tokens of programs as pages and JSON, for admins. What a token is stands once, in the answer that makes it."""

from __future__ import annotations

from typing import Annotated, get_args

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from setpoint.access import Power
from setpoint.errors import InvalidInput
from setpoint.resource.duration import duration_ms
from setpoint.web.form import Form, read_form
from setpoint.web.page import Actor, Parts, json_answer, plain, render, wants_json
from setpoint.web.roles import needs
from setpoint.web.users import MEANINGS

__all__ = ["router"]

router = APIRouter()

_POWERS = ("sender", "viewer", "responder", "editor", "admin")
Sent = Annotated[Form, Depends(read_form)]


@router.get("/tokens")
@needs("admin")
def list_tokens(request: Request, parts: Parts) -> Response:
    """Every token with its role, its end and when it was used last."""
    if wants_json(request):
        return json_answer({"items": parts.directory.tokens})
    return _page(request, parts)


@router.post("/tokens", status_code=201)
@needs("admin")
def add_token(request: Request, parts: Parts, form: Sent, actor: Actor) -> Response:
    """A new token; `expires` is a duration such as 90d, and empty for never. `token` is told in this answer only."""
    form.only("name", "role", "expires")
    life = form.text("expires", 20)
    expires_ms = parts.clock.now_ms() + duration_ms(life) if life else None
    token, secret = parts.accounts.add_token(
        actor, form.text("name", 200), _power(form.text("role", 20, "sender")), expires_ms
    )
    if form.is_json or wants_json(request):
        return json_answer(plain(token) | {"token": secret}, 201)
    return _page(request, parts, made=token.name, secret=secret)


@router.delete("/tokens/{name}")
@needs("admin")
def revoke_token(parts: Parts, name: str, actor: Actor) -> Response:
    """Forget a token; whoever has it is refused from now on."""
    parts.accounts.revoke_token(actor, name)
    return json_answer({"name": name})


@router.post("/tokens/{name}/revoke")
@needs("admin")
def revoke_token_by_form(request: Request, parts: Parts, name: str, form: Sent, actor: Actor) -> Response:
    """As DELETE, for a page."""
    parts.accounts.revoke_token(actor, name)
    if form.is_json or wants_json(request):
        return json_answer({"name": name})
    return RedirectResponse("/tokens", 303)


def _page(request: Request, parts: Parts, *, made: str = "", secret: str = "") -> Response:
    return render(
        request,
        "tokens.html",
        tokens=parts.directory.tokens,
        powers=_POWERS,
        meanings=MEANINGS,
        is_open=parts.directory.is_open,
        users=len(parts.directory.users),
        made=made,
        secret=secret,
    )


def _power(text: str) -> Power:
    for power in get_args(Power):
        if power == text:
            return power  # type: ignore[no-any-return]
    raise InvalidInput(f"'{text}' is no role; write {', '.join(_POWERS)}")

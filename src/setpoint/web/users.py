"""Who may sign in: users as pages and JSON, for admins; and one's own account, for everybody.

Forms and JSON go to the same places. The first user is an admin: from then on everybody signs in.
"""

from __future__ import annotations

from typing import Annotated, Any, get_args

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse, Response

from setpoint.access import ROLES, Identity, Role
from setpoint.access.password import PASSWORD_MIN
from setpoint.errors import InvalidInput, NotEnough, Unavailable
from setpoint.web.form import Form, read_form
from setpoint.web.page import Actor, Parts, json_answer, plain, render, wants_json
from setpoint.web.roles import needs
from setpoint.web.signin import Signing, address_of

__all__ = ["MEANINGS", "router"]

router = APIRouter()

MEANINGS = {
    "viewer": "looks at everything",
    "responder": "and silences, acknowledges, sends again",
    "editor": "and changes resources",
    "admin": "and manages users and tokens",
    "sender": "brings telemetry, alerts and heartbeats, and reads nothing",
}
"""What each role may do, each with what those before it may."""

_SHORT, _SECRET_MAX = 200, 512
Sent = Annotated[Form, Depends(read_form)]


@router.get("/users")
@needs("admin")
def list_users(request: Request, parts: Parts) -> Response:
    """Every user with its role."""
    users = parts.directory.users
    if wants_json(request):
        return json_answer({"items": users})
    return render(
        request,
        "users.html",
        users=users,
        roles=ROLES,
        meanings=MEANINGS,
        password_min=PASSWORD_MIN,
        is_open=parts.directory.is_open,
        tokens=len(parts.directory.tokens),
    )


@router.post("/users", status_code=201)
@needs("admin")
def add_user(request: Request, parts: Parts, form: Sent, actor: Actor) -> Response:
    """A new user."""
    form.only("name", "display_name", "email", "role", "password")
    user = parts.accounts.add_user(
        actor,
        form.text("name", _SHORT),
        _role(form.text("role", 20, "viewer")),
        form.text("password", _SECRET_MAX),
        display_name=form.text("display_name", _SHORT),
        email=form.text("email", _SHORT),
    )
    return _done(request, form, plain(user), 201)


@router.post("/users/{name}")
@needs("admin")
def change_user(request: Request, parts: Parts, name: str, form: Sent, actor: Actor) -> Response:
    """Change a user: what is given. Another role or password ends the user's sessions."""
    form.only("display_name", "email", "role", "password")
    role, password = form.text("role", 20), form.text("password", _SECRET_MAX)
    user = parts.accounts.change_user(
        actor,
        name,
        role=_role(role) if role else None,
        display_name=_given(form, "display_name"),
        email=_given(form, "email"),
        password=password or None,
    )
    return _done(request, form, plain(user))


@router.delete("/users/{name}")
@needs("admin")
def delete_user(parts: Parts, name: str, actor: Actor) -> Response:
    """Forget a user; the sessions end."""
    parts.accounts.remove_user(actor, name)
    return json_answer({"name": name})


@router.post("/users/{name}/delete")
@needs("admin")
def delete_user_by_form(request: Request, parts: Parts, name: str, form: Sent, actor: Actor) -> Response:
    """As DELETE, for a page."""
    parts.accounts.remove_user(actor, name)
    return _done(request, form, {"name": name})


@router.get("/account")
@needs("viewer")
def show_account(request: Request, parts: Parts) -> Response:
    """Who is signed in, and as what."""
    identity: Identity = request.state.identity
    user = parts.directory.user(identity.name) if identity.kind == "user" else None
    account = {"name": identity.name, "role": identity.role, "kind": identity.kind}
    if wants_json(request):
        return json_answer(account | {"is_open": parts.directory.is_open})
    return render(
        request,
        "account.html",
        account=account,
        user=user,
        meanings=MEANINGS,
        password_min=PASSWORD_MIN,
    )


@router.post("/account/password")
@needs("viewer")
def change_password(request: Request, parts: Parts, form: Sent, actor: Actor) -> Response:
    """Change one's own password, with the old one; every session ends."""
    identity: Identity = request.state.identity
    form.only("old", "new")
    if identity.kind != "user":
        raise InvalidInput(f"{identity.name} is no user and has no password; an admin changes those of users")
    signing: Signing = request.app.state.signing
    address = address_of(request)
    wait_s = signing.throttle.wait_s(address, identity.name)
    if wait_s > 0:
        raise Unavailable(f"too many wrong passwords; try again in {wait_s:.0f} s", retry_after_s=wait_s)
    signing.throttle.failed(address, identity.name)
    if not parts.accounts.is_password(identity.name, form.text("old", _SECRET_MAX)):
        raise NotEnough("that is not your password of now; ask an admin for another if it is forgotten")
    signing.throttle.succeeded(address, identity.name)
    parts.accounts.change_user(actor, identity.name, password=form.text("new", _SECRET_MAX))
    return json_answer({"name": identity.name}) if form.is_json else RedirectResponse("/login", 303)


def _role(text: str) -> Role:
    for role in get_args(Role):
        if role == text:
            return role  # type: ignore[no-any-return]
    raise InvalidInput(f"'{text}' is no role; write {', '.join(ROLES)}")


def _given(form: Form, name: str) -> str | None:
    return form.text(name, _SHORT) if name in form.fields else None


def _done(request: Request, form: Form, answer: Any, status: int = 200) -> Response:
    if form.is_json or wants_json(request):
        return json_answer(answer, status)
    return RedirectResponse("/users", 303)

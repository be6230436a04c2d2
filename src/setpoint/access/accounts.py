"""Changes of users and tokens: each checked, stored with its event in one transaction, and known at once.

`web.users` calls it. No change leaves a server that knows somebody without anybody who may change that.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import replace

from setpoint.access.directory import Change, Directory, digest_of
from setpoint.access.model import ROLES, Power, Role, Token, User
from setpoint.access.password import hash_password, is_outdated, is_password, refuse_weak
from setpoint.clock import Clock
from setpoint.database import StateDatabase, load_queries
from setpoint.errors import Conflict, InvalidInput, NotFound

__all__ = ["RESERVED", "TOKEN_PREFIX", "Accounts"]

TOKEN_PREFIX = "sp_"
RESERVED = frozenset({"api", "everybody", "local", "nobody", "setpoint", "supervisor", "token", "unknown"})
"""Actors that are nobody in particular."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,62}", re.ASCII)
_SQL = load_queries("setpoint.access")


class Accounts:
    """Changes the users and tokens of a directory. Every method takes who asks, for the timeline."""

    def __init__(self, directory: Directory, database: StateDatabase, clock: Clock) -> None:
        self._directory = directory
        self._database = database
        self._clock = clock

    def add_user(
        self, actor: str, name: str, role: Role, password: str, *, display_name: str = "", email: str = ""
    ) -> User:
        """A new user. Raises InvalidInput and Conflict."""
        _refuse_name(name)
        refuse_weak(password, name)
        hashed = hash_password(password)
        user = User(name, display_name, email, role, self._clock.now_ms(), actor)
        with self._directory.changing() as change:
            self._refuse_taken(change, name)
            change.transaction.execute(_SQL["add_user"], **_columns(user), password=hashed)
            self._refuse_lockout(change)
            change.tell(
                "access.user_created", f"{name} may sign in as {role}", actor, {"user": name, "role": role}
            )
        return user

    def change_user(
        self,
        actor: str,
        name: str,
        *,
        role: Role | None = None,
        display_name: str | None = None,
        email: str | None = None,
        password: str | None = None,
    ) -> User:
        """Change what is given. Another role or password ends the user's sessions. Raises NotFound and InvalidInput."""
        hashed = None
        if password is not None:
            refuse_weak(password, name)
            hashed = hash_password(password)
        with self._directory.changing() as change:
            before = _user(change, name)
            user = replace(
                before,
                role=role or before.role,
                display_name=before.display_name if display_name is None else display_name,
                email=before.email if email is None else email,
            )
            columns = {key: getattr(user, key) for key in ("name", "display_name", "email", "role")}
            change.transaction.execute(_SQL["change_user"], **columns)
            if hashed is not None:
                change.transaction.execute(_SQL["set_password"], name=name, password=hashed)
            if hashed is not None or user.role != before.role:
                change.transaction.execute(_SQL["delete_sessions"], kind="user", subject=name)
            self._refuse_lockout(change)
            told = _difference(before, user, has_password=hashed is not None)
            if told:
                data = {"user": name, "role": user.role, "role_before": before.role, "changed": told}
                change.tell("access.user_changed", f"{name}: {', '.join(told)}", actor, data)
        return user

    def remove_user(self, actor: str, name: str) -> None:
        """Forget a user and end the sessions. Raises NotFound, and Conflict for the last admin."""
        with self._directory.changing() as change:
            user = _user(change, name)
            change.transaction.execute(_SQL["delete_user"], name=name)
            change.transaction.execute(_SQL["delete_sessions"], kind="user", subject=name)
            self._refuse_lockout(change)
            change.tell(
                "access.user_deleted",
                f"{name} may no longer sign in",
                actor,
                {"user": name, "role": user.role},
            )

    def add_token(
        self, actor: str, name: str, role: Power, expires_ms: int | None = None
    ) -> tuple[Token, str]:
        """A new token and what it is, which is told here and never again. Raises InvalidInput and Conflict."""
        _refuse_name(name)
        now_ms = self._clock.now_ms()
        if expires_ms is not None and expires_ms <= now_ms:
            raise InvalidInput("the token would have expired already; choose a later end")
        secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
        token = Token(name, role, now_ms, actor, expires_ms, None)
        with self._directory.changing() as change:
            self._refuse_taken(change, name)
            change.transaction.execute(
                _SQL["add_token"],
                name=name,
                digest=digest_of(secret).hex(),
                role=role,
                created_ms=now_ms,
                created_by=actor,
                expires_ms=expires_ms,
            )
            self._refuse_lockout(change)
            data = {"token": name, "role": role, "expires_ms": expires_ms}
            change.tell("access.token_created", f"token {name} may come in as {role}", actor, data)
        return token, secret

    def revoke_token(self, actor: str, name: str) -> None:
        """Forget a token and end its sessions. Raises NotFound, and Conflict for the last admin."""
        with self._directory.changing() as change:
            if not change.transaction.execute(_SQL["delete_token"], name=name):
                raise NotFound(f"there is no token '{name}'; list them with: setpoint token list")
            change.transaction.execute(_SQL["delete_sessions"], kind="token", subject=name)
            self._refuse_lockout(change)
            change.tell("access.token_revoked", f"token {name} was revoked", actor, {"token": name})

    def is_password(self, name: str, password: str) -> bool:
        """Whether this is the password of the user; takes as long when there is no such user."""
        with self._database.read() as transaction:
            row = transaction.row(_SQL["password"], name=name) if _NAME.fullmatch(name) else None
        stored = None if row is None else row["password"]
        if not is_password(password, stored):
            return False
        if stored is not None and is_outdated(stored):
            with self._database.begin() as transaction:
                transaction.execute(_SQL["set_password"], name=name, password=hash_password(password))
        return True

    def _refuse_taken(self, change: Change, name: str) -> None:
        names = [row["name"] for query in ("users", "tokens") for row in change.transaction.rows(_SQL[query])]
        if name in names:
            raise Conflict(f"a user or a token has the name '{name}' already; choose another")

    def _refuse_lockout(self, change: Change) -> None:
        """Raise Conflict when somebody would be known but nobody could change who is."""
        if self._directory.has_server_token:
            return
        users = change.transaction.rows(_SQL["users"])
        tokens = change.transaction.rows(_SQL["tokens"])
        lasting = [*users, *(token for token in tokens if token["expires_ms"] is None)]
        if (users or tokens) and not any(one["role"] == "admin" for one in lasting):
            raise Conflict(
                "nobody would be left who may change users and tokens; first make an admin: "
                "setpoint user add NAME --role admin"
            )


def _refuse_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"'{name[:80]}' cannot be a name; write up to 63 lower-case letters, digits and . _ @ + -, such as ada"
        )
    if name in RESERVED or name == "shop":
        raise InvalidInput(f"'{name}' is a name that Setpoint uses itself; choose another")


def _user(change: Change, name: str) -> User:
    rows: Sequence[dict[str, object]] = change.transaction.rows(_SQL["users"])
    found = next((row for row in rows if row["name"] == name), None)
    if found is None:
        raise NotFound(f"there is no user '{name[:80]}'; list them with: setpoint user list")
    return User(**found)  # type: ignore[arg-type]


def _columns(user: User) -> dict[str, object]:
    return {name: getattr(user, name) for name in User.__slots__}


def _difference(before: User, after: User, *, has_password: bool) -> list[str]:
    told = []
    if before.role != after.role:
        higher = ROLES.index(after.role) > ROLES.index(before.role)
        told.append(f"{'now' if higher else 'now only'} {after.role}, was {before.role}")
    if before.display_name != after.display_name:
        told.append("another display name")
    if before.email != after.email:
        told.append("another e-mail address")
    if has_password:
        told.append("another password")
    return told

"""What the rest of the package speaks of: roles, users, tokens, and the identity of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

__all__ = ["LOCAL", "ROLES", "SERVER_TOKEN", "Identity", "Power", "Role", "Token", "User", "allows"]

Role = Literal["viewer", "responder", "editor", "admin"]
"""Each may do what those before it may: look; answer alerts (silence, acknowledge, send again); change resources;
manage users and tokens.
"""

ROLES: tuple[Role, ...] = get_args(Role)

Power = Literal["viewer", "responder", "editor", "admin", "sender"]
"""A role, or `sender`: brings telemetry, alerts and heartbeats and reads nothing."""

_RANK: dict[str, int] = {role: rank for rank, role in enumerate(ROLES)}


@dataclass(frozen=True, slots=True)
class User:
    """A person. `display_name` and `email` may be empty; times are Unix milliseconds."""

    name: str
    display_name: str
    email: str
    role: Role
    created_ms: int
    created_by: str


@dataclass(frozen=True, slots=True)
class Token:
    """A program's key; what it is made of is told once and stored as SHA-256. Times are Unix milliseconds."""

    name: str
    role: Power
    created_ms: int
    created_by: str
    expires_ms: int | None
    last_used_ms: int | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request comes from.

    `kind` is `user`, `token`, `server_token` (the setting), `setpoint` (itself) or `local` (a server that knows
    nobody, on loopback). `digest` is the SHA-256 of the credential.
    """

    name: str
    role: Power
    kind: Literal["user", "token", "server_token", "setpoint", "local"]
    digest: bytes = b""

    @property
    def is_named(self) -> bool:
        """Whether the name stands for somebody; else a caller may say who it is."""
        return self.kind in ("user", "token", "setpoint")


LOCAL = Identity("local", "admin", "local")
"""Everybody, while the server knows nobody and listens on loopback only."""

SERVER_TOKEN = "token"
"""The name of who comes with the server's own token and does not say who it is."""


def allows(role: Power, need: str) -> bool:
    """Whether `role` is enough where `need` is asked: a role, `sender`, or `anyone`."""
    if need == "anyone":
        return True
    if role == "sender" or need == "sender":
        return need == "sender" and role != "viewer"
    return need in _RANK and _RANK[role] >= _RANK[need]

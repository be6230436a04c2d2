"""Which role a route needs: written beside the route, `@needs("responder")` below the router's decorator.

`access` lets nobody through who has less; a test lists every route that does not say what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeVar

from setpoint.access import Role

__all__ = ["Need", "Role", "needs", "role_of"]

Need = Literal["viewer", "responder", "editor", "admin", "anyone", "sender"]
"""What a route needs: a role; `anyone` may be unknown (health, login, doors with keys of their own); `sender` is what
brings telemetry, alerts and heartbeats: a token made for that, or any role from responder.
"""

Endpoint = TypeVar("Endpoint", bound=Callable[..., object])


def needs(need: Need) -> Callable[[Endpoint], Endpoint]:
    """Say what the decorated endpoint needs."""

    def mark(endpoint: Endpoint) -> Endpoint:
        endpoint.__setpoint_needs__ = need  # type: ignore[attr-defined]
        return endpoint

    return mark


def role_of(endpoint: Callable[..., object]) -> Need | None:
    """What an endpoint says it needs; None when it says nothing."""
    found: Need | None = getattr(endpoint, "__setpoint_needs__", None)
    return found

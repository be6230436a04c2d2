"""What each route and door needs, and the guard before it: who has less is refused before the body is read.

`routes.create_app` puts a `Guarded` around every route. A route says what it needs beside itself (`web.roles`); what
is no function of a router (telemetry's doors, the query API, static files, gRPC) says it here. What says nothing
needs an admin, so that a forgotten word opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlette.routing import BaseRoute

from setpoint.telemetry.receive.receiver import SIGNALS
from setpoint.telemetry.receive.remote_write import PATHS
from setpoint.web.promql import QUERY_PATHS
from setpoint.web.roles import Need, role_of

__all__ = ["DOORS", "GRPC", "need_of", "undeclared"]

DOORS: Mapping[str, Need] = {
    **dict.fromkeys((f"/v1/{signal}" for signal in SIGNALS), "sender"),
    **dict.fromkeys(PATHS, "sender"),
    **dict.fromkeys(QUERY_PATHS, "viewer"),
    "/static": "anyone",
}
"""What is mounted as an application of its own, by path."""

GRPC: Need = "sender"
"""Every call of OTLP/gRPC."""


def need_of(route: BaseRoute) -> Need | None:
    """What a route says it needs; None when neither it nor `DOORS` says anything."""
    endpoint = getattr(route, "endpoint", None)
    return (role_of(endpoint) if endpoint is not None else None) or DOORS.get(getattr(route, "path", ""))


def undeclared(routes: Iterable[BaseRoute], doors: Iterable[str]) -> list[str]:
    """The paths of `routes` and of the applications at `doors` that do not say what they need."""
    silent = [str(getattr(route, "path", route)) for route in routes if need_of(route) is None]
    return [*silent, *(path for path in doors if path not in DOORS)]

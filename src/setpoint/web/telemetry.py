"""Telemetry's doors on the main port: OTLP/HTTP at `/v1/traces`, `/v1/metrics` and `/v1/logs`."""

from __future__ import annotations

from starlette.routing import Route

from setpoint.app import App
from setpoint.telemetry.receive import routes

__all__ = ["otlp_routes"]


def otlp_routes(parts: App) -> list[Route]:
    """The three OTLP/HTTP routes, into the running server's ingest."""
    return routes(parts.otlp, parts.settings.body_limit_mb << 20)

"""Telemetry's doors on the main port: OTLP/HTTP at `/v1/traces`, `/v1/metrics` and `/v1/logs`, and Prometheus
remote write at `/api/v1/write`.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.routing import Route
from starlette.types import ASGIApp

from setpoint.app import App
from setpoint.telemetry.receive import routes
from setpoint.telemetry.receive.remote_write import PATHS, RemoteWriteDoor
from setpoint.telemetry.receive.remote_write_receiver import RemoteWriteReceiver

__all__ = ["otlp_routes", "remote_write_doors"]


def otlp_routes(parts: App) -> list[Route]:
    """The three OTLP/HTTP routes, into the running server's ingest."""
    return routes(parts.otlp, parts.settings.body_limit_mb << 20)


def remote_write_doors(parts: App) -> Mapping[str, ASGIApp]:
    """Remote write by path, into the running server's ingest; for `Access`, which lets it past the routes."""
    receiver = RemoteWriteReceiver(parts.ingest.submit, parts.table, parts.protection, parts.clock)
    door = RemoteWriteDoor(receiver, parts.protection, parts.settings.body_limit_mb << 20)
    return dict.fromkeys(PATHS, door)

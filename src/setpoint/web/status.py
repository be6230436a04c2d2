"""What client programs ask of a Prometheus about itself: version, settings, start.

Grafana reads the version to know which parameters it may send; see `web.prometheus` for the envelope. The status of
the series is in `web.usage`.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

from fastapi import APIRouter

from setpoint import __version__
from setpoint.app import App
from setpoint.clock import rfc3339
from setpoint.web.prometheus import Given, answers

__all__ = ["router"]

_SECRET = {"token", "token_file", "telemetry_dsn", "state_dsn"}

router = APIRouter(prefix="/api/v1")


@answers(router, "/status/buildinfo")
def build_info(parts: App, given: Given) -> Any:
    # Without `features`: Grafana takes a server that names any for Mimir.
    return {
        "application": "Setpoint",
        "version": "3.8.0",
        "revision": __version__,
        "branch": "",
        "buildUser": "",
        "buildDate": "",
        "goVersion": "",
        "pythonVersion": sys.version.split()[0],
    }


@answers(router, "/status/runtimeinfo")
def runtime_info(parts: App, given: Given) -> Any:
    return {
        "startTime": rfc3339(parts.started_ms),
        "CWD": "",
        "hostname": socket.gethostname(),
        "serverTime": rfc3339(parts.clock.now_ms()),
        "reloadConfigSuccess": True,
        "lastConfigTime": rfc3339(parts.started_ms),
        "corruptionCount": 0,
        "goroutineCount": 0,
        "GOMAXPROCS": 0,
        "GOMEMLIMIT": 0,
        "GOGC": "",
        "GODEBUG": "",
        "storageRetention": f"{parts.settings.retention_days}d",
    }


@answers(router, "/status/flags")
def flags(parts: App, given: Given) -> Any:
    shown = parts.settings.model_dump(mode="json", exclude=_SECRET)
    return {name: "" if value is None else str(value) for name, value in shown.items()}


@answers(router, "/status/config")
def config(parts: App, given: Given) -> Any:
    return {"yaml": ""}


@answers(router, "/alertmanagers")
def alertmanagers(parts: App, given: Given) -> Any:
    return {"activeAlertmanagers": [], "droppedAlertmanagers": []}

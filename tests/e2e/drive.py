"""Driving a running demo from outside, as a person at a terminal does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bench.server import Server

__all__ = ["PATIENCE_MS", "setpoint", "wait_for_traffic"]

PATIENCE_MS = 90_000


def setpoint(server: Server, *arguments: str, code: int | None = 0) -> str:
    """What a command prints; `code` is how it has to end, None for any way."""
    command = [str(Path(sys.executable).with_name("setpoint")), *arguments]
    environment = os.environ | {"SETPOINT_SERVER": server.url}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert code is None or done.returncode == code, done.stderr or done.stdout
    return done.stdout


def wait_for_traffic(server: Server, objective: str, events: int) -> None:
    """Until an objective is healthy and has counted so many events."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    found: dict[str, dict[str, object]] = {}
    while time.monotonic() < deadline:
        found = {item["name"]: item for item in server.get("/objectives")["items"]}
        known = found.get(objective, {})
        if int(str(known.get("total", 0)).split(".")[0]) >= events and known["state"] == "healthy":
            return
        time.sleep(0.5)
    pytest.fail(f"no healthy {objective} with {events} events: {found.get(objective)}")

"""Setpoint and Debian's Alertmanager on the same alertmanager.yml, for `bench.paging` and the tests that kill.

A `Pager` is one of them, running on its own folder; it can be killed with everything below it, or only the process
that does the work, and started again on what it kept.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.server import cpu_s, descendants, free_port, memory_mb

__all__ = ["Pager", "Sender", "alertmanager", "config", "setpoint"]

_START_S = 120


def config(url: str, *, group_by: Sequence[str], group_interval: str = "5m") -> str:
    """An alertmanager.yml with one webhook, without waiting."""
    return json.dumps(
        {
            "route": {
                "receiver": "page",
                "group_by": list(group_by),
                "group_wait": "0s",
                "group_interval": group_interval,
                "repeat_interval": "4h",
            },
            "receivers": [{"name": "page", "webhook_configs": [{"url": url, "send_resolved": True}]}],
        }
    )


@dataclass(slots=True)
class Pager:
    """A system that takes alerts at `port` and is ready at `ready_path`; `worker` tells the process that does the
    work from the one that was started.
    """

    name: str
    folder: Path
    port: int
    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    worker: bytes = b""
    process: subprocess.Popen[bytes] | None = None
    cpu_before_s: float = 0.0

    def start(self) -> None:
        """Start it; `wait_ready` waits."""
        with (self.folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdout=log,
                stderr=log,
                env=os.environ | self.environment,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Until it serves."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/-/ready")
                if connection.getresponse().status == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass
            finally:
                connection.close()
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} did not become ready; see {self.folder / self.name}.log")

    def work_id(self) -> int | None:
        """The process that does the work, if it runs."""
        assert self.process is not None
        if not self.worker:
            return self.process.pid if self.process.poll() is None else None
        for candidate in descendants(self.process.pid)[1:]:
            try:
                if self.worker in Path(f"/proc/{candidate}/cmdline").read_bytes():
                    return candidate
            except OSError:
                continue
        return None

    def kill_work(self) -> bool:
        """Kill -9 what does the work; what watches it, if anything does, starts it again, else `start` does."""
        found = self.work_id()
        if found is None:
            return False
        self.cpu_before_s += cpu_s(found)
        os.kill(found, signal.SIGKILL)
        if not self.worker:
            self.kill_all()
            self.start()
        return True

    def kill_all(self) -> None:
        """Kill -9 it and everything below."""
        assert self.process is not None
        try:
            below = descendants(self.process.pid)
        except OSError:
            below = [self.process.pid]
        for one in below:
            try:
                os.kill(one, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait(30)

    def cost(self) -> tuple[float, float]:
        """Processor seconds of what did the work, over all its lives, and megabytes of it now."""
        found = self.work_id()
        return (
            (self.cpu_before_s, 0.0)
            if found is None
            else (self.cpu_before_s + cpu_s(found), memory_mb(found))
        )

    def __enter__(self) -> Pager:
        self.start()
        self.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill_all()


def alertmanager(folder: Path, text: str) -> Pager | None:
    """Debian's Alertmanager, if it is installed."""
    if shutil.which("prometheus-alertmanager") is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "alertmanager.yml"
    file.write_text(text)
    port = free_port()
    command = [
        "prometheus-alertmanager",
        f"--config.file={file}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    return Pager("alertmanager", folder, port, command)


def setpoint(folder: Path, text: str) -> Pager:
    """Setpoint as anybody starts it, with the same file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "alertmanager.yml"
    file.write_text(text)
    port = free_port()
    command = [
        str(Path(sys.executable).with_name("setpoint")),
        "up",
        "--data",
        str(folder / "data"),
        "--listen",
        f"127.0.0.1:{port}",
        "--otlp-grpc",
        f"127.0.0.1:{free_port()}",
    ]
    environment = {
        "SETPOINT_OTLP_HTTP": f"127.0.0.1:{free_port()}",
        "SETPOINT_ALERTMANAGER_CONFIG": str(file),
    }
    return Pager("setpoint", folder, port, command, environment, worker=b"setpoint.web.serve")


class Sender:
    """Posts alerts over a kept connection, as a Prometheus does."""

    def __init__(self, port: int, stop: threading.Event | None = None) -> None:
        self._port, self._stop = port, stop or threading.Event()
        self._connection: http.client.HTTPConnection | None = None

    def post(self, alerts: Sequence[Mapping[str, Any]], timeout_s: float = 30) -> bool:
        """One attempt; whether it was acknowledged."""
        body = json.dumps(alerts).encode()
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout_s)
            self._connection.request("POST", "/api/v2/alerts", body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return False
        return 200 <= answer.status < 300

    def insist(self, alerts: Sequence[Mapping[str, Any]]) -> bool:
        """Until it is acknowledged; False when it was told to stop before."""
        while not self._stop.is_set():
            if self.post(alerts):
                return True
            time.sleep(0.05)
        return False

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

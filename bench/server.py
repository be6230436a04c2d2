"""Starts `setpoint up` on free loopback ports for a benchmark, and measures its processes through /proc.

Used by every benchmark; ends only the processes that it started.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Server", "cpu_s", "descendants", "free_port", "machine", "memory_mb", "running"]

_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descendants(process_id: int) -> list[int]:
    """`process_id` and every process below it."""
    found = [process_id]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            found += [int(child) for child in task.read_text().split()]
    return found


def memory_mb(process_id: int) -> float:
    """Proportional set size of one process, in megabytes (shared pages are split between who shares them)."""
    for line in Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no Pss in smaps_rollup")


def cpu_s(process_id: int) -> float:
    """Processor seconds that one process has used so far, user and system."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def machine() -> str:
    """One line about this machine, for the results."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown processor",
    )
    memory_gib = int(Path("/proc/meminfo").read_text().split()[1]) / 1024**2
    return f"{os.cpu_count()} cores ({model}), {memory_gib:.0f} GiB, Python {sys.version.split()[0]}"


@dataclass(frozen=True, slots=True)
class Server:
    """A running `setpoint` command."""

    process: subprocess.Popen[bytes]
    url: str

    def get(self, path: str, timeout_s: float = 5) -> Any:
        """The JSON that `path` answers."""
        request = urllib.request.Request(self.url + path, headers={"Accept": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return json.loads(answer.read())

    def is_ready(self) -> bool:
        """True when `/-/ready` answers 200."""
        try:
            with urllib.request.urlopen(self.url + "/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, timeout_s: float = 60) -> float:
        """Wait until it is ready; seconds that this took."""
        started = time.monotonic()
        while not self.is_ready():
            if time.monotonic() - started > timeout_s or self.process.poll() is not None:
                raise RuntimeError("the server did not become ready")
            time.sleep(0.02)
        return time.monotonic() - started

    @property
    def engine(self) -> int:
        """Process id of the server child (the one that holds the engines)."""
        for candidate in descendants(self.process.pid)[1:]:
            if b"setpoint.web.serve" in Path(f"/proc/{candidate}/cmdline").read_bytes():
                return candidate
        raise RuntimeError("the supervisor has no server")


@contextmanager
def running(command: list[str], data: Path, listen: str = "127.0.0.1") -> Iterator[Server]:
    """Run `setpoint COMMAND…` with its own ports and data folder until the block ends."""
    port = free_port()
    arguments = [
        "--data",
        str(data),
        "--listen",
        f"{listen}:{port}",
        "--otlp-grpc",
        f"127.0.0.1:{free_port()}",
    ]
    environment = os.environ | {"SETPOINT_OTLP_HTTP": f"127.0.0.1:{free_port()}"}
    setpoint = Path(sys.executable).with_name("setpoint")
    process = subprocess.Popen(
        [str(setpoint), *command, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        yield Server(process, f"http://127.0.0.1:{port}")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

"""The systems that a benchmark compares: Setpoint, Debian's Prometheus and VictoriaMetrics, each started on loopback.

Used by the ingest benchmarks; each ends only the processes that it started.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.server import free_port

__all__ = ["Peer", "peers"]

_STOP_S = 60


@dataclass(frozen=True, slots=True)
class Peer:
    """One system: how to start it on its folder, and where it takes remote write."""

    name: str
    folder: Path
    port: int
    command: list[str]
    ready_path: str
    write_path: str = "/api/v1/write"
    environment: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """The running, ready process; it is ended with the block."""
        process = self.start()
        try:
            self.wait_ready(process)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start(self) -> subprocess.Popen[bytes]:
        """Start it; it may not be ready yet."""
        with (self.folder.parent / f"{self.name}.log").open("ab") as log:
            return subprocess.Popen(self.command, stdout=log, stderr=log, env=os.environ | self.environment)

    def is_ready(self) -> bool:
        """True when it answers that it serves."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{self.ready_path}", timeout=2
            ) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_ready(self, process: subprocess.Popen[bytes], timeout_s: float = 300) -> float:
        """Wait until it is ready; seconds that this took."""
        started = time.monotonic()
        while not self.is_ready():
            if time.monotonic() - started > timeout_s or process.poll() is not None:
                raise RuntimeError(f"{self.name} did not become ready")
            time.sleep(0.02)
        return time.monotonic() - started


def peers(folder: Path, **environment: str) -> list[Peer]:
    """Setpoint (with `environment` as settings) and the peers that are installed, each on its own empty folder."""
    found = [_setpoint(folder / "setpoint", environment)]
    if shutil.which("prometheus"):
        found.append(_prometheus(folder / "prometheus"))
    if shutil.which("victoria-metrics"):
        found.append(_victoria(folder / "victoria-metrics"))
    return found


def _setpoint(folder: Path, environment: Mapping[str, str]) -> Peer:
    port = free_port()
    command = [
        str(Path(sys.executable).with_name("setpoint")),
        "up",
        "--data",
        str(folder),
        "--listen",
        f"127.0.0.1:{port}",
        "--otlp-grpc",
        f"127.0.0.1:{free_port()}",
    ]
    settings = {"SETPOINT_OTLP_HTTP": f"127.0.0.1:{free_port()}", "SETPOINT_FLUSH_S": "20", **environment}
    return Peer("setpoint", folder, port, command, "/-/ready", environment=settings)


def _prometheus(folder: Path) -> Peer:
    folder.mkdir(parents=True, exist_ok=True)
    config = folder.parent / "prometheus.yml"
    config.write_text("global: {scrape_interval: 15s}\n")
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder}",
        "--storage.tsdb.retention.time=100d",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-remote-write-receiver",
    ]
    return Peer("prometheus", folder, port, command, "/-/ready")


def _victoria(folder: Path) -> Peer:
    port = free_port()
    command = [
        "victoria-metrics",
        f"-storageDataPath={folder}",
        f"-httpListenAddr=127.0.0.1:{port}",
        "-maxInsertRequestSize=64MB",
        "-search.maxUniqueTimeseries=2000000",
        "-retentionPeriod=100d",
    ]
    return Peer("victoria-metrics", folder, port, command, "/health")

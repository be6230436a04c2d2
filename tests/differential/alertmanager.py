"""A real Alertmanager from Debian's package, on a configuration and an empty folder.

The differential tests use it; it gossips with nobody and is ended with the block.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.differential.ports import free_port

__all__ = ["Alertmanager"]

_START_TIMEOUT_S = 40


class Alertmanager:
    """A running Alertmanager; use it as a context manager."""

    def __init__(self, folder: Path, config: str, external_url: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._config = config
        self._external_url = external_url
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{free_port()}"

    @staticmethod
    def is_installed() -> bool:
        """True when Debian's prometheus-alertmanager is there."""
        return shutil.which("prometheus-alertmanager") is not None

    def __enter__(self) -> Alertmanager:
        file = self._folder / "alertmanager.yml"
        file.write_text(self._config)
        command = [
            "prometheus-alertmanager",
            f"--config.file={file}",
            f"--storage.path={self._folder / 'data'}",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            "--cluster.listen-address=",
        ]
        if self._external_url:
            command += [f"--web.external-url={self._external_url}", "--web.route-prefix=/"]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"TZ": "UTC"})
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/-/ready", timeout=5):
                    return self
            except OSError:
                time.sleep(0.1)
        self._end()
        raise RuntimeError(self.log())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=30)

    def log(self) -> str:
        """What it has said so far."""
        return (self._folder / "log").read_text()

    def post(self, alerts: Sequence[Mapping[str, Any]]) -> None:
        """Send alerts as a Prometheus does."""
        request = urllib.request.Request(
            f"{self.url}/api/v2/alerts",
            json.dumps(alerts).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30):
            return

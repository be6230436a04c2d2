"""A real Prometheus from Debian's package, over samples that were written to its blocks before it starts.

Only the differential tests use it. Nothing is scraped: promtool makes blocks from OpenMetrics text.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.promql.samples import Series, labels_of

from setpoint.promql.format import format_number

__all__ = ["Prometheus"]

_START_TIMEOUT_S = 30


def _openmetrics(series: Series) -> str:
    names = {labels_of(text)["__name__"] for text in series}
    lines = []
    for name in sorted(names):
        lines.append(f"# TYPE {name} unknown")
        for text, samples in series.items():
            if labels_of(text)["__name__"] == name:
                lines += [f"{text} {format_number(value)} {seconds:.3f}" for seconds, value in samples]
    return "\n".join([*lines, "# EOF", ""])


class Prometheus:
    """A running server that answers queries over `series`; use it as a context manager."""

    def __init__(self, folder: Path, series: Series) -> None:
        self._folder = folder
        self._series = series
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{probe.getsockname()[1]}"

    @staticmethod
    def is_installed() -> bool:
        """True when Debian's prometheus is there."""
        return shutil.which("prometheus") is not None and shutil.which("promtool") is not None

    @property
    def address(self) -> str:
        """Host and port."""
        return self._address

    def __enter__(self) -> Prometheus:
        text, data = self._folder / "samples.txt", self._folder / "data"
        text.write_text(_openmetrics(self._series))
        (self._folder / "prometheus.yml").write_text("global: {}\n")
        create = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "-q", str(text), str(data)]
        subprocess.run(create, check=True, capture_output=True)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={data}",
                    "--storage.tsdb.retention.time=100y",
                    f"--web.listen-address={self._address}",
                ],
                stdout=log,
                stderr=log,
            )
        self._wait_until_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=10)

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=5):
                    return
            except OSError:
                time.sleep(0.1)
        raise TimeoutError((self._folder / "log").read_text())

    def query_range(self, query: str, start_s: int, end_s: int, step_s: int) -> Any:
        """The `data` of /api/v1/query_range, or the error's text."""
        return self._get(
            "query_range", {"query": query, "start": str(start_s), "end": str(end_s), "step": str(step_s)}
        )

    def query(self, query: str, at_s: int) -> Any:
        """The `data` of /api/v1/query, or the error's text."""
        return self._get("query", {"query": query, "time": str(at_s)})

    def _get(self, what: str, parameters: Mapping[str, str]) -> Any:
        url = f"http://{self._address}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)["error"]

"""A running `Scraper` on a virtual clock, with a store that can be looked into, and targets that obey a test."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from setpoint.clock import VirtualClock
from setpoint.errors import Unavailable
from setpoint.telemetry.model import RefBatch
from setpoint.telemetry.scrape.load import load_file
from setpoint.telemetry.scrape.scraper import Scraper
from setpoint.telemetry.scrape.status import TargetStatus
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["NOW_MS", "STALE_BITS", "Running", "Stored", "WebTarget", "raw_target", "wait_until"]

NOW_MS = 1_799_496_000_000
STALE_BITS = 0x7FF0000000000002
_PATIENCE_S = 40.0


@dataclass
class Stored:
    """Takes batches as the ingest does; `refusal` makes it refuse them."""

    table: SeriesTable = field(default_factory=SeriesTable)
    samples: list[tuple[dict[str, str], int, float | str]] = field(default_factory=list)
    refusal: str = ""

    def submit(self, batch: RefBatch, size_bytes: int) -> Future[None]:
        assert size_bytes > 0
        if self.refusal:
            raise Unavailable(self.refusal)
        bits = batch.values.view(np.int64).tolist()
        rows = zip(
            batch.refs.tolist(), batch.timestamps_ms.tolist(), batch.values.tolist(), bits, strict=True
        )
        self.samples += [
            (dict(self.table.labels(ref)), at_ms, "stale" if pattern == STALE_BITS else value)
            for ref, at_ms, value, pattern in rows
        ]
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def of(self, metric: str, **labels: str) -> list[tuple[int, float | str]]:
        """(ms since the start, value) of a metric's samples whose labels have these, in order of time."""
        wanted = {"__name__": metric} | labels
        found = [
            (at_ms - NOW_MS, value) for own, at_ms, value in self.samples if wanted.items() <= own.items()
        ]
        return sorted(found, key=lambda sample: sample[0])

    def values(self, metric: str, **labels: str) -> list[float | str]:
        """The values of `of`."""
        return [value for _, value in self.of(metric, **labels)]


def wait_until(condition: Callable[[], object], what: str = "") -> None:
    """Wait, in real time, until `condition` holds."""
    deadline = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"did not happen: {what}"
        time.sleep(0.01)


class Running:
    """A scraper of a configuration, in its thread; use it as a context manager."""

    def __init__(self, folder: Path, text: str, **given: Any) -> None:
        self.file = folder / "prometheus.yml"
        self.file.write_text(text)
        self._own = (given["own"],) if "own" in given else ()
        self.clock, self.stored = VirtualClock(NOW_MS), Stored()
        self.scraper = Scraper(self.file, self.stored.table, self.stored.submit, self.clock, **given)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self.scraper.run, args=(self._stop,), daemon=True)

    def __enter__(self) -> Running:
        self._thread.start()
        jobs = {job.name for job in (*load_file(self.file).jobs, *self._own)}
        self.until(lambda: jobs <= {job.name for job in self.scraper.status.jobs}, "the start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the scraper did not end"

    @property
    def targets(self) -> list[TargetStatus]:
        """Every target of every job."""
        return [target for job in self.scraper.status.jobs for target in job.targets]

    def target(self, **labels: str) -> TargetStatus:
        """The one target with these labels."""
        (found,) = [one for one in self.targets if labels.items() <= one.labels.items()]
        return found

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Wait, in real time, until `condition` holds."""
        wait_until(condition, what)

    def pass_time(self, seconds: float = 15.0) -> None:
        """Let time pass, instant by instant at which something is due, and wait for each scrape."""
        end_ms = self.clock.now_ms() + round(seconds * 1000)
        while due := [one for one in self.targets if one.due_ms <= end_ms]:
            next_ms = min(one.due_ms for one in due)
            self.clock.advance((next_ms - self.clock.now_ms()) / 1000)
            waiting = {(one.job, one.url) for one in due if one.due_ms == next_ms}
            self.until(
                lambda now=next_ms, whom=waiting: all(  # type: ignore[misc]
                    (one.last_scrape_ms or 0) >= now for one in self.targets if (one.job, one.url) in whom
                ),
                f"a scrape of {waiting}",
            )
        self.clock.advance((end_ms - self.clock.now_ms()) / 1000)

    def told(self, error: str, **labels: str) -> None:
        """Let an interval pass; the target is down then, and says `error`."""
        self.pass_time()
        target = self.target(**labels)
        assert target.health == "down"
        assert error in target.error, target.error


class WebTarget:
    """An HTTP server whose answers a test sets, by path: (status, headers, body). Counts what it was asked."""

    def __init__(self, wrap: Callable[[socket.socket], socket.socket] | None = None) -> None:
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.is_closed = False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if outer.is_closed:
                    self.close_connection = True
                    return
                outer.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                status, headers, body = outer.answers.get(self.path.split("?")[0], (404, {}, b"nothing here"))
                self.send_response(status)
                given = {"Content-Type": "text/plain", "Content-Length": str(len(body))} | headers
                for name, value in given.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if wrap is not None:
            self._server.socket = wrap(self._server.socket)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def says(self, text: str | bytes, path: str = "/metrics", status: int = 200, **headers: str) -> WebTarget:
        """Answer `path` with this from now on; underscores in header names become dashes."""
        body = text.encode() if isinstance(text, str) else text
        self.answers[path] = (
            status,
            {name.replace("_", "-"): value for name, value in headers.items()},
            body,
        )
        return self

    def close(self) -> None:
        """End it; connections are refused from now on, and those that are open are closed."""
        self.is_closed = True
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@contextlib.contextmanager
def raw_target(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A target that `talk`s as it likes once it has read a request; its address."""
    listening = socket.create_server(("127.0.0.1", 0))
    is_over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            talk(connection)

    def accept() -> None:
        while not is_over.is_set():
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"127.0.0.1:{listening.getsockname()[1]}"
    finally:
        is_over.set()
        listening.close()

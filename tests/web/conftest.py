"""A real `App` on SQLite and chdb, on a virtual clock, with a shop that has answered requests for two hours.

`populated` holds four objectives, one in each state. Nothing is mocked: samples go through the ingest,
documents through the resource API, a real server answers a real client, and the book evaluates.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from playwright.sync_api import Browser, Page
from pydantic import SecretStr

from setpoint.app import App, wire
from setpoint.clock import Clock, VirtualClock
from setpoint.database import DataFolder, StateDatabase, TelemetryDatabase
from setpoint.settings import Settings
from setpoint.telemetry import Ingest, MetricBatch, Series, fingerprint
from setpoint.web import create_app
from setpoint.web.live import Live
from tests.browser import chromium, chromium_is_installed
from tests.conftest import require

NOW_MS = 1_799_496_000_000  # 2027-01-09 12:00:00 UTC
HTML = {"Accept": "text/html"}
JSON = {"Accept": "application/json"}

_STEP_MS = 5_000
_HISTORY_MS = 2 * 3600 * 1000

MakeApp = Callable[..., App]


def slo(name: str, service: str, target: float = 0.999, **metadata: object) -> str:
    """An SLO over `requests_total` of a service, as YAML."""
    labels = "".join(f"\n    {key}: {value}" for key, value in metadata.items())
    return f"""
apiVersion: openslo/v1
kind: SLO
metadata:
  name: {name}
  displayName: {name} of everybody
  labels:{labels or " {}"}
spec:
  description: Requests that are answered.
  service: {service}
  indicator:
    metadata:
      name: {name}-indicator
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: Prometheus
            spec:
              query: sum(requests_total{{service_name="{service}", code="200"}})
        total:
          metricSource:
            type: Prometheus
            spec:
              query: sum(requests_total{{service_name="{service}"}})
  timeWindow:
    - duration: 30d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - target: {target}
"""


def services(*names: str) -> str:
    """Service resources, as YAML documents."""
    return "\n---\n".join(
        f"apiVersion: openslo/v1\nkind: Service\nmetadata:\n  name: {name}\nspec: {{}}" for name in names
    )


def requests(service: str, end_ms: int, bad_of_each_100: Sequence[int]) -> MetricBatch:
    """Counters of 100 requests per 5 s that end at `end_ms`; of each step so many are bad."""
    steps = len(bad_of_each_100)
    times = end_ms - _STEP_MS * np.arange(steps, -1, -1, dtype=np.int64)
    bad = np.concatenate([[0], np.cumsum(bad_of_each_100)]).astype(float)
    total = np.arange(steps + 1) * 100.0
    made = []
    for code in ("200", "500"):
        labels = {"__name__": "requests_total", "service_name": service, "code": code}
        made.append(Series(fingerprint(labels), labels, service, type="counter"))
    return MetricBatch(
        made,
        np.repeat(np.arange(2, dtype=np.int32), steps + 1),
        np.tile(times, 2),
        np.concatenate([total - bad, bad]),
    )


def send(parts: App, batch: MetricBatch) -> None:
    """Put samples through the ingest and wait until they are stored."""
    parts.ingest.submit(batch, batch.values.nbytes).result(timeout=50)  # the first of a process may compile


@pytest.fixture
def make_app(
    tmp_path: Path, sqlite_database: StateDatabase, telemetry_database: TelemetryDatabase
) -> Iterator[MakeApp]:
    """Makes a wired App, on a virtual clock unless `clock` is given; other keyword arguments are settings."""
    ingests: list[Ingest] = []

    def make(clock: Clock | None = None, **settings: object) -> App:
        app = wire(
            Settings.model_validate({"data": tmp_path / "data", "listen": "127.0.0.1:7070"} | settings),
            clock or VirtualClock(NOW_MS),
            DataFolder(tmp_path / "data"),
            sqlite_database,
            telemetry_database,
            started_ms=NOW_MS - 60_000,
        )
        ingests.append(app.ingest)
        return app

    yield make
    for ingest in ingests:
        ingest.close()


def apply(client: httpx.Client, *documents: str) -> None:
    """Apply YAML documents through the API."""
    files = [{"name": "test.yaml", "text": "\n---\n".join(documents)}]
    answer = client.post("/api/resources", json={"files": files})
    assert answer.status_code == 200, answer.text


class Running:
    """An App served by uvicorn in a thread, on a free port unless one is given."""

    def __init__(self, parts: App, port: int = 0) -> None:
        self._live: Live = (application := create_app(parts)).state.live
        config = uvicorn.Config(application, port=port, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        socket = config.bind_socket()
        socket.listen()  # who connects before the thread runs waits
        self.port: int = socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [socket]}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the streams, then the server, as SIGTERM does."""
        self._live.close()
        self._server.should_exit = True
        self._thread.join(10)
        assert not self._thread.is_alive(), "the server did not end although its streams were closed"


@pytest.fixture
def serve() -> Iterator[Callable[..., Running]]:
    """Serves Apps and stops what still runs at the end of the test."""
    running: list[Running] = []

    def start(parts: App, port: int = 0) -> Running:
        running.append(Running(parts, port))
        return running[-1]

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def parts(make_app: MakeApp) -> App:
    """A wired server without any data."""
    return make_app()


@pytest.fixture
def client(parts: App, serve: Callable[..., Running]) -> Iterator[httpx.Client]:
    """A client of the empty server."""
    with httpx.Client(base_url=serve(parts).url, timeout=40) as opened:
        yield opened


@pytest.fixture
def populated(parts: App, client: httpx.Client) -> httpx.Client:
    """A client of a server with an objective in each of the four states."""
    steps = _HISTORY_MS // _STEP_MS
    send(parts, requests("catalog", NOW_MS, [0] * steps))
    send(parts, requests("search", NOW_MS, [0] * (steps - 20) + [60] * 60))
    send(parts, requests("checkout", NOW_MS, [0] * (steps - 12) + [30] * 24))
    apply(
        client,
        services("catalog", "search", "checkout", "invoicing"),
        slo("catalog-availability", "catalog", team="web"),
        slo("search-availability", "search", 0.99, team="web"),
        slo("checkout-availability", "checkout", 0.99, team="payments"),
        slo("invoice-freshness", "invoicing"),
    )
    for _ in range(50):
        parts.objectives.tick()
        if not any(status.backfilling for status in parts.objectives.statuses()):
            return client
    raise AssertionError("the history was not counted within 50 ticks")


@pytest.fixture
def guarded(make_app: MakeApp) -> App:
    """A wired server with a token."""
    return make_app(token=SecretStr("s3cret-token"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for the tests of one file."""
    require("Chromium", chromium_is_installed(), "chromium")
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test on any error of scripts or of the content security policy."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda line: errors.append(line.text) if "Refused" in line.text else None)
    yield opened
    context.close()
    assert errors == []

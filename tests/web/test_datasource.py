"""The page of data sources, its JSON, the command, queries over one, and an objective from apply to no data."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from setpoint.app import App
from setpoint.clock import SystemClock
from tests.cli.program import setpoint
from tests.telemetry.datasource import upstream as ways
from tests.telemetry.datasource.upstream import Upstream, says, upstream
from tests.telemetry.scrape.running import wait_until
from tests.web.conftest import HTML, JSON, MakeApp, Running, services

SOURCE = """\
apiVersion: openslo/v1
kind: DataSource
metadata: {{name: far}}
spec:
  type: Prometheus
  connectionDetails: {{url: "{url}", timeout: 1s, interval: 5s, requestsPerSecond: 1000, backfill: 3h}}
"""
SLO = """\
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout-far}
spec:
  service: checkout
  indicator:
    metadata: {name: checkout-far}
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource: {metricSourceRef: far, type: Prometheus, spec: {query: 'sum(hits_total{code!~"5.."})'}}
        total:
          metricSource: {metricSourceRef: far, type: Prometheus, spec: {query: sum(hits_total)}}
  timeWindow: [{duration: 1d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.9}]
"""


@pytest.fixture
def now_ms() -> int:
    """The last whole minute: data sources are waited for in real time, so this server's clock is the real one."""
    return SystemClock().now_ms() // 60_000 * 60_000


@pytest.fixture
def server(now_ms: int) -> Iterator[Upstream]:
    with upstream() as made:
        for count, at_ms in enumerate(range(now_ms - 3 * 3_600_000, now_ms + 180_000, 15_000), 1):
            made.samples.add("hits_total", at_ms, 20 * count, code="200")
            made.samples.add("hits_total", at_ms, count, code="500")
        yield made


@pytest.fixture
def running(make_app: MakeApp, serve: Callable[..., Running]) -> Iterator[tuple[App, httpx.Client]]:
    parts = make_app(listen="127.0.0.1:0", clock=SystemClock(), no_data_after_s=10, evaluation_interval_s=0.2)
    stop = threading.Event()
    threads = parts.start(stop)
    with httpx.Client(base_url=serve(parts).url, timeout=40) as client:
        yield parts, client
    stop.set()
    for thread in threads:
        thread.join(20)
    parts.datasources.close()


def declare(client: httpx.Client, *texts: str) -> httpx.Response:
    files = [{"name": f"{at}.yaml", "text": text} for at, text in enumerate(texts)]
    return client.post("/api/resources", json={"files": files})


def objective(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/objectives/checkout-far", headers=JSON).json()
    return found


def test_from_apply_to_no_data_and_back(
    running: tuple[App, httpx.Client], server: Upstream, now_ms: int
) -> None:
    _, client = running
    page = client.get("/datasources", headers=HTML).text
    assert "No data source is declared" in page
    assert client.get("/datasources", headers=JSON).json() == {"items": [], "objectives": {}}
    answer = declare(client, services("checkout"), SLO)
    assert answer.status_code == 400
    assert "there is no DataSource 'far'; apply one of that name" in answer.text
    assert declare(client, services("checkout"), SLO, SOURCE.format(url=server.url)).status_code == 200

    wait_until(
        lambda: objective(client)["state"] == "healthy" and not objective(client)["backfilling"], "counts"
    )
    found = objective(client)
    assert found["source"] == "far"
    assert found["total"] == pytest.approx(21 * 720, abs=21 * 8)
    assert found["bad"] == pytest.approx(720, abs=8)
    listed = client.get("/datasources", headers=JSON).json()
    assert listed["objectives"] == {"far": 1}
    item = listed["items"][0]
    assert (item["state"], item["selectors"], item["requests_per_poll"]) == ("up", 2, 1)
    page = client.get("/datasources", headers=HTML).text
    assert "The one data source answers." in page
    assert "1 objective" in page
    assert 'href="/datasources#s-far"' in client.get("/objectives/checkout-far", headers=HTML).text
    assert 'setpoint_datasource_up{datasource="far"} 1.0' in client.get("/metrics").text
    done = setpoint("datasources", SETPOINT_SERVER=str(client.base_url))
    assert (done.returncode, done.stderr) == (0, "")
    assert "● up" in done.stdout
    asked = client.get(
        "/api/datasources/far/api/v1/query", params={"query": "sum(hits_total)", "time": now_ms / 1000}
    )
    assert asked.json()["data"]["result"][0]["value"][1] == str(21 * 721)
    ranged: dict[str, str | float] = {
        "query": "rate(hits_total[1m])",
        "start": now_ms / 1000 - 600,
        "end": now_ms / 1000,
        "step": 60,
    }
    asked = client.get("/api/datasources/far/api/v1/query_range", params=ranged)
    assert {len(one["values"]) for one in asked.json()["data"]["result"]} == {11}
    refused = client.delete("/api/resources/DataSource/far")
    assert "SLO 'checkout-far' needs it" in refused.text

    server.behave = says({"error": "store is closed"}, 503)
    reason = "data source 'far': HTTP status 503 Service Unavailable: store is closed"
    wait_until(lambda: objective(client)["reason"] == reason, "the reason")
    assert objective(client)["state"] == "no data"
    page = client.get("/datasources", headers=HTML).text
    assert "store is closed" in page
    assert "1 down" in page
    told = client.get("/api/datasources/far/api/v1/query", params={"query": "sum(hits_total)"})
    assert (told.status_code, told.json()["errorType"]) == (503, "unavailable")
    done = setpoint("datasources", "far", "-o", "json", SETPOINT_SERVER=str(client.base_url))
    assert json.loads(done.stdout)["items"][0]["fault"].endswith("store is closed")
    assert setpoint("datasources", "near", SETPOINT_SERVER=str(client.base_url)).returncode == 3

    server.behave = None
    wait_until(lambda: objective(client)["state"] == "healthy", "recovery")


def test_a_source_that_hangs_delays_no_evaluation(
    running: tuple[App, httpx.Client], server: Upstream
) -> None:
    parts, client = running
    server.behave = ways.hangs
    declare(client, services("checkout"), SLO, SOURCE.format(url=server.url))
    wait_until(lambda: "no complete answer" in str(objective(client)["reason"]), "the reason")
    counted = parts.objectives.durations.counted
    assert counted.counts[-1] > 3
    assert counted.sum_s / counted.counts[-1] < 0.5

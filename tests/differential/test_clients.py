"""Clients as they are: promtool, and the requests that Grafana's data source and client libraries make."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import SecretStr
from tests.conftest import require
from tests.web.conftest import NOW_MS, MakeApp, Running, make_app, send, serve

from setpoint.telemetry import MetricBatch, Series, fingerprint
from setpoint.telemetry.model import Metadata

__all__ = ["make_app", "serve"]

TOKEN = "client-token"
NOW_S = NOW_MS // 1000
LABELS = [{"__name__": "sales_total", "shop": str(place), "zone": f"z{place % 2}"} for place in range(4)]


@pytest.fixture
def url(make_app: MakeApp, serve: Callable[..., Running]) -> Iterator[str]:
    """A server with a token and four counters over an hour."""
    parts = make_app(token=SecretStr(TOKEN))
    times = NOW_MS - 15_000 * np.arange(240, -1, -1, dtype=np.int64)
    series = [Series(fingerprint(one), one, "shop", type="counter") for one in LABELS]
    rows = np.repeat(np.arange(4, dtype=np.int32), len(times))
    values = np.tile(np.arange(len(times), dtype=np.float64), 4)
    said = [Metadata("sales_total", "counter", "", "What was sold.")]
    send(parts, MetricBatch(series, rows, np.tile(times, 4), values, metadata=said))
    yield serve(parts).url


def promtool(url: str, kind: str, *arguments: str) -> str:
    """What `promtool query` prints; Debian's has no settings for tokens, but takes a password in the address."""
    require("promtool", shutil.which("promtool") is not None, "prometheus")
    address = url.replace("//", f"//anybody:{TOKEN}@")
    command = ["promtool", "query", kind, *(address if one == "SERVER" else one for one in arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_promtool_queries(url: str) -> None:
    times = (f"--start={NOW_S - 600}", f"--end={NOW_S}")
    said = promtool(url, "instant", f"--time={NOW_S}", "SERVER", "sum(rate(sales_total[5m])) * 15")
    assert said.split(" => ")[1].split(" @")[0] == "4"
    said = promtool(url, "instant", "--format=json", f"--time={NOW_S}", "SERVER", "sales_total")
    found = json.loads(said)
    assert [one["metric"] for one in found] == LABELS
    assert {one["value"][1] for one in found} == {"240"}
    said = promtool(url, "range", "--step=60s", *times, "SERVER", 'sum by (zone) (sales_total{zone="z1"})')
    assert said.count(" @[") == 11
    assert said.startswith('{zone="z1"} =>\n400 @[')
    said = promtool(url, "series", "--match=sales_total{shop=~'1|3'}", *times, "SERVER")
    assert [json.dumps(one) for one in (LABELS[1], LABELS[3])] == [
        json.dumps(dict(pair.split("=", 1) for pair in line.replace('"', "").strip("{}").split(", ")))
        for line in said.replace("sales_total{", '{__name__="sales_total", ').splitlines()
    ]
    assert promtool(url, "labels", *times, "SERVER", "shop").split() == ["0", "1", "2", "3"]
    assert "sales_total" in promtool(url, "labels", "SERVER", "__name__").split()


@pytest.fixture(params=["bearer", "basic", "basic without a user"])
def client(request: pytest.FixtureRequest, url: str) -> Iterator[httpx.Client]:
    """A client with each of the credentials that a data source can be given."""
    user = {"basic": "grafana", "basic without a user": ""}.get(request.param)
    basic = base64.b64encode(f"{user}:{TOKEN}".encode()).decode()
    header = f"Bearer {TOKEN}" if user is None else f"Basic {basic}"
    with httpx.Client(base_url=url, headers={"Authorization": header, "Accept-Encoding": "gzip"}) as opened:
        yield opened


def data(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["status"] == "success"
    assert answer.headers["Content-Type"] == "application/json"
    return said["data"]


def test_what_grafana_asks(client: httpx.Client) -> None:
    """Save & test, the version, the metrics browser, a panel, a panel's exemplars, the list of rules."""
    times = {"start": str(NOW_S - 3600), "end": str(NOW_S)}
    health = data(client.post("/api/v1/query", data={"query": "1+1", "time": "4"}))
    assert health == {"resultType": "scalar", "result": [4, "2"]}
    version = data(client.get("/api/v1/status/buildinfo"))
    assert "features" not in version and int(version["version"].split(".")[0]) >= 3
    names = data(client.post("/api/v1/labels", data=times))
    assert names == ["__name__", "shop", "zone"]
    of_metric = times | {"match[]": '{__name__="sales_total"}'}
    assert data(client.post("/api/v1/labels", data=of_metric)) == names
    assert data(client.get("/api/v1/labels", params=of_metric)) == names
    assert data(client.get("/api/v1/label/__name__/values", params=times)) == ["sales_total"]
    zone = data(client.get("/api/v1/label/zone/values", params=of_metric | {"limit": "40000"}))
    assert zone == ["z0", "z1"]
    assert data(client.get("/api/v1/metadata", params={"limit": "40000"})) == {
        "sales_total": [{"type": "counter", "unit": "", "help": "What was sold."}]
    }
    assert len(data(client.post("/api/v1/series", data=of_metric | {"limit": "40000"}))) == 4
    # A panel: the step in seconds with a fraction, the range on its multiples, instant and range by form.
    panel = {
        "query": "sum by (zone) (rate(sales_total[1m0s]))",
        "step": "15.000",
        "start": f"{NOW_S - 900}.000",
    }
    answer = data(client.post("/api/v1/query_range", data=panel | {"end": f"{NOW_S}.000"}))
    assert answer["resultType"] == "matrix"
    assert [one["metric"] for one in answer["result"]] == [{"zone": "z0"}, {"zone": "z1"}]
    assert {len(one["values"]) for one in answer["result"]} == {61}
    table = data(client.post("/api/v1/query", data={"query": "topk(2, sales_total)", "time": f"{NOW_S}.250"}))
    assert len(table["result"]) == 2
    assert data(client.post("/api/v1/query_exemplars", data=times | {"query": "sales_total"})) == []
    for path in ("rules", "alerts", "rules?type=alert"):
        assert list(data(client.get(f"/api/v1/{path}")).values()) == [[]]
    assert data(client.post("/api/v1/format_query", data={"query": "sum(sales_total)by(zone)"})) == (
        "sum by (zone) (sales_total)"
    )
    tree = data(client.post("/api/v1/parse_query", data={"query": "sum by (zone) (sales_total)"}))
    assert (tree["type"], tree["grouping"], tree["expr"]["name"]) == ("aggregation", ["zone"], "sales_total")


def test_what_client_libraries_ask(client: httpx.Client) -> None:
    """prometheus-api-client: its connection check, all metrics, and a range as a range vector of an instant query."""
    assert client.get("/", params={"time": "4"}, follow_redirects=True).status_code == 200
    assert data(client.get("/api/v1/label/__name__/values")) == ["sales_total"]
    chunk = data(client.get("/api/v1/query", params={"query": "sales_total{shop='1'}[600s]", "time": NOW_S}))
    assert chunk["resultType"] == "matrix"
    (only,) = chunk["result"]
    assert only["values"][-1] == [NOW_S, "240"]
    assert len(only["values"]) == 40
    custom: dict[str, str | int] = {
        "query": "sum(sales_total)",
        "start": NOW_S - 60,
        "end": NOW_S,
        "step": "30s",
    }
    result = data(client.get("/api/v1/query_range", params=custom))["result"]
    assert [value for _, value in result[0]["values"]] == ["944", "952", "960"]


def test_without_the_token_nothing_is_told(url: str) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic eDp5"},
        {"Authorization": "Basic x"},
    ):
        for path in ("query?query=1", "labels", "series?match[]=x", "status/flags", "metadata"):
            answer = httpx.get(f"{url}/api/v1/{path}", headers=headers)
            assert answer.status_code == 401
            assert "sales" not in answer.text

"""The API of resources, faults, queries and health, and the shape of errors."""

from __future__ import annotations

import json

import httpx
import pytest

from setpoint.app import App, default_registry
from tests.web.conftest import HTML, JSON, NOW_MS, requests, send, services, slo


def files(text: str) -> dict[str, object]:
    return {"files": [{"name": "o.yaml", "text": text}]}


def test_resources_from_plan_to_deletion(client: httpx.Client) -> None:
    text = services("shop") + "\n---\n" + slo("shop-answers", "shop")
    planned = client.post("/api/resources", json=files(text) | {"dry_run": True}).json()
    assert [change["action"] for change in planned["changes"]] == ["created", "created"]
    assert client.get("/api/resources").json() == {"items": []}
    client.post("/api/resources", json=files(text), headers={"X-Setpoint-Actor": "ada"})
    again = client.post("/api/resources", json=files(text)).json()
    assert {change["action"] for change in again["changes"]} == {"unchanged"}
    assert [item["name"] for item in client.get("/api/resources?kind=SLO").json()["items"]] == [
        "shop-answers"
    ]
    assert client.get("/api/resources/SLO/shop-answers").json()["author"] == "ada"
    assert client.get("/objectives/shop-answers", headers=JSON).json()["state"] == "no data"
    assert client.delete("/api/resources/SLO/shop-answers").json()["action"] == "deleted"
    assert client.get("/api/resources/SLO/shop-answers").status_code == 404
    assert client.get("/objectives/shop-answers", headers=JSON).status_code == 404
    assert len(client.get("/api/resources/SLO/shop-answers/revisions").json()["items"]) == 2


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("slo", "did you mean 'SLO'?"),
        ("Banana", f"write one of {', '.join(kind for _, kind in default_registry().kinds)}"),
    ],
)
def test_a_list_of_an_unknown_kind_is_refused(client: httpx.Client, kind: str, advice: str) -> None:
    answer = client.get("/api/resources", params={"kind": kind})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"the kind '{kind}' is not known; {advice}"
    assert client.get("/api/resources?kind=SLO").json() == {"items": []}


def test_invalid_documents_name_file_and_line(client: httpx.Client) -> None:
    text = slo("shop-answers", "shop").replace("target: 0.999", "target: 1")
    for path in ("/api/resources", "/api/resources/validate"):
        answer = client.post(path, json=files(text))
        assert answer.status_code == 400
        problems = answer.json()["error"]["problems"]
        assert any(problem["file"] == "o.yaml" and problem["line"] for problem in problems)
    assert client.get("/api/resources").json() == {"items": []}
    valid = client.post("/api/resources/validate", json=files(services("shop"))).json()
    assert valid["items"] == [{"kind": "Service", "name": "shop", "file": "o.yaml", "line": 1}]


@pytest.mark.parametrize(
    "body", ["", "{", "[]", '{"files": 3}', '{"files": [{"name": "x"}]}', '{"filez": []}', "[" * 100_000]
)
def test_broken_bodies(client: httpx.Client, body: str) -> None:
    answer = client.post("/api/resources", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_input"


def test_faults_need_the_shop(client: httpx.Client) -> None:
    fault = {"service": "checkout", "fault": "errors", "parameters": {"error_ratio": 0.3}}
    refused = client.post("/api/demo/faults", json=fault)
    assert refused.status_code == 409
    assert "setpoint demo" in refused.json()["error"]["message"]
    assert client.get("/api/demo/faults").json() == {"items": []}
    assert client.post("/api/demo/faults", json=fault, headers={"X-Setpoint-Actor": "ada"}).status_code == 201
    shop = client.get("/api/demo").json()
    assert shop["running"] is True
    assert [(one["service"], one["actor"]) for one in shop["faults"]] == [("checkout", "ada")]
    assert "errors" in shop["kinds"]
    assert client.post("/api/demo/faults", json=fault | {"fault": "erors"}).status_code == 400
    assert len(client.delete("/api/demo/faults", params={"service": "checkout"}).json()["items"]) == 1
    assert client.get("/api/demo").json()["faults"] == []


def test_prometheus_query(client: httpx.Client, parts: App) -> None:
    send(parts, requests("shop", NOW_MS, [0, 50, 0]))
    query = 'sum by (code) (requests_total{service_name="shop"})'
    got = client.get("/api/v1/query", params={"query": query, "time": NOW_MS / 1000}).json()
    assert got["status"] == "success"
    assert got["data"]["resultType"] == "vector"
    assert sorted((one["metric"]["code"], one["value"][1]) for one in got["data"]["result"]) == [
        ("200", "250"),
        ("500", "50"),
    ]
    posted = client.post("/api/v1/query", data={"query": query, "time": "2027-01-09T12:00:00Z"}).json()
    assert posted == got
    assert client.get("/api/v1/query", params={"query": query}).json() == got, "now is the default"
    ranged = client.post(
        "/api/v1/query_range",
        data={"query": query, "start": NOW_MS / 1000 - 10, "end": NOW_MS / 1000, "step": "5s"},
    ).json()
    assert ranged["data"]["resultType"] == "matrix"
    assert [len(one["values"]) for one in ranged["data"]["result"]] == [3, 3]


@pytest.mark.parametrize(
    ("path", "parameters", "words"),
    [
        ("query", {}, "query"),
        ("query", {"query": "sum("}, ""),
        ("query", {"query": "1", "time": "yesterday"}, "timestamp"),
        ("query", {"query": "1", "time": "inf"}, "timestamp"),
        ("query_range", {"query": "1", "start": "2", "end": "1", "step": "1"}, "end timestamp"),
        ("query_range", {"query": "1", "start": "0", "end": "1", "step": "0"}, "step"),
        ("query_range", {"query": "1", "start": "0", "end": "1", "step": "soon"}, "duration"),
        ("query_range", {"query": "1", "start": "0", "end": "1e9", "step": "1"}, "11,000 points"),
    ],
)
def test_prometheus_errors(client: httpx.Client, path: str, parameters: dict[str, str], words: str) -> None:
    answer = client.get(f"/api/v1/{path}", params=parameters)
    assert answer.status_code == 400
    error = answer.json()
    assert (error["status"], error["errorType"]) == ("error", "bad_data")
    assert words in error["error"]


def test_status(populated: httpx.Client) -> None:
    status = populated.get("/api/status").json()
    assert status["uptime_s"] == 60
    assert status["memory_bytes"] > 10_000_000
    assert status["signals"]["samples"] > 0
    assert {one["service"] for one in status["services"]} == {"catalog", "search", "checkout"}
    assert status["objectives"] == {"exhausted": 1, "burning": 1, "no data": 1, "healthy": 1}


def test_healthy_and_ready(client: httpx.Client) -> None:
    assert client.get("/-/healthy").json() == {"status": "healthy"}
    assert client.get("/-/ready").json() == {"status": "ready"}


def test_home_leads_to_the_objectives(client: httpx.Client) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (307, "/objectives")


def test_nothing_here_helps(client: httpx.Client) -> None:
    page = client.get("/nope", headers=HTML)
    assert page.status_code == 404
    assert "/timeline" in page.text
    error = client.get("/api/nope", headers=HTML)
    assert error.json()["error"]["code"] == "not_found"
    assert client.put("/api/timeline").json()["error"]["code"] == "method_not_allowed"


def test_hostile_paths_are_escaped(client: httpx.Client) -> None:
    page = client.get("/objectives/%3Cscript%3Ealert(1)%3C%2Fscript%3E", headers=HTML)
    assert page.status_code == 404
    assert "<script>alert" not in page.text
    assert client.get("/static/../page.py").status_code == 404
    assert client.get("/static/%2e%2e/page.py").status_code == 404


def test_static_files_are_kept(client: httpx.Client) -> None:
    assert "immutable" in client.get("/static/setpoint.css").headers["cache-control"]
    assert client.get("/static/vendor/inter-5.3.0-latin.woff2").status_code == 200


def test_otlp_arrives_on_the_main_port(client: httpx.Client) -> None:
    answer = client.post("/v1/metrics", content=json.dumps({}), headers={"Content-Type": "application/json"})
    assert answer.status_code == 200

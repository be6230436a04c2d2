"""The timeline's page: filters, paging, days; deploy markers through the API."""

from __future__ import annotations

import httpx
import pytest

from setpoint.app import App
from tests.web.conftest import HTML, JSON, NOW_MS

DAY_MS = 86_400_000


def summaries(client: httpx.Client, query: str = "") -> list[str]:
    return [item["summary"] for item in client.get(f"/timeline{query}", headers=JSON).json()["items"]]


@pytest.fixture
def told(client: httpx.Client, parts: App) -> httpx.Client:
    parts.timeline.append("deploy", "checkout 1", service="checkout", at_ms=NOW_MS - DAY_MS)
    parts.timeline.append("deploy", "catalog 1", service="catalog", at_ms=NOW_MS - 2000)
    parts.timeline.append(
        "objective.state",
        "x is burning",
        service="checkout",
        data={"state": "burning", "n": [1]},
        at_ms=NOW_MS - 1000,
    )
    return client


def test_newest_first_with_day_headings(told: httpx.Client) -> None:
    assert summaries(told) == ["x is burning", "catalog 1", "checkout 1"]
    page = told.get("/timeline", headers=HTML).text
    assert page.index("Saturday, 9 January 2027") < page.index("catalog 1")
    assert page.index("catalog 1") < page.index("Friday, 8 January 2027") < page.index("checkout 1")
    assert "2027-01-09 11:59:59 UTC" in page


def test_filters(told: httpx.Client) -> None:
    assert summaries(told, "?service=checkout") == ["x is burning", "checkout 1"]
    assert summaries(told, "?kind=deploy") == ["catalog 1", "checkout 1"]
    assert summaries(told, "?kind=deploy&kind=objective.state&service=checkout") == [
        "x is burning",
        "checkout 1",
    ]
    assert summaries(told, "?service=&kind=") == summaries(told), (
        "an empty choice of the form filters nothing"
    )
    page = told.get("/timeline?service=nobody", headers=HTML).text
    assert "No such event" in page
    assert "<option selected>nobody</option>" in page


def test_paging_reaches_every_event_once(client: httpx.Client, parts: App) -> None:
    for number in range(7):
        parts.timeline.append("deploy", f"n{number}", service="a&b", at_ms=NOW_MS + number)
    seen: list[str] = []
    url: str | None = "/timeline?limit=3&service=a%26b&kind=deploy"
    while url:
        page = client.get(url, headers=JSON).json()
        seen += [item["summary"] for item in page["items"]]
        url = page["next"]
    assert seen == [f"n{number}" for number in range(6, -1, -1)]
    html = client.get("/timeline?limit=3", headers=HTML).text
    assert 'rel="next"' in html


def test_a_deploy_marker(client: httpx.Client) -> None:
    body = {
        "kind": "deploy",
        "summary": "checkout 4.12",
        "service": "checkout",
        "at": NOW_MS,
        "key": "build-7",
    }
    first = client.post("/api/timeline", json=body, headers={"X-Setpoint-Actor": "ada"})
    again = client.post("/api/timeline", json=body)
    assert first.status_code == 201
    assert first.json()["actor"] == "ada"
    assert again.json()["id"] == first.json()["id"]
    assert len(summaries(client)) == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        "text",
        {"kind": "deploy"},
        {"kind": "", "summary": "x"},
        {"kind": "a b", "summary": "x"},
        {"kind": "d", "summary": "x", "at": -1},
        {"kind": "d", "summary": "x", "colour": 1},
        {"kind": "d", "summary": "x" * 5000},
        {"kind": "gate.decided", "summary": "checkout may be released", "service": "checkout"},
        {"kind": "policy.lifted", "summary": "x"},
        {"kind": "deploy", "summary": "x", "key": "gate.decided 0123456789abcdef 29924375"},
    ],
)
def test_bad_markers_change_nothing(client: httpx.Client, body: object) -> None:
    answer = client.post("/api/timeline", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["problems"]
    assert summaries(client) == []


@pytest.mark.parametrize("query", ["limit=0", "limit=100000", "before_id=0", "before_id=x"])
def test_bad_queries(client: httpx.Client, query: str) -> None:
    assert client.get(f"/timeline?{query}", headers=JSON).status_code == 400

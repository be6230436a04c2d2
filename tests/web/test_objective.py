"""Objectives: one URL for page and JSON, filter, sort, hostile names, history."""

from __future__ import annotations

import re

import httpx
import pytest

from setpoint.app import App
from tests.web.conftest import HTML, JSON, NOW_MS, apply, requests, send, services, slo


def names(page: str) -> list[str]:
    return re.findall(r'<tr id="o-([^"]+)"', page)


def test_the_same_url_gives_page_and_json(populated: httpx.Client) -> None:
    page = populated.get("/objectives", headers=HTML)
    data = populated.get("/objectives", headers=JSON)
    assert page.headers["content-type"].startswith("text/html")
    assert data.headers["content-type"] == "application/json"
    assert names(page.text) == [item["name"] for item in data.json()["items"]]
    assert page.headers["vary"].startswith("Accept")


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json", "application/json"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
        ("*/*", "text/html"),
        ("application/json;q=0.4, text/html;q=0.9", "text/html"),
        ("text/html;q=0.4, application/json", "application/json"),
        ("application/json;q=nonsense", "text/html"),
        ("application/json;q=\xb2", "text/html"),  # a digit, and no number
    ],
)
def test_accept_decides(client: httpx.Client, accept: str, kind: str) -> None:
    answer = client.get("/objectives", headers={b"Accept": accept.encode("latin-1")})
    assert answer.headers["content-type"].startswith(kind)


def test_every_state_has_word_shape_and_count(populated: httpx.Client) -> None:
    items = populated.get("/objectives", headers=JSON).json()["items"]
    assert {item["name"]: item["state"] for item in items} == {
        "catalog-availability": "healthy",
        "search-availability": "exhausted",
        "checkout-availability": "burning",
        "invoice-freshness": "no data",
    }
    page = populated.get("/objectives", headers=HTML).text
    for state in ("exhausted", "burning", "no data", "healthy"):
        assert f"1 {state}</a>" in page
        assert f"<span>{state}</span>" in page
    assert "Look at <a" in page
    assert '<b title="3 of 4 not healthy">3' in page


def test_worst_first_and_other_orders(populated: httpx.Client) -> None:
    def order(sort: str) -> list[str]:
        return [
            item["name"] for item in populated.get(f"/objectives?sort={sort}", headers=JSON).json()["items"]
        ]

    assert order("remaining")[:2] == ["search-availability", "checkout-availability"]
    assert order("remaining")[-1] == "catalog-availability"
    assert order("name") == sorted(order("name"))
    assert order("burn")[0] == "search-availability"
    assert order("burn")[-1] == "invoice-freshness"
    assert populated.get("/objectives?sort=colour", headers=JSON).status_code == 400


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("service:checkout", {"checkout-availability"}),
        ("state:burning", {"checkout-availability"}),
        ("state:no-data", {"invoice-freshness"}),
        ('state:"no data"', {"invoice-freshness"}),
        ("team:web", {"catalog-availability", "search-availability"}),
        ("team:web state:healthy", {"catalog-availability"}),
        ("fresh", {"invoice-freshness"}),
        ("AVAIL search", {"search-availability"}),
        ("team:nobody", set()),
        ("colour:red", set()),
    ],
)
def test_filter(populated: httpx.Client, query: str, expected: set[str]) -> None:
    items = populated.get("/objectives", params={"q": query}, headers=JSON).json()["items"]
    assert {item["name"] for item in items} == expected
    page = populated.get("/objectives", params={"q": query}, headers=HTML).text
    assert set(names(page)) == expected
    assert ("None of 4 objectives matches" in page) == (not expected)


def test_the_filter_comes_back_escaped(populated: httpx.Client) -> None:
    hostile = '"><script>alert(1)</script>'
    page = populated.get("/objectives", params={"q": hostile}, headers=HTML).text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_hostile_texts_of_users_are_escaped(client: httpx.Client, parts: App) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    apply(client, services("evil"), slo("evil", "evil").replace("evil of everybody", f"'{hostile}'"))
    client.post(
        "/api/timeline",
        json={"kind": "deploy", "summary": hostile, "service": "evil", "data": {hostile: hostile}},
    )
    for path in ("/objectives", "/objectives/evil", "/timeline"):
        page = client.get(path, headers=HTML).text
        assert "<img" not in page, path
        assert "&lt;img src=x" in page, path


def test_empty_page_teaches_the_next_command(client: httpx.Client) -> None:
    page = client.get("/objectives", headers=HTML).text
    assert "setpoint demo" in page
    assert "setpoint apply -f" in page
    answer = client.get("/objectives", headers=JSON).json()
    assert (answer["items"], answer["total"], answer["next"]) == ([], 0, None)


def test_one_objective_explains_itself(populated: httpx.Client) -> None:
    status = populated.get("/objectives/checkout-availability", headers=JSON).json()
    page = populated.get("/objectives/checkout-availability", headers=HTML).text
    assert status["state"] == "burning"
    assert 0 < status["budget_left"] < 1
    for text in (
        status["reason"].removeprefix("burning"),
        "How is this computed?",
        "Burn rate against its thresholds",
    ):
        assert text in page
    assert status["explanation"].splitlines()[0] in page.replace("&#39;", "'")
    assert f"{status['total']:,.0f}" in page
    assert page.count('<tr class="firing"') == sum(rate["firing"] for rate in status["burn"])
    assert page.count('<li class="firing"') == sum(alert["state"] == "firing" for alert in status["alerts"])
    assert "<polyline" in page, "the chart is there without JavaScript"
    assert "SLO checkout-availability" in page, "the service's events are listed"


def test_the_last_change_stands_in_the_header(populated: httpx.Client) -> None:
    """The cause is looked for first: what changed this service, and what changed elsewhere while it suffers."""
    page = populated.get("/objectives/checkout-availability", headers=HTML).text
    assert "No deploy or fault of checkout in the last day is known" in page
    for kind, summary, service, at in (
        ("demo.fault", "checkout answers 500", "checkout", NOW_MS - 60_000),
        ("deploy", "payment 7", "payment", NOW_MS - 30_000),
        ("deploy", "checkout of old", "checkout", NOW_MS - 2 * 86_400_000),
    ):
        populated.post("/api/timeline", json={"kind": kind, "summary": summary, "service": service, "at": at})
    cause = populated.get("/objectives/checkout-availability", headers=HTML).text.split('id="cause">')[1]
    cause = re.sub(r"<svg.*?</svg>|<[^>]*>", "", cause.split("</p>")[0]).replace("\u00a0", " ")
    assert re.sub(r"\s+", " ", cause) == (
        "Last change to checkout: checkout answers 500, 1 min ago; elsewhere payment 7, 30 s ago"
    )
    healthy = populated.get("/objectives/catalog-availability", headers=HTML).text
    assert "elsewhere" not in healthy


def test_the_verdict_and_the_figure_name_the_same_burn(populated: httpx.Client, parts: App) -> None:
    for status in parts.objectives.statuses():
        page = populated.get(f"/objectives/{status.name}", headers=HTML).text
        figure = page.split("<h2>Burn")[1].split("<small>")[0]
        if status.state == "no data":
            assert status.burn_now is None
            assert "<b>–</b>" in figure
        elif status.reason.startswith("burning "):
            assert f"<b>{status.reason.split()[1].rstrip(':')}</b>" in figure
            assert status.burn_now_s > 0


def test_a_state_is_called_by_its_word_on_the_chart(populated: httpx.Client, parts: App) -> None:
    for whose in ("checkout-availability", "checkout-latency"):
        data = {"objective": whose, "state": "burning"}
        told = f"{whose} is burning"
        parts.timeline.append("objective.state", told, service="checkout", data=data, at_ms=NOW_MS - 1000)
    history = populated.get("/objectives/checkout-availability/history?range=3600").json()
    labels = {event["label"] for event in history["events"] if event["at_ms"] == NOW_MS - 1000}
    assert labels == {"burning", "checkout-latency burning"}


def test_the_line_starts_whole_where_the_data_start(populated: httpx.Client) -> None:
    history = populated.get("/objectives/checkout-availability/history?range=3600&points=60").json()
    first = next(index for index, left in enumerate(history["budget_left"]) if left is not None)
    assert history["budget_left"][first] == 1
    assert first == 0 or not history["has_data"][first]
    assert history["burn_s"] == 300


def test_a_refresh_leaves_the_drawn_chart_out(populated: httpx.Client) -> None:
    page = populated.get("/objectives/checkout-availability", headers=HTML | {"HX-Request": "true"}).text
    assert 'class="drawn"' not in page
    assert 'id="chart"' in page


def test_unknown_objective(populated: httpx.Client) -> None:
    answer = populated.get("/objectives/nothing", headers=JSON)
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    page = populated.get("/objectives/nothing", headers=HTML)
    assert page.status_code == 404
    assert 'href="/objectives"' in page.text


def test_what_a_policy_does_is_marked(populated: httpx.Client, parts: App) -> None:
    for ago_s, kind in ((40, "policy.freeze"), (20, "policy.lifted")):
        summary = "checkout may release nothing until 10 % of the budget is back, and so on"
        parts.timeline.append(kind, summary, service="checkout", at_ms=NOW_MS - 1000 * ago_s)
    events = populated.get("/objectives/checkout-availability/history?range=3600").json()["events"]
    labels = [event["label"] for event in events if event["kind"].startswith("policy.")]
    assert sorted(labels) == ["releases frozen", "releases go on"]


def test_history_holds_columns_and_events(populated: httpx.Client) -> None:
    populated.post(
        "/api/timeline",
        json={"kind": "deploy", "summary": "checkout 2", "service": "checkout", "at": NOW_MS - 1000},
    )
    history = populated.get("/objectives/checkout-availability/history?range=3600&points=60").json()
    length = len(history["times_ms"])
    assert length > 1
    for column in ("budget_left", "burn", "good", "total", "has_data"):
        assert len(history[column]) == length
    assert history["budget_left"][-1] < history["budget_left"][0] <= 1
    assert "checkout 2" in [event["summary"] for event in history["events"]]
    assert history["end_ms"] - history["start_ms"] == 3_600_000


@pytest.mark.parametrize("query", ["since=5&until=4", "points=1", "points=999999", "range=-3", "since=x"])
def test_bad_history_requests(populated: httpx.Client, query: str) -> None:
    answer = populated.get(f"/objectives/checkout-availability/history?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_input"


def test_a_big_fleet(client: httpx.Client, parts: App) -> None:
    send(parts, requests("catalog", NOW_MS, [0] * 8))
    apply(client, services("catalog"), *(slo(f"objective-{number}", "catalog") for number in range(120)))
    page = client.get("/objectives", headers=HTML)
    assert len(names(page.text)) == 100
    assert 'data-every="6"' in page.text
    rest = client.get(
        re.findall(r'href="([^"]+)" rel="next"', page.text)[0].replace("&amp;", "&"), headers=HTML
    )
    assert len(set(names(page.text)) | set(names(rest.text))) == 120
    assert len(client.get("/objectives?q=objective-119", headers=JSON).json()["items"]) == 1

"""Reports and teams over HTTP: pages, JSON, Markdown, CSV, and what is refused."""

from __future__ import annotations

import csv
import io

import httpx
import pytest

from setpoint.app import App
from tests.web.conftest import HTML, JSON, NOW_MS, apply, slo

TEAMS = """
apiVersion: setpoint/v1
kind: Team
metadata: {name: shop, displayName: The shop}
spec: {description: All that customers see, timeZone: Europe/Berlin}
---
apiVersion: setpoint/v1
kind: Team
metadata: {name: finding}
spec: {services: [search, invoicing], partOf: shop, members: [{name: Ann Example}], contact: '#finding'}
---
apiVersion: setpoint/v1
kind: Report
metadata: {name: weekly}
spec: {period: week, team: shop}
"""


@pytest.fixture
def told(populated: httpx.Client, parts: App) -> httpx.Client:
    """Teams, an alert and a deploy beside the four objectives."""
    apply(populated, TEAMS)
    alert = {"objective": "search-availability", "policy": "fast", "severity": "page"}
    parts.timeline.append("alert.fired", "search: fast fires", service="search", data=alert)
    parts.timeline.append("deploy", "search <b>2.0</b> | out", service="search", at_ms=NOW_MS - 5 * 60_000)
    parts.objectives.tick()
    return populated


def test_a_week_of_everything(told: httpx.Client) -> None:
    answer = told.get("/reports/week", headers=JSON).json()
    assert answer["period"]["name"] == "2027-W01"
    assert answer["verdicts"] == {"kept": 2, "missed": 1, "don't know": 0, "no data": 1}
    assert answer["pages"] == 1
    worst = answer["objectives"][0]
    assert worst["verdict"] == "missed"
    assert worst["used"] == pytest.approx(worst["bad"] / worst["allowed"])
    assert worst["allowed"] == pytest.approx(worst["total"] * (1 - worst["target"]))
    found = {(line["objective"], line["kind"]): line for line in answer["causes"]}
    assert ("search-availability", "deploy") in found
    bad = sum(line["bad"] for line in answer["objectives"])
    assert sum(line["bad"] for line in answer["causes"]) == pytest.approx(bad)
    assert sum(line["share"] for line in answer["causes"]) == pytest.approx(1)
    page = told.get("/reports/week", headers=HTML)
    assert "Who spent the budgets" in page.text
    assert page.status_code == 200
    assert "2 of 4 objectives are kept" in page.text
    assert "search &lt;b&gt;2.0&lt;/b&gt; | out" in page.text


def test_a_team_has_its_services_and_its_parts(told: httpx.Client) -> None:
    names = {
        line["name"] for line in told.get("/reports/week?team=finding", headers=JSON).json()["objectives"]
    }
    assert names == {"invoice-freshness"}, "search says of itself that it is of another team"
    whole = told.get("/teams/shop", headers=JSON).json()
    assert [line["name"] for line in whole["report"]["objectives"]] == ["invoice-freshness"]
    assert whole["services"] == ["invoicing", "search"]
    labelled = told.get("/reports/week?team=web", headers=JSON).json()
    assert {line["name"] for line in labelled["objectives"]} == {
        "catalog-availability",
        "search-availability",
    }
    lines = {line["name"]: line for line in told.get("/teams", headers=JSON).json()["items"]}
    assert set(lines) == {"finding", "payments", "shop", "web"}
    assert lines["finding"]["members"] == 1
    assert lines["finding"]["counts"]["no data"] == 1
    assert told.get("/objectives?q=team:=finding", headers=JSON).json()["matching"] == 1


def test_a_service(told: httpx.Client) -> None:
    answer = told.get("/reports/2027-01?service=search", headers=JSON).json()
    assert [line["name"] for line in answer["objectives"]] == ["search-availability"]
    assert answer["period"]["kind"] == "month"
    assert (
        told.get("/reports/last-quarter?service=search", headers=JSON).json()["period"]["name"] == "2026-Q4"
    )


def test_markdown_says_what_the_page_says(told: httpx.Client) -> None:
    answer = told.get("/reports/week?format=md")
    assert answer.headers["content-type"].startswith("text/markdown")
    assert answer.text.startswith("# 2027-W01: everything\n")
    assert "4 to 10 January 2027, UTC (not over yet)" in answer.text
    assert "| missed | search-availability | 99 % |" in answer.text.replace("\u00a0", " ")
    assert "search \\<b\\>2.0\\</b\\> \\| out" in answer.text


def test_csv_has_a_line_for_each_objective(told: httpx.Client) -> None:
    answer = told.get("/reports/week?format=csv")
    assert answer.headers["content-disposition"] == 'inline; filename="2027-W01.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 4
    by_name = {row["objective"]: row for row in rows}
    assert by_name["invoice-freshness"]["sli"] == ""
    assert float(by_name["catalog-availability"]["sli"]) == 1


def test_a_team_may_be_called_anything(client: httpx.Client) -> None:
    apply(client, slo("odd", "odd", team="'böse — \"<blink>\"'"))
    for form in ("csv", "md", "json", "html"):
        answer = client.get("/reports/week", params={"team": 'böse — "<blink>"', "format": form})
        assert answer.status_code == 200, form
        assert "<blink>" not in answer.text or form in ("csv", "json")
    answer = client.get("/reports/week", params={"team": 'böse — "<blink>"', "format": "csv"})
    assert answer.headers["content-disposition"] == 'inline; filename="2027-W01-b-se-blink-.csv"'


def test_pages_of_teams_and_reports(told: httpx.Client, parts: App) -> None:
    assert "The shop: this week" in told.get("/teams/shop", headers=HTML).text
    teams = told.get("/teams", headers=HTML).text
    assert "part of shop" in teams
    assert "No team answers for" not in teams, "all four services have one"
    parts.reports.make_due()
    listed = told.get("/reports", headers=HTML).text
    assert "every week, of shop" in listed
    stored = told.get("/reports", headers=JSON).json()
    assert [one["period"] for one in stored["items"]] == ["2026-W53"]
    kept = told.get(stored["items"][0]["url"], headers=JSON).json()
    assert kept["is_final"]
    assert kept["scope"] == {"kind": "team", "name": "shop"}


def test_the_form_leads_to_a_report(client: httpx.Client) -> None:
    answer = client.get("/reports/open?scope=team:shop&period=last-month")
    assert (answer.status_code, answer.headers["location"]) == (303, "/reports/last-month?team=shop")
    assert client.get("/reports/open?scope=&period=week").headers["location"] == "/reports/week"


def test_nobody_was_paged(populated: httpx.Client) -> None:
    assert (
        "Nobody was paged; no deploy is known." in populated.get("/reports/week", headers=JSON).json()["lead"]
    )


def test_an_empty_server_teaches(client: httpx.Client) -> None:
    assert "No teams yet" in client.get("/teams", headers=HTML).text
    assert "kind: Report" in client.get("/reports", headers=HTML).text
    assert "No objective belongs to everything" in client.get("/reports/week", headers=HTML).text


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/reports/yesterday", 400, "is no period"),
        ("/reports/week?team=nobody", 404, "there is no team 'nobody'"),
        ("/reports/week?service=nothing", 404, "there is no service 'nothing'"),
        ("/reports/week?team=a&service=b", 400, "not both"),
        ("/reports/week?zone=Mars/Olympus", 400, "no time zone"),
        ("/reports/week?zone=../../etc/passwd", 400, "no time zone"),
        ("/reports/week?format=pdf", 400, "format"),
        ("/teams/nobody", 404, "there is no team"),
    ],
)
def test_what_is_not_there_is_said(client: httpx.Client, path: str, status: int, message: str) -> None:
    answer = client.get(path, headers=JSON)
    assert answer.status_code == status
    assert message in answer.text

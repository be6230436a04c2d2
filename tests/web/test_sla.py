"""SLAs over HTTP, in a terminal and on the page: applied, judged by the calendar, credit owed, refused where wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from setpoint.app import App
from tests.web.conftest import HTML, JSON, NOW_MS, apply

SETPOINT = str(Path(sys.executable).with_name("setpoint"))
GOLD = """
apiVersion: setpoint/v1
kind: SLA
metadata: {name: gold, displayName: Gold}
spec:
  description: What gold pays for.
  service: checkout
  customer: everybody with gold
  period: month
  timeZone: Europe/Berlin
  startsOn: "2027-01-09 10:59"
  objectives:
    - {objective: checkout-availability, targetPercent: 98}
    - objective: search-availability
      target: 0.95
      credits: [{below: 95, percent: 50}]
  credits: [{below: 95, percent: 10}, {below: 90, percent: 25}]
"""


def gold(client: httpx.Client, **parameters: int) -> dict[str, Any]:
    found = client.get("/slas/gold", params=parameters, headers=JSON)
    found.raise_for_status()
    return dict(found.json())


def test_an_sla_of_a_month(populated: httpx.Client, parts: App) -> None:
    apply(populated, GOLD)
    told = gold(populated)
    (month,) = told["periods"]
    # January begins at midnight of Berlin, and the counters two hours before noon of the 9th.
    assert month["start_ms"] == 1_798_758_000_000 == NOW_MS - (8 * 24 + 13) * 3600_000
    assert (month["label"], month["is_over"]) == ("January 2027", False)
    checkout, search = month["promises"]
    status = parts.objectives.status("checkout-availability")
    assert (checkout["bad"], checkout["total"]) == (status.bad, status.total)
    assert checkout["sli"] == pytest.approx(status.sli)
    assert checkout["target"] == 0.98
    assert checkout["state"] == "at risk" or checkout["state"] == "kept"
    assert checkout["expected"] > 100 * checkout["total"], "most of the month is to come"
    assert search["credit"] == (0.5 if search["sli"] < 0.95 else 0)
    assert told["credit"] == max(checkout["credit"], search["credit"])
    listed = populated.get("/slas", headers=JSON).json()["items"]
    assert [(one["name"], one["state"]) for one in listed] == [("gold", told["state"])]
    assert populated.get("/slas/none", headers=JSON).status_code == 404
    assert populated.get("/slas/gold?periods=99", headers=JSON).status_code in (400, 422)


def test_what_was_not_seen_is_not_kept(populated: httpx.Client) -> None:
    """A week of January lies before the first sample: it may have been bad."""
    apply(populated, GOLD.replace('  startsOn: "2027-01-09 10:59"\n', ""))
    told = gold(populated)
    checkout = told["periods"][0]["promises"][0]
    assert told["state"] == "don't know"
    assert checkout["state"] == "don't know"
    assert checkout["unseen_minutes"] == pytest.approx((8 * 24 + 11) * 60, abs=3)
    assert checkout["credit_highest"] == 0.25
    assert "were not seen" in checkout["reason"]


def test_pages_and_terminal(populated: httpx.Client) -> None:
    assert "No SLA is declared" in populated.get("/slas", headers=HTML).text
    assert "No SLA is declared" in run(populated, "list")
    apply(populated, GOLD)
    page = populated.get("/slas", headers=HTML).text
    assert "Gold" in page
    assert "everybody with gold" in page
    own = populated.get("/slas/gold", headers=HTML).text
    assert "What gold pays for." in own
    assert "checkout-availability" in own
    assert "gold" in run(populated, "list")
    quarter = GOLD.replace("name: gold", "name: quarterly").replace("period: month", "period: quarter")
    apply(populated, quarter)
    assert "Q1 2027" in populated.get("/slas/quarterly", headers=HTML).text
    told = run(populated, "show", "gold", "--periods", "2")
    assert "January 2027" in told
    assert "promised 98 %" in told
    assert "Gold: checkout to everybody with gold, by month (Europe/Berlin)" in told


def post(client: httpx.Client, text: str) -> httpx.Response:
    return client.post("/api/resources", json={"files": [{"name": "sla.yaml", "text": text}]})


def run(client: httpx.Client, *words: str) -> str:
    command = [SETPOINT, "sla", *words, "--server", str(client.base_url)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("objective: checkout-availability", "objective: nobody", "there is no objective 'nobody'"),
        ("below: 95, percent: 10", "below: 99, percent: 10", "above the target of 95 %"),
        ("below: 90", "below: 95", "tiers go down"),
        ("percent: 25", "percent: 10", "less kept is owed more"),
        ("targetPercent: 98", "targetPercent: 98, target: 0.98", "one of target and targetPercent"),
        ("objective: search-availability", "objective: checkout-availability", "is promised twice"),
        ("Europe/Berlin", "Mars/Base", "no time zone"),
        ("2027-01-09 10:59", "2027-01-09 10:59Z", "is no day"),
        ("2027-01-09 10:59", "yesterday", "is no day"),
        ("period: month", "period: week", "period"),
    ],
)
def test_what_makes_no_sense_is_refused(populated: httpx.Client, before: str, after: str, told: str) -> None:
    assert before in GOLD
    answer = post(populated, GOLD.replace(before, after))
    assert answer.status_code in (400, 422)
    assert told in answer.text
    assert populated.get("/slas", headers=JSON).json()["items"] == []


def test_promises_tighter_than_what_is_watched_are_warned_of(populated: httpx.Client) -> None:
    tight = GOLD.replace("targetPercent: 98", "targetPercent: 99.5")
    answer = post(populated, tight)
    assert "customers may claim before anybody is paged" in answer.text
    findings = populated.get("/lint", headers=JSON).json()["items"]
    assert any("SLA 'gold'" in one["message"] for one in findings)

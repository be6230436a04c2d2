"""Who spent a budget, over HTTP: the numbers of the documented day, with their formulas, links and bands."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import httpx
import pytest

from setpoint.app import App
from setpoint.clock import rfc3339
from tests.web import attributed
from tests.web.attributed import BAD, at
from tests.web.conftest import HTML, JSON, NOW_MS, apply

PATH = "/objectives/checkout-availability/spent"


@pytest.fixture
def day(parts: App, client: httpx.Client) -> httpx.Client:
    """The documented day."""
    attributed.spend(parts, client)
    attributed.tell(client)
    return client


def answer(client: httpx.Client, **parameters: int) -> dict[str, Any]:
    found = client.get(PATH, params=parameters, headers=JSON)
    found.raise_for_status()
    return dict(found.json())


def test_the_documented_day(day: httpx.Client) -> None:
    told = answer(day)
    assert told["bad"] == sum(BAD.values())
    assert [cause["title"] for cause in told["causes"]] == [
        "checkout 1.4.2",
        "payment loses its card gateway",
        "payment burned its own budget",
    ]
    deploy, experiment, dependency = told["causes"]
    assert deploy["bad"] == pytest.approx(BAD["deploy"], abs=0.01)
    assert experiment["bad"] == pytest.approx(BAD["experiment"], abs=0.01)
    assert dependency["bad"] == pytest.approx(BAD["dependency"], abs=0.01)
    assert told["unexplained"]["bad"] == pytest.approx(BAD["usual"] + BAD["unknown"], abs=0.05)
    parts = [*(cause["bad"] for cause in told["causes"]), told["unexplained"]["bad"]]
    assert sum(map(Fraction, parts)) == Fraction(told["bad"])
    assert sum(parts) == told["bad"]
    assert told["formula"].startswith(
        "spent = bad / (total × (1 − target)) = 4,860 / (1,728,000 × 0.005) = 56."
    )
    assert deploy["version"] == "1.4.2"
    assert deploy["events"][0]["summary"] == "checkout 1.4.2"
    assert (deploy["first_ms"], deploy["last_ms"]) == (at("09:00"), at("09:20"))
    assert deploy["stretches"][0]["formula"].startswith(
        "2,420 − 0.0833 % × 24,000 = 2,400 (usual: 0.0833 % in 60 quiet"
    )
    assert experiment["via"] == dependency["via"] == ["checkout", "payment"]
    assert experiment["objectives"] == dependency["objectives"] == ["payment-availability"]
    assert dependency["url"] == "/objectives/payment-availability"
    assert told["dependencies"] == ["payment"]
    assert told["dependencies_traced_ms"] == NOW_MS


def test_bands_over_time_add_up(day: httpx.Client) -> None:
    told = answer(day, points=24)
    bands = told["bands"]
    for cause, band in zip(told["causes"], bands["causes"], strict=True):
        assert sum(band) == cause["bad"]
    assert sum(bands["unexplained"]) == told["unexplained"]["bad"]
    assert bands["ends_ms"][-1] == NOW_MS
    assert all(
        earlier < later for earlier, later in zip(bands["ends_ms"], bands["ends_ms"][1:], strict=False)
    )


def test_any_stretch_of_time(day: httpx.Client) -> None:
    """A stretch that cuts a deploy in two gives each half its part; both make the whole."""
    first = answer(day, since=at("00:00"), until=at("09:10"))
    second = answer(day, since=at("09:10"), until=NOW_MS)
    halves = [next(c["bad"] for c in one["causes"] if c["version"] == "1.4.2") for one in (first, second)]
    assert halves == [pytest.approx(1200, abs=0.01)] * 2
    assert first["bad"] + second["bad"] == answer(day, since=at("00:00"), until=NOW_MS)["bad"]
    quiet = answer(day, since=at("11:00"), until=at("12:00"))
    assert quiet["causes"] == []
    assert (quiet["bad"], quiet["unexplained"]["bad"]) == (60, 60)
    assert quiet["harmless"] >= 3
    assert answer(day, range=3600)["start_ms"] == at("11:00")


@pytest.mark.parametrize(
    ("parameters", "status", "told"),
    [
        ({"since": NOW_MS, "until": NOW_MS}, 422, "is not before until"),
        ({"since": 1, "until": NOW_MS}, 422, "more than 400 days"),
        ({"range": 10}, 422, "range"),
        ({"points": 1}, 422, "points"),
    ],
)
def test_what_makes_no_sense_is_refused(
    populated: httpx.Client, parameters: dict[str, int], status: int, told: str
) -> None:
    found = populated.get(PATH, params=parameters, headers=JSON)
    assert found.status_code in (400, status)
    assert told in found.text
    assert populated.get("/objectives/none/spent", headers=JSON).status_code == 404


def test_without_any_event_everything_is_unexplained(parts: App, client: httpx.Client) -> None:
    attributed.spend(parts, client)
    told = answer(client)
    # Payment's burning needs no event.
    assert [cause["kind"] for cause in told["causes"]] == ["dependency"]
    found = client.get("/objectives/payment-availability/spent", headers=JSON).json()
    assert found["causes"] == []
    assert found["unexplained"]["bad"] == found["bad"] == 20 * 12 * 15
    page = client.get("/objectives/payment-availability/spent", headers=HTML).text
    assert "no deploy, fault, incident or burning dependency is known" in page
    assert "setpoint event add" in page


def test_the_pages_tell_it_without_scripts(day: httpx.Client) -> None:
    page = day.get(PATH, headers=HTML)
    assert page.status_code == 200
    for words in (
        "checkout 1.4.2",
        "2,400",
        "Unexplained",
        "4,860",
        "checkout → payment",
        "<polygon",
        "56\u00a0%",
    ):
        assert words in page.text, words
    own = day.get("/objectives/checkout-availability", headers=HTML).text
    assert "Who spent it" in own
    assert "checkout 1.4.2" in own
    assert 'href="/timeline?service=checkout&amp;kind=deploy#e-' in own


def test_no_events_and_nothing_bad(populated: httpx.Client) -> None:
    silent = populated.get("/objectives/invoice-freshness/spent", headers=HTML)
    assert "nothing was spent" in silent.text
    assert populated.get("/objectives/invoice-freshness/spent", headers=JSON).json()["of_budget"] is None
    good = populated.get("/objectives/catalog-availability/spent", headers=HTML)
    assert "Nothing was spent: all" in good.text


def test_an_event_that_is_told_late_counts(
    parts: App, client: httpx.Client, serve: Callable[..., object]
) -> None:
    attributed.spend(parts, client)
    before = answer(client)
    attributed.tell(client)
    after = answer(client)
    assert after["bad"] == before["bad"]
    assert len(after["causes"]) == len(before["causes"]) + 2


def test_what_an_adjustment_leaves_out_nobody_spent_and_no_sla_counts(parts: App, day: httpx.Client) -> None:
    """The time of the bad version is left out: its deploy spent nothing then, and the SLA says what it leaves out."""
    sla = """
apiVersion: setpoint/v1
kind: SLA
metadata: {name: gold}
spec:
  service: checkout
  startsOn: "2027-01-08 11:59"
  objectives: [{objective: checkout-availability, targetPercent: 99}]
  credits: [{below: 99, percent: 10}]
"""
    left_out = f"""
apiVersion: setpoint/v1
kind: BudgetAdjustment
metadata: {{name: left-out}}
spec:
  reason: the version was agreed to be tried
  select: {{objectives: [checkout-availability]}}
  action: exclude
  once: {{start: {rfc3339(at("09:00"))}, end: {rfc3339(at("09:20"))}}}
"""
    apply(day, sla, left_out)
    for _ in range(20):
        parts.objectives.tick()
        told = answer(day)
        if told["bad"] < 3000:
            break
    assert told["bad"] == sum(BAD.values()) - BAD["deploy"] - 20
    assert "checkout 1.4.2" not in [cause["title"] for cause in told["causes"]]
    assert sum(cause["bad"] for cause in told["causes"]) + told["unexplained"]["bad"] == told["bad"]
    promise = day.get("/slas/gold", headers=JSON).json()["periods"][0]["promises"][0]
    assert (promise["bad"], promise["excluded_minutes"]) == (told["bad"], 20)
    assert promise["unseen_minutes"] == 0

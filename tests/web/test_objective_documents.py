"""Documents of several kinds through the real book to the page: each formula, computed by hand, gives what is shown."""

from __future__ import annotations

import httpx
import pytest

from setpoint.app import App
from tests.web.conftest import HTML, JSON, NOW_MS, apply, requests, send, services, slo

ROLLING = "    - duration: 30d\n      isRolling: true\n"
MONTH = """\
    - duration: 1M
      calendar:
        startTime: 2026-01-01 00:00:00
        timeZone: Asia/Tokyo
"""
EVENTS = "  budgetingMethod: Occurrences\n  objectives:\n    - target: "
SLICES = """\
  budgetingMethod: Timeslices
  objectives:
    - timeSliceTarget: 0.9
      timeSliceWindow: 5
      target: """
COMPOSITE = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: journey}
spec:
  service: storefront
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives:
    - displayName: look
      target: 0.9
      indicator: {spec: {ratioMetric: {counter: true,
        good: {metricSource: {spec: {query: 'sum(requests_total{service_name="catalog", code="200"})'}}},
        total: {metricSource: {spec: {query: 'sum(requests_total{service_name="catalog"})'}}}}}}
    - displayName: buy
      target: 0.95
      compositeWeight: 3
      indicator: {spec: {ratioMetric: {counter: true,
        good: {metricSource: {spec: {query: 'sum(requests_total{service_name="checkout", code="200"})'}}},
        total: {metricSource: {spec: {query: 'sum(requests_total{service_name="checkout"})'}}}}}}
"""
GROUPS = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: answers}
spec:
  service: storefront
  groupBy: [service_name]
  timeWindow: [{duration: 7d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.95}]
  indicator: {spec: {ratioMetric: {counter: true,
    good: {metricSource: {spec: {query: 'sum(requests_total{code="200"})'}}},
    total: {metricSource: {spec: {query: 'sum(requests_total)'}}}}}}
"""


@pytest.fixture
def declared(parts: App, client: httpx.Client) -> httpx.Client:
    """A client of a server with two hours of traffic and an objective of each of these kinds."""
    bad = ([0] * 50 + [12] * 10) * 24
    send(parts, requests("catalog", NOW_MS, [1] * 1440))
    send(parts, requests("checkout", NOW_MS, bad))
    sliced = slo("sliced", "checkout", 0.5).replace(EVENTS, SLICES)
    monthly = slo("monthly", "checkout", 0.95).replace(ROLLING, MONTH)
    assert "Timeslices" in sliced
    assert "Tokyo" in monthly
    apply(client, services("storefront", "catalog", "checkout"), sliced, monthly, COMPOSITE, GROUPS)
    for _ in range(80):
        parts.objectives.tick()
        if not parts.objectives.overview().backfilling.any():
            return client
    raise AssertionError("the history was not counted within 80 ticks")


def computed(formula: str) -> float:
    """What a formula gives that has only figures in it."""
    plain = formula.replace(",", "").replace("−", "-").replace("×", "*").replace("\u00a0", "")
    assert set(plain) <= set("0123456789.+-*/() e"), plain
    return float(eval(plain, {}))


NAMES = ("sliced", "monthly", "journey", "journey.look", "journey.buy", "answers.catalog", "answers.checkout")


def test_each_formula_gives_what_is_shown(declared: httpx.Client) -> None:
    listed = declared.get("/objectives", headers=JSON).json()
    assert {item["name"] for item in listed["items"]} == set(NAMES)
    for name in NAMES:
        status = declared.get(f"/objectives/{name}", headers=JSON).json()
        told = declared.get(f"/objectives/{name}/explain", headers=JSON).json()
        assert status["state"] != "no data", (name, status["reason"])
        steps = {step["name"]: step for step in told["steps"]}
        for step in ("SLI", "Allowed to be bad", "Budget left"):
            assert computed(steps[step]["values"]) == pytest.approx(
                steps[step]["value"], rel=2e-3, abs=2e-3
            ), name
        assert steps["Budget left"]["value"] == pytest.approx(status["budget_left"])
        for row in told["burn"]:
            for step in (row["short"], row["long"]):
                if step["value"] is not None:
                    assert computed(step["values"]) == pytest.approx(step["value"], rel=2e-3, abs=1e-3), name


def test_units_windows_and_relations(declared: httpx.Client) -> None:
    def told(name: str) -> dict[str, object]:
        answer: dict[str, object] = declared.get(f"/objectives/{name}/explain", headers=JSON).json()
        return answer

    assert told("sliced")["unit"] == "slices"
    assert told("journey")["unit"] == "minutes"
    assert told("monthly")["unit"] == "events"
    window = told("monthly")["window"]
    assert isinstance(window, dict)
    assert window["words"].startswith("1 Jan 2027 00:00 to 1 Feb 2027 00:00, Asia/Tokyo")
    parts = told("journey")["parts"]
    assert isinstance(parts, list)
    assert [(part["name"], part["share"]) for part in parts] == [
        ("journey.look", 0.25),
        ("journey.buy", 0.75),
    ]
    assert all(part["state"] for part in parts)
    assert {item["name"] for item in declared.get("/objectives?q=slo:answers", headers=JSON).json()["items"]} == {
        "answers.catalog", "answers.checkout",
    }  # fmt: skip
    assert declared.get("/objectives?q=service_name:catalog", headers=JSON).json()["matching"] == 1


def test_every_page_and_history_of_them_is_drawn(declared: httpx.Client) -> None:
    for name in NAMES:
        page = declared.get(f"/objectives/{name}", headers=HTML)
        assert page.status_code == 200
        assert "<polyline" in page.text, name
        history = declared.get(f"/objectives/{name}/history?range=7200&points=40").json()
        assert any(left is not None for left in history["budget_left"]), name


def test_a_bad_query_that_nothing_matches_does_not_pass_for_health(parts: App, client: httpx.Client) -> None:
    send(parts, requests("catalog", NOW_MS, [0] * 120))
    named = 'sum(requests_total{service_name="catalog", code="200"})'
    good = slo("by-good", "catalog")
    assert named in good
    by_bad = good.replace("good:", "bad:").replace("by-good", "by-bad").replace('"200"', '"500"')
    misspelt = by_bad.replace('"500"', '"5oo"').replace("by-bad", "misspelt")
    apply(client, services("catalog"), good, by_bad, misspelt)
    told = {
        name: client.get(f"/objectives/{name}", headers=JSON).json()["warnings"]
        for name in ("by-good", "by-bad", "misspelt")
    }
    assert told["by-good"] == told["by-bad"] == []
    assert [one[:35] for one in told["misspelt"]] == ["no series matches the bad query: ri"]

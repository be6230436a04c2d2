"""Alerts as page and JSON: what is listed, in which order, found by which words; one alert with its reasons."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from setpoint.app import App
from tests.web.alerting import HOSTILE, alert, bad_day, fire, pass_time, shop_alerts
from tests.web.conftest import HTML, JSON, NOW_MS


@pytest.fixture
def firing(client: httpx.Client, parts: App) -> httpx.Client:
    """A server with five alerts, of which two page."""
    fire(parts, *shop_alerts())
    return client


def _listed(client: httpx.Client, **asked: object) -> dict[str, Any]:
    answer = client.get("/alerts", params={name: str(value) for name, value in asked.items()}, headers=JSON)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def _names(found: dict[str, Any]) -> list[str]:
    return [item["name"] for item in found["items"]]


def test_what_pages_stands_first_then_the_newest(firing: httpx.Client) -> None:
    found = _listed(firing)
    assert _names(found) == ["CheckoutSlow", "CheckoutErrors", "DiskFillsUp", "CertificateEnds", "Watchdog"]
    assert (found["total"], found["paging"], found["counts"]) == (5, 2, {"firing": 5})
    first = found["items"][0]
    assert first["is_paging"] is True
    assert (first["service"], first["team"], first["severity"]) == ("checkout", "payments", "page")
    assert first["runbook_url"] == "https://runbooks.example.com/checkout/slow"
    assert first["labels"]["region"] == "eu-1"
    assert first["starts_ms"] == NOW_MS - 240_000


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ('severity="ticket"', ["DiskFillsUp", "CertificateEnds"]),
        ('service=~"check.*", severity!="page"', ["CheckoutErrors"]),
        ("{alertname=Watchdog}", ["Watchdog"]),
        ("team:payments", ["CheckoutSlow", "CheckoutErrors"]),
        ("team:payments -severity:critical", ["CheckoutSlow"]),
        ("service:=search", ["DiskFillsUp"]),
        ("-service:", ["Watchdog"]),
        ("threshold", ["CheckoutSlow"]),
        ("nothing-like-it", []),
    ],
)
def test_alerts_are_found_by_matchers_terms_and_words(firing: httpx.Client, q: str, names: list[str]) -> None:
    assert _names(_listed(firing, q=q)) == names
    page = firing.get("/alerts", params={"q": q}, headers=HTML)
    assert page.status_code == 200
    assert [
        name for name in ("CheckoutSlow", "DiskFillsUp", "Watchdog") if f"<bdi>{name}</bdi></b>" in page.text
    ] == [name for name in ("CheckoutSlow", "DiskFillsUp", "Watchdog") if name in names]


def test_a_filter_that_cannot_be_read_is_explained(firing: httpx.Client) -> None:
    assert firing.get("/alerts", params={"q": 'service=~"("'}, headers=JSON).status_code == 400
    page = firing.get("/alerts", params={"q": 'service=~"("'}, headers=HTML)
    assert page.status_code == 200
    assert "That filter cannot be read" in page.text
    for wrong in ({"state": "odd"}, {"by": "odd"}, {"offset": "-1"}, {"limit": "0"}):
        assert firing.get("/alerts", params=wrong, headers=JSON).status_code == 400


def test_what_mutes_is_said(firing: httpx.Client, parts: App) -> None:
    firing.post("/silences", json={"matchers": "service=search", "comment": "on it"})
    found = _listed(firing)
    assert found["counts"] == {"firing": 4, "silenced": 1}
    assert _names(found)[-1] == "DiskFillsUp"
    assert _names(_listed(firing, state="silenced")) == ["DiskFillsUp"]
    assert "Silenced by" in firing.get("/alerts", headers=HTML).text
    page = firing.get("/objectives", headers=HTML).text
    assert '<b title="2 paging">2' in page, "the rail says on every page how many page"
    firing.post("/silences", json={"matchers": 'severity=~"page|critical"', "comment": "on it"})
    assert _listed(firing)["paging"] == 0
    assert parts.clock.now_ms() == NOW_MS


def test_nothing_fires(client: httpx.Client) -> None:
    assert _listed(client)["items"] == []
    page = client.get("/alerts", headers=HTML).text
    assert "Nothing fires" in page
    assert "alertmanagers:" in page


def test_groups(firing: httpx.Client) -> None:
    page = firing.get("/alerts?by=team", headers=HTML).text
    assert re.search(r"payments</a></bdi> <small>2 alerts, 2 page</small>", page)
    assert "no team</bdi> <small>3 alerts</small>" in page
    for by in ("severity", "rule", "route", "service"):
        assert firing.get(f"/alerts?by={by}", headers=HTML).status_code == 200


def test_hostile_labels_stay_text(client: httpx.Client, parts: App) -> None:
    bad = alert(
        HOSTILE["alertname"],
        1,
        **{name: value for name, value in HOSTILE.items() if name != "alertname"},
        a_runbook_url="javascript:alert(1)",
        a_summary="<b>bold</b>",
    )
    fire(parts, bad)
    for path in ("/alerts", f"/alerts/{bad.fingerprint}", "/alerts/history", "/alerts?by=rule"):
        page = client.get(path, headers=HTML)
        assert page.status_code == 200, path
        assert "<script>document" not in page.text
        assert "<img src=x" not in page.text
        assert "<b>bold" not in page.text
        assert 'href="javascript:' not in page.text
    assert len(client.get("/alerts", headers=HTML).text) < 30_000
    assert client.get(f"/alerts/{bad.fingerprint}", headers=JSON).json()["labels"]["long"] == "x" * 10_000


@pytest.mark.timeout(300)
def test_five_thousand_alerts_are_paged(client: httpx.Client, parts: App) -> None:
    fire(parts, *[alert(f"Slow{n:04}", n / 100, severity="page", service=f"s{n % 40}") for n in range(5000)])
    page = client.get("/alerts", headers=HTML)
    assert page.text.count("<tr id=") == 100
    assert len(page.text) < 250_000
    assert "5,000 alerts page" in page.text
    seen: list[str] = []
    path = "/alerts?limit=2000"
    while path:
        found = client.get(path, headers=JSON).json()
        seen += _names(found)
        path = found["next"] and f"{found['next']}&limit=2000"
    assert seen == [f"Slow{n:04}" for n in range(5000)]
    assert len(_listed(client, q="service:=s7", limit=500)["items"]) == 125


# ---- one alert -------------------------------------------------------------------------------------------------------


def _of(client: httpx.Client, name: str) -> dict[str, Any]:
    (item,) = [item for item in _listed(client)["items"] if item["name"] == name]
    answer: dict[str, Any] = client.get(item["url"], headers=JSON).json()
    return answer


def test_an_alert_of_a_rule_shows_its_values(client: httpx.Client, parts: App) -> None:
    bad_day(parts, client)
    told = _of(client, "TooManyErrors")
    (why,) = told["why"]["rules"]
    (series,) = why["conditions"][0]["series"]
    assert (series["left"], series["right"], series["holds"]) == (pytest.approx(0.12), 0.05, True)
    page = client.get(f"/alerts/{told['fingerprint']}", headers=HTML).text
    assert "2.4 times the threshold" in page
    assert "/rules/shop/TooManyErrors" in page
    assert "https://runbooks.example.com/errors" in page


def test_who_was_told_and_who_was_not(client: httpx.Client, parts: App) -> None:
    bad_day(parts, client)
    told = _of(client, "CheckoutSlow")["told"]
    assert [one["receiver"] for one in told["routes"]] == ["on-call"]
    assert _of(client, "CheckoutSlow")["deliveries"][0]["state"] == "pending"
    muted = _of(client, "CheckoutErrors")
    assert muted["state"] == "inhibited"
    assert "inhibit" in muted["told"]["summary"]
    page = client.get(f"/alerts/{muted['fingerprint']}", headers=HTML).text
    assert "Who was told" in page


def test_an_alert_of_an_objective_shows_the_objectives_numbers(populated: httpx.Client, parts: App) -> None:
    status = parts.objectives.status("checkout-availability")
    policy = status.alerts[0].policy
    labels = {"objective": "checkout-availability", "service": "checkout", "severity": "page"}
    burn = alert(policy, 3, **labels)
    object.__setattr__(burn, "source", "objective")
    fire(parts, burn)
    told = populated.get(f"/alerts/{burn.fingerprint}", headers=JSON).json()
    assert told["why"]["objective"] == "checkout-availability"
    assert told["why"]["sentence"] == status.alerts[0].summary
    page = populated.get(f"/alerts/{burn.fingerprint}", headers=HTML).text
    assert "/objectives/checkout-availability/backtest" in page


def test_an_objective_that_is_gone(client: httpx.Client, parts: App) -> None:
    burn = alert("page-1h", 3, objective="gone", severity="page")
    object.__setattr__(burn, "source", "objective")
    fire(parts, burn)
    assert "does not exist any more" in client.get(f"/alerts/{burn.fingerprint}", headers=HTML).text


def test_who_looks_is_written_once(firing: httpx.Client, parts: App) -> None:
    path = _listed(firing)["items"][0]["url"]
    for _ in range(3):
        firing.get(path, headers=HTML)
        firing.get(path, headers=HTML | {"HX-Request": "true"})
    seen = parts.timeline.query(kinds=["alert.seen"])
    assert [event.service for event in seen] == ["checkout"]
    fire(parts, alert("Other", 2, service="search"))
    other = _listed(firing, q="rule:=other")["items"][0]["url"]
    firing.get(other, headers=HTML | {"HX-Request": "true"})
    assert len(parts.timeline.query(kinds=["alert.seen"])) == 1, "a page that refreshes itself is nobody"


def test_somebody_looks_after_it(firing: httpx.Client, parts: App) -> None:
    path = _listed(firing)["items"][0]["url"]
    answer = firing.post(f"{path}/acknowledge", headers=JSON)
    assert answer.status_code == 200
    (event,) = parts.timeline.query(kinds=["alert.acknowledged"])
    assert event.data["fingerprint"] == path.rpartition("/")[2]
    assert "looks after CheckoutSlow" in firing.get(path, headers=HTML).text
    assert firing.post("/alerts/0000000000000000/acknowledge", headers=JSON).status_code == 404


def test_an_alert_that_ended_is_told_of_by_the_timeline(client: httpx.Client, parts: App) -> None:
    one = alert("Short", 3, service="checkout", severity="page")
    fire(parts, one)
    pass_time(parts, 600)
    parts.alert_tender.advance(parts.clock.now_ms())
    pass_time(parts, 3600)
    parts.alert_tender.advance(parts.clock.now_ms())
    told = client.get(f"/alerts/{one.fingerprint}", headers=JSON).json()
    assert told["fires"] is False
    assert [event["kind"] for event in told["events"]][:2] == ["alert.resolved", "alert.fired"]
    page = client.get(f"/alerts/{one.fingerprint}", headers=HTML)
    assert page.status_code == 200
    assert "ended" in page.text
    assert client.get("/alerts/0123456789abcdef", headers=HTML).status_code == 404
    assert client.get("/alerts/" + "f" * 400, headers=JSON).status_code == 400


def test_history_is_the_alerts_part_of_the_timeline(firing: httpx.Client, parts: App) -> None:
    parts.timeline.append("deploy", "checkout 4.12", service="checkout")
    items = firing.get("/alerts/history?limit=3", headers=JSON).json()
    assert {item["kind"] for item in items["items"]} == {"alert.fired"}
    rest = firing.get(items["next"], headers=JSON).json()["items"]
    assert len(rest) == 2
    page = firing.get("/alerts/history?service=checkout", headers=HTML).text
    assert "CheckoutSlow" in page
    assert "DiskFillsUp" not in page
    assert firing.get("/alerts/history?kind=silence", headers=JSON).json()["items"] == []


def test_pages_of_objectives_lead_to_their_alerts(populated: httpx.Client) -> None:
    page = populated.get("/objectives/checkout-availability", headers=HTML).text
    assert 'href="/alerts?q=' in page

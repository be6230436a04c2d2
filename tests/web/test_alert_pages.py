"""Silences, notifications, rules and noise as pages and JSON, with what is wrong said where it stands."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from setpoint.app import App
from tests.web.alerting import alert, bad_day, fire, pass_time, shop_alerts
from tests.web.conftest import HTML, JSON, NOW_MS

HOUR_MS = 3_600_000


@pytest.fixture
def firing(client: httpx.Client, parts: App) -> httpx.Client:
    """A server with five alerts, of which two page."""
    fire(parts, *shop_alerts())
    return client


def _silence(client: httpx.Client, **fields: str) -> dict[str, Any]:
    answer = client.post("/silences", json={"matchers": "service=checkout", "comment": "on it"} | fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


# ---- silences --------------------------------------------------------------------------------------------------------


def test_a_silence_from_its_begin_to_its_end(firing: httpx.Client) -> None:
    made = _silence(firing, duration="90m", created_by="ann")
    assert made["matchers"] == ['service="checkout"']
    assert (made["state"], made["matches"], made["created_by"]) == ("active", 2, "ann")
    assert made["ends_ms"] == NOW_MS + 90 * 60_000
    assert firing.get(f"/silences/{made['id']}", headers=JSON).json() == made
    longer = firing.post(f"/silences/{made['id']}/extend", json={"duration": "30m"}).json()
    assert longer["ends_ms"] == NOW_MS + 2 * HOUR_MS
    assert longer["id"] == made["id"]
    page = firing.get("/silences", headers=HTML).text
    assert "service=&#34;checkout&#34;" in page
    assert "2 alerts match now" in page
    ended = firing.post(f"/silences/{made['id']}/expire", json={}).json()
    assert ended["state"] == "expired"
    assert firing.get("/silences", headers=JSON).json()["items"] == []
    assert firing.get("/silences?state=expired", headers=JSON).json()["counts"]["expired"] == 1
    assert "Again" in firing.get("/silences?state=expired", headers=HTML).text
    assert firing.post(f"/silences/{made['id']}/extend", json={}).status_code == 400


def test_a_silence_is_changed_in_its_form(firing: httpx.Client) -> None:
    made = _silence(firing)
    form = firing.get(f"/silences/new?id={made['id']}", headers=HTML).text
    assert "Change a silence" in form
    assert "service=&#34;checkout&#34;" in form
    fields = {"id": made["id"], "matchers": "service=checkout", "duration": "5h", "comment": "still on it"}
    answer = firing.post("/silences", data=fields, headers=HTML, follow_redirects=False)
    assert answer.status_code == 303
    (item,) = firing.get("/silences", headers=JSON).json()["items"]
    assert item["comment"] == "still on it"
    assert firing.get("/silences/new?id=nothing", headers=HTML).status_code == 404


def test_one_that_recurs(firing: httpx.Client) -> None:
    fields = {"every": "FREQ=DAILY", "starts": "2027-01-09T22:00", "zone": "Europe/Vienna", "duration": "1h"}
    preview = firing.post("/silences/preview", json={"matchers": "service=checkout"} | fields).json()
    begin = NOW_MS + 9 * HOUR_MS  # 22:00 in Vienna
    assert [one["starts_ms"] for one in preview["occurrences"]] == [
        begin + day * 24 * HOUR_MS for day in range(3)
    ]
    made = _silence(firing, **fields)
    assert (made["state"], made["repeats"], made["next_change_ms"]) == ("pending", "every day", begin)
    assert made["recurrence"]["duration_minutes"] == 60
    assert firing.get("/alerts", headers=JSON).json()["counts"] == {"firing": 5}
    assert "every day" in firing.get("/silences", headers=HTML).text
    draft = firing.get(f"/silences/new?id={made['id']}", headers=HTML).text
    assert 'value="FREQ=DAILY"' in draft
    assert 'value="1h"' in draft


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("matchers", "", "write at least one"),
        ("matchers", "service=~'('", "matchers"),
        ("matchers", "service!=checkout", "hold for every alert that lacks the labels"),
        ("comment", "", "say why"),
        ("duration", "soon", "write 30m, 2h or 3d"),
        ("duration", "0", "longer than nothing"),
        ("duration", "99y", "at most ten years"),
        ("starts", "tomorrow", "is no time"),
        ("starts", "2027-01-01T00:00", "would be over already"),
        ("every", "FREQ=SECONDLY", "every"),
        ("zone", "Vienna", "is no time zone"),
        ("odd", "1", "there is no field 'odd'"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(firing: httpx.Client, field: str, value: str, said: str) -> None:
    fields = {"matchers": "service=checkout", "comment": "kept text", "duration": "1h"} | {field: value}
    answer = firing.post("/silences", json=fields)
    assert answer.status_code == 400
    assert said in answer.text
    page = firing.post("/silences", data=fields, headers=HTML, follow_redirects=False)
    assert page.status_code == 400
    assert "kept text" in page.text or field == "comment"
    assert firing.get("/silences", headers=JSON).json()["total"] == 0


def test_bodies_that_are_nothing(client: httpx.Client) -> None:
    for body in (b"[]", b"{", b'{"matchers": 3}', b'{"matchers": "a=\\u0000", "comment": "x"}'):
        answer = client.post("/silences", content=body, headers={"Content-Type": "application/json"} | JSON)
        assert answer.status_code == 400, body
    assert client.post("/silences", content=b"x" * 70_000, headers=JSON).status_code == 413
    assert client.post("/silences/nothing/expire", json={}).status_code == 404


def test_a_preview_as_a_page_keeps_what_was_typed(firing: httpx.Client) -> None:
    fields = {"matchers": 'service=~"check.*"', "comment": "typed", "duration": "3h"}
    page = firing.post("/silences/preview", data=fields, headers=HTML).text
    assert "It would mute 2 alerts now, 2 of them page" in page
    assert 'value="typed"' in page
    assert 'value="3h"' in page
    assert firing.get("/silences", headers=JSON).json()["total"] == 0
    wrong = firing.post("/silences/preview", data=fields | {"matchers": "service=~'('"}, headers=HTML)
    assert wrong.status_code == 200
    assert "out-text" in wrong.text
    nothing = firing.post("/silences/preview", json={"matchers": "service=chekcout"}).json()
    assert (nothing["total"], nothing["advice"][:28]) == (0, "No alert of now matches; a s")


# ---- notifications ---------------------------------------------------------------------------------------------------


def test_what_waits_says_why_and_what_was_given_up_goes_out_again(client: httpx.Client, parts: App) -> None:
    bad_day(parts, client)
    told = client.get("/notifications", headers=JSON).json()
    assert told["counts"].keys() <= {"retrying", "waiting"}
    retried = next(item for item in told["items"] if item["state"] == "retrying")
    assert "refused" in retried["error"]
    assert retried["due_ms"] > NOW_MS
    assert {one["receiver"] for one in told["channels"]} == {"chat", "on-call"}
    page = client.get("/notifications?receiver=on-call", headers=HTML).text
    assert "refused the connection" in page.lower()
    only = client.get("/notifications?receiver=on-call", headers=JSON).json()["items"]
    assert {item["receiver"] for item in only} == {"on-call"}
    again = client.post(f"/notifications/{retried['id']}/resend", headers=JSON).json()
    assert again == {"id": retried["id"], "resent": retried["id"]}, "it is on its way already"
    assert client.post("/notifications/999999/resend", headers=JSON).status_code == 404
    assert client.post(f"/notifications/{1 << 70}/resend", headers=JSON).status_code == 400
    assert client.get("/notifications?state=odd", headers=JSON).status_code == 400


def test_nobody_was_told_anything(client: httpx.Client) -> None:
    assert client.get("/notifications", headers=JSON).json()["items"] == []
    assert "Nobody was told anything yet" in client.get("/notifications", headers=HTML).text
    assert "None of these" in client.get("/notifications?state=dead", headers=HTML).text


# ---- rules -----------------------------------------------------------------------------------------------------------


def test_rules_with_what_is_wrong_and_why_one_does_not_fire(client: httpx.Client, parts: App) -> None:
    bad_day(parts, client)
    told = client.get("/rules", headers=JSON).json()
    assert told["counts"] == {"firing": 1, "broken": 1, "inactive": 1, "recording": 1}
    (broken,) = client.get("/rules?state=broken", headers=JSON).json()["items"]
    assert broken["name"] == "Twice"
    assert broken["last_error"]
    page = client.get("/rules", headers=HTML).text
    assert "TooManyErrors" in page
    assert "1 broken" in page
    assert "shop:requests:rate5m" not in client.get("/rules?q=errors", headers=HTML).text
    (quiet,) = [item for item in told["items"] if item["name"] == "NoRequests"]
    (why,) = client.get(quiet["url"], headers=JSON).json()["items"]
    assert why["conditions"][0]["holding"] == 0
    assert why["conditions"][0]["series"][0]["right"] == pytest.approx(0.1)
    shown = client.get(quiet["url"], headers=HTML).text
    assert "does not hold" in shown
    assert "/explore?q=" in shown
    assert client.get("/rules/shop/Nothing", headers=HTML).status_code == 404
    assert client.get("/rules?state=odd", headers=JSON).status_code == 400


def test_no_rules(client: httpx.Client) -> None:
    assert client.get("/rules", headers=JSON).json()["items"] == []
    assert "No rule is evaluated yet" in client.get("/rules", headers=HTML).text


# ---- noise -----------------------------------------------------------------------------------------------------------


def _flap(parts: App, times: int) -> None:
    """It fires for five minutes, and again a minute or two later."""
    for _ in range(times):
        fire(parts, alert("Flaps", 0, parts.clock.now_ms(), service="search", severity="page", team="web"))
        pass_time(parts, 360)
        parts.alert_tender.advance(parts.clock.now_ms())
        pass_time(parts, 60)


def test_noise_is_measured_from_what_happened(client: httpx.Client, parts: App) -> None:
    answered = alert("Answered", 1, service="checkout", severity="page", team="payments")
    fire(parts, answered)
    client.get(f"/alerts/{answered.fingerprint}", headers=HTML)
    pass_time(parts, 900)
    parts.alert_tender.advance(parts.clock.now_ms())
    _flap(parts, 6)
    told = client.get("/noise", headers=JSON).json()
    assert [(rule["rule"], rule["pages"], rule["wasted"], rule["again"]) for rule in told["rules"]] == [
        ("Flaps", 6, 6, 5),
        ("Answered", 1, 0, 0),
    ]
    assert told["pages"] == sum(rule["pages"] for rule in told["rules"]) == 7
    flaps = told["rules"][0]
    assert flaps["formulas"]["noise"] == "noise = pages for nothing + those at night = 6 + 0 = 6"
    assert flaps["proposals"][0]["mend"].startswith("delete it, or lower it to a ticket")
    assert [(one["team"], one["pages"]) for one in told["teams"]] == [("web", 6), ("payments", 1)]
    only = client.get("/noise?team=web&days=28", headers=JSON).json()
    assert [rule["rule"] for rule in only["rules"]] == ["Flaps"]
    page = client.get("/noise", headers=HTML).text
    assert "keep_firing_for: 2m" in page
    assert "7 pages in 7 days; 6 came to nothing." in page
    assert client.get("/noise?order=pages&night=10-14&flap=1m", headers=JSON).json()["night_pages"] == 7


def test_noise_of_nothing_and_of_nonsense(client: httpx.Client) -> None:
    assert client.get("/noise", headers=JSON).json()["lead"] == "Nothing fired in 7 days."
    assert "Nothing has fired" in client.get("/noise", headers=HTML).text
    for wrong in ("days=0", "days=29", "night=22", "night=8-8", "flap=x", "flap=0", "flap=2d", "order=odd"):
        assert client.get(f"/noise?{wrong}", headers=JSON).status_code == 400, wrong

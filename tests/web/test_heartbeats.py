"""Heartbeats over HTTP: who may ping, what the page and the JSON say, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Page

from setpoint.alert.route.model import Integration
from setpoint.app import App
from setpoint.clock import VirtualClock
from setpoint.resource import load_text
from tests.alert.notify.office import notification
from tests.web.conftest import JSON, Running

BEATS = """
apiVersion: setpoint/v1
kind: Heartbeat
metadata: {name: nightly-backup}
spec:
  description: The backup of the order database.
  expect: {every: 1h, grace: 5m, service: checkout, severity: ticket, keyFile: backup-key}
---
apiVersion: setpoint/v1
kind: Heartbeat
metadata: {name: outside}
spec: {send: {urlFile: outside-url, every: 1m, overdueAfter: 5m}}
"""


def prepare(parts: App) -> None:
    folder = parts.folder.path / "secrets"
    folder.mkdir(exist_ok=True)
    (folder / "backup-key").write_text("k3y")
    parts.resources.apply(load_text([("h.yaml", BEATS)], parts.registry), author="tester")
    parts.heartbeats.step()


def after(parts: App, seconds: int) -> None:
    assert isinstance(parts.clock, VirtualClock)
    for _ in range(0, seconds, 30):
        parts.clock.advance(30)
        parts.heartbeats.step()


def test_a_heartbeat_is_missed_and_returns(parts: App, client: httpx.Client) -> None:
    assert client.get("/heartbeats", headers=JSON).json() == {"items": []}
    prepare(parts)
    beat, out = client.get("/heartbeats", headers=JSON).json()["items"]
    assert (beat["expect"]["state"], beat["expect"]["last_ms"], beat["send"]) == ("waiting", None, None)
    assert (out["name"], out["expect"], out["send"]["withheld"]) == ("outside", None, [])
    assert client.post("/heartbeats/nightly-backup/ping").json()["state"] == "up"
    after(parts, 3960)
    (alert,) = [one for one in parts.alert_book.alerts() if one.source == "heartbeat"]
    assert alert.labels["service"] == "checkout"
    assert client.get("/heartbeats", headers=JSON).json()["items"][0]["expect"]["state"] == "missed"
    assert client.get("/heartbeats/nightly-backup/ping").json()["state"] == "up"
    assert parts.alert_book.alerts()[0].is_resolved(parts.clock.now_ms())
    assert client.post("/heartbeats/nothing/ping").status_code == 404


def test_who_may_ping(guarded: App, serve: Callable[..., Running]) -> None:
    prepare(guarded)
    address = serve(guarded).url
    ping = f"{address}/heartbeats/nightly-backup/ping"
    assert httpx.post(ping).status_code == 401
    assert httpx.post(ping, params={"key": "wrong"}).status_code == 401
    assert httpx.post(f"{address}/heartbeats/nothing/ping", params={"key": "k3y"}).status_code == 401
    assert httpx.get(ping, params={"key": "k3y"}).status_code == 200


def test_why_our_own_is_withheld(parts: App, client: httpx.Client) -> None:
    prepare(parts)
    parts.outbox.put([notification("Burn")])
    after(parts, 400)
    parts.heartbeat_sender.step()
    reasons = client.get("/heartbeats", headers=JSON).json()["items"][1]["send"]["withheld"]
    assert any("has been waiting for 7m" in reason for reason in reasons)
    assert any("dispatch" in reason for reason in reasons)  # no loop of it runs in this test
    assert "withheld" in client.get("/heartbeats").text


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page(parts: App, serve: Callable[..., Running], page: Page, width: int) -> None:
    prepare(parts)
    address = serve(parts).url
    parts.outbox.put([notification("Burn")])
    after(parts, 4000)
    parts.heartbeat_sender.step()
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(f"{address}/heartbeats")
    assert page.locator("#h-nightly-backup").inner_text().startswith("not heard")
    assert page.locator("#h-outside .out-text").count() >= 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_metrics_tell_what_waits(parts: App, client: httpx.Client) -> None:
    prepare(parts)
    parts.outbox.follow(
        {("ops", "webhook[0]"): Integration("webhook", 0, True, {"url": "http://127.0.0.1:1/"})}
    )
    parts.outbox.put([notification("Burn")])
    parts.outbox.drain()
    after(parts, 30)
    told = client.get("/metrics").text
    assert 'setpoint_notifications_pending{integration="webhook[0]",receiver="ops"} 1.0' in told
    assert 'setpoint_notification_channel_failures{integration="webhook[0]",receiver="ops"} 1.0' in told
    assert "setpoint_notifications_overdue_seconds 30.0" in told

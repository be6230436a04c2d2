"""A night on call, as the one who is paged lives it: a rule sees that the checkout fails, the page comes as a webhook
and as an e-mail, its page says why, a silence quiets it, and after the repair everybody hears that it is over. Setpoint
is killed in between. Real processes, real telemetry, a real mail server, a real browser.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.server import Server, running
from playwright.sync_api import Page, expect

from tests.alert.receiver import Receiver
from tests.browser import ARTIFACTS, chromium, chromium_is_installed
from tests.conftest import require
from tests.e2e.drive import PATIENCE_MS, setpoint, wait_for_traffic
from tests.mailbox import Mailbox, mail_server

pytestmark = [pytest.mark.timeout(480)]

RULES = """
groups:
  - name: checkout
    interval: 2s
    rules:
      - alert: CheckoutFails
        expr: |
          sum by (job) (
            rate(http_server_request_duration_seconds_count{job="checkout", http_response_status_code=~"5.."}[1m])
          ) / sum by (job) (rate(http_server_request_duration_seconds_count{job="checkout"}[1m])) > 0.1
        for: 4s
        labels: {severity: page, service: checkout}
        annotations:
          summary: '{{ $value | humanizePercentage }} of the requests to {{ $labels.job }} fail'
          runbook_url: https://runbooks.example.com/checkout
"""

ROUTING = """
route:
  receiver: on-call
  group_by: [alertname]
  group_wait: 1s
  group_interval: 3s
  repeat_interval: 4h
  routes:
    - matchers: [alertname!="CheckoutFails"]
      receiver: nobody
receivers:
  - name: nobody
  - name: on-call
    webhook_configs:
      - url: {hook}
    email_configs:
      - to: on-call@example.com
        from: setpoint@example.com
        smarthost: 127.0.0.1:{smtp}
        require_tls: false
        send_resolved: true
"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    require("Chromium", chromium_is_installed(), "chromium")
    with chromium() as browser:
        yield browser.new_page(viewport={"width": 1280, "height": 900})


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as box:
        yield box


@pytest.fixture
def hook() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def until(holds: Callable[[], Any], what: str) -> Any:
    """Wait for it, and give it."""
    deadline = time.monotonic() + 2 * PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        if found := holds():
            return found
        time.sleep(0.3)
    pytest.fail(f"it never came: {what}")


def told(hook: Receiver, status: str) -> list[dict[str, Any]]:
    return [one.payload for one in list(hook.received) if one.payload["status"] == status]


def kill(server: Server) -> None:
    """End the server process as a crash does; its supervisor starts another."""
    before = server.engine
    os.kill(before, signal.SIGKILL)

    def is_back() -> bool:
        try:
            return server.engine != before and server.is_ready()
        except (RuntimeError, FileNotFoundError):
            return False

    until(is_back, "a server after the kill")


def test_a_page_is_told_explained_silenced_and_over(
    tmp_path: Path,
    page: Page,
    mailbox: Mailbox,
    hook: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    (tmp_path / "rules.yml").write_text(RULES)
    (tmp_path / "alertmanager.yml").write_text(ROUTING.format(hook=hook.url, smtp=mailbox.port))
    monkeypatch.setenv("SETPOINT_RULE_FILES", str(tmp_path / "rules.yml"))
    monkeypatch.setenv("SETPOINT_ALERTMANAGER_CONFIG", str(tmp_path / "alertmanager.yml"))
    with running(["demo"], tmp_path / "data") as server:
        server.wait_ready()
        wait_for_traffic(server, "checkout-availability", events=500)
        assert "on-call" in setpoint(server, "alert", "route", "alertname=CheckoutFails", "severity=page")

        setpoint(server, "demo", "break", "checkout", "--error-ratio", "0.9")
        first = until(lambda: told(hook, "firing"), "a page by webhook")[0]
        until(lambda: mailbox.messages, "a page by e-mail")
        (alert,) = first["alerts"]
        assert alert["labels"]["alertname"] == "CheckoutFails"
        assert "of the requests to checkout fail" in alert["annotations"]["summary"]
        assert mailbox.subjects[0].startswith("[FIRING:1] CheckoutFails")

        kill(server)
        (shown,) = json.loads(setpoint(server, "alert", "list", 'alertname="CheckoutFails"', "-o", "json"))[
            "items"
        ]
        assert shown["fingerprint"] == alert["fingerprint"], "it fires still, and nobody had to send it again"
        assert "was told" in setpoint(server, "alert", "why", alert["fingerprint"])
        page.goto(f"{server.url}/alerts/{alert['fingerprint']}")
        expect(page.locator("main")).to_contain_text("CheckoutFails", timeout=PATIENCE_MS)
        expect(page.locator("main")).to_contain_text("on-call")
        page.screenshot(path=ARTIFACTS / "alert-fires.png", full_page=True)

        setpoint(
            server,
            "silence",
            "add",
            'alertname="CheckoutFails"',
            "--duration",
            "1h",
            "--comment",
            "we see it",
        )
        page.goto(f"{server.url}/alerts")
        expect(page.locator("main")).to_contain_text("silenced", timeout=PATIENCE_MS)
        page.screenshot(path=ARTIFACTS / "alert-silenced.png", full_page=True)
        (silence,) = json.loads(setpoint(server, "silence", "list", "-o", "json"))["items"]
        setpoint(server, "silence", "expire", silence["id"])

        setpoint(server, "demo", "heal")
        over = until(lambda: told(hook, "resolved"), "the end, by webhook")[0]
        assert over["alerts"][0]["fingerprint"] == alert["fingerprint"]
        until(lambda: [one for one in mailbox.subjects if one.startswith("[RESOLVED]")], "the end, by e-mail")
        assert len(told(hook, "firing")) == 1, "neither the crash nor the silence told it twice"
        kinds = {event["kind"] for event in server.get("/timeline?limit=500")["items"]}
        assert {"alert.fired", "alert.resolved", "notification.sent", "silence.created"} <= kinds

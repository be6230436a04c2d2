"""The loop as a team lives it: a bad version spends the budget, the policy freezes releases and the gate holds; who
spent it is named, and the week's report says so. Real processes, real telemetry, a real browser.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.server import Server, running
from playwright.sync_api import Page, expect

from tests.browser import ARTIFACTS, chromium, chromium_is_installed
from tests.conftest import require
from tests.e2e.drive import PATIENCE_MS, setpoint, wait_for_traffic

OBJECTIVE = "checkout-availability"
HOLD = 9
pytestmark = [pytest.mark.timeout(330)]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    require("Chromium", chromium_is_installed(), "chromium")
    with chromium() as browser:
        yield browser.new_page(viewport={"width": 1280, "height": 900})


def _wait_for_a_freeze(server: Server) -> None:
    deadline = time.monotonic() + 2 * PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        if any(
            event["kind"] == "policy.freeze"
            for event in server.get("/timeline?kind=policy.freeze&service=checkout")["items"]
        ):
            return
        time.sleep(0.5)
    pytest.fail(f"nothing was frozen: {server.get('/objectives')['items']}")


def _wait_for_a_cause(server: Server) -> dict[str, Any]:
    """The cause that spent most; a minute is shared out among causes once it is over."""
    spent: dict[str, Any] = {}
    deadline = time.monotonic() + 2 * PATIENCE_MS / 1000
    while time.monotonic() < deadline:
        spent = json.loads(setpoint(server, "slo", "spent", OBJECTIVE, "-o", "json"))
        causes: list[dict[str, Any]] = spent["causes"]
        if causes and causes[0]["of_spent"] > 0.5:
            return causes[0]
        time.sleep(2)
    pytest.fail(f"nobody spent it: {spent}")


def test_a_bad_version_is_held_named_and_reported(tmp_path: Path, page: Page) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    with running(["demo"], tmp_path) as server:
        server.wait_ready()
        wait_for_traffic(server, OBJECTIVE, events=6000)
        assert "allow" in setpoint(server, "gate", "checkout", "--version", "1.1.0")

        setpoint(server, "demo", "break", "checkout", "--bad-version", "1.1.0", "--error-ratio", "0.9")
        _wait_for_a_freeze(server)
        held = json.loads(setpoint(server, "gate", "checkout", "--version", "1.2.0", "-o", "json", code=HOLD))
        assert held["decision"] == "hold"
        assert any(one["policy"] == "shop" and one["stops"] for one in held["because"])
        assert setpoint(server, "gate", "inventory"), "what is well goes on"
        assert json.loads(setpoint(server, "gate", "replay", str(held["id"]), "-o", "json"))["same"]

        page.goto(f"{server.url}/releases")
        expect(page.locator("#s-checkout")).to_contain_text("frozen", timeout=PATIENCE_MS)
        page.screenshot(path=ARTIFACTS / "releases-held.png", full_page=True)
        page.goto(f"{server.url}/objectives/{OBJECTIVE}")
        expect(page.locator("#held")).to_contain_text("checkout")
        expect(page.locator("body")).to_contain_text("Who spent it")
        page.screenshot(path=ARTIFACTS / "objective-held.png", full_page=True)

        worst = _wait_for_a_cause(server)
        assert "1.1.0" in worst["title"]
        assert worst["of_spent"] > 0.5

        page.goto(f"{server.url}/teams/orders")
        expect(page.locator(".lines").first).to_contain_text(OBJECTIVE)
        expect(page.locator(".causes")).to_contain_text("1.1.0")
        page.screenshot(path=ARTIFACTS / "team-week.png", full_page=True)
        told = setpoint(server, "report", "show", "week", "--service", "checkout", "--format", "md")
        assert "| missed | checkout-availability |" in told
        assert "1.1.0" in told.split("## Who spent the budgets")[1]

        setpoint(server, "demo", "heal")
        assert setpoint(server, "gate", "checkout", "--change", "fix", code=HOLD), (
            "frozen until some budget is back"
        )

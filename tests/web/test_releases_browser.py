"""The page of releases in a real Chromium: nothing overflows, what is open stays open, a hold appears by itself."""

from __future__ import annotations

from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, expect

from setpoint.app import App
from setpoint.objective.policy import Request
from tests.web.conftest import apply
from tests.web.test_releases import EXCEPTION, POLICY, TOMORROW, YESTERDAY

MORE = """
apiVersion: setpoint/v1
kind: ErrorBudgetPolicy
metadata: {name: a-policy-whose-name-goes-on-and-on-as-names-of-companies-do}
spec:
  appliesTo: {services: [checkout]}
  rules:
    - name: burning-fast-enough-to-be-gone-before-anybody-has-had-breakfast
      when: [{burnRate: {above: 0.5, over: 1h}}, {burnRate: {above: 2, over: 5m}}]
      until: [{burnRate: {below: 0.5, over: 1h}}, {inForceFor: 30m}]
      releases: freeze
"""


@pytest.fixture
def url(populated: httpx.Client, parts: App) -> str:
    """The page of a server with every state, long names, exceptions and decisions."""
    ended = EXCEPTION.replace("UNTIL", YESTERDAY).replace("name: fair", "name: fair-of-last-year")
    apply(populated, POLICY, MORE, EXCEPTION.replace("UNTIL", TOMORROW), ended)
    parts.policies.step()
    for service in ("search", "checkout", "invoicing", "nobody"):
        populated.get(f"/gate/{service}?version=4.12.0-rc.1")
    return f"{str(populated.base_url).rstrip('/')}/releases"


@pytest.mark.parametrize("width", [1280, 820, 390, 320])
def test_nothing_is_wider_than_the_window(browser: Browser, url: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(url)
    for summary in page.locator(".releases summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_reads_without_javascript(browser: Browser, url: str, scheme: Literal["light", "dark"]) -> None:
    context = browser.new_context(java_script_enabled=False, color_scheme=scheme)
    page = context.new_page()
    page.goto(url)
    expect(page.locator("#s-checkout .c-may")).to_contain_text("frozen")
    expect(page.locator("#s-invoicing .c-may")).to_contain_text("don't know")
    page.locator("#s-checkout summary").click()
    expect(page.locator("#s-checkout .formula")).to_contain_text("burn = bad / (total × (1 − target)) =")
    context.close()


def test_a_hold_appears_and_what_is_open_stays_open(browser: Browser, url: str, parts: App) -> None:
    page = browser.new_page()
    errors: list[str] = []
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.goto(url)
    expect(page.locator("#live")).to_have_text("live")
    page.locator("#s-search summary").click()
    expect(page.locator("#s-search details")).to_have_attribute("open", "")
    parts.gate.ask(Request("catalog", version="9.9.9"), "ann")
    expect(page.locator(".events")).to_contain_text("catalog 9.9.9")
    expect(page.locator("#s-search details")).to_have_attribute("open", "")
    expect(page.locator(".rail a.on")).to_contain_text("Releases 2")
    page.locator(".rail a", has_text="Objectives").click()
    page.locator("a", has_text="search-availability").first.click()
    page.locator("#held a").click()
    expect(page).to_have_url(url + "#s-search")
    assert errors == []
    page.close()

"""Adjustments in a real Chromium: on a desk and a phone, in light and dark, with scripts and without."""

from __future__ import annotations

import os

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from setpoint.app import App
from tests.web import attributed
from tests.web.conftest import apply
from tests.web.test_adjustments import MIGRATION, document

OWN = "/objectives/checkout-availability"


@pytest.fixture
def address(parts: App, client: httpx.Client) -> str:
    """A day with an adjustment of each kind: past, going on, to come, a correction."""
    attributed.spend(parts, client)
    daily = "{start: 2026-12-05T11:45:00, rrule: FREQ=DAILY, duration: 45m, timeZone: UTC}"
    apply(client, MIGRATION)
    apply(client, document("stock-is-counted-at-noon-every-day", f"  action: good\n  recurring: {daily}"))
    ahead = "  once: {start: 2027-01-10T09:00:00Z, end: 2027-01-10T10:20:00Z}"
    apply(client, document("ahead", ahead, "objectives: [payment-availability]"))
    wrong = "  correction: {start: 2027-01-09T05:00:00Z, end: 2027-01-09T05:10:00Z, badEvents: -200}"
    apply(client, document("wrong", wrong, "objectives: [checkout-availability]"))
    return str(client.base_url).rstrip("/")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_and_the_time_is_shaded(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for path in ("/adjustments", "/adjustments?name=card-migration", f"{OWN}?range=86400"):
            page.goto(address + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            if shots := os.environ.get("SHOTS"):
                page.wait_for_timeout(500)
                page.screenshot(path=f"{shots}/{path.strip('/')[:6]}-{width}-{scheme}.png", full_page=True)
    expect(page.locator("#verdict")).to_contain_text("in maintenance until 12:30 UTC")
    expect(page.locator("#adjusted li")).to_have_count(4)
    page.goto(f"{address}/adjustments")
    expect(page.locator("#h-active")).to_have_text("Going on")
    expect(page.locator("#n-card-migration")).to_contain_text("1.01 ×")
    expect(page.locator("#n-ahead")).to_contain_text("About payment-availability.")


def test_without_scripts_it_is_drawn_by_the_server(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{address}{OWN}?range=86400")
    expect(page.locator("svg.drawn rect.adjusted")).to_have_count(4)
    page.get_by_role("link", name="adjustments", exact=True).click()
    expect(page.get_by_role("heading", name="checkout-availability")).to_be_visible()
    expect(page.locator("article.adjustment")).to_have_count(3)
    context.close()

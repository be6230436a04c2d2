"""Who spent a budget in a real Chromium: on a desk and a phone, in light and dark, with scripts and without."""

from __future__ import annotations

import os
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from setpoint.app import App
from tests.web import attributed

OWN, PATH = "/objectives/checkout-availability", "/objectives/checkout-availability/spent"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture
def address(parts: App, client: httpx.Client) -> str:
    """The documented day."""
    attributed.spend(parts, client)
    attributed.tell(client)
    return str(client.base_url).rstrip("/")


def shoot(page: Page, name: str) -> None:
    if shots := os.environ.get("SHOTS"):
        page.screenshot(path=f"{shots}/{name}.png", full_page=True)


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_and_the_bands_are_numbered(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        for path in (PATH, OWN, f"{PATH}?range=3600"):
            page.goto(address + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            shoot(page, f"{'own' if path == OWN else 'hour' if '?' in path else 'spent'}-{width}-{scheme}")
    page.goto(address + PATH)
    expect(page.locator("svg.spent-drawn polygon")).to_have_count(4)
    expect(page.locator("table.spent tbody tr")).to_have_count(4)
    assert page.locator(".spent-drawn .tagged").first.text_content() in ("1", "2", "3")
    page.locator("#explain-spent summary").click()
    expect(page.locator("#explain-spent")).to_contain_text("2,420 − 0.0833 % × 24,000 = 2,400")
    shoot(page, f"explained-{width}")


def test_without_scripts_it_says_the_same(browser: Browser, address: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address + OWN)
    expect(page.locator("#spent table")).to_contain_text("checkout 1.4.2")
    page.get_by_role("link", name="any other stretch").click()
    expect(page.get_by_role("heading", name="Who spent it")).to_be_visible()
    page.get_by_role("link", name="1 h", exact=True).click()
    expect(page.locator("table.spent tbody tr")).to_have_count(1)
    context.close()


def test_many_causes_are_cut_to_the_largest(page: Page, parts: App, client: httpx.Client) -> None:
    """Ten faults in a row, of names that need room: the page of the objective names eight."""
    attributed.spend(parts, client)
    for number in range(10):
        start = attributed.at("09:00") + number * 2 * 60_000
        for kind, moment in (("experiment.started", start), ("experiment.ended", start + 60_000)):
            parts.timeline.append(
                kind,
                f"experiment {number} with a-name-that-is-rather-long-and-cannot-be-broken-anywhere-at-all-{number}",
                service="checkout",
                at_ms=moment,
                data={"experiment": f"e{number}"},
            )
    address = str(client.base_url).rstrip("/")
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(address + OWN)
        expect(page.locator("#spent tbody tr")).to_have_count(10)
        expect(page.locator("#spent")).to_contain_text("3 more")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shoot(page, f"many-{width}")

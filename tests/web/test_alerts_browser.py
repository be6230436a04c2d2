"""The pages of alerting in a real Chromium: nothing overflows, hostile labels stay text, a silence takes two steps.

With SHOTS=folder each page is also saved as a picture, light and dark, wide and narrow, to be looked at.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from setpoint.app import App
from tests.web.alerting import HOSTILE, alert, bad_day, fire

SHOTS = os.environ.get("SHOTS", "")
expect.set_options(timeout=40_000)  # a machine may be busy; what is there is found at once
SIZES = {"wide": (1280, 900), "phone": (390, 844)}


def _shot(page: Page, name: str) -> None:
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


@pytest.fixture
def url(parts: App, client: httpx.Client) -> str:
    """A server of a bad day."""
    bad_day(parts, client)
    return str(client.base_url).rstrip("/")


def _fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_page_fits(
    browser: Browser, url: str, parts: App, size: str, scheme: Literal["light", "dark"]
) -> None:
    fire(parts, alert(HOSTILE["alertname"], 1, **{k: v for k, v in HOSTILE.items() if k != "alertname"}))
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    own = [f"/alerts/{one.fingerprint}" for one in parts.alert_book.alerts()]
    for path in (*PAGES, *own):
        answer = page.goto(url + path)
        assert answer is not None and answer.ok, path
        for summary in page.locator("main summary").all()[:5]:
            summary.click()
        assert _fits(page), f"{path} is wider than {width}"
        assert page.title() != "taken"
        _shot(page, f"{path.strip('/').partition('?')[0].replace('/', '-')}-{size}-{scheme}")
    context.close()


PAGES = (
    "/alerts",
    "/alerts?by=team",
    "/alerts/history",
    "/silences",
    "/silences/new?matchers=service%3D%22checkout%22",
    "/noise",
    "/notifications",
    "/rules",
    "/rules/shop/TooManyErrors",
    "/rules/broken/Twice",
    "/routing",
    "/routing?labels=severity%3Dpage",
)


@pytest.mark.timeout(300)
def test_a_silence_is_seen_before_it_is_made(page: Page, url: str, parts: App) -> None:
    page.goto(f"{url}/alerts")
    expect(page.locator("#live")).to_have_text("live")
    row = page.locator("tr", has_text="CheckoutSlow").first
    row.get_by_text("Silence").click()
    preview = page.locator("#preview")
    expect(preview).to_contain_text("It would mute 1 alert now, 1 of them pages")
    page.fill("#matchers", 'service="checkout"')
    expect(preview).to_contain_text("It would mute 3 alerts now")
    page.fill("#matchers", "service=~'('")
    expect(preview.locator(".out-text")).to_be_visible()
    page.fill("#matchers", 'service="checkout", severity="page"')
    expect(preview).to_contain_text("It would mute 2 alerts now")
    page.fill("#comment", "rolled back, waits for the queue")
    page.get_by_role("button", name="Silence", exact=True).click()
    expect(page.locator(".silences")).to_contain_text("rolled back, waits for the queue")
    page.goto(f"{url}/alerts")
    expect(page.locator(".counts")).to_contain_text("silenced")
    assert len(parts.silences.all()) == 2


@pytest.mark.timeout(300)
def test_a_silence_is_made_without_javascript(browser: Browser, url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{url}/silences/new?matchers=service%3Dcheckout")
    expect(page.locator("#preview")).to_contain_text("It would mute 3 alerts now")
    page.fill("#matchers", "service=catalog")
    page.get_by_role("button", name="Show what it mutes").click()
    expect(page.locator("#preview")).to_contain_text("It would mute 1 alert now")
    page.fill("#comment", "being renewed")
    page.fill("#duration", "soon")
    page.get_by_role("button", name="Silence", exact=True).click()
    expect(page.locator("#wrong-duration")).to_contain_text("write 30m, 2h or 3d")
    expect(page.locator("#comment")).to_have_value("being renewed")
    page.fill("#duration", "2h")
    page.get_by_role("button", name="Silence", exact=True).click()
    expect(page.locator(".silences")).to_contain_text("being renewed")
    page.locator("li", has_text="being renewed").get_by_role("button", name="End now").click()
    expect(page.locator(".silences")).not_to_contain_text("being renewed")
    context.close()


@pytest.mark.timeout(300)
def test_what_fires_appears_by_itself(page: Page, url: str, parts: App) -> None:
    page.goto(f"{url}/alerts?q=service:=catalog")
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator(".alert-rows tbody tr")).to_have_count(1)
    fire(parts, alert("CatalogGone", 0, parts.clock.now_ms(), service="catalog", severity="page"))
    expect(page.locator(".alert-rows tbody tr")).to_have_count(2)
    expect(page.locator(".rail a.on")).to_contain_text("Alerts 3")


@pytest.mark.timeout(300)
def test_somebody_looks_after_a_page(page: Page, url: str) -> None:
    page.goto(f"{url}/alerts")
    page.get_by_role("link", name="TooManyErrors").first.click()
    expect(page.locator("h1")).to_have_text("TooManyErrors")
    expect(page.locator("main")).to_contain_text("2.4 times the threshold")
    page.get_by_role("button", name="I look after it").click()
    expect(page.locator(".events")).to_contain_text("looks after TooManyErrors")
    page.get_by_text("How was it decided?").click()
    expect(page.locator(".told-list details")).to_have_attribute("open", "")

"""The open page in a real Chromium: it follows the server without a reload, and nothing that a reader does is lost."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from setpoint.app import App
from setpoint.clock import VirtualClock
from tests.web.conftest import NOW_MS, Running, requests, send

WIDTHS = (1280, 390)


def go_wrong(parts: App) -> None:
    """A minute passes in which catalog fails most of its requests."""
    assert isinstance(parts.clock, VirtualClock)
    send(parts, requests("catalog", NOW_MS + 60_000, [60] * 12))
    parts.clock.advance(60)
    parts.objectives.tick()


def order(page: Page) -> list[str]:
    return [row.get_attribute("id") or "" for row in page.locator("#fleet tr").all()]


def test_a_state_change_shows_without_reload_and_without_a_jump(
    populated: httpx.Client, parts: App, page: Page
) -> None:
    page.goto(f"{str(populated.base_url).rstrip('/')}/objectives")
    expect(page.locator("#live")).to_have_text("live")
    page.evaluate("window.sameDocument = true")
    row = page.locator("#o-catalog-availability")
    expect(row).to_contain_text("healthy")
    before = order(page)
    page.locator("#o-invoice-freshness a").focus()
    top = row.bounding_box()
    go_wrong(parts)
    expect(row).to_contain_text("exhausted", timeout=2000)
    expect(page.locator("nav.rail b")).to_contain_text("4")
    assert page.evaluate("window.sameDocument")
    assert order(page) == before, "rows stay where they are under a reader's eyes"
    assert row.bounding_box() == top
    assert page.evaluate("document.activeElement.textContent") == "invoice-freshness"
    page.get_by_text("Sort again").click()
    expect(page.locator("#fleet tr").first).to_have_id("o-catalog-availability")


def test_open_details_and_the_chart_survive_updates(populated: httpx.Client, parts: App, page: Page) -> None:
    page.goto(f"{str(populated.base_url).rstrip('/')}/objectives/catalog-availability")
    expect(page.locator("canvas")).to_have_count(2)
    page.locator("#explain > summary").click()
    canvas = page.locator("canvas").first.element_handle()
    go_wrong(parts)
    expect(page.locator("#verdict")).to_contain_text("exhausted", timeout=2000)
    assert page.locator("#explain").get_attribute("open") is not None
    assert canvas is not None
    assert canvas.evaluate("node => node.isConnected"), "the chart is kept, not drawn anew"
    expect(page.locator(".readout")).to_contain_text("budget left −")
    expect(page).to_have_title("exhausted · catalog-availability")


def test_typing_filters_in_place(populated: httpx.Client, parts: App, page: Page) -> None:
    page.goto(f"{str(populated.base_url).rstrip('/')}/objectives?sort=name")
    page.keyboard.press("/")
    page.keyboard.type("team:web")
    expect(page.locator("#fleet tr")).to_have_count(2)
    assert "q=team%3Aweb" in page.url
    assert "sort=name" in page.url
    parts.timeline.append("deploy", "catalog 2")  # a refresh comes while the field has the focus
    page.wait_for_timeout(500)
    expect(page.locator("#q")).to_have_value("team:web")
    expect(page.locator("#q")).to_be_focused()
    expect(page.locator("#fleet tr")).to_have_count(2)


def test_says_that_the_connection_is_lost_and_comes_back_by_itself(
    populated: httpx.Client, parts: App, page: Page, serve: Callable[..., Running]
) -> None:
    server = serve(parts)
    page.goto(f"{server.url}/objectives")
    expect(page.locator("#live")).to_have_text("live")
    server.stop()
    expect(page.locator("#live")).to_contain_text("connection lost", timeout=5000)
    go_wrong(parts)
    expect(page.locator("#o-catalog-availability")).to_contain_text("healthy")
    serve(parts, server.port)
    expect(page.locator("#live")).to_have_text("live", timeout=15_000)
    expect(page.locator("#o-catalog-availability")).to_contain_text("exhausted", timeout=3000)


def test_a_lost_session_leads_to_the_login(guarded: App, page: Page, serve: Callable[..., Running]) -> None:
    url = serve(guarded).url
    page.goto(f"{url}/timeline")
    page.get_by_label("Token").fill("s3cret-token")
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{url}/timeline")
    expect(page.locator("#live")).to_have_text("live")
    page.context.clear_cookies()
    guarded.timeline.append("deploy", "x")
    expect(page).to_have_url(f"{url}/login?next=%2Ftimeline")


@pytest.mark.parametrize(
    "path",
    [
        "/objectives",
        "/objectives/checkout-availability",
        "/timeline",
        "/targets",
        "/explore",
        "/explore?q=requests_total&q=sum(rate(requests_total[5m]))",
        "/explore?q=requests_total&q=rate(&view=table",
        "/nope",
    ],
)
def test_works_without_scripts_at_every_width(populated: httpx.Client, browser: Browser, path: str) -> None:
    for width in WIDTHS:
        context = browser.new_context(viewport={"width": width, "height": 844}, java_script_enabled=False)
        opened = context.new_page()
        opened.goto(str(populated.base_url).rstrip("/") + path)
        expect(opened.locator("h1")).to_be_visible()
        context.close()
        context = browser.new_context(viewport={"width": width, "height": 844})
        opened = context.new_page()
        opened.goto(str(populated.base_url).rstrip("/") + path)
        opened.wait_for_timeout(300)
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
            f"{path} scrolls sideways"
        )
        context.close()


def test_the_keyboard_reaches_the_content_first(populated: httpx.Client, page: Page) -> None:
    page.goto(f"{str(populated.base_url).rstrip('/')}/objectives")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.getElementById('main').contains(document.activeElement)")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"

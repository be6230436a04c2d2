"""The page of telemetry in a real Chromium: no width overflows, and a refresh closes nothing that a reader opened."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, expect

from setpoint.clock import VirtualClock
from tests.web.conftest import MakeApp, Running, send
from tests.web.test_usage import batch


@pytest.fixture
def url(make_app: MakeApp, serve: Callable[..., Running]) -> str:
    """The page of a server that refuses, with names as long as they come."""
    parts = make_app(metric_series_limit=100)
    assert isinstance(parts.clock, VirtualClock)
    send(parts, batch("otlp " + "a-service-of-a-long-name-" * 5, "requests_total", 150))
    send(parts, batch("scrape node", "a_metric_whose_name_goes_on_and_on_" * 4, 10))
    parts.protection.refused(
        "too_old", 'up{job="' + "x" * 150 + '"}', "remote_write 10.0.0.7", 9, "older " * 40
    )
    parts.clock.advance(2)
    return serve(parts).url + "/telemetry"


@pytest.mark.parametrize("by", ["metric", "label", "pair", "sender", "service"])
@pytest.mark.parametrize("width", [1280, 820, 390, 320])
def test_nothing_is_wider_than_the_window(browser: Browser, url: str, width: int, by: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(f"{url}?by={by}")
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.close()


def test_what_is_open_stays_open_when_the_figures_change(browser: Browser, url: str) -> None:
    page = browser.new_page()
    errors: list[str] = []
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.goto(url)
    expect(page.locator("#live")).to_have_text("live")
    opened = page.locator(".refused details[open]")
    expect(opened).to_have_count(1)  # what was refused most, of its own
    page.locator(".refused summary", has_text="requests_total{").click()
    expect(opened).to_have_count(2)
    with page.expect_response(lambda answer: answer.url == url and answer.request.resource_type == "xhr"):
        pass
    page.wait_for_timeout(200)
    expect(opened).to_have_count(2)
    page.get_by_role("link", name="label", exact=True).click()
    expect(page.locator("#tabs .on")).to_have_text("label")
    page.get_by_role("link", name="Memory").click()
    expect(page.locator("th[aria-sort]")).to_have_text("Memory")
    assert not errors
    page.close()

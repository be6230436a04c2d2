"""SLAs in a real Chromium: a desk and a phone, in light and dark, with a promise in several states and none at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Literal

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import chromium, chromium_is_installed
from tests.conftest import require
from tests.web.conftest import apply
from tests.web.test_sla import GOLD

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
LATER = GOLD.replace("name: gold", "name: quarter-of-a-rather-long-name").replace(
    "period: month", "period: quarter"
)
SILENT = """
apiVersion: setpoint/v1
kind: SLA
metadata: {name: silent, displayName: Invoices}
spec:
  service: invoicing
  objectives: [{objective: invoice-freshness, targetPercent: 99}]
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    require("Chromium", chromium_is_installed(), "chromium")
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test on any error of scripts or of the content security policy."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda line: errors.append(line.text) if "Refused" in line.text else None)
    yield opened
    context.close()
    assert errors == []


def test_slas_are_readable_everywhere(page: Page, populated: httpx.Client) -> None:
    address = str(populated.base_url).rstrip("/")
    shots = os.environ.get("SHOTS")
    page.goto(f"{address}/slas")
    expect(page.locator("main")).to_contain_text("No SLA is declared")
    apply(populated, GOLD, LATER, SILENT)
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.goto(f"{address}/slas")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            if shots:
                page.screenshot(path=f"{shots}/slas-{width}-{scheme}.png", full_page=True)
    expect(page.locator("table.slas")).to_have_count(3)
    expect(page.locator("#h-silent")).to_contain_text("Invoices")
    expect(page.locator(".state.none")).to_contain_text("don't know")
    page.get_by_role("link", name="Gold", exact=True).first.click()
    expect(page.get_by_role("heading", name="Gold")).to_be_visible()

"""Reports and teams in a real Chromium: readable on a desk, a phone and paper, and nothing sticks out."""

from __future__ import annotations

import os

import httpx
import pytest
from playwright.sync_api import Page, expect

from setpoint.app import App
from tests.web.conftest import NOW_MS, apply
from tests.web.test_report import TEAMS

PATHS = ("/reports", "/reports/week", "/teams", "/teams/shop", "/teams/web")


@pytest.fixture
def address(populated: httpx.Client, parts: App) -> str:
    """A server with teams, an alert, deploys and a report that was made."""
    apply(populated, TEAMS)
    alert = {"objective": "search-availability", "policy": "1h-5m", "severity": "page"}
    parts.timeline.append("alert.fired", "search: fast fires", service="search", data=alert)
    for hour in range(1, 5):
        at_ms = NOW_MS - hour * 3600_000
        parts.timeline.append("deploy", f"search 2.{hour}", service="search", at_ms=at_ms)
    parts.objectives.tick()
    parts.reports.make_due()
    return str(populated.base_url).rstrip("/")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    for path in PATHS:
        page.goto(address + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        if shots := os.environ.get("SHOTS"):
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                page.screenshot(
                    path=f"{shots}/{path.strip('/').replace('/', '-')}-{width}-{scheme}.png", full_page=True
                )


def test_from_the_list_to_a_team_s_week_and_the_one_before(page: Page, address: str) -> None:
    page.goto(f"{address}/reports")
    page.get_by_role("link", name="Teams").click()
    page.get_by_role("link", name="web", exact=True).click()
    expect(page.locator("h1")).to_have_text("web: this week")
    expect(page.locator(".lines").first).to_contain_text("search-availability")
    page.get_by_role("link", name="The week before").click()
    expect(page.locator("h1")).to_have_text("web: 2026-W53")
    expect(page.locator(".figures")).to_contain_text("2 without data")


def test_the_form_opens_a_report(page: Page, address: str) -> None:
    page.goto(f"{address}/reports")
    page.get_by_label("Of whom").select_option("service:search")
    page.get_by_label("Period").select_option("month")
    page.get_by_role("button", name="Open").click()
    expect(page.locator("h1")).to_have_text("2027-01: the service search")


def test_on_paper_there_is_the_report_and_nothing_else(page: Page, address: str) -> None:
    page.goto(f"{address}/reports/week")
    page.emulate_media(media="print")
    expect(page.locator(".rail")).not_to_be_visible()
    expect(page.locator(".report-ways")).not_to_be_visible()
    expect(page.locator(".lines").first).to_be_visible()
    assert page.pdf(format="A4").startswith(b"%PDF")

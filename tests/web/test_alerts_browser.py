"""The pages of alerting in a real Chromium: nothing overflows, hostile labels stay text, a silence takes two steps.

With SHOTS=folder each page is also saved as a picture, light and dark, wide and narrow, to be looked at.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page

from setpoint.app import App
from tests.web.alerting import HOSTILE, alert, fire, shop_alerts
from tests.web.conftest import Running

SHOTS = os.environ.get("SHOTS", "")
SIZES = {"wide": (1280, 900), "phone": (390, 844)}


def _shot(page: Page, name: str) -> None:
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


@pytest.fixture
def url(parts: App, serve: Callable[..., Running]) -> str:
    """A server of a bad day."""
    fire(parts, *shop_alerts())
    return serve(parts).url


def _fits(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_page_fits(
    browser: Browser, url: str, parts: App, size: str, scheme: Literal["light", "dark"]
) -> None:
    fire(parts, alert(HOSTILE["alertname"], 1, **{k: v for k, v in HOSTILE.items() if k != "alertname"}))
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    for path in PAGES:
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
)

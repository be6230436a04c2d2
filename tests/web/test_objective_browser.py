"""The pages of objectives in a real Chromium: huge fleets stay still and quick, every kind is readable on a phone."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from setpoint.app import App
from setpoint.objective.overview import STATES
from tests.web.big_fleet import BigBook
from tests.web.kinds import KINDS, KindsBook

PHONE, DESKTOP = 390, 1280
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture
def book(parts: App) -> BigBook:
    """Ten thousand objectives in place of the book."""
    made = BigBook(10_000)
    object.__setattr__(parts, "objectives", made)
    return made


def url(client: httpx.Client, path: str = "/objectives") -> str:
    return f"{str(client.base_url).rstrip('/')}{path}"


def rows(page: Page, where: str = "#fleet") -> list[str]:
    found: list[str] = page.eval_on_selector_all(f"{where} > tr", "rows => rows.map(row => row.id)")
    return found


def exhaust(book: BigBook, names: set[str]) -> None:
    """These lose far more than their budget."""
    seen = book.overview()
    chosen = np.array([name in names for name in seen.names])
    state = np.where(chosen, STATES.index("exhausted"), seen.state).astype(np.int8)
    book.show(replace(seen, state=state, budget_left=np.where(chosen, -50.0, seen.budget_left)))


def test_a_row_that_comes_takes_the_place_of_one_that_goes(
    client: httpx.Client, parts: App, book: BigBook, page: Page
) -> None:
    page.goto(url(client))
    expect(page.locator("#live")).to_have_text("live")
    before = rows(page)
    assert len(before) == 100
    top = page.locator(f"[id='{before[50]}']").bounding_box()
    newcomers = {"service-0001-slo-1", "service-0500-slo-4"}
    exhaust(book, newcomers)
    parts.timeline.append("deploy", "something happened")
    expect(page.locator("#resort")).to_be_visible(timeout=5000)
    after = rows(page)
    assert after[:98] == before[:98], "what is being read stays where it is"
    assert {row.removeprefix("o-") for row in after[98:]} == newcomers
    assert page.locator(f"[id='{before[50]}']").bounding_box() == top
    page.locator("#resort").click()
    expect(page.locator("#fleet tr").first).to_have_attribute("data-state", "exhausted")
    assert {row.removeprefix("o-") for row in rows(page)[:2]} == newcomers


def test_groups_stay_where_they_are(client: httpx.Client, parts: App, book: BigBook, page: Page) -> None:
    page.goto(url(client, "/objectives?group=service"))
    expect(page.locator("#live")).to_have_text("live")
    before = page.eval_on_selector_all("#groups > tbody", "all => all.map(one => one.id)")
    assert len(before) == 20
    last = before[-1].removeprefix("g-")
    exhaust(book, {f"{last}-slo-5"})
    parts.timeline.append("deploy", "something happened")
    expect(page.locator("#resort")).to_be_visible(timeout=5000)
    assert page.eval_on_selector_all("#groups > tbody", "all => all.map(one => one.id)") == before
    expect(page.locator(f"#o-{last}-slo-5")).to_contain_text("exhausted")
    assert rows(page, f"#g-{last}")[0] == f"h-{last}", "the heading stays on top of its group"


def test_ten_thousand_objectives_are_filtered_grouped_and_paged_by_hand(
    client: httpx.Client, book: BigBook, page: Page
) -> None:
    page.goto(url(client))
    page.keyboard.press("/")
    page.keyboard.type("service:service-0123")
    expect(page.locator("#fleet tr")).to_have_count(8)
    page.locator("#q").fill("")
    expect(page.locator("#fleet tr")).to_have_count(100)
    page.locator("#groupings").get_by_text("team", exact=True).click()
    expect(page.locator("#groups > tbody")).to_have_count(6)
    assert page.evaluate("document.querySelectorAll('*').length") < 6000, (
        "the page does not grow with the fleet"
    )
    page.get_by_role("link", name="data platform").click()
    expect(page.locator("#q")).to_have_value('team:="data platform"')
    page.get_by_role("link", name="Next").click()
    expect(page.locator(".pager")).to_contain_text("101 to 200 of")
    page.locator("#fleet a").first.click()
    expect(page.locator("#verdict")).to_be_visible()


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize(
    "path",
    ["/objectives", "/objectives?group=team", "/objectives?group=service&sort=burn", "/objectives?q=nothing"],
)
def test_a_huge_list_fits_every_screen_with_and_without_scripts(
    client: httpx.Client, book: BigBook, browser: Browser, path: str, scheme: Literal["light", "dark"]
) -> None:
    for width in (DESKTOP, PHONE):
        for has_scripts in (True, False):
            context = browser.new_context(
                viewport={"width": width, "height": 844}, color_scheme=scheme, java_script_enabled=has_scripts
            )
            opened = context.new_page()
            opened.goto(url(client, path))
            expect(opened.locator("h1")).to_be_visible()
            box = opened.locator("main").bounding_box()
            assert box is not None
            assert box["width"] <= width
            if has_scripts:
                assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                    f"{path} scrolls sideways"
                )
            context.close()


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_kind_fits_a_phone(client: httpx.Client, parts: App, browser: Browser, name: str) -> None:
    object.__setattr__(parts, "objectives", KindsBook())
    context = browser.new_context(viewport={"width": PHONE, "height": 844}, color_scheme="dark")
    opened = context.new_page()
    opened.goto(url(client, f"/objectives/{name}"))
    opened.locator("#explain > summary").click()
    expect(opened.locator("#explain .steps").first).to_be_visible()
    expect(opened.locator("canvas")).to_have_count(2)
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
    context.close()


def test_every_state_and_alert_has_a_word_and_every_link_a_name(
    client: httpx.Client, parts: App, page: Page
) -> None:
    object.__setattr__(parts, "objectives", KindsBook())
    for path in ("/objectives?group=state", "/objectives/checkout-availability", "/objectives/journey"):
        page.goto(url(client, path))
        nameless = page.eval_on_selector_all(
            "a, button, input:not([type=hidden]), [role=img]",
            "all => all.filter(one => !(one.innerText || one.textContent).trim() && !one.getAttribute('aria-label'))"
            ".map(one => one.outerHTML)",
        )
        assert nameless == [], path
        wordless = page.eval_on_selector_all(
            ".state", "all => all.filter(one => !one.textContent.trim()).length"
        )
        assert wordless == 0, path
        doubled = page.evaluate(
            "[...document.querySelectorAll('[id]')].map(one => one.id).filter((id, at, all) => all.indexOf(id) !== at)"
        )
        assert doubled == [], path
        levels = page.eval_on_selector_all("h1, h2, h3", "all => all.map(one => one.tagName)")
        assert levels.count("H1") == 1, path


def test_the_keyboard_opens_the_explanation(client: httpx.Client, parts: App, page: Page) -> None:
    object.__setattr__(parts, "objectives", KindsBook())
    page.goto(url(client, "/objectives/checkout-availability"))
    page.locator("#explain > summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#explain")).to_have_attribute("open", "")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "explore"


def test_a_link_to_the_explanation_opens_it(client: httpx.Client, parts: App, page: Page) -> None:
    object.__setattr__(parts, "objectives", KindsBook())
    page.goto(url(client, "/objectives/checkout-availability/explain"))
    expect(page.locator("#explain")).to_have_attribute("open", "")


def test_history_that_cannot_be_read_is_said(client: httpx.Client, parts: App, page: Page) -> None:
    object.__setattr__(parts, "objectives", KindsBook())
    page.route("**/history*", lambda route: route.fulfill(status=503, body="{}"))
    page.goto(url(client, "/objectives/checkout-availability"))
    expect(page.get_by_role("alert")).to_contain_text("The history cannot be read: the server answered 503")
    expect(page.locator("svg.drawn")).to_be_visible()
    page.unroute("**/history*")
    parts.timeline.append("deploy", "something happened")
    expect(page.locator("canvas")).to_have_count(2, timeout=6000)
    expect(page.get_by_role("alert")).to_have_count(0)

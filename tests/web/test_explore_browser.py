"""The page of metrics in a real Chromium: typing, completing, running, pointing, sharing; by keyboard, on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from setpoint.app import App
from setpoint.clock import VirtualClock
from tests.web.conftest import NOW_MS, requests, send

RATE = "sum by (code) (rate(requests_total[1m]))"


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    """A page that fails the test on any error of scripts or of the content security policy."""
    del url  # the page closes before the server does, which turns it away when it stops
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened, errors = context.new_page(), []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    yield opened
    context.close()
    assert errors == []


@pytest.fixture
def url(parts: App, client: httpx.Client) -> str:
    """The page of a server whose catalog has answered requests for half an hour."""
    send(parts, requests("catalog", NOW_MS, [5] * 360))
    parts.timeline.append("deploy", "catalog 2", service="catalog", at_ms=NOW_MS - 300_000)
    return str(client.base_url).rstrip("/") + "/explore"


def asked(page: Page) -> list[str]:
    return parse_qs(urlsplit(page.url).query).get("q", [])


def test_typing_completes_and_enter_runs(page: Page, url: str) -> None:
    page.goto(url)
    field = page.get_by_label("Query A")
    expect(field).to_be_focused()
    field.press_sequentially("sum by (co")
    expect(page.get_by_role("option")).to_have_text(["codelabel"])
    page.keyboard.press("Tab")
    expect(field).to_have_value("sum by (code")
    field.press_sequentially(") (rat")
    expect(page.get_by_role("option").first).to_contain_text("per-second rate over a range")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("option", selected=True)).to_contain_text("rate")
    page.keyboard.press("Enter")
    field.press_sequentially("req")
    expect(page.get_by_role("option")).to_have_text(["requests_totalmetric"])
    page.keyboard.press("Tab")
    field.press_sequentially("{")
    page.keyboard.press("Control+Space")
    expect(page.get_by_role("option")).to_have_text(["codelabel", "service_namelabel"])
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("option")).to_have_text(["200value", "500value"])
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(field).to_have_value('sum by (code) (rate(requests_total{code="500"')
    field.press_sequentially("}[1")
    expect(page.get_by_role("option").first).to_have_text("1mduration")
    page.keyboard.press("Tab")
    field.press_sequentially("]))")
    page.keyboard.press("Enter")
    expect(page.locator("#plot canvas")).to_be_visible()
    assert asked(page) == ['sum by (code) (rate(requests_total{code="500"}[1m]))']
    expect(page.locator("table.series tbody tr")).to_have_count(1)
    expect(page.locator(".words")).to_contain_text("where code is 500, summed by code")


def test_escape_closes_and_tab_leaves(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_label("Query A").press_sequentially("req")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("#offers")).to_be_hidden()
    page.keyboard.press("Tab")
    expect(page.locator("#run")).to_be_focused()


def test_several_queries_come_and_go_in_place(page: Page, url: str) -> None:
    page.goto(f"{url}?q={RATE}")
    page.get_by_role("button", name="Add a query").click()
    expect(page.get_by_label("Query B")).to_be_focused()
    page.get_by_label("Query B").press_sequentially("vector(3)")
    page.keyboard.press("Enter")
    expect(page.locator("table.series tbody tr")).to_have_count(3)
    assert asked(page) == [RATE, "vector(3)"]
    page.get_by_role("button", name="Remove query A").click()
    expect(page.locator("table.series tbody tr")).to_have_count(1)
    assert asked(page) == ["vector(3)"]
    page.go_back()
    expect(page.locator("table.series tbody tr")).to_have_count(3)
    expect(page.locator("#run")).to_have_text("Run")


def test_what_was_typed_goes_along_to_another_range(page: Page, url: str) -> None:
    page.goto(f"{url}?q=1")
    page.get_by_label("Query A").fill("2")
    page.get_by_role("link", name="6h").click()
    expect(page.locator("#ranges .on")).to_have_text("6h")
    assert asked(page) == ["2"]


def test_history_stays_in_the_browser(page: Page, url: str) -> None:
    page.goto(f"{url}?q={RATE}")
    page.goto(f"{url}?q=sum(")
    page.goto(url)
    page.get_by_text("History").click()
    kept = page.locator("#history button:not(.forget)")
    expect(kept).to_have_text([RATE])  # what failed is not kept
    kept.first.click()
    expect(page.locator("table.series tbody tr")).to_have_count(2)
    page.get_by_text("History").click()
    page.get_by_role("button", name="Forget all of these").click()
    expect(page.locator("#history")).to_be_hidden()
    assert page.evaluate("localStorage.length") == 0


def test_a_fault_is_marked_and_its_query_has_the_focus(page: Page, url: str) -> None:
    page.goto(f"{url}?q=1&q=sum(rat(up))")
    expect(page.locator("mark")).to_have_text("rat")
    expect(page.get_by_label("Query B")).to_be_focused()
    expect(page.get_by_role("alert")).to_contain_text("unknown function")
    expect(page.locator("table.series tbody tr")).to_have_count(1)


def test_pointing_tells_values_and_dragging_shows_a_stretch(page: Page, url: str) -> None:
    page.goto(f"{url}?q={RATE}&range=15m")
    plot = page.locator("#plot .u-over")
    box = plot.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 30)
    expect(page.locator(".readout")).to_contain_text("code=200 19")
    expect(page.locator(".readout")).to_contain_text("UTC")
    page.mouse.move(box["x"] + box["width"] * 10 / 15, box["y"] + 30)
    expect(page.locator(".readout .what")).to_have_text("catalog 2")
    page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 40, steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile("start="))
    given = parse_qs(urlsplit(page.url).query)
    length_s = int(given["end"][0]) - int(given["start"][0])
    assert length_s == pytest.approx(225, abs=5)
    expect(page.get_by_role("link", name="Now")).to_be_visible()


def test_one_series_can_be_shown_alone_and_stays_so(page: Page, url: str, parts: App) -> None:
    page.goto(f"{url}?q={RATE}&range=15m")
    expect(page.locator("#live")).to_have_text("live")
    rows = page.locator("table.series tbody tr")
    page.get_by_role("button", name="Show only series 2").click()
    expect(rows.nth(0)).to_have_class("off")
    assert isinstance(parts.clock, VirtualClock)
    send(parts, requests("catalog", NOW_MS + 60_000, [5] * 12))
    parts.clock.advance(60)
    expect(page.locator("#h-result")).to_contain_text("12:01", timeout=12_000)
    expect(rows.nth(0)).to_have_class("off")
    expect(rows.nth(1)).not_to_have_class("off")
    page.get_by_role("button", name="Show only series 2").click()
    expect(rows.nth(0)).not_to_have_class("off")


def test_a_refresh_keeps_what_is_typed(page: Page, url: str, parts: App) -> None:
    page.goto(f"{url}?q={RATE}&range=15m")
    expect(page.locator("#live")).to_have_text("live")
    page.get_by_label("Query A").fill("half a que")
    page.keyboard.press("Escape")
    assert isinstance(parts.clock, VirtualClock)
    parts.clock.advance(60)
    expect(page.locator("#h-result")).to_contain_text("12:01", timeout=12_000)
    expect(page.get_by_label("Query A")).to_have_value("half a que")
    expect(page.locator("#plot canvas")).to_have_count(1)


@pytest.mark.parametrize("width", [1280, 820, 390, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_window(
    browser: Browser, url: str, parts: App, width: int, scheme: str
) -> None:
    long = 'label_replace(vector(1), "a_label_of_a_long_name", "' + "x" * 300 + '", "", "")'
    address = f"{url}?q={RATE}&q={long}&q=sum(rat({'y' * 200}))"
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
    opened = context.new_page()
    for view in ("graph", "table"):
        opened.goto(f"{address}&view={view}")
        opened.get_by_text("Exact time and step").click()
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    opened.goto(url)
    opened.get_by_label("Query A").press_sequentially("ra")
    expect(opened.get_by_role("option").first).to_be_visible()
    assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth"), "completions"
    context.close()


def test_the_form_works_without_scripts(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, java_script_enabled=False)
    opened = context.new_page()
    opened.goto(f"{url}?range=15m")
    opened.get_by_label("Query A").fill(RATE)
    opened.get_by_role("button", name="Add a query").click()
    opened.get_by_label("Query B").fill("vector(3)")
    opened.get_by_role("button", name="Run").click()
    expect(opened.locator("#plot polyline")).to_have_count(3)
    expect(opened.locator("#plot .deploy")).to_have_count(1)
    opened.get_by_role("button", name="Remove query B").click()
    expect(opened.locator("#plot polyline")).to_have_count(2)
    assert parse_qs(urlsplit(opened.url).query)["range"] == ["15m"]
    context.close()

"""The main job, as a person does it: `setpoint demo`, look at the page, break checkout, watch, heal, stop.

Real processes, real telemetry, a real browser. Screenshots are kept in artifacts/ for whoever wants to look.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.server import descendants, running
from playwright.sync_api import Page, expect

from tests.browser import ARTIFACTS, chromium, chromium_is_installed
from tests.conftest import require
from tests.e2e.drive import PATIENCE_MS, setpoint, wait_for_traffic

OBJECTIVE = "checkout-availability"
pytestmark = [pytest.mark.timeout(330)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    require("Chromium", chromium_is_installed(), "chromium")
    with chromium() as browser:
        yield browser.new_page(viewport={"width": 1280, "height": 900})


def _budget(page: Page) -> float:
    row = page.locator("tr", has_text=OBJECTIVE).first.inner_text()
    figures = re.findall(r"([−-]?[\d,]+(?:\.\d+)?)\s*%", row)
    return float(figures[-1].replace("−", "-").replace(",", ""))


def test_break_watch_heal(data: Path, page: Page) -> None:
    with running(["demo"], data) as server:
        server.wait_ready()
        wait_for_traffic(server, OBJECTIVE, events=6000)
        page.goto(server.url)
        page.evaluate("window.sameDocument = true")
        row = page.locator("tr", has_text=OBJECTIVE).first
        expect(row).to_contain_text("healthy", timeout=PATIENCE_MS)
        before = _budget(page)
        ARTIFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTIFACTS / "objectives-healthy.png")

        setpoint(server, "demo", "break", "checkout", "--error-ratio", "0.3")
        expect(row).to_contain_text(re.compile("burning|exhausted"), timeout=PATIENCE_MS)
        page.wait_for_function(
            "([name, before]) => {"
            " const row = [...document.querySelectorAll('tr')].find(r => r.textContent.includes(name));"
            " const found = [...row.textContent.matchAll(/([−-]?[\\d,]+(?:\\.\\d+)?)\\s*%/g)];"
            " const left = found[found.length - 1][1].replace('−', '-').replaceAll(',', '');"
            " return parseFloat(left) < before - 2; }",
            arg=[OBJECTIVE, before],
            timeout=PATIENCE_MS,
        )
        page.screenshot(path=ARTIFACTS / "objectives-burning.png")
        setpoint(server, "demo", "heal")
        assert page.evaluate("window.sameDocument"), "the page was reloaded"
        expect(row).to_contain_text("healthy", timeout=PATIENCE_MS)

        page.goto(f"{server.url}/objectives/{OBJECTIVE}")
        expect(page.locator("body")).to_contain_text("How is this computed?")
        expect(page.locator("canvas").first).to_be_visible()
        page.screenshot(path=ARTIFACTS / "objective.png", full_page=True)
        page.goto(f"{server.url}/timeline")
        expect(page.locator("body")).to_contain_text("checkout")
        kinds = {event["kind"] for event in server.get("/timeline")["items"]}
        assert {"server.started", "resource.applied", "demo.fault", "demo.heal", "objective.state"} <= kinds

        processes = descendants(server.process.pid)
        assert len(processes) > 7, "the supervisor, the server, the shop's services and its load"
        server.process.send_signal(signal.SIGINT)
        server.process.wait(30)
        left = [process for process in processes if Path(f"/proc/{process}").exists()]
        assert not left, f"left behind: {left}"


def test_the_next_start_finds_the_data(data: Path) -> None:
    with running(["up"], data) as server:
        server.wait_ready()
        objective = next(item for item in server.get("/objectives")["items"] if item["name"] == OBJECTIVE)
        assert objective["total"] >= 6000
        assert objective["bad"] > 0
        assert any(event["kind"] == "demo.fault" for event in server.get("/timeline")["items"])

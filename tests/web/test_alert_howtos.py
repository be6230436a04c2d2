"""What docs/howto/answer-a-page.md and quiet-the-noise.md show is what the commands print for such a shop."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from setpoint.app import App
from setpoint.cli.alerts import show_alerts, show_noise, show_why
from tests.web.alerting import alert, bad_day, fire, pass_time
from tests.web.conftest import HTML, JSON

HOWTO = Path(__file__).parents[2] / "docs" / "howto"


def _printed(show: Callable[[Any], None]) -> str:
    text = io.StringIO()
    show(Console(file=text, width=110, highlight=False, markup=False, emoji=False))
    return "\n".join(line.rstrip() for line in text.getvalue().strip().splitlines()).replace("\xa0", " ")


def _shown(page: str, number: int) -> str:
    blocks: list[str] = re.findall(r"```text\n(.*?)\n```", (HOWTO / page).read_text(), re.DOTALL)
    return blocks[number]


def test_a_page_is_answered_as_the_text_shows(client: httpx.Client, parts: App) -> None:
    bad_day(parts, client)
    now_ms = parts.clock.now_ms()
    listed = client.get("/alerts?q=service:=checkout", headers=JSON).json()
    assert _printed(lambda console: show_alerts(console, listed, "", now_ms)) == _shown("answer-a-page.md", 0)
    (item,) = [one for one in listed["items"] if one["name"] == "TooManyErrors"]
    told = client.get(item["url"], headers=JSON).json()
    lines = _printed(lambda console: show_why(console, told, now_ms))
    assert lines.partition("\n\non-call")[0] == _shown("answer-a-page.md", 1)


def test_noise_is_ranked_as_the_text_shows(client: httpx.Client, parts: App) -> None:
    answered = alert(
        "CheckoutErrors", 1, service="checkout", severity="page", team="payments", a_runbook_url="https://x"
    )
    fire(parts, answered)
    client.get(f"/alerts/{answered.fingerprint}", headers=HTML)
    pass_time(parts, 900)
    parts.alert_tender.advance(parts.clock.now_ms())
    for _ in range(6):
        now_ms = parts.clock.now_ms()
        fire(parts, alert("QueueLong", 0, now_ms, service="search", severity="page", team="web"))
        pass_time(parts, 360)
        parts.alert_tender.advance(parts.clock.now_ms())
        pass_time(parts, 240)
    told = client.get("/noise", headers=JSON).json()
    assert _printed(lambda console: show_noise(console, told, explain=False)) == _shown(
        "quiet-the-noise.md", 0
    )

"""The worked example of docs/howto/who-spent-it.md is what the server and the command line say."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from setpoint.app import App
from setpoint.cli.spent import show_spent
from tests.web import attributed
from tests.web.attributed import BAD
from tests.web.conftest import JSON, NOW_MS

HOWTO = Path(__file__).parent.parent.parent / "docs" / "howto" / "who-spent-it.md"
SETPOINT = str(Path(sys.executable).with_name("setpoint"))


@pytest.fixture
def day(parts: App, client: httpx.Client) -> httpx.Client:
    attributed.spend(parts, client)
    attributed.tell(client)
    return client


def test_the_example_prints_what_the_text_shows(day: httpx.Client) -> None:
    answer = day.get("/objectives/checkout-availability/spent", headers=JSON).json()
    written = io.StringIO()
    console = Console(file=written, width=100, highlight=False, markup=False, emoji=False)
    show_spent(console, answer, NOW_MS, explain=True)
    printed = "\n".join(line.rstrip() for line in written.getvalue().splitlines())
    printed = printed[: printed.index("\n\nSpent are")]
    shown = re.search(r"```text\n(.*?)\n```", HOWTO.read_text(), re.DOTALL)
    assert shown is not None
    assert shown[1] == printed


def test_the_numbers_of_the_text(day: httpx.Client) -> None:
    done = subprocess.run(
        [SETPOINT, "slo", "spent", "checkout-availability", "--server", str(day.base_url), "-o", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    text = HOWTO.read_text()
    assert [round(cause["bad"]) for cause in told["causes"]] == [
        BAD["deploy"],
        BAD["experiment"],
        BAD["dependency"],
    ]
    unexplained = BAD["usual"] + BAD["unknown"]
    assert round(told["unexplained"]["bad"]) == unexplained
    for number in (*BAD.values(), unexplained, told["bad"], told["total"], round(told["allowed"])):
        assert f"{number:,.0f}" in text
    assert sum(cause["bad"] for cause in told["causes"]) + told["unexplained"]["bad"] == told["bad"]


def test_in_a_terminal(day: httpx.Client) -> None:
    def run(*words: str) -> str:
        command = [SETPOINT, "slo", "spent", *words, "--server", str(day.base_url)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    table = run("checkout-availability")
    assert re.search(r"█████▉ +49\.4 % +2,400 +27\.8 % +deploy +checkout 1\.4\.2", table)
    assert "unexplained" in table
    assert "Causes are taken" not in table
    later = ("--since", str(NOW_MS - 3_600_000), "--until", str(NOW_MS))
    quiet = run("payment-availability", *later)
    assert quiet.startswith("Nothing of payment-availability was spent in 1 h: all 72,000 events were good.")
    refused = subprocess.run(
        [SETPOINT, "slo", "spent", "none", "--server", str(day.base_url)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0
    assert "there is no objective 'none'" in refused.stderr

"""Backtests over HTTP: policies by name and as YAML, what is refused, and the page with and without scripts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, expect

from setpoint.app import App
from tests.cli.program import setpoint
from tests.web.backtested import FAST, SLOW, a_month
from tests.web.conftest import HTML, JSON, apply, services, slo

PATH = "/objectives/checkout-availability/backtest"
FORM = JSON | {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def month(parts: App, client: httpx.Client) -> httpx.Client:
    """A client of a server with a month of history."""
    a_month(parts, client)
    return client


def _json(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_its_own_policies(month: httpx.Client) -> None:
    found = _json(month.get(PATH, headers=JSON))
    assert found["minutes"] == 43_200
    assert found["gap_minutes"] == 40
    assert [side["name"] for side in found["sides"]] == ["its policies, the defaults"]
    totals = found["sides"][0]["totals"]
    assert (totals["seen"], totals["missed"], len(found["episodes"])) == (5, 0, 5)
    first = found["episodes"][0]
    assert first["spent"] == pytest.approx(first["bad"] / first["allowed"])
    assert first["allowed"] == pytest.approx(first["window_total"] * 0.001)
    assert first["sights"][0]["delay_s"] == 60
    fired = found["sides"][0]["alerts"][0]
    assert fired["summary"].startswith("burning ")
    assert fired["until_ms"] > fired["from_ms"] == first["sights"][0]["page_ms"]


def test_a_stretch_and_a_part(month: httpx.Client) -> None:
    found = _json(month.get(PATH, params={"since": "7d", "least": "0.2"}, headers=JSON))
    assert (len(found["episodes"]), found["small_episodes"]) == (1, 0)
    until = found["end_ms"] - 3 * 86_400_000
    found = _json(month.get(PATH, params={"since": "7d", "until": until}, headers=JSON))
    assert (len(found["episodes"]), found["end_ms"]) == (0, until)


def test_yaml_is_tried_against_its_own_policies_and_not_stored(month: httpx.Client) -> None:
    found = _json(month.post(PATH, content=FAST, headers=JSON | {"Content-Type": "application/yaml"}))
    tried, own = found["sides"]
    assert [one["name"] for one in tried["policies"]] == ["fast"]
    assert tried["totals"]["delay_s"][0] < own["totals"]["delay_s"][0]
    assert month.get("/api/resources?kind=AlertPolicy").json()["items"] == []
    by_form = _json(month.post(PATH, data={"yaml": FAST, "against": "own"}, headers=JSON))
    assert by_form == found
    two = _json(month.post(PATH, json={"yaml": FAST, "against_yaml": SLOW, "file": "a.yaml"}, headers=JSON))
    assert [side["name"] for side in two["sides"]] == ["a.yaml", "the other"]
    assert two["sides"][1]["totals"]["missed"] == 3


def test_applied_policies_by_name(month: httpx.Client) -> None:
    apply(month, FAST, SLOW)
    found = _json(month.get(PATH, params={"policies": "fast,slow", "against": "defaults"}, headers=JSON))
    assert {one["name"] for one in found["sides"][0]["policies"]} == {"fast", "slow"}
    referring = FAST.replace("name: fast", "name: other").replace(
        "    - kind: AlertCondition\n      metadata: {name: burning}\n      spec:\n        severity: page\n"
        "        condition: {kind: burnrate, op: gt, threshold: 8, lookbackWindow: 10m}\n",
        "    - conditionRef: hot\n",
    )
    refused = month.post(PATH, content=referring, headers=JSON)
    assert refused.status_code == 400
    assert "there is no AlertCondition 'hot'" in refused.json()["error"]["message"]
    condition = (
        "---\napiVersion: openslo/v1\nkind: AlertCondition\nmetadata: {name: hot}\nspec:\n  severity: page\n"
        "  condition: {kind: burnrate, op: gt, threshold: 8, lookbackWindow: 10m}\n"
    )
    both = _json(month.post(PATH, content=referring + condition, headers=JSON))
    alone = _json(month.get(PATH, params={"policies": "fast"}, headers=JSON))
    assert both["sides"][0]["totals"] == alone["sides"][0]["totals"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"params": {"since": "yesterday"}}, "no time"),
        ({"params": {"since": "9Y"}}, "at most 366d"),
        ({"params": {"since": "²" * 12}}, "no time"),
        ({"params": {"since": "1" * 5000}}, "no time"),
        ({"params": {"since": "1d", "until": "1000000000000"}}, "not before until"),
        ({"params": {"least": "half"}}, "no part of a budget"),
        ({"params": {"policies": "nobody"}}, "no AlertPolicy 'nobody'"),
        ({"params": {"policies": "No Name!"}}, "no name of an AlertPolicy"),
        ({"params": {"against": ","}}, "no policy is named"),
    ],
)
def test_what_cannot_be_asked(month: httpx.Client, given: dict[str, Any], told: str) -> None:
    answer = month.get(PATH, headers=JSON, **given)
    assert answer.status_code == 400, answer.text
    assert told in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (slo("x", "checkout"), "leave it out"),
        ("just: words", "apiVersion"),
        ("- [", "policy"),
        ("# nothing", "no AlertPolicy in it"),
        (FAST.replace("10m", "60d"), "looks back 60 d"),
        (FAST.replace("burnrate", "burnt"), "did you mean 'burnrate'"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_yaml_that_cannot_be_tried(month: httpx.Client, body: str | bytes, told: str) -> None:
    answer = month.post(PATH, content=body, headers=JSON | {"Content-Type": "text/yaml"})
    assert answer.status_code == 400, answer.text
    assert told in answer.json()["error"]["message"]


def test_bodies_that_are_none(month: httpx.Client) -> None:
    kind = JSON | {"Content-Type": "application/json"}
    assert month.post(PATH, content="{", headers=kind).status_code == 400
    assert month.post(PATH, content="[]", headers=kind).status_code == 400
    assert month.post(PATH, content="[" * 100_000, headers=kind).status_code == 400
    assert "policies, yaml" in month.post(PATH, json={"polices": "own"}, headers=kind).text
    assert month.post(PATH, json={"yaml": 1}, headers=kind).status_code == 400
    assert month.post(PATH, content=b"a" * (3 << 20), headers=kind).status_code == 413
    assert month.get("/objectives/nobody/backtest", headers=JSON).status_code == 404
    other = {"Origin": "https://evil.example", **FORM}
    assert month.post(PATH, content="yaml=x", headers=other).status_code == 403


def test_without_history_there_is_nothing_to_replay(client: httpx.Client) -> None:
    apply(client, services("checkout"), slo("checkout-availability", "checkout"))
    found = _json(client.get(PATH, headers=JSON))
    assert (found["minutes"], found["episodes"]) == (0, [])
    assert "nothing to replay" in found["notes"][0]
    assert "Nothing to replay" in client.get(PATH, headers=HTML).text


def test_the_command(month: httpx.Client, tmp_path: Path) -> None:
    server = str(month.base_url).rstrip("/")
    file = tmp_path / "fast.yaml"
    file.write_text(FAST)
    done = setpoint("backtest", "checkout-availability", SETPOINT_SERVER=server)
    assert done.returncode == 0, done.stderr
    assert "5 of 5" in done.stdout
    assert "+3 h 31 m, 14.4 %" in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if "●" in line)
    done = setpoint(
        "backtest", "checkout-availability", "-f", str(file), "--against", "defaults", SETPOINT_SERVER=server
    )
    assert f"A  {file}\nB  the default policies\n" in done.stdout
    assert "A PAGED, GONE" in done.stdout
    done = setpoint(
        "backtest", "checkout-availability", "-f", "-", "--against", str(file), "-o", "json", "--since", "10d",
        stdin=SLOW, SETPOINT_SERVER=server,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert [side["name"] for side in found["sides"]] == ["stdin", str(file)]
    done = setpoint("backtest", "nobody", SETPOINT_SERVER=server)
    assert (done.returncode, "slo list" in done.stderr) == (3, True)
    file.write_text(FAST.replace("burnrate", "burnt"))
    done = setpoint("backtest", "checkout-availability", "-f", str(file), SETPOINT_SERVER=server)
    assert done.returncode == 2
    assert f"{file}:11" in done.stderr


@pytest.mark.parametrize("has_scripts", [True, False])
@pytest.mark.parametrize("width", [1280, 390])
def test_a_policy_is_tried_on_the_page(
    month: httpx.Client, browser: Browser, width: int, has_scripts: bool
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, java_script_enabled=has_scripts)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if "Refused" in line.text else None)
    page.goto(f"{str(month.base_url).rstrip('/')}/objectives/checkout-availability")
    page.get_by_role("link", name="backtest").click()
    expect(page.locator(".totals")).to_contain_text("5 of 5")
    expect(page.locator("svg.backtested rect.page")).to_have_count(5)  # two of one episode touch
    page.get_by_label("AlertPolicy documents").fill(FAST)
    page.get_by_label("Against").select_option("defaults")
    page.get_by_role("button", name="Backtest").click()
    expect(page.locator(".totals thead")).to_contain_text("B the default policies")
    expect(page.locator(".episodes tbody tr")).to_have_count(5)
    expect(page.get_by_label("AlertPolicy documents")).to_have_value(FAST)
    page.get_by_label("AlertPolicy documents").fill(FAST.replace("gt", "above"))
    page.get_by_role("button", name="Backtest").click()
    expect(page.locator("#h-refused + ul")).to_contain_text("line 11")
    expect(page.get_by_label("AlertPolicy documents")).to_have_value(FAST.replace("gt", "above"))
    if has_scripts:
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()
    assert errors == []


def test_alerts_without_end_are_cut_and_the_chart_is_whole(month: httpx.Client) -> None:
    noisy = FAST.replace("threshold: 8", "threshold: 0.9").replace("10m", "1m")
    side = _json(month.post(PATH, data={"yaml": noisy}, headers=JSON))["sides"][0]
    assert side["alerts_total"] > len(side["alerts"]) == 2000
    text = month.post(PATH, data={"yaml": noisy}, headers=HTML).text
    assert f"The first 100 of {side['alerts_total']:,}" in text
    bars = [float(x) for x in re.findall(r'<rect class="(?:noise|page)" x="([0-9.]+)"', text)]
    assert 5 < len(bars) < 900
    assert max(bars) > 800, "to the end of the month"


def test_the_example_of_the_docs(
    month: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy of docs/howto/backtest-alerts.md gives the output that stands there."""
    text = (Path(__file__).parents[2] / "docs/howto/backtest-alerts.md").read_text()
    policy, shown = re.findall(r"```(?:yaml)?\n(.*?)```", text, re.DOTALL)
    (tmp_path / "calm.yaml").write_text(policy)
    monkeypatch.chdir(tmp_path)
    server = str(month.base_url).rstrip("/")
    done = setpoint("backtest", "checkout-availability", "-f", "calm.yaml", SETPOINT_SERVER=server)
    lines = [line.rstrip() for line in done.stdout.partition("Note:")[0].rstrip().splitlines()]
    assert lines == shown.rstrip().splitlines()

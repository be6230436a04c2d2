"""`setpoint alert`, `silence` and `notification` against a real server: what they print, and their exit codes."""

from __future__ import annotations

import json
from subprocess import CompletedProcess

import httpx
import pytest

from setpoint.app import App
from setpoint.cli.silences import written
from setpoint.errors import InvalidInput
from tests.cli.program import setpoint
from tests.web.alerting import HOSTILE, alert, bad_day, fire, shop_alerts
from tests.web.conftest import JSON

pytestmark = pytest.mark.timeout(300)
"""Each test starts many programs, and the machine may be busy."""


@pytest.fixture
def firing(client: httpx.Client, parts: App) -> httpx.Client:
    """A server with five alerts, of which two page."""
    fire(parts, *shop_alerts())
    return client


def _run(client: httpx.Client, *arguments: str, columns: int = 200) -> CompletedProcess[str]:
    return setpoint(*arguments, COLUMNS=str(columns), SETPOINT_SERVER=str(client.base_url))


def _said(client: httpx.Client, *arguments: str) -> str:
    done = _run(client, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_alerts_are_listed_and_found(firing: httpx.Client) -> None:
    lines = _said(firing, "alert", "list").splitlines()
    assert lines[0].split()[:4] == ["STATE", "SEVERITY", "ALERT", "SERVICE"]
    assert "CheckoutSlow" in lines[1]
    assert "◆ pages" in lines[1]
    assert "◆ fires" in lines[3]
    only = json.loads(_said(firing, "alert", "list", "severity=page", 'service=~"check.*"', "-o", "json"))
    assert [item["name"] for item in only["items"]] == ["CheckoutSlow"]
    assert "The first 2 of 5" in _said(firing, "alert", "list", "--limit", "2")
    assert "None of 5 alerts matches" in _said(firing, "alert", "list", "team:nobody")
    mixed = _run(firing, "alert", "list", "severity=page", "words")
    assert (mixed.returncode, "only matchers" in mixed.stderr) == (2, True)
    assert _run(firing, "alert", "list", "service=~(").returncode == 2


def test_one_alert_by_name_and_by_fingerprint(firing: httpx.Client, parts: App) -> None:
    said = _said(firing, "alert", "show", "CheckoutSlow")
    assert "runbooks.example.com" in said
    assert "since 4 m" in said or "since" in said
    (item,) = firing.get("/alerts?q=rule:=watchdog", headers=JSON).json()["items"]
    assert "Watchdog" in _said(firing, "alert", "show", item["fingerprint"])
    nobody = _run(firing, "alert", "show", "Nobody")
    assert (nobody.returncode, "alert list" in nobody.stderr) == (3, True)
    assert _run(firing, "alert", "show", "0123456789abcdef").returncode == 3
    fire(parts, alert("CheckoutSlow", 1, service="search"))
    several = _run(firing, "alert", "show", "CheckoutSlow")
    assert several.returncode == 2
    assert several.stderr.count("\n  ") == 2


def test_why_shows_values_against_thresholds(client: httpx.Client, parts: App) -> None:
    bad_day(parts, client)
    said = _said(client, "alert", "why", "TooManyErrors")
    assert "> 0.05" in said
    assert "holds" in said
    assert "on-call" in said
    quiet = _said(client, "alert", "why", "NoRequests")
    assert "does not hold" in quiet
    assert json.loads(_said(client, "alert", "why", "NoRequests", "-o", "json"))["fires"] is False


def test_history_and_noise(firing: httpx.Client) -> None:
    assert "alert.fired" in _said(firing, "alert", "history", "--service", "checkout")
    assert "Nothing happened" in _said(firing, "alert", "history", "--kind", "silence")
    said = _said(firing, "alert", "noise", "--explain")
    assert "CheckoutSlow" in said
    assert "payments" in said
    assert "pages = firings − within 60 s" in said
    assert _run(firing, "alert", "noise", "--night", "x").returncode == 2


def test_silences(firing: httpx.Client) -> None:
    preview = _said(firing, "silence", "preview", "service=checkout")
    assert preview.startswith("It would mute 2 alerts now, 2 of them page.")
    added = _said(firing, "silence", "add", "service=checkout", "-d", "90m", "-c", "on it", "--author", "ann")
    identity = added.split()[0]
    assert "It matches 2 alerts now." in added
    listed = _said(firing, "silence", "list")
    assert identity[:8] in listed
    assert "on it" in listed
    assert f"ended {identity}" in _said(firing, "silence", "expire", identity[:8])
    assert "Nothing is silenced." in _said(firing, "silence", "list")
    daily = ("--every", "FREQ=DAILY", "--start", "2099-01-01T02:00", "--zone", "Europe/Vienna")
    far = _run(firing, "silence", "add", "job=backup", "-c", "backup", *daily)
    assert (far.returncode, "within ten years" in far.stderr) == (2, True)
    near = ("--every", "FREQ=DAILY", "--start", "2027-02-01T02:00", "--zone", "Europe/Vienna", "-d", "1h")
    made = json.loads(_said(firing, "silence", "add", "job=backup", "-c", "backup", *near, "-o", "json"))
    assert made["repeats"] == "every day"
    for wrong in (
        ("add", "service=checkout"),
        ("add", "=x", "-c", "why"),
        ("add", "service=~(", "-c", "why"),
        ("add", "service=x", "-c", "why", "--until", "2027-02-01"),
        ("preview",),
    ):
        done = _run(firing, "silence", *wrong)
        assert (done.returncode, bool(done.stderr.strip())) == (2, True), wrong
    assert _run(firing, "silence", "expire", "no-such-silence-of-any-name-at-all-anywhere").returncode == 3


def test_notifications(client: httpx.Client, parts: App) -> None:
    assert "Nobody was told anything" in _said(client, "notification", "list")
    bad_day(parts, client)
    said = _said(client, "notification", "list")
    assert "▲ retrying" in said
    assert "failures in a row" in said
    items = json.loads(_said(client, "notification", "list", "--receiver", "chat", "-o", "json"))["items"]
    assert {item["receiver"] for item in items} == {"chat"}
    assert "goes out again" in _said(client, "notification", "resend", str(items[0]["id"]))
    assert "Nothing was given up." in _said(client, "notification", "resend", "--dead")
    assert _run(client, "notification", "resend").returncode == 2
    assert _run(client, "notification", "resend", "999999").returncode == 3


def test_a_terminal_survives_hostile_labels(client: httpx.Client, parts: App) -> None:
    bad = {name: value for name, value in HOSTILE.items() if name != "alertname"}
    fire(parts, alert(HOSTILE["alertname"], 1, **bad, a_summary="[red]no markup[/] \x1b[31mno colour"))
    done = _run(client, "alert", "list", columns=100)
    assert done.returncode == 0
    assert "[red]no markup" in _said(client, "alert", "list")
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "\x1b[31m" not in done.stdout, "what somebody sent does not steer the terminal"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["Slow"], 'alertname="Slow"'),
        (["a=b", "c!=d"], 'a="b", c!="d"'),
        (["a=~b|c", "d!~e"], 'a=~"b|c", d!~"e"'),
        (['a="b c"'], 'a="b c"'),
        (["a=b=c"], 'a="b=c"'),
        (['a=x"y'], 'a="x\\"y"'),
        (["a="], 'a=""'),
    ],
)
def test_matchers_as_amtool_takes_them(given: list[str], expected: str) -> None:
    assert written(given) == expected


@pytest.mark.parametrize("wrong", ["", " ", "=x", "!=x"])
def test_what_is_no_matcher(wrong: str) -> None:
    with pytest.raises(InvalidInput):
        written([wrong])


def test_nothing_listens() -> None:
    for words in (("alert", "list"), ("silence", "list"), ("notification", "list")):
        done = setpoint(*words, "--server", "http://127.0.0.1:9")
        assert (done.returncode, "start one with" in done.stderr) == (6, True)

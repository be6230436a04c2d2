"""Who hears of which alerts, as a page, as JSON and tried: from the resource, from a file, and from nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from playwright.sync_api import Browser

from setpoint.alert.model import Alert
from setpoint.alert.route.matcher import parse_matchers
from setpoint.alert.silence.model import Silence
from setpoint.app import App
from tests.cli.program import setpoint
from tests.web.conftest import HTML, JSON, NOW_MS, MakeApp, Running

EXAMPLE = Path(__file__).parents[2] / "examples" / "routing" / "bookshop.yaml"
SIZES = {"wide": 1280, "phone": 390}
SHOTS = os.environ.get("SHOTS", "")


def apply(client: httpx.Client, text: str) -> httpx.Response:
    return client.post("/api/resources", json={"files": [{"name": "routing.yaml", "text": text}]})


@pytest.fixture
def routed(client: httpx.Client) -> httpx.Client:
    answer = apply(client, EXAMPLE.read_text())
    assert answer.status_code == 200, answer.text
    return client


def tried(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/routing/try", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_without_a_configuration_the_page_says_how_to_get_one(client: httpx.Client) -> None:
    answer = client.get("/routing", headers=JSON).json()
    assert answer["status"]["origin"] == "default"
    assert answer["route"]["receiver"] == "nobody"
    page = client.get("/routing", headers=HTML).text
    assert "nobody is told" in page
    assert "setpoint up --alertmanager-config" in page


def test_the_tree_of_a_resource(routed: httpx.Client) -> None:
    answer = routed.get("/routing", headers=JSON).json()
    assert answer["status"] == {**answer["status"], "origin": "resource", "name": "bookshop", "problems": []}
    assert [one["receiver"] for one in answer["route"]["routes"]] == ["on-call", "search"]
    assert answer["route"]["routes"][0]["group_wait"] == "10s"
    assert answer["route"]["routes"][0]["repeat_interval"] == "1h"
    assert answer["route"]["routes"][1]["group_by"] == ["alertname", "service"]
    assert {one["name"]: one["is_used"] for one in answer["receivers"]} == dict.fromkeys(
        ("on-call", "chat", "search"), True
    )


def test_labels_that_are_tried(routed: httpx.Client) -> None:
    trial = tried(routed, labels={"severity": "page", "service": "checkout"})
    assert trial["receivers"] == ["on-call"]
    assert trial["outcome"] == "on-call is told"
    assert trial["routes"][0]["channels"] == ["webhook[0]"]
    assert trial["routes"][0]["group_key"] == '{}/{severity=~"page|critical"}:{service="checkout"}'
    assert [(one["id"], one["answer"]) for one in trial["asked"]] == [
        ("0", "passes down"),
        ("0.0", "takes"),
        ("0.1", "not asked"),
    ]
    assert tried(routed, labels="severity=ticket team=search")["routes"][0]["receiver"] == "search"
    assert tried(routed, labels='{severity="ticket", team="search"}')["routes"][0]["receiver"] == "search"
    night = tried(routed, labels={"severity": "ticket", "team": "search"}, at="2027-01-11T22:00:00+01:00")
    assert night["receivers"] == []
    assert "office-hours" in night["outcome"]


def test_what_silences_and_inhibits_is_told(routed: httpx.Client, parts: App) -> None:
    silence = Silence(
        "", parse_matchers('service="search"'), NOW_MS, NOW_MS + 3_600_000, "ada", "the index is built anew"
    )
    silence_id = parts.silences.post(silence)
    trial = tried(routed, labels={"severity": "page", "service": "search"})
    assert trial["receivers"] == []
    assert trial["silences"] == [
        {"id": silence_id, "matchers": '{service="search"}', "comment": "the index is built anew"}
    ]
    down = Alert({"alertname": "ShopDown", "service": "shop", "severity": "page"}, NOW_MS, NOW_MS)
    parts.alert_book.receive([down])
    parts.dispatcher.advance(NOW_MS)
    trial = tried(routed, labels={"severity": "ticket", "service": "shop"})
    assert [one["fingerprint"] for one in trial["inhibitors"]] == [down.fingerprint]
    assert "inhibited" in trial["outcome"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({}, "there are no labels"),
        ({"labels": {}}, "there are no labels"),
        ({"labels": {"a": 1}}, "no text"),
        ({"labels": ["a"]}, "labels is no text"),
        ({"labels": "severity!=page"}, "condition"),
        ({"labels": "just words"}, "these are no labels"),
        ({"labels": {"a": "b"}, "at": "soon"}, "no instant"),
        ({"labels": {"a": "b"}, "at": "2026-11-23T03:00:00"}, "no offset"),
        ({"labels": {"a": "b"}, "at": -1}, "out of range"),
        ({"labels": {"a": "b"}, "at": "9999-12-31T23:59:59-12:00"}, "out of range|no instant"),
        ({"label": {"a": "b"}}, "no field 'label'"),
    ],
)
def test_what_cannot_be_tried_is_told(client: httpx.Client, body: dict[str, Any], told: str) -> None:
    answer = client.post("/routing/try", json=body)
    assert answer.status_code == 400
    assert any(part in answer.json()["error"]["message"] for part in told.split("|")), answer.text


def test_a_broken_resource_changes_nothing_and_says_where(routed: httpx.Client) -> None:
    text = EXAMPLE.read_text().replace("receiver: chat\n", "receiver: nobody-there\n")
    answer = apply(routed, text)
    assert answer.status_code == 400
    problem = answer.json()["error"]["problems"][0]
    assert problem["path"] == "spec.route.receiver"
    assert problem["line"] == 1 + text.splitlines().index("    receiver: nobody-there")
    assert "there are chat, on-call, search" in problem["message"]
    assert routed.get("/routing", headers=JSON).json()["route"]["receiver"] == "chat"


def test_a_second_resource_is_refused(routed: httpx.Client) -> None:
    answer = apply(routed, EXAMPLE.read_text().replace("name: bookshop", "name: other"))
    assert answer.status_code == 400
    assert "only one can be in force" in answer.text


@pytest.mark.parametrize(
    ("channel", "told"),
    [
        ("slack_configs: [{api_url: 'https://hooks.example.com/T0/B0/abc'}]", "api_url_file: NAME"),
        ("pagerduty_configs: [{routing_key: 0123456789abcdef0123456789abcdef}]", "routing_key_file: NAME"),
        ("webhook_configs: [{url: 'https://ada:lovelace@example.com/'}]", "url_file: NAME"),
        ("webhook_configs: [{url_file: ../state.db}]", "no file of the secrets folder"),
        ("webhook_configs: [{url_file: /etc/passwd}]", "no file of the secrets folder"),
        (
            "webhook_configs: [{url: 'http://h/', http_config: {basic_auth: {username: a, password: pw}}}]",
            "password_file: NAME",
        ),
        (
            "webhook_configs: [{url: 'http://h/', http_config: {tls_config: {ca_file: /etc/x}}}]",
            "secrets folder",
        ),
    ],
)
def test_a_resource_holds_no_secrets(client: httpx.Client, channel: str, told: str) -> None:
    head = "apiVersion: setpoint/v1\nkind: AlertRouting\nmetadata: {name: r}\nspec:\n  route: {receiver: a}\n"
    answer = apply(client, f"{head}  receivers:\n    - name: a\n      {channel}\n")
    assert answer.status_code == 400, answer.text
    assert told in answer.text
    assert "lovelace" not in answer.json()["error"]["message"]


def test_values_of_labels_are_text_in_a_resource(client: httpx.Client) -> None:
    head = (
        "apiVersion: setpoint/v1\nkind: AlertRouting\nmetadata: {name: r}\nspec:\n  receivers: [{name: a}]\n"
    )
    route = "  route:\n    receiver: a\n    routes:\n      - match: {version: %s}\n"
    answer = apply(client, head + route % "1.10")
    assert answer.status_code == 400
    assert answer.json()["error"]["problems"][0]["path"] == "spec.route.routes[0].match.version"
    assert apply(client, head + route % '"1.10"').status_code == 200
    assert tried(client, labels={"version": "1.10"})["routes"][0]["key"] == '{}/{version="1.10"}'


def test_channels_that_nothing_can_be_sent_to_are_warned_of(client: httpx.Client) -> None:
    head = "apiVersion: setpoint/v1\nkind: AlertRouting\nmetadata: {name: r}\nspec:\n  route: {receiver: a}\n"
    channel = "wechat_configs: [{api_secret_file: wechat, corp_id: c}]"
    answer = apply(client, f"{head}  receivers:\n    - name: a\n      {channel}\n")
    assert answer.status_code == 200, answer.text
    assert "cannot send to wechat_configs" in answer.text
    assert "cannot send to wechat_configs" in client.get("/routing", headers=HTML).text


def test_hostile_labels_stay_text(routed: httpx.Client) -> None:
    page = routed.get("/routing", params={"labels": 'a="<script>alert(1)</script>"'}, headers=HTML)
    assert page.status_code == 200
    assert "<script>alert(1)" not in page.text
    assert "&lt;script&gt;" in page.text
    assert "these are no labels" in routed.get("/routing", params={"labels": "words"}, headers=HTML).text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits(
    browser: Browser,
    parts: App,
    serve: Callable[..., Running],
    size: str,
    scheme: Literal["light", "dark"],
) -> None:
    running = serve(parts)
    width = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{running.url}/routing")
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/routing-empty-{size}-{scheme}.png", full_page=True)
    with httpx.Client(base_url=running.url, timeout=60) as client:
        assert apply(client, EXAMPLE.read_text()).status_code == 200
    page.goto(f"{running.url}/routing")
    page.fill("#labels", "severity=ticket team=search alertname=IndexIsOld")
    page.fill("#at", "2027-01-11T22:00:00+01:00")
    page.click("main form button")
    page.wait_for_url("**/routing?labels=**")
    assert "Nobody is told now" in page.inner_text("main")
    page.click("summary")
    fits = page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/routing-{size}-{scheme}.png", full_page=True)
    assert fits, f"wider than {width}"
    context.close()


def test_the_command_says_who_would_hear(routed: httpx.Client) -> None:
    server = str(routed.base_url)
    tree = setpoint("alert", "route", SETPOINT_SERVER=server)
    assert tree.returncode == 0, tree.stderr
    assert "from AlertRouting bookshop" in tree.stdout
    done = setpoint("alert", "route", "severity=page", "service=checkout", SETPOINT_SERVER=server)
    assert done.stdout.startswith("● On-call is told\n"), done.stdout
    night = setpoint(
        "alert",
        "route",
        "severity=ticket",
        "team=search",
        "--at",
        "2027-01-11T22:00:00+01:00",
        SETPOINT_SERVER=server,
    )
    assert night.stdout.startswith("○ Nobody is told now: muted by the time interval office-hours\n")
    as_json = setpoint("alert", "route", "severity=page", "-o", "json", SETPOINT_SERVER=server)
    assert json.loads(as_json.stdout)["receivers"] == ["on-call"]
    for words in (["severity"], ["a=b", "a=c"], ["=x"], ["--at", "2027-01-11T22:00:00Z"]):
        assert setpoint("alert", "route", *words, SETPOINT_SERVER=server).returncode == 2


def test_the_status_of_the_server_tells_of_the_routing(routed: httpx.Client) -> None:
    assert routed.get("/api/status").json()["routing"]["name"] == "bookshop"


def test_a_broken_file_is_told_and_what_was_in_force_goes_on(
    make_app: MakeApp, serve: Callable[..., Running], tmp_path: Path
) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text(
        "route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url: 'http://h/secret-path'}]}]\n"
    )
    parts = make_app(alertmanager_config=file)
    with httpx.Client(base_url=serve(parts).url, timeout=60) as client:
        assert f"From {file}" in client.get("/routing", headers=HTML).text
        file.write_text("route: {receiver: b}\nreceivers: [{name: a}]\n")
        parts.routing.look()
        page = client.get("/routing", headers=HTML).text
        assert "undefined receiver &#39;b&#39;" in page
        assert "goes on" in page
        assert "secret-path" not in page
        answer = client.get("/routing", headers=JSON).json()
        assert answer["route"]["receiver"] == "a"
        assert answer["status"]["problems"][0].startswith(f"{file}:1: route.receiver: undefined receiver 'b'")
        assert "secret-path" not in json.dumps(answer)
        # A resource does not go before the file.
        assert apply(client, EXAMPLE.read_text()).status_code == 200
        assert client.get("/routing", headers=JSON).json()["route"]["receiver"] == "a"

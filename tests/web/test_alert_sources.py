"""The page of alert sources: who sends and how it goes, and a mapping that is tried before it is applied."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from pydantic import SecretStr

from setpoint.app import App
from tests.web.conftest import HTML, JSON, MakeApp, Running, apply
from tests.web.test_events_in import SOURCES, prepare

SPEC = """\
type: json
mapping:
  items: checks
  labels:
    alertname: "{{ .check }}"
  status: "{{ .state }}"
  dedup: "{{ .id }}"
"""
BODY = {"checks": [{"check": "disk", "id": 1, "state": "bad"}, {"check": "cpu", "id": 2, "state": "ok"}]}


def tried(client: httpx.Client, spec: Any, body: Any, **more: Any) -> dict[str, Any]:
    answer = client.post("/alert-sources/try", json={"spec": spec, "body": body} | more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_trial_says_which_alerts_it_would_make(parts: App, client: httpx.Client) -> None:
    found = tried(client, SPEC, BODY)
    assert [(one["state"], one["labels"]) for one in found["alerts"]] == [
        ("firing", {"alertname": "disk", "dedup_key": "1"})
    ]
    assert (found["dropped"], found["problems"]) == (1, [])
    assert found["alerts"][0]["receivers"] == ["nobody"]
    assert parts.alert_book.alerts() == []
    as_json = {"type": "json", "mapping": {"items": "checks", "labels": {"alertname": "x"}}}
    assert len(tried(client, as_json, json.dumps(BODY))["alerts"]) == 1
    whole = "apiVersion: setpoint/v1\nkind: AlertSource\nmetadata: {name: ci}\nspec: {type: cloudevents}\n"
    event = {"specversion": "1.0", "id": "1", "source": "/ci", "type": "build.failed"}
    assert tried(client, whole, event)["alerts"][0]["labels"]["alertname"] == "build.failed"
    assert len(tried(client, whole, [event, event | {"subject": "x"}])["alerts"]) == 2
    pager = {"type": "pagerduty", "keyFile": "k"}
    payload = {"summary": "s", "source": "a", "severity": "info"}
    assert (
        tried(client, pager, {"event_action": "trigger", "payload": payload})["alerts"][0]["state"]
        == "firing"
    )


@pytest.mark.parametrize(
    ("spec", "body", "where", "path", "message"),
    [
        (SPEC.replace("{{ .check }}", "{{ .check"), BODY, "spec", "spec.mapping.labels.alertname", ""),
        (SPEC.replace("items", "itemz"), BODY, "spec", "spec.mapping.itemz", ""),
        ("type: [", BODY, "spec", None, ""),
        ("", BODY, "spec", None, "write an AlertSource"),
        (
            "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: x}\nspec: {}",
            BODY,
            "spec",
            None,
            "kind AlertSource",
        ),
        (SPEC, "{", "body", None, "no JSON"),
        (SPEC, {"other": 1}, "body", None, "there is no 'checks' here, but other"),
        (SPEC, {"checks": [{"id": 3}]}, "body", "checks[0]", "alertname of the mapping comes out empty"),
        (
            "type: grafana",
            {"alerts": [{"status": "x", "labels": {"a": "b"}}]},
            "body",
            "alerts[0].status",
            "firing",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(  # noqa: PLR0917 — one case each
    client: httpx.Client, spec: str, body: Any, where: str, path: str | None, message: str
) -> None:
    found = tried(client, spec, body)
    problem = found["problems"][0]
    assert (problem["where"], problem["path"]) == (where, path), problem
    assert message in problem["message"] and found["alerts"] == []


def test_lines_count_in_what_was_written(client: httpx.Client) -> None:
    (problem,) = tried(client, SPEC.replace("{{ .check }}", "{{ .check"), BODY)["problems"]
    assert problem["line"] == 5


def test_sources_as_json_and_as_a_page(parts: App, client: httpx.Client) -> None:
    empty = client.get("/alert-sources", headers=HTML).text
    assert "No sender of its own form yet" in empty and "Try a mapping" in empty
    prepare(parts)
    client.post("/alerts/in/open", json={"name": "A"})
    client.post("/alerts/in/grafana", json={})
    client.post("/api/v2/alerts", json=[{"labels": {"alertname": "A"}}])
    told = client.get("/alert-sources", headers=JSON).json()["api"]
    assert (told["path"], told["requests"], told["refused"]) == ("/api/v2/alerts", 1, 0)
    items = {one["name"]: one for one in client.get("/alert-sources", headers=JSON).json()["items"]}
    assert sorted(items) == ["grafana", "nagios", "open", "pipelines"]
    assert (items["open"]["requests"], items["open"]["alerts"], items["open"]["has_key"]) == (1, 1, False)
    assert items["grafana"]["refused"] == 1 and "no key was given" in items["grafana"]["last_refusal"]
    assert (items["nagios"]["path"], items["open"]["path"]) == ("/v2/enqueue", "/alerts/in/open")
    shown = client.get("/alert-sources?source=open", headers=HTML).text
    assert "name: open" in shown and "hook-s3cret" not in shown
    assert client.get("/alert-sources?source=none", headers=HTML).status_code == 404


def test_a_form_without_scripts(client: httpx.Client) -> None:
    answer = client.post("/alert-sources/try", data={"spec": SPEC, "body": json.dumps(BODY)}, headers=HTML)
    assert answer.status_code == 200
    assert "1 alert" in answer.text and "disk" in answer.text
    hostile = {"checks": [{"check": "<script>alert(1)</script>", "id": "\u202e"}]}
    answer = client.post("/alert-sources/try", data={"spec": SPEC, "body": json.dumps(hostile)}, headers=HTML)
    assert "<script>alert" not in answer.text and "&lt;script&gt;" in answer.text
    huge = client.post("/alert-sources/try", data={"spec": SPEC, "body": "x" * 70_000}, headers=HTML)
    assert huge.status_code == 413


def test_who_may_only_look_tries_nothing(make_app: MakeApp, serve: Callable[..., Running]) -> None:
    parts = make_app(token=SecretStr("s3cret-token"))
    with httpx.Client(base_url=serve(parts).url, timeout=40) as client:
        assert client.post("/alert-sources/try", json={"spec": SPEC, "body": BODY}).status_code == 401
        assert client.get("/alert-sources", headers=JSON).status_code == 401


def test_in_a_browser(parts: App, client: httpx.Client, page: Page) -> None:
    prepare(parts)
    apply(client, SOURCES)
    page.goto(f"{client.base_url}/alert-sources")
    body = page.locator("#body")
    body.fill(
        json.dumps({"host": "h1", "checks": [{"id": 1, "check": "disk", "level": 2, "state": "failing"}]})
    )
    expect(page.locator("#result h3")).to_have_text("1 alert", timeout=30_000)
    expect(page.locator("#result")).to_contain_text("severity=page")
    body.fill("{")
    expect(page.locator("#result h3")).to_contain_text("wrong with the body", timeout=30_000)
    page.set_viewport_size({"width": 390, "height": 844})
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390

"""Alerts of other senders over HTTP: PagerDuty's API, CloudEvents, webhooks; who gets in; what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from setpoint.alert.dispatch.book import AlertBook
from setpoint.alert.notify.webhook.transport import signature
from setpoint.app import App
from setpoint.errors import Unavailable
from setpoint.resource import load_text
from tests.web.conftest import NOW_MS, MakeApp, Running, apply

KEY = "0123456789abcdef0123456789abcdef"
SOURCES = """
apiVersion: setpoint/v1
kind: AlertSource
metadata: {name: nagios}
spec: {type: pagerduty, keyFile: nagios-key, labels: {service: checkout}, requestsPerMinute: 50}
---
apiVersion: setpoint/v1
kind: AlertSource
metadata: {name: pipelines}
spec: {type: cloudevents, keyFile: hook-key}
---
apiVersion: setpoint/v1
kind: AlertSource
metadata: {name: open}
spec: {type: json, mapping: {labels: {alertname: "{{ .name }}"}, status: "{{ .s }}", dedup: "{{ .id }}"}}
---
apiVersion: setpoint/v1
kind: AlertSource
metadata: {name: grafana}
spec: {type: grafana, keyFile: hook-key}
"""
PAYLOAD = {"summary": "Disk of db1 is full", "source": "db1", "severity": "critical"}
EVENT = {"specversion": "1.0", "id": "1", "source": "/ci", "type": "com.example.build.failed"}


def prepare(parts: App) -> None:
    folder = parts.folder.path / "secrets"
    folder.mkdir(exist_ok=True)
    (folder / "nagios-key").write_text(KEY)
    (folder / "hook-key").write_text("hook-s3cret")
    parts.resources.apply(load_text([("s.yaml", SOURCES)], parts.registry), author="tester")


@pytest.fixture
def doors(parts: App, client: httpx.Client) -> Iterator[httpx.Client]:
    prepare(parts)
    yield client


def event(action: str = "trigger", **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"routing_key": KEY, "event_action": action}
    if action == "trigger":
        made["payload"] = PAYLOAD | changes.pop("payload", {})
    return made | changes


def open_alerts(parts: App) -> list[dict[str, str]]:
    now_ms = parts.clock.now_ms()
    return [dict(one.labels) for one in parts.alert_book.alerts() if not one.is_resolved(now_ms)]


def test_pagerduty_from_trigger_to_resolve(parts: App, doors: httpx.Client) -> None:
    answer = doors.post("/v2/enqueue", json=event())
    assert answer.status_code == 202
    key = answer.json()["dedup_key"]
    assert answer.json() == {"status": "success", "message": "Event processed", "dedup_key": key}
    assert len(key) == 36
    (labels,) = open_alerts(parts)
    assert labels == {
        "alertname": "Disk of db1 is full",
        "dedup_key": key,
        "source": "db1",
        "severity": "critical",
        "service": "checkout",
    }
    acknowledged = doors.post("/v2/enqueue", json=event("acknowledge", dedup_key=key))
    assert acknowledged.json() == {"status": "success", "message": "Event processed", "dedup_key": key}
    (told,) = parts.timeline.query(kinds=["alert.acknowledged"])
    assert (told.service, told.actor) == ("checkout", "nagios")
    assert told.summary == "acknowledged at nagios: Disk of db1 is full"
    assert parts.alert_book.alerts()[0].values["acknowledged"]
    parts.clock.advance(1)  # type: ignore[attr-defined]
    assert doors.post("/v2/enqueue", json=event("resolve", dedup_key=key)).status_code == 202
    assert open_alerts(parts) == []
    assert doors.post("/v2/enqueue", json=event("resolve", dedup_key="never was")).status_code == 202


def test_pagerduty_refuses_in_its_own_words(parts: App, doors: httpx.Client) -> None:
    for body, errors in (
        (event(routing_key="short"), ["Length of 'routing_key' is incorrect (should be 32 characters)"]),
        (event(routing_key="f" * 32), ["Invalid routing key"]),
        (event(payload={"severity": "bad"}), None),
        (event("explode"), None),
        ([], ["Event object is no JSON object"]),
    ):
        answer = doors.post("/v2/enqueue", json=body)
        said = answer.json()
        assert answer.status_code == 400, said
        assert (said["status"], said["message"]) == ("invalid event", "Event object is invalid")
        assert said["errors"] == errors or (errors is None and said["errors"])
    for content in (b"{", b'{"a":1,"a":2}', b'{"x":"\\ud800"}', b'{"a":' * 100 + b"1" + b"}" * 100, b"\xff"):
        assert doors.post("/v2/enqueue", content=content).status_code == 400
    large = doors.post("/v2/enqueue", json=event(payload={"custom_details": {"x": "y" * (512 << 10)}}))
    assert large.status_code == 413
    assert open_alerts(parts) == []


def test_pagerduty_is_paced_by_key(parts: App, doors: httpx.Client) -> None:
    answers = [doors.post("/v2/enqueue", json=event("resolve", dedup_key="x")) for _ in range(51)]
    assert [one.status_code for one in answers] == [202] * 50 + [429]
    assert answers[-1].json()["status"] == "throttle exceeded"
    assert answers[-1].headers["Retry-After"] == "60"
    parts.clock.advance(60)  # type: ignore[attr-defined]
    assert doors.post("/v2/enqueue", json=event()).status_code == 202


def test_a_change_is_on_the_timeline(parts: App, doors: httpx.Client) -> None:
    payload = {
        "summary": "Build 7",
        "source": "ci",
        "timestamp": "2027-01-09T11:00:00Z",
        "custom_details": {"build": 7},
    }
    change = {"routing_key": KEY, "payload": payload, "links": [{"href": "https://ci.example.com/7"}]}
    answer = doors.post("/v2/change/enqueue", json=change)
    assert (answer.status_code, answer.json()["message"]) == (202, "Change event processed")
    (told,) = parts.timeline.query(kinds=["deploy"])
    assert (told.summary, told.service, told.at_ms) == ("Build 7", "checkout", NOW_MS - 3_600_000)
    assert told.data == {"build": 7, "source": "ci", "links": ["https://ci.example.com/7"]}
    doors.post(
        "/v2/change/enqueue",
        json=change | {"payload": {"summary": "Less", "custom_details": {"kind": "change"}}},
    )
    assert len(parts.timeline.query(kinds=["change"])) == 1
    assert doors.post("/v2/change/enqueue", json={"routing_key": KEY}).status_code == 400


def test_what_cannot_be_stored_is_not_acknowledged(
    parts: App, doors: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: AlertBook, __: object) -> None:
        raise Unavailable("the disk is full", retry_after_s=7)

    monkeypatch.setattr(AlertBook, "receive", full)
    for answer in (
        doors.post("/v2/enqueue", json=event()),
        doors.post("/alerts/in/open", json={"name": "A"}),
    ):
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")


def test_cloud_events(parts: App, doors: httpx.Client) -> None:
    path, key = "/alerts/in/pipelines", {"Authorization": "Bearer hook-s3cret"}
    structured = {"Content-Type": "application/cloudevents+json"} | key
    answer = doors.post(path, content=json.dumps(EVENT), headers=structured)
    assert answer.status_code == 200 and len(answer.json()["stored"]) == 1
    assert answer.headers["Cache-Control"].startswith("private")
    batch = {"Content-Type": "application/cloudevents-batch+json"} | key
    events = [EVENT | {"subject": "a"}, EVENT | {"subject": "b"}]
    assert len(doors.post(path, content=json.dumps(events), headers=batch).json()["stored"]) == 2
    binary = {f"ce-{name}": value for name, value in EVENT.items()} | key
    over = {"status": "resolved"}
    assert doors.post(path, json=over, headers=binary | {"ce-subject": "a"}).status_code == 200
    parts.clock.advance(1)  # type: ignore[attr-defined]
    assert len(open_alerts(parts)) == 2
    assert doors.post(path, json=EVENT, headers=key).status_code == 415
    assert doors.post(path, content=b"{}", headers=structured).status_code == 400
    assert (
        doors.post(
            f"{path}?access_token=hook-s3cret", content=json.dumps(EVENT), headers=structured
        ).status_code
        == 200
    )


def test_the_handshake_of_cloud_events(doors: httpx.Client) -> None:
    asks = {"WebHook-Request-Origin": "events.example.com", "WebHook-Request-Rate": "120"}
    answer = doors.options("/alerts/in/pipelines", headers=asks)
    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "events.example.com"
    assert answer.headers["WebHook-Allowed-Rate"] == "3000"
    assert "POST" in answer.headers["Allow"]
    assert "WebHook-Allowed-Origin" not in doors.options("/alerts/in/pipelines").headers
    assert "WebHook-Allowed-Origin" not in doors.options("/alerts/in/grafana", headers=asks).headers
    assert doors.options("/alerts/in/nothing", headers=asks).status_code == 404


def test_any_json(parts: App, doors: httpx.Client) -> None:
    answer = doors.post("/alerts/in/open", json=[{"name": "A", "id": 1}, {"name": "B", "id": 2}])
    assert answer.status_code == 200 and len(answer.json()["stored"]) == 2
    answer = doors.post("/alerts/in/open", json=[{"id": 1, "s": "resolved"}, {"id": 3, "s": "ok"}])
    assert answer.json()["dropped"] == 1
    parts.clock.advance(1)  # type: ignore[attr-defined]
    assert [one["alertname"] for one in open_alerts(parts)] == ["B"]
    refused = doors.post("/alerts/in/open", json=[{"name": "C"}, {"id": 4}])
    assert refused.status_code == 400
    assert refused.json()["error"]["problems"][0]["path"] == "[1]"
    assert len(open_alerts(parts)) == 1
    assert doors.post("/alerts/in/open", content=b" " * (3 << 20)).status_code == 413
    assert doors.post("/alerts/in/nagios", json=event()).status_code == 401


def test_keys_signatures_and_who_is_counted(parts: App, doors: httpx.Client) -> None:
    body = json.dumps({"alerts": [{"status": "firing", "labels": {"alertname": "A"}}]}).encode()
    path = "/alerts/in/grafana"
    signed = {"X-Setpoint-Signature": signature("hook-s3cret", NOW_MS // 1000, body)}
    for accepted in (
        {"headers": signed},
        {"auth": ("any", "hook-s3cret")},
        {"params": {"key": "hook-s3cret"}},
    ):
        assert doors.post(path, content=body, **accepted).status_code == 200
    forged = {"X-Setpoint-Signature": signature("hook-s3cret", NOW_MS // 1000, body + b" ")}
    old = {"X-Setpoint-Signature": signature("hook-s3cret", NOW_MS // 1000 - 600, body)}
    foreign = signed | {"Origin": "https://evil.example.com"}
    answers = [
        doors.post(path, content=body, headers=headers).status_code for headers in ({}, forged, old, foreign)
    ]
    assert answers == [401, 401, 401, 403]
    counts = parts.alert_sources.get("grafana").counts
    assert (counts.requests, counts.refused, counts.last_ms) == (3, 3, NOW_MS)
    assert "older than 5 minutes" in counts.last_refusal


def test_with_tokens_a_source_without_a_key_takes_them_only(
    make_app: MakeApp, serve: Callable[..., Running]
) -> None:
    parts = make_app(token=SecretStr("s3cret-token"))
    prepare(parts)
    with httpx.Client(base_url=serve(parts).url, timeout=40) as client:
        assert client.post("/alerts/in/open", json={"name": "A"}).status_code == 401
        known = {"Authorization": "Bearer s3cret-token"}
        assert client.post("/alerts/in/open", json={"name": "A"}, headers=known).status_code == 200
        # A source with a key of its own needs no token, and a token is no key of it.
        body = {"alerts": [{"status": "firing", "labels": {"alertname": "A"}}]}
        assert client.post("/alerts/in/grafana?key=hook-s3cret", json=body).status_code == 200
        assert client.post("/alerts/in/grafana", json=body, headers=known).status_code == 401
        assert client.post("/v2/enqueue", json=event()).status_code == 202


def test_a_source_that_is_deleted_takes_nothing_more(doors: httpx.Client) -> None:
    assert doors.delete("/api/resources/AlertSource/open").status_code == 200
    assert doors.post("/alerts/in/open", json={"name": "A"}).status_code == 404


def test_a_broken_source_is_not_applied(doors: httpx.Client) -> None:
    text = SOURCES.replace("{{ .name }}", "{{ .name")
    answer = doors.post("/api/resources", json={"files": [{"name": "s.yaml", "text": text}]})
    assert answer.status_code == 400
    (problem,) = answer.json()["error"]["problems"]
    assert problem["path"] == "spec.mapping.labels.alertname" and problem["line"]


def test_apply_through_the_api(client: httpx.Client) -> None:
    apply(client, SOURCES)
    assert client.post("/alerts/in/open", json={"name": "A"}).status_code == 200
    # The key's file is not there yet: the sender keeps the alert and comes again.
    assert client.post("/alerts/in/grafana?key=x", json={}).status_code == 503

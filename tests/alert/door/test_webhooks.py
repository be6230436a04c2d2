"""CloudEvents in their three modes, webhooks of Grafana and Alertmanager, keys and signatures."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest

from setpoint.alert.dispatch.book import AlertBook
from setpoint.alert.door.cloudevents import UnknownForm, read_events
from setpoint.alert.door.grafana import read_webhook
from setpoint.alert.door.mapped import read_mapped
from setpoint.alert.door.signature import key_of
from setpoint.alert.door.sources import AlertSources, TooMany
from setpoint.alert.door.spec import AlertSourceSpec
from setpoint.alert.notify.webhook.transport import signature
from setpoint.app import default_registry
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import Forbidden, InvalidInput, NotFound, Unavailable
from setpoint.resource import load_text

EVENT = {"specversion": "1.0", "id": "1", "source": "/ci/main", "type": "com.example.build.failed"}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
START_MS = 1_800_000_000_000


def cloud(headers: dict[str, str], body: Any, **mapping: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    written = {"type": "cloudevents"} | ({"mapping": mapping} if mapping else {})
    compiled = AlertSourceSpec.model_validate(written).compiled()
    assert compiled is not None
    return read_mapped(read_events(headers, data), compiled)


def test_the_three_modes_say_the_same() -> None:
    data = {"severity": "critical", "summary": "main is red"}
    (structured,) = cloud(STRUCTURED, EVENT | {"subject": "main", "data": data})
    headers = {f"ce-{name}": value for name, value in EVENT.items()} | {"content-type": "application/json"}
    (binary,) = cloud(headers | {"ce-subject": '"main"'}, data)
    batch = {"content-type": "application/cloudevents-batch+json"}
    first, second = cloud(batch, [EVENT | {"subject": "main", "data": data}, EVENT])
    for told in (structured, binary, first):
        assert told.labels == {
            "alertname": "com.example.build.failed",
            "source": "/ci/main",
            "subject": "main",
            "severity": "critical",
            "dedup_key": "/ci/main main",
        }
        assert told.annotations == {"summary": "main is red"}
    assert second.key == "/ci/main com.example.build.failed"


def test_a_cloud_event_says_that_it_is_over() -> None:
    for event in (EVENT | {"type": "com.example.build.resolved"}, EVENT | {"data": {"status": "ok"}}):
        assert cloud(STRUCTURED, event | {"subject": "main"})[0].action == "resolve"


def test_a_mapping_changes_what_it_names() -> None:
    (told,) = cloud(STRUCTURED, EVENT | {"data": "text"}, labels={"alertname": "Build {{ .data.value }}"})
    assert told.labels["alertname"] == "Build text" and told.labels["source"] == "/ci/main"


def test_headers_are_percent_encoded() -> None:
    headers = {f"ce-{name}": value for name, value in EVENT.items()} | {"ce-subject": "Euro%20%E2%82%AC"}
    (told,) = cloud(headers, b"")
    assert told.labels["subject"] == "Euro €"
    for bad in ("%C0%A0", "100%", "%00"):
        with pytest.raises(InvalidInput):
            cloud(headers | {"ce-subject": bad}, b"")


@pytest.mark.parametrize(
    ("headers", "body", "error"),
    [
        ({}, b"{}", UnknownForm),
        ({"content-type": "application/json"}, b"{}", UnknownForm),
        ({"content-type": "application/cloudevents+avro"}, b"", UnknownForm),
        ({f"ce-{k}": v for k, v in EVENT.items()} | {"content-type": "image/png"}, b"x", UnknownForm),
        (STRUCTURED, b"[]", InvalidInput),
        (STRUCTURED, {**EVENT, "specversion": "0.3"}, InvalidInput),
        (STRUCTURED, {k: v for k, v in EVENT.items() if k != "id"}, InvalidInput),
        (STRUCTURED, {**EVENT, "Upper": "x"}, InvalidInput),
        (STRUCTURED, {**EVENT, "nested": {}}, InvalidInput),
        (STRUCTURED, {**EVENT, "data": 1, "data_base64": "MQ=="}, InvalidInput),
        ({"content-type": "application/cloudevents-batch+json"}, b"{}", InvalidInput),
    ],
)
def test_what_is_no_cloud_event(headers: dict[str, str], body: Any, error: type[InvalidInput]) -> None:
    with pytest.raises(InvalidInput) as raised:
        cloud(headers, body)
    assert isinstance(raised.value, error) and raised.value.http_status == (
        415 if error is UnknownForm else 400
    )


GRAFANA = {
    "receiver": "setpoint",
    "status": "firing",
    "orgId": 1,
    "version": "1",
    "groupKey": "{}",
    "alerts": [
        {
            "status": "firing",
            "labels": {"alertname": "High memory", "team": "blue", "empty": ""},
            "annotations": {"summary": "The system has high memory usage"},
            "startsAt": "2026-11-23T14:00:00+01:00",
            "endsAt": "0001-01-01T00:00:00Z",
            "generatorURL": "https://grafana.example.com/alerting/1afz29v7z/edit",
            "fingerprint": "c6eadffa33fcdf37",
            "silenceURL": "https://grafana.example.com/alerting/silence/new",
            "dashboardURL": "",
            "panelURL": "javascript:alert(1)",
            "values": {"B": 44.23943737541908, "C": 1},
            "valueString": "[ var='B' value=44.2 ]",
        },
        {
            "status": "resolved",
            "labels": {"alertname": "High CPU"},
            "startsAt": "2026-11-23T13:00:00Z",
            "endsAt": "2026-11-23T13:30:00Z",
            "values": None,
        },
    ],
    "title": "[FIRING:1]",
    "state": "alerting",
}


def test_grafana() -> None:
    firing, resolved = read_webhook(GRAFANA)
    assert firing.labels == {"alertname": "High memory", "team": "blue"}
    assert firing.annotations == {
        "summary": "The system has high memory usage",
        "silence_url": "https://grafana.example.com/alerting/silence/new",
        "value_string": "[ var='B' value=44.2 ]",
    }
    assert firing.values == {"B": 44.23943737541908, "C": 1.0}
    assert (firing.action, firing.ends_ms, firing.starts_ms) == ("trigger", None, 1_795_438_800_000)
    assert (resolved.action, resolved.ends_ms) == ("resolve", 1_795_440_600_000)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ([], ""),
        ({}, "alerts"),
        ({"alerts": [1]}, "alerts[0]"),
        ({"alerts": [{"status": "ok", "labels": {"a": "b"}}]}, "alerts[0].status"),
        ({"alerts": [{"status": "firing", "labels": {"a": 1}}]}, "alerts[0].labels"),
        ({"alerts": [{"status": "firing", "labels": {}}]}, "alerts[0].labels"),
        ({"alerts": [{"status": "firing", "labels": {"a": "b"}, "startsAt": "x"}]}, "alerts[0].startsAt"),
        (
            {"alerts": [{"status": "firing", "labels": {"a": "b"}, "values": {"x": 10**400}}]},
            "alerts[0].values.x",
        ),
    ],
)
def test_a_webhook_that_is_none(body: Any, path: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_webhook(body)
    assert (raised.value.problems[0].path or "") == path


def test_where_a_key_may_stand() -> None:
    assert key_of("Bearer k", {}) == "k"
    assert key_of("Basic dTprOjI=", {}) == "k:2"
    assert key_of("Basic !", {}) == ""
    assert key_of("", {"key": "k"}) == "k"
    assert key_of("", {"access_token": "k"}) == "k"


class Gate:
    """Sources with real files and a real book."""

    def __init__(self, folder: Path, database: StateDatabase, more: str = "") -> None:
        self.clock = VirtualClock(START_MS)
        self.sources = AlertSources(AlertBook(database, self.clock), self.clock, folder)
        (folder / "hook").write_text("s3cret\n")
        text = f"apiVersion: setpoint/v1\nkind: AlertSource\nmetadata: {{name: g}}\nspec: {{type: grafana{more}}}\n"
        self.sources.follow(load_text([("s.yaml", text)], default_registry()))

    def ask(self, headers: dict[str, str], query: dict[str, str] | None = None, body: bytes = b"{}") -> None:
        self.sources.admit(self.sources.get("g"), headers, query or {}, body, trusted=False)


def grafana_signature(body: bytes, at: str = "") -> str:
    return hmac.new(b"s3cret", (f"{at}:".encode() if at else b"") + body, hashlib.sha256).hexdigest()


def test_keys_and_signatures_let_in(tmp_path: Path, sqlite_database: StateDatabase) -> None:
    gate = Gate(tmp_path, sqlite_database, ", keyFile: hook")
    gate.ask({"authorization": "Bearer s3cret"})
    gate.ask({}, {"key": "s3cret"})
    gate.ask({"x-setpoint-signature": signature("s3cret", START_MS // 1000 - 299, b"{}")})
    gate.ask({"x-grafana-alerting-signature": grafana_signature(b"{}")})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Bearer "},
        {"x-setpoint-signature": signature("wrong", START_MS // 1000, b"{}")},
        {"x-setpoint-signature": signature("s3cret", START_MS // 1000, b"{} ")},
        {"x-setpoint-signature": signature("s3cret", START_MS // 1000 - 301, b"{}")},
        {"x-setpoint-signature": signature("s3cret", START_MS // 1000 + 301, b"{}")},
        {"x-setpoint-signature": "t=,v1="},
        {"x-setpoint-signature": "nonsense, authorization=Bearer s3cret", "authorization": "Bearer s3cret"},
        {"x-grafana-alerting-signature": grafana_signature(b"other")},
        {"x-grafana-alerting-signature": "é"},
    ],
)
def test_forged_and_old_signatures_are_refused(
    tmp_path: Path, sqlite_database: StateDatabase, headers: dict[str, str]
) -> None:
    gate = Gate(tmp_path, sqlite_database, ", keyFile: hook")
    with pytest.raises(Forbidden):
        gate.ask(headers)
    assert gate.sources.get("g").counts.refused == 1


def test_grafanas_time(tmp_path: Path, sqlite_database: StateDatabase) -> None:
    gate = Gate(tmp_path, sqlite_database, ", keyFile: hook, signedOnly: true, timestampHeader: X-Time")
    now_s = START_MS // 1000
    gate.ask({"x-grafana-alerting-signature": grafana_signature(b"{}", str(now_s)), "x-time": str(now_s)})
    for at in (now_s - 400, now_s + 400):
        with pytest.raises(Forbidden, match="older than 5 minutes"):
            gate.ask({"x-grafana-alerting-signature": grafana_signature(b"{}", str(at)), "x-time": str(at)})
    with pytest.raises(Forbidden, match="signed without X-Time"):
        gate.ask({"x-grafana-alerting-signature": grafana_signature(b"{}")})
    with pytest.raises(Forbidden, match="signed requests only"):
        gate.ask({"authorization": "Bearer s3cret"})


def test_a_key_may_be_renewed_and_a_missing_file_lets_nobody_in(
    tmp_path: Path, sqlite_database: StateDatabase
) -> None:
    gate = Gate(tmp_path, sqlite_database, ", keyFile: hook")
    gate.ask({}, {"key": "s3cret"})
    (tmp_path / "hook").write_text("renewed-key\n")
    gate.ask({}, {"key": "renewed-key"})
    (tmp_path / "hook").unlink()
    with pytest.raises(Unavailable, match="hook"):
        gate.ask({}, {"key": "renewed-key"})


def test_without_a_key_only_who_is_known_gets_in(tmp_path: Path, sqlite_database: StateDatabase) -> None:
    gate = Gate(tmp_path, sqlite_database)
    with pytest.raises(Forbidden, match="no keyFile"):
        gate.ask({})
    gate.sources.admit(gate.sources.get("g"), {}, {}, b"", trusted=True)


def test_who_sends_too_much_waits(tmp_path: Path, sqlite_database: StateDatabase) -> None:
    gate = Gate(tmp_path, sqlite_database, ", keyFile: hook, requestsPerMinute: 2")
    for _ in range(2):
        gate.ask({}, {"key": "s3cret"})
    gate.clock.advance(10)
    with pytest.raises(TooMany) as raised:
        gate.ask({}, {"key": "s3cret"})
    assert (raised.value.http_status, raised.value.retry_after_s) == (429, 50.0)
    gate.clock.advance(50)
    gate.ask({}, {"key": "s3cret"})
    gate.clock.advance(-86_400)  # a clock that is set back closes no door
    gate.ask({}, {"key": "s3cret"})


def test_a_source_that_is_gone(tmp_path: Path, sqlite_database: StateDatabase) -> None:
    gate = Gate(tmp_path, sqlite_database)
    gate.sources.follow([])
    with pytest.raises(NotFound, match="AlertSource 'g'"):
        gate.sources.get("g")

"""Events for PagerDuty: one incident for a group, from trigger to resolve."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pytest

from setpoint.alert.notify.channel import About, Answer
from setpoint.alert.notify.channels import channel_for
from setpoint.alert.notify.pagerduty.payload import severity_of
from setpoint.alert.route.model import Integration
from tests.alert.notify.office import EXTERNAL, NOW_MS, Sink, alert, notification

KEY = "0123456789abcdef0123456789abcdef"


def send(sink: Sink, *alerts: Any, **settings: Any) -> Answer:
    written: Mapping[str, Any] = {"url": sink.url, "routing_key": KEY, **settings}
    channel = channel_for(Integration("pagerduty", 0, True, written))
    try:
        return channel.send(notification(*alerts, group="{}:{a}"), About(EXTERNAL, "key", 1, NOW_MS))
    finally:
        channel.close()


def test_a_trigger_and_its_resolve(sink: Sink) -> None:
    sink.decide = lambda _: 202
    assert send(sink, alert("Burn", severity="page")).ok
    assert send(sink, alert("Burn", severity="page", ends_ms=NOW_MS)).ok
    first, second = (one.payload for one in sink.received)
    assert (first["event_action"], second["event_action"]) == ("trigger", "resolve")
    assert first["routing_key"] == KEY
    assert first["dedup_key"] == second["dedup_key"] == hashlib.sha256(b"{}:{a}").hexdigest()
    payload = first["payload"]
    assert payload["severity"] == "critical"
    assert "Burn" in payload["summary"]
    assert payload["source"]
    assert payload["custom_details"]["num_firing"] == "1"
    assert "Burn" in payload["custom_details"]["firing"]


def test_own_fields_and_links(sink: Sink) -> None:
    one = alert("Burn")
    one = type(one)(
        one.labels, one.starts_ms, one.updated_ms, annotations={"runbook_url": "https://run.example.com/b"}
    )
    assert send(
        sink,
        one,
        severity="warning",
        description="x" * 3000,
        component="{{ .CommonLabels.service }}",
        links=[{"href": "https://example.com/{{ .CommonLabels.alertname }}", "text": "more"}],
        details={"zone": "b", "nested": {"name": "{{ .CommonLabels.alertname }}"}},
    ).ok
    event = sink.received[0].payload
    assert event["links"] == [
        {"href": "https://example.com/Burn", "text": "more"},
        {"href": "https://run.example.com/b", "text": "Runbook"},
    ]
    assert len(event["payload"]["summary"]) == 1024
    assert event["payload"]["severity"] == "warning"
    assert event["payload"]["component"] == "shop"
    assert event["payload"]["custom_details"]["nested"] == {"name": "Burn"}


def test_an_event_that_is_too_large_loses_its_details(sink: Sink) -> None:
    assert send(sink, "Burn", details={"much": "ä" * 300_000}).ok
    event = sink.received[0].payload
    assert len(sink.received[0].body) <= 512_000
    assert "left out" in event["payload"]["custom_details"]["error"]


@pytest.mark.parametrize(
    ("status", "kind"), [(429, "slow_down"), (500, "retry"), (400, "refused"), (403, "misconfigured")]
)
def test_what_pagerduty_says(sink: Sink, status: int, kind: str) -> None:
    sink.decide = lambda _: status
    assert send(sink, "Burn").kind == kind


def test_a_service_key_goes_to_the_older_api(sink: Sink) -> None:
    assert send(sink, "Burn", routing_key="", service_key=KEY).ok
    event = sink.received[0].payload
    assert (event["service_key"], event["event_type"]) == (KEY, "trigger")
    assert event["incident_key"] == hashlib.sha256(b"{}:{a}").hexdigest()
    assert send(sink, "Burn", routing_key="").kind == "misconfigured"


@pytest.mark.parametrize(
    ("word", "severity"),
    [("page", "critical"), ("Warning", "warning"), ("info", "info"), ("", "error"), ("?", "error")],
)
def test_severities(word: str, severity: str) -> None:
    assert severity_of(word) == severity

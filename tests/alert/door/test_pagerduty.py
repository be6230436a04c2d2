"""PagerDuty's events: what is needed, what is refused in PagerDuty's words, what becomes of the fields."""

from __future__ import annotations

from typing import Any

import pytest

from setpoint.alert.door.pagerduty import read_change, read_event, routing_key_of
from setpoint.errors import InvalidInput

KEY = "0123456789abcdef0123456789abcdef"
PAYLOAD = {"summary": "Disk of db1 is full", "source": "db1.example.com", "severity": "critical"}


def trigger(**changes: Any) -> dict[str, Any]:
    return {"routing_key": KEY, "event_action": "trigger", "payload": PAYLOAD | changes}


def faults(call: Any, *arguments: Any) -> list[str]:
    with pytest.raises(InvalidInput) as raised:
        call(*arguments)
    return [problem.message for problem in raised.value.problems]


def test_a_trigger_becomes_an_alert() -> None:
    told = read_event(
        trigger(
            timestamp="2026-11-23T14:00:00.000+0000",
            component="postgres",
            group="prod",
            custom_details={"free": 0.5, "volume": "/data", "nested": {"a": [1]}, "summary": "mine"},
        )
        | {
            "dedup_key": "disk/db1",
            "client": "Nagios",
            "client_url": "https://nagios.example.com/1",
            "links": [{"href": "https://runbooks.example.com/disk"}, {"href": "javascript:alert(1)"}],
            "images": [{"src": "https://img.example.com/1.png"}],
        },
        "unused",
    )
    assert told.action == "trigger"
    assert told.labels == {
        "alertname": "Disk of db1 is full",
        "dedup_key": "disk/db1",
        "source": "db1.example.com",
        "severity": "critical",
        "component": "postgres",
        "group": "prod",
    }
    assert told.annotations == {
        "summary": "Disk of db1 is full",
        "free": "0.5",
        "volume": "/data",
        "nested": '{"a": [1]}',
        "detail_summary": "mine",
        "client": "Nagios",
        "link": "https://runbooks.example.com/disk",
        "image": "https://img.example.com/1.png",
    }
    assert told.starts_ms == 1_795_442_400_000
    assert told.generator_url == "https://nagios.example.com/1"
    assert not told.names_itself


def test_a_class_names_the_alert() -> None:
    told = read_event(trigger(**{"class": "disk full"}), "new")
    assert (told.labels["alertname"], told.key, told.names_itself) == ("disk full", "new", True)


@pytest.mark.parametrize("action", ["acknowledge", "resolve"])
def test_what_follows_needs_its_key_alone(action: str) -> None:
    told = read_event({"event_action": action, "dedup_key": "k"}, "unused")
    assert (told.action, told.key) == (action, "k")
    assert faults(read_event, {"event_action": action}, "unused") == ["'dedup_key' is missing or blank"]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({}, ["'event_action' is missing or blank"]),
        (trigger(summary=""), ["'payload.summary' is missing or blank"]),
        (trigger(summary="x" * 1025), ["'payload.summary' is too long (maximum is 1024 characters)"]),
        (trigger(source=7), ["'payload.source' must be a string"]),
        (
            trigger(severity="bad"),
            [
                "'payload.severity' is invalid (must be one of the following: 'critical', 'warning', 'error' or "
                "'info')"
            ],
        ),
        (trigger() | {"dedup_key": "k" * 256}, ["'dedup_key' is too long (maximum is 255 characters)"]),
        (trigger() | {"links": "x"}, ["'links' must be an array of objects"]),
        (trigger(timestamp="now"), ["'payload.timestamp' is invalid"]),
        ({"event_action": "trigger", "payload": []}, ["'payload' is missing or blank"]),
    ],
)
def test_what_is_wrong_is_said_as_pagerduty_says_it(event: dict[str, Any], expected: list[str]) -> None:
    found = faults(read_event, event, "new")
    assert all(any(one.startswith(start) for one in found) for start in expected), found


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], ["Event object is no JSON object"]),
        ({}, ["'routing_key' is missing or blank"]),
        ({"routing_key": 1}, ["'routing_key' must be a string"]),
        (
            {"routing_key": "a-b"},
            [
                "Length of 'routing_key' is incorrect (should be 32 characters)",
                "'routing_key' cannot contain non-alphanumeric characters.",
            ],
        ),
    ],
)
def test_routing_keys(body: Any, expected: list[str]) -> None:
    assert faults(routing_key_of, body) == expected
    assert routing_key_of({"routing_key": KEY}) == KEY


def test_a_change() -> None:
    change = read_change(
        {
            "payload": {"summary": "Build 7", "source": "ci", "custom_details": {"build": "7"}},
            "links": [{"href": "https://ci.example.com/7"}],
        }
    )
    assert (change.summary, change.source, change.details) == ("Build 7", "ci", {"build": "7"})
    assert change.links == ("https://ci.example.com/7",)
    assert faults(read_change, {"payload": {}}) == ["'payload.summary' is missing or blank"]


def test_many_and_long_details_are_cut_not_refused() -> None:
    details = {f"d{number}": "x" * 5000 for number in range(100)}
    annotations = read_event(trigger(custom_details=details), "new").annotations
    assert annotations["details_left_out"] == "40"
    assert len(annotations["d0"]) == 4096

"""Alertmanager's own cases of dispatching, read from beside the repository: whole scenarios of its acceptance tests on
a virtual clock, when a flush notifies, how alerts merge, fingerprints.

The files are not part of the repository; without them the tests are skipped.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.alert.dispatch.world import START_MS, World

from setpoint.alert.dispatch.decide import Told, decide
from setpoint.alert.dispatch.merge import merge
from setpoint.alert.door.alertmanager import read_alerts
from setpoint.alert.model import Alert, fingerprint_of
from setpoint.alert.notify.model import Notification
from setpoint.alert.route.matcher import Matcher
from setpoint.alert.silence.model import Silence
from setpoint.clock import rfc3339
from setpoint.database import StateDatabase

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "conformance" / "alerting"
DAY_MS = 86_400_000


def cases(name: str) -> list[Any]:
    """The cases of a file; none where it is not there."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return []
    content = json.loads(path.read_text())
    found: list[Any] = content["cases"] if "cases" in content else content["scenarios"]
    return found


def some(name: str) -> pytest.MarkDecorator:
    """Parametrizes with the cases of a file, or with one that is skipped."""
    missing = pytest.param(None, marks=pytest.mark.skip(f"{name}.json is not there"))
    return pytest.mark.parametrize("case", cases(name) or [missing], ids=_id)


def _id(case: Any) -> str:
    return "" if case is None else str(case.get("name") or case.get("case") or case.get("fingerprint"))[:60]


def at(seconds: float) -> int:
    """An instant of a scenario."""
    return START_MS + round(seconds * 1000)


@some("alert_merge")
def test_alerts_merge(case: dict[str, Any]) -> None:
    def alert(of: dict[str, Any]) -> Alert:
        return Alert(
            {"alertname": "test"},
            starts_ms=at(of["startsAt"]),
            ends_ms=at(of["endsAt"]),
            updated_ms=at(of["updatedAt"]),
            is_timeout=of["timeout"],
        )

    one, other = alert(case["a"]), alert(case["b"])
    assert merge(one, other, START_MS) == alert(case["merged"])
    assert merge(other, one, START_MS) == alert(case["merged"])


@some("notify_decision")
def test_a_flush_notifies(case: dict[str, Any]) -> None:
    def names(numbers: list[int]) -> frozenset[str]:
        return frozenset(f"{number:016x}" for number in numbers)

    told = None
    if case["previous"] is not None:
        age_s = case["previous"]["age_s"]
        age_ms = DAY_MS if age_s == "absent" else age_s * 1000
        told = Told(
            names(case["previous"]["firing"]),
            names(case["previous"]["resolved"]),
            START_MS - age_ms,
            START_MS - age_ms,
        )
    decision = decide(
        told,
        None,
        names(case["firing"]),
        names(case["resolved"]),
        send_resolved=case["send_resolved"],
        repeat_interval_ms=case["repeat_interval_s"] * 1000,
        now_ms=START_MS,
    )
    assert (decision.reason is not None) == case["notify"], decision.words


@some("fingerprints")
def test_fingerprints(case: dict[str, Any]) -> None:
    assert fingerprint_of(case["labels"]) == case["fingerprint"]


class Played:
    """A scenario, event by event."""

    def __init__(self, database: StateDatabase, case: dict[str, Any]) -> None:
        self.case = case
        self.world = World(database, case["config_yaml"])
        self.names = {
            f"webhook[{index}]": f"WEBHOOK_{index + 1}"
            for index in range(case["config_yaml"].count("http://WEBHOOK_"))
        }
        self.silence = ""
        if "webhook_behaviour" in case:
            assert "before t=3 s" in case["webhook_behaviour"]["WEBHOOK_1"]
            self.world.post.is_up = lambda _: self.world.now_s() >= 3

    def play(self, until_s: float) -> None:
        for event in self.case["events"]:
            self.world.until(event["at"], step_s=0.25)
            getattr(self, event["op"])(event)
        self.world.until(until_s, step_s=0.25)

    def post_alerts(self, event: dict[str, Any]) -> None:
        body = [
            {name: self._written(name, value) for name, value in alert.items()} for alert in event["alerts"]
        ]
        posted = read_alerts(
            json.dumps(body).encode(),
            self.world.clock.now_ms(),
            self.world.dispatcher.routing.resolve_timeout_ms,
        )
        assert not posted.faults
        self.world.book.receive(posted.alerts)

    def post_silence(self, event: dict[str, Any]) -> None:
        matchers = tuple(
            Matcher(one["name"], one["value"], "=~" if one["isRegex"] else "=") for one in event["matchers"]
        )
        self.silence = self.world.silences.post(
            Silence("", matchers, at(event["startsAt"]), at(event["endsAt"]), "test", "test")
        )

    def delete_silence_posted_above(self, _: dict[str, Any]) -> None:
        self.world.silences.expire(self.silence)

    def heard_by(self, hook: str) -> list[tuple[float, list[dict[str, Any]]]]:
        return [
            ((one.at_ms - START_MS) / 1000, self._shown(one.notification))
            for one in self.world.post.heard
            if self.names[one.notification.integration] == hook
        ]

    @staticmethod
    def _written(name: str, value: Any) -> Any:
        return rfc3339(at(value)) if name in {"startsAt", "endsAt"} else value

    @staticmethod
    def _shown(notification: Notification) -> list[dict[str, Any]]:
        """As `expect` writes alerts."""
        found = []
        for alert in notification.alerts:
            one: dict[str, Any] = {
                "startsAt": (alert.starts_ms - START_MS) / 1000,
                "labels": dict(alert.labels),
            }
            if alert.fingerprint in notification.resolved:
                assert alert.ends_ms is not None
                one["endsAt"] = (alert.ends_ms - START_MS) / 1000
            if alert.annotations:
                one["annotations"] = dict(alert.annotations)
            found.append(one)
        return found


def _is_batch(heard: list[dict[str, Any]], expected: list[dict[str, Any]], tolerance_s: float) -> bool:
    def by_labels(alerts: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(alerts, key=lambda one: sorted(one["labels"].items()))

    def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
        return one.keys() == other.keys() and all(
            abs(one[name] - other[name]) <= tolerance_s if name.endswith("At") else one[name] == other[name]
            for name in one
        )

    return len(heard) == len(expected) and all(
        same(one, other) for one, other in zip(by_labels(heard), by_labels(expected), strict=True)
    )


@some("acceptance_scenarios")
def test_acceptance(case: dict[str, Any], sqlite_database: StateDatabase) -> None:
    played = Played(sqlite_database, case)
    last_s = max(window["to"] for windows in case["expect"].values() for window in windows)
    played.play(last_s + 0.3)
    for hook, windows in case["expect"].items():
        heard = played.heard_by(hook)
        shown = "\n".join(map(str, heard))
        for window in windows:
            within = [alerts for at_s, alerts in heard if window["from"] <= at_s <= window["to"]]
            if window["alerts"]:
                assert any(_is_batch(one, window["alerts"], case["tolerance_s"]) for one in within), (
                    window,
                    shown,
                )
            else:
                assert not within, (window, shown)
        total = sum(len(window["alerts"]) for window in windows)
        assert sum(len(alerts) for _, alerts in heard) == total, shown


def test_times_of_scenarios_are_exact() -> None:
    assert rfc3339(at(1.25)) == datetime.fromtimestamp(START_MS / 1000 + 1.25, UTC).strftime(
        "%Y-%m-%dT%H:%M:%S.250Z"
    )

"""Changes of alerts on the timeline: once each, with their numbers, and what is open after a restart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from setpoint.alert.log import AlertLog
from setpoint.clock import SystemClock, VirtualClock
from setpoint.database import StateDatabase, Transaction
from setpoint.errors import Unavailable
from setpoint.objective.alerting.table import AlertChange
from setpoint.objective.model import Target
from setpoint.timeline import Timeline
from tests.alert.changes import NOW_MS, change


@pytest.fixture
def timeline(state_database: StateDatabase) -> Timeline:
    return Timeline(state_database, VirtualClock(NOW_MS))


@pytest.fixture
def log(state_database: StateDatabase, timeline: Timeline) -> AlertLog:
    return AlertLog(state_database, timeline, VirtualClock(NOW_MS))


def _kinds(timeline: Timeline) -> list[str]:
    return [event.kind for event in reversed(timeline.query(kinds=["alert.fired", "alert.resolved"]))]


def test_an_alert_carries_its_numbers(log: AlertLog, timeline: Timeline) -> None:
    log.record([change(targets=(Target("ops", "webhook", "http://secret.example/"),))])
    assert log.flush()
    (event,) = timeline.query()
    assert (event.kind, event.service, event.at_ms) == ("alert.fired", "shop", NOW_MS)
    assert event.summary == "checkout: page-1h fires (page): burning 20× in 1h"
    assert event.data["values"] == {"burn_1h": 20.0, "drop_1h": None}
    assert event.data["labels"] == {"team": ["payments"]}
    assert [target["name"] for target in event.data["targets"]] == ["ops"]
    assert "secret.example" not in str(event)


def test_open_alerts_are_those_that_fired_and_did_not_end(log: AlertLog, timeline: Timeline) -> None:
    log.record([change(), change(policy="page-6h", state="no data"), change(objective="cart")])
    log.record([change(state="resolved", at_ms=NOW_MS + 2_520_000)])
    assert log.flush()
    assert [(one.objective, one.policy, one.is_no_data) for one in log.open()] == [
        ("checkout", "page-6h", True),
        ("cart", "page-1h", False),
    ]
    assert log.open()[0].since_ms == NOW_MS
    resolved = timeline.query(kinds=["alert.resolved"])[0]
    assert resolved.summary.startswith("checkout: page-1h resolved after 42 min: ")
    assert resolved.data["fired_event"] == timeline.query(kinds=["alert.fired"])[-1].id


def test_what_stands_there_is_not_written_twice(log: AlertLog, timeline: Timeline) -> None:
    for _ in range(2):
        log.record([change()])
        log.flush()
    assert _kinds(timeline) == ["alert.fired"]
    for _ in range(2):
        log.record([change(state="resolved")])
        log.flush()
    assert _kinds(timeline) == ["alert.fired", "alert.resolved"]
    assert log.open() == []


def test_one_that_nobody_is_told_of_is_on_the_timeline(log: AlertLog, timeline: Timeline) -> None:
    log.record([change(is_told=False, targets=(Target("ops", "webhook", "http://a.example"),))])
    log.flush()
    assert timeline.query()[0].data["targets"] == []


class _Broken(StateDatabase):
    """A database that answers only when it is told to."""

    is_there = False

    @contextmanager
    def begin(self, *, durable: bool = True) -> Iterator[Transaction]:
        if not self.is_there:
            raise Unavailable("the state database does not answer: gone; try again")
        with super().begin(durable=durable) as transaction:
            yield transaction


def test_a_database_that_is_away_loses_nothing(tmp_path: object) -> None:
    database = _Broken(f"sqlite:///{tmp_path}/state.sqlite")
    timeline = Timeline(database, VirtualClock(NOW_MS))
    log = AlertLog(database, timeline, VirtualClock(NOW_MS))
    log.record([change()])
    assert not log.flush()
    log.record([change(state="resolved")])
    assert not log.flush()
    database.is_there = True
    assert log.flush()
    assert _kinds(timeline) == ["alert.fired", "alert.resolved"]
    database.close()


def test_one_that_cannot_be_stored_does_not_hold_up_the_others(log: AlertLog, timeline: Timeline) -> None:
    log.record([change(), change(policy="bad", values={"burn": float("nan")}), change(policy="page-6h")])
    assert log.flush()
    assert _kinds(timeline) == ["alert.fired", "alert.fired"]


def test_many_at_once_are_written_by_its_thread(sqlite_database: StateDatabase) -> None:
    timeline = Timeline(sqlite_database, SystemClock())
    log, stop = AlertLog(sqlite_database, timeline, SystemClock()), threading.Event()
    thread = threading.Thread(target=log.run, args=(stop,))
    thread.start()
    changes: list[AlertChange] = [change(objective=f"o{number}") for number in range(450)]
    log.record(changes)
    stop.set()
    thread.join(30)
    assert len(log.open()) == 450

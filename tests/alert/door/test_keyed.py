"""Senders that name a problem by a key: repeated, acknowledged, resolved and told anew, with a real book."""

from __future__ import annotations

import threading

import pytest

from setpoint.alert.dispatch.book import AlertBook
from setpoint.alert.door.keyed import KeyedAlerts
from setpoint.alert.door.told import Told
from setpoint.alert.model import Alert
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase

START_MS = 1_800_000_000_000


class Desk:
    """A book, a clock, and a source that tells something every second."""

    def __init__(self, database: StateDatabase) -> None:
        self.clock = VirtualClock(START_MS)
        self.book = AlertBook(database, self.clock)
        self.keyed = KeyedAlerts(self.book)

    def tell(self, *told: Told, **options: dict[str, str] | int) -> list[Alert]:
        self.clock.advance(1)
        taken = self.keyed.receive("nagios", told, self.clock.now_ms(), **options)  # type: ignore[arg-type]
        self.dropped, self.acknowledged = taken.dropped, taken.acknowledged
        return list(taken.alerts)

    def open(self) -> list[Alert]:
        return [one for one in self.book.alerts() if not one.is_resolved(self.clock.now_ms())]


def disk(severity: str = "warning", summary: str = "full", *, names_itself: bool = True, **more: str) -> Told:
    labels = {"alertname": summary, "dedup_key": "disk", "severity": severity} | more
    return Told("trigger", labels, {"summary": summary}, key="disk", names_itself=names_itself)


RESOLVE, ACKNOWLEDGE = Told("resolve", key="disk"), Told("acknowledge", key="disk")


def test_one_problem_is_one_alert_until_it_is_resolved(sqlite_database: StateDatabase) -> None:
    desk = Desk(sqlite_database)
    desk.tell(disk())
    desk.tell(disk())
    (alert,) = desk.open()
    assert (alert.starts_ms, alert.source) == (START_MS + 1000, "nagios")
    desk.tell(RESOLVE)
    assert desk.open() == []
    assert desk.book.get(alert.fingerprint).ends_ms == START_MS + 3000  # type: ignore[union-attr]


def test_after_a_resolve_a_trigger_opens_a_new_alert(sqlite_database: StateDatabase) -> None:
    desk = Desk(sqlite_database)
    desk.tell(disk())
    desk.tell(RESOLVE)
    late = Told(
        "trigger", disk().labels, starts_ms=START_MS, key="disk"
    )  # its clock says that it began long ago
    desk.tell(late)
    (alert,) = desk.open()
    assert alert.starts_ms == START_MS + 2000


def test_what_is_not_open_is_dropped(sqlite_database: StateDatabase) -> None:
    desk = Desk(sqlite_database)
    assert desk.tell(RESOLVE, ACKNOWLEDGE) == [] and desk.dropped == 2
    desk.tell(disk())
    desk.tell(RESOLVE)
    assert desk.tell(ACKNOWLEDGE) == [] and desk.dropped == 1


def test_the_key_of_another_source_is_another_key(sqlite_database: StateDatabase) -> None:
    desk = Desk(sqlite_database)
    desk.tell(disk())
    assert desk.keyed.receive("icinga", [RESOLVE], desk.clock.now_ms()).dropped == 1
    assert len(desk.open()) == 1


def test_what_becomes_critical_ends_and_begins_with_its_new_labels(sqlite_database: StateDatabase) -> None:
    desk = Desk(sqlite_database)
    desk.tell(disk("warning"))
    desk.tell(disk("critical"))
    (alert,) = desk.open()
    assert (alert.labels["severity"], alert.starts_ms) == ("critical", START_MS + 1000)
    desk.tell(RESOLVE)
    assert desk.open() == []


def test_a_name_made_from_the_summary_stays(sqlite_database: StateDatabase) -> None:
    desk = Desk(sqlite_database)
    desk.tell(disk(summary="90 % full", names_itself=False))
    desk.tell(disk(summary="91 % full", names_itself=False))
    (alert,) = desk.open()
    assert alert.name == "90 % full"
    assert alert.annotations["summary"] == "91 % full"


def test_an_acknowledgement_is_kept_while_it_is_open(sqlite_database: StateDatabase) -> None:
    desk = Desk(sqlite_database)
    desk.tell(disk())
    desk.tell(ACKNOWLEDGE)
    assert [one.labels["dedup_key"] for one in desk.acknowledged] == ["disk"]
    desk.tell(disk("critical"))
    (alert,) = desk.open()
    assert alert.values["acknowledged"] == "2027-01-15T08:00:02.000Z"
    desk.tell(RESOLVE)
    desk.tell(disk("critical"))
    assert desk.open()[0].values == {}


def test_keys_are_known_again_after_a_restart(sqlite_database: StateDatabase) -> None:
    desk = Desk(sqlite_database)
    desk.tell(disk("warning"))
    desk.tell(disk("critical"))
    again = KeyedAlerts(AlertBook(sqlite_database, desk.clock))
    desk.clock.advance(1)
    taken = again.receive("nagios", [RESOLVE], desk.clock.now_ms())
    assert [(one.labels["severity"], one.ends_ms) for one in taken.alerts] == [("critical", START_MS + 3000)]


def test_labels_of_the_source_and_how_long_it_holds(sqlite_database: StateDatabase) -> None:
    desk = Desk(sqlite_database)
    desk.tell(disk(service="wrong"), added={"service": "db"}, lasts_ms=60_000)
    (alert,) = desk.open()
    assert (alert.labels["service"], alert.ends_ms, alert.is_timeout) == ("db", START_MS + 61_000, True)
    desk.clock.advance(60)
    assert desk.open() == []


def test_one_request_may_tell_of_a_problem_twice(sqlite_database: StateDatabase) -> None:
    desk = Desk(sqlite_database)
    desk.tell(disk("warning"), disk("critical"), RESOLVE, disk("critical"))
    assert [one.labels["severity"] for one in desk.open()] == ["critical"]


def test_without_a_key_labels_name_the_alert(sqlite_database: StateDatabase) -> None:
    desk = Desk(sqlite_database)
    desk.tell(Told("trigger", {"alertname": "A"}, starts_ms=START_MS))
    desk.tell(Told("resolve", {"alertname": "A"}, starts_ms=START_MS, ends_ms=START_MS + 1500))
    assert desk.open() == []
    assert desk.tell(Told("acknowledge", {"alertname": "A"})) == [] and desk.dropped == 1


def test_many_threads_on_few_keys_leave_one_open_alert_each(sqlite_database: StateDatabase) -> None:
    desk = Desk(sqlite_database)

    def tell(severity: str) -> None:
        for _ in range(20):
            for number in range(4):
                key = f"k{number}"
                labels = {"alertname": "A", "dedup_key": key, "severity": severity}
                desk.keyed.receive("nagios", [Told("trigger", labels, key=key)], START_MS)

    threads = [
        threading.Thread(target=tell, args=(severity,)) for severity in ("warning", "critical", "info")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    desk.clock.advance(1)
    assert sorted(one.labels["dedup_key"] for one in desk.open()) == ["k0", "k1", "k2", "k3"]


@pytest.mark.parametrize("state_database", ["postgresql"], indirect=True)
def test_replicas_end_what_another_opened(state_database: StateDatabase) -> None:
    one, other = Desk(state_database), Desk(state_database)
    one.tell(disk("warning"))
    other.clock.advance(5)
    other.tell(disk("critical"))
    assert [alert.labels["severity"] for alert in other.open()] == ["critical"]
    one.clock.advance(10)
    assert len(one.tell(RESOLVE)) == 1
    assert one.open() == []

"""Heartbeats on a virtual clock: heard, missed, heard again, over restarts and jumps of the clock; and our own, sent
unless somebody might not be told.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence

import pytest

from setpoint.alert.heartbeat.auditor import Auditor
from setpoint.alert.heartbeat.book import HeartbeatBook
from setpoint.alert.heartbeat.send import HeartbeatSender
from setpoint.alert.heartbeat.spec import Heartbeat, register
from setpoint.alert.model import Alert
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import Forbidden, InvalidInput, NotFound, Unavailable
from setpoint.resource import Document, Registry, load_text
from setpoint.timeline import Timeline
from tests.alert.notify.office import NOW_MS, Office, Sink, notification

BACKUP = """
apiVersion: setpoint/v1
kind: Heartbeat
metadata: {name: backup}
spec:
  expect: {every: 1h, grace: 5m, service: shop, severity: page, runbook: 'https://run.example.com/b', keyFile: k}
"""


def documents(*texts: str) -> list[Document]:
    registry = Registry()
    register(registry)
    return load_text([(f"{number}.yaml", text) for number, text in enumerate(texts)], registry)


class Book:
    """What the alert book was told."""

    def __init__(self) -> None:
        self.alerts: dict[str, Alert] = {}
        self.kept: set[str] = set()

    def receive(self, alerts: Sequence[Alert]) -> None:
        self.alerts |= {one.fingerprint: one for one in alerts}

    def reconcile(self, source: str, keep: Collection[str], at_ms: int) -> None:
        assert source == "heartbeat"
        self.kept = set(keep)
        for fingerprint in self.alerts.keys() - self.kept:
            del self.alerts[fingerprint]

    def firing(self, at_ms: int) -> list[str]:
        return sorted(one.labels["heartbeat"] for one in self.alerts.values() if not one.is_resolved(at_ms))


class Ward:
    """A book of heartbeats on a clock of its own."""

    def __init__(self, database: StateDatabase, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock(NOW_MS)
        self.book = Book()
        self.timeline = Timeline(database, self.clock)
        self.heartbeats = HeartbeatBook(
            database, self.timeline, self.clock, self.book, read_secret=lambda name: f"key of {name}"
        )
        self.follow(BACKUP)

    def follow(self, *texts: str) -> None:
        self.heartbeats.follow(documents(*texts))
        self.heartbeats.step()

    def after(self, seconds: int) -> list[str]:
        """What fires after some time, looked at as often as the thread would."""
        for _ in range(0, seconds, 50):
            self.clock.advance(min(50, seconds))
            self.heartbeats.step()
        return self.book.firing(self.clock.now_ms())

    @property
    def events(self) -> list[str]:
        return [one.kind for one in reversed(self.timeline.query(limit=100))]


@pytest.fixture
def ward(state_database: StateDatabase) -> Ward:
    return Ward(state_database)


def test_one_that_stops_fires_and_ends_with_its_next_ping(ward: Ward) -> None:
    for _ in range(3):
        ward.heartbeats.ping("backup")
        assert ward.after(3600) == []
    assert ward.after(250) == []  # its grace
    assert ward.after(100) == ["backup"]
    (alert,) = ward.book.alerts.values()
    assert alert.labels == {
        "alertname": "HeartbeatMissed", "heartbeat": "backup", "service": "shop", "severity": "page",
    }  # fmt: skip
    assert alert.annotations["runbook_url"] == "https://run.example.com/b"
    assert "was not heard in time" in alert.annotations["summary"]
    assert ward.after(7200) == ["backup"]
    heard = ward.heartbeats.ping("backup")
    assert heard.state == "up"
    assert ward.after(50) == []
    assert ward.events == ["heartbeat.missed", "heartbeat.returned"]


def test_one_that_was_never_heard_fires(ward: Ward) -> None:
    assert ward.after(3850) == []
    assert ward.after(100) == ["backup"]
    assert "never heard" in next(iter(ward.book.alerts.values())).annotations["summary"]


def test_a_restart_gives_its_grace(ward: Ward, state_database: StateDatabase) -> None:
    ward.heartbeats.ping("backup")
    ward.clock.advance(4 * 3600)  # the server was down: a ping could not be heard
    again = Ward(state_database, ward.clock)
    assert again.after(250) == []
    assert again.after(100) == ["backup"]
    after = Ward(state_database, ward.clock)
    assert after.book.firing(ward.clock.now_ms()) == ["backup"]
    assert (
        next(iter(after.book.alerts.values())).starts_ms == next(iter(again.book.alerts.values())).starts_ms
    )
    after.heartbeats.ping("backup")
    assert after.after(50) == []


@pytest.mark.parametrize("jump_s", [86_400, -86_400])
def test_a_clock_that_jumps(ward: Ward, jump_s: int) -> None:
    ward.heartbeats.ping("backup")
    ward.clock.advance(jump_s)
    ward.heartbeats.step()
    assert ward.after(250) == []
    assert ward.after(3700) == ["backup"]


def test_one_that_is_removed_is_no_longer_expected(ward: Ward) -> None:
    assert ward.after(4000) == ["backup"]
    ward.follow()
    assert ward.book.firing(ward.clock.now_ms()) == []
    with pytest.raises(NotFound):
        ward.heartbeats.ping("backup")
    ward.follow(BACKUP)
    assert ward.after(3850) == []


def test_who_may_ping(ward: Ward) -> None:
    ward.heartbeats.admit("backup", "", trusted=True)
    ward.heartbeats.admit("backup", "key of k", trusted=False)
    with pytest.raises(NotFound):
        ward.heartbeats.admit("nothing", "", trusted=True)
    for name, key in (("backup", ""), ("backup", "wrong"), ("nothing", "key of k")):
        with pytest.raises(Forbidden):
            ward.heartbeats.admit(name, key, trusted=False)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("{}", "write expect"),
        ("{expect: {every: soon, service: shop}}", "not a duration"),
        ("{expect: {every: 1h, service: shop, key: x}}", "secret"),
        ("{send: {every: 1m}}", "either url or urlFile"),
        ("{send: {url: 'https://a:b@example.com/'}}", "password"),
        ("{send: {url: 'ftp://example.com/'}}", "no URL"),
    ],
)
def test_what_cannot_be(spec: str, told: str) -> None:
    text = f"apiVersion: setpoint/v1\nkind: Heartbeat\nmetadata: {{name: x}}\nspec: {spec}\n"
    with pytest.raises(InvalidInput, match=told):
        documents(text)


class Watch:
    """A sender of heartbeats over an outbox."""

    def __init__(self, database: StateDatabase, url: str) -> None:
        self.office = Office(database)
        self.auditor = Auditor(self.office.outbox)
        text = (
            "apiVersion: setpoint/v1\nkind: Heartbeat\nmetadata: {name: out}\n"
            f"spec: {{send: {{url: '{url}', every: 1m, overdueAfter: 5m}}}}\n"
        )
        (document,) = documents(text)
        assert isinstance(document.spec, Heartbeat)
        spec = document.spec.spec
        self.sender = HeartbeatSender(
            self.office.clock,
            self.auditor,
            lambda: {"out": spec},
            read_secret=lambda name: name,
        )

    def after(self, seconds: float) -> None:
        assert isinstance(self.office.clock, VirtualClock)
        self.office.clock.advance(seconds)
        for thread in self.sender.step():
            thread.join(30)


@pytest.fixture
def monitor() -> Iterator[Sink]:
    sink = Sink()
    yield sink
    sink.close()


@pytest.fixture
def watch(sqlite_database: StateDatabase, monitor: Sink) -> Iterator[Watch]:
    watch = Watch(sqlite_database, monitor.url)
    yield watch
    watch.office.outbox.close()
    watch.sender._poster.close()


def test_our_own_is_sent(watch: Watch, monitor: Sink) -> None:
    for _ in range(3):
        watch.after(60)
        watch.after(10)
    assert len(monitor.received) == 3
    assert json.loads(monitor.received[0].body)["heartbeat"] == "out"
    assert watch.sender.status("out").last_ms
    monitor.decide = lambda _: 500
    watch.after(60)
    assert "answered 500" in watch.sender.status("out").error


def test_it_is_withheld_while_a_notification_is_overdue(watch: Watch, monitor: Sink) -> None:
    watch.office.outbox.put([notification("Burn")])
    watch.after(60)
    assert len(monitor.received) == 1
    watch.after(300)
    assert len(monitor.received) == 1
    (reason,) = watch.sender.status("out").withheld
    assert "has been waiting for 6m" in reason
    sink = Sink()
    watch.office.follow(ops=sink.url)
    watch.office.outbox.drain()
    watch.after(60)
    assert len(monitor.received) == 2
    assert watch.sender.status("out").withheld == ()
    sink.close()


def test_what_cannot_be_looked_at_is_a_reason(watch: Watch, monitor: Sink) -> None:
    def fail() -> str:
        raise Unavailable("the state database does not answer")

    def break_() -> str:
        raise ZeroDivisionError

    watch.auditor.checks |= {"rules": fail, "objectives": break_, "well": lambda: ""}
    watch.after(60)
    assert monitor.received == []
    assert watch.sender.status("out").withheld == (
        "rules cannot be looked at: the state database does not answer",
        "objectives cannot be looked at: a fault in Setpoint (ZeroDivisionError)",
    )

"""Alerts of objectives, from their event to their webhook: as users' receivers know them, once, whoever is killed."""

from __future__ import annotations

import hashlib
import hmac
import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from setpoint.alert.dispatch.book import AlertBook
from setpoint.alert.dispatch.dispatcher import Dispatcher
from setpoint.alert.log import AlertLog
from setpoint.alert.notices import Notices
from setpoint.alert.notify.outbox import Outbox
from setpoint.alert.notify.receivers import Receivers, is_wanted, successor, target_statuses
from setpoint.alert.route.source import DEFAULT
from setpoint.alert.silence.book import SilenceBook
from setpoint.alert.target import target_key
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput
from setpoint.objective.model import Target
from setpoint.timeline import Timeline
from tests.alert.changes import NOW_MS, change
from tests.alert.notify.office import Sink

EXTERNAL = "http://127.0.0.1:7070"


def _secret(name: str) -> str:
    if name != "hook.key":
        raise InvalidInput(f"the secret file {name} cannot be read: no such file")
    return "s3cret"


class Office:
    """The whole way from a change of an alert to its webhook, on a clock of its own."""

    open: ClassVar[list[Office]] = []

    def __init__(self, database: StateDatabase, clock: VirtualClock | None = None) -> None:
        self.clock = clock or VirtualClock(NOW_MS)
        self.timeline = Timeline(database, self.clock)
        self.log = AlertLog(database, self.timeline, self.clock)
        self.book = AlertBook(database, self.clock)
        self.notices = Notices(database, self.timeline, self.clock, self.book, EXTERNAL)
        self.outbox = Outbox(
            database,
            self.timeline,
            self.clock,
            external_url=EXTERNAL,
            read_secret=_secret,
            owner="office",
            successor=successor,
            is_wanted=is_wanted,
        )
        silences = SilenceBook(database, self.timeline, self.clock)
        self.dispatcher = Dispatcher(self.book, self.clock, silences=silences, outbox=self.outbox)
        self.dispatcher.lead.holder = "office"
        self.receivers = Receivers(self.outbox)
        self.receivers.follow_routing(DEFAULT)
        self.dispatcher.follow(DEFAULT)
        self.targets: tuple[Target, ...] = ()
        self.notices.step()  # what is written from now on is handed over
        Office.open.append(self)

    def follow(self, *targets: Target) -> None:
        self.receivers.follow_targets({target_key(target): target for target in targets})
        self.targets = targets
        self.step()

    def fire(self, policy: str, *targets: Target, state: str = "firing", is_told: bool = True) -> None:
        told = targets or self.targets
        self.log.record([change(policy=policy, targets=told, state=state, is_told=is_told)])
        assert self.log.flush()
        self.step()

    def step(self, after_s: float = 0.0) -> None:
        self.clock.advance(after_s)
        self.notices.step()
        self.dispatcher.advance(self.clock.now_ms())
        self.outbox.drain()


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    for office in Office.open:
        office.outbox.close()
    Office.open.clear()


@pytest.fixture
def office(state_database: StateDatabase) -> Office:
    return Office(state_database)


@pytest.fixture
def sinks() -> Iterator[Callable[[], Sink]]:
    made: list[Sink] = []

    def make() -> Sink:
        made.append(Sink())
        return made[-1]

    yield make
    for sink in made:
        sink.close()


@pytest.fixture
def sink(sinks: Callable[[], Sink]) -> Sink:
    return sinks()


def _states(sink: Sink) -> list[str]:
    return [one.payload["status"] for one in sink.received]


def test_an_alert_as_alertmanager_would_send_it(office: Office, sink: Sink) -> None:
    office.follow(Target("ops", "webhook", sink.url, "hook.key"))
    office.fire("page-1h")
    (received,) = sink.received
    payload = received.payload
    (alert,) = payload["alerts"]
    assert (payload["version"], payload["status"], payload["externalURL"]) == ("4", "firing", EXTERNAL)
    assert alert["labels"] == payload["commonLabels"] == {
        "alertname": "page-1h",
        "objective": "checkout",
        "service": "shop",
        "severity": "page",
        "team": "payments",
    }  # fmt: skip
    assert (alert["startsAt"], alert["endsAt"]) == ("2027-01-15T08:00:00.000Z", "0001-01-01T00:00:00Z")
    assert alert["generatorURL"] == f"{EXTERNAL}/objectives/checkout"
    assert (alert["values"]["burn_1h"], alert["values"]["state"]) == (20.0, "firing")
    assert "burning 20×" in alert["annotations"]["summary"]
    office.clock.advance(60)
    office.log.record([change(state="resolved", at_ms=NOW_MS + 60_000, targets=office.targets)])
    office.log.flush()
    office.step()
    (over,) = sink.received[1].payload["alerts"]
    assert (over["status"], over["endsAt"]) == ("resolved", "2027-01-15T08:01:00.000Z")
    assert over["fingerprint"] == alert["fingerprint"]
    office.step(86_400)
    assert len(sink.received) == 2


def test_a_request_is_signed_and_names_itself(office: Office, sink: Sink) -> None:
    office.follow(Target("ops", "webhook", sink.url, "hook.key"))
    office.fire("page-1h")
    received = sink.received[0]
    at, given = (part.split("=")[1] for part in received.headers["X-Setpoint-Signature"].split(","))
    assert int(at) == NOW_MS // 1000
    signed = at.encode() + b"." + received.body
    assert hmac.compare_digest(given, hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest())
    assert received.headers["Idempotency-Key"].startswith("setpoint-")


def test_only_its_own_alerts(office: Office, sinks: Callable[[], Sink]) -> None:
    one, other = sinks(), sinks()
    first, second = Target("one", "webhook", one.url), Target("other", "webhook", other.url)
    office.follow(first, second)
    office.fire("page-1h", first)
    office.fire("page-6h", second)
    office.fire("ticket-1d", first, second)
    assert one.names == ["page-1h", "ticket-1d"]
    assert other.names == ["page-6h", "ticket-1d"]


def test_an_end_that_a_policy_does_not_tell(office: Office, sink: Sink) -> None:
    """alertWhenResolved: false"""
    office.follow(Target("ops", "webhook", sink.url))
    office.fire("page-1h")
    office.step(60)
    office.fire("page-1h", state="resolved", is_told=False)
    office.step(3600)
    assert _states(sink) == ["firing"]
    assert office.outbox.pending() == []
    office.fire("page-1h")
    assert _states(sink) == ["firing", "firing"]


def test_a_corrected_address_gets_what_waits(office: Office, sinks: Callable[[], Sink]) -> None:
    wrong, right = sinks(), sinks()
    wrong.decide = lambda _: 404
    office.follow(Target("ops", "webhook", wrong.url))
    office.fire("page-1h")
    office.follow(Target("ops", "webhook", right.url))
    office.step(70)
    assert right.names == ["page-1h"]
    assert [status.name for status in target_statuses(office.outbox)] == ["ops"]


def test_a_target_that_goes_with_its_objective_hears_that_the_alert_ended(office: Office, sink: Sink) -> None:
    """Written inside of an SLO it is gone with it, and its receiver would show the alert for ever."""
    target = Target("ops", "webhook", sink.url)
    office.follow(target)
    office.fire("one")
    office.follow()
    office.fire("one", target, state="resolved")
    assert _states(sink) == ["firing", "resolved"]
    assert target_statuses(office.outbox) == []


def test_a_restart_tells_nothing_twice(state_database: StateDatabase, sink: Sink) -> None:
    target = Target("ops", "webhook", sink.url)
    before = Office(state_database)
    before.follow(target)
    before.fire("page-1h")
    before.fire("page-6h")
    after = Office(state_database, before.clock)
    after.follow(target)
    after.step(600)
    after.fire("page-1h", state="resolved")
    assert sink.names == ["page-1h", "page-6h", "page-1h"]


def test_what_fired_while_nobody_handed_over_is_told(state_database: StateDatabase, sink: Sink) -> None:
    target = Target("ops", "webhook", sink.url)
    before = Office(state_database)
    before.follow(target)
    before.log.record([change(policy="page-1h", targets=(target,))])
    before.log.flush()  # and killed
    after = Office(state_database, before.clock)
    after.follow(target)
    assert sink.names == ["page-1h"]


def test_what_fired_before_there_was_a_book_is_in_it(state_database: StateDatabase, sink: Sink) -> None:
    target = Target("ops", "webhook", sink.url)
    clock = VirtualClock(NOW_MS)
    log = AlertLog(state_database, Timeline(state_database, clock), clock)
    log.record([change(policy="page-1h", targets=(target,))])
    log.flush()
    office = Office(state_database, clock)
    office.follow(target)
    office.fire("page-1h", state="resolved")
    assert _states(sink) == ["firing", "resolved"]


def _deliver_and_die(dsn: str, url: str) -> None:
    """A server that is killed between the receiver's answer and the note that it was told."""
    office = Office(StateDatabase(dsn))
    office.outbox.on_delivered = lambda *_: os._exit(9)
    office.follow(Target("ops", "webhook", url))
    office.fire("page-1h")


def test_killed_after_the_answer_it_sends_again_under_the_same_name(tmp_path: Path, sink: Sink) -> None:
    dsn = f"sqlite:///{tmp_path / 'state.sqlite'}"
    process = multiprocessing.get_context("spawn").Process(target=_deliver_and_die, args=(dsn, sink.url))
    process.start()
    process.join(50)
    assert process.exitcode == 9
    assert sink.names == ["page-1h"]
    database = StateDatabase(dsn)
    office = Office(database)
    office.follow(Target("ops", "webhook", sink.url))
    office.step(600)
    office.outbox.close()
    database.close()
    assert sink.names == ["page-1h", "page-1h"]
    first, second = sink.received
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.payload["alerts"] == second.payload["alerts"]

"""Webhooks: at least once and in order, each receiver for itself, whatever it answers and whoever is killed."""

from __future__ import annotations

import hashlib
import hmac
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from setpoint.alert.deliver import Delivery
from setpoint.alert.log import AlertLog
from setpoint.alert.target import target_key
from setpoint.clock import SystemClock, VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput
from setpoint.objective.model import Target
from setpoint.timeline import Timeline
from tests.alert.changes import NOW_MS, change
from tests.alert.receiver import Received, Receiver

EXTERNAL = "http://127.0.0.1:7070"


def _secret(name: str) -> str:
    if name != "hook.key":
        raise InvalidInput(f"the secret file {name} cannot be read: no such file")
    return "s3cret"


class Office:
    """A log and a delivery over one database, on a clock of their own."""

    def __init__(self, database: StateDatabase) -> None:
        self.clock = VirtualClock(NOW_MS)
        self.timeline = Timeline(database, self.clock)
        self.log = AlertLog(database, self.timeline, self.clock)
        self.delivery = Delivery(
            database, self.timeline, self.clock, read_secret=_secret, external_url=EXTERNAL
        )
        self.targets: dict[str, Target] = {}

    def follow(self, *targets: Target) -> None:
        since = self.delivery.newest()
        self.delivery.follow({target_key(target): target for target in targets}, since)
        self.targets = {target.name: target for target in targets}
        self.step()

    def fire(self, policy: str, *targets: Target, state: str = "firing") -> None:
        told = targets or tuple(self.targets.values())
        self.log.record([change(policy=policy, targets=told, state=state)])
        assert self.log.flush()

    def step(self, after_s: float = 0.0) -> None:
        """Deliver what is due, and wait for the threads."""
        self.clock.advance(after_s)
        while threads := self.delivery.step():
            for thread in threads:
                thread.join(30)


@pytest.fixture
def office(state_database: StateDatabase) -> Office:
    return Office(state_database)


@pytest.fixture
def receivers() -> Iterator[Callable[[], Receiver]]:
    made: list[Receiver] = []

    def make() -> Receiver:
        made.append(Receiver())
        return made[-1]

    yield make
    for receiver in made:
        receiver.close()


Make = Callable[[], Receiver]


def _told(receiver: Receiver) -> list[str]:
    return [alert["labels"]["alertname"] for one in receiver.received for alert in one.payload["alerts"]]


def test_an_alert_as_alertmanager_would_send_it(office: Office, receivers: Make) -> None:
    receiver = receivers()
    office.follow(Target("ops", "webhook", receiver.url, "hook.key"))
    office.fire("page-1h")
    office.step()
    (received,) = receiver.received
    payload = received.payload
    (alert,) = payload["alerts"]
    assert {name: payload[name] for name in ("version", "status", "receiver", "externalURL")} == {
        "version": "4",
        "status": "firing",
        "receiver": "ops",
        "externalURL": EXTERNAL,
    }
    assert alert["labels"] == payload["commonLabels"]
    assert alert["labels"] == {
        "alertname": "page-1h",
        "objective": "checkout",
        "service": "shop",
        "severity": "page",
        "team": "payments",
    }
    assert (alert["startsAt"], alert["endsAt"]) == ("2027-01-15T08:00:00.000Z", "0001-01-01T00:00:00Z")
    assert alert["generatorURL"] == f"{EXTERNAL}/objectives/checkout"
    assert alert["values"]["burn_1h"] == 20.0
    assert "burning 20×" in alert["annotations"]["summary"]
    office.clock.advance(60)
    office.log.record(
        [change(state="resolved", at_ms=NOW_MS + 60_000, targets=tuple(office.targets.values()))]
    )
    office.log.flush()
    office.step()
    (over,) = receiver.received[1].payload["alerts"]
    assert (over["status"], over["endsAt"]) == ("resolved", "2027-01-15T08:01:00.000Z")
    assert over["fingerprint"] == alert["fingerprint"]


def test_a_request_is_signed_and_names_itself(office: Office, receivers: Make) -> None:
    receiver = receivers()
    office.follow(Target("ops", "webhook", receiver.url, "hook.key"))
    office.fire("page-1h")
    office.step()
    received = receiver.received[0]
    at, given = (part.split("=")[1] for part in received.headers["X-Setpoint-Signature"].split(","))
    assert int(at) == NOW_MS // 1000
    signed = at.encode() + b"." + received.body
    assert hmac.compare_digest(given, hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest())
    (event,) = received.event_ids
    assert received.headers["Idempotency-Key"] == f"setpoint-{event}-{event}"


def test_without_its_secret_nothing_is_sent(office: Office, receivers: Make) -> None:
    receiver = receivers()
    office.follow(Target("ops", "webhook", receiver.url, "missing.key"))
    office.fire("page-1h")
    office.step()
    assert receiver.received == []
    assert "missing.key cannot be read" in office.delivery.statuses()[0].error


@pytest.mark.parametrize("answer", [500, 429, 503, 404, 302, "hang"])
def test_a_receiver_that_fails_is_asked_again(
    office: Office, receivers: Make, answer: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("setpoint.alert.webhook._TIMEOUT_S", 0.3)
    receiver = receivers()
    receiver.answers = [answer, answer]
    office.follow(Target("ops", "webhook", receiver.url))
    office.fire("page-1h")
    office.step()
    office.fire("page-6h")
    office.step()
    assert len(receiver.received) == 1  # not before its time
    status = office.delivery.statuses()[0]
    assert status.failures == 1
    assert "did not answer" in status.error if answer == "hang" else str(answer) in status.error
    office.step(2)
    assert len(receiver.received) == 2
    office.step(1)
    assert len(receiver.received) == 2  # twice as long
    office.step(2)
    assert _told(receiver)[-2:] == ["page-1h", "page-6h"]
    assert office.delivery.statuses()[0].failures == 0


def test_a_receiver_says_when(office: Office, receivers: Make) -> None:
    receiver = receivers()
    receiver.answers, receiver.headers = [429], {"Retry-After": "60"}
    office.follow(Target("ops", "webhook", receiver.url))
    office.fire("page-1h")
    office.step()
    office.step(55)
    assert len(receiver.received) == 1
    office.step(10)
    assert len(receiver.received) == 2


def test_the_longest_wait_is_bounded(office: Office, receivers: Make) -> None:
    receiver = receivers()
    receiver.decide = lambda _: 500
    office.follow(Target("ops", "webhook", receiver.url))
    office.fire("page-1h")
    for _ in range(15):
        office.step(301)
    assert len(receiver.received) == 15


def test_one_that_is_down_or_hangs_does_not_block_another(office: Office, receivers: Make) -> None:
    down, hangs, works = receivers(), receivers(), receivers()
    down.close()
    hangs.decide = lambda _: "hang"
    office.follow(
        Target("down", "webhook", down.url),
        Target("hangs", "webhook", hangs.url),
        Target("works", "webhook", works.url),
    )
    office.fire("page-1h")
    threads = office.delivery.step()
    next(thread for thread in threads if thread.name == "webhook works").join(5)
    assert _told(works) == ["page-1h"]
    office.fire("page-6h")
    (again,) = [thread for thread in office.delivery.step() if thread.name == "webhook works"]
    again.join(5)
    assert _told(works) == ["page-1h", "page-6h"]
    hangs.released.set()
    for thread in threads:
        thread.join(30)


def test_only_its_own_alerts(office: Office, receivers: Make) -> None:
    one, other = receivers(), receivers()
    first, second = Target("one", "webhook", one.url), Target("other", "webhook", other.url)
    office.follow(first, second)
    office.fire("page-1h", first)
    office.fire("page-6h", second)
    office.fire("ticket-1d", first, second)
    office.step()
    assert _told(one) == ["page-1h", "ticket-1d"]
    assert _told(other) == ["page-6h", "ticket-1d"]


def test_many_are_sent_together_in_order(office: Office, receivers: Make) -> None:
    receiver = receivers()
    target = Target("ops", "webhook", receiver.url)
    office.follow(target)
    changes = [change(objective=f"o{number:03}", targets=(target,)) for number in range(120)]
    office.log.record(changes)
    office.log.flush()
    office.step()
    assert [len(one.event_ids) for one in receiver.received] == [50, 50, 20]
    ids = [event for one in receiver.received for event in one.event_ids]
    assert ids == sorted(set(ids))
    assert receiver.received[0].payload["commonLabels"]["alertname"] == "page-1h"
    assert "objective" not in receiver.received[0].payload["commonLabels"]


def test_a_new_target_hears_of_nothing_that_was(office: Office, receivers: Make) -> None:
    early, late = receivers(), receivers()
    first = Target("first", "webhook", early.url)
    office.follow(first)
    office.fire("page-1h")
    office.step()
    office.follow(first, Target("late", "webhook", late.url))
    office.fire("page-6h")
    office.step()
    assert _told(late) == ["page-6h"]
    assert _told(early) == ["page-1h", "page-6h"]


def test_a_corrected_address_gets_what_waits(office: Office, receivers: Make) -> None:
    wrong, right = receivers(), receivers()
    wrong.decide = lambda _: 404
    office.follow(Target("ops", "webhook", wrong.url))
    office.fire("page-1h")
    office.step()
    office.follow(Target("ops", "webhook", right.url))
    office.step()
    assert _told(right) == ["page-1h"]


def test_a_removed_target_is_left_alone(office: Office, receivers: Make) -> None:
    receiver = receivers()
    receiver.decide = lambda _: 500
    target = Target("ops", "webhook", receiver.url)
    office.follow(target)
    office.fire("page-1h")
    office.step()
    office.follow()
    office.step(600)
    assert len(receiver.received) == 1
    office.follow(target)
    office.step(600)
    assert len(receiver.received) == 1


def test_a_target_that_goes_with_its_objective_hears_that_the_alert_ended(
    office: Office, receivers: Make
) -> None:
    """Written inside of an SLO it is gone with it, and its receiver would show the alert for ever."""
    receiver = receivers()
    target = Target("ops", "webhook", receiver.url)
    office.follow(target)
    office.fire("one")
    office.step()
    office.follow()
    office.fire("one", target, state="resolved")
    office.fire("another", target)
    office.step()
    assert [one.payload["alerts"][0]["status"] for one in receiver.received] == ["firing", "resolved"]
    assert _told(receiver) == ["one", "one"]
    office.step(61)
    office.fire("one", target, state="resolved")
    office.step()
    assert len(receiver.received) == 2
    assert office.delivery.statuses() == []


def test_a_payload_that_is_refused_holds_up_only_itself(office: Office, receivers: Make) -> None:
    receiver = receivers()

    def decide(received: Received) -> int:
        return 400 if "poison" in received.body.decode() else 200

    receiver.decide = decide
    office.follow(Target("ops", "webhook", receiver.url))
    for policy in ("page-1h", "poison", "page-6h"):
        office.fire(policy)
    for _ in range(8):
        office.step(60)
    taken = [one for one in receiver.received if decide(one) == 200]
    assert [alert["labels"]["alertname"] for one in taken for alert in one.payload["alerts"]] == [
        "page-1h",
        "page-6h",
    ]
    (left_out,) = office.timeline.query(kinds=["alert.undelivered"])
    assert "ops refused an alert 5 times (answered 400)" in left_out.summary


def test_a_clock_set_back_does_not_silence_it(office: Office, receivers: Make) -> None:
    receiver = receivers()
    receiver.answers = [500]
    office.follow(Target("ops", "webhook", receiver.url))
    office.fire("page-1h")
    office.step()
    office.step(-86_400)
    assert _told(receiver) == ["page-1h", "page-1h"]


def test_a_restart_goes_on_where_it_was(state_database: StateDatabase, receivers: Make) -> None:
    receiver = receivers()
    receiver.decide = lambda _: 500
    target = Target("ops", "webhook", receiver.url)
    before = Office(state_database)
    before.follow(target)
    before.fire("page-1h")
    before.step()
    receiver.decide = lambda _: None
    receiver.received.clear()
    after = Office(state_database)
    after.follow(target)
    assert _told(receiver) == ["page-1h"]
    again = Office(state_database)
    again.follow(target)
    assert _told(receiver) == ["page-1h"]


def _deliver_and_die(dsn: str, url: str) -> None:
    """A server that is killed between the receiver's answer and the note that it was told."""
    office = Office(StateDatabase(dsn))
    office.delivery._advance = lambda *_: os._exit(9)  # type: ignore[method-assign]
    office.follow(Target("ops", "webhook", url))
    office.fire("page-1h")
    office.step()


def test_killed_after_the_answer_it_sends_again_under_the_same_name(tmp_path: Path, receivers: Make) -> None:
    receiver = receivers()
    dsn = f"sqlite:///{tmp_path / 'state.sqlite'}"
    process = multiprocessing.get_context("spawn").Process(target=_deliver_and_die, args=(dsn, receiver.url))
    process.start()
    process.join(50)
    assert process.exitcode == 9
    assert _told(receiver) == ["page-1h"]
    database = StateDatabase(dsn)
    Office(database).follow(Target("ops", "webhook", receiver.url))
    database.close()
    assert _told(receiver) == ["page-1h", "page-1h"]
    first, second = receiver.received
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert first.event_ids == second.event_ids


def test_its_own_thread_delivers(sqlite_database: StateDatabase, receivers: Make) -> None:
    receiver, stop, clock = receivers(), threading.Event(), SystemClock()
    timeline = Timeline(sqlite_database, clock)
    log = AlertLog(sqlite_database, timeline, clock)
    delivery = Delivery(sqlite_database, timeline, clock, read_secret=_secret, external_url=EXTERNAL)
    target = Target("ops", "webhook", receiver.url)
    delivery.follow({target_key(target): target}, delivery.newest())
    threads = [threading.Thread(target=run, args=(stop,)) for run in (log.run, delivery.run)]
    for thread in threads:
        thread.start()
    log.record([change(targets=(target,))])
    deadline = time.monotonic() + 20
    while not receiver.received and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert _told(receiver) == ["page-1h"]

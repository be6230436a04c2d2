"""The outbox: at least once, in order, each integration for itself, whatever its receiver answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from setpoint.clock import SystemClock, VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import NotFound
from tests.alert.notify.office import NOW_MS, Office, Sink, alert, notification


def test_what_is_put_is_sent_and_noted(office: Office, sink: Sink) -> None:
    office.follow(ops=sink.url)
    office.outbox.put([notification("Burn", group="{}:{a}")])
    office.step()
    assert sink.names == ["Burn"]
    assert [one.group_key for one in office.told] == ["{}:{a}"]
    (event,) = office.events("notification.sent")
    assert event.service == "shop"
    assert event.data["key"] == sink.received[0].headers["Idempotency-Key"]
    assert office.outbox.pending() == []
    (row,) = office.outbox.sent()
    assert (row.state, row.attempts, row.settled_ms) == ("sent", 1, NOW_MS)
    office.step(3600)
    assert len(sink.received) == 1


@pytest.mark.parametrize("answer", [500, 503, 408, b"nonsense\r\n\r\n", b"", b"HTTP/1.1 20"])
def test_a_receiver_that_is_ill_is_asked_again(office: Office, sink: Sink, answer: int | bytes) -> None:
    sink.answers = (
        [answer] * 2 if isinstance(answer, int) else [answer] * 4
    )  # a lost connection is tried anew
    sink.decide = lambda _: answer if len(sink.received) <= 2 else 200
    office.follow(ops=sink.url)
    office.outbox.put([notification("Burn")])
    office.step()
    assert len(sink.received) == 1
    (status,) = office.outbox.statuses()
    assert (status.failures, status.pending) == (1, 1)
    assert status.error
    office.step(0.1)
    assert len(sink.received) == 1  # not before its time
    office.step(1)
    assert len(sink.received) == 2
    office.step(2)
    assert len(sink.received) == 3
    assert len(office.told) == 1
    assert len({one.headers["Idempotency-Key"] for one in sink.received}) == 1
    assert office.outbox.statuses()[0].failures == 0
    (failed, rest) = office.events("notification.failed")
    assert (failed.data["count"], rest.data["count"]) == (1, 1)


def test_a_receiver_that_was_away_for_hours_is_asked_every_few_minutes(office: Office, sink: Sink) -> None:
    sink.decide = lambda _: 500
    office.follow(ops=sink.url)
    office.outbox.put([notification("Burn")])
    for _ in range(400):
        office.step(60)
    assert 75 < len(sink.received) < 110
    assert len(office.events("notification.failed")) < 100
    assert office.outbox.overdue_ms() == 400 * 60_000
    sink.decide = lambda _: 200
    office.step(301)
    assert len(office.told) == 1
    assert office.outbox.overdue_ms() == 0


def test_one_that_wants_fewer_says_when(office: Office, sink: Sink) -> None:
    sink.headers = {"Retry-After": "60"}
    sink.answers = [429]
    office.follow(ops=sink.url)
    office.outbox.put([notification("Burn")])
    office.step()
    office.outbox.put([notification("Other", group="{}:{other}")])
    office.step(58)
    assert len(sink.received) == 1
    office.step(2)
    assert sorted(sink.names[1:]) == ["Burn", "Other"]


def test_what_is_refused_holds_up_only_itself_and_is_given_up(office: Office, sink: Sink) -> None:
    sink.decide = lambda one: 400 if "Poison" in one.names else 200
    office.follow(ops=sink.url)
    office.outbox.put([notification("Poison", group="{}:{p}"), notification("Burn", group="{}:{b}")])
    office.step()
    assert [one.alerts[0].name for one in office.told] == ["Burn"]
    for _ in range(30):
        office.step(60)
    assert sink.names.count("Poison") == 5
    (dead,) = office.outbox.dead()
    assert "answered 400" in dead.error
    (event,) = office.events("notification.dead")
    assert "ops (webhook[0]) was not told after 5 attempts" in event.summary
    sink.decide = lambda _: 200
    office.outbox.resend(dead.id)
    office.step()
    assert [one.alerts[0].name for one in office.told] == ["Burn", "Poison"]
    assert office.outbox.dead() == []
    assert sink.received[-1].headers["Idempotency-Key"] != dead.key
    with pytest.raises(NotFound):
        office.outbox.resend(999)


@pytest.mark.parametrize("status", [302, 401, 403, 404, 410])
def test_a_wrong_address_loses_nothing(office: Office, sink: Sink, status: int) -> None:
    sink.decide = lambda _: status
    office.follow(ops=sink.url)
    office.outbox.put([notification("Burn")])
    for _ in range(60):
        office.step(300)
    assert office.outbox.dead() == []
    assert str(status) in office.outbox.statuses()[0].error
    sink.decide = lambda _: 200
    office.step(301)
    assert len(office.told) == 1


def test_a_corrected_address_gets_at_once_what_waits(office: Office, sinks: Callable[[], Sink]) -> None:
    wrong, right = sinks(), sinks()
    wrong.decide = lambda _: 404
    office.follow(ops=wrong.url)
    office.outbox.put([notification("Burn")])
    office.step(0)
    office.follow(ops=right.url)
    office.step(20)
    assert right.names == ["Burn"]


def test_without_its_secret_nothing_is_sent(office: Office, sink: Sink) -> None:
    office.follow(ops={"url": sink.url, "secretFile": "missing.key"})
    office.outbox.put([notification("Burn")])
    office.step()
    assert sink.received == []
    assert "missing.key cannot be read" in office.outbox.statuses()[0].error
    office.follow(ops={"url": sink.url, "secretFile": "hook.key"})
    office.step(20)
    assert "v1=" in sink.received[0].headers["X-Setpoint-Signature"]


def test_one_that_is_down_or_hangs_does_not_block_another(office: Office, sinks: Callable[[], Sink]) -> None:
    down, hangs, works = sinks(), sinks(), sinks()
    down.close()
    hangs.decide = lambda _: "hang"
    office.follow(down=down.url, hangs=hangs.url, works=works.url)
    for number in range(20):
        office.outbox.put(
            [
                notification(f"A{number}", group=f"{{}}:{number}", receiver=name)
                for name in ("down", "hangs", "works")
            ]
        )
    deadline = time.monotonic() + 50
    while len(works.received) < 20 and time.monotonic() < deadline:
        office.outbox.step()
        time.sleep(0.01)
    assert sorted(works.names) == sorted(f"A{number}" for number in range(20))
    assert office.outbox.is_busy  # the one that hangs still does
    hangs.close()
    office.step()


def test_of_a_group_nothing_overtakes(office: Office, sink: Sink) -> None:
    sink.answers = ["hang"]
    office.follow(ops=sink.url)
    office.outbox.put([notification("Burn")])
    deadline = time.monotonic() + 50
    while not sink.received and time.monotonic() < deadline:
        time.sleep(0.005)
    over = notification(alert("Burn", ends_ms=NOW_MS), reason="all_resolved")
    office.outbox.put([over])
    office.outbox.step()
    assert len(sink.received) == 1
    assert len(office.outbox.pending()) == 2
    sink.released.set()
    office.step()  # the first was never answered: what it would have told is told by the second
    office.step(2)
    assert [one.payload["status"] for one in sink.received] == ["firing", "resolved"]
    assert len(office.told) == 1


def test_what_waits_behind_a_slow_one_goes_when_that_has_arrived(office: Office, sink: Sink) -> None:
    may_answer = threading.Event()

    def slowly(_: object) -> int:
        may_answer.wait(50)
        return 200

    sink.decide = slowly
    office.follow(ops=sink.url)
    office.outbox.put([notification("A")])
    deadline = time.monotonic() + 50
    while not sink.received and time.monotonic() < deadline:
        time.sleep(0.005)
    office.outbox.put([notification("A", "B", reason="new_alerts", at_ms=NOW_MS + 1)])
    for _ in range(3):
        office.outbox.step()  # nothing to do any more but to wait
    may_answer.set()
    while len(office.told) < 2 and time.monotonic() < deadline:
        office.outbox.step()  # the clock stands still
        time.sleep(0.005)
    assert [one.names for one in sink.received] == [["A"], ["A", "B"]]
    assert len(office.told) == 2


def test_a_failure_that_comes_while_the_outbox_looks_is_tried_again_in_time(
    office: Office, sink: Sink
) -> None:
    assert isinstance(office.clock, VirtualClock)
    outbox = office.outbox
    sink.answers = [500]
    office.follow(ops=sink.url)
    tend = outbox._tend

    def tend_late(now_ms: int) -> None:
        """The answer comes after what ended was noted, and before it is looked at what waits."""
        deadline = time.monotonic() + 50
        while not outbox._finished and time.monotonic() < deadline:
            time.sleep(0.001)
        tend(now_ms)

    outbox._tend = tend_late  # type: ignore[method-assign]
    outbox.put([notification("A")])
    outbox.step()
    outbox._tend = tend  # type: ignore[method-assign]
    outbox.step()
    outbox.step()
    office.clock.advance(2)
    deadline = time.monotonic() + 50
    while not office.told and time.monotonic() < deadline:
        outbox.step()
        time.sleep(0.005)
    assert len(office.told) == 1
    assert len(sink.received) == 2


def test_what_nobody_heard_is_told_by_what_comes_after(office: Office, sink: Sink) -> None:
    sink.decide = lambda _: 500
    office.follow(ops=sink.url)
    office.outbox.put([notification("A", "B")])
    office.step()
    first = office.outbox.pending()[0]
    office.outbox.put([notification(alert("A", ends_ms=NOW_MS), "C", reason="new_alerts", at_ms=NOW_MS + 1)])
    office.step()  # it goes out at once, and fails, too
    (row,) = office.outbox.pending()
    assert row.created_ms == first.created_ms
    assert row.key != first.key
    sink.decide = lambda _: 200
    office.step(2)
    assert sorted(sink.received[-1].names) == ["A", "B", "C"]
    states = {one["labels"]["alertname"]: one["status"] for one in sink.received[-1].payload["alerts"]}
    assert states == {"A": "resolved", "B": "firing", "C": "firing"}
    assert len(office.told) == 1


def test_the_same_again_changes_nothing(office: Office, sink: Sink) -> None:
    sink.decide = lambda _: 500
    office.follow(ops=sink.url)
    office.outbox.put([notification("A")])
    office.step()
    before = office.outbox.pending()
    office.outbox.put([notification("A", reason="repeat", at_ms=NOW_MS + 300_000)])
    assert office.outbox.pending() == before


def test_a_receiver_that_is_gone(office: Office, sink: Sink) -> None:
    sink.decide = lambda _: 500
    office.follow(ops=sink.url)
    office.outbox.put([notification("A")])
    office.step()
    office.follow()
    assert office.outbox.statuses() == []
    office.step(2)
    assert len(sink.received) == 2  # for a minute it is told what is left to tell
    office.step(61)
    office.step(61)
    assert len(sink.received) == 2
    (dead,) = office.outbox.dead()
    assert "no receiver ops" in dead.error
    office.follow(ops=sink.url)
    office.step(600)
    assert len(sink.received) == 2


@pytest.mark.parametrize("jump_s", [-86_400 * 400, 86_400 * 400])
def test_a_clock_that_jumps_neither_silences_nor_doubles(
    office: Office, sinks: Callable[[], Sink], jump_s: int
) -> None:
    ill, hangs = sinks(), sinks()
    ill.answers = [500]
    hangs.decide = lambda _: "hang"
    office.follow(ops=ill.url, hangs=hangs.url)
    office.outbox.put([notification("A"), notification("H", receiver="hangs")])
    deadline = time.monotonic() + 50
    while not (hangs.received and office.outbox.statuses()[1].failures) and time.monotonic() < deadline:
        office.outbox.step()
        time.sleep(0.005)
    office.outbox.step()
    assert isinstance(office.clock, VirtualClock)
    office.clock.advance(jump_s)
    deadline = time.monotonic() + 50
    while len(ill.received) < 2 and time.monotonic() < deadline:
        office.outbox.step()
        time.sleep(0.005)
    assert ill.names == ["A", "A"]
    assert len(hangs.received) == 1  # it is on its way, whatever the clock says of its lease
    hangs.close()


def test_a_restart_goes_on_where_it_was(state_database: StateDatabase, sink: Sink) -> None:
    sink.decide = lambda _: 500
    before = Office(state_database, owner="here")
    before.follow(ops=sink.url)
    before.outbox.put([notification("A")])
    before.step()
    sink.decide = lambda _: 200
    after = Office(state_database, VirtualClock(NOW_MS + 2000), owner="here")
    after.follow(ops=sink.url)
    after.step()
    assert sink.names == ["A", "A"]
    assert len(after.told) == 1


def test_its_own_thread_delivers_at_once(sqlite_database: StateDatabase, sink: Sink) -> None:
    office = Office(sqlite_database, SystemClock())
    stop = threading.Event()
    thread = threading.Thread(target=office.outbox.run, args=(stop,))
    thread.start()
    office.follow(ops=sink.url)
    for number in range(50):
        office.outbox.put([notification(f"A{number}", group=f"{{}}:{number}")])
    deadline = time.monotonic() + 50
    while len(office.told) < 50 and time.monotonic() < deadline:
        time.sleep(0.01)
    stop.set()
    office.outbox.wake()
    thread.join(50)
    assert len(office.told) == 50
    assert sink.connections <= 8  # they are kept
    assert len(office.events("notification.sent")) == 50


def test_who_hears_of_deliveries_and_fails_does_not_stop_them(office: Office, sink: Sink) -> None:
    def fail(*_: object) -> None:
        raise ValueError("no")

    office.outbox.on_delivered = fail
    office.follow(ops=sink.url)
    office.outbox.put([notification("A"), notification("B", group="{}:{b}")])
    office.step()
    assert office.outbox.pending() == []
    office.step(3600)
    assert len(sink.received) == 2


def test_events_of_a_channel_that_fails_again_and_again_are_few(office: Office, sink: Sink) -> None:
    sink.decide = lambda _: 400
    office.follow(ops=sink.url)
    for number in range(200):
        office.outbox.put([notification(f"A{number}", group=f"{{}}:{number}")])
    office.step()
    assert len(sink.received) == 200
    assert len(office.events("notification.failed")) == 1
    office.step(61)
    counts = [one.data["count"] for one in office.events("notification.failed")]
    assert sum(counts) >= 200
    assert len(counts) == 2

"""Several servers over one PostgreSQL: one dispatches, and another goes on when it dies."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from setpoint.alert.dispatch.lead import TERM_MS, Lead, LostLead
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from tests.alert.dispatch.replica import Replica
from tests.alert.dispatch.world import START_MS, World
from tests.alert.notify.office import Request, Sink

ALERTS, AT_ONCE, BEFORE_THE_KILL = 1000, 50, 300


def until(is_so: Callable[[], bool], patience_s: float = 90) -> None:
    """Wait for something that must come."""
    end = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.02)


@pytest.fixture
def databases(_postgresql: Any) -> Any:
    dsn = _postgresql.new_database()
    made = [StateDatabase(dsn) for _ in range(2)]
    yield made
    for one in made:
        one.close()


def test_one_leads_and_another_takes_over_when_it_stands_still(databases: list[StateDatabase]) -> None:
    clock = VirtualClock(START_MS)
    one, other = (Lead(database, clock) for database in databases)
    assert one.step(clock.now_ms())
    for _ in range(10):
        clock.advance(3)
        assert one.step(clock.now_ms())
        assert not other.step(clock.now_ms())
    clock.advance(TERM_MS / 1000 - 1)
    assert not other.step(clock.now_ms())
    clock.advance(1)
    assert other.step(clock.now_ms())
    with pytest.raises(LostLead), databases[0].begin() as transaction:
        one.check(transaction)
    assert not one.is_held
    assert not one.step(clock.now_ms())
    other.release()
    assert one.step(clock.now_ms())


def test_clocks_that_differ_delay_a_takeover_at_most(databases: list[StateDatabase]) -> None:
    ahead, behind = VirtualClock(START_MS + 3_600_000), VirtualClock(START_MS)
    one, other = Lead(databases[0], ahead), Lead(databases[1], behind)
    assert one.step(ahead.now_ms())
    assert not other.step(behind.now_ms())
    behind.advance(TERM_MS / 1000)
    assert other.step(behind.now_ms())


def test_who_lost_the_lead_writes_nothing_any_more(databases: list[StateDatabase]) -> None:
    clock = VirtualClock(START_MS)
    one, other = (World(database, clock=clock) for database in databases)
    one.settle()
    one.fire("Down")
    one.settle()
    clock.advance(29)
    one.settle()
    with databases[1].begin() as transaction:
        transaction.execute("UPDATE leases SET holder = 'somebody else', beat = beat + 1")
    clock.advance(1)
    with pytest.raises(LostLead):
        one.dispatcher.advance(clock.now_ms())
    assert one.post.kept == {}
    assert not one.dispatcher.is_leading
    clock.advance(TERM_MS / 1000 + 1)
    for _ in range(3):
        clock.advance(1)
        other.settle()
    assert [names for _, _, names, _ in other.told()] == [["Down"]]


def test_what_one_took_another_dispatches(databases: list[StateDatabase]) -> None:
    clock = VirtualClock(START_MS)
    one, other = (World(database, clock=clock) for database in databases)
    for _ in range(40):
        one.settle()
        other.settle()
        if clock.now_ms() == START_MS + 5000:
            other.fire("Down")
        clock.advance(1)
    [(at_s, _, names, _)] = one.told()
    assert names == ["Down"]
    assert 35 <= at_s <= 38, "what another took is seen within some seconds"
    assert other.told() == []
    [alert] = other.book.alerts()
    assert other.dispatcher.status(alert.fingerprint).state == "active"
    assert "another replica dispatches" in " ".join(other.dispatcher.explain(alert.fingerprint).lines)
    other.end("Down")
    for _ in range(700):
        one.settle()
        other.settle()
        clock.advance(1)
    assert [(reason, names) for _, reason, _, names in one.told()][1:] == [("all_resolved", ["Down"])]
    assert one.book.alerts() == other.book.alerts() == []
    assert other.dispatcher.groups() == []


@pytest.mark.timeout(240)
def test_every_alert_is_told_though_the_leader_is_killed(_postgresql: Any, tmp_path: Path) -> None:
    dsn, sink = _postgresql.new_database(), Sink()
    answered: list[tuple[float, str, str]] = []

    def answer(request: Request) -> int:
        time.sleep(0.002)
        answered.extend(
            (time.monotonic(), one["labels"]["instance"], request.headers["Idempotency-Key"])
            for one in request.payload["alerts"]
        )
        return 200

    sink.decide = answer
    with (tmp_path / "errors").open("wb") as errors:
        leader = subprocess.Popen(
            [sys.executable, "-m", "tests.alert.dispatch.replica", dsn, sink.url, str(ALERTS), str(AT_ONCE)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    assert leader.stdout is not None
    assert leader.stdout.readline() == "leads\n", (tmp_path / "errors").read_text()
    replica = Replica(dsn, sink.url)
    try:
        replica.start()
        sender = threading.Thread(target=_send, args=(replica,), daemon=True)
        sender.start()
        until(lambda: len(answered) >= BEFORE_THE_KILL)
        leader.kill()
        leader.wait()
        killed_at = time.monotonic()
        sender.join(90)
        wanted = {f"host-{number}" for number in range(ALERTS)}
        until(lambda: {name for _, name, _ in answered} == wanted, 150)
        until(lambda: not replica.outbox.pending())
    finally:
        leader.kill()
        leader.stdout.close()
        leader.wait()
        replica.stop()
        sink.close()
    counts = Counter(name for _, name, _ in answered)
    doubled = {name for name, count in counts.items() if count > 1}
    print(f"\n{len(doubled)} of {ALERTS} were told twice by the takeover")
    assert len(doubled) <= len([name for at, name, _ in answered if at <= killed_at])
    for name in doubled:  # once by the one that was killed before it could note it, with the same key
        assert counts[name] == 2
        told = [(at, key) for at, other, key in answered if other == name]
        assert told[0][0] <= killed_at + 1
        assert told[0][1] == told[1][1]


def _send(replica: Replica) -> None:
    for first in range(0, ALERTS, AT_ONCE):
        replica.fire(first, AT_ONCE)

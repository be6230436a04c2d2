"""Several servers over one PostgreSQL: they share the work, and what one held that was killed is taken over."""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections import Counter

import pytest

from setpoint.alert.notify.store import Lease
from setpoint.clock import SystemClock, VirtualClock
from setpoint.database import StateDatabase
from tests.alert.notify.office import NOW_MS, Office, Sink, notification
from tests.postgresql import PostgresqlServer

_ROWS = 300


def _deliver(dsn: str, url: str, name: str) -> None:
    """One server, until it is killed."""
    office = Office(StateDatabase(dsn), SystemClock(), owner=name)
    office.follow(ops=url)
    office.outbox.run(threading.Event())


def _wait_for(what: object, seconds: float = 90.0) -> None:
    assert callable(what)
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.timeout(200)
def test_servers_that_are_killed_lose_nothing(
    _postgresql: PostgresqlServer, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = _postgresql.new_database()
    database = StateDatabase(dsn)
    here = Office(database, SystemClock(), owner="here")
    here.outbox.put([notification(f"A{number}", group=f"g{number}") for number in range(_ROWS)])

    def slowly(_: object) -> int:
        time.sleep(0.01)
        return 200

    sink.decide = slowly
    context = multiprocessing.get_context("spawn")
    started = [
        context.Process(target=_deliver, args=(dsn, sink.url, f"server {number}"), daemon=True)
        for number in range(2)
    ]
    for process in started:
        process.start()
    _wait_for(lambda: len(sink.received) > 30)
    assert started[0].pid
    started[0].kill()  # in the middle of its requests
    started[0].join()
    assert started[0].exitcode == -signal.SIGKILL
    again = context.Process(target=_deliver, args=(dsn, sink.url, "server 0"), daemon=True)
    again.start()  # it takes up what it held under its name
    _wait_for(lambda: here.outbox.pending() == [])
    for process in (started[1], again):
        process.kill()
        process.join()
    told = Counter(sink.names)
    assert set(told) == {f"A{number}" for number in range(_ROWS)}
    # Doubled can only be what the killed one had sent and not noted: never thrice, and under the same key.
    assert max(told.values()) <= 2
    keys = Counter(one.headers["Idempotency-Key"] for one in sink.received)
    assert len(keys) == _ROWS
    database.close()


def test_what_a_dead_server_held_is_taken_over_when_its_lease_ends(
    state_database: StateDatabase, sink: Sink
) -> None:
    dead, alive = Sink(), Office(state_database, VirtualClock(NOW_MS), owner="alive")
    dead.decide = lambda _: "hang"
    gone = Office(state_database, VirtualClock(NOW_MS), owner="gone")
    gone.follow(ops=dead.url)
    gone.outbox.put([notification("A")])
    _wait_for(lambda: dead.received)
    alive.follow(ops=sink.url)
    length_s = Lease("").length_ms / 1000
    alive.step(length_s - 1)
    assert sink.received == []
    alive.step(2)
    assert sink.names == ["A"]
    assert sink.received[0].headers["Idempotency-Key"] == dead.received[0].headers["Idempotency-Key"]
    dead.close()
    _wait_for(lambda: not gone.outbox.is_busy)
    gone.outbox.step()  # its answer comes too late: the row is settled, and stays so
    assert (len(gone.told), len(alive.told)) == (0, 1)
    (row,) = alive.outbox.sent()
    assert row.attempts == 1

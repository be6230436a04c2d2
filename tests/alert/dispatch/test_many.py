"""Ten thousand alerts: everybody is told once, and one more costs no more than it would alone."""

from __future__ import annotations

import time

import pytest

from setpoint.alert.model import Alert
from setpoint.database import StateDatabase
from tests.alert.dispatch.world import HOOK, START_MS, World

COUNT = 10_000


def alerts(first: int, count: int, at_ms: int) -> list[Alert]:
    """As a Prometheus tells them."""
    return [
        Alert({"alertname": "Down", "instance": f"host-{number}"}, START_MS, at_ms, at_ms + 240_000)
        for number in range(first, first + count)
    ]


@pytest.mark.parametrize("group_by", ["[alertname]", "[...]"])
def test_ten_thousand(sqlite_database: StateDatabase, group_by: str) -> None:
    world = World(sqlite_database, HOOK.replace("[alertname]", group_by).replace("30s", "0s"))
    world.book.receive(alerts(0, COUNT, START_MS))
    world.settle()
    told = [name for one in world.post.heard for name in one.notification.firing]
    assert len(told) == len(set(told)) == COUNT
    groups = world.dispatcher.groups()
    assert sum(len(group.alerts) for group in groups) == COUNT
    # Told again every minute, they are told nobody again, and little is written.
    with world.database.read() as transaction:
        before = transaction.row("SELECT MAX(seq) AS value FROM alerts")
    world.clock.advance(60)
    world.book.receive(alerts(0, COUNT, world.clock.now_ms()))
    world.settle()
    with world.database.read() as transaction:
        after = transaction.row("SELECT MAX(seq) AS value FROM alerts")
    assert before == after
    assert len(world.post.heard) == len(groups)
    world.clock.advance(1)
    world.book.receive(alerts(COUNT, 1, world.clock.now_ms()))
    started = time.perf_counter()
    world.dispatcher.advance(world.clock.now_ms())
    one_more_s = time.perf_counter() - started
    if group_by == "[...]":  # a group of its own: it does not look at the others
        assert world.post.deliver() == 1
        assert one_more_s < 5
    world.start()
    world.settle()
    assert len(world.post.heard) == len(groups) + 1

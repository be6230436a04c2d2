"""What ended before the dispatcher came to tell of it, though it was due: its end is told (decision 0038)."""

from __future__ import annotations

import pytest

from setpoint.alert.model import Alert
from setpoint.database import StateDatabase
from tests.alert.dispatch.world import HOOK, START_MS, World, labels_of

AT_ONCE = HOOK.replace("group_wait: 30s", "group_wait: 0s")


@pytest.fixture
def world(sqlite_database: StateDatabase) -> World:
    return World(sqlite_database)


def test_what_ended_while_a_due_flush_was_late_is_told(world: World) -> None:
    world.until(1)
    world.fire("Down")
    world.clock.advance(40)  # nobody dispatches: there is much else to do
    world.end("Down")
    world.until(42)
    assert [told[1:] for told in world.told()] == [("all_resolved", [], ["Down"])]
    world.until(2000)
    assert len(world.told()) == 1
    assert world.book.alerts() == []


def test_without_group_wait_every_alert_is_told_however_short(sqlite_database: StateDatabase) -> None:
    world = World(sqlite_database, AT_ONCE)
    world.until(1)
    world.fire("Down/a")
    world.clock.advance(0.5)
    world.end("Down/a")
    world.until(1000)
    assert [told[1:] for told in world.told()] == [("all_resolved", [], ["Down/a"])]


@pytest.mark.parametrize("ends_first", [True, False])
def test_a_kill_before_anybody_was_told(world: World, *, ends_first: bool) -> None:
    world.fire("Down")
    world.clock.advance(40)
    if ends_first:
        world.end("Down")
        world.start()
    else:
        world.start()
        world.end("Down")
    world.until(1000)
    assert [told[1:] for told in world.told()] == [("all_resolved", [], ["Down"])]
    world.start()
    world.until(2000)
    assert len(world.told()) == 1


def test_what_was_muted_for_as_long_as_it_fired_is_not_told(world: World) -> None:
    world.silence(400, alertname="Down")
    world.fire("Down")
    world.until(100)
    world.end("Down")
    world.until(1000)
    world.start()
    world.until(2000)
    assert world.told() == []


def test_what_came_when_it_was_over_is_not_told(sqlite_database: StateDatabase) -> None:
    world = World(sqlite_database, AT_ONCE)
    world.until(1)
    world.book.receive([Alert(labels_of("Down"), START_MS - 90_000, START_MS, ends_ms=START_MS - 1000)])
    world.start()
    world.until(1000)
    assert world.told() == []


def test_who_hears_no_ends_hears_of_none(sqlite_database: StateDatabase) -> None:
    world = World(sqlite_database, AT_ONCE.replace("send_resolved: true", "send_resolved: false"))
    world.until(1)
    world.fire("Down")
    world.clock.advance(5)
    world.end("Down")
    world.until(1000)
    assert world.told() == []

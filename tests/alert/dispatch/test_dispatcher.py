"""When who is told of what, on a virtual clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from setpoint.alert.model import Labels
from setpoint.alert.notify.model import Notification
from setpoint.alert.route.read import read_routing
from setpoint.database import StateDatabase
from tests.alert.dispatch.world import HOOK, START_MS, World, labels_of


@pytest.fixture
def world(sqlite_database: StateDatabase) -> World:
    return World(sqlite_database)


def test_a_group_waits_flushes_waits_for_its_interval_and_repeats(world: World) -> None:
    world.fire("Down/a")
    world.until(10)
    world.fire("Down/b")
    world.until(40)
    world.fire("Down/c")
    world.until(4 * 3600 + 60)
    assert (
        world.told()
        == [
            (30, "first", ["Down/a", "Down/b"], []),
            (330, "new_alerts", ["Down/a", "Down/b", "Down/c"], []),
            (330 + 4 * 3600, "repeat", ["Down/a", "Down/b", "Down/c"], []),
        ][:2]
    )
    world.until(4 * 3600 + 340)
    assert world.told()[2:] == [(330 + 4 * 3600, "repeat", ["Down/a", "Down/b", "Down/c"], [])]


def test_what_ended_is_told_once_and_leaves(world: World) -> None:
    world.fire("Down/a", "Down/b")
    world.until(31)
    world.end("Down/a")
    world.until(400)
    world.end("Down/b")
    world.until(3000)
    assert world.told()[1:] == [
        (330, "new_resolved", ["Down/b"], ["Down/a"]),
        (630, "all_resolved", [], ["Down/b"]),
    ]
    assert world.dispatcher.groups() == []
    assert world.book.alerts() == []


def test_an_alert_that_fired_for_longer_than_group_wait_is_told_at_once(world: World) -> None:
    world.until(100)
    world.fire("Down", starts_s=60)
    world.until(101)
    assert world.told() == [(100, "first", ["Down"], [])]


def test_what_ends_before_the_first_flush_is_not_told(world: World) -> None:
    world.fire("Down")
    world.until(10)
    world.end("Down")
    world.until(1000)
    assert world.told() == []


def test_a_silence_mutes_and_when_it_ends_the_next_flush_tells(world: World) -> None:
    world.silence(400, alertname="Down")
    world.fire("Down")
    world.until(329)
    assert world.told() == []
    [alert] = world.book.alerts()
    status = world.dispatcher.status(alert.fingerprint)
    assert status.state == "suppressed"
    assert len(status.silenced_by) == 1
    assert "muted" in world.dispatcher.explain(alert.fingerprint).summary
    world.until(700)
    assert world.told() == [(630, "first", ["Down"], [])]
    assert world.dispatcher.explain(alert.fingerprint).summary == "It fires; 'ops' was told of it."


def test_what_ended_while_it_was_silenced_is_news_when_it_fires_again(world: World) -> None:
    world.fire("Down")
    world.until(31)
    world.silence(600, alertname="Down")
    world.until(100)
    world.end("Down")
    world.until(350)
    [alert] = world.book.alerts()
    [route] = world.dispatcher.explain(alert.fingerprint).routes
    assert "it ended while it was muted, so nobody is told that it ended" in route.lines
    world.until(700)
    assert [reason for _, reason, _, _ in world.told()] == [
        "first"
    ]  # as in Alertmanager: the end is not told
    world.fire("Down")
    world.until(740)
    assert world.told()[1:] == [(730, "new_alerts", ["Down"], [])]


def test_one_that_flaps_between_two_flushes_is_no_news_and_says_so(world: World) -> None:
    world.fire("Down")
    world.until(40)
    world.end("Down")
    world.until(60)
    [alert] = world.fire("Down")
    world.until(340)
    assert len(world.told()) == 1
    [route] = world.dispatcher.explain(alert.fingerprint).routes
    assert "fired again 4 min ago, between two flushes" in " ".join(route.lines)
    assert "repeat_interval is 4 h" in route.integrations[0].decision


def test_a_restart_tells_nothing_twice_and_forgets_nothing(world: World) -> None:
    world.fire("Down/a")
    world.until(31)
    world.fire("Down/b", "Other")
    world.start()
    world.until(62)
    # Groups are made again: Down is flushed at once because `a` fired for longer than group_wait.
    assert world.told() == [
        (30, "first", ["Down/a"], []),
        (31, "new_alerts", ["Down/a", "Down/b"], []),
        (61, "first", ["Other"], []),
    ]
    world.start()
    world.until(1000)
    assert len(world.told()) == 3


def test_nothing_muted_notifies_because_of_a_restart(sqlite_database: StateDatabase) -> None:
    world = World(
        sqlite_database,
        HOOK + "inhibit_rules: [{source_match: {alertname: Zone}, target_match: {alertname: Down}}]\n",
    )
    world.silence(100_000, alertname="Other")
    world.fire("Down/a", "Down/b", "Other", "Zone")
    world.until(100)
    assert [names for _, _, names, _ in world.told()] == [["Zone"]]
    world.start()
    world.until(1000)
    assert len(world.told()) == 1


def test_a_receiver_that_is_down_hears_of_all_that_was_decided(world: World) -> None:
    world.post.is_up = lambda _: False
    world.fire("Down/a")
    world.until(100)
    world.end("Down/a")
    world.fire("Down/b")
    world.until(1000)
    world.end("Down/b")
    world.until(2000)
    assert world.told() == []
    assert len(world.post.kept) == 1
    world.post.is_up = lambda _: True
    world.until(2001)
    assert [(sorted(firing), sorted(resolved)) for _, _, firing, resolved in world.told()] == [
        ([], ["Down/a", "Down/b"])
    ]
    world.until(4000)
    assert len(world.told()) == 1
    assert world.book.alerts() == []


def test_the_same_is_not_put_again_while_it_is_on_its_way(world: World) -> None:
    world.post.is_up = lambda _: False
    world.fire("Down")
    world.until(5000)
    assert world.post.puts == 1
    [alert] = world.book.alerts()
    assert world.dispatcher.explain(alert.fingerprint).routes[0].outcome == "sending"


def test_what_the_outbox_gave_up_is_decided_again_at_the_next_flush(world: World) -> None:
    world.post.is_up = lambda _: False
    world.fire("Down")
    world.until(100)
    world.post.kept.clear()
    world.post.is_up = lambda _: True
    world.until(400)
    assert world.told() == [(330, "first", ["Down"], [])]


def test_a_database_that_does_not_take_it_only_delays(world: World) -> None:
    world.fire("Down")
    world.until(29)
    world.post.fails = True
    world.clock.advance(2)
    for _ in range(3):
        with pytest.raises(Exception, match="the test says so"):
            world.dispatcher.advance(world.clock.now_ms())
        world.clock.advance(1.5)
    world.post.fails = False
    world.until(40)
    assert [names for _, _, names, _ in world.told()] == [["Down"]]


def test_a_new_configuration_makes_groups_anew_and_tells_nobody_twice(world: World) -> None:
    world.fire("Down")
    world.until(31)
    world.routing = HOOK.replace("5m", "2m")

    world.dispatcher.follow(read_routing("alertmanager.yml", world.routing))
    world.until(1000)
    assert len(world.told()) == 1
    world.dispatcher.follow(read_routing("alertmanager.yml", world.routing.replace("ops", "pager")))
    world.until(1001)
    assert world.told()[1:] == [(1000, "first", ["Down"], [])]


def test_who_hears_no_ends_is_told_when_it_fires_again(sqlite_database: StateDatabase) -> None:
    world = World(sqlite_database, HOOK.replace("send_resolved: true", "send_resolved: false"))
    world.fire("Down")
    world.until(31)
    world.end("Down")
    world.until(1000)
    assert len(world.told()) == 1
    world.fire("Down")
    world.until(1031)
    assert world.told()[1:] == [(1030, "first", ["Down"], [])] or world.told()[1][1] == "new_alerts"


def test_a_target_hears_at_once_once_and_of_the_end(world: World) -> None:
    world.until(5)
    [alert] = world.fire("Burn", targets=("hook-a",))
    world.until(20_000)
    targets = [one for one in world.post.heard if one.notification.receiver == "target:hook-a"]
    assert [(one.at_ms - START_MS) / 1000 for one in targets] == [5]
    world.end("Burn")
    world.until(20_001)
    targets = [one for one in world.post.heard if one.notification.receiver == "target:hook-a"]
    assert [one.notification.resolved for one in targets] == [(), (alert.fingerprint,)]


def test_a_silenced_target_is_told_when_the_silence_ends(world: World) -> None:
    world.silence(60, alertname="Burn")
    world.fire("Burn", targets=("hook-a",))
    world.until(59)
    assert world.told() == []
    world.until(75)
    assert [one.notification.receiver for one in world.post.heard] == ["target:hook-a"]


def test_a_clock_that_jumps_back_keeps_nobody_waiting(world: World) -> None:
    world.until(1)
    world.fire("Down")
    world.until(2)
    world.clock.advance(-3600)
    world.until(2 - 3600 + 40)
    assert [names for _, _, names, _ in world.told()] == [["Down"]]
    world.fire("Down/b")
    world.until(2 - 3600 + 400)
    assert len(world.told()) == 2
    world.until(2 - 3600 + 1000)
    assert len(world.told()) == 2


def test_what_had_ended_stays_ended_when_the_clock_goes_back(world: World) -> None:
    world.fire("Down", "Other", ends_ms=START_MS + 1000_000, is_timeout=True)
    world.until(100)
    world.end("Down")
    world.until(400)
    world.clock.advance(-3600)
    world.until(400 - 3600 + 500)
    assert [reason for _, reason, _, _ in world.told()] == ["first", "first", "all_resolved"]
    world.start()
    world.until(400 - 3600 + 1000)
    assert [names for _, _, _, names in world.told()][3:] == [["Other"]], "a term goes with the clock"


def test_a_clock_that_jumps_ahead_tells_nothing_twice_when_it_comes_back(world: World) -> None:
    world.fire("Down")
    world.until(31)
    world.clock.advance(3 * 3600)
    world.settle()
    world.clock.advance(-3 * 3600)
    world.until(2000)
    assert len(world.told()) == 1


def test_time_that_ends_without_a_word_is_the_end(world: World) -> None:
    world.fire("Down", ends_ms=START_MS + 100_000, is_timeout=True)
    world.until(400)
    assert [(at, reason) for at, reason, _, _ in world.told()] == [(30, "first"), (330, "all_resolved")]


def test_explain_of_what_nobody_is_told(sqlite_database: StateDatabase) -> None:
    world = World(sqlite_database, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    [alert] = world.fire("Down")
    world.until(100)
    explained = world.dispatcher.explain(alert.fingerprint)
    assert "nobody is told" in explained.summary
    assert not world.dispatcher.explain("0" * 16).is_known
    assert labels_of("Down") == alert.labels


def test_a_fault_in_one_group_keeps_no_other_from_its_receiver(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something of ours that goes wrong with one notification, and with one set of labels."""
    put, mutes = world.post.put, world.silences.mutes

    def broken_put(notifications: Sequence[Notification], **options: Any) -> None:
        if any(one.group_labels["alertname"] == "Unstorable" for one in notifications):
            raise ValueError("the test says so")
        put(notifications, **options)

    def broken_mutes(labels: Labels, at_ms: int) -> tuple[str, ...]:
        if labels["alertname"] == "Unreadable":
            raise ValueError("the test says so")
        return mutes(labels, at_ms)

    monkeypatch.setattr(world.post, "put", broken_put)
    monkeypatch.setattr(world.silences, "mutes", broken_mutes)
    world.fire("Down", "Unstorable", "Other", "Unreadable")
    world.until(60)
    assert [names for _, _, names, _ in world.told()] == [["Down"], ["Other"]]
    monkeypatch.undo()
    world.until(65)
    assert sorted(names for _, _, names, _ in world.told()[2:]) == [["Unreadable"], ["Unstorable"]]

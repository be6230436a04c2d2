"""The notification log on both databases."""

from __future__ import annotations

from dataclasses import replace

from setpoint.alert.dispatch.decide import NO_REPEATS
from setpoint.alert.dispatch.log import Key, NotificationLog
from setpoint.alert.notify.model import Notification
from setpoint.database import StateDatabase
from tests.alert.dispatch.world import START_MS

KEY: Key = ("ops", "webhook[0]", "{}:{}" + "x" * 5000)
HOUR_MS = 3_600_000


def told(firing: tuple[str, ...], at_ms: int = START_MS, resolved: tuple[str, ...] = ()) -> Notification:
    """A notification of some fingerprints."""
    return Notification(*KEY, {}, (), firing, resolved, "first", at_ms)


def record(
    log: NotificationLog, database: StateDatabase, notification: Notification, delivered_ms: int
) -> None:
    """A receiver heard of it."""
    with database.begin() as transaction:
        log.record(transaction, notification, delivered_ms)


def test_what_was_told_is_known_after_a_restart(state_database: StateDatabase) -> None:
    log = NotificationLog(state_database)
    record(log, state_database, told(("a", "b"), resolved=("c",)), START_MS + 500)
    again = NotificationLog(state_database)
    assert again.told(KEY, START_MS) is None
    again.load()
    entry = again.told(KEY, START_MS + HOUR_MS)
    assert entry is not None
    assert (entry.firing, entry.resolved) == ({"a", "b"}, {"c"})
    assert (entry.at_ms, entry.delivered_ms) == (START_MS, START_MS + 500)
    assert again.told(("ops", "webhook[1]", KEY[2]), START_MS) is None


def test_what_took_long_to_be_heard_counts_from_then(state_database: StateDatabase) -> None:
    log = NotificationLog(state_database)
    record(log, state_database, told(("a",)), START_MS + HOUR_MS)
    entry = log.told(KEY, START_MS + HOUR_MS)
    assert entry is not None
    assert entry.at_ms == START_MS + HOUR_MS


def test_what_was_decided_before_the_clock_went_back(state_database: StateDatabase) -> None:
    log = NotificationLog(state_database)
    record(log, state_database, told(("a",), START_MS + HOUR_MS), START_MS)
    record(log, state_database, told(("a", "b"), START_MS + 10), START_MS + 20)
    entry = log.told(KEY, START_MS + 40)
    assert entry is not None
    assert entry.firing == {"a", "b"}


def test_another_replicas_entries_are_seen(state_database: StateDatabase) -> None:
    one, other = NotificationLog(state_database), NotificationLog(state_database)
    record(one, state_database, told(("a",)), START_MS)
    other.refresh([KEY, ("nobody", "webhook[0]", "{}")])
    assert other.told(KEY, START_MS) == one.told(KEY, START_MS)


def test_an_entry_expires_after_twice_the_repeat_interval(state_database: StateDatabase) -> None:
    log = NotificationLog(state_database)
    log.repeat_of = lambda _: HOUR_MS
    record(log, state_database, told(("a",)), START_MS)
    log.expire(START_MS + 2 * HOUR_MS, lambda _: True)
    assert log.told(KEY, START_MS + 2 * HOUR_MS) is not None
    log.expire(START_MS + 3 * HOUR_MS, lambda _: False)
    assert log.told(KEY, START_MS) is None
    again = NotificationLog(state_database)
    again.load()
    assert again.told(KEY, START_MS) is None


def test_who_is_told_once_is_remembered_as_long_as_the_group(state_database: StateDatabase) -> None:
    log = NotificationLog(state_database)
    log.repeat_of = lambda _: NO_REPEATS
    record(log, state_database, told(("a",)), START_MS)
    late_ms = START_MS + 1000 * 24 * HOUR_MS
    log.expire(late_ms, lambda _: False)
    assert log.told(KEY, late_ms) is not None
    log.expire(late_ms, lambda _: True)
    assert log.told(KEY, late_ms) is None


def test_what_is_struck_and_what_is_cleared(state_database: StateDatabase) -> None:
    log = NotificationLog(state_database)
    record(log, state_database, told(("a", "b")), START_MS)
    with state_database.begin() as transaction:
        log.forget(transaction, KEY, frozenset({"b", "unknown"}))
        log.forget(transaction, ("nobody", "webhook[0]", "{}"), frozenset({"b"}))
    again = NotificationLog(state_database)
    again.load()
    entry = again.told(KEY, START_MS)
    assert entry is not None
    assert entry == replace(entry, firing=frozenset({"a"}))
    with state_database.begin() as transaction:
        log.clear(transaction, [KEY], frozenset({"a"}), START_MS + 1)
    entry = log.told(KEY, START_MS + 1)
    assert entry is not None
    assert (entry.firing, entry.resolved) == (frozenset(), {"a"})


def test_what_was_told_in_the_future_counts_as_told_now(state_database: StateDatabase) -> None:
    log = NotificationLog(state_database)
    record(log, state_database, told(("a",), START_MS + HOUR_MS), START_MS + HOUR_MS)
    entry = log.told(KEY, START_MS)
    assert entry is not None
    assert entry.at_ms == START_MS

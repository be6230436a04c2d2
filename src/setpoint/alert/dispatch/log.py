"""The notification log: what every integration of every receiver was told last of a group.

Written in the transaction in which a notification counts as delivered, kept in memory too, and read again from the
database for what other replicas deliver. An entry lives for twice the repeat interval and a bit, as Alertmanager's,
120 h at most; of those who are told once, as long as their group.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from setpoint.alert.dispatch.decide import NO_REPEATS, Told
from setpoint.alert.dispatch.store import SQL
from setpoint.alert.notify.model import Notification
from setpoint.database import StateDatabase, Transaction

__all__ = ["Key", "LogEntry", "NotificationLog", "key_of"]

Key = tuple[str, str, str]
"""Receiver, integration and key of the group."""

_RETENTION_MS = 120 * 3_600_000
_FAR_MS = 1 << 62
_LEAST_MS = 900_000
"""Alertmanager drops what has expired as rarely; with a repeat interval of seconds an entry must outlive a flush."""
_PROMPT_MS = 60_000
"""What was heard within this time counts from when it was decided, so that repeats keep to the flushes."""


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One row: what was told, and until when it is remembered."""

    key: Key
    told: Told
    expires_ms: int


def key_of(notification: Notification) -> Key:
    """Under which key a notification is logged."""
    return notification.receiver, notification.integration, notification.group_key


class NotificationLog:
    """Safe to use from several threads."""

    def __init__(self, database: StateDatabase) -> None:
        self._database = database
        self._guard = threading.Lock()
        self._entries: dict[Key, LogEntry] = {}
        self.repeat_of: Callable[[Key], int] = lambda _: _RETENTION_MS // 2
        """The interval in which a key is told again at the longest, in milliseconds."""

    def load(self) -> None:
        """Read all of it. Raises Unavailable."""
        with self._database.read() as transaction:
            found = [_entry(row) for row in transaction.rows(SQL["log_entries"])]
        with self._guard:
            self._entries = {entry.key: entry for entry in found}

    def refresh(self, keys: Collection[Key]) -> None:
        """Read some entries again, which another replica may have written. Raises Unavailable."""
        if not keys:
            return
        with self._database.read() as transaction:
            rows = [transaction.row(SQL["log_entry"], key=_digest(key)) for key in keys]
        with self._guard:
            for row in rows:
                entry = None if row is None else _entry(row)
                known = None if entry is None else self._entries.get(entry.key)
                if entry and (known is None or known.told.delivered_ms < entry.told.delivered_ms):
                    self._entries[entry.key] = entry

    def told(self, key: Key, now_ms: int) -> Told | None:
        """What was told last; None: nothing, or that was long ago."""
        entry = self._entries.get(key)
        if entry is None or entry.expires_ms <= now_ms:
            return None
        told = entry.told
        # The clock was set back: nobody waits for that to pass.
        return replace(told, at_ms=now_ms) if told.at_ms > now_ms + 1000 else told

    def record(self, transaction: Transaction, notification: Notification, delivered_ms: int) -> Key:
        """A notification was heard: part of the transaction that says so. Memory may run ahead of the database, if that
        transaction fails; then it is delivered again, and told here again, while what stands here is true already.
        """
        at_ms = notification.at_ms
        if not 0 <= delivered_ms - at_ms < _PROMPT_MS:  # it took long, or the clock went back
            at_ms = delivered_ms
        key = key_of(notification)
        told = Told(frozenset(notification.firing), frozenset(notification.resolved), at_ms, delivered_ms)
        self._put(transaction, [LogEntry(key, told, self._expiry(key, delivered_ms))])
        return key

    def clear(
        self, transaction: Transaction, keys: Sequence[Key], resolved: AbstractSet[str], at_ms: int
    ) -> None:
        """All ended, and these integrations are not told of ends: what fires next is new to them."""
        told = Told(frozenset(), frozenset(resolved), at_ms, at_ms)
        self._put(transaction, [LogEntry(key, told, self._expiry(key, at_ms)) for key in keys])

    def forget(self, transaction: Transaction, key: Key, names: AbstractSet[str]) -> None:
        """These ended without a word to an integration: they are new to it when they fire again."""
        entry = self._entries.get(key)
        if entry is not None:
            told = replace(entry.told, firing=frozenset(entry.told.firing - names))
            self._put(transaction, [replace(entry, told=told)])

    def expire(self, now_ms: int, is_over: Callable[[Key], bool]) -> None:
        """Drop what is too old, and what is kept for ever of groups that are over. Raises Unavailable."""
        with self._guard:
            gone = [
                entry
                for entry in self._entries.values()
                if entry.expires_ms <= now_ms or (entry.expires_ms >= _FAR_MS and is_over(entry.key))
            ]
        if not gone:
            return
        rows = [{"key": _digest(one.key), "delivered_ms": one.told.delivered_ms} for one in gone]
        with self._database.begin() as transaction:
            transaction.execute_many(SQL["drop_log_entry"], rows)
        with self._guard:
            for entry in gone:
                if self._entries.get(entry.key) is entry:
                    del self._entries[entry.key]

    def _expiry(self, key: Key, at_ms: int) -> int:
        repeat_ms = self.repeat_of(key)
        return _FAR_MS if repeat_ms >= NO_REPEATS else at_ms + min(2 * repeat_ms + _LEAST_MS, _RETENTION_MS)

    def _put(self, transaction: Transaction, entries: Sequence[LogEntry]) -> None:
        transaction.execute_many(SQL["put_log_entry"], [_row(entry) for entry in entries])
        with self._guard:
            self._entries.update({entry.key: entry for entry in entries})


def _digest(key: Key) -> str:
    """A key of bounded length: PostgreSQL's indices hold no long text."""
    return hashlib.sha256("\0".join(key).encode(errors="replace")).hexdigest()


def _row(entry: LogEntry) -> dict[str, Any]:
    receiver, integration, group_key = entry.key
    return {
        "key": _digest(entry.key),
        "receiver": receiver,
        "integration": integration,
        "group_key": group_key,
        "firing": json.dumps(sorted(entry.told.firing), separators=(",", ":")),
        "resolved": json.dumps(sorted(entry.told.resolved), separators=(",", ":")),
        "at_ms": entry.told.at_ms,
        "delivered_ms": entry.told.delivered_ms,
        "expires_ms": entry.expires_ms,
    }


def _entry(row: dict[str, Any]) -> LogEntry:
    key = str(row["receiver"]), str(row["integration"]), str(row["group_key"])
    firing, resolved = frozenset(json.loads(row["firing"])), frozenset(json.loads(row["resolved"]))
    return LogEntry(
        key, Told(firing, resolved, int(row["at_ms"]), int(row["delivered_ms"])), int(row["expires_ms"])
    )

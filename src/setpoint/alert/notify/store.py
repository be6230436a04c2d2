"""The rows behind the outbox: what each statement means for a notification. Every function works in the caller's
transaction, so that one commit may serve many.

A stream is one group for one integration. Of a stream at most two rows wait: one that somebody is just sending, and one
behind it; whatever comes later is merged into the one that is not on its way.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from setpoint.alert.notify.backoff import ABSURD_MS
from setpoint.alert.notify.model import Notification, merged
from setpoint.database import Transaction, load_queries

__all__ = ["Lease", "Row", "Store", "new_key", "stream_of"]

_SQL = load_queries("setpoint.alert.notify")
_SENT_KEPT_MS, _SENT_KEPT = 7 * 86_400_000, 20_000
_DEAD_KEPT_MS, _DEAD_KEPT = 90 * 86_400_000, 5_000


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds rows, and for how long a lease lasts unless it is renewed."""

    owner: str
    length_ms: int = 30_000


@dataclass(frozen=True, slots=True)
class Row:
    """A notification in the database. Instants are Unix milliseconds."""

    id: int
    stream: str
    key: str
    notification: Notification
    state: str
    created_ms: int
    due_ms: int
    attempts: int = 0
    refusals: int = 0
    error: str = ""
    reached: frozenset[str] = frozenset()
    bundle: str = ""
    settled_ms: int | None = None

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> Row:
        """A row as the database gives it."""
        return cls(
            id=int(row["id"]),
            stream=row["stream"],
            key=row["key"],
            notification=Notification.decoded(row["content"]),
            state=row["state"],
            created_ms=int(row["created_ms"]),
            due_ms=int(row["due_ms"]),
            attempts=int(row["attempts"]),
            refusals=int(row["refusals"]),
            error=row["error"],
            reached=frozenset(json.loads(row["reached"])),
            bundle=row["bundle"],
            settled_ms=None if row["settled_ms"] is None else int(row["settled_ms"]),
        )

    @property
    def lane(self) -> tuple[str, str]:
        """The receiver and the integration that it is for."""
        return self.notification.receiver, self.notification.integration


def stream_of(group: tuple[str, str, str]) -> str:
    """The identity of a group at an integration: of receiver, integration and group key."""
    text = "\0".join(group)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def new_key() -> str:
    """An idempotency key. Random, because row ids begin anew with a new database and receivers remember keys."""
    return f"setpoint-{secrets.token_hex(10)}"


class Store:
    """See above."""

    def __init__(self, lease: Lease, *, is_postgresql: bool) -> None:
        self._lease = lease
        skip = "FOR UPDATE OF n SKIP LOCKED" if is_postgresql else ""
        self._take = _SQL["take_notifications"].replace("/* skip_locked */", skip)
        lock = " FOR UPDATE" if is_postgresql else ""
        self._of_stream = _SQL["pending_of_stream"] + lock
        self._newer = _SQL["newer_of_stream"] + lock

    def add(
        self,
        transaction: Transaction,
        notification: Notification,
        now_ms: int,
        *,
        may_lease: bool,
        withdrawn: Callable[[int], bool],
    ) -> Row | None:
        """Keep a notification; what of its stream waits and is not on its way becomes part of it. Gives the row, leased
        if `may_lease` and nothing of the stream is on its way; None where it adds nothing to what waits. `withdrawn`
        says of a row of ours whether it was taken back from who would send it.
        """
        stream = stream_of(_group(notification))
        created_ms, is_behind = now_ms, False
        for found in transaction.rows(self._of_stream, stream=stream):
            if self._is_held(found, now_ms) and not withdrawn(int(found["id"])):
                is_behind = True
                continue
            older = Notification.decoded(found["content"])
            if _tells_the_same(older, notification):
                return None
            notification = merged(older, notification)
            created_ms = min(created_ms, int(found["created_ms"]))
            self._drop(transaction, found)
        for found in transaction.rows(_SQL["dead_of_stream"], stream=stream):
            dead = Notification.decoded(found["content"])
            if {*dead.firing, *dead.resolved} <= {*notification.firing, *notification.resolved}:
                transaction.execute(_SQL["drop_notification"], id=found["id"])
        return self._insert(
            transaction, notification, created_ms, now_ms, is_leased=may_lease and not is_behind
        )

    def _insert(
        self,
        transaction: Transaction,
        notification: Notification,
        created_ms: int,
        now_ms: int,
        *,
        is_leased: bool,
    ) -> Row:
        stream, key = stream_of(_group(notification)), new_key()
        added = transaction.row(
            _SQL["add_notification"],
            stream=stream,
            receiver=notification.receiver,
            integration=notification.integration,
            key=key,
            content=notification.encoded(),
            created_ms=created_ms,
            due_ms=now_ms,
            lease_owner=self._lease.owner if is_leased else "",
            lease_until_ms=now_ms + self._lease.length_ms if is_leased else 0,
        )
        assert added is not None  # an INSERT … RETURNING gives its row
        state = "leased" if is_leased else "pending"
        return Row(int(added["id"]), stream, key, notification, state, created_ms, now_ms)

    def _is_held(self, found: Mapping[str, Any], now_ms: int) -> bool:
        return now_ms < int(found["lease_until_ms"]) <= self._absurd_lease_ms(now_ms)

    def _absurd_lease_ms(self, now_ms: int) -> int:
        return now_ms + 3 * self._lease.length_ms

    def _drop(self, transaction: Transaction, found: Mapping[str, Any]) -> None:
        transaction.execute(_SQL["drop_notification"], id=found["id"])
        if found["bundle"]:
            transaction.execute(_SQL["drop_bundle"], bundle=found["bundle"])

    def take(self, transaction: Transaction, lane: tuple[str, str], now_ms: int, limit: int) -> list[Row]:
        """Lease what is due for a lane, in the order in which it is due; a bundle is taken whole."""
        held = {"owner": self._lease.owner, "until_ms": now_ms + self._lease.length_ms, "now_ms": now_ms}
        taken = transaction.rows(
            self._take,
            **held,
            receiver=lane[0],
            integration=lane[1],
            absurd_ms=now_ms + ABSURD_MS,
            absurd_lease_ms=self._absurd_lease_ms(now_ms),
            limit=limit,
        )
        found = {int(row["id"]): row for row in taken}
        for bundle in {row["bundle"] for row in taken if row["bundle"]}:
            found |= {
                int(row["id"]): row for row in transaction.rows(_SQL["take_bundle"], **held, bundle=bundle)
            }
        return sorted((Row.read(row) for row in found.values()), key=lambda row: (row.due_ms, row.id))

    def waiting(self, transaction: Transaction, now_ms: int) -> dict[tuple[str, str], tuple[int, int]]:
        """Lanes that something waits for that nobody holds: when the first of it is due, and how much it is."""
        rows = transaction.rows(
            _SQL["waiting_lanes"], now_ms=now_ms, absurd_lease_ms=self._absurd_lease_ms(now_ms)
        )
        return {
            (row["receiver"], row["integration"]): (int(row["due_ms"]), int(row["waiting"])) for row in rows
        }

    def bundle(self, transaction: Transaction, rows: Sequence[Row]) -> list[Row]:
        """Make one message of rows, under a name that outlives a crash."""
        name = new_key()
        for row in rows:
            transaction.execute(_SQL["set_bundle"], id=row.id, bundle=name)
        return [replace(row, bundle=name) for row in rows]

    def complete(self, transaction: Transaction, row: Row, at_ms: int) -> bool:
        """It was delivered; False when somebody else noted that already."""
        return transaction.execute(_SQL["complete_notification"], id=row.id, at_ms=at_ms) > 0

    def postpone(
        self, transaction: Transaction, row: Row, due_ms: int, error: str, *, refused: bool, keep_bundle: bool
    ) -> None:
        """It was not delivered. What waits behind it takes over what it would have told."""
        newer = transaction.row(self._newer, stream=row.stream, id=row.id)
        if newer is not None:
            content = merged(row.notification, Notification.decoded(newer["content"])).encoded()
            created_ms = min(row.created_ms, int(newer["created_ms"]))
            transaction.execute(
                _SQL["replace_content"], id=newer["id"], content=content, created_ms=created_ms
            )
            transaction.execute(_SQL["drop_notification"], id=row.id)
            if row.bundle:
                transaction.execute(_SQL["drop_bundle"], bundle=row.bundle)
            return
        transaction.execute(
            _SQL["postpone_notification"],
            id=row.id,
            due_ms=due_ms,
            refused=int(refused),
            error=error,
            reached=json.dumps(sorted(row.reached)),
            bundle=row.bundle if keep_bundle else "",
        )

    def bury(self, transaction: Transaction, row: Row, at_ms: int, error: str, *, tried: bool) -> bool:
        """Give it up; False when it was settled already."""
        return (
            transaction.execute(
                _SQL["bury_notification"], id=row.id, at_ms=at_ms, error=error, tried=int(tried)
            )
            > 0
        )

    def release(self, transaction: Transaction, ids: Iterable[int]) -> None:
        """Let others have rows that were taken and not tried."""
        for id in ids:
            transaction.execute(_SQL["release_notification"], id=id, owner=self._lease.owner)

    def release_all(self, transaction: Transaction) -> None:
        """What this server held before it was started."""
        transaction.execute(_SQL["release_all"], owner=self._lease.owner)

    def renew(self, transaction: Transaction, now_ms: int) -> None:
        """Go on holding what is held."""
        transaction.execute(
            _SQL["renew_leases"], owner=self._lease.owner, until_ms=now_ms + self._lease.length_ms
        )

    def copy(self, transaction: Transaction, row: Row, now_ms: int) -> Row:
        """Send again what was given up or sent: as a new one, under a new key, for the receiver may know the old."""
        if row.state == "dead":
            transaction.execute(_SQL["drop_notification"], id=row.id)
        return self._insert(transaction, row.notification, now_ms, now_ms, is_leased=False)

    def move(self, transaction: Transaction, old: tuple[str, str], new: tuple[str, str], now_ms: int) -> int:
        """What waits for a lane goes to another; how much it is."""
        found = transaction.rows(_SQL["pending_of_lane"], receiver=old[0], integration=old[1])
        for row in found:
            moved = replace(Notification.decoded(row["content"]), receiver=new[0], integration=new[1])
            transaction.execute(
                _SQL["move_notification"],
                id=row["id"],
                receiver=new[0],
                stream=stream_of(_group(moved)),
                content=moved.encoded(),
                due_ms=now_ms,
            )
        return len(found)

    def hasten(self, transaction: Transaction, lane: tuple[str, str], now_ms: int) -> None:
        """What waited for a lane to be well is due."""
        transaction.execute(_SQL["hasten_lane"], receiver=lane[0], integration=lane[1], now_ms=now_ms)

    def of_group(self, transaction: Transaction, group: tuple[str, str, str]) -> list[Row]:
        """What waits of a group (receiver, integration, group key), the oldest first."""
        return [Row.read(row) for row in transaction.rows(_SQL["pending_of_stream"], stream=stream_of(group))]

    def lane_rows(self, transaction: Transaction, lane: tuple[str, str]) -> list[Row]:
        """All that waits for a lane."""
        rows = transaction.rows(_SQL["pending_of_lane"], receiver=lane[0], integration=lane[1])
        return [Row.read(row) for row in rows]

    def of_state(self, transaction: Transaction, state: str, limit: int) -> list[Row]:
        """Rows of a state, the newest first; what waits: the oldest first."""
        name = "pending_notifications" if state == "pending" else "notifications_of_state"
        parameters = {"limit": limit} if state == "pending" else {"limit": limit, "state": state}
        return [Row.read(row) for row in transaction.rows(_SQL[name], **parameters)]

    def get(self, transaction: Transaction, id: int) -> Row | None:
        """One."""
        row = transaction.row(_SQL["notification_of_id"], id=id)
        return None if row is None else Row.read(row)

    def counts(self, transaction: Transaction) -> dict[tuple[str, str], int]:
        """How many wait for each lane."""
        rows = transaction.rows(_SQL["pending_counts"])
        return {(row["receiver"], row["integration"]): int(row["waiting"]) for row in rows}

    def oldest_ms(self, transaction: Transaction) -> int | None:
        """Since when the oldest waits."""
        row = transaction.row(_SQL["oldest_pending"])
        return None if row is None or row["created_ms"] is None else int(row["created_ms"])

    def clean(self, transaction: Transaction, now_ms: int) -> None:
        """Forget what was settled long ago, or is too much."""
        for state, kept_ms, kept in (
            ("sent", _SENT_KEPT_MS, _SENT_KEPT),
            ("dead", _DEAD_KEPT_MS, _DEAD_KEPT),
        ):
            transaction.execute(_SQL["drop_settled"], state=state, before_ms=now_ms - kept_ms)
            beyond = transaction.row(_SQL["settled_beyond"], state=state, kept=kept)
            if beyond is not None:
                transaction.execute(_SQL["drop_settled_up_to"], state=state, id=beyond["id"])


def _group(notification: Notification) -> tuple[str, str, str]:
    return notification.receiver, notification.integration, notification.group_key


def _tells_the_same(older: Notification, newer: Notification) -> bool:
    """Whether the newer one would change nothing in what is told."""
    return (
        set(older.firing) == set(newer.firing)
        and set(older.resolved) == set(newer.resolved)
        and [alert.annotations for alert in older.alerts] == [alert.annotations for alert in newer.alerts]
    )

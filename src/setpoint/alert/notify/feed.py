"""Takes for a lane what may go out now: as much as it has room for and as its contacts' limits allow.

What a limit made wait goes out as one message, where the channel can tell of several groups in one; that it was one is
written down first, so that a crash in between does not make another message of it. Nothing is dropped for a limit.
"""

from __future__ import annotations

from collections.abc import Sequence

from setpoint.alert.notify.rate import Buckets
from setpoint.alert.notify.store import Row, Store
from setpoint.alert.notify.worker import Lane
from setpoint.database import StateDatabase

__all__ = ["QUEUED_MOST", "Feeder"]

QUEUED_MOST = 128
"""Batches that a lane may hold; others are left for other servers, and for what supersedes them."""
_BUNDLED_MOST = 100


class Feeder:
    """See above; belongs to the outbox's thread."""

    def __init__(self, database: StateDatabase, store: Store, buckets: Buckets) -> None:
        self._database, self._store, self._buckets = database, store, buckets

    def take(self, lane: Lane, now_ms: int) -> tuple[list[list[Row]], list[int]]:
        """The next messages of a lane, each as its rows, leased; and when to look again (none: when it has room).
        Raises Unavailable.
        """
        channel = lane.channel
        room = (0 if lane.load else 1) if lane.stops else QUEUED_MOST - lane.load
        lane.is_starved = room <= 0
        if room <= 0:
            return [], []
        tokens = self._buckets.available(channel.contacts, channel.per_minute, now_ms)
        if tokens < 1:
            lane.has_overflowed = True
            return [], [self._buckets.ready_ms(channel.contacts, channel.per_minute, now_ms)]
        messages = min(room, tokens)
        must_bundle = lane.has_overflowed and channel.can_bundle
        limit = _BUNDLED_MOST if must_bundle else messages
        with self._database.begin(durable=False) as transaction:
            rows = self._store.take(transaction, lane.key, now_ms, limit)
            batches = _batches(rows)
            fresh = [batch[0] for batch in batches if _may_bundle(batch[0])]
            if must_bundle and len(fresh) > 1:
                named = [batch for batch in batches if not _may_bundle(batch[0])]
                batches = [self._store.bundle(transaction, fresh), *named]
            spare = [row.id for batch in batches[messages:] for row in batch]
            self._store.release(transaction, spare)
        batches = batches[:messages]
        for _ in batches:
            self._buckets.take(channel.contacts, channel.per_minute, now_ms)
        lane.is_starved = bool(spare) or len(rows) >= limit
        lane.has_overflowed = channel.per_minute > 0 and lane.is_starved
        ready_ms = self._buckets.ready_ms(channel.contacts, channel.per_minute, now_ms)
        return batches, [ready_ms] if lane.is_starved and ready_ms > now_ms else []


def _may_bundle(row: Row) -> bool:
    return not row.bundle and row.notification.message is None


def _batches(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows as the messages that they are: those of a bundle together, always in the same order."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.bundle or row.key, []).append(row)
    return [sorted(batch, key=lambda row: row.id) for batch in found.values()]

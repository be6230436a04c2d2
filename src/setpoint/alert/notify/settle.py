"""Writes down what became of attempts: many in one transaction, with the notification log and the timeline.

Only the outbox's own thread calls it. What cannot be written because the database does not answer stays with the
outbox, which keeps the rows leased and tries again: a receiver is not asked twice for that.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from setpoint.alert.notify.backoff import REFUSALS_MOST, is_of_lane, own_wait_s
from setpoint.alert.notify.channel import Answer
from setpoint.alert.notify.model import Notification
from setpoint.alert.notify.store import Row, Store
from setpoint.alert.notify.telling import Teller
from setpoint.alert.notify.worker import Batch, Lane
from setpoint.database import StateDatabase, Transaction
from setpoint.errors import SetpointError
from setpoint.timeline import Event, Timeline

__all__ = ["Attempt", "OnDelivered", "Settler"]

log = logging.getLogger(__name__)

OnDelivered = Callable[[Transaction, Notification, int], None]
_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that ended; `is_recovery`: the lane had failed several times before."""

    lane: Lane
    batch: Batch
    answer: Answer
    at_ms: int
    is_recovery: bool = False


class Settler:
    """See above."""

    def __init__(self, database: StateDatabase, timeline: Timeline, store: Store) -> None:
        self._database, self._timeline, self._store = database, timeline, store
        self._teller = Teller(timeline)
        self.on_delivered: OnDelivered = lambda *_: None

    def write(self, attempts: Sequence[Attempt]) -> int:
        """Write the first of these, as many as go into one transaction; gives how many. Raises Unavailable."""
        part = attempts[:_AT_ONCE]
        try:
            self._commit(part, self.on_delivered)
        except SetpointError as error:
            if error.retryable or len(part) == 1:
                raise
            return self._one_by_one(part)
        except Exception:  # one that cannot be written must not keep the others from it
            log.exception("deliveries could not be noted together")
            return self._one_by_one(part)
        return len(part)

    def _one_by_one(self, attempts: Sequence[Attempt]) -> int:
        for attempt in attempts:
            try:
                self._commit([attempt], self.on_delivered)
            except Exception as error:  # who is told of deliveries failed: the delivery itself still counts
                if isinstance(error, SetpointError) and error.retryable:
                    raise
                log.exception(
                    "the delivery of %s is noted without who wanted to hear of it", attempt.batch.key
                )
                self._commit([attempt], lambda *_: None)
        return len(attempts)

    def _commit(self, attempts: Sequence[Attempt], on_delivered: OnDelivered) -> None:
        events: list[Event] = []
        # What is forgotten when power is lost is delivered again, under the same key.
        with self._database.begin(durable=False) as transaction:
            for attempt in attempts:
                if attempt.answer.ok:
                    events += self._delivered(transaction, attempt, on_delivered)
                else:
                    events += self._failed(transaction, attempt)
        self._timeline.publish(events)

    def _delivered(
        self, transaction: Transaction, attempt: Attempt, on_delivered: OnDelivered
    ) -> list[Event]:
        events: list[Event] = []
        for row in attempt.batch.rows:
            if not self._store.complete(transaction, row, attempt.at_ms):
                continue  # another server held it, too, and was first to note it
            on_delivered(transaction, row.notification, attempt.at_ms)
            events += self._teller.sent(
                transaction,
                row.notification,
                id=row.id,
                attempts=row.attempts + 1,
                key=attempt.batch.key,
                at_ms=attempt.at_ms,
            )
        if attempt.is_recovery:
            self._store.hasten(transaction, attempt.lane.key, attempt.at_ms)
        return events

    def _failed(self, transaction: Transaction, attempt: Attempt) -> list[Event]:
        answer, rows = attempt.answer, attempt.batch.rows
        first = rows[0]
        events = self._teller.failed(
            transaction,
            first.notification,
            id=first.id,
            error=answer.error,
            kind=answer.kind,
            at_ms=attempt.at_ms,
        )
        for row in rows:
            events += self._row_failed(transaction, row, attempt, is_bundle=len(rows) > 1)
        return events

    def _row_failed(
        self, transaction: Transaction, row: Row, attempt: Attempt, *, is_bundle: bool
    ) -> list[Event]:
        answer, at_ms = attempt.answer, attempt.at_ms
        if not is_of_lane(answer) and is_bundle:  # one of them may be the cause: each for itself
            self._store.postpone(transaction, row, at_ms, answer.error, refused=False, keep_bundle=False)
            return []
        if not is_of_lane(answer) and row.refusals + 1 >= REFUSALS_MOST:
            if not self._store.bury(transaction, row, at_ms, answer.error, tried=True):
                return []
            return [
                self._teller.dead(
                    transaction,
                    row.notification,
                    id=row.id,
                    attempts=row.attempts + 1,
                    error=answer.error,
                    at_ms=at_ms,
                )
            ]
        count = row.refusals + 1 if not is_of_lane(answer) else row.attempts + 1
        # Who wants fewer says when; the lane waits for that.
        wait = 0.0 if answer.kind == "slow_down" else own_wait_s(answer, count)
        row = replace(row, reached=row.reached | frozenset(answer.reached))
        self._store.postpone(
            transaction,
            row,
            at_ms + round(1000 * wait),
            answer.error,
            refused=not is_of_lane(answer),
            keep_bundle=True,
        )
        return []

    def bury(self, rows: Sequence[Row], error: str, at_ms: int) -> None:
        """Give rows up that have no receiver any more. Raises Unavailable."""
        events: list[Event] = []
        with self._database.begin() as transaction:
            for row in rows:
                if self._store.bury(transaction, row, at_ms, error, tried=False):
                    events.append(
                        self._teller.dead(
                            transaction,
                            row.notification,
                            id=row.id,
                            attempts=row.attempts,
                            error=error,
                            at_ms=at_ms,
                        )
                    )
        self._timeline.publish(events)

"""The outbox: notifications that were decided and not yet heard, as rows of the state database.

The dispatcher puts them, `run` is the body of a thread of its own. A row is on disk before `put` returns, and it stays
until its receiver has answered, whoever is killed in between: at least once, under one idempotency key. Rows are leased
to who sends them, so that several servers over one database share the work; the lease of one that died runs out.

What is due is handed to lanes (`worker`), one for each integration of a receiver; all waiting (back-off, rate limits)
is decided here, by the clock, and each put wakes who sends at once. Instants are Unix milliseconds.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from setpoint.alert.notify.backoff import ABSURD_MS, is_of_lane, wait_s
from setpoint.alert.notify.channel import About, Answer, Channel, IntegrationLike
from setpoint.alert.notify.channels import channel_for
from setpoint.alert.notify.feed import QUEUED_MOST, Feeder
from setpoint.alert.notify.model import Notification, Reason
from setpoint.alert.notify.rate import Buckets
from setpoint.alert.notify.settle import Attempt, OnDelivered, Settler
from setpoint.alert.notify.store import Lease, Row, Store
from setpoint.alert.notify.text import Texts
from setpoint.alert.notify.worker import Batch, Lane, LaneStatus
from setpoint.clock import Clock
from setpoint.database import StateDatabase, Transaction
from setpoint.errors import InvalidInput, NotFound, SetpointError
from setpoint.timeline import Timeline

__all__ = ["Kept", "LaneStatus", "Notification", "Outbox", "Reason"]

log = logging.getLogger(__name__)

_LEAVING_MS = 60_000
"""An integration that was removed still hears that its alerts ended; what then waits for it is given up."""
_CLEAN_MS = 600_000
_STOPS_AFTER = 12
"""So many failures in a row say that a receiver is down; fewer may be bad luck with one that takes half of them."""
_LISTED_MOST = 1000
_TRY_AGAIN_S = 1.0

Kept = Row
Key = tuple[str, str]


def _no_secret(name: str) -> str:
    raise InvalidInput(f"the secret file {name} cannot be read: there is no secrets folder")


class Outbox:
    """Keeps and delivers notifications; safe to use from several threads."""

    def __init__(
        self,
        database: StateDatabase,
        timeline: Timeline,
        clock: Clock,
        *,
        external_url: str = "",
        read_secret: Callable[[str], str] = _no_secret,
        owner: str = "",
        make_channel: Callable[[IntegrationLike], Channel] = channel_for,
        successor: Callable[[Key, Sequence[Key]], Key | None] = lambda *_: None,
        is_wanted: Callable[[Notification], bool] = lambda _: True,
    ) -> None:
        """`owner` names this server in leases: one that starts again under its name takes up at once what it held.
        `successor` says which of the present integrations stands for one that is gone; what is not `is_wanted`
        counts as heard at once.
        """
        self._database, self._timeline, self._clock = database, timeline, clock
        self._external_url, self._read_secret = external_url, read_secret
        self._make_channel, self._successor = make_channel, successor
        self._is_wanted = is_wanted
        lease = Lease(owner or secrets.token_hex(8))
        self._lease = lease
        self._store = Store(lease, is_postgresql=database.dialect == "postgresql")
        self._look_anyway_ms = 5_000 if database.dialect == "postgresql" else 30_000
        self._settler = Settler(database, timeline, self._store)
        self._buckets = Buckets()
        self._feeder = Feeder(database, self._store, self._buckets)
        self._guard = threading.RLock()
        self._putting = threading.Lock()
        self._wake = threading.Event()
        self._lanes: dict[Key, Lane] = {}
        self._made_of: dict[Key, IntegrationLike] = {}
        self._leaving: dict[Key, int] = {}
        self._orphans: dict[Key, int] = {}
        self._texts = Texts()
        self._is_followed = False
        self._finished: list[Attempt] = []
        self._released: list[int] = []
        self._must_look = True
        self._next_ms = 0
        self._looked_ms = self._renewed_ms = self._cleaned_ms = 0
        self._is_late = False
        with database.begin() as transaction:
            self._store.release_all(transaction)

    @property
    def on_delivered(self) -> OnDelivered:
        """Called in the transaction that completes a row: what was delivered, and when."""
        return self._settler.on_delivered

    @on_delivered.setter
    def on_delivered(self, hear: OnDelivered) -> None:
        self._settler.on_delivered = hear

    def follow(self, integrations: Mapping[Key, IntegrationLike], texts: Texts | None = None) -> None:
        """Deliver to these, by receiver and integration key; what was the same before goes on undisturbed. Those that
        are gone are served for another minute.
        """
        now_ms = self._clock.now_ms()
        with self._guard:
            self._texts = texts or self._texts
            for key, integration in integrations.items():
                self._leaving.pop(key, None)
                if key in self._lanes and self._made_of[key] == integration:
                    continue
                old = self._lanes.get(key)
                self._lanes[key] = Lane(key, self._make_channel(integration), self._about, self._done)
                self._made_of[key] = integration
                if old is not None:
                    self._released += [row.id for row in old.withdraw_all()]
                    old.close()
            for key in self._lanes.keys() - integrations.keys():
                self._leaving.setdefault(key, now_ms + _LEAVING_MS)
            self._is_followed = self._must_look = True
        self._wake.set()

    def put(
        self, notifications: Sequence[Notification], *, guard: Callable[[Transaction], None] | None = None
    ) -> None:
        """Take notifications; they are stored when this returns. What waits of the same group for the same integration
        becomes part of the newer. `guard` is called first in the transaction, and may raise. Raises Unavailable.

        Nobody waits for the disk: their alerts are on it, so if power is lost they are decided again.
        """
        if not notifications:
            return
        now_ms = self._clock.now_ms()
        withdrawn: list[tuple[Lane, int]] = []
        with self._putting:
            try:
                with self._database.begin(durable=False) as transaction:
                    if guard is not None:
                        guard(transaction)
                    transaction.lock("notifications")
                    added = [
                        self._store.add(
                            transaction,
                            one,
                            now_ms,
                            may_lease=self._may_send(one, now_ms),
                            withdrawn=partial(self._withdraw, one, withdrawn),
                        )
                        for one in notifications
                        if self._is_wanted(one)
                    ]
                    for one in notifications:
                        if not self._is_wanted(one):
                            self.on_delivered(transaction, one, now_ms)
            except BaseException:
                with self._guard:
                    self._released += [id for _, id in withdrawn]
                self._look()
                raise
        # A row that was taken back and not replaced (it tells the same) is given free, to be taken again.
        with self._guard:
            self._released += [id for _, id in withdrawn]
        is_left = bool(withdrawn)
        for row in added:
            if row is not None and row.state == "leased":
                with self._guard:
                    self._lanes[row.lane].give([row])
            else:
                is_left = True
        if is_left:
            self._look()

    def _may_send(self, notification: Notification, now_ms: int) -> bool:
        """Whether its lane can send it at once; takes a token of its contact then."""
        with self._guard:
            lane = self._lanes.get((notification.receiver, notification.integration))
            if lane is None or lane.stops or lane.has_overflowed or self._is_blocked(lane, now_ms):
                return False
            if lane.load >= QUEUED_MOST:
                return False
            if self._buckets.take(lane.channel.contacts, lane.channel.per_minute, now_ms):
                return True
            lane.has_overflowed = True
            return False

    def _withdraw(self, notification: Notification, withdrawn: list[tuple[Lane, int]], id: int) -> bool:
        with self._guard:
            lane = self._lanes.get((notification.receiver, notification.integration))
            if lane is None or not lane.withdraw(id):
                return False
        withdrawn.append((lane, id))
        return True

    @staticmethod
    def _is_blocked(lane: Lane, now_ms: int) -> bool:
        return 0 < lane.blocked_until_ms - now_ms <= ABSURD_MS

    def _about(self, batch: Batch) -> About:
        row = batch.rows[0]
        return About(
            external_url=self._external_url,
            key=batch.key,
            attempt=row.attempts + 1,
            now_ms=self._clock.now_ms(),
            already=row.reached,
            texts=self._texts,
            read_secret=self._read_secret,
        )

    def _done(self, lane: Lane, batch: Batch, answer: Answer) -> None:
        """An attempt ended: a lane's thread says so."""
        now_ms = self._clock.now_ms()
        is_recovery = False
        with self._guard:
            if answer.ok:
                is_recovery = lane.stops > 0
                if is_recovery:
                    log.info("%s %s takes notifications again", *lane.key)
                    self._must_look = True
                lane.failures, lane.stops, lane.error, lane.blocked_until_ms = 0, 0, "", 0
                lane.delivered_ms = now_ms
            else:
                lane.error = answer.error
                if is_of_lane(answer) and not (lane.stops and self._is_blocked(lane, now_ms)):
                    self._fail(lane, answer, now_ms)
                self._must_look = True
            self._finished.append(Attempt(lane, batch, answer, now_ms, is_recovery))
        self._wake.set()

    def _fail(self, lane: Lane, answer: Answer, now_ms: int) -> None:
        """One that fails now and then goes on, and each notification waits for itself; one that only fails, or says to
        wait, is stopped.
        """
        lane.failures += 1
        if answer.kind == "retry" and lane.failures < _STOPS_AFTER:
            return
        if not lane.stops:
            log.warning("%s %s is not told any more for now: %s", *lane.key, answer.error)
        lane.stops += 1
        lane.blocked_until_ms = now_ms + round(1000 * wait_s(answer, lane.stops))
        self._released += [row.id for row in lane.withdraw_all()]

    def step(self) -> int:
        """Note what ended and hand out what is due; gives how many batches that were. Raises Unavailable."""
        now_ms = self._clock.now_ms()
        for lane in list(self._lanes.values()):
            for batch in lane.give_up_stuck():
                self._done(lane, batch, Answer("retry", "did not come back within 120 s"))
        self._settle()
        self._tend(now_ms)
        with self._guard:
            is_time = not 0 <= now_ms - self._looked_ms < self._look_anyway_ms
            is_due = self._next_ms and not 0 < self._next_ms - now_ms <= ABSURD_MS
            if not (self._must_look or is_time or is_due):
                return 0
            self._must_look = False
        try:
            return self._feed(now_ms)
        except SetpointError:
            self._must_look = True
            raise

    def _settle(self) -> None:
        while self._finished:
            with self._guard:
                attempts = list(self._finished)
            written = self._settler.write(attempts)
            with self._guard:
                del self._finished[:written]
                # What waited behind these, or had no room, can go now; when what failed is due is known only now.
                again = any(one.lane.is_starved or not one.answer.ok for one in attempts[:written])
                self._must_look = self._must_look or again

    def _tend(self, now_ms: int) -> None:
        """Give free what was taken back, hold what is held, forget what is old."""
        with self._guard:
            released, self._released = self._released, []
            is_holding = bool(self._finished) or any(lane.load for lane in self._lanes.values())
            gone = [key for key, at_ms in self._leaving.items() if not 0 < at_ms - now_ms <= _LEAVING_MS]
            for key in gone:
                lane = self._lanes.pop(key)
                del self._leaving[key], self._made_of[key]
                released += [row.id for row in lane.withdraw_all()]
                lane.close()
                self._must_look = True
        must_renew = is_holding and not 0 <= now_ms - self._renewed_ms < self._lease.length_ms // 3
        must_clean = not 0 <= now_ms - self._cleaned_ms < _CLEAN_MS
        if not (released or must_renew or must_clean):
            return
        try:
            with self._database.begin() as transaction:
                self._store.release(transaction, released)
                if must_renew:
                    self._store.renew(transaction, now_ms)
                if must_clean:
                    self._store.clean(transaction, now_ms)
        except SetpointError:
            with self._guard:
                self._released += released
            raise
        self._renewed_ms = now_ms if must_renew else self._renewed_ms
        self._cleaned_ms = now_ms if must_clean else self._cleaned_ms

    def _feed(self, now_ms: int) -> int:
        with self._database.read() as transaction:
            waiting = self._store.waiting(transaction, now_ms)
        self._looked_ms = now_ms
        nexts: list[int] = []
        fed = 0
        for key, (first_ms, count) in waiting.items():
            with self._guard:
                lane = self._lanes.get(key)
            if lane is None:
                nexts += self._orphaned(key, now_ms)
                continue
            is_blocked = self._is_blocked(lane, now_ms)
            due_ms = max(first_ms, lane.blocked_until_ms) if is_blocked else first_ms
            if 0 < due_ms - now_ms <= ABSURD_MS:
                nexts.append(due_ms)
                continue
            batches, ready_ms = self._feeder.take(lane, now_ms)
            if count > sum(len(rows) for rows in batches):  # some wait behind one of their group that is sent
                lane.is_starved = True
            nexts += ready_ms
            for rows in batches:
                lane.give(rows)
            fed += len(batches)
        with self._guard:
            self._orphans = {key: at_ms for key, at_ms in self._orphans.items() if key in waiting}
        self._next_ms = min(nexts, default=0)
        # What is taken hides what is due after it: look again for that.
        self._must_look = self._must_look or fed > 0
        return fed

    def _orphaned(self, key: Key, now_ms: int) -> list[int]:
        """Rows whose integration is not (or no longer) known: they go to who stands for it, or are given up."""
        if not self._is_followed:
            return []
        with self._guard:
            present = [one for one in self._lanes if one not in self._leaving]
            since_ms = self._orphans.setdefault(key, now_ms)
        other = self._successor(key, present)
        if other is not None:
            with self._database.begin() as transaction:
                self._store.move(transaction, key, other, now_ms)
            self._must_look = True
            return [now_ms]
        if 0 <= now_ms - since_ms < _LEAVING_MS:
            return [since_ms + _LEAVING_MS]
        with self._database.read() as transaction:
            rows = self._store.lane_rows(transaction, key)
        error = f"no receiver {key[0]} with {key[1]} is configured any more; correct the routing and send it again"
        self._settler.bury(rows, error, now_ms)
        return []

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set; the body of the outbox's thread."""
        while not stop.is_set():
            self._wake.clear()
            try:
                self.step()
                self._is_late = False
                wait = self._wait_s()
            except SetpointError as error:
                if not self._is_late:  # once, not every second
                    log.warning("notifications wait: %s", error.message)
                self._is_late, wait = True, _TRY_AGAIN_S
            except Exception:  # the loop must outlive any fault: nobody would be told any more
                log.exception("a look at what has to be delivered failed; the next one tries again")
                wait = _TRY_AGAIN_S
            if self._is_late:
                self._clock.wait(stop, wait)
            else:
                self._clock.wait(self._wake, min(wait, _TRY_AGAIN_S))  # `stop` wakes nobody
        self.close()

    def close(self) -> None:
        """Let lanes and their connections go."""
        for lane in list(self._lanes.values()):
            lane.close()

    def _wait_s(self) -> float:
        until_ms = self._look_anyway_ms
        if self._next_ms:
            until_ms = min(until_ms, self._next_ms - self._clock.now_ms())
        if self._released or self._finished or self._must_look:
            return 0.0
        return max(0.001, min(until_ms, self._lease.length_ms // 3) / 1000)

    def wake(self) -> None:
        """Let `run` look at its `stop`."""
        self._wake.set()

    def _look(self) -> None:
        with self._guard:
            self._must_look = True
        self._wake.set()

    def drain(self, within_s: float = 60.0) -> None:
        """Deliver all that is due now, and wait for the answers: for tests on a virtual clock, and for a shutdown."""
        until = time.monotonic() + within_s
        self._look()
        while time.monotonic() < until:
            fed = self.step()
            if not (fed or self.is_busy or self._finished or self._released or self._must_look):
                return
            while self.is_busy and time.monotonic() < until:
                time.sleep(0.001)

    @property
    def is_busy(self) -> bool:
        """Whether something is being sent."""
        with self._guard:
            return any(lane.load for lane in self._lanes.values())

    def waiting(self, receiver: str, integration: str, group_key: str) -> Notification | None:
        """The newest that was put of a group for an integration and that is not heard yet. Raises Unavailable."""
        with self._database.read() as transaction:
            rows = self._store.of_group(transaction, (receiver, integration, group_key))
        return rows[-1].notification if rows else None

    def pending(self, limit: int = _LISTED_MOST) -> list[Kept]:
        """What waits, the oldest first. Raises Unavailable."""
        return self._listed("pending", limit)

    def dead(self, limit: int = _LISTED_MOST) -> list[Kept]:
        """What was given up, the newest first. Raises Unavailable."""
        return self._listed("dead", limit)

    def sent(self, limit: int = _LISTED_MOST) -> list[Kept]:
        """What was delivered in the last days, the newest first. Raises Unavailable."""
        return self._listed("sent", limit)

    def _listed(self, state: str, limit: int) -> list[Kept]:
        with self._database.read() as transaction:
            return self._store.of_state(transaction, state, limit)

    def resend(self, id: int) -> int:
        """Send one again that was given up or sent, as a new one; gives its id. Raises NotFound, Unavailable."""
        with self._database.begin() as transaction:
            transaction.lock("notifications")
            row = self._store.get(transaction, id)
            if row is None:
                raise NotFound(f"there is no notification {id}; GET /notifications lists them")
            if row.state == "pending":
                return row.id
            copy = self._store.copy(transaction, row, self._clock.now_ms())
        self._look()
        return copy.id

    def statuses(self) -> list[LaneStatus]:
        """How every integration does, by name. Raises Unavailable."""
        with self._database.read() as transaction:
            counts = self._store.counts(transaction)
        now_ms = self._clock.now_ms()
        with self._guard:
            lanes = [lane for key, lane in sorted(self._lanes.items()) if key not in self._leaving]
            return [
                LaneStatus(
                    *lane.key,
                    counts.get(lane.key, 0),
                    lane.failures,
                    lane.error,
                    lane.delivered_ms,
                    lane.blocked_until_ms if self._is_blocked(lane, now_ms) else None,
                )
                for lane in lanes
            ]

    def overdue_ms(self) -> int:
        """For how long the oldest has been waiting; 0 when nothing waits. Raises Unavailable."""
        with self._database.read() as transaction:
            oldest_ms = self._store.oldest_ms(transaction)
        return 0 if oldest_ms is None else max(0, self._clock.now_ms() - oldest_ms)

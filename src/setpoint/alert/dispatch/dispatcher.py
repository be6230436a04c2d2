"""Who has to be told of which alerts, and when: groups, their timers, and what a flush decides.

Alertmanager's rules (`dispatch/dispatch.go`, `notify/`), with the exceptions that decision 0038 lists. `advance` does
everything that is due at an instant and says when the next is, so tests run it on a virtual clock; `run` is the body of
the dispatcher's thread. Every replica keeps the groups, one of them (`Lead`) flushes them. What a flush decides goes
to the outbox in one transaction for all groups that are due; what was heard stands in the notification log.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from setpoint.alert.dispatch.book import AlertBook
from setpoint.alert.dispatch.decide import NO_REPEATS
from setpoint.alert.dispatch.explain import explain, group_view, status_of
from setpoint.alert.dispatch.flush import Flush, Senses, flush_group
from setpoint.alert.dispatch.group import TARGET, Group, Place, places_of, target_receiver
from setpoint.alert.dispatch.lead import Lead, LostLead
from setpoint.alert.dispatch.log import Key, NotificationLog, key_of
from setpoint.alert.dispatch.ports import InhibitorPort, NoInhibitor, OutboxPort, SilencesPort
from setpoint.alert.dispatch.status import AlertStatus, Explanation, GroupView
from setpoint.alert.dispatch.store import RESOLVED
from setpoint.alert.model import Alert
from setpoint.alert.notify.model import Notification
from setpoint.alert.route.model import InhibitRule, Integration, Receiver, Route, Routing
from setpoint.clock import Clock
from setpoint.database import Transaction
from setpoint.errors import SetpointError

__all__ = ["NOBODY", "Dispatcher"]

log = logging.getLogger(__name__)

NOBODY = Routing(Route(receiver="nobody"), {"nobody": Receiver("nobody")})
"""Before the first configuration is known."""

_FLUSHED_AT_ONCE = 200
_AGAIN_MS = 1_000
_LOOK_MS = 1_000
_EXPIRE_MS = 60_000
_JUMP_MS = 1_000
_REMEMBERED_MS = 500
_NEVER_MS = 1 << 62
_REPEAT_MS = 14_400_000


class Dispatcher:
    """See above; safe to use from several threads."""

    def __init__(
        self,
        book: AlertBook,
        clock: Clock,
        *,
        silences: SilencesPort,
        outbox: OutboxPort,
        make_inhibitor: Callable[[Sequence[InhibitRule]], InhibitorPort] = lambda _: NoInhibitor(),
        lead: Lead | None = None,
    ) -> None:
        self.book = book
        self.clock = clock
        self.silences = silences
        self.outbox = outbox
        self.lead = lead or Lead(book.database, clock)
        self.log = NotificationLog(book.database)
        self.log.repeat_of = self._repeat_of
        self.target_receiver: Callable[[str], Receiver] = target_receiver
        """The receiver of an OpenSLO target, by its name."""
        self.routing = NOBODY
        self.inhibitor: InhibitorPort = NoInhibitor()
        self.pending: dict[Key, Notification] = {}
        """What was put and is not heard yet, as far as known here."""
        self.is_leading = False
        self._make_inhibitor = make_inhibitor
        self._lock = threading.RLock()
        self._wanted: Routing | None = None
        self._is_followed = False
        self._changes: deque[Alert] = deque()
        self._heard: deque[Notification] = deque()
        self._groups: dict[tuple[str, str], Group] = {}
        self._by_key: dict[tuple[str, str], Group] = {}
        self._places: dict[str, tuple[Place, ...]] = {}
        self._heap: list[tuple[int, int, Group]] = []
        self._numbers = itertools.count()
        self._last_ms: int | None = None
        self._expired_ms = 0
        self._wake = threading.Event()
        self._is_late = False
        self._generation = 0
        self._statuses: dict[str, AlertStatus] = {}
        self._statuses_of = (-1, -1)
        self._statuses_ms = 0
        outbox.on_delivered = self._delivered
        book.subscribe(self._hear)
        book.on_drop = self._forget

    # What others ask

    def follow(self, routing: Routing) -> None:
        """A new configuration: groups are made again, the log stays, so nobody is told again what he was told."""
        with self._lock:
            self._wanted, self._is_followed = routing, True
        self._wake.set()

    def status(self, fingerprint: str) -> AlertStatus:
        """How an alert stands now; asked again within half a second while nothing changed, it is remembered, because
        pages ask for thousands.
        """
        with self._lock:
            now_ms = self.clock.now_ms()
            stamp = self.silences.version, self._generation
            if stamp != self._statuses_of or not 0 <= now_ms - self._statuses_ms < _REMEMBERED_MS:
                self._statuses, self._statuses_of, self._statuses_ms = {}, stamp, now_ms
            found = self._statuses.get(fingerprint)
            if found is None:
                found = self._statuses[fingerprint] = status_of(self, fingerprint, now_ms)
            return found

    def groups(self) -> list[GroupView]:
        """Every group, by receiver and labels."""
        with self._lock:
            views = [group_view(self, group) for group in self._groups.values() if group.alerts]
        return sorted(views, key=lambda view: (view.receiver, sorted(view.group_labels.items()), view.route))

    def explain(self, fingerprint: str) -> Explanation:
        """Why an alert did or did not notify, with the numbers."""
        with self._lock:
            return explain(self, fingerprint, self.clock.now_ms())

    def places(self, fingerprint: str) -> tuple[Place, ...]:
        """The groups that an alert belongs to."""
        return self._places.get(fingerprint, ())

    def group(self, place: Place) -> Group | None:
        """The group at a place, if there is one."""
        return self._groups.get(place.id)

    def holds(self, fingerprint: str) -> bool:
        """Whether somebody still has to be told of an alert; what ended is not dropped before."""
        with self._lock:
            if self._changes or self._wanted is not None or not self._is_followed:
                return True
            found = (self._groups.get(place.id) for place in self._places.get(fingerprint, ()))
            return any(group is not None and fingerprint in group.alerts for group in found)

    def integrations(self, place: Place) -> tuple[Integration, ...]:
        """The channels that hear of a group."""
        if place.receiver.startswith(TARGET) and place.route is None:
            return self.target_receiver(place.receiver).integrations
        return self.routing.integrations(place.receiver)

    # Time

    def run(self, stop: threading.Event) -> None:
        """Dispatch until `stop` is set; the body of the dispatcher's thread."""
        while not stop.is_set():
            self._wake.clear()
            now_ms = self.clock.now_ms()
            due_ms: int | None = now_ms + _AGAIN_MS
            try:
                due_ms = self.advance(now_ms)
                self._is_late = False
            except SetpointError as error:
                if not self._is_late:  # once, not every second
                    log.warning("alerts wait to be dispatched: %s", error.message)
                self._is_late = True
            except Exception:  # the loop must outlive any fault: nobody would be told any more
                log.exception("a look at the groups that are due failed; the next one tries again")
            wait_ms = min(_LOOK_MS, _LOOK_MS if due_ms is None else due_ms - self.clock.now_ms())
            if wait_ms > 0 and not stop.is_set():
                self.clock.wait(self._wake, wait_ms / 1000)
        self._release()

    def wake(self) -> None:
        """Look at once; also who sets `stop` calls it."""
        self._wake.set()

    def advance(self, now_ms: int) -> int | None:
        """Do everything that is due; when the next is, None when nothing waits. Raises Unavailable; what was due then
        is still due.
        """
        with self._lock:
            self._note_clock(now_ms)
            if not self._is_followed:
                return None
        leads = self._step_lead(now_ms)
        with self._lock:
            self._take_routing(now_ms)
            self._take_changes(now_ms)
            self._take_heard()
        while leads and self._flush_due(now_ms):
            pass
        with self._lock:
            if leads and not 0 <= now_ms - self._expired_ms < _EXPIRE_MS:
                self._expired_ms = now_ms
                self.log.expire(now_ms, self._is_over)
            return self._next_ms() if leads else None

    # Inside

    def _step_lead(self, now_ms: int) -> bool:
        try:
            leads = self.lead.step(now_ms)
        except SetpointError:
            if not self.lead.is_held:
                self.is_leading = False
            raise
        if leads and not self.is_leading:
            self.log.load()
            self.silences.refresh()
            if self.book.is_shared:
                self.book.pull()
            with self._lock:
                self.pending = {}
                self._heard.clear()
                self._wanted = (
                    self._wanted or self.routing
                )  # groups are made again: this one never flushed them
        self.is_leading = leads
        return leads

    def _note_clock(self, now_ms: int) -> None:
        """A clock that was set back takes the timers with it: nobody waits until it is that late again."""
        last_ms, self._last_ms = self._last_ms, now_ms
        if last_ms is None or now_ms >= last_ms - _JUMP_MS:
            return
        log.warning("the clock went back by %.0f s; what waits is moved with it", (last_ms - now_ms) / 1000)
        self._heap = []
        for group in self._groups.values():
            group.due_ms += now_ms - last_ms
            if group.last_flush_ms is not None:
                group.last_flush_ms += now_ms - last_ms
            self._arm(group)
        try:
            self.book.set_back(last_ms, now_ms)
        except SetpointError as error:
            log.warning("ends of alerts are not stored as the clock is now: %s", error.message)

    def _hear(self, alerts: Sequence[Alert]) -> None:
        self._generation += 1
        self._changes.extend(alerts)
        self._wake.set()

    def _delivered(self, transaction: Transaction, notification: Notification, delivered_ms: int) -> None:
        if notification.message is not None:
            return  # no group decided it
        self.log.record(transaction, notification, delivered_ms)
        self._heard.append(notification)
        self._wake.set()

    def _take_routing(self, now_ms: int) -> None:
        routing = self._wanted
        if routing is None:
            return
        self.routing = routing
        self._generation += 1
        self._groups, self._by_key, self._places, self._heap = {}, {}, {}, []
        self.inhibitor = self._make_inhibitor(routing.inhibit_rules)
        self._changes.clear()
        alerts = self.book.alerts()  # what came after the line above is in it, or comes again
        self.inhibitor.follow(alerts)
        for alert in alerts:
            self._insert(alert, now_ms)
        for group in self._groups.values():
            group.is_remade = True
            group.fired.update(name for name in group.alerts if self._ended_just_now(name))
        self._wanted = None

    def _ended_just_now(self, fingerprint: str) -> bool:
        """Whether the timeline was not told yet that an alert ended, which it is within a second or two."""
        entry = self.book.entry(fingerprint)
        return entry is not None and entry.told != RESOLVED

    def _take_changes(self, now_ms: int) -> None:
        alerts: list[Alert] = []
        while self._changes:
            alerts.append(self._changes.popleft())
        if not alerts:
            return
        self._generation += 1
        try:
            self.inhibitor.follow(alerts)
        except Exception:  # rather one page too many than one that is lost
            log.exception("inhibition does not know of %d alerts", len(alerts))
        for alert in alerts:
            try:
                self._insert(alert, now_ms)
            except Exception:  # the others must be told
                log.exception("the alert %s has no group", alert.fingerprint)

    def _insert(self, alert: Alert, now_ms: int) -> None:
        places = self._places.get(alert.fingerprint)
        if places is None or alert.targets:
            places = self._places[alert.fingerprint] = places_of(self.routing, alert)
        for place in places:
            group = self._groups.get(place.id)
            if group is None:
                due_ms = now_ms + (0 if place.route is None else place.route.group_wait_ms)
                group = self._groups[place.id] = Group(place, self.integrations(place), due_ms)
                self._by_key[place.receiver, place.key] = group
                group.insert(alert, now_ms)
                self._arm(group)
            elif group.insert(alert, now_ms):
                self._arm(group)

    def _arm(self, group: Group, at_ms: int | None = None) -> None:
        heapq.heappush(self._heap, (group.due_ms if at_ms is None else at_ms, next(self._numbers), group))

    def _take_heard(self) -> None:
        """What was heard is no longer pending; what ended leaves a group when all its integrations heard of that."""
        while self._heard:
            notification = self._heard.popleft()
            key = key_of(notification)
            waiting = self.pending.get(key)
            if waiting is None or waiting.at_ms > notification.at_ms:
                continue
            del self.pending[key]
            group = self._by_key.get((notification.receiver, notification.group_key))
            if group is None or any(group.log_key(one) in self.pending for one in group.integrations):
                continue
            if not group.handled.keys() & set(notification.firing):
                self._settle(group)

    def _settle(self, group: Group) -> None:
        group.settle()
        idle_ms = group.idle_ms()
        if idle_ms is not None:
            self._arm(group, idle_ms)

    def _flush_due(self, now_ms: int) -> bool:
        """Flush some of the groups that are due; whether there may be more. Raises Unavailable, LostLead."""
        with self._lock:
            due = self._take_due(now_ms)
            try:
                flushes = [flush for group in due if (flush := self._flush_safely(group, now_ms)) is not None]
                stored = self._store_all(flushes, now_ms)
            except BaseException as error:
                for group in due:
                    self._postpone(group, now_ms)
                if isinstance(error, LostLead):
                    self.is_leading = False
                raise
            for flush in stored:
                group = flush.group
                self._arm(group)
                if not any(group.log_key(one) in self.pending for one in group.integrations):
                    self._settle(group)
        return len(due) == _FLUSHED_AT_ONCE

    def _postpone(self, group: Group, now_ms: int) -> None:
        group.due_ms = now_ms + _AGAIN_MS
        self._arm(group)

    def _flush_safely(self, group: Group, now_ms: int) -> Flush | None:
        """A fault of ours in one group must not keep the others from their receivers."""
        try:
            return self._flush(group, now_ms)
        except SetpointError:
            raise
        except Exception:  # as said above; it is tried again
            log.exception("the group %s was not flushed; it is tried again", group.place.key)
            self._postpone(group, now_ms)
            return None

    def _store_all(self, flushes: Sequence[Flush], now_ms: int) -> Sequence[Flush]:
        """Those that are stored; what cannot be stored with the others is tried alone, and again later."""
        try:
            self._store(flushes, now_ms)
        except Exception as error:  # one of them cannot be stored: which, is found by trying each alone
            if _concerns_all(error):
                raise
            log.exception("what %d groups decided was not stored together", len(flushes))
        else:
            return flushes
        stored = []
        for flush in flushes:
            try:
                self._store([flush], now_ms)
                stored.append(flush)
            except Exception as error:  # this group waits; the others are told
                if _concerns_all(error):
                    raise
                log.exception("what the group %s decided was not stored", flush.group.place.key)
                self._postpone(flush.group, now_ms)
        return stored

    def _take_due(self, now_ms: int) -> list[Group]:
        due: list[Group] = []
        while self._heap and self._heap[0][0] <= now_ms and len(due) < _FLUSHED_AT_ONCE:
            item = heapq.heappop(self._heap)
            group = item[2]
            if self._is_stale(item):
                continue
            if not group.alerts:
                del self._groups[group.place.id]
                key = group.place.receiver, group.place.key
                if self._by_key.get(key) is group:  # sibling routes may share a key
                    del self._by_key[key]
            elif group.due_ms <= now_ms:
                group.due_ms = _NEVER_MS  # a second entry of the heap for the same flush is stale now
                due.append(group)
        return due

    def _flush(self, group: Group, now_ms: int) -> Flush:
        route = group.place.route
        self._look_at_pending(group, now_ms)
        group.muted_by = () if route is None else self.routing.muted_by(route, now_ms)
        senses = Senses(
            lambda labels: self.silences.mutes(labels, now_ms),
            lambda labels: self.inhibitor.inhibited_by(labels, now_ms),
            lambda key: self.log.told(key, now_ms),
            self.pending,
        )
        flush = flush_group(group, senses, now_ms)
        group.rearm(now_ms)
        return flush

    def _look_at_pending(self, group: Group, now_ms: int) -> None:
        """What waits in the outbox for a group; what was given up there is decided anew, and what had ended stays."""
        keys = [group.log_key(one) for one in group.integrations]
        if not group.is_remade:
            keys = [key for key in keys if key in self.pending]
        group.is_remade = False
        gone = []
        for key in keys:
            waiting = self.outbox.waiting(*key)
            if waiting is not None:
                self.pending[key] = waiting
            elif self.pending.pop(key, None) is not None:
                gone.append(key)
        if gone and self.book.is_shared:
            self.log.refresh(gone)

    def _store(self, flushes: Sequence[Flush], now_ms: int) -> None:
        """What flushes decided, in one transaction, and only while this replica leads."""
        notifications = [one for flush in flushes for one in flush.notifications]
        cleared = [flush for flush in flushes if flush.cleared]
        forgotten = [one for flush in flushes for one in flush.forgotten]
        if not (notifications or cleared or forgotten):
            return

        def guard(transaction: Transaction) -> None:
            self.lead.check(transaction)
            for flush in cleared:
                self.log.clear(transaction, flush.cleared, flush.resolved, now_ms)
            for key, names in forgotten:
                self.log.forget(transaction, key, names)

        if notifications:
            self.outbox.put(notifications, guard=guard)
        else:
            with self.book.database.begin() as transaction:
                guard(transaction)
        for one in notifications:
            self.pending[key_of(one)] = one

    def _forget(self, alerts: Sequence[Alert]) -> None:
        """Alerts that the book dropped."""
        with self._lock:
            self.inhibitor.forget(alerts)
            for alert in alerts:
                for place in self._places.pop(alert.fingerprint, ()):
                    group = self._groups.get(place.id)
                    if group is not None:
                        group.alerts.pop(alert.fingerprint, None)

    def _repeat_of(self, key: Key) -> int:
        group = self._by_key.get((key[0], key[2]))
        if group is not None:
            return max(group.repeat_ms, group.interval_ms)
        return NO_REPEATS if key[0].startswith(TARGET) else _REPEAT_MS

    def _is_over(self, key: Key) -> bool:
        return (key[0], key[2]) not in self._by_key

    def _release(self) -> None:
        self.is_leading = False
        try:
            self.lead.release()
        except SetpointError as error:
            log.warning("another replica dispatches in some seconds only: %s", error.message)

    def _next_ms(self) -> int | None:
        while self._heap and self._is_stale(self._heap[0]):
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _is_stale(self, item: tuple[int, int, Group]) -> bool:
        at_ms, _, group = item
        return self._groups.get(group.place.id) is not group or at_ms not in {group.due_ms, group.idle_ms()}


def _concerns_all(error: Exception) -> bool:
    """Whether nothing can be stored at present, whatever group it is of."""
    return isinstance(error, LostLead) or (isinstance(error, SetpointError) and error.retryable)

"""A book and a dispatcher on a virtual clock, with an outbox that delivers when a test says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from setpoint.alert.dispatch.book import AlertBook
from setpoint.alert.dispatch.dispatcher import Dispatcher
from setpoint.alert.dispatch.lead import Lead
from setpoint.alert.dispatch.tend import Tender
from setpoint.alert.model import Alert
from setpoint.alert.notify.model import Notification, merged
from setpoint.alert.route.inhibit import Inhibitor
from setpoint.alert.route.matcher import Matcher
from setpoint.alert.route.read import read_routing
from setpoint.alert.silence.book import SilenceBook
from setpoint.alert.silence.model import Silence
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase, Transaction
from setpoint.errors import Unavailable
from setpoint.timeline import Timeline

START_MS = 1_800_000_000_000

HOOK = """
route: {receiver: ops, group_by: [alertname], group_wait: 30s, group_interval: 5m, repeat_interval: 4h}
receivers:
- name: ops
  webhook_configs: [{url: 'http://localhost/hook', send_resolved: true}]
"""

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Heard:
    """One notification that a receiver got."""

    at_ms: int
    notification: Notification


class Post:
    """Keeps notifications in memory as the outbox keeps them in rows; survives a restart of the dispatcher."""

    def __init__(self, database: StateDatabase, clock: VirtualClock) -> None:
        self.database, self.clock = database, clock
        self.on_delivered: Callable[[Transaction, Notification, int], None] = lambda *_: None
        self.kept: dict[Key, Notification] = {}
        self.heard: list[Heard] = []
        self.is_up: Callable[[Notification], bool] = lambda _: True
        self.fails = False
        self.puts = 0

    def put(
        self, notifications: Sequence[Notification], *, guard: Callable[[Transaction], None] | None = None
    ) -> None:
        with self.database.begin() as transaction:
            if guard is not None:
                guard(transaction)
            if self.fails:
                raise Unavailable("the test says so")
        for one in notifications:
            key = one.receiver, one.integration, one.group_key
            older = self.kept.pop(key, None)
            self.kept[key] = one if older is None else merged(older, one)
            self.puts += 1

    def waiting(self, receiver: str, integration: str, group_key: str) -> Notification | None:
        return self.kept.get((receiver, integration, group_key))

    def deliver(self) -> int:
        """Deliver to those who are up; how many were."""
        taken = {key: one for key, one in self.kept.items() if self.is_up(one)}
        if not taken:
            return 0
        with self.database.begin() as transaction:
            for one in taken.values():
                self.on_delivered(transaction, one, self.clock.now_ms())
        for key, one in taken.items():
            del self.kept[key]
            self.heard.append(Heard(self.clock.now_ms(), one))
        return len(taken)


class World:
    """Everything from the book to the post; `restart` is a kill in between."""

    def __init__(
        self, database: StateDatabase, routing: str = HOOK, *, clock: VirtualClock | None = None
    ) -> None:
        self.database = database
        self.clock = clock or VirtualClock(START_MS)
        self.routing = routing
        self.timeline = Timeline(database, self.clock)
        self.post = Post(database, self.clock)
        self.starts = 0
        self.start()

    def start(self) -> None:
        """Make all parts over what is stored."""
        self.starts += 1
        self.silences = SilenceBook(self.database, self.timeline, self.clock)
        self.book = AlertBook(self.database, self.clock)
        self.lead = Lead(self.database, self.clock)
        self.dispatcher = Dispatcher(
            self.book,
            self.clock,
            silences=self.silences,
            outbox=self.post,
            make_inhibitor=Inhibitor,
            lead=self.lead,
        )
        self.tender = Tender(
            self.book,
            self.timeline,
            self.clock,
            is_leading=lambda: self.dispatcher.is_leading,
            holds=self.dispatcher.holds,
        )
        self.dispatcher.follow(read_routing("alertmanager.yml", self.routing))

    def now_s(self) -> float:
        """Seconds since the world began."""
        return (self.clock.now_ms() - START_MS) / 1000

    def until(self, at_s: float, *, step_s: float = 10) -> None:
        """Let time pass, and everything happen when it is due; deliveries are tried every `step_s`."""
        end_ms = START_MS + round(at_s * 1000)
        while True:
            self.settle()
            due_ms = self.dispatcher.advance(self.clock.now_ms())
            now_ms = self.clock.now_ms()
            if now_ms >= end_ms:
                return
            next_ms = min(end_ms, now_ms + round(step_s * 1000))
            if due_ms is not None:
                next_ms = min(next_ms, max(due_ms, now_ms + 1))
            self.clock.advance((next_ms - now_ms) / 1000)

    def settle(self) -> None:
        """What happens at this instant."""
        while True:
            self.dispatcher.advance(self.clock.now_ms())
            self.tender.advance(self.clock.now_ms())
            if not self.post.deliver():
                return

    def fire(self, *names: str, starts_s: float | None = None, **fields: Any) -> list[Alert]:
        """Alerts without an end come in."""
        now_ms = self.clock.now_ms()
        starts_ms = now_ms if starts_s is None else START_MS + round(starts_s * 1000)
        alerts = [Alert(labels_of(name), starts_ms=starts_ms, updated_ms=now_ms, **fields) for name in names]
        self.book.receive(alerts)
        return alerts

    def end(self, *names: str) -> None:
        """Alerts end now."""
        now_ms = self.clock.now_ms()
        for name in names:
            alert = Alert(labels_of(name), starts_ms=now_ms, updated_ms=now_ms)
            known = self.book.get(alert.fingerprint)
            starts_ms = now_ms if known is None else known.starts_ms
            self.book.receive([replace(alert, starts_ms=starts_ms, ends_ms=now_ms)])

    def silence(self, for_s: float, **labels: str) -> str:
        """Mute what has these labels."""
        now_ms = self.clock.now_ms()
        matchers = tuple(Matcher(name, value, "=") for name, value in labels.items())
        return self.silences.post(Silence("", matchers, now_ms, now_ms + round(for_s * 1000), "test", "test"))

    def told(self) -> list[tuple[float, str, list[str], list[str]]]:
        """What was heard: (seconds, reason, names firing, names resolved)."""
        found: list[tuple[float, str, list[str], list[str]]] = []
        for one in self.post.heard:
            names = {alert.fingerprint: name_of(alert) for alert in one.notification.alerts}
            firing = sorted(names[it] for it in one.notification.firing)
            resolved = sorted(names[it] for it in one.notification.resolved)
            found.append(((one.at_ms - START_MS) / 1000, one.notification.reason, firing, resolved))
        return found


def labels_of(name: str) -> dict[str, str]:
    """`Down` or `Down/a`: an alert's name, and its instance."""
    alertname, _, instance = name.partition("/")
    return {"alertname": alertname} | ({"instance": instance} if instance else {})


def name_of(alert: Alert) -> str:
    """As given to `labels_of`."""
    instance = alert.labels.get("instance", "")
    return f"{alert.name}/{instance}" if instance else alert.name

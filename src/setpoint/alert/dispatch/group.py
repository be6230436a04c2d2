"""One group: the alerts of one route that share the values of its `group_by` labels, when it is flushed, and what was
decided then. Only `Dispatcher` changes one, under its lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from setpoint.alert.dispatch.decide import NO_REPEATS, Decision
from setpoint.alert.dispatch.log import Key
from setpoint.alert.model import Alert, Labels
from setpoint.alert.route.model import Integration, Receiver, Route, Routing

__all__ = ["TARGET", "Group", "Mute", "Place", "places_of", "target_receiver"]

TARGET = "target:"
"""What receivers of OpenSLO notification targets are called, before the target's key."""

_TARGET_INTERVAL_MS = 300_000
_TARGET_LOOK_MS = 10_000
_IDLE_MS = 30_000
"""An empty group is forgotten after this time, so what fires then waits for group_wait again, as in Alertmanager."""

GroupId = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Mute:
    """Why an alert was left out of a flush."""

    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where an alert belongs: a route (None: a target of an objective), and the group in it."""

    id: GroupId
    route: Route | None
    receiver: str
    key: str
    labels: Mapping[str, str]


@dataclass(slots=True, eq=False)
class Group:
    """See above. `due_ms` is the next flush; `handled` are the resolved alerts that the last flush spoke of.
    `is_remade`: made of what is known after a start, a takeover or a new configuration, so something may be on its way.
    """

    place: Place
    integrations: tuple[Integration, ...]
    due_ms: int
    is_remade: bool = False
    alerts: dict[str, Alert] = field(default_factory=dict)
    last_flush_ms: int | None = None
    muted: dict[str, Mute] = field(default_factory=dict)
    muted_by: tuple[str, ...] = ()
    decisions: dict[str, tuple[Decision, int]] = field(default_factory=dict)
    handled: dict[str, Alert] = field(default_factory=dict)
    fired: set[str] = field(default_factory=set)
    """What fired since the last flush."""

    @property
    def interval_ms(self) -> int:
        """From one flush to the next. A target's group is flushed when its alert changes; besides, it is looked at now
        and then, and often while a mute keeps it from being told.
        """
        route = self.place.route
        if route is not None:
            return max(1, route.group_interval_ms)
        return _TARGET_LOOK_MS if self.muted else _TARGET_INTERVAL_MS

    @property
    def wait_ms(self) -> int:
        """From the first alert to the first flush."""
        return 0 if self.place.route is None else self.place.route.group_wait_ms

    @property
    def repeat_ms(self) -> int:
        """After how long the same is told again."""
        return NO_REPEATS if self.place.route is None else self.place.route.repeat_interval_ms

    def log_key(self, integration: Integration) -> Key:
        """Under which key the log knows what an integration was told of this group."""
        return self.place.receiver, integration.key, self.place.key

    def insert(self, alert: Alert, now_ms: int) -> bool:
        """Take an alert; True when the next flush is sooner for it: a group that was not flushed yet does not wait for
        an alert that has fired for longer than group_wait, and a target's not when its alert begins or ends.
        """
        known = self.alerts.get(alert.fingerprint)
        self.alerts[alert.fingerprint] = alert
        if not alert.is_resolved(now_ms):
            self.fired.add(alert.fingerprint)
        if self.due_ms <= now_ms:
            return False
        if self.place.route is None:
            is_due = known is None or known.is_resolved(now_ms) != alert.is_resolved(now_ms)
        else:
            is_due = self.last_flush_ms is None and alert.starts_ms + self.wait_ms < now_ms
        if is_due:
            self.due_ms = now_ms
        return is_due

    def take_owed(self, resolved: AbstractSet[str]) -> frozenset[str]:
        """What ended before a flush could tell of it, though it fired for as long as group_wait asks: a flush was due,
        and came too late, for a crash or for much to do. Alertmanager would forget it.
        """
        owed = [self.alerts[name] for name in self.fired & resolved]
        self.fired = set()
        return frozenset(
            one.fingerprint
            for one in owed
            if one.ends_ms is not None and one.ends_ms - one.starts_ms >= max(1, self.wait_ms)
        )

    def rearm(self, now_ms: int) -> None:
        """It is flushed now; when it will be again. A target's also when its alert's time ends."""
        self.last_flush_ms = now_ms
        self.due_ms = now_ms + self.interval_ms
        if self.place.route is None:
            ends = [
                one.ends_ms
                for one in self.alerts.values()
                if one.ends_ms is not None and one.ends_ms > now_ms
            ]
            self.due_ms = min([self.due_ms, *ends])

    def settle(self) -> None:
        """Everybody was told what the last flush spoke of: what had ended then, and has not changed since, leaves."""
        for fingerprint, alert in self.handled.items():
            if self.alerts.get(fingerprint) is alert:
                del self.alerts[fingerprint]
        self.handled = {}

    def idle_ms(self) -> int | None:
        """When an empty group may be forgotten; None while it holds something."""
        if self.alerts or self.last_flush_ms is None:
            return None
        return self.last_flush_ms + min(_IDLE_MS, self.interval_ms)


def places_of(routing: Routing, alert: Alert) -> tuple[Place, ...]:
    """The groups that an alert belongs to: one for each route that takes it, and one for each of its targets."""
    labels = alert.labels
    found = [_place(route, labels) for route in routing.match(labels)]
    for target in alert.targets:
        receiver = TARGET + target
        key = f"{receiver}:{alert.fingerprint}"
        found.append(Place((receiver, alert.fingerprint), None, receiver, key, dict(labels)))
    return tuple(found)


def _place(route: Route, labels: Labels) -> Place:
    key = route.group_key(labels)
    return Place((route.id, key), route, route.receiver, key, route.group_labels(labels))


def target_receiver(name: str) -> Receiver:
    """A target hears of the end too; the outbox knows its channel by the receiver's name."""
    return Receiver(name, (Integration("webhook", 0, send_resolved=True),))

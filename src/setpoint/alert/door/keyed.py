"""Makes alerts of what senders tell, which takes knowing what of theirs is open.

PagerDuty's clients, and most other senders, name a problem by a key and repeat it with other words; a resolve has
nothing but the key. Setpoint names an alert by its labels, as Alertmanager does. `KeyedAlerts` keeps, for each source,
which alert has which key (the label `dedup_key`); it is rebuilt at start from the alerts themselves, and hears of those
of other replicas.

What a repeated trigger may change: annotations and values are those told last. When its labels differ (it became
critical, it moved to another host), the alert ends and one with the new labels begins, both in one commit, because a
route may page for `critical` only: keeping the first labels, as PagerDuty does, would lose that page (decision 0041). A
name that was made from the summary stays, though: summaries hold numbers that change each time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from setpoint.alert.door.told import Told
from setpoint.alert.model import Alert
from setpoint.clock import rfc3339

__all__ = ["Book", "KeyedAlerts", "Taken"]

_STRIPES = 64
_PRUNED_FROM = 20_000


class Book(Protocol):
    """What is needed of the book of alerts."""

    is_shared: bool

    def receive(self, alerts: Sequence[Alert]) -> None: ...
    def pull(self) -> None: ...
    def alerts(self) -> list[Alert]: ...
    def get(self, fingerprint: str) -> Alert | None: ...
    def subscribe(self, hear: Callable[[Sequence[Alert]], None]) -> None: ...


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a request: the alerts that were stored, those that somebody acknowledged, and how many items
    meant an alert that is not open.
    """

    alerts: tuple[Alert, ...] = ()
    acknowledged: tuple[Alert, ...] = ()
    dropped: int = 0


@dataclass(slots=True)
class _Made:
    """Alerts of one request by fingerprint, in their order, and by key."""

    alerts: dict[str, Alert] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    acknowledged: list[Alert] = field(default_factory=list)
    dropped: int = 0


class KeyedAlerts:
    """Safe to use from several threads."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._fingerprints: dict[tuple[str, str], str] = {}
        self._stripes = [threading.Lock() for _ in range(_STRIPES)]
        book.subscribe(self._hear)
        self._hear(book.alerts())

    def receive(
        self,
        source: str,
        told: Sequence[Told],
        now_ms: int,
        *,
        added: dict[str, str] | None = None,
        lasts_ms: int | None = None,
    ) -> Taken:
        """Store what a source told; `added` are labels that every alert of it gets, `lasts_ms` for how long one holds
        that is not told again. Raises Unavailable; then nothing was taken.
        """
        stripes = sorted({hash((source, one.key)) % _STRIPES for one in told if one.key})
        held = [self._stripes[stripe] for stripe in stripes]
        for lock in held:  # in one order, so that two requests with the same keys do not wait for each other
            lock.acquire()
        try:
            if held and self._book.is_shared:
                self._book.pull()  # another replica may have opened what this one shall end
            made = self.made(source, told, now_ms, added=added, lasts_ms=lasts_ms)
            self._book.receive(made.alerts)
        finally:
            for lock in held:
                lock.release()
        return made

    def made(
        self,
        source: str,
        told: Sequence[Told],
        now_ms: int,
        *,
        added: dict[str, str] | None = None,
        lasts_ms: int | None = None,
    ) -> Taken:
        """What `receive` would store, and nothing is stored."""
        made = _Made()
        for one in told:
            for alert in self._alerts(source, one, now_ms, added or {}, made):
                is_over = alert.is_resolved(now_ms)
                if lasts_ms is not None and not is_over:
                    alert = replace(alert, ends_ms=now_ms + lasts_ms, is_timeout=True)  # noqa: PLW2901 — the same alert
                made.alerts[alert.fingerprint] = alert
                if one.key and not is_over:
                    made.keys[one.key] = alert.fingerprint
        return Taken(tuple(made.alerts.values()), tuple(made.acknowledged), made.dropped)

    def _alerts(
        self, source: str, told: Told, now_ms: int, added: dict[str, str], made: _Made
    ) -> Iterator[Alert]:
        known = self._known(source, told.key, made)
        is_open = known is not None and not known.is_resolved(now_ms)
        if told.key and told.action != "trigger":
            if known is None or not is_open:
                made.dropped += 1
            elif told.action == "resolve":
                yield _ended(known, told, now_ms)
            else:
                acknowledged = _acknowledged(known, now_ms)
                made.acknowledged.append(acknowledged)
                yield acknowledged
            return
        labels = dict(told.labels) | added
        if told.action == "resolve":
            ends_ms = min(told.ends_ms or now_ms, now_ms)
            # It must overlap what is open to end it, so it began no later than it ends.
            starts_ms = min(told.starts_ms or ends_ms, ends_ms)
            yield _alert(source, told, labels, starts_ms, now_ms, ends_ms)
            return
        if told.action == "acknowledge":
            made.dropped += 1
            return
        starts_ms = min(told.starts_ms if told.starts_ms is not None else now_ms, now_ms)
        values = dict(told.values)
        if known is not None and is_open:
            starts_ms = min(starts_ms, known.starts_ms)
            if not told.names_itself:
                labels["alertname"] = known.labels.get("alertname", labels.get("alertname", ""))
            values = {name: value for name, value in known.values.items() if name == "acknowledged"} | values
            if labels != known.labels:
                yield replace(known, ends_ms=now_ms, updated_ms=now_ms, is_timeout=False)
        elif known is not None and known.ends_ms is not None:
            starts_ms = max(starts_ms, known.ends_ms)  # after a resolve, a trigger opens a new one
        yield replace(_alert(source, told, labels, starts_ms, now_ms, None), values=values)

    def _known(self, source: str, key: str, made: _Made) -> Alert | None:
        """The alert that has a key now, of this request or of the book."""
        if not key:
            return None
        fingerprint = made.keys.get(key) or self._fingerprints.get((source, key))
        if fingerprint is None:
            return None
        return made.alerts.get(fingerprint) or self._book.get(fingerprint)

    def _hear(self, alerts: Sequence[Alert]) -> None:
        for alert in alerts:
            key = alert.labels.get("dedup_key")
            if key is None:
                continue
            known = self._fingerprints.get((alert.source, key))
            other = self._book.get(known) if known is not None and known != alert.fingerprint else None
            # One that ended must not take the place of one that is open, or ended later.
            if other is None or _end(other) <= _end(alert):
                self._fingerprints[alert.source, key] = alert.fingerprint
        if len(self._fingerprints) > _PRUNED_FROM:
            gone = [
                place for place, known in list(self._fingerprints.items()) if self._book.get(known) is None
            ]
            if len(gone) > _PRUNED_FROM // 2:
                for place in gone:
                    self._fingerprints.pop(place, None)


def _end(alert: Alert) -> float:
    return float("inf") if alert.ends_ms is None else alert.ends_ms


def _alert(  # noqa: PLR0917 — what an alert is made of
    source: str, told: Told, labels: dict[str, str], starts_ms: int, now_ms: int, ends_ms: int | None
) -> Alert:
    return Alert(
        labels,
        starts_ms,
        now_ms,
        ends_ms,
        told.annotations,
        told.generator_url,
        source=source,
        values=told.values,
    )


def _ended(known: Alert, told: Told, now_ms: int) -> Alert:
    ends_ms = min(max(told.ends_ms or now_ms, known.starts_ms), now_ms)
    annotations = dict(known.annotations) | dict(told.annotations)
    return replace(known, ends_ms=ends_ms, updated_ms=now_ms, is_timeout=False, annotations=annotations)


def _acknowledged(known: Alert, now_ms: int) -> Alert:
    return replace(known, updated_ms=now_ms, values=dict(known.values) | {"acknowledged": rfc3339(now_ms)})

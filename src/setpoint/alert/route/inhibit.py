"""What inhibits what: while a source alert fires, its targets do not notify.

The dispatcher hands every change of an alert to `follow` and asks `inhibited_by` in each flush. Sources are kept by
rule and by the values of the labels that must be equal, so a question takes as long for ten thousand alerts as for one.
An alert that has both sides of a rule is not inhibited by another that has both, or neither would be told.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from setpoint.alert.model import Alert, Labels
from setpoint.alert.route.matcher import matches_all
from setpoint.alert.route.model import InhibitRule

__all__ = ["Inhibitor"]

_Key = tuple[str, ...]


class _Sources:
    """The sources of one rule by the values of its equal labels: those that are no target of the rule, and those that
    are, by fingerprint.
    """

    def __init__(self, rule: InhibitRule) -> None:
        self.rule = rule
        self.by_key: dict[_Key, tuple[dict[str, Alert], dict[str, Alert]]] = {}

    def key_of(self, labels: Labels) -> _Key:
        """The values of the equal labels; a missing one is empty."""
        return tuple(labels.get(name, "") for name in self.rule.equal)

    def add(self, alert: Alert) -> None:
        """Take an alert, if it is a source."""
        if matches_all(self.rule.source, alert.labels):
            one_sided, two_sided = self.by_key.setdefault(self.key_of(alert.labels), ({}, {}))
            held = two_sided if matches_all(self.rule.target, alert.labels) else one_sided
            held[alert.fingerprint] = alert

    def drop(self, alert: Alert) -> None:
        """Forget an alert."""
        key = self.key_of(alert.labels)
        for held in self.by_key.get(key, ()):
            held.pop(alert.fingerprint, None)
        if key in self.by_key and not any(self.by_key[key]):
            del self.by_key[key]

    def source_of(self, labels: Labels, at_ms: int) -> str | None:
        """The fingerprint of an alert that inhibits these labels by this rule."""
        found = self.by_key.get(self.key_of(labels)) if self.by_key else None
        if found is None or not matches_all(self.rule.target, labels):
            return None
        one_sided, two_sided = found
        source = _firing(one_sided, at_ms)
        if source is None and two_sided and not matches_all(self.rule.source, labels):
            source = _firing(two_sided, at_ms)
        return source


class Inhibitor:
    """Safe to use from several threads."""

    def __init__(self, rules: Sequence[InhibitRule]) -> None:
        self._rules = [_Sources(rule) for rule in rules]
        self._lock = threading.Lock()

    def follow(self, alerts: Iterable[Alert]) -> None:
        """Take alerts as they are now, those that ended included."""
        with self._lock:
            for alert in alerts:
                for sources in self._rules:
                    sources.add(alert)

    def forget(self, alerts: Iterable[Alert]) -> None:
        """Drop alerts that are kept no longer."""
        with self._lock:
            for alert in alerts:
                for sources in self._rules:
                    sources.drop(alert)

    def inhibited_by(self, labels: Labels, at_ms: int) -> tuple[str, ...]:
        """The fingerprints of the alerts that inhibit these labels at an instant, one of each rule that does."""
        found: dict[str, None] = {}
        for sources in self._rules:
            with self._lock:
                source = sources.source_of(labels, at_ms)
            if source is not None:
                found[source] = None
        return tuple(found)


def _firing(held: dict[str, Alert], at_ms: int) -> str | None:
    """One that fires; it is looked at first the next time. Nothing is dropped here: somebody may ask about another
    time than now.
    """
    for fingerprint in reversed(held):
        if not held[fingerprint].is_resolved(at_ms):
            held[fingerprint] = held.pop(fingerprint)
            return fingerprint
    return None

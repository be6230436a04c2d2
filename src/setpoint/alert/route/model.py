"""What a routing configuration is: the tree of routes, receivers with their integrations, inhibition rules, intervals.

`read_routing` makes one of an alertmanager.yml; the dispatcher, the pages and the API read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from setpoint.alert.model import Labels
from setpoint.alert.route.interval import Stretch, TimeInterval
from setpoint.alert.route.matcher import Matcher, matches_all
from setpoint.errors import Problem

__all__ = ["InhibitRule", "Integration", "Receiver", "Route", "Routing", "Stretch", "TimeInterval"]


@dataclass(frozen=True, slots=True)
class Integration:
    """One channel of a receiver, such as its first webhook.

    `kind` is the name of the section without `_configs` (`webhook`, `email`, …), `index` its place among those of the
    same kind, from 0. `settings` is what is written there, with what `global` gives where nothing is, and with
    defaults; durations stay as they are written. Secrets stand in it: never show it, use `Routing.text`.
    """

    kind: str
    index: int
    send_resolved: bool
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def key(self) -> str:
        """How Alertmanager names it, such as `webhook[0]`."""
        return f"{self.kind}[{self.index}]"


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told: a name and the channels; one without channels tells nobody."""

    name: str
    integrations: tuple[Integration, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """A node of the tree, with what it inherits from those above it; times are milliseconds.

    `group_by` None stands for `...`: each set of labels is a group of its own. `key` is Alertmanager's (the matchers of
    all routes down to this one), which siblings may share; `id` is unique: the path of places, such as `0.2.1`.
    """

    receiver: str
    group_by: tuple[str, ...] | None = ()
    group_wait_ms: int = 30_000
    group_interval_ms: int = 300_000
    repeat_interval_ms: int = 14_400_000
    matchers: tuple[Matcher, ...] = ()
    continues: bool = False
    mute_intervals: tuple[str, ...] = ()
    active_intervals: tuple[str, ...] = ()
    key: str = "{}"
    id: str = "0"
    routes: tuple[Route, ...] = ()
    line: int | None = None

    def match(self, labels: Labels) -> list[Route]:
        """The routes that take an alert with these labels, in order: the deepest that match, the first of siblings
        unless it continues. None where this route's own matchers do not match.
        """
        if not matches_all(self.matchers, labels):
            return []
        found: list[Route] = []
        for below in self.routes:
            taken = below.match(labels)
            found += taken
            if taken and not below.continues:
                break
        return found or [self]

    def group_labels(self, labels: Labels) -> dict[str, str]:
        """The labels that name an alert's group, by name; those it does not have are left out."""
        return {
            name: labels[name] for name in sorted(labels) if self.group_by is None or name in self.group_by
        }

    def group_key(self, labels: Labels) -> str:
        """The key of an alert's group as Alertmanager's payloads have it, such as `{}/{team="a"}:{alertname="b"}`."""
        return f"{self.key}:{shown_labels(self.group_labels(labels))}"

    def walk(self) -> Iterator[Route]:
        """This route and all below it, each before those below it."""
        yield self
        for below in self.routes:
            yield from below.walk()


@dataclass(frozen=True, slots=True)
class InhibitRule:
    """While an alert that `source` matches fires, those that `target` matches do not notify, where the labels of
    `equal` are the same on both.
    """

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...] = ()
    name: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Routing:
    """A whole configuration. `text` is it as YAML with secrets hidden; `templates` are paths and globs, relative to the
    folder of `file`; `warnings` are what was read but does less than its writer may expect.
    """

    route: Route
    receivers: Mapping[str, Receiver]
    inhibit_rules: tuple[InhibitRule, ...] = ()
    intervals: Mapping[str, TimeInterval] = field(default_factory=dict)
    templates: tuple[str, ...] = ()
    resolve_timeout_ms: int = 300_000
    text: str = ""
    file: str = ""
    warnings: tuple[Problem, ...] = ()

    @property
    def source_text(self) -> str:
        """The same as `text`: secrets are never kept as text."""
        return self.text

    def match(self, labels: Labels) -> list[Route]:
        """The routes that take an alert with these labels, in order; the root at least."""
        return self.route.match(labels) or [self.route]

    def integrations(self, receiver: str) -> tuple[Integration, ...]:
        """The channels of a receiver; none where there is no such receiver."""
        found = self.receivers.get(receiver)
        return () if found is None else found.integrations

    def muted_by(self, route: Route, at_ms: int) -> tuple[str, ...]:
        """The names of the intervals that keep a route from telling anything at an instant: mute intervals that hold
        it, or all of its active intervals when none does.
        """
        muting = tuple(name for name in route.mute_intervals if self._holds(name, at_ms))
        active = route.active_intervals
        if active and not any(self._holds(name, at_ms) for name in active):
            muting += active
        return muting

    def _holds(self, name: str, at_ms: int) -> bool:
        interval = self.intervals.get(name)
        return interval is not None and interval.contains(at_ms)


def shown_labels(labels: Labels) -> str:
    """Labels as Alertmanager writes them in keys of groups: `{alertname="a", service="b"}`."""
    return "{" + ", ".join(f"{name}={_quoted(labels[name])}" for name in sorted(labels)) + "}"


def _quoted(value: str) -> str:
    return (
        '"' + value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n").replace("\t", r"\t") + '"'
    )

"""What the routing does with given labels at an instant, and why: which routes take them, who is told, what keeps it
from being told. The page `/routing`, `setpoint alert route` and test files ask this; nothing is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from setpoint.alert.model import Labels
from setpoint.alert.route.matcher import Matcher, shown_matchers
from setpoint.alert.route.model import Route, Routing
from setpoint.resource.duration import shown_duration

__all__ = ["Asked", "Taken", "Trial", "route_json", "try_labels"]

Answer = Literal["takes", "passes down", "does not match", "not asked"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One route on the way: `depth` counts from the root, 0; `why` is a sentence."""

    route: Route
    depth: int
    answer: Answer
    why: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A route that takes the alert, and the receiver's channels; `muted_by` are the time intervals that hold it."""

    route: Route
    channels: tuple[str, ...]
    group_labels: Labels
    group_key: str
    muted_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """The whole answer. `receivers` are those that would be told, each once."""

    labels: Labels
    at_ms: int
    taken: tuple[Taken, ...]
    asked: tuple[Asked, ...]
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()

    @property
    def receivers(self) -> tuple[str, ...]:
        """Who would be told: nobody while it is silenced or inhibited, and no route that is muted."""
        if self.silenced_by or self.inhibited_by:
            return ()
        return tuple(dict.fromkeys(one.route.receiver for one in self.taken if not one.muted_by))

    @property
    def routed_to(self) -> tuple[str, ...]:
        """The receivers of the routes that take it, in order, whether they are told or not."""
        return tuple(dict.fromkeys(one.route.receiver for one in self.taken))

    @property
    def outcome(self) -> str:
        """In one sentence."""
        if self.inhibited_by:
            return f"nobody is told: inhibited by {_listed(self.inhibited_by)}"
        if self.silenced_by:
            return f"nobody is told: silenced by {_listed(self.silenced_by)}"
        told = [one for one in self.taken if not one.muted_by]
        if not told:
            muting = dict.fromkeys(name for one in self.taken for name in one.muted_by)
            return f"nobody is told now: muted by the time interval {_listed(tuple(muting))}"
        if not any(one.channels for one in told):
            return f"{_listed(self.receivers)} takes it, and has no channel: nobody is told"
        return f"{_listed(self.receivers)} is told"

    def as_json(self) -> dict[str, Any]:
        """For the API, the page and the command line."""
        return {
            "labels": dict(self.labels),
            "at_ms": self.at_ms,
            "outcome": self.outcome,
            "receivers": list(self.receivers),
            "silenced_by": list(self.silenced_by),
            "inhibited_by": list(self.inhibited_by),
            "routes": [
                {
                    **_own_json(one.route),
                    "channels": list(one.channels),
                    "group_labels": dict(one.group_labels),
                    "group_key": one.group_key,
                    "muted_by": list(one.muted_by),
                }
                for one in self.taken
            ],
            "asked": [
                {
                    "id": one.route.id,
                    "depth": one.depth,
                    "matchers": shown_matchers(one.route.matchers),
                    "receiver": one.route.receiver,
                    "answer": one.answer,
                    "why": one.why,
                    "line": one.route.line,
                }
                for one in self.asked
            ],
        }


def try_labels(
    routing: Routing,
    labels: Labels,
    at_ms: int,
    *,
    silenced_by: Sequence[str] = (),
    inhibited_by: Sequence[str] = (),
) -> Trial:
    """The answer for labels; who asks finds out what silences and inhibits them."""
    labels = {name: value for name, value in labels.items() if value}
    taken = tuple(
        Taken(
            route,
            tuple(one.key for one in routing.integrations(route.receiver)),
            route.group_labels(labels),
            route.group_key(labels),
            routing.muted_by(route, at_ms),
        )
        for route in routing.match(labels)
    )
    takers = {one.route.id for one in taken}
    asked = tuple(_ask(routing.route, labels, takers, 0))
    return Trial(labels, at_ms, taken, asked, tuple(silenced_by), tuple(inhibited_by))


def _ask(route: Route, labels: Labels, takers: set[str], depth: int) -> Iterable[Asked]:
    """A route and those below it as they are asked, each with its answer."""
    missed = [one for one in route.matchers if not one.matches(labels)]
    if missed:
        yield Asked(route, depth, "does not match", _why_not(missed[0], labels))
        return
    if route.id in takers:
        why = (
            "it is the root, which takes what no other route takes"
            if depth == 0
            else "all of its matchers match"
        )
        yield Asked(route, depth, "takes", f"{why}{', and none below it does' if route.routes else ''}")
    else:
        yield Asked(route, depth, "passes down", "a route below it matches")
    ended: Route | None = None
    for below in route.routes:
        if ended is not None:
            place = ended.id
            yield Asked(
                below, depth + 1, "not asked", f"route {place} before it matches and does not continue"
            )
            continue
        yield from _ask(below, labels, takers, depth + 1)
        if not below.continues and all(one.matches(labels) for one in below.matchers):
            ended = below


def _why_not(matcher: Matcher, labels: Labels) -> str:
    value = labels.get(matcher.name)
    return f"{matcher}, and the label {matcher.name} is {'missing' if value is None else repr(value)}"


def route_json(route: Route, routing: Routing, at_ms: int) -> dict[str, Any]:
    """A route with all below it."""
    return {
        **_own_json(route),
        "channels": [one.key for one in routing.integrations(route.receiver)],
        "muted_by": list(routing.muted_by(route, at_ms)),
        "routes": [route_json(below, routing, at_ms) for below in route.routes],
    }


def _own_json(route: Route) -> dict[str, Any]:
    return {
        "id": route.id,
        "key": route.key,
        "line": route.line,
        "receiver": route.receiver,
        "matchers": [str(one) for one in route.matchers],
        "group_by": ["..."] if route.group_by is None else list(route.group_by),
        "group_wait": shown_duration(route.group_wait_ms),
        "group_interval": shown_duration(route.group_interval_ms),
        "repeat_interval": shown_duration(route.repeat_interval_ms),
        "continue": route.continues,
        "mute_time_intervals": list(route.mute_intervals),
        "active_time_intervals": list(route.active_intervals),
    }


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)

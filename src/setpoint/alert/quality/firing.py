"""When alerts fired, when they ended, and who looked meanwhile, from the timeline's events; `noise` measures these.

One pass over the events in order of their instants. What is told twice (a restart, a repeated delivery) counts once:
an alert that fires already does not fire again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from setpoint.alert.model import Labels, fingerprint_of
from setpoint.timeline import Event

__all__ = ["KINDS", "Firing", "Mutes", "firings_of"]

KINDS = (
    "alert.fired",
    "alert.resolved",
    "alert.acknowledged",
    "alert.seen",
    "notification.sent",
    "silence.created",
)
"""The kinds of events that tell of firings and of who answered them."""

Mutes = Callable[[Mapping[str, Any]], Callable[[Labels], bool]]
"""From what an event tells of a silence: whether that holds for the labels of an alert."""


@dataclass(frozen=True, slots=True)
class Firing:
    """One alert from when it began to fire until it ended (None: it fires still); instants are Unix milliseconds.

    `rule` is what made it, `source` who brought it. `answered_ms` is when somebody first acknowledged it, silenced it
    or opened its page; None: nobody did before it ended. `is_told`: a notification named it. `has_runbook`: its
    annotations name one. `objective` is empty for what no objective made.
    """

    rule: str
    source: str
    identity: str
    service: str
    team: str
    severity: str
    started_ms: int
    ended_ms: int | None = None
    answered_ms: int | None = None
    is_told: bool = False
    has_runbook: bool = False
    objective: str = ""


@dataclass(slots=True)
class _Open:
    """A firing while the pass goes over it."""

    firing: Firing
    labels: Labels
    answered_ms: int | None = None
    is_told: bool = False

    def closed(self, ended_ms: int | None) -> Firing:
        return replace(self.firing, ended_ms=ended_ms, answered_ms=self.answered_ms, is_told=self.is_told)


def firings_of(events: Iterable[Event], owners: Mapping[str, str], mutes: Mutes) -> list[Firing]:
    """Every firing in order of its beginning. `owners` gives the team of a service, for alerts without a label `team`.

    One that ended without an event of its beginning begins where its end says it did, if it says so.
    """
    done: list[Firing] = []
    opened: dict[str, _Open] = {}
    lately: dict[str, int] = {}
    named: dict[str, str] = {}  # how the book calls alerts of objectives
    for event in sorted(events, key=lambda one: (one.at_ms, one.id)):
        data = event.data
        if event.kind == "alert.fired":
            identity = _identity(data)
            if identity and identity not in opened:
                begun = opened[identity] = _begun(event, identity, owners)
                if begun.firing.objective:
                    named[_fingerprint(tuple(begun.labels.items()))] = identity
        elif event.kind == "alert.resolved":
            identity = _identity(data)
            known = opened.pop(identity, None) or _unseen_begin(event, identity, owners)
            if known is not None:
                lately[identity] = len(done)
                done.append(known.closed(max(event.at_ms, known.firing.started_ms)))
        elif event.kind == "notification.sent":
            for told in _told(data, opened):
                name = named.get(told, told)
                if name in opened:
                    opened[name].is_told = True
                elif name in lately:  # it ended while its notification was on the way
                    done[lately[name]] = replace(done[lately[name]], is_told=True)
        else:
            for one in _answered(event, opened, named, mutes):
                one.answered_ms = event.at_ms if one.answered_ms is None else one.answered_ms
    done += [one.closed(None) for one in opened.values()]
    return sorted(done, key=lambda one: (one.started_ms, one.identity))


def _identity(data: Mapping[str, Any]) -> str:
    """Which alert an event is of: its fingerprint, or the policy of an objective where it has none."""
    fingerprint = data.get("fingerprint")
    if isinstance(fingerprint, str) and fingerprint:
        return fingerprint
    objective, policy = data.get("objective"), data.get("policy")
    return f"{objective}\0{policy}" if objective and policy else ""


def _begun(event: Event, identity: str, owners: Mapping[str, str], started_ms: int | None = None) -> _Open:
    data = event.data
    labels = _texts(data.get("labels"))
    objective = str(data.get("objective") or "") if data.get("policy") else ""
    team = labels.get("team", "").partition(",")[0]
    service = event.service or labels.get("service", "")
    if objective:  # as `notices` names it
        of_alert = {"alertname": data["policy"], "objective": objective, "severity": data.get("severity")}
        labels |= _texts(of_alert | {"service": service})
    return _Open(
        Firing(
            rule=f"{objective}: {data['policy']}"
            if objective
            else labels.get("alertname", "") or "(no name)",
            source="objective" if objective else str(data.get("source") or ""),
            identity=identity,
            service=service,
            team=team or owners.get(service, ""),
            severity=str(data.get("severity") or labels.get("severity", "")).lower(),
            started_ms=event.at_ms if started_ms is None else started_ms,
            has_runbook=_has_runbook(data),
            objective=objective,
        ),
        labels,
    )


def _unseen_begin(event: Event, identity: str, owners: Mapping[str, str]) -> _Open | None:
    """A firing whose beginning was told before what is read begins."""
    since = next((event.data.get(name) for name in ("starts_ms", "since_ms")), None)
    since = event.data.get("since_ms") if since is None else since
    if not identity or isinstance(since, bool) or not isinstance(since, int):
        return None
    return _begun(event, identity, owners, min(since, event.at_ms))


def _texts(labels: object) -> dict[str, str]:
    """Labels of an event; those of objectives hold lists."""
    found = labels if isinstance(labels, Mapping) else {}
    return {
        str(name): ",".join(map(str, value)) if isinstance(value, list) else str(value)
        for name, value in found.items()
        if value
    }


@lru_cache(maxsize=16_384)
def _fingerprint(labels: tuple[tuple[str, str], ...]) -> str:
    return fingerprint_of(dict(labels))


def _has_runbook(data: Mapping[str, Any]) -> bool:
    annotations = data.get("annotations")
    found = annotations if isinstance(annotations, Mapping) else data
    return bool(found.get("runbook_url") or found.get("runbook"))


def _told(data: Mapping[str, Any], opened: Mapping[str, _Open]) -> Sequence[str]:
    """The alerts that a notification told of. It names the first only: of a large group all that fire were in it."""
    alerts, number = data.get("alerts"), data.get("firing")
    named = [str(name) for name in alerts] if isinstance(alerts, list) else []
    if not isinstance(number, int) or number <= len(named):
        return named
    group = _texts(data.get("group_labels")).items()
    return [*named, *(name for name, one in opened.items() if group <= one.labels.items())]


def _answered(
    event: Event, opened: Mapping[str, _Open], named: Mapping[str, str], mutes: Mutes
) -> list[_Open]:
    """The firings that somebody answered by this event."""
    if event.kind == "silence.created":
        holds = mutes(event.data)
        return [one for one in opened.values() if one.labels and holds(one.labels)]
    identity = _identity(event.data)
    known = opened.get(named.get(identity, identity))
    return [] if known is None else [known]

"""Keeps what the timeline told of alerts lately, so that noise is measured without reading months of it each time.

Pages ask `measure`; only what was told since the last question is read then. An event may become readable after one
with a higher id (two writers of one database), so the last ones are read again, and known ids left out.
"""

from __future__ import annotations

import json
import threading
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from sys import intern
from typing import Any

from setpoint.alert.model import Labels
from setpoint.alert.quality.firing import KINDS, Firing, firings_of
from setpoint.alert.quality.noise import Habits, Noise, measure
from setpoint.alert.silence.rows import silence_of_event
from setpoint.clock import Clock
from setpoint.database import StateDatabase, load_queries
from setpoint.errors import SetpointError
from setpoint.timeline import Event

__all__ = ["DAYS_MAX", "NoiseBook", "Teams"]

DAYS_MAX = 28
"""The longest window."""

_SQL = load_queries("setpoint.alert.quality")
_DAY_MS = 86_400_000
_KEPT_MS = (DAYS_MAX + 7) * _DAY_MS
"""What fired in the week before the window tells what fired again in it."""

_AT_ONCE = 2000
_OVERLAP = 500
RESOLVED = "alert.resolved"
_OF_ALERTS = ("alert.fired", RESOLVED)
_RUNBOOKS = ("runbook_url", "runbook")
_NEEDED = frozenset(
    {
        "fingerprint",
        "objective",
        "policy",
        "labels",
        "source",
        "severity",
        "starts_ms",
        "since_ms",
        "annotations",
    }
    | {
        "runbook",
        "runbook_url",
        "firing",
        "alerts",
        "group_labels",
        "matchers",
        "starts",
        "ends",
        "ends_ms",
        "recurrence",
    }
)


@dataclass(frozen=True, slots=True)
class Teams:
    """The team of each service that has one, and the time zone of each team."""

    owners: Mapping[str, str]
    zones: Mapping[str, str]


class NoiseBook:
    """Measures the noise of a server; safe to use from several threads."""

    def __init__(self, database: StateDatabase, clock: Clock, teams: Callable[[], Teams]) -> None:
        self._database = database
        self._clock = clock
        self._teams = teams
        self._guard = threading.Lock()
        self._events: dict[int, Event] = {}
        self._common: dict[str, dict[str, Any]] = {}
        self._read_to = dict.fromkeys(KINDS, 0)
        self._firings: tuple[object, list[Firing]] = (None, [])
        self._version = 0

    def measure(
        self, days: int, *, habits: Habits | None = None, team: str | None = None, service: str | None = None
    ) -> Noise:
        """The noise of the last days (1 to 28), of all alerts or those of a team or a service. Raises Unavailable."""
        teams = self._teams()
        now_ms = self._clock.now_ms()
        firings = self._known(teams, now_ms)
        chosen = [
            one
            for one in firings
            if (team is None or one.team == team) and (service is None or one.service == service)
        ]
        habits = replace(habits or Habits(), zones=teams.zones)
        since_ms = now_ms - min(max(days, 1), DAYS_MAX) * _DAY_MS
        # Of a team of which nobody was told, while others were paged, no firing is a page: as on the page of all.
        is_anybody_told = any(one.is_told and since_ms < one.started_ms <= now_ms for one in firings)
        return measure(chosen, since_ms, now_ms, habits, is_anybody_told=is_anybody_told)

    def _known(self, teams: Teams, now_ms: int) -> list[Firing]:
        with self._guard:
            self._catch_up(now_ms - _KEPT_MS)
            basis = (self._version, dict(teams.owners))
            if self._firings[0] != basis:
                self._firings = (basis, firings_of(self._events.values(), teams.owners, _muted_by))
            return self._firings[1]

    def _catch_up(self, since_ms: int) -> None:
        """Read what was told since the last time, forget what is too old."""
        with self._database.read() as transaction:
            for kind in KINDS:
                after_id = max(0, self._read_to[kind] - _OVERLAP)
                while True:
                    rows = transaction.rows(
                        _SQL["events_of_kind"],
                        kind=kind,
                        after_id=after_id,
                        since_ms=since_ms,
                        limit=_AT_ONCE,
                    )
                    for row in rows:
                        if row["id"] not in self._events:
                            self._events[row["id"]] = _slim(row, self._common)
                            self._version += 1
                    if rows:
                        after_id = rows[-1]["id"]
                        self._read_to[kind] = max(self._read_to[kind], after_id)
                    if len(rows) < _AT_ONCE:
                        break
        old = [number for number, event in self._events.items() if event.at_ms <= since_ms]
        for number in old:
            del self._events[number]
        if old:
            self._common = {}  # what still fires is found again with its next event
        self._version += bool(old)


def _muted_by(data: Mapping[str, Any]) -> Callable[[Labels], bool]:
    """What the silence of an event holds for; nothing, where it cannot be read any more."""
    try:
        return silence_of_event(data).matches
    except (SetpointError, TypeError, ValueError, KeyError):
        return lambda _: False


def _slim(row: Mapping[str, Any], known: dict[str, dict[str, Any]]) -> Event:
    """An event with what is measured of it. What all firings of an alert have in common is kept once, in `known`."""
    data = json.loads(row["data"])
    kept = {name: data[name] for name in _NEEDED & data.keys()}
    annotations = kept.get("annotations")
    if isinstance(annotations, dict):
        kept["annotations"] = {name: "-" for name in _RUNBOOKS if annotations.get(name)}
    since = {name: kept.pop(name) for name in ("starts_ms", "since_ms") if name in kept}
    identity = str(kept.get("fingerprint") or "")
    shared = known.setdefault(identity, kept) if identity and row["kind"] in _OF_ALERTS else kept
    kept = shared if shared == kept else kept
    told: Mapping[str, Any] = ChainMap(since, kept) if since and row["kind"] == RESOLVED else kept
    words = {name: intern(row[name]) for name in ("kind", "service", "actor")}
    return Event(**{**row, **words, "summary": "", "key": None, "data": told})

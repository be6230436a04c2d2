"""The incidents of the timeline, and what each spent of the budgets of its service.

Whoever runs incidents tells the timeline `incident.opened` and `incident.resolved`, both with the same `id` in their
data; `PolicyBoard` asks here. What an incident spent are the bad events between the two, as a part of what the
objective's window allows; it is counted anew while it is open and for ten minutes after, because samples come late.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from setpoint.clock import Clock
from setpoint.errors import SetpointError
from setpoint.objective.model import Objective
from setpoint.objective.past import Past
from setpoint.objective.policy.facts import Share
from setpoint.objective.policy.model import Incident
from setpoint.timeline import Event, Timeline

__all__ = ["OPENED", "RESOLVED", "Incidents"]

logger = logging.getLogger(__name__)

OPENED, RESOLVED = "incident.opened", "incident.resolved"
_KEPT_MS: Final = 92 * 86_400_000
_PAGE, _PAGES = 1000, 10
_LATE_MS: Final = 600_000


class Incidents:
    """See above; safe to use from several threads."""

    def __init__(self, timeline: Timeline, clock: Clock) -> None:
        """`load` reads those that there are; new ones are heard."""
        self._timeline, self._clock = timeline, clock
        self._guard = threading.Lock()
        self._known: dict[str, Incident] = {}
        self._final: dict[tuple[str, str], Share] = {}
        timeline.subscribe(self._hear)

    def load(self) -> None:
        """Read the incidents of the last three months. Raises Unavailable."""
        since_ms, before_id = self._clock.now_ms() - _KEPT_MS, None
        found: list[Event] = []
        for _ in range(_PAGES):
            page = self._timeline.query(
                kinds=[OPENED, RESOLVED], since_ms=since_ms, before_id=before_id, limit=_PAGE
            )
            found += page
            if len(page) < _PAGE:
                break
            before_id = page[-1].id
        for event in reversed(found):
            self._hear(event)

    def recent(self) -> tuple[Incident, ...]:
        """Those that are open, or began within the last three months; by when they began."""
        oldest_ms = self._clock.now_ms() - _KEPT_MS
        with self._guard:
            for key in [
                key for key, one in self._known.items() if one.resolved_ms and one.opened_ms < oldest_ms
            ]:
                del self._known[key]
            return tuple(sorted(self._known.values(), key=lambda one: (one.opened_ms, one.id)))

    def shares(
        self, incidents: Iterable[Incident], objectives: Mapping[str, Iterable[Objective]], past: Past
    ) -> dict[tuple[str, str], Share]:
        """What each incident spent of each of `objectives` (by service); what cannot be read is left out."""
        found: dict[tuple[str, str], Share] = {}
        for incident in incidents:
            for objective in objectives.get(incident.service, ()):
                share = self._share(incident, objective, past)
                if share is not None:
                    found[incident.id, objective.name] = share
        return found

    def _share(self, incident: Incident, objective: Objective, past: Past) -> Share | None:
        key, now_ms = (incident.id, objective.name), self._clock.now_ms()
        if (kept := self._final.get(key)) is not None:
            return kept
        end_ms = now_ms if incident.resolved_ms is None else incident.resolved_ms
        try:
            slots = past.events(objective.name, incident.opened_ms, end_ms)
        except SetpointError as error:
            logger.warning("what incident %s spent is not known: %s", incident.id, error.message)
            return None
        total = float(past.recent([objective], np.array([objective.window_s]))[1, 0])
        if np.isnan(total):
            return None
        bad = float(np.sum(slots.total - slots.good, where=slots.present))
        share = Share(bad, total * objective.allowed_ratio)
        if incident.resolved_ms is not None and now_ms > incident.resolved_ms + _LATE_MS:
            self._final[key] = share
        return share

    def _hear(self, event: Event) -> None:
        if event.kind not in (OPENED, RESOLVED):
            return
        name = str(event.data.get("id") or event.id)
        with self._guard:
            known = self._known.get(name)
            if event.kind == RESOLVED:
                if known is not None:
                    self._known[name] = replace(known, resolved_ms=max(event.at_ms, known.opened_ms))
                return
            title = str(event.data.get("title") or event.summary)
            self._known[name] = Incident(name, event.service, event.at_ms, None, title)

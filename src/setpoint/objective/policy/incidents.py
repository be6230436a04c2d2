"""The incidents of the timeline, and what each spent of the budgets of its service.

Whoever runs incidents tells the timeline `incident.opened` and `incident.resolved`, both with the same `id` in their
data; `PolicyBoard` asks here. What an incident spent are the bad events between the two, as a part of what the
objective's window allows; it is counted anew while it is open and for ten minutes after, because samples come late.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from setpoint.clock import Clock
from setpoint.errors import SetpointError
from setpoint.objective.live import slot_of
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
        by_service: dict[str, list[Incident]] = {}
        for incident in incidents:
            by_service.setdefault(incident.service, []).append(incident)
        found: dict[tuple[str, str], Share] = {}
        for service, some in by_service.items():
            for objective in objectives.get(service, ()):
                found |= self._shares_of(objective, some, past)
        return found

    def _shares_of(
        self, objective: Objective, incidents: Sequence[Incident], past: Past
    ) -> dict[tuple[str, str], Share]:
        """What incidents spent of one objective: its minutes are read once for all that are not known yet."""
        found: dict[tuple[str, str], Share] = {}
        waiting: list[Incident] = []
        for one in incidents:
            kept = self._final.get((one.id, objective.name))
            if kept is None:
                waiting.append(one)
            else:
                found[one.id, objective.name] = kept
        if not waiting:
            return found
        now_ms = self._clock.now_ms()
        ends_ms = [now_ms if one.resolved_ms is None else one.resolved_ms for one in waiting]
        try:
            slots = past.events(objective.name, min(one.opened_ms for one in waiting), max(ends_ms))
        except SetpointError as error:
            logger.warning("what incidents spent of %s is not known: %s", objective.name, error.message)
            return found
        total = float(past.recent([objective], np.array([objective.window_s]))[1, 0])
        if np.isnan(total):
            return found
        sums = np.concatenate(([0.0], np.cumsum(np.where(slots.present, slots.total - slots.good, 0.0))))
        for one, end_ms in zip(waiting, ends_ms, strict=True):
            edges = np.array([slot_of(one.opened_ms + 1), slot_of(end_ms) + 1]) - slots.first
            first, end = np.clip(edges, 0, len(slots.total)).tolist()
            share = Share(float(sums[max(first, end)] - sums[first]), total * objective.allowed_ratio)
            found[one.id, objective.name] = share
            if one.resolved_ms is not None and now_ms > one.resolved_ms + _LATE_MS:
                self._final[one.id, objective.name] = share
        return found

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

"""Puts changes of objectives' states on the timeline; after a restart only those that differ from what stands there.

`app` makes one: the book calls `record` for what is new, and `read` once at its start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from setpoint.objective.model import ObjectiveStatus, State
from setpoint.objective.overview import STATES
from setpoint.timeline import SUMMARY_MAX, Timeline

__all__ = ["StateLog"]

_STATE_PAGES, _STATES_READ = 50, 1000


class StateLog:
    """See above."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._states: dict[str, State] = {}

    def read(self) -> Mapping[str, State]:
        """The last state of each objective that the timeline tells."""
        before_id: int | None = None
        for _ in range(_STATE_PAGES):
            events = self._timeline.query(kinds=["objective.state"], before_id=before_id, limit=_STATES_READ)
            for event in events:
                if event.data.get("state") in STATES:
                    self._states.setdefault(str(event.data.get("objective")), event.data["state"])
            if len(events) < _STATES_READ:
                break
            before_id = events[-1].id
        return dict(self._states)

    def record(self, status: ObjectiveStatus, previous: ObjectiveStatus | None) -> None:
        """Append a change of state."""
        before = previous.state if previous else self._states.get(status.name)
        told = status.reason if status.reason.startswith(status.state) else f"{status.state}: {status.reason}"
        summary = f"{status.name} is {told}"
        self._timeline.append(
            "objective.state",
            summary if len(summary) <= SUMMARY_MAX else summary[: SUMMARY_MAX - 1] + "…",
            service=status.service,
            at_ms=status.evaluated_at_ms,
            data={
                "objective": status.name,
                "state": status.state,
                "before": before,
                "budget_left": status.budget_left,
                "good": status.good,
                "total": status.total,
                "target": status.target,
                "burn": [asdict(burn) for burn in status.burn],
                "explanation": status.explanation,
                "reason": status.reason,
            },
        )
        self._states[status.name] = status.state

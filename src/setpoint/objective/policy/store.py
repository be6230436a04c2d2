"""Which rules are in force, as far as the timeline tells: rows that are written together with the events that tell it.

So a restart neither forgets that a service is frozen nor tells it twice. `PolicyBoard` is the only writer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.database import StateDatabase, load_queries
from setpoint.timeline import Event, Timeline

__all__ = ["Change", "Hold", "HoldStore", "Told"]

_SQL = load_queries("setpoint.objective.policy")


@dataclass(frozen=True, slots=True)
class Hold:
    """A rule that is in force for an objective."""

    policy: str
    rule: str
    objective: str
    service: str
    releases: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Told:
    """An event to be written."""

    kind: str
    summary: str
    service: str
    data: dict[str, Any]
    at_ms: int


@dataclass(frozen=True, slots=True)
class Change:
    """What begins and ends for a rule and a service, and the events that tell it."""

    begun: tuple[Hold, ...]
    ended: tuple[Hold, ...]
    events: tuple[Told, ...]


class HoldStore:
    """See above."""

    def __init__(self, database: StateDatabase, timeline: Timeline, lock: str) -> None:
        """`lock` is held while events are written that webhooks follow by their ids."""
        self._database, self._timeline, self._lock = database, timeline, lock

    def read(self) -> list[Hold]:
        """All holds. Raises Unavailable."""
        with self._database.read() as transaction:
            return [Hold(**row) for row in transaction.rows(_SQL["holds"])]

    def write(self, changes: Sequence[Change]) -> None:
        """Store changes and tell them, all or nothing. Raises Unavailable."""
        events: list[Event] = []
        with self._database.begin() as transaction:
            transaction.lock(self._lock)
            for change in changes:
                for hold in change.ended:
                    transaction.execute(
                        _SQL["drop_hold"], policy=hold.policy, rule=hold.rule, objective=hold.objective
                    )
                for hold in change.begun:
                    transaction.execute(
                        _SQL["add_hold"],
                        policy=hold.policy,
                        rule=hold.rule,
                        objective=hold.objective,
                        service=hold.service,
                        releases=hold.releases,
                        since_ms=hold.since_ms,
                    )
                events += [
                    self._timeline.record(
                        transaction,
                        one.kind,
                        one.summary,
                        service=one.service,
                        data=one.data,
                        at_ms=one.at_ms,
                    )
                    for one in change.events
                ]
        self._timeline.publish(events)

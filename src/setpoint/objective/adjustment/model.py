"""What an adjustment is: which objectives, when, and what is done to what was counted then.

`declared` makes them of documents; `plan` says what they mean for a list of objectives. Time is in whole minutes since
1970, as in ledgers: minute i covers the left-open stretch (i, i + 1] × 60 s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from setpoint.objective.model import Objective
from setpoint.resource.recurrence import Recurrence, Span

__all__ = ["Action", "Adjustment", "Choice", "Correction", "Recurrence", "Span"]

Action = Literal["exclude", "good"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which objectives: all of the conditions that are given must hold, and `is_all` is that none is."""

    is_all: bool = False
    objectives: tuple[str, ...] = ()
    slos: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def chooses(self, one: Objective) -> bool:
        """Whether an objective is among them."""
        named = (
            (self.objectives, one.name),
            (self.slos, one.slo),
            (self.services, one.service),
        )
        return all(not wanted or name in wanted for wanted, name in named) and all(
            set(values) & set(one.labels.get(key, ())) for key, values in self.labels.items()
        )


@dataclass(frozen=True, slots=True)
class Correction:
    """Events that are added (or, negative, taken away) in some minutes, shared among them: see `correct`."""

    first: int
    end: int
    good: float
    bad: float


@dataclass(frozen=True, slots=True)
class Adjustment:
    """One of `once`, `recurrence` and `correction` is set; `action` and `per_objective` belong to the first two."""

    name: str
    reason: str
    choice: Choice
    action: Action = "exclude"
    per_objective: Mapping[str, Action] = field(default_factory=dict)
    once: Span | None = None
    recurrence: Recurrence | None = None
    correction: Correction | None = None
    link: str = ""
    display_name: str = ""
    description: str = ""

    def action_for(self, objective: str) -> Action:
        """What is done with the time of an objective."""
        return self.per_objective.get(objective, self.action)

    @property
    def kind(self) -> Literal["once", "recurring", "correction"]:
        """How it lies in time."""
        if self.correction is not None:
            return "correction"
        return "once" if self.once is not None else "recurring"

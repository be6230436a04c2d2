"""Where an SLA stands: frozen values that `decide` makes. Ratios are between 0 and 1, instants Unix milliseconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["PromiseStatus", "SlaPeriod", "SlaState", "SlaStatus", "Tier"]

SlaState = Literal["kept", "at risk", "broken", "don't know"]


@dataclass(frozen=True, slots=True)
class Tier:
    """`credit` (a part of the fee) is owed when the SLI is below `below`."""

    below: float
    credit: float


@dataclass(frozen=True, slots=True)
class PromiseStatus:
    """One promised objective in a period.

    `unseen_minutes` had no data, though nobody took them out; they would have held about `unseen` events. `lowest` and
    `highest` are the SLI if all of these were bad, or good. `credit` is owed for what is known (while the period lasts:
    if it ended now), `credit_highest` if all that is unseen was bad. `allowed` of all events of the period may be bad;
    while it lasts, of so many as there will be at this pace (`expected`).
    """

    objective: str
    target: float
    state: SlaState
    reason: str
    sli: float | None
    lowest: float | None
    highest: float | None
    good: float
    total: float
    bad: float
    expected: float
    allowed: float
    unseen_minutes: int
    excluded_minutes: int
    unseen: float
    credit: float
    credit_highest: float
    formula: str


@dataclass(frozen=True, slots=True)
class SlaPeriod:
    """A month or quarter, `label` as people call it: (start_ms, end_ms], looked at until `until_ms`; the worst promise
    makes the state, the highest credit is owed.
    """

    label: str
    start_ms: int
    end_ms: int
    until_ms: int
    state: SlaState
    credit: float
    credit_highest: float
    promises: tuple[PromiseStatus, ...]

    @property
    def is_over(self) -> bool:
        """Nothing that happens changes it any more, only data that comes late."""
        return self.until_ms >= self.end_ms


@dataclass(frozen=True, slots=True)
class SlaStatus:
    """An SLA with its periods, the running one first."""

    name: str
    display_name: str
    description: str
    service: str
    customer: str
    period: str
    time_zone: str
    periods: tuple[SlaPeriod, ...]

"""What a report says: frozen values that `compile_report` fills, pages and files show, and `store` keeps.

Ratios are between 0 and 1, instants Unix milliseconds. None where there were no events: nothing is a good value then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from setpoint.report.period import Period

__all__ = ["AlertCount", "CauseLine", "Happening", "ObjectiveLine", "Report", "Scope", "Verdict"]

Verdict = Literal["kept", "missed", "don't know", "no data"]


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose report it is; `name` is empty for the whole organisation."""

    kind: Literal["organisation", "team", "service"]
    name: str = ""

    @property
    def words(self) -> str:
        """As a heading says it."""
        return "everything" if self.kind == "organisation" else f"the {self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class ObjectiveLine:
    """An objective over the period: `sli` = good / total, `allowed` = total × (1 − target), `used` = bad / allowed.

    `left_before` and `left_after` are what was left of the budget of its own window when the period began and ended (or
    now). Of the `minutes` since the objective was first counted, without those that an adjustment left out,
    `unseen_minutes` had no data: so many that what happened in them decides is *don't know*.
    """

    name: str
    display_name: str
    service: str
    team: str
    target: float
    window_s: int
    verdict: Verdict
    sli: float | None
    bad: float
    total: float
    allowed: float
    used: float | None
    left_before: float | None
    left_after: float | None
    unseen_minutes: int
    minutes: int


@dataclass(frozen=True, slots=True)
class AlertCount:
    """How often an alert policy told somebody; `at_night` of these between 22:00 and 06:00."""

    objective: str
    policy: str
    severity: str
    fired: int
    at_night: int


@dataclass(frozen=True, slots=True)
class CauseLine:
    """What bad events are put down to, over all objectives of the report; `share` of all that were bad."""

    cause: str
    kind: str
    service: str
    objective: str
    bad: float
    share: float
    event: int | None
    at_ms: int | None


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened: an event of the timeline, as one line."""

    id: int
    at_ms: int
    kind: str
    service: str
    summary: str


@dataclass(frozen=True, slots=True)
class Report:
    """See above. `until_ms` is before the period's end while it lasts; the lines are worst first."""

    scope: Scope
    period: Period
    made_ms: int
    until_ms: int
    services: tuple[str, ...]
    objectives: tuple[ObjectiveLine, ...]
    alerts: tuple[AlertCount, ...]
    causes: tuple[CauseLine, ...]
    happened: tuple[Happening, ...]
    counts: Mapping[str, int]
    """How many of the period's events had each kind."""

    @property
    def is_final(self) -> bool:
        """The period is over."""
        return self.until_ms >= self.period.end_ms

    @property
    def verdicts(self) -> Mapping[Verdict, int]:
        """How many objectives were kept, missed, or cannot be judged."""
        found: dict[Verdict, int] = {"kept": 0, "missed": 0, "don't know": 0, "no data": 0}
        for line in self.objectives:
            found[line.verdict] += 1
        return found

    @property
    def pages(self) -> int:
        """How often somebody was paged."""
        return sum(one.fired for one in self.alerts if one.severity == "page")

    @property
    def night_pages(self) -> int:
        """How many of these at night."""
        return sum(one.at_night for one in self.alerts if one.severity == "page")

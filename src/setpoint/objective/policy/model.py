"""Policies as the program has them: frozen values, which can be written into an event and read back from it.

`resolve` makes them from documents; `evaluate` and `decide` judge by them. Ratios are between 0 and 1, durations
seconds, instants Unix milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from setpoint.objective.model import Target

__all__ = [
    "CHANGES",
    "FREE",
    "STRICTNESS",
    "Change",
    "Condition",
    "Incident",
    "Kind",
    "Policy",
    "PolicyException",
    "Releases",
    "Rule",
    "Selection",
    "stops",
]

Change = Literal["feature", "fix", "security"]
Releases = Literal["", "review", "fixesOnly", "freeze"]
Kind = Literal[
    "remainingBudget",
    "budgetSpent",
    "burnRate",
    "timeToExhaustion",
    "state",
    "noData",
    "openIncidents",
    "incidentSpent",
    "inForceFor",
]
Operator = Literal["<", "<=", ">", ">=", "in"]

CHANGES: Final[tuple[Change, ...]] = ("feature", "fix", "security")
FREE: Final[Releases] = ""
STRICTNESS: Final[Mapping[str, int]] = {"": 0, "review": 1, "fixesOnly": 2, "freeze": 3}
"""What a rule does to releases, from nothing to everything."""


def stops(releases: str, change: str, reviewed: bool) -> bool:
    """Whether a change is held by what a rule does to releases. What is stricter holds all that is held by less."""
    if releases == "freeze":
        return True
    if change != "feature":
        return False
    return releases == "fixesOnly" or (releases == "review" and not reviewed)


@dataclass(frozen=True, slots=True)
class Condition:
    """A measured value compared with a threshold; `over_s` is the stretch of time that it is measured over, 0 for none.

    `states` instead of a threshold where `kind` is state.
    """

    kind: Kind
    op: Operator
    threshold: float = 0.0
    over_s: int = 0
    states: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """When all of `when` hold for an objective, it is in force for the objective's service, until all of `until` hold
    (without any: until `when` does not hold any more).
    """

    name: str
    when: tuple[Condition, ...]
    until: tuple[Condition, ...] = ()
    releases: Releases = FREE
    notify: tuple[str, ...] = ()
    postmortem: bool = False
    description: str = ""

    @property
    def strictness(self) -> int:
        """What it does to releases, as a number: 0 nothing, 3 stops all."""
        return STRICTNESS[self.releases]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objectives a policy looks at; None selects all. `services` are those of the named teams, too."""

    services: frozenset[str] | None = None
    teams: frozenset[str] | None = None
    labels: tuple[tuple[str, frozenset[str]], ...] = ()
    objectives: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules for some objectives. `ignores_no_data`: objectives without data are left out while others have some.

    `targets` are those that its rules name in `notify`.
    """

    name: str
    rules: tuple[Rule, ...]
    ignores_no_data: bool = False
    display_name: str = ""
    description: str = ""
    selection: Selection = field(default_factory=Selection)
    targets: tuple[Target, ...] = ()
    is_default: bool = False
    """Its rules are those of the SRE workbook, because the document writes none."""

    def as_json(self) -> dict[str, Any]:
        """What is needed to judge by it again."""
        return {
            "name": self.name,
            "ignores_no_data": self.ignores_no_data,
            "rules": [asdict(rule) for rule in self.rules],
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Policy:
        """What `as_json` wrote, also after it was written as text."""
        return cls(
            name=str(given["name"]),
            ignores_no_data=bool(given["ignores_no_data"]),
            rules=tuple(_rule(one) for one in given["rules"]),
        )


def _rule(given: Mapping[str, Any]) -> Rule:
    return Rule(
        name=given["name"],
        when=tuple(_condition(one) for one in given["when"]),
        until=tuple(_condition(one) for one in given["until"]),
        releases=given["releases"],
        notify=tuple(given["notify"]),
        postmortem=given["postmortem"],
        description=given["description"],
    )


def _condition(given: Mapping[str, Any]) -> Condition:
    return Condition(
        given["kind"], given["op"], float(given["threshold"]), int(given["over_s"]), tuple(given["states"])
    )


@dataclass(frozen=True, slots=True)
class PolicyException:
    """What a person allowed although a policy says otherwise; empty tuples mean all. It ends at `until_ms`."""

    name: str
    approved_by: str
    reason: str
    until_ms: int
    from_ms: int = 0
    services: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()

    def is_current(self, at_ms: int) -> bool:
        """Whether it has begun and not ended."""
        return self.from_ms <= at_ms < self.until_ms

    def covers(self, *, policy: str, service: str, change: str, version: str) -> bool:
        """Whether it sets `policy` aside for this change."""
        return (
            (not self.services or service in self.services)
            and (not self.policies or policy in self.policies)
            and (not self.changes or change in self.changes)
            and (not self.versions or version in self.versions)
        )

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> PolicyException:
        """What `as_json` wrote, also after it was written as text."""
        return cls(
            name=given["name"],
            approved_by=given["approved_by"],
            reason=given["reason"],
            until_ms=int(given["until_ms"]),
            from_ms=int(given["from_ms"]),
            services=tuple(given["services"]),
            policies=tuple(given["policies"]),
            changes=tuple(given["changes"]),
            versions=tuple(given["versions"]),
        )


@dataclass(frozen=True, slots=True)
class Incident:
    """An incident of the timeline; `resolved_ms` is None while it is open."""

    id: str
    service: str
    opened_ms: int
    resolved_ms: int | None = None
    title: str = ""

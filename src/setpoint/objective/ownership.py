"""Which team answers for which service, from the documents; `resolve` labels objectives with it, pages and reports are
narrowed by it. `refer_team` and `advise_team` are what can be wrong between a team and the other documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from setpoint.errors import Problem
from setpoint.objective.spec.service import Service
from setpoint.objective.spec.slo import Slo
from setpoint.objective.spec.team import Team
from setpoint.resource import Document
from setpoint.resource.registry import Catalogue

__all__ = ["Ownership", "advise_team", "refer_team"]


@dataclass(frozen=True, slots=True)
class Ownership:
    """`teams` by name, `owners` the team's name by service."""

    teams: Mapping[str, Team] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, specs: Iterable[object]) -> Ownership:
        """From the models of whole documents, of any kind."""
        teams = {spec.metadata.name: spec for spec in specs if isinstance(spec, Team)}
        owners = {service: name for name, team in sorted(teams.items()) for service in team.spec.services}
        return cls(teams, owners)

    def parts_of(self, team: str) -> tuple[str, ...]:
        """A team and all teams that are part of it, by name; empty when there is no such team."""
        found: set[str] = set()
        waiting = [team] if team in self.teams else []
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting += [other for other, one in self.teams.items() if one.spec.part_of == name]
        return tuple(sorted(found))

    def services_of(self, team: str) -> tuple[str, ...]:
        """The services of a team and of those that are part of it, by name."""
        return tuple(
            sorted(service for one in self.parts_of(team) for service in self.teams[one].spec.services)
        )


def refer_team(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    """Services that have an owner already, and a `partOf` that leads nowhere or round in a circle."""
    team = document.spec
    if not isinstance(team, Team):
        return
    for other in catalogue.values():
        if isinstance(other.spec, Team) and other.name < document.name:
            for number, service in enumerate(team.spec.services):
                if service in other.spec.spec.services:
                    yield document.problem(
                        f"the service '{service}' belongs to the team '{other.name}' already; a service has one owner: "
                        "take it from one of them",
                        "spec",
                        "services",
                        number,
                    )
    above = team.spec.part_of
    if above is None:
        return
    seen = {document.name}
    name: str | None = above
    while name is not None and name not in seen:
        seen.add(name)
        found = catalogue.get(("Team", name))
        if found is None or not isinstance(found.spec, Team):
            message = f"there is no Team '{name}'; apply one of that name, with this one or before it"
            if name == above:
                yield document.problem(message, "spec", "partOf")
            return
        name = found.spec.spec.part_of
    if name == document.name:
        message = f"the team is a part of itself, by way of '{above}'; leave partOf out of one of them"
        yield document.problem(message, "spec", "partOf")


def advise_team(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    """Services that nothing else knows."""
    team = document.spec
    if not isinstance(team, Team):
        return
    known = {one.name for one in catalogue.values() if isinstance(one.spec, Service)}
    known |= {one.spec.spec.service for one in catalogue.values() if isinstance(one.spec, Slo)}
    for number, service in enumerate(team.spec.services):
        if service not in known:
            message = f"nothing else here knows a service '{service}': no Service, no SLO; is it spelt so?"
            yield document.problem(message, "spec", "services", number)

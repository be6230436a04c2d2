"""The resource kind `Team` of setpoint/v1: who answers for which services.

`ownership` reads it: the objectives of a team's services carry the label `team`, so that lists, alerts, policies and
reports can be narrowed to them.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, field_validator

from setpoint.objective.spec.fields import Name, zone
from setpoint.resource import Metadata, Part

__all__ = ["TEAM_VERSION", "Member", "Team"]

TEAM_VERSION: Final = "setpoint/v1"


class Member(Part):
    """A person of a team."""

    name: Annotated[str, Field(min_length=1, max_length=100)] = Field(description="As people call them.")
    email: Annotated[str, Field(max_length=254)] = Field(
        default="", description="Where they read mail; for people, nothing is sent by it."
    )

    @field_validator("email")
    @classmethod
    def _address(cls, value: str) -> str:
        if value and (value.count("@") != 1 or value.startswith("@") or value.endswith("@")):
            raise ValueError(f"'{value}' is no mail address; write one such as ann@example.org")
        return value


class _TeamSpec(Part):
    description: Annotated[str, Field(max_length=1050)] = Field(
        default="", description="What the team does, in a sentence."
    )
    services: Annotated[list[Name], Field(max_length=1000)] = Field(
        default_factory=list, description="The services that it owns; a service has one owner."
    )
    members: Annotated[list[Member], Field(max_length=1000)] = Field(
        default_factory=list, description="Who belongs to it."
    )
    contact: Annotated[str, Field(max_length=300)] = Field(
        default="", description="Where others reach it: a chat channel, a mail address or a page."
    )
    part_of: Name | None = Field(
        default=None, description="The team that it is a part of; that one's views and reports hold it, too."
    )
    time_zone: Annotated[str, AfterValidator(zone)] = Field(
        default="UTC", description="By whose clock its weeks begin and its nights are counted: Europe/Berlin."
    )

    @field_validator("services")
    @classmethod
    def _once(cls, value: list[str]) -> list[str]:
        twice = sorted({name for name in value if value.count(name) > 1})
        if twice:
            raise ValueError(f"'{twice[0]}' stands here twice; write each service once")
        return value


class Team(Part):
    """Who answers for which services."""

    api_version: Literal["setpoint/v1"] = TEAM_VERSION
    kind: Literal["Team"] = "Team"
    metadata: Metadata
    spec: _TeamSpec

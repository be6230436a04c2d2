"""The resource kind `Report` of setpoint/v1: which reports are made by themselves when their period ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from setpoint.errors import Problem
from setpoint.report.from_objective import Name, Service, Slo, Team, zone
from setpoint.resource import Document, Metadata, Part, Registry
from setpoint.resource.registry import Catalogue

__all__ = ["REPORT_VERSION", "ReportKind", "register"]

REPORT_VERSION: Final = "setpoint/v1"


class _ReportSpec(Part):
    period: Literal["week", "month", "quarter"] = Field(
        description="What a report spans: a week from Monday on, a month or a quarter of the calendar."
    )
    team: Name | None = Field(
        default=None, description="Only the services of this team and of the teams that are part of it."
    )
    service: Name | None = Field(
        default=None, description="Only this service. Without team and service: everything."
    )
    time_zone: Annotated[str, AfterValidator(zone)] = Field(
        default="UTC", description="By whose clock the period begins, such as Europe/Berlin."
    )
    notify: list[Annotated[str, Field(min_length=1, max_length=255)]] = Field(
        default_factory=list,
        max_length=20,
        description="Receivers of the routing that are sent the report when it is made: by e-mail as text and tables, "
        "by webhook as JSON, to channels as Markdown.",
    )

    @model_validator(mode="after")
    def _one_scope(self) -> _ReportSpec:
        if self.team is not None and self.service is not None:
            raise ValueError("write team or service, not both: a report has one scope")
        return self


class ReportKind(Part):
    """A report that is made when its period ends, and kept."""

    api_version: Literal["setpoint/v1"] = REPORT_VERSION
    kind: Literal["Report"] = "Report"
    metadata: Metadata
    spec: _ReportSpec


def register(registry: Registry) -> None:
    """Add `Report` of setpoint/v1."""
    registry.register(REPORT_VERSION, "Report", ReportKind, references=_refer, advice=_advise)


def _refer(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    kind = document.spec
    if not isinstance(kind, ReportKind) or kind.spec.team is None:
        return
    found = catalogue.get(("Team", kind.spec.team))
    if found is None or not isinstance(found.spec, Team):
        message = f"there is no Team '{kind.spec.team}'; apply one of that name, with the Report or before it"
        yield document.problem(message, "spec", "team")


def _advise(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    kind = document.spec
    if not isinstance(kind, ReportKind) or kind.spec.service is None:
        return
    name = kind.spec.service
    known = any(isinstance(one.spec, Service) and one.name == name for one in catalogue.values()) or any(
        isinstance(one.spec, Slo) and one.spec.spec.service == name for one in catalogue.values()
    )
    if not known:
        message = f"nothing else here knows a service '{name}': no Service, no SLO; is it spelt so?"
        yield document.problem(message, "spec", "service")

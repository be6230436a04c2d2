"""Small kinds for the tests of resource: a Service, and an SLO that refers to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from pydantic import Field, field_validator

from setpoint.errors import Problem
from setpoint.resource import Document, Metadata, Part, Registry
from setpoint.resource.registry import Catalogue

__all__ = ["registry"]


class _Service(Part):
    api_version: Literal["openslo/v1"]
    kind: Literal["Service"]
    metadata: Metadata
    spec: dict[str, Any] = Field(default_factory=dict)


class _Objective(Part):
    target: float = Field(gt=0, lt=1)


class _SloSpec(Part):
    service: str
    description: str = Field("", max_length=20)
    is_rolling: bool = True
    budgeting_method: Literal["Occurrences", "Timeslices"] = "Occurrences"
    objectives: list[_Objective] = Field(min_length=1)

    @field_validator("service")
    @classmethod
    def _is_no_path(cls, service: str) -> str:
        if "/" in service:
            raise ValueError("a service has no '/'; write its service.name")
        return service


class _Slo(Part):
    api_version: Literal["openslo/v1"]
    kind: Literal["SLO"]
    metadata: Metadata
    spec: _SloSpec


def _check(document: Document) -> Iterator[Problem]:
    if "teh" in document.body["spec"].get("description", ""):
        yield Problem("'teh' is misspelt; write 'the'", path="spec.description")


def _references(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    service = document.body["spec"]["service"]
    if service.startswith("must-") and ("Service", service) not in catalogue:
        yield Problem(f"there is no Service '{service}'; add it", path="spec.service")


def _advice(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    service = document.body["spec"]["service"]
    if ("Service", service) not in catalogue:
        yield document.problem(f"there is no Service '{service}'; add one to describe it", "spec", "service")


def registry() -> Registry:
    """Both kinds, registered."""
    made = Registry()
    made.register("openslo/v1", "Service", _Service)
    made.register("openslo/v1", "SLO", _Slo, _check, references=_references, advice=_advice)
    return made

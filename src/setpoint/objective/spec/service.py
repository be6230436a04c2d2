"""The resource kind `Service`: what objectives and events are about."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from setpoint.objective.spec.fields import API_VERSION, Description, Name, OpenSloMetadata, error_at
from setpoint.resource import Part

__all__ = ["Service"]


class _ServiceSpec(Part):
    description: Description = ""
    depends_on: list[Name] = Field(
        default_factory=list,
        max_length=200,
        description="The services that it calls, by name; what goes wrong there can explain what goes wrong here. "
        "Ours, not OpenSLO's.",
    )


def _empty(value: Any) -> Any:
    """`spec:` with nothing behind it is a service without a description."""
    return {} if value is None else value


class Service(Part):
    """A service that objectives are about; `metadata.name` is its `service.name` in telemetry."""

    api_version: Literal["openslo/v1"] = API_VERSION
    kind: Literal["Service"] = "Service"
    metadata: OpenSloMetadata
    spec: Annotated[_ServiceSpec, BeforeValidator(_empty)] = Field(default_factory=_ServiceSpec)

    @model_validator(mode="after")
    def _of_others(self) -> Service:
        name, seen = self.metadata.name, set[str]()
        for number, other in enumerate(self.spec.depends_on):
            place = ("spec", "dependsOn", number)
            if other == name:
                raise error_at(other, place, "a service does not depend on itself; remove it here")
            if other in seen:
                raise error_at(other, place, f"'{other}' stands here twice; remove one of them")
            seen.add(other)
        return self

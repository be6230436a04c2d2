"""The resource kind `Service`: what objectives and events are about."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from setpoint.objective.spec.fields import API_VERSION, Description, OpenSloMetadata
from setpoint.resource import Part

__all__ = ["Service"]


class _ServiceSpec(Part):
    description: Description = ""


def _empty(value: Any) -> Any:
    """`spec:` with nothing behind it is a service without a description."""
    return {} if value is None else value


class Service(Part):
    """A service that objectives are about; `metadata.name` is its `service.name` in telemetry."""

    api_version: Literal["openslo/v1"] = API_VERSION
    kind: Literal["Service"] = "Service"
    metadata: OpenSloMetadata
    spec: Annotated[_ServiceSpec, BeforeValidator(_empty)] = Field(default_factory=_ServiceSpec)

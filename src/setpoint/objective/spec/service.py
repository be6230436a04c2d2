"""The resource kind `Service`: what objectives and events are about."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from setpoint.objective.spec.fields import API_VERSION, Description, OpenSloMetadata
from setpoint.resource import Part

__all__ = ["Service"]


class _ServiceSpec(Part):
    description: Description = ""


class Service(Part):
    """A service that objectives are about; `metadata.name` is its `service.name` in telemetry."""

    api_version: Literal["openslo/v1"] = API_VERSION
    kind: Literal["Service"] = "Service"
    metadata: OpenSloMetadata
    spec: _ServiceSpec = Field(default_factory=_ServiceSpec)

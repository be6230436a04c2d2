"""The resource kinds of this package, with what is or looks wrong in them; `app` calls it for the server's registry."""

from __future__ import annotations

from setpoint.objective.advice import advise, refer
from setpoint.objective.spec import API_VERSION, Service, Slo
from setpoint.resource import Registry

__all__ = ["register"]


def register(registry: Registry) -> None:
    """Add `Service` and `SLO` of openslo/v1."""
    registry.register(API_VERSION, "Service", Service)
    registry.register(API_VERSION, "SLO", Slo, references=refer, advice=advise)

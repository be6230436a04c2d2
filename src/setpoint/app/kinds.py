"""Every resource kind that this Setpoint knows, from all packages."""

from __future__ import annotations

from setpoint import objective
from setpoint.alert.door.spec import register as register_doors
from setpoint.alert.heartbeat.spec import register as register_heartbeats
from setpoint.alert.notify.channels import SENDABLE
from setpoint.alert.quality.require import register as register_quality
from setpoint.alert.route.spec import register as register_routing
from setpoint.alert.rules.spec import register as register_rules
from setpoint.clock import Clock
from setpoint.promql.selector import read_selector
from setpoint.report.spec import register as register_reports
from setpoint.resource import Registry
from setpoint.telemetry.register import register as register_telemetry

__all__ = ["default_registry"]


def default_registry(clock: Clock | None = None) -> Registry:
    """Every resource kind that this Setpoint knows; with a clock, it also warns of what ended."""
    registry = Registry()
    objective.register(registry, clock)
    register_telemetry(registry, read_selector)
    register_reports(registry)
    register_doors(registry)
    register_routing(registry, SENDABLE)
    register_rules(registry)
    register_heartbeats(registry)
    register_quality(registry)
    return registry

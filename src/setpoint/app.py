"""The only place where packages are wired together: opens the databases, makes each part, hands functions down.

`web.serve` builds an `App` from `Settings` at start and closes it at the end; pages and protocols reach every part
through it. Events flow upwards by functions: a part never imports what stands above it.
"""

from __future__ import annotations

from dataclasses import dataclass

from setpoint.clock import Clock
from setpoint.demo.fault import FaultBoard
from setpoint.objective import ObjectiveBook
from setpoint.resource import Registry, ResourceStore
from setpoint.settings import Settings
from setpoint.telemetry import Head, Ingest, Reader, SignalStore
from setpoint.timeline import Timeline

__all__ = ["App"]


@dataclass(frozen=True, slots=True)
class App:
    """Every wired part of a running server."""

    settings: Settings
    clock: Clock
    timeline: Timeline
    registry: Registry
    resources: ResourceStore
    signals: SignalStore
    head: Head
    ingest: Ingest
    reader: Reader
    objectives: ObjectiveBook
    faults: FaultBoard
    started_ms: int

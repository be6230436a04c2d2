"""The only place where packages are wired together: opens the databases, makes each part, hands functions down.

`web.serve` builds an `App` from `Settings` at start and closes it at the end; pages and protocols reach every part
through it. Events flow upwards by functions: a part never imports what stands above it.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass

from setpoint.clock import Clock
from setpoint.database import DataFolder, StateDatabase, TelemetryDatabase
from setpoint.demo.fault import FaultBoard
from setpoint.objective import ObjectiveBook
from setpoint.resource import Registry, ResourceStore
from setpoint.settings import Settings
from setpoint.telemetry import Head, Ingest, Reader, SignalStore
from setpoint.timeline import Timeline

__all__ = ["App", "build", "default_registry"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class App:
    """Every wired part of a running server."""

    settings: Settings
    clock: Clock
    folder: DataFolder
    telemetry_database: TelemetryDatabase
    state_database: StateDatabase
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

    def start(self, stop: threading.Event) -> list[threading.Thread]:
        """Start the background loops (evaluation, eviction); they end soon after `stop` is set."""
        raise NotImplementedError

    def close(self) -> None:
        """Store what waits, then close the databases and unlock the data folder."""
        raise NotImplementedError


def default_registry() -> Registry:
    """Every resource kind that this Setpoint knows."""
    raise NotImplementedError


def build(settings: Settings, clock: Clock) -> App:
    """Open everything. Raises StartupRefused with what to do when the data folder or a database cannot be used."""
    raise NotImplementedError

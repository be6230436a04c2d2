"""Every wired part of a running server, and its background loops. `wire` makes one; pages and protocols reach all
parts through it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial

from setpoint.access import Directory
from setpoint.access.accounts import Accounts
from setpoint.app.alerting import AlertingParts, alerting_loops
from setpoint.app.budgets import BudgetParts
from setpoint.app.rules import RuleParts
from setpoint.app.telemetry import TelemetryParts
from setpoint.clock import Clock
from setpoint.database import DataFolder, StateDatabase, TelemetryDatabase
from setpoint.demo.fault import FaultBoard
from setpoint.objective.adjustment.told import AdjustmentLog
from setpoint.resource import Registry, ResourceStore
from setpoint.settings import Settings
from setpoint.timeline import Timeline

__all__ = ["App"]


@dataclass(frozen=True, kw_only=True)
class App(TelemetryParts, BudgetParts, AlertingParts, RuleParts):
    """Every wired part of a running server."""

    settings: Settings
    clock: Clock
    folder: DataFolder
    telemetry_database: TelemetryDatabase
    state_database: StateDatabase
    timeline: Timeline
    registry: Registry
    resources: ResourceStore
    directory: Directory
    accounts: Accounts
    faults: FaultBoard
    started_ms: int

    def start(self, stop: threading.Event) -> list[threading.Thread]:
        """Start the background loops (evaluation, usage, scraping, housekeeping); they end soon after `stop` is set."""
        self.datasources.start()
        self.rules.begin()  # what fired goes on firing, before anybody is told that it ended
        known = self.objectives.adjustments
        adjustments = AdjustmentLog(self.state_database, self.timeline, self.clock, known)
        loops = {
            "evaluation": partial(self.objectives.run, stop),
            "objectives": partial(self.objectives.tend, stop),
            "history": partial(self.objectives.fetched.run, stop),
            **{f"counting-{one.engine}": partial(one.run, stop) for one in self.polled},
            "alerts": partial(self.alerts.run, stop),
            "policies": partial(self.policies.run, stop),
            **alerting_loops(self, stop),
            "rules": partial(self.rules.run, stop),
            "reports": partial(self.reports.run, stop),
            "adjustments": partial(adjustments.run, stop),
            "access": partial(self.directory.run, stop),
            "usage": partial(self.usage.run, stop, self._refresh),
            "scraper": partial(self.scraper.run, stop),
            "housekeeping": partial(self.housekeeping.run, stop),
        }
        threads = [threading.Thread(target=run, name=name, daemon=True) for name, run in loops.items()]
        for thread in threads:
            thread.start()
        return threads

    def _refresh(self) -> None:
        self.held_samples.expire()
        self.sizes.refresh()

    def close(self) -> None:
        """Store what waits, then close the databases and unlock the data folder."""
        self.datasources.close()
        self.alerts.flush()
        self.ingest.close()
        self.state_database.close()
        self.telemetry_database.close()
        self.folder.close()

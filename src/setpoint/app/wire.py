"""Opens the databases, makes each part, hands functions down: events flow upwards by functions, no part imports what
stands above it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from setpoint.access import Directory
from setpoint.access.accounts import Accounts
from setpoint.alert.target import webhooks_of
from setpoint.app.alerting import AlertingParts, wire_alerting
from setpoint.app.audit import objectives_are_late, rules_are_late
from setpoint.app.budgets import BudgetParts, Databases, wire_budgets
from setpoint.app.kinds import default_registry
from setpoint.app.parts import App
from setpoint.app.rules import RuleParts, wire_rules
from setpoint.app.telemetry import TelemetryParts, wire_telemetry
from setpoint.clock import Clock
from setpoint.database import DataFolder, StateDatabase, TelemetryDatabase
from setpoint.demo.fault import FaultBoard
from setpoint.objective.targets import targets_of
from setpoint.objective.warm import warm as warm_objectives
from setpoint.promql import kernels
from setpoint.resource import Document, ResourceStore
from setpoint.settings import Settings
from setpoint.telemetry.warm import warm as warm_telemetry
from setpoint.timeline import Timeline

__all__ = ["build", "wire"]


def build(settings: Settings, clock: Clock, shop_secret: str = "") -> App:
    """Open everything; with `shop_secret` comes the demo's shop. Raises StartupRefused, with what to do, when the data
    folder or a database cannot be used.
    """
    started_ms = clock.now_ms()
    folder = DataFolder(settings.data)
    warm_telemetry()
    kernels.warm()
    warm_objectives()
    state_database = StateDatabase(settings.state_dsn or f"sqlite:///{folder.state}")
    telemetry_database = TelemetryDatabase(
        settings.telemetry_dsn or f"chdb://{folder.telemetry}", settings.telemetry_memory_mb << 20
    )
    return wire(
        settings,
        clock,
        folder,
        state_database,
        telemetry_database,
        started_ms=started_ms,
        shop_secret=shop_secret,
    )


def wire(
    settings: Settings,
    clock: Clock,
    folder: DataFolder,
    state_database: StateDatabase,
    telemetry_database: TelemetryDatabase,
    *,
    started_ms: int,
    shop_secret: str = "",
) -> App:
    """Make every part over open databases and hand the functions down; the recent samples are in memory then."""
    timeline = Timeline(state_database, clock)
    registry = default_registry(clock)
    resources = ResourceStore(state_database, timeline, clock, registry)
    directory = Directory(
        state_database,
        timeline,
        clock,
        server_token=settings.effective_token,
        shop_secret=shop_secret,
        is_local=not settings.open_addresses,
    )
    telemetry = wire_telemetry(
        settings, clock, timeline, folder, telemetry_database, own_secret=directory.own_secret
    )
    databases = Databases(state_database, telemetry_database)
    budgets = wire_budgets(settings, clock, timeline, folder, databases, telemetry)
    alerting = wire_alerting(
        settings, folder, clock, timeline, state_database, ownership=lambda: budgets.reports.ownership
    )
    rules = wire_rules(settings, clock, state_database, telemetry, alerting.alert_book)
    alerting.auditor.checks["objectives"] = partial(
        objectives_are_late,
        lambda: budgets.objectives.evaluated_ms,
        settings.evaluation_interval_s,
        clock,
    )
    alerting.auditor.checks["rules"] = partial(rules_are_late, rules.rules.groups, clock)
    resources.on_change = partial(_follow, telemetry, budgets, alerting, rules)
    resources.on_change(resources.documents())
    return App(
        settings=settings,
        clock=clock,
        folder=folder,
        telemetry_database=telemetry_database,
        state_database=state_database,
        timeline=timeline,
        registry=registry,
        resources=resources,
        directory=directory,
        accounts=Accounts(directory, state_database, clock),
        faults=FaultBoard(timeline, clock),
        started_ms=started_ms,
        **_fields(telemetry),
        **_fields(budgets),
        **_fields(alerting),
        **_fields(rules),
    )


def _fields(parts: TelemetryParts | BudgetParts | AlertingParts | RuleParts) -> dict[str, Any]:
    return {field.name: getattr(parts, field.name) for field in fields(parts)}


def _follow(
    telemetry: TelemetryParts,
    budgets: BudgetParts,
    alerting: AlertingParts,
    rules: RuleParts,
    documents: Sequence[Document],
) -> None:
    """Hand every resource to who follows some of them."""
    alerting.routing.follow(documents)
    alerting.alert_sources.follow(documents)
    alerting.heartbeats.follow(documents)
    budgets.policies.apply(documents)
    budgets.slas.follow(documents)
    budgets.dependencies.follow(documents)
    telemetry.housekeeping.apply(documents)
    telemetry.datasources.apply(documents)
    rules.rules.follow(documents)
    # Before the objectives are evaluated: a webhook that comes with them hears of their first alerts.
    alerting.receivers.follow_targets(webhooks_of(targets_of(documents)))
    budgets.objectives.apply(documents)
    budgets.reports.apply(documents)

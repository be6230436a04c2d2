"""Wires what keeps objectives, acts on their budgets and tells of them: alerts, policies, the gate, reports."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from setpoint.alert.log import LOCK, AlertLog
from setpoint.alert.target import entry_of
from setpoint.app.telemetry import TelemetryParts
from setpoint.clock import Clock
from setpoint.database import DataFolder, StateDatabase, TelemetryDatabase
from setpoint.objective import LedgerStore, ObjectiveBook
from setpoint.objective.adjustment.store import AdjustedLedgers
from setpoint.objective.attribution.who import Attributions
from setpoint.objective.counting.feed import Feed
from setpoint.objective.policy import PolicyBoard
from setpoint.objective.service_map import ServiceMap
from setpoint.objective.sla.book import SlaBook
from setpoint.objective.source.calls import TracedCalls
from setpoint.objective.source.polled import Polled, polled_counts
from setpoint.objective.source.stored_groups import StoredGroups
from setpoint.objective.state_log import StateLog
from setpoint.release import Gate
from setpoint.report.causes import causes_by
from setpoint.report.reporter import Reporter
from setpoint.report.store import ReportStore
from setpoint.settings import Settings
from setpoint.telemetry.datasource import DataSources
from setpoint.timeline import Timeline

__all__ = ["BudgetParts", "Databases", "wire_budgets"]


class Databases(NamedTuple):
    """The two databases of a server."""

    state: StateDatabase
    telemetry: TelemetryDatabase


@dataclass(frozen=True, kw_only=True)
class BudgetParts:
    """What keeps objectives, acts on their budgets and tells of them; a part of `App`."""

    objectives: ObjectiveBook
    dependencies: ServiceMap
    attribution: Attributions
    slas: SlaBook
    polled: tuple[Polled, ...]
    alerts: AlertLog
    policies: PolicyBoard
    gate: Gate
    reports: Reporter


def wire_budgets(  # noqa: PLR0917 — what parts are made of
    settings: Settings,
    clock: Clock,
    timeline: Timeline,
    folder: DataFolder,
    databases: Databases,
    telemetry: TelemetryParts,
) -> BudgetParts:
    """Make every part over the telemetry's."""
    state, stored = databases
    alerts = AlertLog(state, timeline, clock)
    own = _own_feed(telemetry)
    objectives = _make_objectives(settings, clock, timeline, databases, own, telemetry.datasources, alerts)
    policies = PolicyBoard.over(objectives, state, timeline, clock, lock=LOCK, address=entry_of)
    dependencies = ServiceMap(TracedCalls(stored, clock))
    attribution = Attributions(objectives, timeline, dependencies.known)
    return BudgetParts(
        objectives=objectives,
        dependencies=dependencies,
        attribution=attribution,
        slas=SlaBook(objectives.past, clock),
        polled=polled_counts(objectives, stored, clock, settings.final_after_s),
        alerts=alerts,
        policies=policies,
        gate=Gate(policies.inputs, timeline),
        reports=Reporter(
            ReportStore(state),
            objectives.overview,
            objectives.past,
            timeline,
            clock,
            causes=causes_by(attribution.of),
        ),
    )


def _own_feed(telemetry: TelemetryParts) -> Feed:
    """What objectives on Setpoint's own telemetry are read from."""
    return Feed(
        telemetry.reader.select,
        telemetry.head.take_oldest_write_ms,
        telemetry.signals.oldest_sample_ms,
        telemetry.housekeeping.mostly_kept_from_ms,
        series=telemetry.catalog.series,
        head=telemetry.head,
    )


def _make_objectives(  # noqa: PLR0917 — parts to wire
    settings: Settings,
    clock: Clock,
    timeline: Timeline,
    databases: Databases,
    own: Feed,
    datasources: DataSources,
    alerts: AlertLog,
) -> ObjectiveBook:
    states = StateLog(timeline)
    return ObjectiveBook(
        own.select,
        own.take_oldest_write_ms,
        LedgerStore(databases.telemetry),
        clock,
        own=own,
        evaluation_interval_s=settings.evaluation_interval_s,
        final_after_s=settings.final_after_s,
        no_data_after_s=settings.no_data_after_s,
        on_change=states.record,
        on_alert=alerts.record,
        feeds=partial(_feed_of, datasources),
        told_states=states.read,
        open_alerts=alerts.open,
        adjusted=AdjustedLedgers(databases.state),
        stored_groups=StoredGroups(databases.telemetry).look,
    )


def _feed_of(datasources: DataSources, name: str) -> Feed:
    """What an objective of a data source is read from; the source is looked up at each use, as it can change."""
    get = datasources.get
    return Feed(
        select=lambda matchers, start_ms, end_ms: get(name).select(matchers, start_ms, end_ms),
        take_oldest_write_ms=lambda: datasources.take_oldest_write_ms(name),
        oldest_sample_ms=lambda: get(name).counted_from_ms(),
        kept_from_ms=lambda: get(name).kept_from_ms(),
        fetch=lambda matchers, start_ms, end_ms: get(name).fetch(matchers, start_ms, end_ms),
        fault=lambda: datasources.fault(name),
    )

"""Wires the rules that run in the server: what they ask, where their series go, who hears of their alerts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from setpoint.alert.dispatch.book import AlertBook
from setpoint.alert.rules.engine import OwnEngine, SourceEngine
from setpoint.alert.rules.manager import RuleManager
from setpoint.alert.rules.store import RuleStore
from setpoint.app.telemetry import TelemetryParts
from setpoint.clock import Clock
from setpoint.database import StateDatabase
from setpoint.promql.from_telemetry import Matcher, SampleColumns, Select
from setpoint.settings import Settings

__all__ = ["RuleParts", "wire_rules"]


@dataclass(frozen=True, kw_only=True)
class RuleParts:
    """The rules that run in the server; a part of `App`."""

    rules: RuleManager


def wire_rules(
    settings: Settings, clock: Clock, database: StateDatabase, telemetry: TelemetryParts, book: AlertBook
) -> RuleParts:
    """Make the manager; `begin` and `run` are called when the server starts."""
    datasources = telemetry.datasources
    own = OwnEngine(
        _select(telemetry),
        telemetry.reader.select_histograms,
        timeout_s=settings.query_timeout_s,
        samples_limit=settings.query_samples_limit,
    )
    return RuleParts(
        rules=RuleManager(
            clock,
            book.receive,
            ask=own,
            submit=telemetry.ingest.submit,
            store=RuleStore(database),
            files=settings.rule_files,
            # Looked up at each use, as a source can change.
            source=lambda name: SourceEngine(lambda query, at_ms: datasources.get(name).vector(query, at_ms)),
            reconcile=book.reconcile,
            external_url=f"http://{settings.listen}",
        )
    )


def _select(telemetry: TelemetryParts) -> Select:
    """Samples for rules: what is recent comes from memory at once; only what is older is held for the next time."""
    head, reader, held = telemetry.head, telemetry.reader, telemetry.held_samples

    def select(matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        if start_ms >= head.covers_from_ms:
            return reader.select(matchers, start_ms, end_ms)
        return held.select(matchers, start_ms, end_ms)

    return select

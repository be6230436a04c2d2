"""The only place where packages are wired together: opens the databases, makes each part, hands functions
down.

`web.serve` builds an `App` from `Settings` at start and closes it at the end; pages and protocols reach every
part through it. Events flow upwards by functions: a part never imports what stands above it.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from setpoint import objective
from setpoint.alert.deliver import Delivery
from setpoint.alert.log import LOCK, AlertLog
from setpoint.alert.secret import read_secret
from setpoint.alert.target import entry_of, webhooks_of
from setpoint.clock import Clock, stopwatch
from setpoint.database import DataFolder, StateDatabase, TelemetryDatabase
from setpoint.demo.fault import FaultBoard
from setpoint.objective import LedgerStore, ObjectiveBook
from setpoint.objective.adjustment.store import AdjustedLedgers
from setpoint.objective.adjustment.told import AdjustmentLog
from setpoint.objective.attribution.who import Attributions
from setpoint.objective.counting.feed import Feed
from setpoint.objective.policy import PolicyBoard
from setpoint.objective.service_map import ServiceMap
from setpoint.objective.sla.book import SlaBook
from setpoint.objective.source.calls import TracedCalls
from setpoint.objective.source.polled import Polled, polled_counts
from setpoint.objective.source.stored_groups import StoredGroups
from setpoint.objective.state_log import StateLog
from setpoint.objective.targets import targets_of
from setpoint.objective.warm import warm as warm_objectives
from setpoint.promql import kernels
from setpoint.promql.queries import Queries
from setpoint.promql.range_cache import RangeCache
from setpoint.promql.selector import read_selector
from setpoint.release import Gate
from setpoint.report.causes import causes_by
from setpoint.report.reporter import Reporter
from setpoint.report.spec import register as register_reports
from setpoint.report.store import ReportStore
from setpoint.resource import Document, Registry, ResourceStore
from setpoint.settings import Settings
from setpoint.telemetry import Head, Ingest, Reader, SignalStore, rebuild_head
from setpoint.telemetry.catalog import Catalog
from setpoint.telemetry.compact import Compactor
from setpoint.telemetry.datasource import DataSources
from setpoint.telemetry.disk import DiskBudget
from setpoint.telemetry.disk_log import record_eviction, record_low_disk
from setpoint.telemetry.held_samples import HeldSamples
from setpoint.telemetry.housekeeping import Housekeeping
from setpoint.telemetry.protect import Limits, Protection
from setpoint.telemetry.receive import Receiver, last_samples
from setpoint.telemetry.register import register as register_telemetry
from setpoint.telemetry.retention import Policy, Retention, policy_of
from setpoint.telemetry.rollup_store import Rollups
from setpoint.telemetry.scrape import Scraper, own_job
from setpoint.telemetry.series_table import SeriesTable
from setpoint.telemetry.sizes import SizeMeter
from setpoint.telemetry.usage import Arrivals, UsageMeter
from setpoint.telemetry.warm import warm as warm_telemetry
from setpoint.timeline import Timeline

__all__ = ["App", "build", "default_registry", "wire"]

log = logging.getLogger(__name__)

_QUERIES_MOST = 20
_OWN_LIFE_S, _SHARED_LIFE_S = 600.0, 60.0


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
    otlp: Receiver
    scraper: Scraper
    protection: Protection
    table: SeriesTable
    usage: UsageMeter
    sizes: SizeMeter
    housekeeping: Housekeeping
    rollups: Rollups
    reader: Reader
    queries: Queries
    range_cache: RangeCache
    held_samples: HeldSamples
    catalog: Catalog
    datasources: DataSources
    objectives: ObjectiveBook
    dependencies: ServiceMap
    attribution: Attributions
    slas: SlaBook
    polled: tuple[Polled, ...]
    alerts: AlertLog
    webhooks: Delivery
    policies: PolicyBoard
    gate: Gate
    reports: Reporter
    faults: FaultBoard
    started_ms: int

    def start(self, stop: threading.Event) -> list[threading.Thread]:
        """Start the background loops (evaluation, usage, scraping, housekeeping); they end soon after `stop` is set."""
        self.datasources.start()
        known = self.objectives.adjustments
        adjustments = AdjustmentLog(self.state_database, self.timeline, self.clock, known)
        loops = {
            "evaluation": partial(self.objectives.run, stop),
            "objectives": partial(self.objectives.tend, stop),
            "history": partial(self.objectives.fetched.run, stop),
            **{f"counting-{one.engine}": partial(one.run, stop) for one in self.polled},
            "alerts": partial(self.alerts.run, stop),
            "webhooks": partial(self.webhooks.run, stop),
            "policies": partial(self.policies.run, stop),
            "reports": partial(self.reports.run, stop),
            "adjustments": partial(adjustments.run, stop),
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


def default_registry(clock: Clock | None = None) -> Registry:
    """Every resource kind that this Setpoint knows; with a clock, it also warns of what ended."""
    registry = Registry()
    objective.register(registry, clock)
    register_telemetry(registry, read_selector)
    register_reports(registry)
    return registry


def build(settings: Settings, clock: Clock) -> App:
    """Open everything. Raises StartupRefused, with what to do, when the data folder or a database cannot be
    used.
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
    return wire(settings, clock, folder, state_database, telemetry_database, started_ms=started_ms)


def wire(
    settings: Settings,
    clock: Clock,
    folder: DataFolder,
    state_database: StateDatabase,
    telemetry_database: TelemetryDatabase,
    *,
    started_ms: int,
) -> App:
    """Make every part over open databases and hand the functions down; the recent samples are in memory then."""
    timeline = Timeline(state_database, clock)
    registry = default_registry(clock)
    resources = ResourceStore(state_database, timeline, clock, registry)
    arrivals = Arrivals(clock)
    protection = Protection(Limits.of(settings), clock, on_admitted=arrivals.note)
    table = SeriesTable(admit=protection.admit)
    signals = SignalStore(telemetry_database, table)
    head = _make_head(settings, clock, table, signals, protection)
    rollups = Rollups(telemetry_database)
    housekeeping = _make_housekeeping(
        settings, clock, timeline, folder, telemetry_database, signals=signals, rollups=rollups
    )
    reader = Reader(head, signals, rollups, housekeeping.kept_from_ms)
    secrets = settings.secrets or folder.path / "secrets"
    datasources = DataSources(clock, secrets, patience_ms=settings.no_data_after_s * 1000)
    alerts = AlertLog(state_database, timeline, clock)
    catalog = Catalog(head, telemetry_database)
    own = _own_feed(reader, head, signals, housekeeping, catalog)
    adjusted = AdjustedLedgers(state_database)
    objectives = _make_objectives(
        settings, clock, timeline, telemetry_database, own, datasources, alerts, adjusted
    )
    webhooks = _make_webhooks(settings, clock, timeline, state_database, secrets)
    policies = PolicyBoard.over(objectives, state_database, timeline, clock, lock=LOCK, address=entry_of)
    dependencies = ServiceMap(TracedCalls(telemetry_database, clock).known)
    attribution = Attributions(objectives, timeline, dependencies.known)
    reports = Reporter(
        ReportStore(state_database),
        objectives.overview,
        objectives.past,
        timeline,
        clock,
        causes=causes_by(attribution.of),
    )
    slas = SlaBook(objectives.past, clock)
    resources.on_change = partial(
        _follow, policies, slas, dependencies, datasources, objectives, housekeeping, webhooks, reports
    )
    resources.on_change(resources.documents())
    ingest = Ingest(signals, head, clock, settings.queue_limit_mb << 20, settings.flush_s)
    sizes = SizeMeter(telemetry_database, None if settings.telemetry_dsn else folder.telemetry.parent)
    usage = _make_usage(table, head, protection, arrivals, clock, ingest, sizes)
    return App(
        settings=settings,
        clock=clock,
        folder=folder,
        telemetry_database=telemetry_database,
        state_database=state_database,
        timeline=timeline,
        registry=registry,
        resources=resources,
        signals=signals,
        head=head,
        ingest=ingest,
        otlp=Receiver(ingest, clock, table, protection, last_samples(head.select)),
        scraper=_make_scraper(settings, clock, table, ingest, protection),
        protection=protection,
        table=table,
        usage=usage,
        sizes=sizes,
        housekeeping=housekeeping,
        rollups=rollups,
        reader=reader,
        queries=_make_queries(settings),
        range_cache=_make_range_cache(settings, telemetry_database, signals, housekeeping),
        held_samples=_make_held_samples(settings, telemetry_database, signals, housekeeping, reader),
        catalog=catalog,
        datasources=datasources,
        objectives=objectives,
        dependencies=dependencies,
        slas=slas,
        attribution=attribution,
        polled=polled_counts(objectives, telemetry_database, clock, settings.final_after_s),
        alerts=alerts,
        webhooks=webhooks,
        policies=policies,
        gate=Gate(policies.inputs, timeline),
        reports=reports,
        faults=FaultBoard(timeline, clock),
        started_ms=started_ms,
    )


def _make_head(
    settings: Settings, clock: Clock, table: SeriesTable, signals: SignalStore, protection: Protection
) -> Head:
    """The recent samples, read from the database."""
    head = Head(settings.head_s * 1000, table)
    protection.starting = True
    rebuild_head(signals, head, clock.now_ms(), _log_of_progress())
    protection.starting = False
    return head


def _make_queries(settings: Settings) -> Queries:
    concurrency = min(_QUERIES_MOST, 2 * (os.cpu_count() or 1))
    return Queries(
        timeout_s=settings.query_timeout_s,
        samples_limit=settings.query_samples_limit,
        concurrency=concurrency,
    )


def _make_range_cache(
    settings: Settings, database: TelemetryDatabase, signals: SignalStore, housekeeping: Housekeeping
) -> RangeCache:
    return RangeCache(
        signals.writes,
        partial(database.revision, "blocks"),
        housekeeping.kept_from_ms,
        # Others may write to a server of its own.
        life_s=_SHARED_LIFE_S if settings.telemetry_dsn else _OWN_LIFE_S,
    )


def _make_held_samples(
    settings: Settings,
    database: TelemetryDatabase,
    signals: SignalStore,
    housekeeping: Housekeeping,
    reader: Reader,
) -> HeldSamples:
    return HeldSamples(
        reader,
        signals.writes,
        partial(database.revision, "blocks"),
        housekeeping.kept_from_ms,
        limit_bytes=settings.telemetry_memory_mb << 20,
        life_s=_SHARED_LIFE_S if settings.telemetry_dsn else _OWN_LIFE_S,
    )


def _make_usage(  # noqa: PLR0917 — parts to wire
    table: SeriesTable,
    head: Head,
    protection: Protection,
    arrivals: Arrivals,
    clock: Clock,
    ingest: Ingest,
    sizes: SizeMeter,
) -> UsageMeter:
    return UsageMeter(
        table,
        head,
        protection,
        arrivals,
        clock,
        samples_stored=lambda: ingest.stats.samples,
        bytes_per_sample=lambda: sizes.latest.sample_bytes,
    )


def _make_scraper(
    settings: Settings, clock: Clock, table: SeriesTable, ingest: Ingest, protection: Protection
) -> Scraper:
    return Scraper(
        settings.scrape_config,
        table,
        ingest.submit,
        clock,
        own=own_job(settings.listen_address, settings.effective_token),
        body_limit_bytes=settings.body_limit_mb << 20,
        protection=protection,
    )


def _own_feed(
    reader: Reader, head: Head, signals: SignalStore, housekeeping: Housekeeping, catalog: Catalog
) -> Feed:
    """What objectives on Setpoint's own telemetry are read from."""
    return Feed(
        reader.select,
        head.take_oldest_write_ms,
        signals.oldest_sample_ms,
        housekeeping.mostly_kept_from_ms,
        series=catalog.series,
        head=head,
    )


def _make_webhooks(
    settings: Settings, clock: Clock, timeline: Timeline, database: StateDatabase, secrets: Path
) -> Delivery:
    return Delivery(
        database,
        timeline,
        clock,
        read_secret=partial(read_secret, secrets),
        external_url=f"http://{settings.listen}",
    )


def _make_objectives(  # noqa: PLR0917 — parts to wire
    settings: Settings,
    clock: Clock,
    timeline: Timeline,
    database: TelemetryDatabase,
    own: Feed,
    datasources: DataSources,
    alerts: AlertLog,
    adjusted: AdjustedLedgers,
) -> ObjectiveBook:
    states = StateLog(timeline)
    return ObjectiveBook(
        own.select,
        own.take_oldest_write_ms,
        LedgerStore(database),
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
        adjusted=adjusted,
        stored_groups=StoredGroups(database).look,
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


def _make_housekeeping(
    settings: Settings,
    clock: Clock,
    timeline: Timeline,
    folder: DataFolder,
    database: TelemetryDatabase,
    *,
    signals: SignalStore,
    rollups: Rollups,
) -> Housekeeping:
    limit_bytes = round(settings.disk_limit_gb * 1e9) or None
    return Housekeeping(
        Compactor(database, signals.blocks, rollups),
        Retention(
            database,
            Policy(settings.retention_days),
            settings.rollup_retention_days,
            signals.series.removal.remove,
        ),
        DiskBudget(
            database,
            limit_bytes,
            None if settings.telemetry_dsn else folder.telemetry.parent,
            partial(record_eviction, timeline),
            partial(record_low_disk, timeline),
        ),
        clock,
        lambda documents: policy_of(documents, settings.retention_days, read_selector),
        grace_ms=round((settings.head_s + settings.flush_s) * 1000),
    )


def _follow(  # noqa: PLR0917 — parts that follow documents
    policies: PolicyBoard,
    slas: SlaBook,
    dependencies: ServiceMap,
    datasources: DataSources,
    objectives: ObjectiveBook,
    housekeeping: Housekeeping,
    webhooks: Delivery,
    reports: Reporter,
    documents: Sequence[Document],
) -> None:
    """Hand every resource to who follows some of them."""
    policies.apply(documents)
    slas.follow(documents)
    dependencies.follow(documents)
    housekeeping.apply(documents)
    datasources.apply(documents)
    # Before the objectives are evaluated: a webhook that comes with them hears of their first alerts.
    newest = webhooks.newest()
    objectives.apply(documents)
    webhooks.follow(webhooks_of(targets_of(documents)), newest)
    reports.apply(documents)


def _log_of_progress() -> Callable[[int, int], None]:
    """Logs how far the start is, every second and at the end."""
    elapsed_s, due_s = stopwatch(), 1.0

    def tell(done: int, total: int) -> None:
        nonlocal due_s
        if done >= total or elapsed_s() >= due_s:
            due_s = elapsed_s() + 1.0
            log.info("recent samples in memory: %s of %s", f"{done:,}", f"{total:,}")

    return tell

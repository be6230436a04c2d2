"""Wires what takes telemetry in, keeps it and answers questions about it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from setpoint.clock import Clock, stopwatch
from setpoint.database import DataFolder, TelemetryDatabase
from setpoint.promql.queries import Queries
from setpoint.promql.range_cache import RangeCache
from setpoint.promql.selector import read_selector
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
from setpoint.telemetry.retention import Policy, Retention, policy_of
from setpoint.telemetry.rollup_store import Rollups
from setpoint.telemetry.scrape import Scraper, own_job
from setpoint.telemetry.series_table import SeriesTable
from setpoint.telemetry.sizes import SizeMeter
from setpoint.telemetry.usage import Arrivals, UsageMeter
from setpoint.timeline import Timeline

__all__ = ["TelemetryParts", "wire_telemetry"]

log = logging.getLogger(__name__)

_QUERIES_MOST = 20
_OWN_LIFE_S, _SHARED_LIFE_S = 600.0, 60.0


@dataclass(frozen=True, kw_only=True)
class TelemetryParts:
    """What takes telemetry in, keeps it, and answers questions about it; a part of `App`."""

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


def wire_telemetry(
    settings: Settings,
    clock: Clock,
    timeline: Timeline,
    folder: DataFolder,
    database: TelemetryDatabase,
    *,
    own_secret: str,
) -> TelemetryParts:
    """Make every part; the recent samples are in memory then. With `own_secret` Setpoint reads its own metrics."""
    arrivals = Arrivals(clock)
    protection = Protection(Limits.of(settings), clock, on_admitted=arrivals.note)
    table = SeriesTable(admit=protection.admit)
    signals = SignalStore(database, table)
    head = _make_head(settings, clock, table, signals, protection)
    rollups = Rollups(database)
    housekeeping = _make_housekeeping(
        settings, clock, timeline, folder, database, signals=signals, rollups=rollups
    )
    reader = Reader(head, signals, rollups, housekeeping.kept_from_ms)
    secrets = settings.secrets or folder.path / "secrets"
    ingest = Ingest(signals, head, clock, settings.queue_limit_mb << 20, settings.flush_s)
    sizes = SizeMeter(database, None if settings.telemetry_dsn else folder.telemetry.parent)
    return TelemetryParts(
        signals=signals,
        head=head,
        ingest=ingest,
        otlp=Receiver(ingest, clock, table, protection, last_samples(head.select)),
        scraper=_make_scraper(settings, clock, table, ingest, protection, own_secret=own_secret),
        protection=protection,
        table=table,
        usage=_make_usage(table, head, protection, arrivals, clock, ingest, sizes),
        sizes=sizes,
        housekeeping=housekeeping,
        rollups=rollups,
        reader=reader,
        queries=_make_queries(settings),
        range_cache=_make_range_cache(settings, database, signals, housekeeping),
        held_samples=_make_held_samples(settings, database, signals, housekeeping, reader),
        catalog=Catalog(head, database),
        datasources=DataSources(clock, secrets, patience_ms=settings.no_data_after_s * 1000),
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
    settings: Settings,
    clock: Clock,
    table: SeriesTable,
    ingest: Ingest,
    protection: Protection,
    *,
    own_secret: str,
) -> Scraper:
    return Scraper(
        settings.scrape_config,
        table,
        ingest.submit,
        clock,
        own=own_job(settings.listen_address, own_secret),
        body_limit_bytes=settings.body_limit_mb << 20,
        protection=protection,
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


def _log_of_progress() -> Callable[[int, int], None]:
    """Logs how far the start is, every second and at the end."""
    elapsed_s, due_s = stopwatch(), 1.0

    def tell(done: int, total: int) -> None:
        nonlocal due_s
        if done >= total or elapsed_s() >= due_s:
            due_s = elapsed_s() + 1.0
            log.info("recent samples in memory: %s of %s", f"{done:,}", f"{total:,}")

    return tell

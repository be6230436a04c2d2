"""`GET /metrics`: Setpoint's own metrics in Prometheus's text format, or OpenMetrics where `Accept` prefers it.

Nothing is registered anywhere: each request reads the counters that the parts keep anyway. Names follow
Prometheus's rules (base units, `_total`, one help line each), so `promtool check metrics` finds no fault.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from setpoint import __version__
from setpoint.app import App
from setpoint.errors import SetpointError
from setpoint.measure import Counted
from setpoint.telemetry.scrape.status import Health
from setpoint.web.live import Live
from setpoint.web.page import STATES, Parts
from setpoint.web.requests import Requests
from setpoint.web.roles import needs

__all__ = ["router"]

_PROCESS = CollectorRegistry(auto_describe=False)
ProcessCollector(registry=_PROCESS)
GCCollector(registry=_PROCESS)

router = APIRouter()


@router.get("/metrics")
@needs("viewer")
def show_metrics(request: Request, parts: Parts) -> Response:
    encode, media_type = choose_encoder(request.headers.get("accept", ""))
    everything = _Families(parts, request.app.state.requests, request.app.state.live)
    return Response(encode(everything), headers={"Content-Type": media_type, "Cache-Control": "no-store"})


class _Families:
    """All families of one answer, as the encoders of prometheus_client take them."""

    def __init__(self, parts: App, requests: Requests, live: Live) -> None:
        self._parts, self._requests, self._live = parts, requests, live

    def collect(self) -> Iterator[Metric]:
        yield from _process()
        yield from _ingest(self._parts)
        yield from _head(self._parts)
        yield from _store(self._parts)
        yield from _housekeeping(self._parts)
        yield from _scrape(self._parts)
        yield from _datasources(self._parts)
        yield from _alerts_in(self._parts)
        yield from _delivery(self._parts)
        yield from _queries(self._parts)
        yield from _evaluation(self._parts)
        yield from _http(self._requests, self._live)


def _process() -> Iterator[Metric]:
    yield InfoMetricFamily("setpoint_build", "What runs here.", {"version": __version__})
    yield from _PROCESS.collect()


def _ingest(parts: App) -> Iterator[Metric]:
    stats = parts.ingest.stats
    yield _counter(
        "setpoint_ingest_samples", "Samples that were stored and acknowledged, since start.", stats.samples
    )
    yield _counter(
        "setpoint_ingest_spans", "Spans that were stored and acknowledged, since start.", stats.spans
    )
    yield _counter(
        "setpoint_ingest_log_records",
        "Log records that were stored and acknowledged, since start.",
        stats.logs,
    )
    yield _counter(
        "setpoint_ingest_refused_samples",
        "Samples that were not taken, by reason; /telemetry names the senders.",
        parts.protection.samples_by_reason,
        ("reason",),
    )
    yield _counter(
        "setpoint_ingest_refused_batches",
        "Batches that were sent back because the queue was full or the server was stopping.",
        stats.refused,
    )
    yield _counter(
        "setpoint_ingest_failed_batches",
        "Batches that the database did not take; senders retry.",
        stats.failed,
    )
    yield _counter("setpoint_ingest_groups", "Groups of batches that were stored as one.", stats.groups)
    yield _gauge("setpoint_ingest_queue_bytes", "Telemetry that waits to be stored.", stats.queue_bytes)
    yield _gauge("setpoint_ingest_queue_batches", "Batches that wait to be stored.", stats.queue_batches)
    yield _gauge(
        "setpoint_ingest_queue_limit_bytes",
        "What may wait before senders are sent back.",
        parts.settings.queue_limit_mb << 20,
    )
    yield _histogram(
        "setpoint_ingest_commit_duration_seconds",
        "How long a group of batches took to be stored and put into memory.",
        {(): parts.ingest.commit_durations.counted},
    )
    yield _histogram(
        "setpoint_flush_duration_seconds",
        "How long it took to write the journal's samples as chunks.",
        {(): parts.ingest.flusher.durations.counted},
    )


def _head(parts: App) -> Iterator[Metric]:
    head, table, protection = parts.head, parts.table, parts.protection
    yield _gauge("setpoint_head_series", "Series with samples in memory.", head.series_count)
    yield _gauge("setpoint_head_samples", "Samples in memory.", head.sample_count)
    yield _gauge("setpoint_head_bytes", "Memory of the samples, by part.", head.memory_bytes, ("part",))
    yield _gauge(
        "setpoint_index_bytes", "Memory of the series' labels, by part.", table.memory_bytes, ("part",)
    )
    yield _counter("setpoint_series_created", "Series that came, since start.", table.new_total)
    yield _counter("setpoint_series_removed", "Series that ended, since start.", table.removed_total)
    yield _gauge("setpoint_series_places", "Places taken of the limit of series.", protection.counted)
    yield _gauge("setpoint_series_limit_places", "The setting series_limit.", protection.limits.series)
    yield _gauge("setpoint_senders", "Senders that have series.", protection.senders)


def _store(parts: App) -> Iterator[Metric]:
    size = parts.sizes.latest
    for measure, told in (
        ("bytes", "Size of the telemetry database on disk, by table."),
        ("parts", "Parts of the telemetry database, by table; merges keep them few."),
        ("rows", "Rows of the telemetry database, by table."),
    ):
        values = {name: float(getattr(table, measure)) for name, table in size.tables.items()}
        yield _gauge(f"setpoint_store_{measure}", told, values, ("table",))
    if size.sample_bytes is not None:
        yield _gauge("setpoint_store_sample_bytes", "What a stored sample takes on disk.", size.sample_bytes)
    if size.free_bytes is not None:
        yield _gauge("setpoint_disk_free_bytes", "Free space of the data folder's disk.", size.free_bytes)


def _scrape(parts: App) -> Iterator[Metric]:
    status = parts.scraper.status
    yield _counter("setpoint_scrapes", "Scrapes since start.", status.scrapes)
    yield _counter("setpoint_scrapes_failed", "Scrapes that failed; /targets says why.", status.failed)
    yield _counter(
        "setpoint_scrapes_missed", "Scrapes left out because the one before was not done.", status.missed
    )
    health = Counter(target.health for job in status.jobs for target in job.targets)
    counts = {state: health[state] for state in get_args(Health)}
    yield _gauge("setpoint_scrape_targets", "Targets by how their last scrape went.", counts, ("health",))


def _datasources(parts: App) -> Iterator[Metric]:
    sources = {source.name: source for source in parts.datasources.statuses()}
    labels = ("datasource",)
    up = {name: float(source.state == "up") for name, source in sources.items() if source.state != "waiting"}
    yield _gauge("setpoint_datasource_up", "Whether a data source answered the last request.", up, labels)
    for field, name, told in (
        ("requests", "requests", "Requests to data sources."),
        ("failed", "requests_failed", "Requests that failed or were refused; /datasources says why."),
        ("received_bytes", "received_bytes", "Answers of data sources, after decompression."),
        ("samples_read", "samples", "Samples in the answers of data sources."),
    ):
        values = {source: float(getattr(status, field)) for source, status in sources.items()}
        yield _counter(f"setpoint_datasource_{name}", told, values, labels)
    reached = {name: one.reached_ms / 1000 for name, one in sources.items() if one.reached_ms is not None}
    yield _gauge(
        "setpoint_datasource_reached_timestamp_seconds",
        "Up to when all samples that are wanted of a data source were read, in Unix time.",
        reached,
        labels,
    )
    series = {name: one.series for name, one in sources.items()}
    yield _gauge("setpoint_datasource_series", "Series of a data source in memory.", series, labels)


def _housekeeping(parts: App) -> Iterator[Metric]:
    status = parts.housekeeping.status
    yield _counter(
        "setpoint_disk_evictions", "How often a day was dropped for the disk budget.", status.evictions
    )
    if status.night_ms is not None:
        yield _gauge(
            "setpoint_housekeeping_last_timestamp_seconds",
            "When the last nightly work ended, in Unix time.",
            status.night_ms / 1000,
        )
    if status.compacted is not None:
        yield _gauge(
            "setpoint_compaction_last_duration_seconds",
            "How long compacting the last day took.",
            status.compacted.took_s,
        )
        yield _gauge(
            "setpoint_compaction_last_samples", "Samples of the day compacted last.", status.compacted.samples
        )


def _alerts_in(parts: App) -> Iterator[Metric]:
    now_ms = parts.clock.now_ms()
    firing = Counter(one.source for one in parts.alert_book.alerts() if not one.is_resolved(now_ms))
    yield _gauge(
        "setpoint_alerts_firing", "Alerts that fire, by who brought them.", dict(firing), ("source",)
    )
    counts = parts.alert_sources.counts()
    for field, told in (
        ("requests", "Requests of senders of alerts that were taken, since start."),
        ("alerts", "Alerts in requests that were taken, repeated ones too, since start."),
        ("refused", "Requests of senders of alerts that were refused; /alert-sources says why."),
    ):
        values = {source: float(getattr(count, field)) for source, count in counts.items()}
        yield _counter(f"setpoint_alert_source_{field}", told, values, ("source",))


def _delivery(parts: App) -> Iterator[Metric]:
    """How notifications go out; nothing while the state database does not answer, which others tell."""
    try:
        lanes, overdue_ms = parts.outbox.statuses(), parts.outbox.overdue_ms()
    except SetpointError:
        return
    labels = ("receiver", "integration")
    yield _gauge(
        "setpoint_notifications_pending",
        "Notifications that their receiver does not have yet.",
        {(one.receiver, one.integration): float(one.pending) for one in lanes},
        labels,
    )
    yield _gauge(
        "setpoint_notification_channel_failures",
        "Attempts that failed since the last that did not.",
        {(one.receiver, one.integration): float(one.failures) for one in lanes},
        labels,
    )
    yield _gauge(
        "setpoint_notifications_overdue_seconds", "For how long the oldest of them waits.", overdue_ms / 1000
    )


def _queries(parts: App) -> Iterator[Metric]:
    cache = parts.range_cache
    for name, told, count in (
        ("hits", "Range queries of which only the newest steps were computed.", cache.hits),
        ("misses", "Range queries that could be kept and were computed as a whole.", cache.misses),
        ("steps", "Steps of range queries that were not computed again.", cache.steps_kept),
    ):
        yield _counter(f"setpoint_query_cache_{name}", told, count)
    yield _gauge("setpoint_query_cache_bytes", "Memory of kept results of range queries.", cache.size_bytes)
    held = parts.held_samples
    yield _counter(
        "setpoint_held_samples_hits", "Selects of queries that read a short end at most.", held.hits
    )
    yield _counter(
        "setpoint_held_samples_misses", "Selects of queries that were read as a whole.", held.misses
    )
    yield _gauge(
        "setpoint_held_samples_bytes", "Memory of samples that queries read lately.", held.size_bytes
    )


def _evaluation(parts: App) -> Iterator[Metric]:
    book = parts.objectives
    yield _histogram(
        "setpoint_evaluation_duration_seconds",
        "How long one evaluation of all objectives took.",
        {(): book.durations.counted},
    )
    yield _histogram(
        "setpoint_evaluation_lag_seconds",
        "How much later than its interval an evaluation began.",
        {(): book.lags.counted},
    )
    yield _counter(
        "setpoint_evaluation_missed",
        "Evaluations left out because the one before took too long or the machine was busy.",
        book.missed,
    )
    yield _counter(
        "setpoint_evaluation_due",
        "Evaluations that should have begun: those that did, and those left out.",
        book.lags.counted.counts[-1] + book.missed,
    )
    yield _gauge(
        "setpoint_evaluation_interval_seconds", "The setting evaluation_interval_s.", book.interval_s
    )
    if book.evaluated_ms is not None:
        yield _gauge(
            "setpoint_evaluation_last_timestamp_seconds",
            "When the last evaluation ended, in Unix time.",
            book.evaluated_ms / 1000,
        )
    yield _histogram(
        "setpoint_policy_look_duration_seconds",
        "How long one look of the error budget policies at all objectives took.",
        {(): parts.policies.durations.counted},
    )
    looked = parts.policies.latest
    if looked is not None:
        yield _gauge(
            "setpoint_policy_last_look_timestamp_seconds",
            "When the policies were last judged, in Unix time.",
            looked.facts.at_ms / 1000,
        )
        yield _gauge(
            "setpoint_services_held",
            "Services that may not release a feature, exceptions aside.",
            looked.held_services,
        )
    known = book.overview().counts
    counts = {state: known[state] for state in STATES}
    yield _gauge("setpoint_objectives", "Objectives by state.", counts, ("state",))


def _http(requests: Requests, live: Live) -> Iterator[Metric]:
    yield _counter(
        "setpoint_http_requests",
        "Requests that were answered, by route, method and status.",
        {(route, method, str(code)): count for (route, method, code), count in requests.totals.items()},
        ("route", "method", "code"),
    )
    yield _histogram(
        "setpoint_http_request_duration_seconds",
        "Time from a request to the beginning of its answer, by route.",
        {(route,): counted for route, counted in requests.durations.items()},
        ("route",),
    )
    yield _gauge("setpoint_http_requests_open", "Requests whose answer has not ended.", requests.open)
    yield _gauge("setpoint_live_readers", "Pages that are kept up to date.", live.readers)


_Values = float | Mapping[Any, float]
"""One value, or values by label value (or by a tuple of them)."""


def _counter(name: str, told: str, values: _Values, labels: Sequence[str] = ()) -> Metric:
    return _filled(CounterMetricFamily(name, told, labels=labels), values)


def _gauge(name: str, told: str, values: _Values, labels: Sequence[str] = ()) -> Metric:
    return _filled(GaugeMetricFamily(name, told, labels=labels), values)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: _Values) -> Metric:
    for key, value in values.items() if isinstance(values, Mapping) else [((), values)]:
        family.add_metric((key,) if isinstance(key, str) else key, value)
    return family


def _histogram(
    name: str, told: str, values: Mapping[tuple[str, ...], Counted], labels: Sequence[str] = ()
) -> Metric:
    family = HistogramMetricFamily(name, told, labels=labels)
    for key, counted in values.items():
        bounds = ["+Inf" if bound == float("inf") else repr(bound) for bound in counted.bounds_s]
        family.add_metric(key, list(zip(bounds, counted.counts, strict=True)), counted.sum_s)
    return family

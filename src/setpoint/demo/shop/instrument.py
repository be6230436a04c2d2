"""OpenTelemetry as a user of Setpoint would set it up: the SDK, four instrumentations, OTLP/HTTP.

Nothing here knows Setpoint but the address. `http.server.request.duration` follows the stable conventions,
which the instrumentations do once `OTEL_SEMCONV_STABILITY_OPT_IN=http` is in the environment before they are
imported; `__main__` sees to that.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import DropAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from starlette.routing import Match, Route
from starlette.types import ASGIApp

__all__ = ["instrument", "traced"]

_METRICS_EVERY_MS = 1000
_BATCH_DELAY_MS = 500
_TIMEOUT_S = 5
_UNTRACED = "/_health,/_fault"  # the runner's own calls are no traffic of the shop
_UNUSED = ("http.server.request.body.size", "http.server.response.body.size")


def instrument(service: str, version: str, otlp_url: str) -> Callable[[], None]:
    """Send this process's traces, metrics and logs to `otlp_url` (without `/v1/…`); returns what flushes and
    ends it."""
    resource = Resource.create(
        {
            "service.name": service,
            "service.version": version,
            "service.instance.id": str(uuid4()),
            "deployment.environment.name": "demo",
        }
    )
    base = otlp_url.rstrip("/")
    spans = TracerProvider(resource=resource)
    spans.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(f"{base}/v1/traces", timeout=_TIMEOUT_S), schedule_delay_millis=_BATCH_DELAY_MS
        )
    )
    trace.set_tracer_provider(spans)
    meters = MeterProvider(
        [
            PeriodicExportingMetricReader(
                OTLPMetricExporter(f"{base}/v1/metrics", timeout=_TIMEOUT_S),
                export_interval_millis=_METRICS_EVERY_MS,
            )
        ],
        resource,
        views=[View(instrument_name=name, aggregation=DropAggregation()) for name in _UNUSED],
    )
    metrics.set_meter_provider(meters)
    logs = LoggerProvider(resource)
    logs.add_log_record_processor(
        BatchLogRecordProcessor(
            OTLPLogExporter(f"{base}/v1/logs", timeout=_TIMEOUT_S), schedule_delay_millis=_BATCH_DELAY_MS
        )
    )
    set_logger_provider(logs)
    _set_up_logging()
    LoggingInstrumentor().instrument()
    HTTPXClientInstrumentor().instrument()
    SQLite3Instrumentor().instrument()
    _observe_memory()

    def end() -> None:
        for provider in (spans, logs, meters):
            provider.shutdown()

    return end


def traced(app: ASGIApp, routes: Sequence[Route]) -> ASGIApp:
    """`app` with a server span and the duration metric per request, named by its route."""

    def details(scope: Any) -> tuple[str, dict[str, Any]]:
        for route in routes:
            if route.matches(scope)[0] is Match.FULL:
                return f"{scope['method']} {route.path_format}", {"http.route": route.path_format}
        return str(scope["method"]), {}

    middleware: ASGIApp = OpenTelemetryMiddleware(
        app, excluded_urls=_UNTRACED, default_span_details=details, exclude_spans=["receive", "send"]
    )
    return middleware


def _set_up_logging() -> None:
    logging.getLogger().setLevel(logging.INFO)
    for chatty in ("httpx", "uvicorn"):  # a line per request or per start says less than the span
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # A failed export must not become a log record that has to be exported; it goes to the process's own file.
    exporters = logging.getLogger("opentelemetry")
    exporters.propagate = False
    exporters.addHandler(logging.StreamHandler())


def _observe_memory() -> None:
    statm, page_bytes = Path("/proc/self/statm"), os.sysconf("SC_PAGE_SIZE")
    if not statm.exists():
        return

    def resident(_options: metrics.CallbackOptions) -> Iterable[metrics.Observation]:
        yield metrics.Observation(int(statm.read_text().split()[1]) * page_bytes)

    metrics.get_meter("shop").create_observable_gauge(
        "process.memory.usage", [resident], unit="By", description="Resident memory of the process."
    )

"""What the real OpenTelemetry SDK sends over HTTP and gRPC, as rows in ClickHouse."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from setpoint.telemetry import Matcher, SampleColumns
from tests.telemetry.receive.loopback import Doors
from tests.telemetry.receive.messages import add_metric, metrics_request

RESOURCE = Resource({"service.name": "checkout", "service.instance.id": "c-1", "host.name": "node-a"})


@dataclass(frozen=True, slots=True)
class Exporters:
    """One exporter per signal, all to the same door."""

    spans: Callable[[], Any]
    metrics: Callable[[], Any]
    logs: Callable[[], Any]


@pytest.fixture(params=["http", "http gzip", "grpc"])
def exporters(request: pytest.FixtureRequest, doors: Doors) -> Iterator[Exporters]:
    """The SDK's exporters over HTTP (protobuf, plain and gzip) and gRPC."""
    if request.param == "grpc":
        where: dict[str, Any] = {"endpoint": doors.grpc_address, "insecure": True}
        yield Exporters(
            lambda: GrpcSpanExporter(**where),
            lambda: GrpcMetricExporter(**where),
            lambda: GrpcLogExporter(**where),
        )
        return
    compression = Compression.Gzip if "gzip" in request.param else Compression.NoCompression

    def at(exporter: Any, signal: str) -> Callable[[], Any]:
        return lambda: exporter(endpoint=f"{doors.url}/v1/{signal}", compression=compression)

    yield Exporters(
        at(HttpSpanExporter, "traces"), at(HttpMetricExporter, "metrics"), at(HttpLogExporter, "logs")
    )


def test_spans(doors: Doors, exporters: Exporters) -> None:
    provider = TracerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporters.spans()))
    tracer = provider.get_tracer("tests")
    with tracer.start_as_current_span(
        "POST /orders", kind=SpanKind.SERVER, attributes={"http.route": "/orders"}
    ) as parent:
        link = Link(parent.get_span_context(), {"why": "test"})
        child = tracer.start_span("charge", links=[link])
        child.add_event("refused", {"code": 51})
        child.set_status(Status(StatusCode.ERROR, "no funds"))
        child.end()
    assert provider.force_flush(10_000)
    provider.shutdown()
    found = doors.database.query(
        "SELECT name, kind, status, status_message, service, scope, duration_ns, "
        "lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS id, lower(hex(parent_span_id)) AS parent, "
        "attributes['http.route'] AS route, resource['host.name'] AS host, events.name AS events, "
        "events.attributes[1]['code'] AS code, lower(hex(links.span_id[1])) AS link FROM spans ORDER BY name"
    )
    context = parent.get_span_context()
    assert found["name"].tolist() == ["POST /orders", "charge"]
    assert found["kind"].tolist() == ["server", "internal"]
    assert found["status"].tolist() == ["UNSET", "ERROR"]
    assert found["status_message"].tolist() == ["", "no funds"]
    assert found["trace"].tolist() == [f"{context.trace_id:032x}"] * 2
    assert found["parent"].tolist() == ["0" * 16, f"{context.span_id:016x}"]
    assert found["id"][0] == f"{context.span_id:016x}"
    assert (found["route"][0], found["host"][0], found["service"][0]) == ("/orders", "node-a", "checkout")
    assert (list(found["events"][1]), found["code"][1]) == (["refused"], "51")
    assert found["link"][1] == f"{context.span_id:016x}"
    assert found["scope"].tolist() == ["tests", "tests"]
    assert (found["duration_ns"] > 0).all()


def samples(doors: Doors, metric: str) -> list[tuple[dict[str, str], float]]:
    """(labels, value) of every sample of `metric`, by time."""
    found = _stored(doors, metric)
    rows = [
        (found.timestamps_ms[place], dict(labels), float(found.values[place]))
        for number, labels in enumerate(found.labels)
        for place in range(found.offsets[number], found.offsets[number + 1])
    ]
    rows.sort(key=lambda row: (row[0], row[1].get("le", "")))
    return [(labels, value) for _, labels, value in rows]


def _stored(doors: Doors, metric: str) -> SampleColumns:
    doors.ingest.flush().result(20)
    return doors.store.read_samples([Matcher("__name__", "=", metric)], 0, 2**62)


def test_metrics(doors: Doors, exporters: Exporters) -> None:
    reader = PeriodicExportingMetricReader(exporters.metrics(), export_interval_millis=3_600_000)
    provider = MeterProvider([reader], resource=RESOURCE, shutdown_on_exit=False)
    meter = provider.get_meter("tests")
    orders = meter.create_counter("orders", "{order}", "Orders placed.")
    duration = meter.create_histogram(
        "http.server.request.duration", "s", explicit_bucket_boundaries_advisory=[0.1, 1]
    )
    fill = meter.create_gauge("queue.fill", "1")
    busy = meter.create_up_down_counter("workers.busy")
    orders.add(3, {"payment.method": "card"})
    for seconds in (0.05, 0.5, 5.0):
        duration.record(seconds)
    fill.set(0.25)
    busy.add(2)
    assert provider.force_flush(10_000)
    orders.add(2, {"payment.method": "card"})
    assert provider.force_flush(10_000)
    provider.shutdown()
    identity = {"job": "checkout", "instance": "c-1", "service_name": "checkout"}
    found = samples(doors, "orders_total")
    assert found[0][0] == {**identity, "__name__": "orders_total", "payment_method": "card"}
    assert [value for _, value in found][:3] == [0.0, 3.0, 5.0]
    buckets = samples(doors, "http_server_request_duration_seconds_bucket")
    assert [(labels["le"], value) for labels, value in buckets if value][:3] == [
        ("+Inf", 3.0),
        ("0.1", 1.0),
        ("1", 2.0),
    ]
    assert samples(doors, "queue_fill_ratio")[0] == ({**identity, "__name__": "queue_fill_ratio"}, 0.25)
    assert samples(doors, "workers_busy")[0][1] == 2.0
    info = samples(doors, "target_info")[0]
    assert (info[0]["host_name"], info[1]) == ("node-a", 1.0)
    doors.store.series.settle()
    described = doors.database.query(
        "SELECT type, unit, help, scope FROM series WHERE metric = 'orders_total'"
    )
    assert [described[name][0] for name in ("type", "unit", "help", "scope")] == [
        "counter",
        "",
        "Orders placed.",
        "tests",
    ]


def test_logs(doors: Doors, exporters: Exporters) -> None:
    provider = LoggerProvider(resource=RESOURCE, shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporters.logs()))
    logger = provider.get_logger("tests")
    tracer = TracerProvider(resource=RESOURCE, shutdown_on_exit=False).get_tracer("tests")
    with tracer.start_as_current_span("work") as span:
        logger.emit(
            LogRecord(
                severity_number=SeverityNumber.WARN,
                severity_text="WARNING",
                body="stock is low",
                attributes={"sku": "A-1", "left": 3},
            )
        )
    logger.emit(LogRecord(severity_number=SeverityNumber.INFO, body={"text": "done", "n": [1, 2]}))
    assert provider.force_flush(10_000)
    provider.shutdown()
    found = doors.database.query(
        "SELECT severity, severity_number, body, lower(hex(trace_id)) AS trace, lower(hex(span_id)) AS span, "
        "attributes['left'] AS left_, service, ts_ns, observed_ns FROM logs ORDER BY severity_number"
    )
    context = span.get_span_context()
    assert found["severity"].tolist() == ["INFO", "WARNING"]
    assert found["body"].tolist() == ['{"n":[1,2],"text":"done"}', "stock is low"]
    assert found["trace"].tolist() == ["0" * 32, f"{context.trace_id:032x}"]
    assert found["span"][1] == f"{context.span_id:016x}"
    assert found["left_"][1] == "3"
    assert (found["ts_ns"] > 1_600_000_000 * 10**9).all()


def test_the_stale_marker_keeps_its_bits_in_the_database(doors: Doors) -> None:
    """Written here, because the SDK never sends NO_RECORDED_VALUE: a collector does."""
    request, scope = metrics_request()
    add_metric(scope, "gone", "gauge").data_points.add(flags=1, time_unix_nano=time.time_ns())
    answer = httpx.post(
        f"{doors.url}/v1/metrics",
        content=request.SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    )
    assert answer.status_code == 200
    assert _stored(doors, "gone").values.view(np.uint64).tolist() == [0x7FF0000000000002]

"""Calls between services are read from traces: parents in another service, remembered for a day."""

from __future__ import annotations

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from setpoint.clock import SystemClock, VirtualClock
from setpoint.database import TelemetryDatabase
from setpoint.objective.service_map import ServiceMap
from setpoint.objective.source.calls import TracedCalls
from setpoint.telemetry import SignalStore
from setpoint.telemetry.model import SpanBatch
from setpoint.telemetry.receive.decode_traces import decode_traces

NOW_MS = SystemClock().now_ms()
SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5


def store(database: TelemetryDatabase, now_ms: int, *spans: tuple[str, int, int, int, int]) -> None:
    """Spans as (service, kind, trace, span, parent; 0 for none) that ended a minute ago."""
    request = ExportTraceServiceRequest()
    for service, kind, trace, span, parent in spans:
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = service
        one = resource.scope_spans.add().spans.add()
        one.trace_id, one.span_id = trace.to_bytes(16, "big"), span.to_bytes(8, "big")
        one.parent_span_id = parent.to_bytes(8, "big") if parent else b""
        one.name, one.kind = "call", kind
        one.end_time_unix_nano = (now_ms - 60_000) * 1_000_000
        one.start_time_unix_nano = one.end_time_unix_nano - 1_000_000
    decoded = decode_traces(request, now_ms)
    assert isinstance(decoded.batch, SpanBatch)
    SignalStore(database).write_spans([decoded.batch])


def test_parents_in_another_service(telemetry_database: TelemetryDatabase) -> None:
    clock = VirtualClock(NOW_MS)
    calls = TracedCalls(telemetry_database, clock)
    assert calls.known().direct == {}
    assert calls.looked_ms == NOW_MS
    store(
        telemetry_database,
        NOW_MS,
        ("web", SERVER, 1, 1, 0),
        ("web", CLIENT, 1, 2, 1),
        ("cart", SERVER, 1, 3, 2),
        ("cart", PRODUCER, 1, 4, 3),
        ("mail", CONSUMER, 1, 5, 4),
        ("elsewhere", SERVER, 2, 6, 2),  # of another trace
        ("lost", SERVER, 3, 7, 99),  # its caller sends no spans
    )
    assert calls.known().direct == {}, "looked a moment ago"
    clock.advance(601)
    found = calls.known()
    assert found.direct == {"cart": ("mail",), "web": ("cart",)}
    assert found.all_of("web") == ("cart", "mail")
    clock.advance(6 * 3600)
    assert calls.known().direct == found.direct, "remembered while it is quiet"
    store(telemetry_database, clock.now_ms(), ("web", CLIENT, 9, 12, 0), ("login", SERVER, 9, 13, 12))
    clock.advance(601)
    assert calls.known().of("web") == ("cart", "login")
    clock.advance(19 * 3600)
    store(telemetry_database, clock.now_ms(), ("a", CLIENT, 10, 14, 0))
    clock.advance(601)
    assert calls.known().of("web") == ("login",), "forgotten after a day"


def test_declared_ones_stand_first(telemetry_database: TelemetryDatabase) -> None:
    from tests.objective.test_dependencies import services

    store(telemetry_database, NOW_MS, ("a", CLIENT, 1, 2, 0), ("d", SERVER, 1, 3, 2), ("c", SERVER, 1, 4, 2))
    found = ServiceMap(TracedCalls(telemetry_database, VirtualClock(NOW_MS)))
    before_ms = found.traced_ms
    assert before_ms is None
    found.follow(services(a="cb", b=""))
    assert found.dependencies_of("a") == ("c", "b", "d")
    assert found.known().of("b") == ()
    assert found.traced_ms == NOW_MS
    assert ServiceMap().traced_ms is None

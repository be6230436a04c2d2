"""Spans as a service sends them: an OTLP request, decoded by the receiver's code, stored as ingest stores them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from setpoint.database import TelemetryDatabase
from setpoint.telemetry import SignalStore
from setpoint.telemetry.model import SpanBatch
from setpoint.telemetry.receive.decode_traces import decode_traces

__all__ = ["Span", "store_spans"]

_NUMBERS = itertools.count(1)
KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")


@dataclass(frozen=True)
class Span:
    """One span by its end; `status` 0 unset, 1 ok, 2 error."""

    end_ms: int
    duration_ms: float = 10
    service: str = "shop"
    name: str = "POST /pay"
    kind: str = "server"
    status: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    resource: Mapping[str, str] = field(default_factory=dict)
    number: int = field(default_factory=lambda: next(_NUMBERS))


def store_spans(database: TelemetryDatabase, spans: Iterable[Span], now_ms: int) -> None:
    """Decode and store; spans of one call become one block."""
    request = ExportTraceServiceRequest()
    for span in spans:
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = span.service
        for key, value in span.resource.items():
            resource.resource.attributes.add(key=key).value.string_value = value
        one = resource.scope_spans.add().spans.add()
        one.trace_id, one.span_id = span.number.to_bytes(16, "big"), span.number.to_bytes(8, "big")
        one.name, one.kind = span.name, KINDS.index(span.kind)
        one.end_time_unix_nano = span.end_ms * 1_000_000
        one.start_time_unix_nano = one.end_time_unix_nano - round(span.duration_ms * 1e6)
        one.status.code = span.status
        for key, value in span.attributes.items():
            one.attributes.add(key=key).value.string_value = value
    decoded = decode_traces(request, now_ms)
    assert isinstance(decoded.batch, SpanBatch)
    assert not decoded.rejections.count
    SignalStore(database).write_spans([decoded.batch])

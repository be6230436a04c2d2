"""How many messages one request may hold, so that a small body of empty messages cannot occupy the server.

A parsed message takes up to 40 times its bytes (two bytes on the wire are one message), and each costs a microsecond to
walk. They are therefore counted on the wire bytes (`message_count`, and the kernels for metrics) before the protobuf
library makes a single one, and only one large body is parsed at a time (`LARGE_BODY`).
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from setpoint.errors import TooLarge
from setpoint.telemetry.receive.message_count import EXCESS, Schema

__all__ = [
    "LARGE_BODY",
    "LARGE_BODY_BYTES",
    "MAX_ATTRIBUTES",
    "MAX_BUCKETS",
    "MAX_CONTAINERS",
    "MAX_ITEMS",
    "MAX_MESSAGES",
    "MAX_ROWS",
    "refuse_excess",
    "too_many",
]

LARGE_BODY = threading.Lock()
"""Held while a body of more than `LARGE_BODY_BYTES` is parsed and decoded, across all protocols."""

LARGE_BODY_BYTES = 1 << 20
MAX_ITEMS = 1_000_000
"""Spans, log records or data points of one request."""

MAX_ATTRIBUTES = 1_000
"""Attributes of one item or resource; OpenTelemetry's SDKs stop at 128."""

MAX_BUCKETS = 1_000
"""Buckets of one histogram, or quantiles of one summary, each of which is a series."""

MAX_CONTAINERS = 100_000
"""Resources, scopes and metrics of one request."""

MAX_ROWS = 5_000_000
"""Samples that the points of one request make."""

MAX_MESSAGES = 4_000_000
"""Messages of any kind in a body that is parsed: an honest one of 64 MiB has as many, and they take some 350 MB."""

_LEVELS = {
    "traces": (("ResourceSpans", "ScopeSpans"), ("Span",)),
    "metrics": (
        ("ResourceMetrics", "ScopeMetrics", "Metric"),
        ("NumberDataPoint", "HistogramDataPoint", "ExponentialHistogramDataPoint", "SummaryDataPoint"),
    ),
    "logs": (("ResourceLogs", "ScopeLogs"), ("LogRecord",)),
}
_ROOTS: dict[str, Any] = {
    "traces": trace_service_pb2.ExportTraceServiceRequest,
    "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "logs": logs_service_pb2.ExportLogsServiceRequest,
}


def refuse_excess(signal: str, body: bytes) -> None:
    """Raise TooLarge when a request holds more messages than an honest sender puts into one.

    `body` is the request in protobuf; where it is none, what comes before the fault is counted, and the rest will not
    be parsed.
    """
    status, counts = _schema(signal).count(body, MAX_MESSAGES)
    containers, items = _LEVELS[signal]
    if sum(counts[name] for name in containers) > MAX_CONTAINERS:
        raise too_many(MAX_CONTAINERS)
    if sum(counts[name] for name in items) > MAX_ITEMS:
        raise too_many(MAX_ITEMS)
    if status == EXCESS:
        raise too_many(MAX_MESSAGES)


def too_many(limit: int) -> TooLarge:
    """The error for a request with more than `limit` messages."""
    return TooLarge(f"the request holds more than {limit} messages of one level; send smaller batches")


@lru_cache(maxsize=8)
def _schema(signal: str) -> Schema:
    return Schema(_ROOTS[signal].DESCRIPTOR)

"""OTLP requests for the tests, built with the real protobuf messages."""

from __future__ import annotations

import time
from typing import Any

from setpoint.telemetry.receive.receiver import SERVICES, Signal

__all__ = [
    "NOW_MS",
    "NOW_NS",
    "add_attributes",
    "add_metric",
    "full_request",
    "log_request",
    "metrics_request",
    "span_request",
]

NOW_MS = 1_800_000_000_000
NOW_NS = NOW_MS * 1_000_000
TRACE_ID = bytes(range(1, 17))
SPAN_ID = bytes(range(1, 9))
RESOURCE = {
    "service.name": "checkout",
    "service.namespace": "shop",
    "service.instance.id": "checkout-1",
    "service.version": "1.4.2",
    "host.name": "node-a",
}


def add_attributes(attributes: Any, values: dict[str, Any]) -> None:
    """Append `values` (str, bool, int, float, bytes, list, dict, None) as KeyValue messages."""
    for key, value in values.items():
        pair = attributes.add(key=key)
        _set_value(pair.value, value)


def _set_value(target: Any, value: Any) -> None:
    match value:
        case bool():
            target.bool_value = value
        case str():
            target.string_value = value
        case int():
            target.int_value = value
        case float():
            target.double_value = value
        case bytes():
            target.bytes_value = value
        case list():
            target.array_value.SetInParent()
            for item in value:
                _set_value(target.array_value.values.add(), item)
        case dict():
            target.kvlist_value.SetInParent()
            add_attributes(target.kvlist_value.values, value)


def metrics_request(resource: dict[str, Any] | None = None) -> tuple[Any, Any]:
    """An empty metrics request and its one ScopeMetrics."""
    request = SERVICES["metrics"].request()
    resource_metrics = request.resource_metrics.add()
    add_attributes(resource_metrics.resource.attributes, RESOURCE if resource is None else resource)
    scope_metrics = resource_metrics.scope_metrics.add()
    scope_metrics.scope.name = "tests"
    return request, scope_metrics


def add_metric(scope_metrics: Any, name: str, shape: str, unit: str = "", **fields: Any) -> Any:
    """Append a metric and return its data (Sum, Gauge, …); sums and histograms are cumulative unless told
    otherwise.
    """
    metric = scope_metrics.metrics.add(name=name, unit=unit, description=f"about {name}")
    data = getattr(metric, shape)
    data.SetInParent()
    if shape in ("sum", "histogram", "exponential_histogram"):
        data.aggregation_temporality = 2
    for field, value in fields.items():
        setattr(data, field, value)
    return data


def span_request(now_ns: int = NOW_NS, **changes: Any) -> tuple[Any, Any]:
    """A traces request with one complete span, and that span."""
    request = SERVICES["traces"].request()
    resource_spans = request.resource_spans.add()
    add_attributes(resource_spans.resource.attributes, RESOURCE)
    scope_spans = resource_spans.scope_spans.add()
    scope_spans.scope.name = "tests"
    fields = {
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "parent_span_id": bytes(7) + b"\1",
        "name": "POST /orders",
        "kind": 2,
        "start_time_unix_nano": now_ns - 5_000_000,
        "end_time_unix_nano": now_ns,
        "trace_state": "a=b",
    }
    span = scope_spans.spans.add(**{**fields, **changes})
    span.status.code, span.status.message = 2, "card refused"
    add_attributes(
        span.attributes, {"http.route": "/orders", "http.response.status_code": 500, "cached": False}
    )
    event = span.events.add(name="exception", time_unix_nano=now_ns - 1_000_000)
    add_attributes(event.attributes, {"exception.type": "ValueError"})
    add_attributes(span.links.add(trace_id=TRACE_ID, span_id=SPAN_ID).attributes, {"why": "retry"})
    return request, span


def log_request(now_ns: int = NOW_NS, **changes: Any) -> tuple[Any, Any]:
    """A logs request with one complete record, and that record."""
    request = SERVICES["logs"].request()
    resource_logs = request.resource_logs.add()
    add_attributes(resource_logs.resource.attributes, RESOURCE)
    scope_logs = resource_logs.scope_logs.add()
    scope_logs.scope.name = "tests"
    fields = {
        "time_unix_nano": now_ns - 2_000_000,
        "observed_time_unix_nano": now_ns - 1_000_000,
        "severity_number": 17,
        "severity_text": "ERROR",
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
    }
    record = scope_logs.log_records.add(**{**fields, **changes})
    record.body.string_value = "card refused: no funds"
    add_attributes(record.attributes, {"order.id": 17, "items": ["a", 1, {"b": 2.5}]})
    return request, record


def full_metrics_request(now_ns: int = NOW_NS) -> Any:
    """A metrics request with every supported shape."""
    request, scope_metrics = metrics_request()
    times = {"time_unix_nano": now_ns, "start_time_unix_nano": now_ns - 60_000_000_000}
    counter = add_metric(scope_metrics, "orders", "sum", "{order}", is_monotonic=True)
    add_attributes(
        counter.data_points.add(as_int=3, **times).attributes, {"payment.method": "card", "retry": True}
    )
    gauge = add_metric(scope_metrics, "queue.fill", "gauge", "1")
    gauge.data_points.add(as_double=float("nan"), **times)
    histogram = add_metric(scope_metrics, "http.server.request.duration", "histogram", "s")
    point = histogram.data_points.add(
        count=6, sum=1.5, bucket_counts=[1, 2, 3], explicit_bounds=[0.005, 1.0], **times
    )
    add_attributes(point.attributes, {"http.route": "/orders"})
    summary = add_metric(scope_metrics, "gc.pause", "summary", "ms")
    point = summary.data_points.add(count=2, sum=7.0, **times)
    point.quantile_values.add(quantile=0.5, value=3.0)
    return request


def full_request(signal: Signal, now_ns: int | None = None) -> Any:
    """A request of `signal` that uses every field; `now_ns` is the machine's clock unless given."""
    now_ns = time.time_ns() if now_ns is None else now_ns
    if signal == "metrics":
        return full_metrics_request(now_ns)
    request, _ = span_request(now_ns) if signal == "traces" else log_request(now_ns)
    return request

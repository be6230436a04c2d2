"""OTLP spans to the columns of the table `spans`. The receiver hands every traces request to
`decode_traces`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from setpoint.telemetry.model import SpanBatch
from setpoint.telemetry.receive.attributes import Resource, attribute_map
from setpoint.telemetry.receive.outcome import SPAN_RETENTION_S, Bounds, Decoded, Rejections

__all__ = ["decode_traces"]

_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("UNSET", "OK", "ERROR")
_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)
_INT64_MAX = 2**63 - 1
_COLUMNS = (
    "service", "name", "kind", "start_ns", "duration_ns", "trace_id", "span_id", "parent_span_id",
    "trace_state", "status", "status_message", "attributes", "resource", "scope", "events", "links",
)  # fmt: skip


def decode_traces(request: Any, now_ms: int) -> Decoded:
    """The batch of an `ExportTraceServiceRequest`.

    Spans with an invalid id or an instant out of bounds are rejected. A span that ends before it starts
    gets the duration 0.
    """
    rejections, bounds = Rejections(), Bounds.at(now_ms, SPAN_RETENTION_S)
    rows: list[tuple[Any, ...]] = []
    for resource_spans in request.resource_spans:
        resource = Resource.of(resource_spans.resource)
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                reason = _fault(span, bounds)
                if reason is not None:
                    rejections.add(reason)
                    continue
                rows.append(_row(span, resource, scope_spans.scope.name, rejections))
    columns = (
        dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
        if rows
        else {n: [] for n in _COLUMNS}
    )
    return Decoded(SpanBatch(columns), len(rows), rejections)


def _fault(span: Any, bounds: Bounds) -> str | None:
    if len(span.trace_id) != 16 or span.trace_id == _NO_TRACE:
        return "the trace id is not 16 bytes with at least one that is not 0"
    if len(span.span_id) != 8 or span.span_id == _NO_SPAN:
        return "the span id is not 8 bytes with at least one that is not 0"
    if len(span.parent_span_id) not in (0, 8):
        return "the parent span id is neither empty nor 8 bytes"
    reason = bounds.fault(span.start_time_unix_nano)
    if reason is None and span.end_time_unix_nano > bounds.newest_ns:
        reason = bounds.fault(span.end_time_unix_nano)
    return None if reason is None else f"{reason} (span '{span.name}')"


def _row(span: Any, resource: Resource, scope: str, rejections: Rejections) -> tuple[Any, ...]:
    code = span.status.code
    return (
        resource.service,
        span.name,
        _KINDS[span.kind] if 0 <= span.kind < len(_KINDS) else _KINDS[0],
        span.start_time_unix_nano,
        max(0, span.end_time_unix_nano - span.start_time_unix_nano),
        span.trace_id,
        span.span_id,
        span.parent_span_id or _NO_SPAN,
        span.trace_state,
        _STATUSES[code] if 0 <= code < len(_STATUSES) else _STATUSES[0],
        span.status.message,
        attribute_map(span.attributes),
        resource.attributes,
        scope,
        [
            (min(event.time_unix_nano, _INT64_MAX), event.name, attribute_map(event.attributes))
            for event in span.events
        ],
        _links(span.links, rejections),
    )


def _links(links: Iterable[Any], rejections: Rejections) -> list[tuple[bytes, bytes, dict[str, str]]]:
    kept = []
    for link in links:
        if len(link.trace_id) == 16 and len(link.span_id) == 8:
            kept.append((link.trace_id, link.span_id, attribute_map(link.attributes)))
        else:
            rejections.note("span links with an invalid trace or span id were left out")
    return kept

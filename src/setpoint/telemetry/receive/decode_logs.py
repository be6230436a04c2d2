"""OTLP log records to the columns of the table `logs`. The receiver hands every logs request to
`decode_logs`.
"""

from __future__ import annotations

import hashlib
from typing import Any

from setpoint.telemetry.model import LogBatch
from setpoint.telemetry.receive.attributes import Resource, attribute_map, value_text
from setpoint.telemetry.receive.outcome import LOG_RETENTION_S, Bounds, Decoded, Rejections

__all__ = ["decode_logs"]

_NO_TRACE, _NO_SPAN = bytes(16), bytes(8)
_SEVERITY_MAX = 24
_COLUMNS = (
    "service", "ts_ns", "observed_ns", "id", "severity_number", "severity", "body", "trace_id", "span_id",
    "attributes", "resource", "scope",
)  # fmt: skip
_LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")


def decode_logs(request: Any, now_ms: int) -> Decoded:
    """The batch of an `ExportLogsServiceRequest`.

    A record without a time takes the time it was observed, or else now. An invalid trace or span id means,
    as the protocol says, that the record belongs to no trace; it is not rejected for that.
    """
    rejections, bounds = Rejections(), Bounds.at(now_ms, LOG_RETENTION_S)
    rows: list[tuple[Any, ...]] = []
    index = 0
    for resource_logs in request.resource_logs:
        resource = Resource.of(resource_logs.resource)
        seed = hashlib.blake2b(resource_logs.resource.SerializeToString(), digest_size=8)
        for scope_logs in resource_logs.scope_logs:
            for record in scope_logs.log_records:
                index += 1
                observed_ns = record.observed_time_unix_nano or now_ms * 1_000_000
                at_ns = record.time_unix_nano or observed_ns
                reason = bounds.fault(at_ns)
                if reason is not None:
                    rejections.add(f"{reason} (log record)")
                    continue
                if bounds.fault(observed_ns) is not None:
                    observed_ns = now_ms * 1_000_000
                identity = seed.copy()
                identity.update(index.to_bytes(8, "little") + record.SerializeToString())
                number = int.from_bytes(identity.digest(), "little")
                rows.append(_row(record, resource, scope_logs.scope.name, (at_ns, observed_ns, number)))
    columns = (
        dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True))
        if rows
        else {n: [] for n in _COLUMNS}
    )
    return Decoded(LogBatch(columns), len(rows), rejections)


def _row(record: Any, resource: Resource, scope: str, identity: tuple[int, int, int]) -> tuple[Any, ...]:
    severity = record.severity_number if 0 <= record.severity_number <= _SEVERITY_MAX else 0
    attributes = attribute_map(record.attributes)
    if record.event_name:
        attributes.setdefault("event.name", record.event_name)
    return (
        resource.service,
        *identity,
        severity,
        record.severity_text or (_LEVELS[(severity - 1) // 4] if severity else ""),
        value_text(record.body),
        record.trace_id if len(record.trace_id) == 16 else _NO_TRACE,
        record.span_id if len(record.span_id) == 8 else _NO_SPAN,
        attributes,
        resource.attributes,
        scope,
    )

"""How many messages one request may hold, so that a small body of empty messages cannot occupy the server.

A parsed message takes up to 40 times its bytes (two bytes on the wire are one message), and each costs a
microsecond to walk. `Receiver` therefore counts before it walks, and parses only one large body at a time
(`LARGE_BODY`).
"""

from __future__ import annotations

import threading
from typing import Any

from setpoint.errors import TooLarge

__all__ = ["LARGE_BODY", "LARGE_BODY_BYTES", "MAX_ATTRIBUTES", "MAX_ITEMS", "refuse_excess"]

LARGE_BODY = threading.Lock()
"""Held while a body of more than `LARGE_BODY_BYTES` is parsed and decoded, across all protocols."""

LARGE_BODY_BYTES = 1 << 20
MAX_ITEMS = 1_000_000
"""Spans, log records or data points of one request."""

MAX_ATTRIBUTES = 1_000
"""Attributes of one item or resource; OpenTelemetry's SDKs stop at 128."""

_MAX_CONTAINERS = 100_000
"""Resources, scopes and metrics of one request."""

_LEVELS = {
    "traces": ("resource_spans", "scope_spans", "spans"),
    "metrics": ("resource_metrics", "scope_metrics", "metrics"),
    "logs": ("resource_logs", "scope_logs", "log_records"),
}


def refuse_excess(signal: str, request: Any) -> None:
    """Raise TooLarge when a parsed request holds more messages than an honest sender puts into one."""
    resources, scopes, items = _LEVELS[signal]
    containers = _within(len(getattr(request, resources)), _MAX_CONTAINERS)
    total = 0
    for resource in getattr(request, resources):
        containers = _within(containers + len(getattr(resource, scopes)), _MAX_CONTAINERS)
        for scope in getattr(resource, scopes):
            if signal == "metrics":
                containers = _within(containers + len(scope.metrics), _MAX_CONTAINERS)
                total = _within(total + sum(map(_points, scope.metrics)), MAX_ITEMS)
            else:
                total = _within(total + len(getattr(scope, items)), MAX_ITEMS)


def _points(metric: Any) -> int:
    shape = metric.WhichOneof("data")
    return len(getattr(metric, shape).data_points) if shape else 0


def _within(count: int, limit: int) -> int:
    if count > limit:
        raise TooLarge(f"the request holds more than {limit} messages of one level; send smaller batches")
    return count

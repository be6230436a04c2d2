"""Queries that other pages link to: what stands in a row of theirs, as PromQL that makes sense of it.

`explore` begins with them, `usage` and `targets` link their rows.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from setpoint.web.page import query_string

__all__ = ["address", "of_family", "of_usage", "selector"]

_METRIC = re.compile(r"[A-Za-z_:][\w:]*", re.ASCII)
_LABEL = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_COUNTER = ("_total", "_count", "_sum", "_bucket")
_PART = re.compile(r"_(?:bucket|count|sum)$")
_MANY_SERIES = 500


def address(query: str) -> str:
    """The page of metrics with `query`; empty for an empty one."""
    return "/explore" + query_string(q=query) if query else ""


def selector(name: str, labels: Mapping[str, str]) -> str:
    """A selector of a metric (empty for all) with these labels, names that PromQL cannot write bare between quotes."""
    bare = name if _METRIC.fullmatch(name) else ""
    parts = [_quoted(name)] if name and not bare else []
    parts += [
        f"{label if _LABEL.fullmatch(label) else _quoted(label)}={_quoted(value)}"
        for label, value in labels.items()
    ]
    return f"{bare}{{{', '.join(parts)}}}" if parts else bare


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def of_family(name: str, known: Collection[str]) -> tuple[str, list[tuple[str, str]]]:
    """The name of a metric, or of the histogram that it is a part of, and queries that make sense of it, in words."""
    base = _PART.sub("", name)
    if f"{base}_bucket" in known:
        buckets, counts = selector(f"{base}_bucket", {}), selector(f"{base}_count", {})
        return base, [
            ("per second", f"sum(rate({counts}[5m]))"),
            ("95th percentile", f"histogram_quantile(0.95, sum by (le) (rate({buckets}[5m])))"),
        ]
    if name.endswith(_COUNTER):
        return name, [("per second", f"sum(rate({selector(name, {})}[5m]))")]
    return name, [("values", selector(name, {}))]


def of_usage(by: str, name: str, series: int) -> str:
    """A query of a row of telemetry's usage; empty where its name is in no label."""
    if by == "metric" and name:
        written = selector(name, {})
        if name.endswith(_COUNTER):
            return f"sum(rate({written}[5m]))"
        return written if series <= _MANY_SERIES else f"topk(20, {written})"
    if by == "pair":
        label, _, value = name.partition("=")
        return f"count by (__name__) ({selector('', {label: value[1:-1]})})"
    if by == "label" and _LABEL.fullmatch(name) and name != "__name__":
        return f'count by ({name}) ({{{name}!=""}})' if series <= 20 * _MANY_SERIES else ""
    return ""

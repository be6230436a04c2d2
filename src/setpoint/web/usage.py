"""The page and JSON of telemetry: what comes in, who sends it, what it costs, what was refused and why.

`UsageMeter`, `Protection` and `SizeMeter` know; this module shows. `/api/v1/status/tsdb` answers the same
questions in Prometheus's shape, which its own page, Grafana's and promtool-like tools read.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from setpoint.app import App
from setpoint.telemetry.sizes import outlook
from setpoint.telemetry.usage import SORTS, By, Sort
from setpoint.web import ready_queries
from setpoint.web.page import Parts, json_answer, plain, query_string, render, wants_json
from setpoint.web.roles import needs

__all__ = ["router"]

_ROWS, _ROWS_MAX = 25, 1000
_REFUSALS_SHOWN = 12
_TIGHT = 0.85
_REFUSING_MS = 5 * 60_000
_TSDB_ROWS, _TSDB_ROWS_MAX = 10, 10_000

Limit = Annotated[int, Query(ge=1, le=_ROWS_MAX)]

router = APIRouter()


@router.get("/telemetry")
@needs("viewer")
def show_telemetry(
    request: Request, parts: Parts, by: By = "metric", sort: Sort | None = None, limit: Limit = _ROWS
) -> Response:
    top = parts.usage.top(by, sort, limit)
    figures = _figures(parts)
    refusals = parts.protection.refusals
    if wants_json(request):
        return json_answer(
            {"figures": figures, "refusals": refusals, "limits": parts.protection.limits, "top": top}
        )
    now_ms = parts.clock.now_ms()
    lately = [refusal for refusal in refusals if now_ms - refusal.last_ms < _REFUSING_MS]

    def address(**changed: Any) -> str:
        given = {"by": by, "sort": top.sort, "limit": limit} | changed
        usual = {"by": "metric", "sort": SORTS[given["by"]][0], "limit": _ROWS}
        return "/telemetry" + query_string(**{name: v for name, v in given.items() if v != usual[name]})

    return render(
        request,
        "telemetry.html",
        now_ms=now_ms,
        figures=figures,
        limits=parts.protection.limits,
        refusals=refusals[:_REFUSALS_SHOWN],
        refusals_hidden=max(0, len(refusals) - _REFUSALS_SHOWN),
        is_tight=figures["series_places"] > _TIGHT * figures["series_limit"],
        disk_room=_disk_room(figures),
        worst=max(lately, key=lambda refusal: refusal.samples, default=None),
        top=top,
        explore=lambda row: ready_queries.address(ready_queries.of_usage(top.by, row.name, row.series)),
        tabs=[(name, address(by=name, sort=None, limit=_ROWS)) for name in SORTS],
        sorts={name: address(sort=name) for name in SORTS[by]},
        more=address(limit=min(_ROWS_MAX, limit * 4)) if top.total > limit < _ROWS_MAX else None,
        base_url=str(request.base_url).rstrip("/"),
    )


@router.get("/api/telemetry/top")
@needs("viewer")
def show_top(parts: Parts, by: By = "metric", sort: Sort | None = None, limit: Limit = _ROWS) -> Response:
    return json_answer(parts.usage.top(by, sort, limit))


def _figures(parts: App) -> dict[str, Any]:
    """The head figures of the page; bytes, seconds and counts as their names say."""
    stats, size, settings = parts.ingest.stats, parts.sizes.latest, parts.settings
    memory = parts.usage.memory_bytes
    series = parts.table.size
    return {
        "series": series,
        "series_places": parts.protection.counted,
        "series_limit": parts.protection.limits.series,
        "new_series_last_hour": parts.usage.arrived,
        "samples_per_s": parts.usage.samples_per_s,
        "senders": parts.protection.senders,
        "queue_bytes": stats.queue_bytes,
        "queue_limit_bytes": settings.queue_limit_mb << 20,
        "memory_bytes": memory,
        "memory_bytes_per_series": sum(memory.values()) / series if series else None,
        "disk_bytes": size.bytes,
        "disk_free_bytes": size.free_bytes,
        "disk_bytes_per_sample": size.sample_bytes,
        "disk_limit_bytes": (settings.disk_limit_gb * 1e9) or None,
        "retention_days": settings.retention_days,
        "outlook": outlook(
            size,
            parts.usage.samples_per_s,
            settings.retention_days,
            (settings.disk_limit_gb * 1e9) or None,
            series,
            settings.rollup_retention_days,
        ),
    }


def _disk_room(figures: dict[str, Any]) -> float | None:
    """What the database may take: its budget, or what it has and the disk's free bytes; None when unknown."""
    rooms = [figures["disk_limit_bytes"]]
    if figures["disk_free_bytes"] is not None:
        rooms.append(figures["disk_bytes"] + figures["disk_free_bytes"])
    return min((room for room in rooms if room), default=None)


@router.get("/api/v1/status/tsdb")
@needs("viewer")
def show_tsdb_status(
    parts: Parts, limit: Annotated[int, Query(ge=1, le=_TSDB_ROWS_MAX)] = _TSDB_ROWS
) -> Response:
    metrics = parts.usage.top("metric", "series", limit).rows
    labels = parts.usage.top("label", "values", limit).rows
    heavy = parts.usage.top("label", "memory", limit).rows
    pairs = parts.usage.top("pair", "series", limit)
    horizon_ms = parts.head.horizon_ms
    now_ms = parts.clock.now_ms()
    data = {
        "headStats": {
            "numSeries": parts.table.size,
            "numLabelPairs": pairs.total,
            "chunkCount": parts.head.series_count,
            "minTime": max(parts.head.covers_from_ms, now_ms - horizon_ms),
            "maxTime": parts.head.newest_ms or now_ms,
        },
        "seriesCountByMetricName": [{"name": row.name, "value": row.series} for row in metrics],
        "labelValueCountByLabelName": [{"name": row.name, "value": row.values} for row in labels],
        "memoryInBytesByLabelName": [{"name": row.name, "value": row.memory_bytes} for row in heavy],
        "seriesCountByLabelValuePair": [
            {"name": row.name.replace('="', "=", 1).removesuffix('"'), "value": row.series}
            for row in pairs.rows
        ],
    }
    return json_answer({"status": "success", "data": plain(data)})

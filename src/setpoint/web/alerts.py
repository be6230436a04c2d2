"""Alerts that fire, as page and JSON, and what alerts did before: who is paged now, by what, and who hears of it.

`AlertBook` holds the alerts, `Dispatcher` says what mutes them; `alert_rows` filters and orders. One alert is `alert`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from setpoint.alert.model import Alert
from setpoint.app import App
from setpoint.errors import InvalidInput
from setpoint.timeline import Event
from setpoint.web.alert_rows import (
    GROUPINGS,
    STATES,
    AlertRow,
    alert_row,
    chosen,
    counted,
    grouped,
    matcher_text,
    ordered,
)
from setpoint.web.format import day
from setpoint.web.objective import segment
from setpoint.web.page import Parts, json_answer, plain, query_string, render, wants_json
from setpoint.web.roles import needs
from setpoint.web.timeline import ALERT_KINDS

__all__ = ["router", "silence_url"]


_ON_A_PAGE, _EVENTS = 100, 100

router = APIRouter()


@router.get("/alerts")
@needs("viewer")
def list_alerts(
    request: Request,
    parts: Parts,
    *,
    q: Annotated[str, Query(max_length=2000)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
    by: Annotated[str, Query(max_length=20)] = "service",
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = _ON_A_PAGE,
) -> Response:
    if state and state not in STATES:
        raise InvalidInput(f"there is no state '{state[:40]}' of alerts; write {', '.join(STATES)}")
    if by not in GROUPINGS:
        raise InvalidInput(f"alerts are grouped by {', '.join(GROUPINGS)}, not by '{by[:40]}'")
    now_ms = parts.clock.now_ms()
    pairs = _rows(parts, now_ms)
    matching, fault = _matching(pairs, q)
    if fault and wants_json(request):
        raise InvalidInput(fault)
    counts = counted(matching)
    rows = ordered(row for row in matching if not state or row.state == state)
    shown = rows[offset : offset + limit]
    more = offset + limit < len(rows)
    answer: dict[str, Any] = {
        "total": len(pairs),
        "matching": len(rows),
        "paging": sum(row.is_paging and row.state == "firing" for row in rows),
        "counts": counts,
        "next": "/alerts" + query_string(q=q, state=state, by=_unless(by, "service"), offset=offset + limit)
        if more
        else None,
    }
    if wants_json(request):
        alerts = {alert.fingerprint: alert for alert, _ in pairs}
        return json_answer({"items": [_told(row, alerts[row.fingerprint]) for row in shown]} | answer)
    return render(
        request,
        "alerts.html",
        **answer,
        groups=grouped(shown, by),
        first=rows[0] if rows else None,
        q=q,
        state=state,
        by=by,
        fault=fault,
        offset=offset,
        groupings=[
            (name, "/alerts" + query_string(q=q, state=state, by=_unless(name, "service")))
            for name in GROUPINGS
        ],
        newest="/alerts" + query_string(q=q, state=state, by=_unless(by, "service")) if offset else None,
        whole="/alerts" + query_string(q=q, by=_unless(by, "service")),
        silence_url=silence_url,
        silence_all=_silence_all(q) if rows and not fault else None,
        base_url=str(request.base_url).rstrip("/"),
    )


@router.get("/alerts/history")
@needs("viewer")
def list_history(
    request: Request,
    parts: Parts,
    *,
    service: Annotated[str, Query(max_length=255)] = "",
    kind: Annotated[str, Query(max_length=100)] = "",
    before_id: Annotated[int | None, Query(ge=1)] = None,
    limit: Annotated[int, Query(ge=1, le=999)] = _EVENTS,
) -> Response:
    kinds = [name for name in ALERT_KINDS if not kind or name == kind or name.startswith(f"{kind}.")]
    found = parts.timeline.query(service=service or None, kinds=kinds, before_id=before_id, limit=limit + 1)
    events = found[:limit]
    older = (
        "/alerts/history" + query_string(service=service, kind=kind, before_id=events[-1].id)
        if len(found) > limit
        else None
    )
    if wants_json(request):
        return json_answer({"items": events, "next": older})
    days: dict[str, list[Event]] = {}
    for event in events:
        days.setdefault(day(event.at_ms), []).append(event)
    known = {*parts.objectives.overview().services, *(event.service for event in events), service}
    return render(
        request,
        "alert_history.html",
        days=list(days.items()),
        older=older,
        newest="/alerts/history" + query_string(service=service, kind=kind) if before_id else None,
        service=service,
        services=sorted(known - {""}),
        kind=kind,
        kinds=ALERT_KINDS,
    )


def silence_url(row: AlertRow) -> str:
    """Where a silence for an alert is begun: for its rule and its service, which is what most mean."""
    labels = {"alertname": row.name} | ({"service": row.service} if row.service else {})
    return "/silences/new" + query_string(matchers=matcher_text(labels))


def _matching(pairs: Sequence[tuple[Alert, AlertRow]], q: str) -> tuple[list[AlertRow], str]:
    """The rows that a query asks for; or what is wrong with it."""
    try:
        asked = chosen(q)
    except InvalidInput as error:
        return [], "; ".join(one.message for one in error.problems) or error.message
    return [row for alert, row in pairs if asked(alert, row)], ""


def _unless(value: str, default: str) -> str:
    return "" if value == default else value


def _silence_all(q: str) -> str | None:
    """Where all that a page shows is silenced, when it was asked for by matchers."""
    return "/silences/new" + query_string(matchers=q) if "=" in q and ":=" not in q else None


def _rows(parts: App, now_ms: int) -> list[tuple[Alert, AlertRow]]:
    owners = parts.reports.ownership.owners
    return [
        (alert, alert_row(alert, parts.dispatcher.status(alert.fingerprint), owners))
        for alert in parts.alert_book.alerts()
        if not alert.is_resolved(now_ms)
    ]


def _told(row: AlertRow, alert: Alert) -> dict[str, Any]:
    """A row for programs: with every label as it is."""
    told: dict[str, Any] = plain(row)
    del told["chips"], told["more"]
    told |= {"name": alert.name, "service": alert.labels.get("service", "")}
    told |= {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "values": plain(alert.values),
    }
    return told | {
        "ends_ms": alert.ends_ms,
        "updated_ms": alert.updated_ms,
        "url": f"/alerts/{segment(row.fingerprint)}",
    }

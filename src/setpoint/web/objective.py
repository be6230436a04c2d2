"""The page and JSON of one objective, its history, and how its numbers come about.

`ObjectiveBook` computes, `explanation` tells; this module shows. The range of the charts lives in the URL, so that a
page can be sent to somebody and works without JavaScript.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from setpoint.app import App
from setpoint.errors import InvalidInput
from setpoint.objective import ObjectiveStatus
from setpoint.timeline import Event
from setpoint.web.chart import draw_budget
from setpoint.web.fleet import note
from setpoint.web.page import Parts, json_answer, plain, query_string, render, wants_json

__all__ = ["router"]

_MARKED = ("deploy", "objective.state", "demo.fault", "demo.heal", "resource.applied")
_CHANGES = ("deploy", "demo.fault", "demo.heal")
_CHANGE_S, _ELSEWHERE_S = 86400, 3600
_MARKS_MAX = 60
_RECENT = 8
_FALLBACK_POINTS = 180
_POINTS_MAX = 2000
_RANGES_S = (300, 900, 3600, 6 * 3600, 86400, 7 * 86400)
router = APIRouter()


@router.get("/objectives/{name}")
def show_objective(
    request: Request,
    parts: Parts,
    name: str,
    *,
    range_s: Annotated[int | None, Query(alias="range", ge=60)] = None,
) -> Response:
    status = parts.objectives.status(name)
    if wants_json(request):
        return json_answer(status)
    now_ms = parts.clock.now_ms()
    choices = [*(r for r in _RANGES_S if r < status.window_s), status.window_s]
    covered_s = min(status.covered_s, status.window_s)
    shown_s = range_s or next((choice for choice in choices if choice >= covered_s), choices[-1])
    since_ms = now_ms - shown_s * 1000
    history = parts.objectives.history(name, since_ms, now_ms, _FALLBACK_POINTS)
    marks = _marks(parts, status.service, since_ms, now_ms)
    changes = parts.timeline.query(kinds=_CHANGES, since_ms=now_ms - _CHANGE_S * 1000, limit=_MARKS_MAX)
    own = next((event for event in changes if event.service == status.service), None)
    return render(
        request,
        "objective.html",
        now_ms=now_ms,
        status=status,
        note=note(status.state, status.exhausted_since_ms, status.last_event_ms, _ends_s(status)),
        change=own,
        elsewhere=_elsewhere(status, changes, now_ms),
        labels=sorted(status.labels.items()),
        picture=draw_budget(
            plain(history.times_ms),
            plain(history.budget_left),
            [(event.at_ms, event.kind, event.summary) for event in marks],
        ),
        has_history=any(plain(history.has_data)),
        shown_s=shown_s,
        ranges=[(r, f"/objectives/{name}{query_string(range=r)}") for r in choices],
        history_url=f"/objectives/{name}/history{query_string(range=shown_s)}",
        events=parts.timeline.query(service=status.service, limit=_RECENT),
    )


@router.get("/objectives/{name}/history")
def show_history(
    parts: Parts,
    name: str,
    *,
    since: int | None = None,
    until: int | None = None,
    range_s: Annotated[int | None, Query(alias="range", ge=60)] = None,
    points: Annotated[int, Query(ge=2, le=_POINTS_MAX)] = 400,
) -> Response:
    status = parts.objectives.status(name)
    end_ms = parts.clock.now_ms() if until is None else until
    start_ms = end_ms - int(range_s or status.window_s) * 1000 if since is None else since
    if start_ms >= end_ms:
        raise InvalidInput(f"since ({start_ms}) is not before until ({end_ms}); both are Unix milliseconds")
    history = plain(parts.objectives.history(name, start_ms, end_ms, points))
    marks = [
        {
            "id": event.id,
            "at_ms": event.at_ms,
            "kind": event.kind,
            "summary": event.summary,
            "label": _label(event, name),
        }
        for event in _marks(parts, status.service, start_ms, end_ms)
    ]
    return json_answer(history | {"events": marks, "start_ms": start_ms, "end_ms": end_ms})


def _ends_s(status: ObjectiveStatus) -> float | None:
    """Seconds until the budget is gone, when that is before the window has moved on."""
    seconds = status.exhaustion_s
    return seconds if seconds is not None and seconds <= status.window_s else None


def _marks(parts: App, service: str, since_ms: int, until_ms: int) -> list[Event]:
    return parts.timeline.query(
        service=service, kinds=_MARKED, since_ms=since_ms, until_ms=until_ms, limit=_MARKS_MAX
    )


def _elsewhere(status: ObjectiveStatus, changes: Sequence[Event], now_ms: int) -> Event | None:
    """The newest change of another service, where this one is not healthy: its cause may be a dependency."""
    if status.state == "healthy":
        return None
    recent = (event for event in changes if event.at_ms > now_ms - _ELSEWHERE_S * 1000)
    return next((event for event in recent if event.service and event.service != status.service), None)


def _label(event: Event, name: str) -> str:
    """What an event is called on a chart: a state by its word, and by its objective where that is another."""
    if event.kind != "objective.state" or ("to" not in event.data and "state" not in event.data):
        return event.summary
    state, whose = event.data.get("to") or event.data["state"], event.data.get("objective", name)
    return str(state) if whose == name else f"{whose} {state}"

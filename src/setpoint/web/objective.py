"""The page and JSON of one objective, its history, and how its numbers come about.

`ObjectiveBook` computes, `explanation` tells; this module shows. The range of the charts lives in the URL, so that a
page can be sent to somebody and works without JavaScript.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from setpoint.app import App
from setpoint.errors import InvalidInput, NotFound
from setpoint.objective import Objective, ObjectiveStatus
from setpoint.objective.alerting.policy import policies_of
from setpoint.objective.calendar_window import begins
from setpoint.objective.model import AlertPolicy, AlertStatus
from setpoint.objective.overview import Overview
from setpoint.objective.policy.words import RELEASES
from setpoint.release.gate import DECIDED
from setpoint.timeline import Event
from setpoint.web.adjusted import adjusted_sentences, adjusted_time, bands_of
from setpoint.web.chart import draw_budget
from setpoint.web.explanation import Explanation, counted_as, explain
from setpoint.web.fleet import note
from setpoint.web.page import Parts, json_answer, plain, query_string, render, wants_json
from setpoint.web.releases import held_line
from setpoint.web.roles import needs
from setpoint.web.spent import spent_lately

__all__ = ["router"]

_HELD = {
    "policy.freeze": "releases frozen",
    "policy.fixes_only": "only fixes are released",
    "policy.review": "releases need a review",
    "policy.lifted": "releases go on",
}
_MARKED = (
    "deploy",
    "objective.state",
    "demo.fault",
    "demo.heal",
    "resource.applied",
    "incident.opened",
    "incident.resolved",
    *_HELD,
)
_ALERTS = ("alert.fired", "alert.resolved")
_CHANGES = ("deploy", "demo.fault", "demo.heal")
_CHANGE_S, _ELSEWHERE_S = 86400, 3600
_MARKS_MAX = 60
_RECENT, _LOOKED_AT = 8, 5
_FALLBACK_POINTS = 180
_POINTS_MAX = 2000
_RANGES_S = (300, 900, 3600, 6 * 3600, 86400, 7 * 86400)
router = APIRouter()


def segment(name: str) -> str:
    """`name` as one segment of a path."""
    return quote(name, safe="")


@dataclass(frozen=True, slots=True)
class Alert:
    """An alert policy on the page: where it stands, and what the document says of it (None: it is gone meanwhile)."""

    status: AlertStatus
    policy: AlertPolicy | None


@dataclass(frozen=True, slots=True)
class Relations:
    """What else belongs to it: how many objectives its document declares, and the composites it is part of."""

    siblings: int
    composites: tuple[str, ...]


@router.get("/objectives/{name}")
@needs("viewer")
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
    history = parts.objectives.past.history(name, since_ms, now_ms, _FALLBACK_POINTS)
    marks = _marks(parts, status.service, since_ms, now_ms)
    changes = parts.timeline.query(kinds=_CHANGES, since_ms=now_ms - _CHANGE_S * 1000, limit=_MARKS_MAX)
    own = next((event for event in changes if event.service == status.service), None)
    overview = parts.objectives.overview()
    objective = _declared(overview, name)
    return render(
        request,
        "objective.html",
        now_ms=now_ms,
        status=status,
        objective=objective,
        spent=spent_lately(parts, status),
        told=_explained(parts, objective, status, overview, now_ms),
        alerts=_alerts(objective, status),
        warnings=_own_warnings(status),
        related=_relations(overview, objective),
        held=held_line(parts, status.service),
        held_words=RELEASES,
        note=note(status.state, status.exhausted_since_ms, status.last_event_ms, _ends_s(status)),
        change=own,
        elsewhere=_elsewhere(status, changes, now_ms),
        labels=sorted(status.labels.items()),
        picture=draw_budget(
            plain(history.times_ms),
            plain(history.budget_left),
            [(event.at_ms, event.kind, event.summary) for event in marks],
            bands_of(adjusted := adjusted_time(parts, name, since_ms, now_ms)),
        ),
        adjusted=adjusted,
        has_history=any(plain(history.has_data)),
        shown_s=shown_s,
        ranges=[(r, f"/objectives/{segment(name)}{query_string(range=r)}") for r in choices],
        history_url=f"/objectives/{segment(name)}/history{query_string(range=shown_s)}",
        events=_recent(parts, status.service),
    )


@router.get("/objectives/{name}/explain")
@needs("viewer")
def explain_objective(request: Request, parts: Parts, name: str) -> Response:
    status, overview = parts.objectives.status(name), parts.objectives.overview()
    if not wants_json(request):
        return RedirectResponse(f"/objectives/{segment(name)}#explain", 303)
    objective = _declared(overview, name)
    return json_answer(_explained(parts, objective, status, overview, parts.clock.now_ms()))


def _declared(overview: Overview, name: str) -> Objective:
    row = bisect_left(overview.names, name)
    if overview.names[row : row + 1] != (name,):
        raise NotFound(f"there is no objective '{name}' any more; `setpoint slo list` lists the others")
    return overview.objectives[row]


def _explained(
    parts: App, objective: Objective, status: ObjectiveStatus, overview: Overview, now_ms: int
) -> Explanation:
    after_s = parts.settings.no_data_after_s
    told = explain(objective, status, overview, now_ms=now_ms, no_data_after_s=after_s)
    return replace(told, adjusted=adjusted_sentences(parts, objective.name))


def _alerts(objective: Objective, status: ObjectiveStatus) -> list[Alert]:
    """What fires first, then what is about to; else in the order of the policies."""
    policies = {policy.name: policy for policy in policies_of(objective)}
    rank = {"firing": 0, "pending": 1, "inactive": 2}
    known = sorted(status.alerts, key=lambda alert: rank[alert.state])
    return [Alert(alert, policies.get(alert.policy)) for alert in known]


def _own_warnings(status: ObjectiveStatus) -> list[str]:
    """Those that are not an alert's, which stand beside it."""
    of_alerts = {warning for alert in status.alerts for warning in alert.warnings}
    return [warning for warning in status.warnings if warning not in of_alerts]


def _relations(overview: Overview, objective: Objective) -> Relations:
    slo, name = objective.slo, objective.name
    siblings = sum(other.slo == slo for other in overview.objectives) if slo and slo != name else 1
    composites = (other for other in overview.objectives if other.parts)
    return Relations(
        siblings, tuple(one.name for one in composites if name in {part.objective for part in one.parts})
    )


@router.get("/objectives/{name}/history")
@needs("viewer")
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
    history = plain(parts.objectives.past.history(name, start_ms, end_ms, points))
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
    objective = _declared(parts.objectives.overview(), name)
    told = {
        "begins_ms": _begins(objective, start_ms, end_ms),
        "unit": counted_as(objective),
        "adjusted": plain(adjusted_time(parts, name, start_ms, end_ms)),
    }
    return json_answer(history | told | {"events": marks, "start_ms": start_ms, "end_ms": end_ms})


def _begins(objective: Objective, start_ms: int, end_ms: int) -> list[int]:
    """When its window began anew within a stretch of time; nothing when it rolls, or when these would be too many."""
    if objective.calendar is None or end_ms - start_ms > _MARKS_MAX * objective.window_s * 1000:
        return []
    known: list[int] = begins(objective.calendar, start_ms, end_ms).tolist()
    return [at_ms for at_ms in known if at_ms > start_ms]


def _recent(parts: App, service: str) -> list[Event]:
    """The last events of a service, but for what pipelines asked: they ask more often than anything happens."""
    events = parts.timeline.query(service=service, limit=_RECENT * _LOOKED_AT)
    return [event for event in events if event.kind != DECIDED][:_RECENT]


def _ends_s(status: ObjectiveStatus) -> float | None:
    """Seconds until the budget is gone, when that is before the window has moved on."""
    seconds = status.exhaustion_s
    return seconds if seconds is not None and seconds <= status.window_s else None


def _marks(parts: App, service: str, since_ms: int, until_ms: int) -> list[Event]:
    """What a service's charts are marked with, newest first: of alerts those of objectives, for a Prometheus may bring
    thousands, and of these only so many that they leave the others their room.
    """

    def some(kinds: Sequence[str]) -> list[Event]:
        return parts.timeline.query(
            service=service, kinds=kinds, since_ms=since_ms, until_ms=until_ms, limit=_MARKS_MAX
        )

    found = [*some(_MARKED), *(event for event in some(_ALERTS) if "objective" in event.data)]
    return sorted(found, key=lambda event: (event.at_ms, event.id), reverse=True)[:_MARKS_MAX]


def _elsewhere(status: ObjectiveStatus, changes: Sequence[Event], now_ms: int) -> Event | None:
    """The newest change of another service, where this one is not healthy: its cause may be a dependency."""
    if status.state == "healthy":
        return None
    recent = (event for event in changes if event.at_ms > now_ms - _ELSEWHERE_S * 1000)
    return next((event for event in recent if event.service and event.service != status.service), None)


def _label(event: Event, name: str) -> str:
    """What an event is called on a chart: a state by its word, and by its objective where that is another."""
    if event.kind in ("alert.fired", "alert.resolved"):
        return _alert_label(event, name)
    if event.kind in _HELD:
        return _HELD[event.kind]
    if event.kind != "objective.state" or ("to" not in event.data and "state" not in event.data):
        return event.summary
    state, whose = event.data.get("to") or event.data["state"], event.data.get("objective", name)
    return str(state) if whose == name else f"{whose} {state}"


def _alert_label(event: Event, name: str) -> str:
    policy, whose = event.data.get("policy"), event.data.get("objective", name)
    if not policy:
        return event.summary
    did = "fires" if event.kind == "alert.fired" else "resolved"
    return f"{policy} {did}" if whose == name else f"{whose}: {policy} {did}"

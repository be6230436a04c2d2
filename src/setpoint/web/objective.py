"""Pages and JSON of objectives: the list, one objective, its history.

`ObjectiveBook` computes; this module filters, sorts and shows. Filter, sort and range live in the URL, so
that a page can be sent to somebody and works without JavaScript.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from setpoint.app import App
from setpoint.errors import InvalidInput
from setpoint.objective import ObjectiveStatus
from setpoint.timeline import Event
from setpoint.web.chart import draw_budget
from setpoint.web.page import STATES, Parts, json_answer, plain, query_string, render, wants_json
from setpoint.web.terms import Term, read_terms

__all__ = ["matches", "page_threshold", "router", "sorted_by"]

Sort = Literal["remaining", "burn", "name"]
SORTS: tuple[Sort, ...] = ("remaining", "burn", "name")

_MARKED = ("deploy", "objective.state", "demo.fault", "demo.heal", "resource.applied")
_CHANGES = ("deploy", "demo.fault", "demo.heal")
_CHANGE_S, _ELSEWHERE_S = 86400, 3600
_MARKS_MAX = 60
_RECENT = 8
_FALLBACK_POINTS = 180
_POINTS_MAX = 2000
_RANGES_S = (300, 900, 3600, 6 * 3600, 86400, 7 * 86400)
_BIG_FLEET = 100
router = APIRouter()


def page_threshold(status: ObjectiveStatus) -> float:
    """The lowest burn rate that pages for this objective: the dotted line of its sparkline."""
    return min((rate.threshold for rate in status.burn if rate.severity == "page"), default=6.0)


def matches(status: ObjectiveStatus, query: str) -> bool:
    """True when every term holds: `service:`, `state:`, any label as `key:value`, or text in the names."""
    return all(_holds(status, term) for term in read_terms(query))


def _holds(status: ObjectiveStatus, term: Term) -> bool:
    if not term.key:
        return term.value in f"{status.name}\n{status.display_name}\n{status.service}".lower()
    if term.key == "state":
        return _joined(status.state).startswith(_joined(term.value))
    return any(term.value in known.lower() for known in _field(status, term.key))


def _joined(state: str) -> str:
    return state.replace(" ", "").replace("-", "")


def _field(status: ObjectiveStatus, key: str) -> tuple[str, ...]:
    if key == "service":
        return (status.service,)
    if key == "name":
        return (status.name, status.display_name)
    return next((values for name, values in status.labels.items() if name.lower() == key), ())


def sorted_by(statuses: Sequence[ObjectiveStatus], sort: Sort) -> list[ObjectiveStatus]:
    """Worst first (state, then least budget), fastest burn first, or by name."""
    severity = {state: rank for rank, state in enumerate(STATES)}

    def by_remaining(status: ObjectiveStatus) -> tuple[float, float, str]:
        left = math.inf if status.budget_left is None else status.budget_left
        return severity[status.state], left, status.name

    def by_burn(status: ObjectiveStatus) -> tuple[float, float, str]:
        return (1 if status.burn_now is None else 0), -(status.burn_now or 0.0), status.name

    keys: dict[Sort, Callable[[ObjectiveStatus], tuple[Any, ...]]] = {
        "remaining": by_remaining,
        "burn": by_burn,
        "name": lambda status: (status.name,),
    }
    return sorted(statuses, key=keys[sort])


@router.get("/")
async def home() -> Response:
    return RedirectResponse("/objectives", 307)


@router.get("/objectives")
def list_objectives(request: Request, parts: Parts, q: str = "", sort: Sort = "remaining") -> Response:
    everything = parts.objectives.statuses()
    shown = sorted_by([status for status in everything if matches(status, q)], sort)
    if wants_json(request):
        return json_answer({"items": shown})
    counts = Counter(status.state for status in everything)
    windows = {status.window_s for status in everything}
    return render(
        request,
        "objectives.html",
        items=[(status, page_threshold(status), note(status)) for status in shown],
        counts={state: counts[state] for state in STATES if counts[state]},
        total=len(everything),
        first=(first := _most_urgent(shown)),
        first_ends=first is not None and _ends_in_window(first),
        services=sorted({status.service for status in everything}),
        common_window_s=windows.pop() if len(windows) == 1 else None,
        q=q,
        sort=sort,
        sorts=[(name, "/objectives" + query_string(q=q, sort=name)) for name in SORTS],
        state_links={state: f"/objectives?q=state:{state.replace(' ', '-')}" for state in STATES},
        every_s=2 if len(shown) < _BIG_FLEET else 6,
    )


def note(status: ObjectiveStatus) -> tuple[str, float | None]:
    """What stands under the budget bar: which kind of note, and its figure (seconds, or an instant in ms)."""
    state = status.state
    if state == "exhausted" and status.exhausted_since_ms is not None:
        return "since", status.exhausted_since_ms
    if state == "no data":
        return "silent", status.last_event_ms
    if _ends_in_window(status) and state == "burning":
        return "gone", status.exhaustion_s
    return "", None


def _ends_in_window(status: ObjectiveStatus) -> bool:
    """True when the budget is gone before the window has moved on: a later end never comes."""
    return status.exhaustion_s is not None and status.exhaustion_s <= status.window_s


def _most_urgent(statuses: Sequence[ObjectiveStatus]) -> ObjectiveStatus | None:
    """What to open first: the budget that is going, then what is gone, then what cannot be seen."""
    order = {"burning": 0, "exhausted": 1, "no data": 2, "healthy": 3}
    # Of what is gone, first what is still going: the others wait for their window.

    def urgency(status: ObjectiveStatus) -> tuple[float, ...]:
        left = math.inf if status.budget_left is None else status.budget_left
        seconds = (
            math.inf if status.exhaustion_s is None or status.state != "burning" else status.exhaustion_s
        )
        still = -(status.burn_now or 0.0) if status.state == "exhausted" else 0.0
        return order[status.state], seconds, still, left

    return min(statuses, key=urgency, default=None)


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
        note=note(status),
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

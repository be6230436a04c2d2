"""The page and JSON of metrics: any PromQL, several queries over one time, as a graph or a table.

All of it is in the address (`q` once per query, `range`, `start`, `end`, `step`, `view`), so that what somebody sees
can be sent to somebody else. Without JavaScript the server draws the graph; `static/explore.js` draws the same data,
which stand in the page, so that a query runs once per page.
"""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from markupsafe import Markup

from setpoint.app import App
from setpoint.axis import figure
from setpoint.errors import InvalidInput
from setpoint.timeline import Event
from setpoint.web import plot
from setpoint.web.explore_query import Answer, Span, View, run
from setpoint.web.page import Parts, json_answer, plain, query_string, render, wants_json
from setpoint.web.prometheus import read_duration_ms, read_instant_ms
from setpoint.web.ready_queries import of_family
from setpoint.web.roles import needs
from setpoint.web.waiting import run_while_wanted

__all__ = ["RANGES", "router"]

RANGES = ("15m", "1h", "6h", "1d", "7d", "30d")
_RANGE = "1h"
_POINTS = 360
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_FRESH_MS = 60_000
_LONGEST_MS = 10 * 366 * 86_400_000
_QUERIES_MAX = 10
_QUERY_LENGTH_MAX = 8000
_SERIES, _SERIES_MAX = 50, 500
_EVENTS_READ, _STATES_MAX, _MARKS_MAX, _MARKS_LISTED = 1000, 20, 60, 8
_STARTING_POINTS = 12
_REFRESH_S, _REFRESH_SLOW_S, _SLOW_S = 5, 60, 1.0

_WORD = re.compile(r"\w+")

router = APIRouter()


@dataclass(frozen=True, slots=True)
class State:
    """What the address says, as it says it; empty where it says nothing."""

    queries: tuple[str, ...]
    range: str = ""
    start: str = ""
    end: str = ""
    step: str = ""
    view: View = "graph"
    limit: int = _SERIES
    source: str = ""

    def address(self, **changed: Any) -> str:
        """The address of this page with some of it changed."""
        now = replace(self, **changed)
        return "/explore" + query_string(
            q=list(now.queries),
            range=now.range if now.range != _RANGE else "",
            start=now.start,
            end=now.end,
            step=now.step,
            source=now.source,
            view=now.view if now.view != "graph" else "",
            limit=now.limit if now.limit != _SERIES else None,
        )

    def span(self, now_ms: int) -> Span:
        """The time that is asked for. Raises InvalidInput."""
        end_ms = read_instant_ms("end", self.end) if self.end else now_ms
        if self.start:
            start_ms = read_instant_ms("start", self.start)
        else:
            start_ms = end_ms - read_duration_ms("range", self.range or _RANGE)
        if not 0 < end_ms - start_ms <= _LONGEST_MS:
            raise InvalidInput("the time is empty or longer than ten years; start must be before end")
        step_ms = read_duration_ms("step", self.step) if self.step else _step_ms(end_ms - start_ms)
        if not self.end and step_ms > 0:
            # A page that follows the clock keeps to whole steps, so that its points do not move at every refresh.
            late_ms = end_ms % min(step_ms, _FRESH_MS)
            start_ms, end_ms = start_ms - late_ms, end_ms - late_ms
        return Span(start_ms, end_ms, step_ms)


@dataclass(frozen=True, slots=True)
class Found:
    """What a page shows: the time, what each query gave, and the events of that time, newest first."""

    span: Span
    answers: Sequence[Answer]
    events: Sequence[Event]


def _step_ms(length_ms: int) -> int:
    """The smallest round step that makes at most `_POINTS` points."""
    rough_s = length_ms / 1000 / _POINTS
    return 1000 * next((step for step in _STEPS_S if step >= rough_s), -(-int(rough_s) // 86400) * 86400)


@router.get("/explore")
@needs("viewer")
async def show_explore(
    request: Request,
    parts: Parts,
    *,
    q: Annotated[list[str] | None, Query()] = None,
    range_text: Annotated[str, Query(alias="range", max_length=40)] = "",
    start: Annotated[str, Query(max_length=40)] = "",
    end: Annotated[str, Query(max_length=40)] = "",
    step: Annotated[str, Query(max_length=40)] = "",
    view: View = "graph",
    limit: Annotated[int, Query(ge=1, le=_SERIES_MAX)] = _SERIES,
    source: Annotated[str, Query(max_length=253)] = "",
    add: bool = False,
    drop: int | None = None,
) -> Response:
    queries = [text.strip() for place, text in enumerate(q or []) if place != drop]
    kept = tuple(text for text in queries if text)
    if len(kept) > _QUERIES_MAX or any(len(text) > _QUERY_LENGTH_MAX for text in kept):
        raise InvalidInput(
            f"ask for at most {_QUERIES_MAX} queries of at most {_QUERY_LENGTH_MAX:,} characters"
        )
    state = State(kept, range_text, start, end, step, view, limit, source)
    has_new = add or not kept
    return await run_while_wanted(request, lambda gone: _answer(request, parts, state, gone, has_new=has_new))


def _answer(request: Request, parts: App, state: State, gone: threading.Event, *, has_new: bool) -> Response:
    """Run the queries one after the other and show what they give."""
    span = state.span(parts.clock.now_ms())
    answers = [
        run(parts, text, span, state.view, state.limit, source=state.source, is_canceled=gone.is_set)
        for text in state.queries
    ]
    events = _events(parts, span)
    if wants_json(request):
        return json_answer(dataclasses.asdict(span) | {"queries": answers, "events": events})
    return _page(request, parts, state, Found(span, answers, events), has_new=has_new)


def _page(
    request: Request,
    parts: App,
    state: State,
    found: Found,
    *,
    has_new: bool,
) -> Response:
    span, answers, events = found.span, found.answers, found.events
    now_ms = parts.clock.now_ms()
    drawn = _drawn(answers) if state.view == "graph" else None
    marks = [(event.at_ms, event.kind, event.summary) for event in events]
    fixed = {"start": _seconds(span.start_ms), "end": _seconds(span.end_ms)}
    return render(
        request,
        "explore.html",
        now_ms=now_ms,
        state=state,
        answers=answers,
        fields=[*state.queries, *([""] if has_new else [])],
        letters="ABCDEFGHIJ",
        span=span,
        ranges=[(name, state.address(range=name, start="")) for name in RANGES],
        shown_range="" if state.start else state.range or _RANGE,
        views=[(name, state.address(view=name)) for name in ("graph", "table")],
        shifts=_shifts(state, span, now_ms),
        now_address=state.address(start="", end="") if state.end or state.start else None,
        more=state.address(limit=min(_SERIES_MAX, 4 * state.limit)) if state.limit < _SERIES_MAX else None,
        fixed_address=state.address(**fixed),
        api_address=_api_address(state, span),
        picture=plot.draw(*drawn, (span.start_ms, span.end_ms), marks) if drawn else None,
        data=_data(*drawn, span, events) if drawn else None,
        sources=_sources(parts, state),
        events=events[:_MARKS_LISTED],
        events_hidden=max(0, len(events) - _MARKS_LISTED),
        starting_points=[] if answers else _starting_points(parts),
        every_s=86_400 if state.end else _every_s(answers, span),
        figure=figure,
        colours=plot.COLOURS,
        local=_local,
        point=_point,
    )


def _drawn(answers: Sequence[Answer]) -> tuple[Sequence[int], list[Sequence[float | None]]] | None:
    """The instants and every line of the graph; None when there is nothing to draw."""
    usable = [answer for answer in answers if answer.rows and len(answer.times_ms)]
    if not usable:
        return None
    return usable[0].times_ms, [row.values for answer in usable for row in answer.rows]


def _data(
    times_ms: Sequence[int], rows: Sequence[Sequence[float | None]], span: Span, events: Sequence[Event]
) -> Markup:
    """What the script draws, as JSON that may stand in a page: the values in six digits, which no screen can tell
    from all of them.
    """
    data = {
        "start_s": span.start_ms / 1000,
        "end_s": span.end_ms / 1000,
        "times_s": [at / 1000 for at in times_ms],
        "rows": [[None if value is None else float(f"{value:.6g}") for value in row] for row in rows],
        "events": [{"at_ms": event.at_ms, "kind": event.kind, "label": _label(event)} for event in events],
    }
    text = json.dumps(plain(data), separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def _point(answer: Answer) -> tuple[str, str, str] | None:
    """A faulty query in three parts, of which the second is where it goes wrong; None where that is not known."""
    position = answer.fault.position if answer.fault else None
    if position is None:
        return None
    word = _WORD.match(answer.query, position)
    end = word.end() if word else position + 1
    return answer.query[:position], answer.query[position:end] or "\u00a0", answer.query[end:]


def _api_address(state: State, span: Span) -> str:
    """The first query at Prometheus's API."""
    api = f"/api/datasources/{quote(state.source, safe='')}/api/v1" if state.source else "/api/v1"
    if state.view == "table":
        return f"{api}/query" + query_string(query=state.queries[:1], time=span.end_ms / 1000)
    times = {"start": span.start_ms / 1000, "end": span.end_ms / 1000, "step": span.step_ms / 1000}
    return f"{api}/query_range" + query_string(query=state.queries[:1], **times)


def _label(event: Event) -> str:
    return event.summary if len(event.summary) <= 60 else event.summary[:59] + "…"


def _events(parts: App, span: Span) -> list[Event]:
    """What happened in the time, newest first; of changes of state only some, so that they do not hide what they
    come from.
    """
    since_ms, until_ms = max(0, span.start_ms), max(0, span.end_ms)
    found = parts.timeline.query(since_ms=since_ms, until_ms=until_ms, limit=_EVENTS_READ)
    states = [event.id for event in found if event.kind == "objective.state"]
    left_out = set(states[_STATES_MAX:])
    return [event for event in found if event.id not in left_out][:_MARKS_MAX]


def _shifts(state: State, span: Span, now_ms: int) -> list[tuple[str, str]]:
    """The ways to half a length earlier and, unless that is to come, later."""
    length_ms = span.end_ms - span.start_ms

    def at(by_ms: int) -> str:
        end_ms = min(now_ms, span.end_ms + by_ms)
        start = _seconds(end_ms - length_ms) if state.start else ""
        return state.address(start=start, end=_seconds(end_ms))

    earlier = ("Earlier", at(-length_ms // 2))
    return [earlier, ("Later", at(length_ms // 2))] if state.end and span.end_ms < now_ms else [earlier]


def _seconds(at_ms: int) -> str:
    return f"{at_ms // 1000}"


def _local(at_ms: int) -> str:
    """An instant as the field for a time of day takes it, in UTC."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _every_s(answers: Sequence[Answer], span: Span) -> int:
    """How often an open page asks again: once a step, seldom when the queries are slow."""
    if sum(answer.took_s for answer in answers) > _SLOW_S:
        return _REFRESH_SLOW_S
    return min(_REFRESH_SLOW_S, max(_REFRESH_S, span.step_ms // 1000))


def _sources(parts: App, state: State) -> list[str]:
    """The data sources to choose from; none when there is none."""
    known = {one.name for one in parts.datasources.statuses()}
    return sorted(known | ({state.source} if state.source else set()))


def _starting_points(parts: App) -> list[tuple[str, list[tuple[str, str]]]]:
    """Metrics to begin with, those with most series: the name, and queries that make sense of it, in words."""
    names = [row.name for row in parts.usage.top("metric", "series", 8 * _STARTING_POINTS).rows if row.name]
    found = dict(of_family(name, set(names)) for name in names)
    return list(found.items())[:_STARTING_POINTS]

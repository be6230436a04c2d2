"""Data sources: how each one does, as page and JSON; and queries over one, in the shape of Prometheus's API.

`DataSources` knows; this module shows. A query here reads the samples from the other server and is evaluated by
Setpoint, as an objective's is, so that both give the same numbers: put `/api/datasources/NAME` where a tool asks for
the address of a Prometheus.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from setpoint.app import App
from setpoint.promql import parse
from setpoint.promql.evaluate import evaluate, evaluate_instant
from setpoint.promql.format import to_api
from setpoint.promql.plan import check_resolution
from setpoint.telemetry.datasource import SourceStatus
from setpoint.web.page import Parts, json_answer, render, wants_json
from setpoint.web.prometheus import Given, answers_in_turn, read_duration_ms, read_instant_ms
from setpoint.web.roles import needs

__all__ = ["router"]

router = APIRouter()

_RANK = {"down": 0, "waiting": 1, "up": 2}


@router.get("/datasources")
@needs("viewer")
def show_sources(request: Request, parts: Parts) -> Response:
    sources = sorted(parts.datasources.statuses(), key=lambda one: (_RANK[one.state], one.name))
    readers = Counter(objective.source for objective in parts.objectives.overview().objectives)
    if wants_json(request):
        return json_answer({"items": sources, "objectives": {one.name: readers[one.name] for one in sources}})
    counts: Counter[str] = Counter(one.state for one in sources)
    return render(
        request,
        "datasources.html",
        sources=sources,
        readers=readers,
        counts={state: counts[state] for state in _RANK if counts[state]},
        first=_first(sources),
        behind={one.name: _behind_s(one, parts.clock.now_ms()) for one in sources},
    )


def _first(sources: Sequence[SourceStatus]) -> SourceStatus | None:
    """The one to look at: what is down, else what refuses a query."""
    return next((one for one in sources if one.state == "down" or one.refused), None)


def _behind_s(source: SourceStatus, now_ms: int) -> float | None:
    """For how long nothing new was read; None when nothing is asked for."""
    return None if source.reached_ms is None else max(0.0, (now_ms - source.reached_ms) / 1000)


@answers_in_turn(router, "/api/datasources/{name}/api/v1/query")
def query_source(parts: App, given: Given, gone: threading.Event) -> Any:
    source = parts.datasources.get(given.get("name"))
    at = given.get("time")
    at_ms = read_instant_ms("time", at) if at else parts.clock.now_ms()
    node = parse(given.needed("query"))
    with parts.queries.running(is_canceled=gone.is_set) as budget:
        select = partial(source.fetch, check=budget.check)
        return to_api(evaluate_instant(node, at_ms, select, budget=budget), is_range=False)


@answers_in_turn(router, "/api/datasources/{name}/api/v1/query_range")
def query_source_range(parts: App, given: Given, gone: threading.Event) -> Any:
    source = parts.datasources.get(given.get("name"))
    start_ms = read_instant_ms("start", given.needed("start"))
    end_ms = read_instant_ms("end", given.needed("end"))
    step_ms = read_duration_ms("step", given.needed("step"))
    check_resolution(start_ms, end_ms, step_ms)
    node = parse(given.needed("query"), step_ms=step_ms, range_ms=end_ms - start_ms)
    with parts.queries.running(is_canceled=gone.is_set) as budget:
        select = partial(source.fetch, check=budget.check)
        matrix = evaluate(node, start_ms, end_ms, step_ms, select, budget=budget)
        return to_api(matrix, is_range=True, check=budget.check)

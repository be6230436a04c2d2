"""Prometheus's query API, so that Grafana and promtool work unchanged: `/api/v1/query` and
`/api/v1/query_range`.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from setpoint.app import App
from setpoint.promql import parse
from setpoint.promql.evaluate import evaluate, evaluate_instant
from setpoint.promql.format import to_api
from setpoint.promql.plan import check_resolution
from setpoint.web.prometheus import Given, answers, read_duration_ms, read_instant_ms

__all__ = ["router"]

router = APIRouter(prefix="/api/v1")


@answers(router, "/query")
def query(parts: App, given: Given) -> Any:
    at = given.get("time")
    at_ms = read_instant_ms("time", at) if at else parts.clock.now_ms()
    return to_api(evaluate_instant(parse(given.needed("query")), at_ms, parts.reader.select))


@answers(router, "/query_range")
def query_range(parts: App, given: Given) -> Any:
    node = parse(given.needed("query"))
    start_ms = read_instant_ms("start", given.needed("start"))
    end_ms = read_instant_ms("end", given.needed("end"))
    step_ms = read_duration_ms("step", given.needed("step"))
    check_resolution(start_ms, end_ms, step_ms)
    return to_api(evaluate(node, start_ms, end_ms, step_ms, parts.reader.select), is_range=True)

"""Prometheus's query API, so that Grafana and promtool work unchanged: `/api/v1/query` and
`/api/v1/query_range`.

A query runs on a thread of its own limiter, so that waiting queries keep no other request from an answer, and
within `App.queries`, which bounds its time and memory. It ends when its client goes away.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from anyio import CapacityLimiter
from fastapi import APIRouter, Request
from fastapi.responses import Response

from setpoint.app import App
from setpoint.clock import stopwatch
from setpoint.errors import SetpointError
from setpoint.promql import parse
from setpoint.promql.budget import Budget
from setpoint.promql.encode import encode
from setpoint.promql.evaluate import Options, evaluate_instant
from setpoint.promql.from_telemetry import Select
from setpoint.promql.model import Matrix
from setpoint.promql.plan import check_resolution
from setpoint.web.page import Parts
from setpoint.web.prometheus import (
    Answer,
    Given,
    Pieces,
    _parameters,
    failure,
    read_duration_ms,
    read_instant_ms,
    success,
)
from setpoint.web.waiting import run_while_wanted

__all__ = ["router"]

_THREADS = 64
_TRUNCATED = "results truncated due to limit"

router = APIRouter(prefix="/api/v1")


def _threads(request: Request) -> CapacityLimiter:
    """The threads on which queries of this application wait and run; made at the first query."""
    state = request.app.state
    if not hasattr(state, "query_threads"):
        state.query_threads = CapacityLimiter(_THREADS)
    limiter: CapacityLimiter = state.query_threads
    return limiter


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a query: what is asked, since when, and whether somebody still waits."""

    parts: App
    given: Given
    elapsed_s: Callable[[], float]
    gone: threading.Event

    @contextmanager
    def running(self) -> Iterator[tuple[Options, Select, Budget]]:
        """A turn for the query: how to evaluate it, from what, within which budget."""
        given, options = self.given, Options()
        if lookback := given.get("lookback_delta"):
            lookback_ms = read_duration_ms("lookback_delta", lookback)
            options = replace(options, lookback_ms=lookback_ms) if lookback_ms > 0 else options
        timeout = given.get("timeout")
        timeout_s = read_duration_ms("timeout", timeout) / 1000 if timeout else None
        with self.parts.queries.running(
            timeout_s, elapsed_s=self.elapsed_s, is_canceled=self.gone.is_set
        ) as budget:
            yield options, partial(self.parts.held_samples.select, admit=budget.foresee), budget


def _queries(path: str) -> Callable[[Callable[[Asked], Answer]], Callable[..., Awaitable[Response]]]:
    """Serve the answer to a query at `path`, GET and POST, in Prometheus's envelope."""

    def register(compute: Callable[[Asked], Answer]) -> Callable[..., Awaitable[Response]]:
        @router.api_route(path, methods=["GET", "POST"], name=compute.__name__)
        async def handler(request: Request, parts: Parts) -> Response:
            try:
                given, elapsed_s = await _parameters(request), stopwatch()
                return await run_while_wanted(
                    request,
                    lambda gone: success(compute(Asked(parts, given, elapsed_s, gone))),
                    _threads(request),
                )
            except SetpointError as error:
                return failure(error)

        return handler

    return register


@_queries("/query")
def query(asked: Asked) -> Answer:
    given = asked.given
    limit = given.limit()
    at = given.get("time")
    at_ms = read_instant_ms("time", at) if at else asked.parts.clock.now_ms()
    node = parse(given.needed("query"))
    with asked.running() as (options, select, budget):
        histograms = asked.parts.reader.select_histograms
        matrix = evaluate_instant(node, at_ms, select, options=options, budget=budget, histograms=histograms)
        return _answer(asked, matrix, budget, limit, is_range=False)


@_queries("/query_range")
def query_range(asked: Asked) -> Answer:
    given = asked.given
    limit = given.limit()
    start_ms = read_instant_ms("start", given.needed("start"))
    end_ms = read_instant_ms("end", given.needed("end"))
    step_ms = read_duration_ms("step", given.needed("step"))
    check_resolution(start_ms, end_ms, step_ms)
    text = given.needed("query")
    node = parse(text, step_ms=step_ms, range_ms=end_ms - start_ms)
    with asked.running() as (options, select, budget):
        histograms = asked.parts.reader.select_histograms
        grid = start_ms, end_ms, step_ms
        matrix = asked.parts.range_cache.evaluate(
            text, node, grid, select, options=options, budget=budget, histograms=histograms
        )
        return _answer(asked, matrix, budget, limit, is_range=True)


def _answer(asked: Asked, matrix: Matrix, budget: Budget, limit: int, *, is_range: bool) -> Answer:
    stats = _stats(budget, budget.spent_s) if asked.given.get("stats") else None
    is_cut = matrix.kind in ("vector", "matrix") and 0 < limit < len(matrix.labels)
    data = _pieces(encode(matrix, is_range=is_range, most=limit or None, stats=stats))
    budget.outlive(data, matrix.values.size)
    # It is a generator: what is large is laid out while it is sent, when the turn of the query is over.
    warnings = [*matrix.warnings, *([_TRUNCATED] if is_cut else [])]
    return Answer(Pieces(data), warnings, matrix.infos, check=budget.check)


def _pieces(data: Iterator[bytes]) -> Iterator[bytes]:
    """`data` as a generator, whose end can be seen."""
    yield from data


def _stats(budget: Budget, evaluated_s: float) -> dict[str, Any]:
    """What the query cost, in Prometheus's shape: seconds and samples."""
    return {
        "timings": {
            "evalTotalTime": evaluated_s - budget.queued_s,
            "resultSortTime": budget.spent_s - evaluated_s,
            "queryPreparationTime": budget.fetched_s - budget.queued_s,
            "innerEvalTime": evaluated_s - budget.fetched_s,
            "execQueueTime": budget.queued_s,
            "execTotalTime": budget.spent_s,
        },
        "samples": {
            "totalQueryableSamples": budget.fetched,
            "samplesRead": budget.fetched,
            "peakSamples": budget.peak,
        },
    }

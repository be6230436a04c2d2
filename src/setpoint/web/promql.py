"""Prometheus's query API, so that Grafana and promtool work unchanged: `/api/v1/query` and
`/api/v1/query_range`.

A query runs within `App.queries`, which bounds its time and memory, behind a `QueryDoor`, which says where.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from starlette.types import ASGIApp

from setpoint.app import App
from setpoint.clock import stopwatch
from setpoint.promql import parse
from setpoint.promql.budget import Budget
from setpoint.promql.encode import encode
from setpoint.promql.evaluate import Options, evaluate_instant
from setpoint.promql.from_telemetry import Matcher, Select, StoredHistograms
from setpoint.promql.model import Matrix
from setpoint.promql.plan import check_resolution
from setpoint.telemetry.held_samples import NotAtHand
from setpoint.web.prometheus import (
    Answer,
    Given,
    Pieces,
    read_duration_ms,
    read_instant_ms,
    success,
    text_of,
)
from setpoint.web.query_door import QueryDoor

__all__ = ["QUERY_PATHS", "query_doors"]

QUERY_PATHS = ("/api/v1/query", "/api/v1/query_range")

_SPOT_SAMPLES = 500_000
"""What a query may hold that is answered on the spot."""

_PLAIN = frozenset({"query", "time", "start", "end", "step"})
_TRUNCATED = "results truncated due to limit"


def query_doors(parts: App) -> Mapping[str, ASGIApp]:
    """The applications of the query API by path."""
    doors = _door(parts, _query, _instant_identity), _door(parts, _query_range, _range_identity)
    return dict(zip(QUERY_PATHS, doors, strict=True))


def _door(
    parts: App, compute: Callable[[Asked], Answer], identity: Callable[[Given], Hashable | None]
) -> QueryDoor:
    return QueryDoor(
        lambda given, elapsed_s, gone: success(compute(Asked(parts, given, elapsed_s, gone))),
        lambda given: text_of(compute(Asked(parts, given, stopwatch(), _NEVER, is_at_once=True))),
        identity,
    )


def _instant_identity(given: Given) -> Hashable | None:
    return given.get("query") if given.names <= _PLAIN else None


def _range_identity(given: Given) -> Hashable | None:
    """Ranges of one length and step cost alike."""
    if not given.names <= _PLAIN:
        return None
    try:
        span_s = float(given.get("end")) - float(given.get("start"))
    except ValueError:
        return None
    return given.get("query"), round(span_s), given.get("step")


_NEVER = threading.Event()


@dataclass(frozen=True, slots=True)
class Asked:
    """One request for a query: what is asked, since when, and whether somebody still waits."""

    parts: App
    given: Given
    elapsed_s: Callable[[], float]
    gone: threading.Event
    is_at_once: bool = False
    """Whether it must not wait for anything; then it raises SetpointError when it would have to."""

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
            timeout_s,
            elapsed_s=self.elapsed_s,
            is_canceled=self.gone.is_set,
            samples_limit=_SPOT_SAMPLES if self.is_at_once else None,
            at_once=self.is_at_once,
        ) as budget:
            select = self.parts.held_samples.select
            yield options, partial(select, admit=budget.foresee, at_hand=self.is_at_once), budget

    def histograms(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> StoredHistograms | None:
        """The native histograms of a selector."""
        reader = self.parts.reader
        if not self.is_at_once:
            return reader.select_histograms(matchers, start_ms, end_ms)
        if reader.may_have_histograms(matchers):
            raise NotAtHand("native histograms are read from the database; ask again and let them be read")
        return None


def _query(asked: Asked) -> Answer:
    given = asked.given
    limit = given.limit()
    at = given.get("time")
    at_ms = read_instant_ms("time", at) if at else asked.parts.clock.now_ms()
    node = parse(given.needed("query"))
    with asked.running() as (options, select, budget):
        matrix = evaluate_instant(
            node, at_ms, select, options=options, budget=budget, histograms=asked.histograms
        )
        return _answer(asked, matrix, budget, limit, is_range=False)


def _query_range(asked: Asked) -> Answer:
    given = asked.given
    limit = given.limit()
    start_ms = read_instant_ms("start", given.needed("start"))
    end_ms = read_instant_ms("end", given.needed("end"))
    step_ms = read_duration_ms("step", given.needed("step"))
    check_resolution(start_ms, end_ms, step_ms)
    text = given.needed("query")
    node = parse(text, step_ms=step_ms, range_ms=end_ms - start_ms)
    with asked.running() as (options, select, budget):
        grid = start_ms, end_ms, step_ms
        matrix = asked.parts.range_cache.evaluate(
            text, node, grid, select, options=options, budget=budget, histograms=asked.histograms
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

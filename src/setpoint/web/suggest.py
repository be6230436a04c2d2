"""`GET /services/{service}/suggest`: objectives that a service could have, from its telemetry. Nothing is stored."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query
from fastapi.responses import Response

from setpoint.app import App
from setpoint.errors import NotFound
from setpoint.objective.spec.service import Service
from setpoint.objective.suggest.conventions import METRICS, identities
from setpoint.objective.suggest.suggest import Telemetry, promised, suggest
from setpoint.promql import Node, as_increase, parse
from setpoint.promql.evaluate import evaluate
from setpoint.promql.model import Matrix
from setpoint.telemetry import Matcher
from setpoint.web.page import Parts, json_answer
from setpoint.web.roles import needs

__all__ = ["router"]

_SERIES_MOST = 20_000
_NAMED = 12
_MINUTE_MS = 60_000

router = APIRouter()


@router.get("/services/{service}/suggest")
@needs("viewer")
def suggest_objectives(
    parts: Parts, service: str, *, days: Annotated[int, Query(ge=1, le=90)] = 28
) -> Response:
    now_ms = parts.clock.now_ms()
    series = _series(parts, service, now_ms - days * 86_400_000, now_ms)
    objectives = parts.objectives.overview().objectives
    documents = parts.resources.documents()
    if not series:
        raise NotFound(_nothing(parts, service, days, now_ms))
    advice = suggest(
        service,
        series,
        _telemetry(parts, now_ms // _MINUTE_MS * _MINUTE_MS),
        objectives,
        promised(service, parts.dependencies.known(), objectives),
        days,
        is_declared=any(
            isinstance(one.spec, Service) and one.spec.metadata.name == service for one in documents
        ),
    )
    return json_answer(advice)


def _series(parts: App, service: str, start_ms: int, end_ms: int) -> list[Any]:
    """The service's series of known conventions; of very many the first."""
    named = Matcher("__name__", "=~", "|".join(METRICS))
    selectors = [(named, Matcher(label, "=~", value)) for label, value in identities(service)]
    return list(parts.catalog.series(selectors, start_ms, end_ms, _SERIES_MOST))


def _nothing(parts: App, service: str, days: int, now_ms: int) -> str:
    """That nothing is known of the service, and of which something is."""
    start_ms = now_ms - days * 86_400_000
    named = [(Matcher("__name__", "=~", "|".join(METRICS)),)]
    known: dict[str, None] = {}
    for label in ("service_name", "job"):
        for value in parts.catalog.label_values(label, named, start_ms, now_ms):
            known.setdefault(value.rpartition("/")[2] if label == "job" else value)
    told = (
        f"no service '{service}' has sent a metric of a known convention in the last {days} d "
        "(HTTP, RPC, messaging and database of OpenTelemetry; http_requests_total, grpc_server_handled_total, up and "
        "others of Prometheus)"
    )
    if not known:
        return f"{told}; nobody has. See docs/howto/send-telemetry.md"
    listed = ", ".join(sorted(known)[:_NAMED])
    return f"{told}; these have: {listed}{' …' if len(known) > _NAMED else ''}"


def _telemetry(parts: App, end_ms: int) -> Telemetry:
    def count(query: str, step_s: int, steps: int) -> dict[str, list[float]]:
        matrix = _evaluated(parts, lambda ms: as_increase(parse(query), ms), end_ms, step_s, steps)
        rows = np.where(matrix.present, matrix.values, np.nan)
        return {labels.get("le", ""): row.tolist() for labels, row in zip(matrix.labels, rows, strict=True)}

    def mean(query: str, step_s: int, steps: int) -> list[float]:
        over = f"avg_over_time(({query})[{step_s}s:{max(60, step_s // 288)}s])"
        matrix = _evaluated(parts, lambda _: parse(over), end_ms, step_s, steps)
        if not len(matrix.labels):
            return [float("nan")] * steps
        found: list[float] = np.where(matrix.present, matrix.values, np.nan)[0].tolist()
        return found

    return Telemetry(count, mean, end_ms)


def _evaluated(parts: App, node_of: Callable[[int], Node], end_ms: int, step_s: int, steps: int) -> Matrix:
    """A query at the ends of the last `steps` stretches, within a turn of its own."""
    step_ms = step_s * 1000
    with _turn(parts) as (select, budget):
        return evaluate(
            node_of(step_ms), end_ms - (steps - 1) * step_ms, end_ms, step_ms, select, budget=budget
        )


@contextmanager
def _turn(parts: App) -> Iterator[tuple[Any, Any]]:
    with parts.queries.running(is_canceled=threading.Event().is_set) as budget:
        yield partial(parts.held_samples.select, admit=budget.foresee), budget

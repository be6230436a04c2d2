"""Runs the queries of the page of metrics: values, what they mean in words, what it took, or what is wrong and where.

`explore` calls `run` per query. A query that fails does not fail the page: its fault stands beside it, with the place
in its text. Of very many series the highest are shown, so that a page stays a page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from setpoint.app import App
from setpoint.clock import stopwatch
from setpoint.errors import SetpointError
from setpoint.promql import QueryError, parse, value_type
from setpoint.promql.evaluate import evaluate, evaluate_instant
from setpoint.promql.explain import explain
from setpoint.promql.model import FloatGrid, Matrix, Presence, compact
from setpoint.promql.plan import check_resolution
from setpoint.telemetry import Matcher, SampleColumns, Select
from setpoint.telemetry.read import Origin

__all__ = ["Answer", "Fault", "Row", "Span", "View", "run"]

View = Literal["graph", "table"]

_SAMPLES_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Span:
    """The time of a page: steps of `step_ms` from `start_ms` to `end_ms`."""

    start_ms: int
    end_ms: int
    step_ms: int


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a query; `position` is the 0-based character, None where that is not known."""

    message: str
    advice: str = ""
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One series: its values at `Answer.times_ms` (None for none), and four figures of them.

    A range vector in a table has samples at instants of its own, in `times_ms`. `texts` stand for values that are
    no number: native histograms.
    """

    labels: Mapping[str, str]
    values: Sequence[float | None]
    last: float | None = None
    low: float | None = None
    mean: float | None = None
    high: float | None = None
    times_ms: Sequence[int] = ()
    texts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave. `series` counts all of them, `rows` are those that are shown.

    `histograms` counts the series of native histograms, which a graph cannot show as they are.
    """

    query: str
    explanation: str = ""
    fault: Fault | None = None
    kind: str = ""
    text: str = ""
    rows: Sequence[Row] = ()
    series: int = 0
    histograms: int = 0
    common: Mapping[str, str] = field(default_factory=dict)
    times_ms: Sequence[int] = ()
    took_s: float = 0.0
    origin: Origin = field(default_factory=Origin)
    warnings: Sequence[str] = ()
    infos: Sequence[str] = ()


def run(
    parts: App,
    query: str,
    span: Span,
    view: View,
    limit: int,
    *,
    source: str = "",
    is_canceled: Callable[[], bool] = lambda: False,
) -> Answer:
    """Answer one query over `span`, or at its end in a table; never raises a SetpointError.

    It takes its turn among all queries and keeps to their limits. `source` names the data source to read, empty for
    Setpoint's own samples.
    """
    elapsed_s, origin, explanation = stopwatch(), Origin(), ""
    try:
        is_table = view == "table"
        node = parse(
            query,
            step_ms=0 if is_table else span.step_ms,
            range_ms=0 if is_table else span.end_ms - span.start_ms,
        )
        explanation = explain(node)
        is_instant = is_table or value_type(node) == "string"
        if not is_instant:
            check_resolution(span.start_ms, span.end_ms, span.step_ms)
        with parts.queries.running(elapsed_s=elapsed_s, is_canceled=is_canceled) as budget:
            if source:
                fetch = partial(parts.datasources.get(source).fetch, check=budget.check)
                select: Select = partial(_fetched, fetch, origin)
                read_histograms = None
            else:
                select = partial(parts.reader.select, admit=budget.foresee, origin=origin)
                read_histograms = parts.reader.select_histograms
            if is_instant:
                matrix = evaluate_instant(
                    node, span.end_ms, select, budget=budget, histograms=read_histograms
                )
            else:
                grid = span.start_ms, span.end_ms, span.step_ms
                matrix = evaluate(node, *grid, select, budget=budget, histograms=read_histograms)
    except SetpointError as error:
        return Answer(query, explanation, _fault(error), took_s=elapsed_s(), origin=origin)
    histograms = int(matrix.is_histogram.any(axis=1).sum())
    if not is_instant:
        matrix = compact(matrix.floats())
    chosen = _chosen(matrix, limit, keep_order=is_instant)
    return Answer(
        query,
        explanation,
        kind=matrix.kind,
        text=matrix.text,
        rows=_rows(matrix, chosen),
        series=len(matrix.labels),
        histograms=histograms,
        common=_common([matrix.labels[place] for place in chosen]),
        times_ms=matrix.times_ms.tolist(),
        took_s=elapsed_s(),
        origin=origin,
        warnings=matrix.warnings,
        infos=matrix.infos,
    )


def _fetched(
    fetch: Select, origin: Origin, matchers: Sequence[Matcher], start_ms: int, end_ms: int
) -> SampleColumns:
    """What a data source gives, counted."""
    found = fetch(matchers, start_ms, end_ms)
    origin.elsewhere += len(found.timestamps_ms)
    return found


def _fault(error: SetpointError) -> Fault:
    if isinstance(error, QueryError):
        return Fault(error.reason, error.advice, error.position)
    reason, _, advice = error.message.partition("; in: ")[0].partition("\n")
    return Fault(reason, advice)


def _chosen(matrix: Matrix, limit: int, *, keep_order: bool) -> list[int]:
    """The places of at most `limit` series: the first of them, or sorted by labels those with the highest values.

    Sorted, so that a line keeps its colour when the page asks again.
    """
    count = len(matrix.labels)
    if keep_order:
        return list(range(min(count, limit)))
    chosen = list(range(count))
    if count > limit:
        usable = matrix.present & ~np.isnan(matrix.values)
        peaks = np.where(usable, matrix.values, -np.inf).max(axis=1)
        chosen = np.argsort(-peaks, kind="stable")[:limit].tolist()
    return sorted(chosen, key=lambda place: sorted(matrix.labels[place].items()))


def _rows(matrix: Matrix, chosen: Sequence[int]) -> list[Row]:
    rows = []
    for place in chosen:
        labels, values, present = matrix.labels[place], matrix.values[place], matrix.present[place]
        texts = _texts(matrix, place)
        if matrix.kind == "matrix":
            kept = np.flatnonzero(present)[-_SAMPLES_SHOWN:]
            newest = values[kept].tolist()
            times = matrix.times_ms[kept].tolist()
            texts = [texts[at] for at in kept.tolist()] if texts else []
            rows.append(Row(labels, newest, newest[-1] if newest else None, times_ms=times, texts=texts))
        else:
            rows.append(replace(_row(labels, values, present), texts=texts))
    return rows


def _texts(matrix: Matrix, place: int) -> list[str]:
    """What stands for the native histograms of a series, empty texts for its numbers; none where all are numbers."""
    if matrix.histograms is None or not matrix.is_histogram[place].any():
        return []
    return [
        f"{one.count:.6g} observations, sum {one.sum:.6g}" if one is not None else ""
        for one in matrix.histograms[place].tolist()
    ]


def _row(labels: Mapping[str, str], values: FloatGrid, present: Presence) -> Row:
    listed = [
        value if is_there else None for value, is_there in zip(values.tolist(), present.tolist(), strict=True)
    ]
    there = values[present]
    finite = there[np.isfinite(there)]
    last = float(there[-1]) if len(there) else None
    if not len(finite):
        return Row(labels, listed, last)
    with np.errstate(over="ignore"):
        mean = float(finite.mean())
    return Row(
        labels, listed, last, float(finite.min()), mean if math.isfinite(mean) else None, float(finite.max())
    )


def _common(labels: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """The labels that all of several series share."""
    if len(labels) < 2:
        return {}
    shared = set(labels[0].items()).intersection(*(one.items() for one in labels[1:]))
    return {name: value for name, value in labels[0].items() if (name, value) in shared}

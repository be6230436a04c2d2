"""The cache of range queries over a real head and store: late samples, flushes, evictions and restarts; and its API."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from setpoint.database import TelemetryDatabase
from setpoint.promql import parse
from setpoint.promql.budget import Budget
from setpoint.promql.context import Options
from setpoint.promql.encode import encode
from setpoint.promql.evaluate import evaluate
from setpoint.promql.model import Matrix
from setpoint.promql.range_cache import RangeCache
from setpoint.telemetry.model import HistogramColumns, MetricBatch
from setpoint.telemetry.native_histogram import NativeHistogram
from tests.telemetry.engine import Engine, clear
from tests.telemetry.naive import Sample, batch
from tests.web.conftest import NOW_MS, MakeApp, Running, requests, send

STEP_MS = 10_000
HORIZON_MS = 300_000
QUERIES = (
    "sum(m)",
    "sum by (pod) (rate(m[1m]))",
    "rate(m[2m]) / on () group_left () max(rate(n[1m]))",
    "max_over_time(m[1m] offset 30s)",
)

seconds = st.integers(-900, 0)
samples = st.lists(
    st.tuples(st.sampled_from(["m", "n"]), st.integers(0, 3), seconds, st.integers(0, 1000).map(float)),
    min_size=1,
    max_size=6,
)
turns = st.lists(
    samples | st.sampled_from(["flush", "restart", "evict"]) | st.integers(1, 3), min_size=1, max_size=9
)


def labelled(written: list[tuple[str, int, int, float]], now_ms: int) -> list[Sample]:
    return [
        ({"__name__": name, "pod": str(pod)}, now_ms + offset * 1000, value)
        for name, pod, offset, value in written
    ]


def said(matrix: Matrix) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    return json.loads(b"".join(encode(matrix, is_range=True))), matrix.warnings, matrix.infos


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=turns, queries=st.lists(st.sampled_from(QUERIES), min_size=1, max_size=2, unique=True))
def test_equals_computing_whatever_was_late_flushed_or_evicted(
    telemetry_database: TelemetryDatabase, taken: list[Any], queries: list[str]
) -> None:
    """A number moves the clock on by so many steps."""
    clear(telemetry_database)
    now_ms = NOW_MS

    def started() -> tuple[Engine, RangeCache]:
        engine = Engine(telemetry_database, now_ms, HORIZON_MS)
        state = partial(telemetry_database.revision, "blocks")
        return engine, RangeCache(engine.store.writes, state, worth_s=0)

    engine, cache = started()
    try:
        ramp = [("m", pod, second, float(second % 97)) for second in range(-900, 1, 10) for pod in range(2)]
        engine.send(batch(labelled(ramp, now_ms)))
        for turn in [None, *taken]:
            if isinstance(turn, list):
                engine.send(batch(labelled(turn, now_ms)))
            elif isinstance(turn, int):
                now_ms += turn * STEP_MS
            elif turn == "flush":
                engine.flush()
            elif turn == "evict":
                engine.flush()
                engine.head.evict(now_ms)
            elif turn == "restart":
                engine.close()
                engine, cache = started()
            for text in queries:
                node, grid = parse(text), (now_ms - 600_000, now_ms, STEP_MS)
                select, options = engine.reader.select, Options()
                budget = Budget(options.max_samples)
                kept = cache.evaluate(text, node, grid, select, options=options, budget=budget)
                assert said(kept) == said(evaluate(node, *grid, select)), turn
    finally:
        engine.close()


def test_a_late_histogram_is_seen(telemetry_database: TelemetryDatabase) -> None:
    clear(telemetry_database)
    engine = Engine(telemetry_database, NOW_MS)
    cache = RangeCache(engine.store.writes, partial(telemetry_database.revision, "blocks"), worth_s=0)
    node, grid = parse("sum(m)"), (NOW_MS - 600_000, NOW_MS, STEP_MS)

    def ask() -> Matrix:
        return cache.evaluate(
            "sum(m)",
            node,
            grid,
            engine.reader.select,
            options=Options(),
            budget=Budget(1_000_000),
            histograms=engine.reader.select_histograms,
        )

    try:
        engine.send(batch(labelled([("m", 1, -second, 1.0) for second in range(0, 900, 10)], NOW_MS)))
        plain = ask()
        assert said(ask()) == said(plain)
        assert cache.hits == 1
        late = batch(labelled([("m", 2, 0, 1.0)], NOW_MS))
        payload = NativeHistogram(
            0, 10.0, 15.0, positive_spans=((0, 2),), positive_counts=(4.0, 6.0)
        ).encode()
        times = np.array([NOW_MS - 300_000], np.int64)
        nothing = np.zeros(0, np.int32)
        histograms = HistogramColumns(np.zeros(1, np.int32), times, [payload])
        engine.send(MetricBatch(late.series, nothing, times[:0], np.zeros(0), histograms))
        read = engine.reader.select_histograms
        computed = evaluate(node, *grid, engine.reader.select, histograms=read)
        assert computed.warnings
        assert said(ask()) == said(computed)
    finally:
        engine.close()


def counted(client: httpx.Client) -> dict[str, float]:
    text = client.get("/metrics").text
    return {
        sample.name.removeprefix("setpoint_query_cache_"): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("setpoint_query_cache_")
    }


def test_the_api_computes_only_what_is_new(make_app: MakeApp, serve: Callable[..., Running]) -> None:
    parts = make_app()
    parts.range_cache._worth_s = 0
    send(parts, requests("search", NOW_MS, [10] * 1440))
    now_s = NOW_MS // 1000
    query = 'sum by (code) (rate(requests_total{service_name="search"}[5m]))'

    with httpx.Client(base_url=serve(parts).url, timeout=60) as client:

        def ask(end_s: int) -> tuple[list[Any], int]:
            params: dict[str, str | int] = {"query": query, "start": end_s - 3600, "end": end_s, "step": 15}
            answer = client.get("/api/v1/query_range", params=params | {"stats": "all"}).json()
            read = answer["data"]["stats"]["samples"]["samplesRead"]
            return [series["values"] for series in answer["data"]["result"]], read

        first, whole = ask(now_s)
        assert counted(client) == {
            "hits_total": 0,
            "misses_total": 1,
            "steps_total": 0,
            "bytes": parts.range_cache.size_bytes,
        }
        send(parts, requests("search", NOW_MS + 15_000, [10] * 3))
        second, read = ask(now_s + 15)
        assert [values[: len(values) - 2] for values in second] == [values[1:-1] for values in first]
        assert read < whole / 5
        after = counted(client)
        assert (after["hits_total"], after["misses_total"]) == (1, 1)
        assert after["steps_total"] > 200
        send(parts, requests("search", NOW_MS - 1_800_000, [100] * 3))
        third, read = ask(now_s + 15)
        assert third != second
        assert read > whole / 3

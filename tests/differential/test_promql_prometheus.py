"""The same queries over the same samples, answered by Setpoint and by a real Prometheus.

Debian has Prometheus 2.42, whose windows are closed on the left; the samples lie off the grid of steps, so
that this makes no difference, and subqueries have ranges that end between two of their steps. Counters never
come near zero, because version 3 extrapolates to zero differently. What is newer than 2.42 is held to a port
of the code instead (`tests/promql/test_kernels.py`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Any

import pytest
from tests.conftest import require
from tests.differential.prometheus import Prometheus
from tests.promql.samples import Series, close, selecting

from setpoint.promql import ExecutionError, parse
from setpoint.promql.evaluate import evaluate, evaluate_instant
from setpoint.promql.format import to_api

START_S = 1_700_000_000 // 3600 * 3600
STEP_S = 30
END_S = START_S + 3600

QUERIES = [
    "requests",
    'requests{code=~"5.."}',
    'requests{code!~"5..",job!="cart"} offset 10m',
    "requests @ end()",
    f"requests @ {START_S + 1800}",
    *(
        f"{name}(requests[{window}])"
        for name in ("rate", "increase", "irate")
        for window in ("1m", "5m", "20m")
    ),
    *(f"{name}(load[5m])" for name in ("delta", "idelta", "deriv", "changes", "resets")),
    *(f"{name}_over_time(load[4m])" for name in ("sum", "avg", "min", "max", "count", "last", "present")),
    "stddev_over_time(load[4m])",
    "stdvar_over_time(load[4m])",
    "quantile_over_time(0.9, load[4m])",
    "predict_linear(load[10m], 600)",
    "rate(requests[5m] offset 7m)",
    *(
        f"{op} by (job) (rate(requests[5m]))"
        for op in ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
    ),
    "sum without (pod, code) (requests)",
    "quantile by (job) (0.75, load)",
    "topk by (job) (1, load)",
    "bottomk(2, load)",
    'count_values("value", load > bool 50)',
    'sum by (job) (rate(requests{code=~"5.."}[5m])) / sum by (job) (rate(requests[5m]))',
    'sum(rate(requests{code!~"5.."}[5m])) - sum(rate(requests{code=~"5.."}[5m]))',
    "rate(requests[5m]) / ignoring(code) group_left sum without (code) (rate(requests[5m]))",
    "requests * on(pod) group_left(version) info",
    "info * on(pod) group_right(version) load",
    "load > 50",
    "50 < load",
    "load >= bool 50",
    "load - load offset 5m",
    "load % 7 + 2 ^ 3 - -load",
    "load and load > 50",
    "load unless on(pod) load > 50",
    "load > 90 or load < 10",
    "(load > 50) * on(pod) load",
    "vector(1) or load",
    "absent(nothing{job='x'})",
    "absent(load > 1000)",
    "scalar(load)",
    "scalar(sum(load)) + load",
    "abs(load - 50)",
    "ceil(load)",
    "floor(load)",
    "round(load, 5)",
    "clamp(load, 20, 60)",
    "clamp_min(load, 20)",
    "clamp_max(load, 60)",
    "ln(load) + log2(load) + log10(load) + exp(load / 100) + sqrt(load)",
    "time() - timestamp(load)",
    "hour() + minute() + day_of_week() + day_of_month() + days_in_month() + month() + year()",
    'label_replace(load, "short", "$1", "pod", "(.).*")',
    'label_join(load, "both", "-", "job", "pod")',
    "histogram_quantile(0.9, sum by (le, job) (rate(latency_bucket[5m])))",
    "histogram_quantile(0.5, rate(latency_bucket[10m]))",
    "max_over_time(rate(requests[2m])[610s:1m])",
    "avg_over_time(sum by (job) (load)[310s:])",
    "max_over_time((load > 50)[610s:90s] offset 3m)",
    "1 + 2 * 3",
    "sum(nothing)",
]


def _samples(source: random.Random) -> Series:
    """Counters with resets, gauges with gaps, a histogram, all with jitter and off the grid of steps."""

    def times(gap: float) -> Iterator[float]:
        at_ms = (START_S - 3600) * 1000
        while at_ms < END_S * 1000:
            if source.random() > gap:
                yield (at_ms // 1000 * 1000 + source.randrange(1, 999)) / 1000
            at_ms += 15_000

    series: dict[str, list[tuple[float, float]]] = {}
    for job in ("shop", "cart"):
        for pod in ("p1", "q2", "r3"):
            gap = 0.4 if pod == "r3" else 0.02
            for code in ("200", "404", "500"):
                value, samples = 100_000.0, []
                for at_s in times(gap):
                    value = 100_000.0 if source.random() < 0.005 else value + source.randrange(50)
                    samples.append((at_s, value))
                series[f'requests{{job="{job}",pod="{job}-{pod}",code="{code}"}}'] = samples
            gauge = [
                (at_s, round(source.uniform(1, 100), 2))
                for at_s in times(gap)
                if not 900 < at_s - START_S < 1500
            ]
            series[f'load{{job="{job}",pod="{job}-{pod}"}}'] = gauge
            series[f'info{{pod="{job}-{pod}",version="v{pod[1]}"}}'] = [(at_s, 1.0) for at_s in times(0)]
        grid = list(times(0))
        counts = [100_000.0] * 4
        buckets: list[list[tuple[float, float]]] = [[], [], [], []]
        for at_s in grid:
            observed = [source.randrange(9) for _ in counts]
            counts = [count + sum(observed[: i + 1]) for i, count in enumerate(counts)]
            for bucket, count in zip(buckets, counts, strict=True):
                bucket.append((at_s, count))
        for bound, bucket in zip(("0.1", "0.5", "1", "+Inf"), buckets, strict=True):
            series[f'latency_bucket{{job="{job}",le="{bound}"}}'] = bucket
    return series


SERIES = _samples(random.Random(20))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    require("Prometheus", Prometheus.is_installed(), "prometheus")
    with Prometheus(tmp_path_factory.mktemp("prometheus"), SERIES) as server:
        yield server


def _points(data: Any) -> dict[tuple[tuple[str, str], ...], dict[float, float]]:
    return {
        tuple(sorted(one["metric"].items())): {
            float(at_s): float(value)
            for at_s, value in (one["values"] if "values" in one else [one["value"]])
        }
        for one in data["result"]
    }


def _differences(ours: Any, theirs: Any) -> list[str]:
    if ours["resultType"] != theirs["resultType"]:
        return [f"{ours['resultType']} is not {theirs['resultType']}"]
    if ours["resultType"] in ("scalar", "string"):
        return (
            [] if close(float(ours["result"][1]), float(theirs["result"][1])) else [f"{ours} is not {theirs}"]
        )
    mine, real = _points(ours), _points(theirs)
    found = [f"only one has {dict(labels)}" for labels in mine.keys() ^ real.keys()]
    for labels in mine.keys() & real.keys():
        if mine[labels].keys() != real[labels].keys():
            found.append(
                f"{dict(labels)}: other steps: {sorted(mine[labels].keys() ^ real[labels].keys())[:5]}"
            )
            continue
        for at_s, value in mine[labels].items():
            expected = real[labels][at_s]
            # Least squares and variances lose digits to cancellation, in Prometheus 2.42 more than in 3.
            if not close(value, expected, 1e-7) and not math.isclose(value, expected, abs_tol=1e-7):
                found.append(f"{dict(labels)} at {at_s}: {value!r}, Prometheus: {expected!r}")
    return found


@pytest.mark.parametrize("query", QUERIES)
def test_a_range_query_is_answered_as_by_prometheus(prometheus: Prometheus, query: str) -> None:
    theirs = prometheus.query_range(query, START_S, END_S, STEP_S)
    matrix = evaluate(parse(query), START_S * 1000, END_S * 1000, STEP_S * 1000, selecting(SERIES))
    assert not _differences(to_api(matrix, is_range=True), theirs)


@pytest.mark.parametrize("query", [*QUERIES, "load[2m]", "rate(requests[5m])[10m:1m]", "'text'"])
def test_an_instant_query_is_answered_as_by_prometheus(prometheus: Prometheus, query: str) -> None:
    at_s = START_S + 2000
    ours, theirs = (
        to_api(evaluate_instant(parse(query), at_s * 1000, selecting(SERIES))),
        prometheus.query(query, at_s),
    )
    if ours["resultType"] == "string":
        assert ours == theirs
    else:
        assert not _differences(ours, theirs)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("requests * on(pod) load", "many-to-one matching must be explicit"),
        ("load * on(job) group_left requests", "many-to-many matching not allowed"),
        ("sum by (job) (load) * on(job) group_right requests * on(job) group_left load", "many-to-many"),
        ("label_replace(load, 'pod', '', 'pod', '.*')", "same labelset"),
    ],
)
def test_what_prometheus_refuses_is_refused(prometheus: Prometheus, query: str, says: str) -> None:
    theirs = prometheus.query_range(query, START_S, END_S, STEP_S)
    assert says in theirs
    with pytest.raises(ExecutionError, match=says):
        evaluate(parse(query), START_S * 1000, END_S * 1000, STEP_S * 1000, selecting(SERIES))

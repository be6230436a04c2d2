"""The query API: its parameters, its limits, and that queries cost nobody else anything. A real App, a real server."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from setpoint.app import App
from setpoint.clock import VirtualClock, stopwatch
from setpoint.telemetry import MetricBatch, Series, fingerprint
from setpoint.telemetry.model import HistogramColumns
from setpoint.telemetry.native_histogram import NativeHistogram
from tests.web.conftest import NOW_MS, MakeApp, Running, apply, requests, send, services, slo

_NOW_S = NOW_MS // 1000
_SERIES, _SAMPLES = 1500, 240


def wide() -> MetricBatch:
    """1,500 series with a sample each 15 s of an hour; two metrics, so that they can be joined."""
    series = []
    for i in range(_SERIES):
        labels = {"__name__": "wide" if i % 2 else "broad", "i": str(i // 2)}
        series.append(Series(fingerprint(labels), labels, "shop"))
    times = NOW_MS - 15_000 * np.arange(_SAMPLES - 1, -1, -1, dtype=np.int64)
    return MetricBatch(
        series,
        np.repeat(np.arange(_SERIES, dtype=np.int32), _SAMPLES),
        np.tile(times, _SERIES),
        np.random.default_rng(1).random(_SERIES * _SAMPLES),
    )


@pytest.fixture
def bounded(make_app: MakeApp) -> App:
    """A server with little memory for queries and 30 s for each."""
    parts = make_app(query_samples_limit=1_000_000, query_timeout_s=30)
    send(parts, wide())
    send(parts, requests("search", NOW_MS, [10] * 600))
    return parts


@pytest.fixture
def asking(bounded: App, serve: Callable[..., Running]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=serve(bounded).url, timeout=60) as opened:
        yield opened


ENDLESS = 'sum(mad_over_time(wide{i=~"[12].."}[50m]))'
HOSTILE = [
    ('{__name__=~".+"}', "execution"),
    ("wide * on() group_left() broad", "execution"),
    ("(" * 1000 + "1" + ")" * 1000, "bad_data"),
    ("-" * 5000 + "wide", "bad_data"),
    ("count_over_time(wide[100d:1s])", "execution"),
    (ENDLESS, "timeout"),
    ("max_over_time(mad_over_time(wide[20m])[1h:10s])", "execution"),
]


def test_hostile_queries_end_while_objectives_are_evaluated(bounded: App, asking: httpx.Client) -> None:
    apply(asking, services("search"), slo("search-availability", "search", 0.99))
    clock = bounded.clock
    assert isinstance(clock, VirtualClock)
    answers: list[tuple[str, httpx.Response]] = []

    def ask(query: str, kind: str) -> None:
        span = {"start": _NOW_S - 3600, "end": _NOW_S, "step": 1, "timeout": "0.5"}
        answers.append((kind, asking.post("/api/v1/query_range", data={"query": query, **span})))

    threads = [threading.Thread(target=ask, args=case) for case in HOSTILE * 2]
    for thread in threads:
        thread.start()
    ticks = 0
    while any(thread.is_alive() for thread in threads):
        clock.advance(1)
        bounded.objectives.tick()
        (status,) = bounded.objectives.statuses()
        assert status.evaluated_at_ms == clock.now_ms()
        ticks += 1
    for thread in threads:
        thread.join()
    assert ticks > 10
    found = Counter[tuple[str, str]]()
    for kind, answer in answers:
        said = answer.json()
        assert said["status"] == "error", (kind, str(said)[:200])
        codes = {"bad_data": 400, "execution": 422, "timeout": 503, "unavailable": 503}
        assert answer.status_code == codes[said["errorType"]]
        # What would end by itself may also find no turn, or no room beside the others.
        assert said["errorType"] in {kind, "timeout", "unavailable"}, said["error"]
        found[kind, said["errorType"]] += 1
    assert found["bad_data", "bad_data"] == 4
    assert (bounded.queries.active, bounded.queries.pool.held) == (0, 0)
    counted = asking.get("/api/v1/query", params={"query": "count(wide)", "time": _NOW_S}).json()
    assert counted["data"]["result"][0]["value"][1] == str(_SERIES // 2)


@pytest.mark.parametrize(("query", "kind"), HOSTILE)
def test_a_hostile_query_alone_is_told_why(asking: httpx.Client, query: str, kind: str) -> None:
    span = {"start": _NOW_S - 3600, "end": _NOW_S, "step": 1}
    if kind == "timeout":
        span["timeout"] = 1
    said = asking.post("/api/v1/query_range", data={"query": query, **span}).json()
    assert (said["status"], said["errorType"]) == ("error", kind)


def test_warnings_and_infos_stand_beside_the_data(asking: httpx.Client) -> None:
    query: dict[str, str | int] = {"query": "quantile(2, rate(wide[5m]))", "time": _NOW_S}
    said = asking.get("/api/v1/query", params=query).json()
    assert said["warnings"] == ["PromQL warning: quantile value should be between 0 and 1, got 2 (1:10)"]
    assert said["infos"] == [
        "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
        '"wide" (1:18)'
    ]


def test_a_query_ends_when_its_client_goes_away(make_app: MakeApp, serve: Callable[..., Running]) -> None:
    parts = make_app()
    send(parts, wide())
    url = serve(parts).url + "/api/v1/query_range"
    endless: dict[str, str | int] = {
        "query": ENDLESS,
        "start": _NOW_S - 3600,
        "end": _NOW_S,
        "step": 1,
    }
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(url, params=endless, timeout=1)
    waited_s = stopwatch()
    while parts.queries.active and waited_s() < 30:
        threading.Event().wait(0.05)
    assert parts.queries.active == 0


def test_the_timeout_of_a_request(asking: httpx.Client) -> None:
    endless: dict[str, str | int] = {
        "query": ENDLESS,
        "start": _NOW_S - 3600,
        "end": _NOW_S,
        "step": 1,
    }
    answer = asking.post("/api/v1/query_range", data=endless | {"timeout": "100ms"})
    assert (answer.status_code, answer.json()["errorType"]) == (503, "timeout")
    assert "query timed out" in answer.json()["error"]
    assert asking.get("/api/v1/query", params={"query": "1", "timeout": "30s"}).json()["status"] == "success"
    for timeout in ("soon", "9" * 5000 + "s", "9" * 30 + "s"):
        refused = asking.get("/api/v1/query", params={"query": "1", "timeout": timeout})
        assert (refused.status_code, refused.json()["errorType"]) == (400, "bad_data")
        assert refused.json()["error"].startswith('invalid parameter "timeout"')


def test_limit_lookback_and_stats(bounded: App, asking: httpx.Client) -> None:
    def ask(**params: str | int) -> Any:
        answer = asking.get("/api/v1/query", params={"time": _NOW_S, **params}).json()
        assert answer["status"] == "success", answer
        return answer

    few = ask(query="wide", limit=3)
    assert len(few["data"]["result"]) == 3
    assert few["warnings"] == ["results truncated due to limit"]
    assert "warnings" not in ask(query="count(wide)", limit=3)
    exact = ask(query="count(wide)", limit=1)
    assert "warnings" not in exact
    later: dict[str, str | int] = {"query": "count(wide)", "time": _NOW_S + 120}
    assert ask(**later)["data"]["result"]
    assert not ask(**later, lookback_delta="1m")["data"]["result"]
    said = ask(query="sum(wide)", stats="all")["data"]["stats"]
    assert said["samples"]["totalQueryableSamples"] == _SERIES // 2 * 20
    assert said["samples"]["peakSamples"] > said["samples"]["totalQueryableSamples"]
    assert said["timings"]["execTotalTime"] >= said["timings"]["innerEvalTime"] >= 0
    assert "stats" not in ask(query="1")["data"]
    assert bounded.queries.pool.held == 0


def test_too_many_steps(asking: httpx.Client) -> None:
    answer = asking.get("/api/v1/query_range", params={"query": "1", "start": 0, "end": 11_001, "step": 1})
    assert answer.status_code == 400
    assert answer.json() == {
        "status": "error",
        "errorType": "bad_data",
        "error": "exceeded maximum resolution of 11,000 points per timeseries. "
        "Try decreasing the query resolution (?step=XX)",
    }


def test_native_histograms_are_answered_as_prometheus_does(
    make_app: MakeApp, serve: Callable[..., Running]
) -> None:
    parts = make_app()
    labels = {"__name__": "latency", "job": "shop"}
    times = NOW_MS - 15_000 * np.arange(20, -1, -1, dtype=np.int64)
    payloads = [
        NativeHistogram(
            0, 10.0 * k, 15.0 * k, positive_spans=((0, 2),), positive_counts=(4.0 * k, 6.0 * k)
        ).encode()
        for k in range(1, 22)
    ]
    send(
        parts,
        MetricBatch(
            [Series(fingerprint(labels), labels, "shop")],
            np.empty(0, np.int32),
            np.empty(0, np.int64),
            np.empty(0),
            HistogramColumns(np.zeros(21, np.int32), times, payloads),
        ),
    )
    with httpx.Client(base_url=serve(parts).url, timeout=60) as client:

        def ask(query: str) -> Any:
            return client.get("/api/v1/query", params={"query": query, "time": _NOW_S}).json()["data"][
                "result"
            ]

        (found,) = ask("latency")
        assert found["metric"] == labels
        assert found["histogram"] == [
            _NOW_S,
            {"count": "210", "sum": "315", "buckets": [[0, "0.5", "1", "84"], [0, "1", "2", "126"]]},
        ]
        assert ask("histogram_quantile(0.4, rate(latency[5m]))")[0]["value"] == [_NOW_S, "1"]
        assert ask("histogram_count(increase(latency[5m]))")[0]["value"] == [_NOW_S, "200"]
        (series,) = client.get(
            "/api/v1/query_range",
            params={"query": "sum(latency)", "start": _NOW_S - 60, "end": _NOW_S, "step": 15},
        ).json()["data"]["result"]
        assert [histogram["count"] for _, histogram in series["histograms"]] == [
            "170",
            "180",
            "190",
            "200",
            "210",
        ]
        assert "values" not in series

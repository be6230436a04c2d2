"""Answers of many megabytes: sent while they are made, whole, and without holding up anybody."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from itertools import pairwise

import httpx
import numpy as np
import pytest

from setpoint.app import App
from setpoint.telemetry import MetricBatch, Series, fingerprint
from tests.web.conftest import NOW_MS, Running, send

SERIES, STEPS = 150, 2_000
RANGE: dict[str, str | float] = {
    "query": "wide",
    "start": NOW_MS / 1000 - STEPS,
    "end": NOW_MS / 1000,
    "step": 1,
}


@pytest.fixture
def wide(parts: App, serve: Callable[..., Running]) -> str:
    """The address of a server with samples whose digits are many."""
    labels = [{"__name__": "wide", "pod": f"pod-{place:04d}"} for place in range(SERIES)]
    made = [Series(fingerprint(one), one, "shop") for one in labels]
    times = NOW_MS - 10_000 * np.arange(STEPS // 10 + 1, -1, -1, dtype=np.int64)
    rows = np.repeat(np.arange(SERIES, dtype=np.int32), len(times))
    values = np.random.default_rng(3).random(len(rows))
    send(parts, MetricBatch(made, rows, np.tile(times, SERIES), values))
    return serve(parts).url


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_large_answer_is_whole(wide: str, encoding: str) -> None:
    with httpx.Client(base_url=wide, headers={"Accept-Encoding": encoding}, timeout=60) as client:
        answer = client.get("/api/v1/query_range", params=RANGE)
        small = client.get("/api/v1/query", params={"query": "wide", "time": NOW_MS / 1000})
    assert "Content-Length" not in answer.headers
    assert answer.headers.get("Content-Encoding", "identity") == encoding
    assert answer.headers["Cache-Control"] == "no-store"
    assert len(answer.content) > 5 << 20
    said = answer.json()
    assert said.keys() == {"status", "data"}
    result = said["data"]["result"]
    assert [one["metric"]["pod"] for one in result] == [f"pod-{place:04d}" for place in range(SERIES)]
    assert {len(one["values"]) for one in result} == {STEPS + 1}
    assert all(after[0] - before[0] == 1 for before, after in pairwise(result[-1]["values"]))
    newest = {one["metric"]["pod"]: one["value"] for one in small.json()["data"]["result"]}
    assert newest == {one["metric"]["pod"]: one["values"][-1] for one in result}
    assert "Content-Length" in small.headers


def test_others_are_answered_and_readers_may_leave(wide: str) -> None:
    """While several read slowly or go away half-way, health answers; the query runs again afterwards."""
    done = threading.Event()
    failures: list[str] = []

    def look() -> None:
        with httpx.Client(base_url=wide, timeout=20) as client:
            while not done.is_set():
                status = client.get("/-/healthy").status_code
                if status != 200:
                    failures.append(str(status))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for _ in range(4):
            with httpx.stream("GET", f"{wide}/api/v1/query_range", params=RANGE, timeout=60) as answer:
                assert len(next(answer.iter_raw(65_536))) > 0
        whole = httpx.get(f"{wide}/api/v1/query_range", params=RANGE | {"limit": SERIES - 1}, timeout=60)
    finally:
        done.set()
        watcher.join()
    assert not failures
    said = json.loads(whole.content)
    assert len(said["data"]["result"]) == SERIES - 1
    assert said["warnings"] == ["results truncated due to limit"]

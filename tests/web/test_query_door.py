"""What is answered on the spot and what on a thread: the same answers, and nothing that the event loop waits for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from setpoint.app import App
from setpoint.web.query_door import QueryDoor
from tests.web.conftest import NOW_MS, MakeApp, Running, requests, send

NOW_S = NOW_MS // 1000
QUERIES = (
    "requests_total",
    'sum by (code) (rate(requests_total{service_name="search"}[5m]))',
    "topk(1, requests_total) > 0 or vector(1)",
    "rate(requests_total[5m]) / 0",
    "1 + 1",
    'label_replace(requests_total, "é", "ü%&+$1", "code", "(.*)")',
)


@pytest.fixture
def spots(monkeypatch: pytest.MonkeyPatch) -> list[bytes | None]:
    """What was answered on the spot, None for what was not."""
    given: list[bytes | None] = []
    at_once = QueryDoor._at_once

    def noted(self: QueryDoor, *arguments: Any) -> bytes | None:
        given.append(at_once(self, *arguments))
        return given[-1]

    monkeypatch.setattr(QueryDoor, "_at_once", noted)
    monkeypatch.setattr("setpoint.web.query_door._SPOT_S", 10.0)  # however slow the machine is
    return given


def asked(query: str, end_s: int = NOW_S, **more: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    at = {"query": query, "time": end_s} | more
    over = {"query": query, "start": end_s - 3600, "end": end_s, "step": 60} | more
    return ("/api/v1/query", at), ("/api/v1/query_range", over)


def last(spots: list[bytes | None]) -> bytes | None:
    return spots[-1]


def filled(make_app: MakeApp) -> App:
    parts = make_app()
    send(parts, requests("search", NOW_MS, [10] * 240))
    return parts


@pytest.mark.parametrize("query", QUERIES)
def test_both_ways_give_the_same_answer(
    make_app: MakeApp, serve: Callable[..., Running], spots: list[bytes | None], query: str
) -> None:
    with httpx.Client(base_url=serve(filled(make_app)).url, timeout=60) as client:
        for path, parameters in asked(query):
            spots.clear()
            first = client.get(path, params=parameters)
            again = client.get(path, params=parameters)
            as_form = client.post(path, data=parameters)
            plain = client.get(path, params=parameters, headers={"Accept-Encoding": "identity"})
            assert spots[0] is None
            assert None not in spots[1:]
            assert first.status_code == 200
            assert first.json()["data"]["result"]
            assert again.content == first.content == as_form.content == plain.content
            same = ("content-type", "cache-control", "x-frame-options", "vary")
            assert [first.headers.get(name, "").split(",")[0] for name in same] == [
                again.headers.get(name, "").split(",")[0] for name in same
            ]


def test_errors_and_what_must_wait_go_to_a_thread(
    make_app: MakeApp, serve: Callable[..., Running], spots: list[bytes | None]
) -> None:
    parts = filled(make_app)
    with httpx.Client(base_url=serve(parts).url, timeout=60) as client:
        for query in ("sum(", "requests_total / ignoring (code) requests_total + on () requests_total"):
            for path, parameters in asked(query):
                answers = [client.get(path, params=parameters) for _ in range(3)]
                assert {answer.status_code for answer in answers} <= {400, 422}
                assert len({answer.text for answer in answers}) == 1
        assert not any(spots)
        path, parameters = asked("requests_total")[1]
        for more in ({"stats": "all"}, {"timeout": "10s"}, {"limit": "1"}, {"lookback_delta": "1m"}):
            for _ in range(2):
                assert client.get(path, params=parameters | more).status_code == 200
        assert not any(spots)
        client.get(path, params=parameters)
        client.get(path, params=parameters)
        assert last(spots) is not None
        # What came late has to be read anew, over most of the range.
        send(parts, requests("search", NOW_MS - 3_000_000, [100] * 3))
        late = client.get(path, params=parameters)
        assert last(spots) is None
        assert client.get(path, params=parameters).content == late.content
        assert last(spots) is not None
        # Nor does it wait for a turn.
        parts.queries._running = parts.queries.concurrency
        parts.queries.timeout_s = 0.1
        assert client.get(path, params=parameters).json()["errorType"] == "timeout"
        assert last(spots) is None
        parts.queries._running = 0


def test_what_took_long_is_not_computed_on_the_spot(
    make_app: MakeApp,
    serve: Callable[..., Running],
    spots: list[bytes | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("setpoint.web.query_door._SPOT_S", 0.0)
    with httpx.Client(base_url=serve(filled(make_app)).url, timeout=60) as client:
        path, parameters = asked("requests_total")[0]
        for _ in range(4):
            assert client.get(path, params=parameters).status_code == 200
    assert not any(spots)


def test_other_methods_and_forms_that_are_too_large_are_refused(
    make_app: MakeApp, serve: Callable[..., Running]
) -> None:
    with httpx.Client(base_url=serve(filled(make_app)).url, timeout=60) as client:
        assert client.put("/api/v1/query", params={"query": "1"}).status_code == 405
        assert client.delete("/api/v1/query_range").json()["error"]["code"] == "method_not_allowed"
        large = client.post("/api/v1/query", data={"query": "1" * 1_100_000})
        assert (large.status_code, large.json()["errorType"]) == (400, "bad_data")
        assert client.get("/api/v1/query").json()["errorType"] == "bad_data"
        text = client.get("/metrics").text
        assert 'route="/api/v1/query"' in text

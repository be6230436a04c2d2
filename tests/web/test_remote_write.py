"""Remote write at the running server: past the routes, behind the access rules, seen by queries at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from setpoint.app import App
from setpoint.telemetry.receive.remote_write import PATHS
from tests.telemetry.receive.remote_write_proto import Request, compressed
from tests.web.conftest import NOW_MS, Running

HEADERS = {
    "content-type": "application/x-protobuf;proto=io.prometheus.write.v2.Request",
    "content-encoding": "snappy",
}


def body(count: int = 1) -> bytes:
    request: Any = Request(symbols=[b"", b"__name__", b"up", b"job"])
    for number in range(count):
        request.symbols.append(b"job-%d" % number)
        series = request.timeseries.add(labels_refs=[1, 2, 3, 4 + number])
        series.samples.add(timestamp=NOW_MS - 1000, value=float(number))
    return compressed(request)


@pytest.mark.parametrize("path", PATHS)
def test_what_is_written_is_found_at_once(client: httpx.Client, path: str) -> None:
    answer = client.post(path, content=body(3), headers=HEADERS)
    assert answer.status_code == 204, answer.text
    assert answer.headers["x-prometheus-remote-write-samples-written"] == "3"
    assert "content-security-policy" in answer.headers
    found = client.get("/api/v1/query", params={"query": "up", "time": NOW_MS / 1000}).json()["data"][
        "result"
    ]
    assert sorted((one["metric"]["job"], one["value"][1]) for one in found) == [
        ("job-0", "0"),
        ("job-1", "1"),
        ("job-2", "2"),
    ]


def test_the_token_opens_it_as_bearer_and_as_password(guarded: App, serve: Callable[..., Running]) -> None:
    with httpx.Client(base_url=serve(guarded).url) as client:
        assert client.post(PATHS[0], content=body(), headers=HEADERS).status_code == 401
        assert (
            client.post(PATHS[0], content=body(), headers=HEADERS, auth=("prometheus", "no")).status_code
            == 401
        )
        bearer = {"authorization": "Bearer s3cret-token"}
        assert client.post(PATHS[0], content=body(), headers=HEADERS | bearer).status_code == 204
        answer = client.post(PATHS[0], content=body(), headers=HEADERS, auth=("prometheus", "s3cret-token"))
        assert answer.status_code == 204


def test_a_page_of_another_site_cannot_write(client: httpx.Client) -> None:
    for header in ({"origin": "http://evil.example"}, {"host": "evil.example"}):
        assert client.post(PATHS[0], content=body(), headers=HEADERS | header).status_code == 403


def test_bodies_in_pieces_are_taken_here(client: httpx.Client) -> None:
    """The API wants lengths; this door counts for itself."""
    content = iter([body(500)[:100], body(500)[100:]])
    assert client.post(PATHS[0], content=content, headers=HEADERS).status_code == 204


def test_requests_and_refusals_are_counted(client: httpx.Client) -> None:
    assert client.post(PATHS[0], content=b"garbage", headers=HEADERS).status_code == 400
    assert client.post(PATHS[0], content=body(2), headers=HEADERS).status_code == 204
    text = client.get("/metrics").text
    assert 'setpoint_http_requests_total{code="204",method="POST",route="/api/v1/write"} 1.0' in text
    assert 'setpoint_ingest_refused_samples_total{reason="malformed_request"} 1.0' in text

"""OTLP/HTTP over a real socket: the protocol's table of answers, with rows in the database after a 200."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import json
import threading
import time
import zlib
from concurrent.futures import Future
from typing import Any

import httpx
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from starlette.applications import Starlette

from setpoint.clock import SystemClock
from setpoint.errors import Unavailable
from setpoint.telemetry.journal_log import open_log
from setpoint.telemetry.model import LogBatch, RefBatch, SpanBatch
from setpoint.telemetry.receive import routes
from setpoint.telemetry.receive.receiver import SERVICES, SIGNALS, Receiver, Signal, SubmitsBatches
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.receive.loopback import LIMIT_BYTES, Doors, serving
from tests.telemetry.receive.messages import add_metric, full_request, metrics_request
from tests.telemetry.receive.test_json_encoding import otlp_json

PROTOBUF, JSON = "application/x-protobuf", "application/json"
TABLE = {"traces": "spans", "metrics": "journal", "logs": "logs"}


def post(doors: Doors, signal: str, body: bytes, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(f"{doors.url}/v1/{signal}", content=body, headers=named)


def status_of(answer: httpx.Response) -> Any:
    """The google.rpc.Status of an error, read in the encoding that the answer claims."""
    if answer.headers["content-type"] == JSON:
        return json_format.Parse(answer.content, status_pb2.Status())
    assert answer.headers["content-type"] == PROTOBUF
    return status_pb2.Status.FromString(answer.content)


def rows(doors: Doors, table: str) -> int:
    if table == "journal":
        return sum(open_log(doors.database).samples().values())
    return int(doors.database.query(f"SELECT count() AS n FROM {table}")["n"][0])


@pytest.mark.parametrize("signal", SIGNALS)
def test_protobuf_is_stored_before_it_is_answered(doors: Doors, signal: Signal) -> None:
    answer = post(doors, signal, full_request(signal).SerializeToString(), content_type=PROTOBUF)
    assert (answer.status_code, answer.headers["content-type"]) == (200, PROTOBUF)
    response = SERVICES[signal].response.FromString(answer.content)
    assert not response.HasField("partial_success")
    assert rows(doors, TABLE[signal]) > 0


@pytest.mark.parametrize("signal", SIGNALS)
def test_json_is_answered_in_json(doors: Doors, signal: Signal) -> None:
    body = json.dumps(otlp_json(full_request(signal))).encode()
    answer = post(doors, signal, body, content_type="Application/JSON; charset=utf-8")
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, JSON, b"{}")
    assert rows(doors, TABLE[signal]) > 0


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
        ("", bytes),
        ("gzip", lambda body: gzip.compress(body[:50]) + gzip.compress(body[50:])),
    ],
)
def test_compressed_bodies(doors: Doors, encoding: str, compress: Any) -> None:
    body = full_request("traces").SerializeToString()
    answer = post(doors, "traces", compress(body), content_type=PROTOBUF, content_encoding=encoding)
    assert answer.status_code == 200
    assert rows(doors, "spans") == 1


@pytest.mark.parametrize(("content_type", "body"), [(PROTOBUF, b""), (JSON, b"{}")])
@pytest.mark.parametrize("signal", SIGNALS)
def test_an_empty_request_is_a_success(doors: Doors, signal: Signal, content_type: str, body: bytes) -> None:
    answer = post(doors, signal, body, content_type=content_type)
    assert (answer.status_code, answer.content) == (200, body)


def partial_request() -> Any:
    request, scope = metrics_request()
    now_ns = time.time_ns()
    add_metric(scope, "good", "gauge").data_points.add(as_int=1, time_unix_nano=now_ns)
    add_metric(scope, "bad", "sum", aggregation_temporality=0).data_points.add(
        as_int=1, time_unix_nano=now_ns
    )
    return request


def test_partial_success_in_both_encodings(doors: Doors) -> None:
    answer = post(doors, "metrics", partial_request().SerializeToString(), content_type=PROTOBUF)
    partial = SERVICES["metrics"].response.FromString(answer.content).partial_success
    assert (answer.status_code, partial.rejected_data_points) == (200, 1)
    assert "cumulative" in partial.error_message
    answer = post(doors, "metrics", json.dumps(otlp_json(partial_request())).encode(), content_type=JSON)
    assert answer.json()["partialSuccess"]["rejectedDataPoints"] == "1"
    doors.store.series.settle()
    assert doors.database.query("SELECT DISTINCT metric FROM series ORDER BY metric")["metric"].tolist() == [
        "good",
        "target_info",
    ]


GOOD = full_request("traces").SerializeToString()


@pytest.mark.parametrize(
    ("body", "headers", "status", "message"),
    [
        (GOOD, {}, 415, "Content-Type '' is not OTLP"),
        (GOOD, {"content_type": "text/plain"}, 415, "application/x-protobuf or application/json"),
        (GOOD, {"content_type": PROTOBUF, "content_encoding": "zstd"}, 415, "Content-Encoding 'zstd'"),
        (GOOD, {"content_type": PROTOBUF, "content_encoding": "gzip, gzip"}, 415, "Content-Encoding"),
        (GOOD[:-1], {"content_type": PROTOBUF}, 400, "no valid ExportTraceServiceRequest"),
        (GOOD, {"content_type": JSON}, 400, "not valid JSON"),
        (b"\xff" * 50, {"content_type": PROTOBUF}, 400, "no valid ExportTraceServiceRequest"),
        (b'{"resourceSpans": 1}', {"content_type": JSON}, 400, "resourceSpans must be an array"),
        (GOOD, {"content_type": PROTOBUF, "content_encoding": "gzip"}, 400, "not valid gzip"),
        (gzip.compress(GOOD)[:-9], {"content_type": PROTOBUF, "content_encoding": "gzip"}, 400, "truncated"),
        (b"", {"content_type": PROTOBUF, "content_encoding": "gzip"}, 400, "truncated"),
        (
            gzip.compress(GOOD) + b"more",
            {"content_type": PROTOBUF, "content_encoding": "gzip"},
            400,
            "not valid gzip",
        ),
        (
            zlib.compress(GOOD) * 2,
            {"content_type": JSON, "content_encoding": "deflate"},
            400,
            "goes on after its end",
        ),
        (b"\0" * (LIMIT_BYTES + 1), {"content_type": PROTOBUF}, 413, "larger than 1048576 bytes"),
        (
            gzip.compress(bytes(64 << 20)),
            {"content_type": PROTOBUF, "content_encoding": "gzip"},
            413,
            "larger than",
        ),
        (
            zlib.compress(bytes(64 << 20)),
            {"content_type": JSON, "content_encoding": "deflate"},
            413,
            "larger than",
        ),
    ],
)
def test_errors(doors: Doors, body: bytes, headers: dict[str, str], status: int, message: str) -> None:
    answer = post(doors, "traces", body, **headers)
    assert answer.status_code == status
    found = status_of(answer)
    assert message in found.message
    assert found.code != 0
    if headers.get("content_type") in (PROTOBUF, JSON):
        assert answer.headers["content-type"] == headers["content_type"]
    if status == 400:
        detail = error_details_pb2.BadRequest()
        assert found.details[0].Unpack(detail)
        assert detail.field_violations[0].description == found.message
    assert rows(doors, "spans") == 0


def test_other_methods_and_paths_are_not_ours(doors: Doors) -> None:
    assert httpx.get(f"{doors.url}/v1/traces").status_code == 405
    assert post(doors, "profiles", b"", content_type=PROTOBUF).status_code == 404


def test_a_body_at_the_limit_passes_and_chunks_without_length_are_counted(doors: Doors) -> None:
    request = full_request("traces")
    span = request.resource_spans[0].scope_spans[0].spans[0]
    span.status.message = "x" * (LIMIT_BYTES - request.ByteSize() - 40)
    while request.ByteSize() < LIMIT_BYTES:
        span.status.message += "x"
    assert post(doors, "traces", request.SerializeToString(), content_type=PROTOBUF).status_code == 200
    span.status.message += "x"
    body = request.SerializeToString()
    chunks = (body[start : start + 100_000] for start in range(0, len(body), 100_000))
    answer = httpx.post(f"{doors.url}/v1/traces", content=chunks, headers={"content-type": PROTOBUF})
    assert answer.status_code == 413


def test_a_sender_that_hangs_up_leaves_the_server_well(doors: Doors) -> None:
    for _ in range(20):
        connection = http.client.HTTPConnection("127.0.0.1", doors.port)
        connection.putrequest("POST", "/v1/traces")
        connection.putheader("content-type", PROTOBUF)
        connection.putheader("content-length", "100000")
        connection.endheaders(b"x" * 1000)
        connection.close()
    assert post(doors, "traces", GOOD, content_type=PROTOBUF).status_code == 200


# --- back-pressure: a full queue and a database that refuses, which the real ones only do when broken


def test_more_bodies_at_once_than_memory_is_set_aside_for_are_told_to_come_back(doors: Doors) -> None:
    waiting = []
    for _ in range(4):
        connection = http.client.HTTPConnection("127.0.0.1", doors.port)
        connection.putrequest("POST", "/v1/traces")
        connection.putheader("content-type", PROTOBUF)
        connection.putheader("content-length", str(LIMIT_BYTES))
        connection.endheaders(bytes(LIMIT_BYTES - 1))
        waiting.append(connection)
    answer = post(doors, "traces", GOOD, content_type=PROTOBUF)
    for _ in range(200):  # until the server has read what the four sent
        if answer.status_code == 503:
            break
        time.sleep(0.01)
        answer = post(doors, "traces", GOOD, content_type=PROTOBUF)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    for connection in waiting:
        connection.close()
    while post(doors, "traces", GOOD, content_type=PROTOBUF).status_code == 503:
        time.sleep(0.01)


class _NotesThreads:
    """Hands batches on to the real ingest and notes which threads brought them, fresh from decoding."""

    def __init__(self, ingest: SubmitsBatches) -> None:
        self._ingest = ingest
        self.threads: set[int] = set()

    def submit(self, batch: RefBatch | SpanBatch | LogBatch, size_bytes: int) -> Future[None]:
        self.threads.add(threading.get_ident())
        return self._ingest.submit(batch, size_bytes)


def test_the_event_loop_decodes_nothing(doors: Doors) -> None:
    noted = _NotesThreads(doors.ingest)
    application = Starlette(routes=routes(Receiver(noted, SystemClock(), doors.store.table), LIMIT_BYTES))

    async def send() -> None:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://setpoint.example") as client:
            for signal in SIGNALS:
                body = full_request(signal).SerializeToString()
                answer = await client.post(f"/v1/{signal}", content=body, headers={"content-type": PROTOBUF})
                assert answer.status_code == 200

    asyncio.run(send())  # on this thread
    assert noted.threads
    assert threading.get_ident() not in noted.threads


class _Refusing:
    def __init__(self, at_once: bool) -> None:
        self._at_once = at_once

    def submit(self, batch: Any, size_bytes: int) -> Future[None]:
        error = Unavailable("the queue is full; send it again later", retry_after_s=2.4)
        if self._at_once:
            raise error
        future: Future[None] = Future()
        future.set_exception(error)
        return future


@pytest.mark.parametrize("at_once", [True, False], ids=["queue full", "not stored"])
@pytest.mark.parametrize("content_type", [PROTOBUF, JSON])
def test_back_pressure_tells_when_to_come_back(at_once: bool, content_type: str) -> None:
    request = full_request("logs")
    body = (
        request.SerializeToString() if content_type == PROTOBUF else json.dumps(otlp_json(request)).encode()
    )
    with serving(Receiver(_Refusing(at_once), SystemClock(), SeriesTable())) as port:
        url = f"http://127.0.0.1:{port}/v1/logs"
        answer = httpx.post(url, content=body, headers={"content-type": content_type})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
    assert status_of(answer).message == "the queue is full; send it again later"

"""Remote write over HTTP: status codes and headers that tell a sender what to do, on a real uvicorn."""

from __future__ import annotations

import random
import select
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import uvicorn

from setpoint.clock import SystemClock
from setpoint.errors import Unavailable
from setpoint.telemetry.model import RefBatch
from setpoint.telemetry.protect import Limits, Protection
from setpoint.telemetry.receive.remote_write import PATHS, RemoteWriteDoor
from setpoint.telemetry.receive.remote_write_receiver import RemoteWriteReceiver
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.receive.remote_write_proto import Request, WriteRequest, compressed
from tests.telemetry.receive.wire_mutations import bodies

LIMIT_BYTES = 1 << 20
V1 = {"content-type": "application/x-protobuf", "content-encoding": "snappy"}
V2 = V1 | {"content-type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}


class Queue:
    """In the place of the ingest: stores at once, never, or later; keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[RefBatch] = []
        self.held: list[Future[None]] | None = None
        self.error: Exception | None = None
        self.is_full = False

    def submit(self, batch: RefBatch, size_bytes: int) -> Future[None]:
        if self.is_full:
            raise Unavailable("the queue is full; send this again later", retry_after_s=7.2)
        self.batches.append(batch)
        stored: Future[None] = Future()
        if self.held is not None:
            self.held.append(stored)
        elif self.error is not None:
            stored.set_exception(self.error)
        else:
            stored.set_result(None)
        batch.lease.release()
        return stored


class Running:
    """The door on a free port of the loopback."""

    def __init__(self, port: int, queue: Queue, protection: Protection) -> None:
        self.port, self.queue, self.protection = port, queue, protection
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}")

    def post(self, body: Any, headers: dict[str, str] | None = None, path: str = PATHS[0]) -> httpx.Response:
        content = body if isinstance(body, bytes) else compressed(body)
        if headers is None:
            headers = V2 if isinstance(body, Request) else V1
        return self.client.post(path, content=content, headers=headers)


@pytest.fixture
def door() -> Iterator[Running]:
    clock, queue = SystemClock(), Queue()
    protection = Protection(Limits(), clock)
    table = SeriesTable(protection.admit)
    receiver = RemoteWriteReceiver(queue.submit, table, protection, clock)
    app = RemoteWriteDoor(receiver, protection, LIMIT_BYTES)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        running = Running(server.servers[0].sockets[0].getsockname()[1], queue, protection)
        with running.client:
            yield running
    finally:
        server.should_exit = True
        thread.join()


def now_ms() -> int:
    return SystemClock().now_ms()


def v1(*names: bytes) -> Any:
    request = WriteRequest()
    for name in names or (b"up",):
        series = request.timeseries.add()
        series.labels.add(name=b"__name__", value=name)
        series.samples.add(timestamp=now_ms(), value=1.0)
    return request


def v2(exemplars: int = 0, histograms: int = 0) -> Any:
    request = Request(symbols=[b"", b"__name__", b"up"])
    series = request.timeseries.add(labels_refs=[1, 2])
    series.samples.add(timestamp=now_ms(), value=1.0)
    for _ in range(exemplars):
        series.exemplars.add(timestamp=now_ms(), value=1.0)
    for place in range(histograms):
        series.histograms.add(timestamp=now_ms() + place, count_int=0)
    return request


def written(answer: httpx.Response) -> tuple[str | None, ...]:
    names = ("samples", "histograms", "exemplars")
    return tuple(answer.headers.get(f"x-prometheus-remote-write-{name}-written") for name in names)


@pytest.mark.parametrize("path", PATHS)
def test_what_is_stored_is_answered_with_204(door: Running, path: str) -> None:
    for request in (v1(), v2(exemplars=2, histograms=3)):
        answer = door.post(request, path=path)
        assert (answer.status_code, answer.content) == (204, b"")
        assert "content-length" not in answer.headers
        assert written(answer) == (("1", "3", "2") if isinstance(request, Request) else (None, None, None))
    assert [batch.lease.sender for batch in door.queue.batches] == ["remote_write 127.0.0.1"] * 2


@pytest.mark.parametrize(
    ("content_type", "is_v2"),
    [
        ("application/x-protobuf", False),
        ("application/x-protobuf;proto=prometheus.WriteRequest", False),
        ("application/x-protobuf; proto=prometheus.WriteRequest", False),
        ("", False),
        ("application/x-protobuf;proto=io.prometheus.write.v2.Request", True),
        ('Application/X-Protobuf; charset=utf-8; Proto="io.prometheus.write.v2.Request"', True),
    ],
)
def test_the_message_is_chosen_by_its_type(door: Running, content_type: str, is_v2: bool) -> None:
    headers = {"content-encoding": "snappy", "x-prometheus-remote-write-version": "2.0.0"}
    answer = door.post(
        v2() if is_v2 else v1(), headers | ({"content-type": content_type} if content_type else {})
    )
    assert answer.status_code == 204
    assert written(answer)[0] == ("1" if is_v2 else None)
    assert len(door.queue.batches[0].refs) == 1


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        (V1 | {"content-type": "application/json"}, "application/json"),
        (V1 | {"content-type": "image/png"}, "image/png"),
        (V1 | {"content-type": "application/x-protobuf;proto=io.prometheus.write.v3.Request"}, "v3"),
        (V1 | {"content-encoding": "gzip"}, "gzip"),
        (V1 | {"content-encoding": "identity"}, "identity"),
        (V1 | {"content-encoding": "zstd"}, "zstd"),
        (V2 | {"content-encoding": "deflate"}, "deflate"),
    ],
)
def test_another_type_or_compression_is_answered_with_415(
    door: Running, headers: dict[str, str], told: str
) -> None:
    answer = door.post(v1(), headers)
    assert answer.status_code == 415
    assert told in answer.text
    assert not door.queue.batches


def test_without_a_named_compression_it_is_snappy(door: Running) -> None:
    assert door.post(v1(), {}).status_code == 204


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post(door: Running, method: str) -> None:
    answer = door.client.request(method, PATHS[0])
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("headers", [V1, V2])
@pytest.mark.parametrize(
    "body", [b"", b"no snappy", b"\x05\x10hello", compressed(b"\x0a\x7f"), compressed(b"\x2a\x7f")]
)
def test_malformed_is_answered_with_400(door: Running, headers: dict[str, str], body: bytes) -> None:
    if headers is V1 and body == compressed(b"\x2a\x7f"):
        body = compressed(b"\x0a\x02\x12\x05")
    answer = door.post(body, headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "snappy" in answer.text or "is no valid" in answer.text
    assert written(answer) == (("0", "0", "0") if headers is V2 else (None, None, None))
    assert door.protection.samples_by_reason == {"malformed_request": 1}
    assert not door.queue.batches


def test_a_message_of_the_other_version_is_not_taken_for_nothing(door: Running) -> None:
    """2.0 reserves the fields of 1.0, so that the wrong message reads as empty: no sample is claimed."""
    answer = door.post(v1(), V2)
    assert (answer.status_code, written(answer)) == (204, ("0", "0", "0"))
    assert door.post(v2(), V1).status_code == 204
    assert not door.queue.batches


def test_part_of_a_request_is_stored_and_the_rest_named(door: Running) -> None:
    request = v2()
    request.timeseries.add(labels_refs=[1, 99]).samples.add(timestamp=now_ms(), value=1.0)
    answer = door.post(request)
    assert answer.status_code == 400
    assert answer.text.startswith("1 rejected: a reference names symbol 99 of 3")
    assert written(answer) == ("1", "0", "0")
    assert len(door.queue.batches[0].refs) == 1


def test_a_body_that_is_too_large_is_answered_with_413(door: Running) -> None:
    for body in (
        compressed(b"\0" * (LIMIT_BYTES + 1)),
        b"\xff\xff\xff\xff\x0f",
        random.Random(1).randbytes(LIMIT_BYTES + 1),
    ):
        answer = door.post(body, V2)
        assert answer.status_code == 413
        assert "smaller batches" in answer.text
    assert door.post(v1()).status_code == 204


def test_the_answer_waits_until_all_is_stored(door: Running) -> None:
    door.queue.held = []
    with ThreadPoolExecutor(1) as pool:
        answering = pool.submit(door.post, v2())
        deadline = time.monotonic() + 10
        while not door.queue.held and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(0.05)
        assert not answering.done()
        door.queue.held[0].set_result(None)
        assert answering.result(10).status_code == 204


def test_what_cannot_be_stored_now_comes_again(door: Running) -> None:
    door.queue.is_full = True
    answer = door.post(v2())
    assert (answer.status_code, answer.headers["retry-after"], written(answer)) == (503, "8", ("0", "0", "0"))
    door.queue.is_full = False
    door.queue.error = Unavailable("1 samples were not stored, send them again", retry_after_s=2)
    answer = door.post(v2())
    assert (answer.status_code, answer.headers["retry-after"], written(answer)) == (503, "2", ("0", "0", "0"))
    door.queue.error = None
    assert written(door.post(v2())) == ("1", "0", "0")


def test_a_body_in_pieces(door: Running) -> None:
    body = compressed(v1(*(b"metric_%d" % number for number in range(5000))))
    pieces = (body[start : start + 1000] for start in range(0, len(body), 1000))
    assert door.client.post(PATHS[0], content=pieces, headers=V1).status_code == 204
    assert len(door.queue.batches[0].refs) == 5000


def test_a_sender_that_goes_away_in_the_middle(door: Running) -> None:
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", door.port)) as connection:
            head = f"POST {PATHS[0]} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"
            connection.sendall(head.encode())
    assert door.post(v1()).status_code == 204


def test_more_bodies_at_once_than_memory_for_them(door: Running) -> None:
    open_bodies = []
    try:
        for _ in range(5):
            connection = socket.create_connection(("127.0.0.1", door.port))
            open_bodies.append(connection)
            head = f"POST {PATHS[0]} HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT_BYTES}\r\n\r\n"
            connection.sendall(head.encode() + b"\0" * (LIMIT_BYTES - 1))
        answering, _, _ = select.select(open_bodies, [], [], 20)  # which of the five comes last is not known
        assert len(answering) == 1
        answer = answering[0].recv(1000)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer
    finally:
        for connection in open_bodies:
            connection.close()
    deadline = time.monotonic() + 10
    while (status := door.post(v1()).status_code) != 204 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status == 204


def test_damaged_bodies_are_answered_with_400_or_taken(door: Running) -> None:
    seen: dict[int, int] = {}
    for is_v2, body in bodies(600, seed=4):
        answer = door.post(compressed(body), V2 if is_v2 else V1)
        seen[answer.status_code] = seen.get(answer.status_code, 0) + 1
    assert set(seen) == {204, 400}, seen
    assert min(seen.values()) > 10, seen

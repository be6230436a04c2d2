"""Remote-write senders of every temper for `test_surge`: steady ones that retry, one of garbage, a cardinality bomb."""

from __future__ import annotations

import http.client
import random
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import cramjam
from bench.server import Server

__all__ = ["Sample", "Sender", "report_steadily", "send_bomb", "send_garbage", "working"]

EVERY_S = 0.5
"""How often a steady sender reports."""

HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}

Labels = Mapping[str, str]
Sample = tuple[str, str, int, float]
"""A sample that was acknowledged: metric, place, instant in Unix milliseconds, value."""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def body(series: Sequence[tuple[Labels, float]], at_ms: int) -> bytes:
    """A remote write 1.0 request: one sample at `at_ms` per series."""
    whole = b""
    for labels, value in series:
        pairs = b"".join(
            _field(1, _field(1, name.encode()) + _field(2, text.encode()))
            for name, text in sorted(labels.items())
        )
        sample = b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at_ms)
        whole += _field(1, pairs + _field(2, sample))
    return bytes(cramjam.snappy.compress_raw(whole))


@dataclass
class Sender:
    """One remote-write sender on an address of its own: it remembers what was acknowledged and what was not."""

    server: Server
    address: str
    acknowledged: list[Sample] = field(default_factory=list)
    answers: dict[int, int] = field(default_factory=dict)
    said: str = ""

    def post(self, content: bytes, headers: Mapping[str, str] = HEADERS) -> int:
        """The status of one request; 0 when the connection broke."""
        host = urllib.parse.urlsplit(self.server.url).netloc
        connection = http.client.HTTPConnection(host, timeout=30, source_address=(self.address, 0))
        try:
            connection.request("POST", "/api/v1/write", content, dict(headers))
            answer = connection.getresponse()
            self.said = answer.read().decode("utf-8", "replace")
            status = answer.status
        except (OSError, http.client.HTTPException):
            status = 0
        finally:
            connection.close()
        self.answers[status] = self.answers.get(status, 0) + 1
        return status

    def report(self, metric: str, places: range, value: float, stop: threading.Event) -> None:
        """Send one sample of each place until it is acknowledged, as remote write's senders do."""
        at_ms = time.time_ns() // 1_000_000
        series = [({"__name__": metric, "place": str(place)}, value) for place in places]
        content = body(series, at_ms)
        while (status := self.post(content)) // 100 != 2:
            assert status in {0, 429, 503}, f"{status}: {self.said}"
            if stop.wait(0.2):
                return
        self.acknowledged += [(metric, str(place), at_ms, value) for place in places]


def report_steadily(sender: Sender, metric: str, places: range, stop: threading.Event) -> None:
    value = 0.0
    while not stop.wait(EVERY_S):
        value += 1
        sender.report(metric, places, value, stop)


def send_garbage(sender: Sender, stop: threading.Event) -> None:
    chance = random.Random(7)
    good = body([({"__name__": "garbage_total", "place": str(place)}, 1.0) for place in range(50)], 1)
    while not stop.wait(0.01):
        content = bytearray(good)
        for _ in range(chance.randrange(1, 30)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        kind = chance.randrange(4)
        if kind == 0:
            sender.post(chance.randbytes(chance.randrange(2000)))
        elif kind == 1:
            sender.post(bytes(content[: chance.randrange(len(content))]))
        elif kind == 2:
            sender.post(_varint(1 << 40) + bytes(content))  # lies about its length after decompression
        else:
            sender.post(bytes(content), {"Content-Type": chance.choice(["text/plain", *HEADERS.values()])})


def send_bomb(sender: Sender, stop: threading.Event) -> None:
    number = 0
    while not stop.wait(0.05):
        at_ms = time.time_ns() // 1_000_000
        labels = [{"__name__": "bomb_total", "request_id": f"{number + at:012x}"} for at in range(500)]
        sender.post(body([(one, 1.0) for one in labels], at_ms))
        number += 500


@contextmanager
def working(*jobs: Callable[[threading.Event], None]) -> Iterator[None]:
    """Each job in a thread while the block runs; what one of them raised is raised at the end."""
    stop, faults = threading.Event(), []

    def run(job: Callable[[threading.Event], None]) -> None:
        try:
            job(stop)
        except BaseException as fault:  # noqa: BLE001 — told at the end, in the thread of the test
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(40)
    for fault in faults:
        raise fault

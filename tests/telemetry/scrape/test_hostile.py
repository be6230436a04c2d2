"""Targets that nobody would wish for: each ends its own scrape, while its neighbour keeps the rhythm."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from setpoint.clock import SystemClock
from setpoint.telemetry.scrape.scraper import Scraper
from tests.telemetry.scrape.running import Running, Stored, WebTarget, raw_target
from tests.telemetry.scrape.test_scraper import config

Web = Callable[..., WebTarget]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
BODY_LIMIT = 1 << 20


def hangs(connection: socket.socket) -> None:
    connection.recv(1)  # until the other side has enough


def hangs_in_the_middle(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\na 1\n")
    connection.recv(1)


def says_nothing_and_ends(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def promises_more_than_it_sends(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\na 1\n")


def announces_a_gigabyte(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Length: 1073741824\r\n\r\n" + b"a 1\n" * 1000)


def sends_a_gigabyte(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    block = b"a 1\n" * 250_000
    for _ in range(1024):
        connection.sendall(block)


def never_ends(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    for number in itertools.count():
        connection.sendall(b"a%d 1\n" % number)
        time.sleep(0.02)


def inflates(connection: socket.socket) -> None:
    packed = gzip.compress(bytes(200 << 20), 1)
    assert len(packed) < BODY_LIMIT
    head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    connection.sendall(HEAD + head + packed)


def is_not_gzip(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\na 1\n")


def is_cut_off(connection: socket.socket) -> None:
    packed = gzip.compress(b"a 1\n" * 1000)[:-10]
    connection.sendall(HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed)


def sends_crumbs(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(100):
        connection.sendall(b"1\r\na\r\n" * 5000)


def sends_endless_headers(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    for number in range(1_000_000):
        connection.sendall(b"X-%d: y\r\n" % number * 100)


def speaks_another_protocol(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def redirects_to_itself(connection: socket.socket) -> None:
    connection.sendall(
        b"HTTP/1.1 302 Found\r\nLocation: /metrics\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )


def redirects_to_a_file(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n")


def sends_garbage(connection: socket.socket) -> None:
    body = bytes(range(256)) * 100
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)


HOSTILE = [
    (hangs, "no complete answer within 500ms"),
    (hangs_in_the_middle, "no complete answer within 500ms"),
    (says_nothing_and_ends, "the request failed: "),
    (promises_more_than_it_sends, "the request failed: peer closed connection"),
    (announces_a_gigabyte, "body_size_limit exceeded: the body is larger than 1,048,576 bytes"),
    (sends_a_gigabyte, "body_size_limit exceeded"),
    (never_ends, "no complete answer within 500ms"),
    (inflates, "body_size_limit exceeded"),
    (is_not_gzip, "the body is not valid gzip"),
    (is_cut_off, "the gzip body is cut off"),
    (sends_crumbs, "the body comes in pieces of less than 16 bytes"),
    (sends_endless_headers, "the request failed: "),
    (speaks_another_protocol, "the request failed: "),
    (redirects_to_itself, "it redirects more than 10 times"),
    (redirects_to_a_file, "the request failed: "),
    (sends_garbage, "line 1: "),
]


@pytest.mark.parametrize(("talk", "error"), HOSTILE, ids=[talk.__name__ for talk, _ in HOSTILE])
def test_each_fails_alone(
    tmp_path: Path, web: Web, talk: Callable[[socket.socket], None], error: str
) -> None:
    good = web().says("a 1\n")
    with raw_target(talk) as address:
        text = config(f"j {good.address}, {address}", scrape_timeout="500ms")
        with Running(tmp_path, text, body_limit_bytes=BODY_LIMIT) as running:
            running.pass_time()
            bad = running.target(instance=address)
            assert bad.health == "down"
            assert error in bad.error, bad.error
            assert running.stored.values("up", instance=address) == [0]
            too_large = "body_size_limit" in error
            assert running.stored.values("scrape_body_size_bytes", instance=address) == [
                -1 if too_large else 0
            ]
            assert running.target(instance=good.address).health == "up"
            assert running.stored.values("a") == [1]


def test_a_limit_of_the_job_counts_before_that_of_the_server(tmp_path: Path, web: Web) -> None:
    target = web().says("a 1\n" * 500)
    with Running(
        tmp_path, config(f"j {target.address}", body_size_limit="1KB"), body_limit_bytes=10
    ) as running:
        running.told("body_size_limit exceeded: the body is larger than 1,024 bytes")
    with Running(
        tmp_path, config(f"j {target.address}", body_size_limit="4KB"), body_limit_bytes=10
    ) as running:
        running.pass_time()
        assert running.target().health == "up"


def test_a_gigabyte_takes_no_gigabyte(tmp_path: Path) -> None:
    with raw_target(sends_a_gigabyte) as address, raw_target(inflates) as bomb:
        text = config(f"j {address}, {bomb}")
        with Running(tmp_path, text, body_limit_bytes=BODY_LIMIT) as running:
            tracemalloc.start()
            try:
                running.pass_time()
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    # The bomb itself is made in this process: a megabyte packed, and what packs it.
    assert peak < 230 << 20


def test_a_neighbour_keeps_its_rhythm_in_real_time(tmp_path: Path, web: Web) -> None:
    """All hostile targets at once, every second, on the real clock: the good one is due every 200 ms."""
    good = web().says("a 1\n")
    with contextlib.ExitStack() as stack:
        addresses = [stack.enter_context(raw_target(talk)) for talk, _ in HOSTILE]
        file = tmp_path / "prometheus.yml"
        file.write_text(
            "scrape_configs:\n"
            "- job_name: good\n"
            "  scrape_interval: 200ms\n"
            f"  static_configs: [{{targets: ['{good.address}']}}]\n"
            "- job_name: bad\n"
            "  scrape_interval: 1s\n"
            "  scrape_timeout: 900ms\n"
            f"  static_configs: [{{targets: {addresses}}}]\n"
        )
        stored, stop = Stored(), threading.Event()
        scraper = Scraper(file, stored.table, stored.submit, SystemClock(), body_limit_bytes=BODY_LIMIT)
        thread = threading.Thread(target=scraper.run, args=(stop,), daemon=True)
        thread.start()
        time.sleep(6)
        stop.set()
        thread.join(20)
    times = [at_ms for at_ms, _ in stored.of("a", job="good")]
    due = (times[-1] - times[0]) // 200 + 1
    assert due > 15
    assert len(times) > due * 2 // 3, "sixteen misbehaving neighbours cost it hardly a scrape"
    assert stored.values("up", job="good") == [1] * len(times)
    assert set(stored.values("up", job="bad")) == {0}
    assert len(stored.of("up", job="bad")) > 2 * len(HOSTILE)

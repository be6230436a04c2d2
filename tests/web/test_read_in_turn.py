"""Remote read, federation and queries over a data source take their turn among the queries: they keep no page from an
answer, and what is still sent counts as held.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import SimpleNamespace

import cramjam
import httpx
import numpy as np
import pytest

from setpoint.app import App
from setpoint.clock import stopwatch
from setpoint.telemetry import MetricBatch, Series, fingerprint
from setpoint.telemetry.datasource import DataSource
from tests.web.conftest import NOW_MS, MakeApp, Running, send

_SERIES, _SAMPLES = 2000, 240
_READERS = 50
"""More than the threads that pages share."""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _read_request() -> bytes:
    """A remote read of `wide`, as a stream of chunks."""
    matcher = _field(2, b"__name__") + _field(3, b"wide")
    query = b"\x08" + _varint(NOW_MS - 3_600_000) + b"\x10" + _varint(NOW_MS) + _field(3, matcher)
    return bytes(cramjam.snappy.compress_raw(_field(1, query) + b"\x10\x01"))


@pytest.fixture
def parts(make_app: MakeApp) -> App:
    made = make_app()
    series = [
        Series(fingerprint(labels), labels, "shop")
        for labels in ({"__name__": "wide", "i": str(number)} for number in range(_SERIES))
    ]
    times = NOW_MS - 15_000 * np.arange(_SAMPLES - 1, -1, -1, dtype=np.int64)
    rows = np.repeat(np.arange(_SERIES, dtype=np.int32), _SAMPLES)
    values = np.random.default_rng(1).random(_SERIES * _SAMPLES)
    send(made, MetricBatch(series, rows, np.tile(times, _SERIES), values))
    return made


@pytest.fixture
def url(parts: App, serve: Callable[..., Running]) -> Iterator[str]:
    yield serve(parts).url


def _read(url: str, stop: threading.Event) -> None:
    with (
        httpx.Client(timeout=60) as client,
        client.stream("POST", url + "/api/v1/read", content=_read_request()),
    ):
        stop.wait()


def _federate(url: str, stop: threading.Event) -> None:
    httpx.get(url + "/federate", params={"match[]": "nothing"}, timeout=60)


def _query_source(url: str, stop: threading.Event) -> None:
    httpx.get(url + "/api/datasources/far/api/v1/query", params={"query": "1"}, timeout=60)


@pytest.mark.parametrize("ask", [_read, _federate, _query_source])
def test_readers_that_wait_for_their_turn_keep_no_page_from_an_answer(
    parts: App, url: str, ask: Callable[[str, threading.Event], None]
) -> None:
    body = {
        "metadata": {"name": "far"},
        "spec": {"type": "prometheus", "connectionDetails": {"url": "http://127.0.0.1:1"}},
    }
    parts.datasources.apply([SimpleNamespace(spec=DataSource.model_validate(body))])
    stop = threading.Event()
    readers = [threading.Thread(target=ask, args=(url, stop)) for _ in range(_READERS)]
    with ExitStack() as turns:
        for _ in range(parts.queries.concurrency):
            turns.enter_context(parts.queries.running())
        for reader in readers:
            reader.start()
        threading.Event().wait(1)
        try:
            assert httpx.get(url + "/api/status", timeout=5).status_code == 200
        finally:
            turns.close()
            stop.set()
            for reader in readers:
                reader.join()


@pytest.mark.parametrize("path", ["/api/v1/read", "/api/v1/query_range"])
def test_what_is_still_sent_counts_as_held_until_its_reader_leaves(parts: App, url: str, path: str) -> None:
    end_s = NOW_MS // 1000
    form: dict[str, str | int] = {"query": "wide", "start": end_s - 3600, "end": end_s, "step": 5}
    asked = {"data": form} if path.endswith("range") else {"content": _read_request()}
    gc.collect()
    gc.disable()  # nothing may have to wait for it
    try:
        plain = {"Accept-Encoding": "identity"}  # else all of it fits into the buffers on the way
        with httpx.stream("POST", url + path, **asked, headers=plain, timeout=60) as answer:
            assert answer.status_code == 200, answer.read()
            pieces = answer.iter_raw()  # it would close the connection if it went away
            assert next(pieces)
            assert parts.queries.active == 0
            assert parts.queries.pool.held >= _SERIES * _SAMPLES
        waited_s = stopwatch()
        while parts.queries.pool.held and waited_s() < 10:
            threading.Event().wait(0.05)
        assert parts.queries.pool.held == 0
    finally:
        gc.enable()

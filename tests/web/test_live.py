"""Server-sent events: a change is told at once, figures every other second, and stopping is quick."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import httpx
import pytest

from setpoint.app import App
from setpoint.errors import Unavailable
from setpoint.web.live import Live
from setpoint.web.serve import GRACE_S
from tests.web.conftest import Running


def kinds(lines: Iterator[str]) -> Iterator[str]:
    return (line.removeprefix("event: ") for line in lines if line.startswith("event: "))


def test_a_change_is_told_within_a_second(client: httpx.Client, parts: App) -> None:
    with client.stream("GET", "/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in stream.headers, "compression would hold events back"
        heard = kinds(stream.iter_lines())
        assert next(heard) == "hello"
        threading.Timer(0.2, parts.timeline.append, ("deploy", "checkout 2")).start()
        assert next(heard) == "change", "it came before the next tick, so it was not waited for"


def test_figures_are_told_without_a_change(client: httpx.Client) -> None:
    with client.stream("GET", "/events") as stream:
        heard = kinds(stream.iter_lines())
        assert [next(heard), next(heard)] == ["hello", "tick"]


def test_a_server_with_open_streams_stops_at_once(parts: App, serve: Callable[..., Running]) -> None:
    server = serve(parts)
    with httpx.stream("GET", f"{server.url}/events") as stream:
        heard = kinds(stream.iter_lines())
        assert next(heard) == "hello"
        assert httpx.get(f"{server.url}/api/status").json()["readers"] == 1
        started = time.monotonic()
        server.stop()
        assert list(heard) == []
        assert time.monotonic() - started < GRACE_S, (
            "the server waited for the stream until its grace was over"
        )


def test_a_reader_that_leaves_is_forgotten(client: httpx.Client) -> None:
    with client.stream("GET", "/events") as stream:
        next(kinds(stream.iter_lines()))
    deadline = time.monotonic() + 5
    while client.get("/api/status").json()["readers"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.get("/api/status").json()["readers"] == 0


def test_limit_close_and_announcements_from_another_thread() -> None:
    async def follow() -> list[bytes]:
        live = Live(readers_max=1)
        stream = live.open()
        heard = [await anext(stream)]
        with pytest.raises(Unavailable, match="live already"):
            live.open()
        threading.Thread(target=live.announce).start()
        heard.append(await anext(stream))
        threading.Thread(target=live.close).start()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(anext(stream), 1)
        assert live.readers == 0
        with pytest.raises(Unavailable, match="stopping"):
            live.open()
        return heard

    hello, change = asyncio.run(follow())
    assert b"event: hello" in hello
    assert b"retry: 1000" in hello
    assert change == b"event: change\ndata: \n\n"

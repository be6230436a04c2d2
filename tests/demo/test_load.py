"""The customers' arithmetic: the shape of a day, and how the rush backs off."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.demo.load import Customers, Pace, daily_factor, opening_rush


def test_a_day_has_the_mean_of_1_a_quiet_night_and_a_busy_afternoon() -> None:
    day = [daily_factor(minute / 60) for minute in range(24 * 60)]
    assert sum(day) / len(day) == pytest.approx(1)
    assert min(day[60:300]) == min(day)
    assert max(day[12 * 60 : 20 * 60]) == max(day)
    assert min(day) > 0.5
    assert max(day) < 1.5
    assert daily_factor(0) == pytest.approx(daily_factor(24))


def test_the_rush_backs_off_when_answers_are_slow_and_comes_back() -> None:
    pace = Pace(first=1.0)
    for _ in range(100):
        pace.record(0.5)
    assert pace.adjust() == pytest.approx(0.7)
    for _ in range(100):
        pace.record(0.01)
    assert pace.adjust() == pytest.approx(0.84)
    assert pace.adjust() == pytest.approx(0.84), "no answers tell nothing"


@given(st.lists(st.lists(st.floats(0, 10), max_size=20), max_size=50))
def test_the_share_stays_within_its_bounds(seconds: list[list[float]]) -> None:
    pace = Pace()
    for latencies_s in seconds:
        for latency_s in latencies_s:
            pace.record(latency_s)
        assert Pace.LEAST <= pace.adjust() <= 1


@pytest.fixture
def serve() -> Iterator[Callable[[int], str]]:
    """Starts a server that gives one status to everything (0: none, it breaks off) and returns its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if not status:
                    self.close_connection = True
                    return
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_POST = do_GET

            def log_message(self, *_arguments: object) -> None:
                pass

        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[-1].serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


async def _rush(url: str, requests: int) -> Customers:
    customers = Customers(url, url)
    await opening_rush(customers, requests)
    await asyncio.gather(*customers.in_flight)
    customers.connections.close()
    await asyncio.sleep(0)  # lets the transports close
    return customers


def test_the_rush_sends_as_many_as_it_should_to_a_healthy_shop(serve: Callable[[int], str]) -> None:
    customers = asyncio.run(_rush(serve(200), 60))
    assert (customers.sent, customers.failed) == (60, 0)


@pytest.mark.parametrize("status", [500, 0], ids=["errors", "breaks off"])
def test_the_rush_ends_at_the_first_failures(serve: Callable[[int], str], status: int) -> None:
    customers = asyncio.run(_rush(serve(status), 1000))
    assert 3 <= customers.failed == customers.sent < 20

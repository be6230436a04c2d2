"""The shop's customers: `python -m setpoint.demo.load --service NAME=URL …`, one process, started by
`runner`.

Arrivals are open (Poisson): customers do not wait for each other, so a slow shop gets no fewer of them; only
the number of requests in flight is bounded. The rate follows the hour of the day, with noise. Before that
comes an opening rush, which fills the young error budgets with thousands of real requests: of a few dozen, a
single bad one would be a large part. The rush backs off when answers get slow, so that it does no harm on a
small machine, and ends at the first failures, so that a fault meets the usual traffic.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

from setpoint.clock import SystemClock
from setpoint.demo.child import follow_parent
from setpoint.demo.shop.goods import PRODUCTS

__all__ = ["Connections", "Customers", "Pace", "daily_factor", "main", "opening_rush"]

_TIMEOUT_S = 6.0
_IN_FLIGHT_MAX = 80
_RUSH_IN_FLIGHT_MAX = 8
_RUSH_RATE = 250.0
_RUSH_LIMIT_S = 90.0
_RUSH_FAILED_MAX = (
    3  # who breaks the shop in its first minute shall see the errors of usual traffic, not of a rush
)
_BUYERS_MAX = 200
_CUSTOMERS = 2000

# Shares of the visits. About three in ten reach the checkout.
_USUAL = {"home": 0.24, "product": 0.46, "cart": 0.14, "add": 0.10, "buy": 0.06}
# Cheap for the machine; "direct" is a cart asked for at the checkout itself, as the shop's mobile app would.
_RUSH = {"direct": 0.70, "home": 0.07, "product": 0.12, "cart": 0.03, "add": 0.05, "buy": 0.03}


def daily_factor(hour: float) -> float:
    """Traffic at `hour` (0 to 24, local) as a multiple of the day's mean: low at night, highest in the
    afternoon."""
    turn = 2 * math.pi * hour / 24
    return (
        1 + 0.3 * math.cos(turn - 2 * math.pi * 15 / 24) + 0.08 * math.cos(2 * turn - 4 * math.pi * 20 / 24)
    )


class Pace:
    """The rush's share of its full rate: falls when answers get slow, climbs back when they are quick
    again."""

    SLOW_S = 0.1
    LEAST = 0.05

    def __init__(self, first: float = 0.2) -> None:
        self.share = first
        self._latencies_s: list[float] = []

    def record(self, latency_s: float) -> None:
        """Note how long an answer took, in seconds."""
        self._latencies_s.append(latency_s)

    def adjust(self) -> float:
        """The new share from the answers since the last call: ×0.7 when the 90th percentile is slow, else
        ×1.2."""
        if self._latencies_s:
            ordered = sorted(self._latencies_s)
            slow = ordered[int(len(ordered) * 0.9)] > self.SLOW_S
            self.share = max(self.LEAST, self.share * 0.7) if slow else min(1.0, self.share * 1.2)
            self._latencies_s.clear()
        return self.share


class Connections:
    """A small HTTP/1.1 client that keeps its connections.

    Not httpx: at the rush's rate that alone would take a third of a core from the shop. It speaks only to the
    shop's services, which always send Content-Length.
    """

    def __init__(self) -> None:
        self._idle: dict[str, list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}

    async def request(
        self, base: str, method: str, path: str, body: Mapping[str, object] | None = None
    ) -> int:
        """The status that `method path` of `base` answers; raises OSError or TimeoutError when none comes."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {urlsplit(base).netloc}\r\nUser-Agent: shop-customers\r\n"
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await self._connection(base)
            try:
                status, keep = await self._exchange(reader, writer, head, body)
            except (asyncio.IncompleteReadError, ValueError) as error:
                writer.close()
                raise ConnectionError(f"{base} broke off") from error
            except BaseException:
                writer.close()
                raise
        if keep:
            self._idle.setdefault(base, []).append((reader, writer))
        else:
            writer.close()
        return status

    def close(self) -> None:
        """Close the connections that are kept."""
        for _, writer in (kept for idle in self._idle.values() for kept in idle):
            writer.close()
        self._idle.clear()

    async def _connection(self, base: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        idle = self._idle.get(base, [])
        while idle:
            reader, writer = idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        address = urlsplit(base)
        return await asyncio.open_connection(address.hostname, address.port)

    @staticmethod
    async def _exchange(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        head: str,
        body: Mapping[str, object] | None,
    ) -> tuple[int, bool]:
        payload = b"" if body is None else json.dumps(body).encode()
        if payload:
            head += f"Content-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
        writer.write(head.encode() + b"\r\n" + payload)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        await reader.readexactly(int(headers["content-length"]) if "content-length" in headers else 0)
        return int(first.split(" ")[1]), headers.get("connection") != "close"


@dataclass(slots=True)
class Customers:
    """Sends requests of one mix to the shop and counts what came of them."""

    storefront: str
    checkout: str
    connections: Connections = field(default_factory=Connections)
    buyers: list[str] = field(default_factory=list)  # customers with something in their cart
    in_flight: set[asyncio.Task[None]] = field(default_factory=set)
    sent: int = 0
    failed: int = 0  # answered 5xx, or not at all

    def arrive(self, mix: Mapping[str, float], in_flight_max: int, pace: Pace | None = None) -> None:
        """One customer arrives and does something of `mix`; turned away when too many are waiting already."""
        if len(self.in_flight) >= in_flight_max:
            return
        (kind,) = random.choices(list(mix), list(mix.values()))
        self.sent += 1
        task = asyncio.create_task(self._visit(kind, pace))
        self.in_flight.add(task)
        task.add_done_callback(self.in_flight.discard)

    async def _visit(self, kind: str, pace: Pace | None) -> None:
        began = time.monotonic()
        try:
            status = await self._act(kind)
        except (OSError, TimeoutError):  # what a customer may meet; the shop's own telemetry tells of it
            status = 599
        self.failed += status >= 500
        if pace is not None:
            pace.record(time.monotonic() - began)

    async def _act(self, kind: str) -> int:
        request, customer = self.connections.request, f"c{random.randrange(_CUSTOMERS)}"
        product = random.choice(list(PRODUCTS))
        if kind == "buy" and self.buyers:
            buyer = self.buyers.pop(random.randrange(len(self.buyers)))
            return await request(self.storefront, "POST", "/checkout", {"customer": buyer})
        if kind in ("add", "buy"):
            item = {"customer": customer, "product": product}
            status = await request(self.storefront, "POST", "/cart", item)
            if status == 200 and customer not in self.buyers and len(self.buyers) < _BUYERS_MAX:
                self.buyers.append(customer)
            return status
        if kind == "cart":
            return await request(self.storefront, "GET", f"/cart?customer={customer}")
        if kind == "direct":
            return await request(self.checkout, "GET", f"/carts/{customer}")
        return await request(self.storefront, "GET", f"/product/{product}" if kind == "product" else "/")


async def opening_rush(customers: Customers, requests: int) -> None:
    """Send `requests` as fast as the shop bears, and stop early when it fails or when it takes too long."""
    pace, began = Pace(), time.monotonic()
    adjusted = next_at = began
    while customers.sent < requests and customers.failed < _RUSH_FAILED_MAX:
        now = time.monotonic()
        if now - began > _RUSH_LIMIT_S:
            return
        if now - adjusted >= 0.5:
            pace.adjust()
            adjusted = now
        next_at = max(next_at, now - 0.1) + random.expovariate(_RUSH_RATE * pace.share)
        await asyncio.sleep(max(0.0, next_at - now))
        customers.arrive(_RUSH, _RUSH_IN_FLIGHT_MAX, pace)


async def _usual_day(customers: Customers, mean_rate: float) -> None:
    clock, noise, renewed = SystemClock(), 0.0, -math.inf
    next_at = time.monotonic()
    while True:
        now = time.monotonic()
        if now - renewed >= 10:
            noise, renewed = 0.8 * noise + random.gauss(0, 0.06), now
        local = datetime.fromtimestamp(clock.now_ms() / 1000, UTC).astimezone()
        rate = mean_rate * daily_factor(local.hour + local.minute / 60) * math.exp(noise)
        next_at = max(next_at, now - 1) + random.expovariate(rate)
        await asyncio.sleep(max(0.0, next_at - now))
        customers.arrive(_USUAL, _IN_FLIGHT_MAX)


async def _wait_for(urls: Mapping[str, str], connections: Connections) -> None:
    for url in urls.values():
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                if await connections.request(url, "GET", "/_health") == 200:
                    break
            await asyncio.sleep(0.2)


async def _run(urls: Mapping[str, str], rate: float, rush_requests: int) -> None:
    customers = Customers(urls["storefront"], urls["checkout"])
    await _wait_for(urls, customers.connections)
    await opening_rush(customers, rush_requests)
    await _usual_day(customers, rate)


def main() -> None:
    """Send customers until killed, or until the parent is gone."""
    parser = argparse.ArgumentParser(
        "python -m setpoint.demo.load", description="Send customers to the shop."
    )
    parser.add_argument("--service", action="append", required=True, metavar="NAME=URL", help="each service")
    parser.add_argument("--rate", type=float, default=12.0, help="mean requests per second over a day")
    parser.add_argument(
        "--rush-requests", type=int, default=10_000, help="size of the opening rush; 0 for none"
    )
    parser.add_argument("--parent", type=int, help="process to end with")
    options = parser.parse_args()
    if options.parent:
        follow_parent(options.parent)
    urls = dict(str(text).split("=", 1) for text in options.service)
    asyncio.run(_run(urls, options.rate, options.rush_requests))


if __name__ == "__main__":
    main()

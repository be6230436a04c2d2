"""A receiver of notifications for benchmarks: hears webhooks, answers as it is told, remembers when each came.

`bench.paging` and the short version of it in the tests use it. One thread with an event loop, HTTP/1.1 with kept
connections. It reads what Alertmanager's payloads hold only when somebody asks, so that hearing costs little.
"""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Failing", "Heard", "Hearer"]

Treatment = Literal["answer", "fail", "close", "hang"]


@dataclass(frozen=True, slots=True)
class Failing:
    """How a receiver fails: of all requests `share`, drawn at random, by turns with 500, by closing the connection, and
    (`hangs` of those) by saying nothing for `hang_s` and closing then.
    """

    share: float = 0.5
    hangs: float = 0.1
    hang_s: float = 3.0
    seed: int = 7

    def drawn(self) -> Callable[[], Treatment]:
        """What becomes of the next request."""
        dice = random.Random(self.seed)

        def next_one() -> Treatment:
            if dice.random() >= self.share:
                return "answer"
            if dice.random() < self.hangs:
                return "hang"
            return "fail" if dice.random() < 0.5 else "close"

        return next_one


@dataclass(frozen=True, slots=True)
class Heard:
    """A request that was read whole: when (monotonic seconds), its idempotency key, its body, and whether it was
    answered with success.
    """

    at_s: float
    key: str
    body: bytes
    is_success: bool

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts of its payload."""
        return list(json.loads(self.body)["alerts"])


class Hearer:
    """Listens until closed; use it as a context manager. `failing` may be set at any time."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.treatments: Counter[Treatment] = Counter()
        self.changed = threading.Condition()
        self._draw: Callable[[], Treatment] = lambda: "answer"
        self._hang_s = 0.0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self.port = 0
        self._thread = threading.Thread(target=self._run, name="hearer", daemon=True)

    def fail(self, failing: Failing | None) -> None:
        """Fail from now on, or not any more."""
        self._hang_s = failing.hang_s if failing else 0.0
        self._draw = failing.drawn() if failing else lambda: "answer"

    @property
    def url(self) -> str:
        """Where to send."""
        return f"http://127.0.0.1:{self.port}/hook"

    def __enter__(self) -> Hearer:
        self._thread.start()
        self._ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)

    def wait_for(self, count: int, timeout_s: float) -> bool:
        """Wait until so many requests were answered with success."""
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while self.treatments["answer"] < count:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self.changed.wait(left)
        return True

    def wait_quiet(self, quiet_s: float, timeout_s: float) -> None:
        """Wait until nothing has come for `quiet_s`."""
        deadline, since, seen = time.monotonic() + timeout_s, time.monotonic(), -1
        while time.monotonic() < min(deadline, since + quiet_s) or seen != len(self.heard):
            if seen != len(self.heard):
                seen, since = len(self.heard), time.monotonic()
            if time.monotonic() > deadline:
                return
            time.sleep(0.05)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=2**26, backlog=1000)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Hear one request; False when the connection ends."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        at_s, treatment = time.monotonic(), self._draw()
        self.heard.append(Heard(at_s, headers.get("idempotency-key", ""), body, treatment == "answer"))
        if treatment == "hang":
            await asyncio.sleep(self._hang_s)
        elif treatment != "close":
            status = "200 OK" if treatment == "answer" else "500 Internal Server Error"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
        with self.changed:
            self.treatments[treatment] += 1
            self.changed.notify_all()
        return treatment in ("answer", "fail")

"""The door of the query API: what is small is answered on the spot, everything else on threads.

`web` mounts it in front of the routes, behind the access rules, because a query of a dashboard costs a fraction of what
routing, threads and compression do. The event loop must not wait for a query, so it computes one only when nothing
else is needed: the query took `_SPOT_S` of processor time at most when it was asked last, all its samples are in memory
(`held_samples`), and a turn is free. Whatever turns out otherwise on the way is given to a thread and begun anew; so
are errors. A query on a thread ends when its client goes away.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl, unquote_plus

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from fastapi.responses import Response
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send

from setpoint.clock import processor_stopwatch, stopwatch
from setpoint.errors import SetpointError, TooLarge
from setpoint.web.errors import answer
from setpoint.web.page import KEPT_NOWHERE
from setpoint.web.prometheus import FORM_LIMIT_BYTES, Given, failure

__all__ = ["COMPRESS_FROM_BYTES", "Compute", "OnTheSpot", "QueryDoor"]

COMPRESS_FROM_BYTES = 2048
_THREADS = 64
_SPOT_S = 0.002
_REMEMBERED = 4096
_TEXTS, _LONG = 1024, 4096
"""So many texts of URLs are kept decoded, but none that is longer."""

_HEADERS = [
    (b"content-type", b"application/json"),
    *((name.lower().encode(), value.encode()) for name, value in KEPT_NOWHERE.items()),
]

Compute = Callable[[Given, Callable[[], float], threading.Event], Response]
"""The answer to the given parameters, on a thread; told how long ago they came and when nobody waits any more."""

OnTheSpot = Callable[[Given], bytes]
"""The answer if it can be given at once. Raises SetpointError if not."""


class _Left(Exception):
    """The client went away before its question was here."""


class QueryDoor:
    """An ASGI application for one path."""

    def __init__(
        self, compute: Compute, on_the_spot: OnTheSpot, identity: Callable[[Given], Hashable | None]
    ) -> None:
        """`identity` tells which questions cost alike, and None of one that is never answered on the spot."""
        self._compute = compute
        self._on_the_spot = on_the_spot
        self._identity = identity
        self._took_s: dict[Hashable, float] = {}
        self._threaded = GZipMiddleware(self._answer, COMPRESS_FROM_BYTES, compresslevel=4)
        self._limiter: CapacityLimiter | None = None
        self.on_the_spot = 0
        """Questions that were answered on the spot."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["method"] not in ("GET", "POST"):
            message = f"{scope['path']} does not take {scope['method']}."
            await answer(Request(scope), 405, "method_not_allowed", message)(scope, receive, send)
            return
        elapsed_s = stopwatch()
        try:
            given = Given(await _pairs(scope, receive))
            body = self._at_once(given)
        except _Left:
            return
        except SetpointError as error:
            await failure(error)(scope, receive, send)
            return
        if body is not None and (len(body) < COMPRESS_FROM_BYTES or not _takes_gzip(scope)):
            length = (b"content-length", b"%d" % len(body))
            await send({"type": "http.response.start", "status": 200, "headers": [*_HEADERS, length]})
            await send({"type": "http.response.body", "body": body})
            return
        scope["setpoint.query"] = given, elapsed_s, body
        await self._threaded(scope, receive, send)

    def _at_once(self, given: Given) -> bytes | None:
        """The answer on the spot, None if it is to be computed on a thread."""
        identity = self._identity(given)
        if identity is None or self._took_s.get(identity, _SPOT_S) >= _SPOT_S:
            return None
        took_s = processor_stopwatch()
        try:
            body = self._on_the_spot(given)
        except SetpointError:
            return None
        self._note(identity, took_s())
        self.on_the_spot += 1
        return body

    def _note(self, identity: Hashable, took_s: float) -> None:
        if len(self._took_s) > _REMEMBERED:
            self._took_s.clear()
        self._took_s[identity] = took_s

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        given, elapsed_s, body = scope["setpoint.query"]
        response = Response(body, headers=KEPT_NOWHERE, media_type="application/json")
        if body is None:
            response = await self._on_a_thread(given, elapsed_s, receive)
        await response(scope, receive, send)

    async def _on_a_thread(self, given: Given, elapsed_s: Callable[[], float], receive: Receive) -> Response:
        if self._limiter is None:  # it belongs to the running loop
            self._limiter = CapacityLimiter(_THREADS)
        gone = threading.Event()

        def compute() -> Response:
            identity, took_s = self._identity(given), processor_stopwatch()
            response = self._compute(given, elapsed_s, gone)
            if identity is not None:
                self._note(identity, took_s())
            return response

        watcher = asyncio.create_task(_watch(receive, gone))
        try:
            return await to_thread.run_sync(compute, limiter=self._limiter)
        except SetpointError as error:
            return failure(error)
        finally:
            watcher.cancel()


async def _watch(receive: Receive, gone: threading.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()


async def _pairs(scope: Scope, receive: Receive) -> Sequence[tuple[str, str]]:
    """The parameters of the form and, behind them, those of the URL. Raises TooLarge."""
    pairs = _of_url(scope["query_string"])
    body = bytearray()
    is_more = True
    while is_more and scope["method"] == "POST":
        message = await receive()
        if message["type"] != "http.request":
            raise _Left
        body += message.get("body", b"")
        is_more = message.get("more_body", False)
        if len(body) > FORM_LIMIT_BYTES:
            raise TooLarge(f"the form is larger than {FORM_LIMIT_BYTES >> 20} MiB; send a shorter query")
    if body and _header(scope, b"content-type").startswith(b"application/x-www-form-urlencoded"):
        return [*parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True), *pairs]
    return pairs


def _of_url(query_string: bytes) -> list[tuple[str, str]]:
    pairs = []
    for part in query_string.decode("latin-1").split("&"):
        if part:
            name, _, value = part.partition("=")
            plain = _plain if len(value) < _LONG else unquote_plus
            pairs.append((_plain(name), plain(value)))
    return pairs


_plain = lru_cache(_TEXTS)(unquote_plus)


def _header(scope: Scope, name: bytes) -> bytes:
    for found, value in scope["headers"]:
        if found == name:
            return bytes(value)
    return b""


def _takes_gzip(scope: Scope) -> bool:
    return b"gzip" in _header(scope, b"accept-encoding")

"""What the five services share: their context, calls to each other, and what becomes of a failure.

A caller's mistake is a `Refusal` (4xx). A failure of the service itself is 500, one of a service behind it
502, 503 or 504, each with a log record inside the trace.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import math
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from setpoint.demo.shop.switch import FaultSwitch, InjectedError

__all__ = ["Context", "PeerFailed", "Refusal", "Service", "body_of", "endpoint", "think"]

_SIGMA = 0.35  # spread of the log-normal latencies: the 99th percentile is about 2.3 times the median
_PEER_TIMEOUT_S = 5.0

log = logging.getLogger("shop")


class Refusal(Exception):
    """The request cannot be served as it is: the caller's part, status 4xx."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class PeerFailed(Exception):
    """A service behind this one did not do its part; `status` is what this one answers."""

    def __init__(self, peer: str, status: int, reason: str) -> None:
        self.peer, self.status = peer, status
        super().__init__(f"{peer} {reason}")


@dataclass(frozen=True, slots=True)
class Context:
    """What a service is made with: its faults, where the others listen, and a folder of its own."""

    switch: FaultSwitch
    peers: Mapping[str, str]
    data: Path
    client: httpx.AsyncClient

    async def call(
        self, peer: str, method: str, path: str, *, timeout_s: float = _PEER_TIMEOUT_S, **body: Any
    ) -> dict[str, Any]:
        """The JSON that `peer` answers; raises Refusal for its 4xx and PeerFailed for anything worse."""
        try:
            answer = await self.client.request(
                method, self.peers[peer] + path, json=body or None, timeout=timeout_s
            )
        except httpx.TimeoutException as error:
            raise PeerFailed(peer, 504, f"did not answer {method} {path} within {timeout_s:g} s") from error
        except httpx.TransportError as error:
            raise PeerFailed(peer, 503, f"cannot be reached: {error or type(error).__name__}") from error
        if answer.status_code >= 500:
            raise PeerFailed(peer, 502, f"answered {answer.status_code} to {method} {path}")
        found: dict[str, Any] = answer.json()
        if answer.status_code >= 400:
            raise Refusal(answer.status_code, str(found.get("error", "")))
        return found


@dataclass(frozen=True, slots=True)
class Service:
    """A service that was made: its routes, and work that runs beside them."""

    routes: Sequence[Route]
    background: Sequence[Callable[[], Coroutine[Any, Any, None]]] = field(default=())


Handler = Callable[[Request], Awaitable[dict[str, Any]]]


def endpoint(path: str, method: str, switch: FaultSwitch, handler: Handler) -> Route:
    """A route whose handler returns JSON, disturbed by the faults in force."""

    @functools.wraps(handler)
    async def answer(request: Request) -> Response:
        try:
            await switch.disturb()
            return JSONResponse(await handler(request))
        except Refusal as refusal:
            log.info("refused %s %s: %s", method, path, refusal, extra={"http.route": path})
            return JSONResponse({"error": str(refusal)}, refusal.status)
        except PeerFailed as failure:
            log.error(
                "%s %s failed: %s",
                method,
                path,
                failure,
                extra={"http.route": path, "peer.service": failure.peer},
            )
            return JSONResponse({"error": str(failure)}, failure.status)
        except InjectedError as failure:
            log.error("%s %s failed: %s", method, path, failure, exc_info=failure, extra={"http.route": path})
            return JSONResponse({"error": str(failure)}, 500)

    return Route(path, answer, methods=[method])


async def body_of(request: Request) -> dict[str, Any]:
    """The request's JSON object; raises Refusal when it is none."""
    try:
        found = await request.json()
    except ValueError as error:
        raise Refusal(400, "the body is no JSON") from error
    if not isinstance(found, dict):
        raise Refusal(400, "the body is no JSON object")
    return found


async def think(median_ms: float) -> None:
    """Take about `median_ms` milliseconds, log-normally spread, as work that waits for something does."""
    await asyncio.sleep(random.lognormvariate(math.log(median_ms / 1000), _SIGMA))

"""Runs what takes long on threads of its own, for as long as somebody waits for it.

The page of metrics, remote read, federation, queries and those over a data source use it: they keep no other page
from an answer, and end when their reader goes away.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Request

__all__ = ["run_while_wanted"]

_THREADS = 32

Result = TypeVar("Result")


async def run_while_wanted(
    request: Request, compute: Callable[[threading.Event], Result], limiter: CapacityLimiter | None = None
) -> Result:
    """What `compute` gives on a thread; the event that it is given is set when the client closes the connection."""
    gone = threading.Event()
    watcher = asyncio.create_task(_watch(request, gone))
    try:
        return await to_thread.run_sync(lambda: compute(gone), limiter=limiter or _threads(request))
    finally:
        watcher.cancel()


async def _watch(request: Request, gone: threading.Event) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()


def _threads(request: Request) -> CapacityLimiter:
    """The threads of this application, made at the first use, because they belong to the running loop."""
    state = request.app.state
    if not hasattr(state, "page_query_threads"):
        state.page_query_threads = CapacityLimiter(_THREADS)
    limiter: CapacityLimiter = state.page_query_threads
    return limiter

"""Server-sent events: tells open pages that something changed, so that they ask for themselves anew.

`/events` sends two kinds: `change` at once when an event reaches the timeline (an objective changed its
state, somebody applied resources), and `tick` every other second, for the figures. Neither carries data:
the page fetches its own URL, so there is one way to draw it. Callbacks come from any thread; one
`asyncio.Event` per reader wakes its stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from setpoint.errors import Unavailable
from setpoint.web.page import Parts
from setpoint.web.roles import needs

__all__ = ["READERS_MAX", "Live", "router"]

TICK_S = 2.0
READERS_MAX = 200
_RETRY_MS = 1000

router = APIRouter()


class Live:
    """The open streams. `announce` and `close` may be called from any thread, and from a signal handler."""

    def __init__(self, readers_max: int = READERS_MAX) -> None:
        self._readers_max = readers_max
        self._readers: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._is_closed = False

    def announce(self, _: object = None) -> None:
        """Something changed: wake every stream."""
        for event, loop in tuple(self._readers.items()):
            if not loop.is_closed():
                loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """End every stream now and refuse new ones, so that the server can stop at once."""
        self._is_closed = True
        self.announce()

    @property
    def readers(self) -> int:
        """How many streams are open."""
        return len(self._readers)

    def open(self, is_wanted: Callable[[], bool] = lambda: True) -> AsyncIterator[bytes]:
        """A new stream of encoded events, on the running loop; it ends soon after `is_wanted` says no. Raises
        Unavailable when closed or full.
        """
        if self._is_closed:
            raise Unavailable("Setpoint is stopping; try again when it is back")
        if len(self._readers) >= self._readers_max:
            raise Unavailable(
                f"{self._readers_max} pages are live already; close some, or reload this one by hand",
                retry_after_s=10,
            )
        return self._stream(is_wanted)

    async def _stream(self, is_wanted: Callable[[], bool]) -> AsyncIterator[bytes]:
        woken = asyncio.Event()
        self._readers[woken] = asyncio.get_running_loop()
        try:
            yield f"retry: {_RETRY_MS}\nevent: hello\ndata: \n\n".encode()
            while not self._is_closed and is_wanted():
                try:
                    await asyncio.wait_for(woken.wait(), TICK_S)
                    kind = b"change"
                except TimeoutError:
                    kind = b"tick"
                woken.clear()
                if not self._is_closed and is_wanted():
                    yield b"event: " + kind + b"\ndata: \n\n"
        finally:
            del self._readers[woken]


@router.get("/events")
@needs("viewer")
async def events(request: Request, parts: Parts) -> Response:
    """Server-sent events: what changed, and a tick for the figures. They end when who reads them may no longer."""
    live: Live = request.app.state.live
    return StreamingResponse(
        live.open(partial(parts.directory.is_still, request.state.identity)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )

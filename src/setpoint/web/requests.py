"""Counts HTTP requests by route, method and status, and how long each took until its answer began.

The outermost layer of `routes.create_app`, plain ASGI so that streams pass through unbuffered; `web.metrics`
shows what it counted. A route is the template of the path (`/objectives/{name}`), so that the number of
series does not grow with what people ask for.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from setpoint.clock import stopwatch
from setpoint.measure import Counted, Durations

__all__ = ["RequestCounter", "Requests"]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_NO_ROUTE = "none"


class Requests:
    """What was asked since start. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._totals: dict[tuple[str, str, int], int] = {}
        self._durations: dict[str, Durations] = {}
        self.open = 0
        """Requests whose answer has not ended."""

    def count(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request that was answered."""
        key = (route, method if method in _METHODS else "other", status)
        with self._lock:
            self._totals[key] = self._totals.get(key, 0) + 1
            durations = self._durations.setdefault(route, Durations())
        durations.observe(seconds)

    @property
    def totals(self) -> Mapping[tuple[str, str, int], int]:
        """Requests by (route, method, status)."""
        with self._lock:
            return dict(self._totals)

    @property
    def durations(self) -> Mapping[str, Counted]:
        """Seconds until the answer began, by route."""
        with self._lock:
            known = dict(self._durations)
        return {route: durations.counted for route, durations in known.items()}


class RequestCounter:
    """ASGI layer that counts into `requests`; `doors` are paths that are answered before any route."""

    def __init__(self, inner: ASGIApp, requests: Requests, doors: Collection[str] = ()) -> None:
        self._inner = inner
        self._requests = requests
        self._doors = frozenset(doors)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        elapsed_s = stopwatch()
        began: tuple[int, float] | None = None
        is_counted = False

        async def send_and_note(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = message["status"], elapsed_s()
            elif not message.get("more_body"):
                count()  # before the client can ask how many there were
            await send(message)

        def count() -> None:
            nonlocal is_counted
            if not is_counted:
                is_counted = True
                # Without an answer it failed, and the layer outside of this one says so with 500.
                status, seconds = began or (500, elapsed_s())
                self._requests.count(self._route(scope), scope["method"], status, seconds)

        self._requests.open += 1
        try:
            await self._inner(scope, receive, send_and_note)
        finally:
            self._requests.open -= 1
            count()

    def _route(self, scope: Scope) -> str:
        """The template of the path that answered; `none` when nothing matched or access was refused before."""
        path = getattr(scope.get("route"), "path", None)
        if isinstance(path, str):
            return path
        if scope["path"].startswith("/static/"):
            return "/static"
        # A plain Starlette route says only that it matched; such routes have no parameters in their paths.
        is_known = "endpoint" in scope or scope["path"] in self._doors
        return str(scope["path"]) if is_known else _NO_ROUTE

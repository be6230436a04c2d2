"""Asks a running server for its health and calls for its end when it stays silent, for the supervisor."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

__all__ = ["HealthWatch", "is_alive"]


def is_alive(url: str, timeout_s: float) -> bool:
    """True when the server answers `GET /-/healthy` in time with anything but a server error."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        connection.request("GET", "/-/healthy")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class HealthWatch(threading.Thread):
    """A thread that asks every `interval_s`; after `failures` silences in a row it calls `on_hung` once and
    ends.

    `verdict` is empty until then, and afterwards what happened.
    """

    def __init__(
        self, url: str, interval_s: float, timeout_s: float, failures: int, on_hung: Callable[[], None]
    ) -> None:
        super().__init__(name="health-watch", daemon=True)
        self.verdict = ""
        self._url, self._interval_s, self._timeout_s, self._limit = url, interval_s, timeout_s, failures
        self._on_hung = on_hung
        self._stopped = threading.Event()

    def run(self) -> None:
        silent = 0
        while not self._stopped.wait(self._interval_s):
            silent = 0 if is_alive(self._url, self._timeout_s) else silent + 1
            if silent >= self._limit and not self._stopped.is_set():
                self.verdict = f"hung ({silent} health checks without an answer)"
                self._on_hung()
                return

    def stop(self) -> None:
        """Ask no more. Does not wait for a question that is under way."""
        self._stopped.set()

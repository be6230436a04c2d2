"""A webhook receiver on loopback that answers as it is told, and remembers what it took."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Received", "Receiver"]


class Received:
    """One request."""

    def __init__(self, headers: dict[str, str], body: bytes) -> None:
        self.headers = headers
        self.body = body
        self.payload: dict[str, Any] = json.loads(body)

    @property
    def event_ids(self) -> list[int]:
        """The events in it."""
        return [alert["eventId"] for alert in self.payload["alerts"]]


class Receiver:
    """Answers 200, or what `answers` says (one per request, first to last): a status, or `hang`."""

    def __init__(self) -> None:
        self.answers: list[int | str] = []
        self.headers: dict[str, str] = {}
        self.received: list[Received] = []
        self.decide: Callable[[Received], int | str | None] = lambda _: None
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                received = Received(dict(self.headers.items()), body)
                receiver.received.append(received)
                answer = receiver.decide(received)
                if answer is None:
                    answer = receiver.answers.pop(0) if receiver.answers else 200
                if answer == "hang":
                    receiver.released.wait(30)
                    return
                self.send_response(int(answer))
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                del format, args

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering; the port is free then."""
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

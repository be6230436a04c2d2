"""A server that answers range selectors from samples in memory, as Prometheus does, and can misbehave in many ways."""

from __future__ import annotations

import gzip
import json
import re
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from setpoint.promql.format import format_number
from setpoint.promql.selector import read_selector
from tests.objective.memory import Samples

__all__ = ["Behave", "Upstream", "upstream"]

_RANGE = re.compile(r"(\{.*\})\[(\d+)(ms|s)\]", re.DOTALL)

Behave = Callable[[BaseHTTPRequestHandler], None]


class Upstream:
    """`samples` are what it has; `behave`, when set, answers in place of them; `seen` keeps forms and headers."""

    def __init__(self) -> None:
        self.samples = Samples()
        self.behave: Behave | None = None
        self.seen: list[tuple[dict[str, str], dict[str, str]]] = []
        self.url = ""

    def queries(self) -> list[str]:
        """The queries so far, and forget them."""
        found = [form.get("query", "") for form, _ in self.seen]
        self.seen.clear()
        return found

    def answer(self, form: dict[str, str]) -> dict[str, Any]:
        found = _RANGE.fullmatch(form["query"])
        assert found is not None, form
        length_ms = int(found[2]) * (1 if found[3] == "ms" else 1000)
        end_ms = round(float(form["time"]) * 1000)
        # From the very beginning of the range on, as Prometheus 2 does.
        columns = self.samples.select(read_selector(found[1]), end_ms - length_ms - 1, end_ms)
        result = []
        for place, labels in enumerate(columns.labels):
            part = slice(columns.offsets[place], columns.offsets[place + 1])
            pairs = zip(columns.timestamps_ms[part].tolist(), columns.values[part].tolist(), strict=True)
            result.append(
                {
                    "metric": dict(labels),
                    "values": [[at_ms / 1000, format_number(value)] for at_ms, value in pairs],
                }
            )
        return {"status": "success", "data": {"resultType": "matrix", "result": result}}


def says(
    body: bytes | str | dict[str, Any], status: int = 200, *, reason: str | None = None, **headers: str
) -> Behave:
    """Answers this, whatever is asked."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        text = json.dumps(body) if isinstance(body, dict) else body
        content = text.encode() if isinstance(text, str) else text
        handler.send_response(status, reason)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return behave


def hangs(handler: BaseHTTPRequestHandler) -> None:
    """Says nothing."""
    _until_gone(handler, b"")


def drips(handler: BaseHTTPRequestHandler) -> None:
    """Sends the beginning of an answer, and then one space now and then."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"status":')
    _until_gone(handler, b" ")


def drips_headers(handler: BaseHTTPRequestHandler) -> None:
    """As `drips`, but the headers do not end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
    _until_gone(handler, b"a")


def _until_gone(handler: BaseHTTPRequestHandler, sent: bytes) -> None:
    handler.connection.settimeout(0.05)
    for _ in range(400):
        handler.wfile.write(sent)
        try:
            if not handler.connection.recv(1):
                return
        except TimeoutError:
            continue


def endless(handler: BaseHTTPRequestHandler) -> None:
    """A gigabyte of JSON."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
    for _ in range(1 << 14):
        handler.wfile.write(b" " * (1 << 16))


def inflates(handler: BaseHTTPRequestHandler) -> None:
    """A small body that is 64 MB without compression."""
    says(gzip.compress(b" " * (64 << 20)), Content_Encoding="gzip")(handler)


def closes(handler: BaseHTTPRequestHandler) -> None:
    """Half of an answer."""
    handler.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"status":"success"')
    handler.close_connection = True


@contextmanager
def upstream(certificate: Path | None = None) -> Iterator[Upstream]:
    """A running server; over TLS with a PEM file that holds certificate and key."""
    made = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            self._answer(dict(parse_qsl(body.decode())))

        def do_GET(self) -> None:
            self._answer(dict(parse_qsl(urlsplit(self.path).query)))

        def _answer(self, form: dict[str, str]) -> None:
            made.seen.append((form, {"path": urlsplit(self.path).path, **self.headers}))
            if made.behave is None:
                body = json.dumps(made.answer(form)).encode()
                says(gzip.compress(body, 1), Content_Encoding="gzip", Content_Type="application/json")(self)
                return
            with suppress(OSError):
                made.behave(self)

        def log_message(self, *arguments: object) -> None:
            del arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    made.url = f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)

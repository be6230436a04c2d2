"""ClickHouse's HTTP protocol in front of chdb, in a process of its own, for the real client of `database.telemetry`.

No current ClickHouse server can be installed from the package registries, so this stands in for the wire, while
the engine behind it is ClickHouse itself. Run as a program: `python -m tests.clickhouse_http FOLDER PORT`.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb

_NOT_SETTINGS = {
    "query",
    "database",
    "default_format",
    "user",
    "password",
    "session_id",
    "compress",
    "decompress",
    "query_id",
    "quota_key",
    "role",
    "buffer_size",
    "client_protocol_version",
    "enable_http_compression",
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder: Path

    def do_GET(self) -> None:
        self._run(b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(iter(self._chunk, b""))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        elif self.headers.get("Content-Encoding") == "deflate":
            body = zlib.decompress(body)
        self._run(body)

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline(), 16)
        chunk = self.rfile.read(size)
        self.rfile.readline()
        return chunk

    def _run(self, body: bytes) -> None:
        options = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        statement = options.get("query", "")
        if not statement:
            first, _, rest = body.partition(b"\n")
            if not first.endswith(b"FORMAT Native"):
                first, rest = body, b""
            statement, body = first.decode(), rest
        elif body and b"FORMAT" not in statement.encode().upper():
            statement, body = statement + " " + body.decode(), b""
        parameters = {
            name.removeprefix("param_"): value for name, value in options.items() if name.startswith("param_")
        }
        try:
            answer = self._execute(statement, body, options, parameters)
        except RuntimeError as error:
            self._answer(500, str(error).encode(), {"X-ClickHouse-Exception-Code": "1"})
            return
        self._answer(200, answer, {"X-ClickHouse-Summary": '{"written_rows":"0"}'})

    def _execute(
        self, statement: str, body: bytes, options: dict[str, str], parameters: dict[str, str]
    ) -> bytes:
        connection = chdb.connect(f"file:{self.folder}")
        if options.get("database"):
            connection.query(f"USE {options['database']}")
        form = options.get("default_format") or "TabSeparated"
        for name, value in sorted(_settings(options).items(), key=lambda setting: setting[0] == "readonly"):
            connection.query(f"SET {name} = '{value}'")
        if body:
            head, _, kind = statement.strip().rpartition("FORMAT ")
            with tempfile.NamedTemporaryFile() as file:
                file.write(body)
                file.flush()
                connection.query(f"{head} FROM INFILE '{file.name}' FORMAT {kind}")
            return b""
        result: Any = connection.query(statement, form, params=parameters)
        return bytes(result.bytes() or b"")

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Quiet."""


def _settings(options: dict[str, str]) -> dict[str, str]:
    """The options that are settings of the engine, and not of the transport."""
    return {
        name: value
        for name, value in options.items()
        if name not in _NOT_SETTINGS
        and not name.startswith(
            ("param_", "session_id", "session_timeout", "session_check", "http_", "send_", "wait_")
        )
    }


def main() -> None:
    Handler.folder = Path(sys.argv[1])
    keep = chdb.connect(f"file:{Handler.folder}")  # the engine lives as long as one connection does
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
    server.serve_forever()
    keep.close()


if __name__ == "__main__":
    main()

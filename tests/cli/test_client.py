"""The client against servers that misbehave: absent, closed, silent, not Setpoint, restarting."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from setpoint.cli.client import Client, NotReachable, segment
from setpoint.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    Problem,
    SetpointError,
    TooLarge,
    Unavailable,
)
from tests.cli.program import setpoint

Answer = tuple[int, bytes]


class Peer:
    """An HTTP server that gives the answers it was told, the last one for ever, and keeps the requests."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        peer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                peer.requests.append((self.command, self.path, dict(self.headers), body))
                status, content = peer.answers[0] if len(peer.answers) == 1 else peer.answers.pop(0)
                if status == 0:
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(status)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = _answer

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    made: list[Peer] = []

    def start(*answers: Answer) -> Peer:
        made.append(Peer())
        made[-1].answers = list(answers)
        return made[-1]

    yield start
    for one in made:
        one.close()


def error(code: str, message: str, **more: Any) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, **more}}).encode()


@pytest.mark.parametrize(
    ("status", "kind", "exit_code"),
    [
        (400, InvalidInput, 2),
        (401, Forbidden, 5),
        (403, Forbidden, 5),
        (404, NotFound, 3),
        (409, Conflict, 4),
        (413, TooLarge, 2),
        (422, InvalidInput, 2),
        (500, SetpointError, 1),
        (503, Unavailable, 6),
    ],
)
def test_a_status_becomes_the_error_and_the_exit_code(
    peer: Callable[..., Peer], status: int, kind: type[SetpointError], exit_code: int
) -> None:
    server = peer((status, error("x", "it is so; do that")))
    with pytest.raises(kind, match="it is so; do that") as raised:
        Client(server.url, "t").post("/api/timeline", {})
    assert type(raised.value) is kind
    assert raised.value.exit_code == exit_code


def test_every_problem_is_told_once(peer: Callable[..., Peer]) -> None:
    problems = [
        {"message": "must be below 1", "file": "a.yaml", "line": 7, "path": "spec.target"},
        {"message": "is not known", "file": "b.yaml", "line": 2, "path": "kind"},
    ]
    told = "a.yaml:7: spec.target: must be below 1\nb.yaml:2: kind: is not known"
    for message in (told, "2 problems"):
        server = peer((400, error("invalid_input", message, problems=problems)))
        with pytest.raises(InvalidInput) as raised:
            Client(server.url).post("/api/resources", {})
        assert raised.value.message.count("a.yaml:7: spec.target: must be below 1") == 1
        assert raised.value.message.count("b.yaml:2: kind: is not known") == 1
        assert raised.value.problems[0] == Problem("must be below 1", "a.yaml", 7, "spec.target")


def test_prometheus_errors_are_understood(peer: Callable[..., Peer]) -> None:
    body = json.dumps({"status": "error", "errorType": "bad_data", "error": "unexpected )"}).encode()
    server = peer((400, body))
    done = setpoint("promql", "rate(", "--server", server.url)
    assert done.returncode == 2
    assert done.stderr == "setpoint: unexpected )\n"


def test_what_is_not_setpoint_is_named(peer: Callable[..., Peer]) -> None:
    server = peer((200, b"<html>"))
    done = setpoint("status", "--server", server.url)
    assert done.returncode == 1
    assert f"{server.url} did not answer in JSON, so it is not a Setpoint server" in done.stderr
    assert "say where Setpoint is with --server" in done.stderr


def test_a_read_waits_for_a_restart(peer: Callable[..., Peer]) -> None:
    listed = b'{"items": [], "next": null, "total": 0, "matching": 0, "counts": {}}'
    server = peer((503, error("unavailable", "starting")), (0, b""), (200, listed))
    done = setpoint("slo", "list", "--server", server.url)
    assert done.returncode == 0
    assert done.stderr == ""
    assert len(server.requests) == 3


def test_a_change_is_sent_once(peer: Callable[..., Peer]) -> None:
    server = peer((0, b""))
    done = setpoint("event", "add", "x", "--server", server.url)
    assert done.returncode == 6
    assert "broke off without an answer" in done.stderr
    assert "try again" in done.stderr
    assert len(server.requests) == 1


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    done = setpoint("status", SETPOINT_SERVER=f"http://127.0.0.1:{port}")
    assert done.returncode == 6
    first, second = done.stderr.splitlines()
    assert first == f"setpoint: no server answers at http://127.0.0.1:{port} (Connection refused)"
    assert "start one with 'setpoint up'" in second
    assert "--server" in second


def test_a_silent_server_does_not_hold_us() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = Client(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout_s=0.2)
        with pytest.raises(Unavailable, match="broke off without an answer") as raised:
            client.post("/api/timeline", {})
        assert not isinstance(raised.value, NotReachable)


def test_who_asks_and_with_what_token_and_parameters(peer: Callable[..., Peer]) -> None:
    server = peer((200, b'{"items": [], "next": null}'))
    done = setpoint(
        "timeline", "--kind", "deploy", "--kind", "demo.fault", "--service", "a b",
        "--server", server.url + "/", SETPOINT_TOKEN="s3cret", LOGNAME="grace",
    )  # fmt: skip
    assert done.returncode == 0
    method, path, headers, _ = server.requests[0]
    assert (method, path) == ("GET", "/timeline?service=a+b&kind=deploy&kind=demo.fault&limit=50")
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["X-Setpoint-Actor"] == "grace"
    assert headers["Accept"] == "application/json"


def test_the_token_is_asked_for_when_it_is_missing(peer: Callable[..., Peer]) -> None:
    server = peer((401, error("forbidden", "this needs a token")))
    done = setpoint("status", "--server", server.url)
    assert done.returncode == 5
    assert "SETPOINT_TOKEN" in done.stderr


def test_a_server_behind_a_path_and_without_a_scheme(peer: Callable[..., Peer]) -> None:
    server = peer((200, b"{}"))
    Client(server.url.removeprefix("http://") + "/setpoint/").get("/api/status", absent=None)
    assert server.requests[0][1] == "/setpoint/api/status"


@pytest.mark.parametrize(
    "address", ["", "http://", "http://a:port", "http://a:99999", "ftp://a", "file:///etc"]
)
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(InvalidInput, match="write --server http://HOST:PORT"):
        Client(address)


def test_a_name_stays_one_segment() -> None:
    assert segment("a/b?c#d e") == "a%2Fb%3Fc%23d%20e"

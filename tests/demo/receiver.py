"""A small server for the shop in tests: keeps the OTLP/HTTP it gets, and serves a real `FaultBoard`."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from setpoint.demo.fault import FaultBoard
from setpoint.timeline import Timeline


class Receiver:
    """What arrived, and the board behind `/api/demo/faults`; `is_away` makes it answer 503 to everything."""

    def __init__(self, timeline: Timeline, board: FaultBoard, token: str = "") -> None:
        self.timeline, self.board, self.token = timeline, board, token
        self.traces: list[Any] = []
        self.metrics: list[Any] = []
        self.logs: list[Any] = []
        self.is_away = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self) -> Iterator[tuple[str, Any]]:
        """(service, span) of every span so far."""
        for resource in list(self.traces):
            for scope in resource.scope_spans:
                for span in scope.spans:
                    yield attributes(resource.resource)["service.name"], span

    def points(self, metric: str) -> Iterator[tuple[dict[str, Any], dict[str, Any], Any]]:
        """(resource attributes, point attributes, point) of every point of `metric` so far."""
        for resource in list(self.metrics):
            for scope in resource.scope_metrics:
                for found in scope.metrics:
                    if found.name == metric:
                        kind = getattr(found, found.WhichOneof("data"))
                        for point in kind.data_points:
                            yield attributes(resource.resource), attributes(point), point

    def records(self) -> Iterator[tuple[str, Any]]:
        """(service, log record) of every record so far."""
        for resource in list(self.logs):
            for scope in resource.scope_logs:
                for record in scope.log_records:
                    yield attributes(resource.resource)["service.name"], record


def attributes(holder: Any) -> dict[str, Any]:
    """The attributes of a protobuf message as a dictionary."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in holder.attributes}


def eventually(look: Callable[[], Any], timeout_s: float = 15.0) -> Any:
    """The first true value of `look`; fails the test when none comes in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        if found := look():
            return found
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(lambda: {"items": [fault.as_json() for fault in receiver.board.poll()]})

        def do_DELETE(self) -> None:
            self._answer(
                lambda: {"items": [fault.as_json() for fault in receiver.board.heal(actor=self._actor)]}
            )

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self._answer(lambda: self._take(body))

        @property
        def _actor(self) -> str:
            return self.headers.get("x-setpoint-actor", "")

        def _take(self, body: bytes) -> dict[str, Any]:
            if self.path == "/v1/traces":
                receiver.traces.extend(ExportTraceServiceRequest.FromString(body).resource_spans)
            elif self.path == "/v1/metrics":
                receiver.metrics.extend(ExportMetricsServiceRequest.FromString(body).resource_metrics)
            elif self.path == "/v1/logs":
                receiver.logs.extend(ExportLogsServiceRequest.FromString(body).resource_logs)
            else:
                event = json.loads(body)
                receiver.timeline.append(**event, actor=self._actor)
            return {}

        def _answer(self, make: Callable[[], dict[str, Any]]) -> None:
            status, answer = 200, b""
            if receiver.is_away:
                status = 503
            elif receiver.token and self.headers.get("authorization") != f"Bearer {receiver.token}":
                status = 401
            else:
                made = make()
                answer = b"" if self.path.startswith("/v1/") else json.dumps(made).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: Any) -> None:
            pass

    return Handler

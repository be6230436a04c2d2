"""The server process: `python -m setpoint.web.serve`, started and minded by `cli.supervisor`.

It answers `/-/healthy` from its first moment and everything else once the databases are open and the recent
samples are in memory; `/-/ready` tells the two apart. The listening sockets belong to the supervisor and come
as file descriptors, so a sender that connects while the server restarts waits in the backlog and is not
refused (docs/decisions/0008). Settings come from the environment alone.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import socket
import sys
import threading
from types import FrameType
from typing import Any

import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from setpoint.app import App, build
from setpoint.clock import SystemClock
from setpoint.errors import SetpointError, StartupRefused
from setpoint.settings import Address, Settings
from setpoint.telemetry.receive import OtlpGrpcServer
from setpoint.web import create_app
from setpoint.web.doors import grpc_guard
from setpoint.web.program_text import release_program_text

__all__ = ["GRACE_S", "Gate", "main"]

log = logging.getLogger("setpoint.web.serve")

GRACE_S = 5


class _Server(uvicorn.Server):
    """Closes the live streams when it is told to end; they would hold it up until the grace is over."""

    def __init__(self, config: uvicorn.Config, gate: Gate) -> None:
        super().__init__(config)
        self._gate = gate

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if isinstance(self._gate.inner, FastAPI):
            self._gate.inner.state.live.close()
        super().handle_exit(sig, frame)


class Gate:
    """The outermost ASGI application: healthy at once, ready and open when `inner` is set."""

    def __init__(self) -> None:
        self.inner: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self.inner is not None:
            await self.inner(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _accept_lifespan(receive, send)
        elif scope["type"] == "http":
            await _answer_starting(scope, send)


async def _accept_lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _answer_starting(scope: Scope, send: Send) -> None:
    healthy = scope["path"] == "/-/healthy"
    error = {"code": "unavailable", "message": "Setpoint is starting; try again in a second"}
    body = b'{"status": "starting"}' if healthy else json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"1")]
    await send({"type": "http.response.start", "status": 200 if healthy else 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> int:
    """Serve until SIGTERM; returns the exit code (0 ended cleanly, 7 refused to start)."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("setpoint").setLevel(os.environ.get("SETPOINT_LOG_LEVEL", "INFO").upper())
    try:
        settings = Settings()
        return uvloop.run(_serve(settings))
    except SetpointError as error:
        print(error.message, file=sys.stderr, flush=True)  # noqa: T201
        return error.exit_code


async def _serve(settings: Settings) -> int:
    gate = Gate()
    config = uvicorn.Config(
        gate,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_S,
        lifespan="on",
        server_header=False,
    )
    server = _Server(config, gate)
    serving = asyncio.create_task(server.serve(sockets=_sockets(settings)))
    refused: SetpointError | None = None
    app: App | None = None
    grpc_server: OtlpGrpcServer | None = None
    try:
        app = await asyncio.to_thread(
            build, settings, SystemClock(), os.environ.get("SETPOINT_SHOP_SECRET", "")
        )
        if not app.directory.knows_anybody:
            settings.refuse_unsafe()
        if settings.otlp_grpc:
            grpc_server = OtlpGrpcServer(
                settings.otlp_grpc,
                app.otlp,
                settings.body_limit_mb << 20,
                grpc_guard(app.directory),
            )
            grpc_server.start()
        _note_start(app)
        gate.inner = create_app(app)
        stop = threading.Event()
        workers = app.start(stop)
        # What the start made stays: it is never gone over again. `cli.child` had turned this off.
        gc.freeze()
        gc.enable()
        log.debug("%d MB of program text given back", release_program_text() >> 10)
        _say_ready()
    except SetpointError as error:
        refused = error
        server.should_exit = True
    await serving
    if app is not None:
        if grpc_server is not None:
            await asyncio.to_thread(grpc_server.stop)
        if refused is None:
            stop.set()
            for worker in workers:
                await asyncio.to_thread(worker.join, GRACE_S)
        await asyncio.to_thread(app.close)
    if refused is not None:
        raise refused
    return 0


def _sockets(settings: Settings) -> list[socket.socket]:
    """The listening sockets: those that the supervisor hands over, else our own."""
    found = []
    for variable, address in (("SETPOINT_LISTEN_FD", settings.listen), ("SETPOINT_OTLP_HTTP_FD", "")):
        descriptor = os.environ.get(variable)
        if descriptor:
            found.append(socket.socket(fileno=int(descriptor)))
        elif address:
            found.append(_bind(Address(address)))
    return found


def _bind(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((address.host, address.port))
    except OSError as error:
        raise StartupRefused(
            f"{address} cannot be listened on: {error.strerror}; end what uses it, or choose another "
            "with --listen"
        ) from error
    listening.listen(1024)
    return listening


def _note_start(app: App) -> None:
    """Say on the timeline that the server is there, and why it had to come back if the supervisor knows."""
    told = os.environ.get("SETPOINT_RESTART_REASON")
    reason: dict[str, Any] = json.loads(told) if told else {}
    took_s = (app.clock.now_ms() - app.started_ms) / 1000
    if reason:
        cause = reason.get("reason", "unknown cause")
        summary = f"Setpoint restarted: {cause}; ready again in {took_s:.1f} s"
        app.timeline.append(
            "server.restarted", summary, actor="supervisor", data=reason | {"ready_s": took_s}
        )
    else:
        app.timeline.append("server.started", f"Setpoint started in {took_s:.1f} s", data={"ready_s": took_s})


def _say_ready() -> None:
    descriptor = os.environ.get("SETPOINT_READY_FD")
    if descriptor:
        os.write(int(descriptor), b"ready\n")
    log.info("ready")


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # The embedded engine's threads can fault while the interpreter is torn down; everything is closed by now.
    os._exit(code)

"""A real uvicorn on a free loopback port, for the tests of the receivers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from setpoint.database import TelemetryDatabase
from setpoint.telemetry import Ingest, SignalStore
from setpoint.telemetry.receive import routes
from setpoint.telemetry.receive.receiver import Receiver

__all__ = ["LIMIT_BYTES", "Doors", "serving"]

LIMIT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Doors:
    """A running pair of receivers and the database behind them."""

    port: int
    grpc_address: str
    database: TelemetryDatabase
    store: SignalStore
    ingest: Ingest

    @property
    def url(self) -> str:
        """Of OTLP/HTTP, without a path."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serving(receiver: Receiver) -> Iterator[int]:
    """Serve OTLP/HTTP in front of `receiver`; the port."""
    app = Starlette(routes=routes(receiver, LIMIT_BYTES))
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", lifespan="off")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.005)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()

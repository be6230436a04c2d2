"""The receivers as the server runs them: on loopback, in front of the real ingest and chdb."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.telemetry import Head, Ingest, SignalStore
from setpoint.telemetry.receive import OtlpGrpcServer
from tests.telemetry.receive.loopback import LIMIT_BYTES, Doors, serving


@pytest.fixture
def doors(telemetry_database: TelemetryDatabase) -> Iterator[Doors]:
    """OTLP/HTTP on uvicorn and OTLP/gRPC, both on free loopback ports; the body limit is 1 MiB."""
    clock = SystemClock()
    ingest = Ingest(SignalStore(telemetry_database), Head(3_600_000), clock, 64 << 20)
    grpc_server = OtlpGrpcServer("127.0.0.1:0", ingest, clock, LIMIT_BYTES)
    grpc_server.start()
    try:
        with serving(ingest, clock) as port:
            yield Doors(port, f"127.0.0.1:{grpc_server.port}", telemetry_database, ingest)
    finally:
        grpc_server.stop(0)
        ingest.close()

"""The receivers as the server runs them: on loopback, in front of the real ingest and chdb."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.telemetry import Head, Ingest, SignalStore
from setpoint.telemetry.receive import OtlpGrpcServer, Receiver, last_samples
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.receive.loopback import LIMIT_BYTES, Doors, serving


@pytest.fixture
def doors(telemetry_database: TelemetryDatabase) -> Iterator[Doors]:
    """OTLP/HTTP on uvicorn and OTLP/gRPC, both on free loopback ports; the body limit is 1 MiB."""
    clock = SystemClock()
    table = SeriesTable()
    head = Head(3_600_000, table)
    store = SignalStore(telemetry_database, table)
    ingest = Ingest(store, head, clock, 64 << 20)
    receiver = Receiver(ingest, clock, table, last=last_samples(head.select))
    grpc_server = OtlpGrpcServer("127.0.0.1:0", receiver, LIMIT_BYTES)
    grpc_server.start()
    try:
        with serving(receiver) as port:
            yield Doors(port, f"127.0.0.1:{grpc_server.port}", telemetry_database, store, ingest)
    finally:
        grpc_server.stop(0)
        ingest.close()

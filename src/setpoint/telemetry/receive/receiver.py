"""What every OTLP protocol does with a body: parse, decode, queue for storing; acknowledged only when
stored.

`otlp_http` and `otlp_grpc` are two doors to this. `Receiver.receive` is synchronous and takes processor
time, so the protocols call it on threads, and then wait for the future of `Receipt` in their own way.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, Protocol

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from setpoint.clock import Clock
from setpoint.errors import InvalidInput
from setpoint.telemetry.model import LogBatch, RefBatch, SpanBatch
from setpoint.telemetry.protect import Protection
from setpoint.telemetry.receive.decode_logs import decode_logs
from setpoint.telemetry.receive.decode_metrics import MetricDecoder
from setpoint.telemetry.receive.decode_traces import decode_traces
from setpoint.telemetry.receive.json_encoding import parse
from setpoint.telemetry.receive.limits import LARGE_BODY, LARGE_BODY_BYTES, refuse_excess
from setpoint.telemetry.receive.outcome import Decoded
from setpoint.telemetry.receive.series_memory import LastSamples, SeriesMemory
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["SERVICES", "SIGNALS", "Receipt", "Receiver", "Signal", "SubmitsBatches"]

Signal = Literal["traces", "metrics", "logs"]


class SubmitsBatches(Protocol):
    """What the receiver needs of `Ingest`."""

    def submit(self, batch: RefBatch | SpanBatch | LogBatch, size_bytes: int) -> Future[None]:
        """Queue a batch; the future resolves when it is stored. Raises Unavailable when the queue is full."""
        ...


@dataclass(frozen=True, slots=True)
class Service:
    """One of OTLP's three services: its gRPC name, its messages, and its name for what it rejects."""

    name: str
    request: type[Any]
    response: type[Any]
    rejected_field: str


SERVICES: Mapping[Signal, Service] = MappingProxyType(
    {
        "traces": Service(
            "opentelemetry.proto.collector.trace.v1.TraceService",
            trace_service_pb2.ExportTraceServiceRequest,
            trace_service_pb2.ExportTraceServiceResponse,
            "rejected_spans",
        ),
        "metrics": Service(
            "opentelemetry.proto.collector.metrics.v1.MetricsService",
            metrics_service_pb2.ExportMetricsServiceRequest,
            metrics_service_pb2.ExportMetricsServiceResponse,
            "rejected_data_points",
        ),
        "logs": Service(
            "opentelemetry.proto.collector.logs.v1.LogsService",
            logs_service_pb2.ExportLogsServiceRequest,
            logs_service_pb2.ExportLogsServiceResponse,
            "rejected_log_records",
        ),
    }
)
_SAMPLE_BYTES = 20
"""Of the columns of a batch; a histogram's point can be more samples than bytes."""

SIGNALS: tuple[Signal, ...] = ("traces", "metrics", "logs")


@dataclass(frozen=True, slots=True)
class Receipt:
    """A queued request: `stored` resolves when its rows are on disk; `response` is the message to answer
    with then.
    """

    stored: Future[None]
    response: Any


class Receiver:
    """Turns OTLP bodies into queued batches; thread-safe.

    Every door in front of one `Ingest` has the same receiver: what it remembers of deltas is part of what is stored.
    """

    def __init__(
        self,
        ingest: SubmitsBatches,
        clock: Clock,
        table: SeriesTable,
        protection: Protection | None = None,
        last: LastSamples | None = None,
    ) -> None:
        """`table` is the ingest's series table, `last` finds stored samples (`SeriesMemory`)."""
        self._ingest = ingest
        self._clock = clock
        self._metrics = MetricDecoder(clock, table, SeriesMemory(table, last), protection)

    def receive(self, signal: Signal, body: bytes, *, is_json: bool = False) -> Receipt:
        """Parse and queue one export request.

        Raises InvalidInput when the body is no such request, TooLarge when it holds too many messages,
        Unavailable when the queue is full.
        """
        service = SERVICES[signal]
        with LARGE_BODY if len(body) > LARGE_BODY_BYTES else nullcontext():
            decoded = self._decode(signal, body, is_json)
        response = service.response()
        if decoded.rejections.message:
            setattr(response.partial_success, service.rejected_field, decoded.rejections.count)
            response.partial_success.error_message = decoded.rejections.message
        size_bytes = _size_bytes(decoded.batch, len(body))
        if not size_bytes:
            decoded.on_failed()
            stored: Future[None] = Future()
            stored.set_result(None)
            return Receipt(stored, response)
        try:
            stored = self._ingest.submit(decoded.batch, size_bytes)
        except BaseException:
            decoded.on_failed()
            raise
        stored.add_done_callback(partial(_settle, decoded))
        return Receipt(stored, response)

    def _decode(self, signal: Signal, body: bytes, is_json: bool) -> Decoded:
        service = SERVICES[signal]
        if is_json:
            # The same bytes as a sender of protobuf would have sent, so that there is one way to read them.
            body = parse(body, service.request()).SerializeToString()
        if signal == "metrics":
            return self._metrics.decode(body)
        refuse_excess(signal, body)
        try:
            request = service.request.FromString(body)
        except DecodeError as error:
            raise InvalidInput(
                f"the body is no valid {service.request.DESCRIPTOR.name} in protobuf; "
                "check that it is sent to the path of its signal and not compressed twice"
            ) from error
        decode = decode_traces if signal == "traces" else decode_logs
        return decode(request, self._clock.now_ms())


def _size_bytes(batch: RefBatch | SpanBatch | LogBatch, body_bytes: int) -> int:
    """What a batch counts against the queue's limit; 0 when there is nothing to store."""
    if isinstance(batch, RefBatch):
        if not len(batch.refs) and batch.histograms is None:
            return 0
        return max(body_bytes, _SAMPLE_BYTES * len(batch.refs))
    return body_bytes if next(iter(batch.columns.values()), ()) else 0


def _settle(decoded: Decoded, future: Future[None]) -> None:
    if future.cancelled() or future.exception() is not None:
        decoded.on_failed()
    else:
        decoded.on_stored()

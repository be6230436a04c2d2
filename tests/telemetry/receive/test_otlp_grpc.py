"""OTLP/gRPC with a real channel: what is stored, and the protocol's error codes."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from setpoint.clock import SystemClock
from setpoint.errors import Forbidden, NotEnough, StartupRefused, Unavailable
from setpoint.telemetry.receive import OtlpGrpcServer
from setpoint.telemetry.receive.receiver import SERVICES, SIGNALS, Receiver, Signal
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.receive.loopback import LIMIT_BYTES, Doors
from tests.telemetry.receive.messages import full_request
from tests.telemetry.receive.test_otlp_http import TABLE, partial_request, rows

Call = Callable[..., bytes]


@contextmanager
def calling(address: str, signal: Signal, **options: Any) -> Iterator[Call]:
    with grpc.insecure_channel(address, **options) as channel:
        yield channel.unary_unary(f"/{SERVICES[signal].name}/Export")


def failure(call: Call, body: bytes, **options: Any) -> tuple[grpc.StatusCode, str, Any]:
    """Code, message and google.rpc.Status (None without one) of a call that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        call(body, timeout=20, **options)
    error: Any = caught.value
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    return error.code(), error.details(), status_pb2.Status.FromString(details) if details else None


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_signals_are_stored_before_they_are_answered(doors: Doors, signal: Signal, compression: Any) -> None:
    with calling(doors.grpc_address, signal, compression=compression) as call:
        response = SERVICES[signal].response.FromString(
            call(full_request(signal).SerializeToString(), timeout=20)
        )
    assert not response.HasField("partial_success")
    assert rows(doors, TABLE[signal]) > 0


def test_partial_success(doors: Doors) -> None:
    with calling(doors.grpc_address, "metrics") as call:
        response = SERVICES["metrics"].response.FromString(
            call(partial_request().SerializeToString(), timeout=20)
        )
    assert response.partial_success.rejected_data_points == 1


def test_bad_data_is_an_invalid_argument(doors: Doors) -> None:
    with calling(doors.grpc_address, "traces") as call:
        code, message, status = failure(call, b"\xff" * 20)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "no valid ExportTraceServiceRequest" in message
    assert status.details[0].Is(error_details_pb2.BadRequest.DESCRIPTOR)


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_too_large_is_resource_exhausted_also_after_decompression(doors: Doors, compression: Any) -> None:
    with calling(doors.grpc_address, "traces", compression=compression) as call:
        code, _, status = failure(call, bytes(LIMIT_BYTES + 1))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert status is None  # no RetryInfo: the sender must not retry


class _Refusing:
    def __init__(self, message: str = "the queue is full; send it again later") -> None:
        self._message = message

    def submit(self, batch: Any, size_bytes: int) -> Future[None]:
        raise Unavailable(self._message, retry_after_s=2.5)


def test_back_pressure_is_unavailable_with_retry_info() -> None:
    server = OtlpGrpcServer("127.0.0.1:0", Receiver(_Refusing(), SystemClock(), SeriesTable()), LIMIT_BYTES)
    server.start()
    try:
        with calling(f"127.0.0.1:{server.port}", "logs") as call:
            code, message, status = failure(call, full_request("logs").SerializeToString())
    finally:
        server.stop(0)
    retry = error_details_pb2.RetryInfo()
    assert (code, message) == (grpc.StatusCode.UNAVAILABLE, "the queue is full; send it again later")
    assert status.details[0].Unpack(retry)
    assert (retry.retry_delay.seconds, retry.retry_delay.nanos) == (2, 500_000_000)


def test_a_long_error_of_the_database_still_says_retry() -> None:
    server = OtlpGrpcServer(
        "127.0.0.1:0", Receiver(_Refusing("\U0001f600" * 100_000), SystemClock(), SeriesTable()), LIMIT_BYTES
    )
    server.start()
    try:
        with calling(f"127.0.0.1:{server.port}", "logs") as call:
            code, _, status = failure(call, full_request("logs").SerializeToString())
    finally:
        server.stop(0)
    assert code == grpc.StatusCode.UNAVAILABLE
    assert status.details[0].Is(error_details_pb2.RetryInfo.DESCRIPTOR)


def test_a_request_of_empty_messages_is_resource_exhausted(doors: Doors) -> None:
    with calling(doors.grpc_address, "metrics") as call:
        code, message, status = failure(call, b"\x0a\x00" * 200_000)
    assert (code, status) == (grpc.StatusCode.RESOURCE_EXHAUSTED, None)
    assert "smaller batches" in message


def _admit(authorization: str) -> None:
    if authorization == "Bearer viewer":
        raise NotEnough("'eve' may only look")
    if authorization != "Bearer sesam":
        raise Forbidden("send a token as 'Bearer TOKEN'")


def test_a_token_is_demanded_where_one_is_set(doors: Doors) -> None:
    server = OtlpGrpcServer(
        "127.0.0.1:0", Receiver(doors.ingest, SystemClock(), doors.store.table), LIMIT_BYTES, _admit
    )
    server.start()
    body = full_request("traces").SerializeToString()
    try:
        with calling(f"127.0.0.1:{server.port}", "traces") as call:
            for wrong in ((), (("authorization", "Bearer other"),), (("authorization", "sesam"),)):
                code, message, _ = failure(call, body, metadata=wrong)
                assert code == grpc.StatusCode.UNAUTHENTICATED
                assert "Bearer TOKEN" in message
            code, message, _ = failure(call, body, metadata=(("authorization", "Bearer viewer"),))
            assert (code, message) == (grpc.StatusCode.PERMISSION_DENIED, "'eve' may only look")
            twice = [("authorization", "Bearer sesam"), ("authorization", "Bearer sesam")]
            assert failure(call, body, metadata=twice)[0] == grpc.StatusCode.UNAUTHENTICATED
            assert rows(doors, "spans") == 0
            call(body, timeout=20, metadata=(("authorization", "Bearer sesam"),))
    finally:
        server.stop(0)
    assert rows(doors, "spans") == 1


def test_a_taken_port_is_said_at_start() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        address = f"127.0.0.1:{holder.getsockname()[1]}"
        with pytest.raises(StartupRefused, match=f"cannot listen on {address}.*--otlp-grpc"):
            OtlpGrpcServer(address, Receiver(_Refusing(), SystemClock(), SeriesTable()), LIMIT_BYTES).start()


def test_a_second_server_cannot_share_the_port() -> None:
    first = OtlpGrpcServer("127.0.0.1:0", Receiver(_Refusing(), SystemClock(), SeriesTable()), LIMIT_BYTES)
    first.start()
    try:
        with pytest.raises(StartupRefused):
            OtlpGrpcServer(
                f"127.0.0.1:{first.port}", Receiver(_Refusing(), SystemClock(), SeriesTable()), LIMIT_BYTES
            ).start()
    finally:
        first.stop(0)

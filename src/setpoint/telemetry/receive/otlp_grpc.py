"""OTLP/gRPC: the three export services on a port of their own (4317 by default).

`web.serve` starts it beside the HTTP server. The handlers take raw bytes and go through the same `Receiver`
as OTLP/HTTP, so that a malformed message is INVALID_ARGUMENT rather than grpc's INTERNAL. grpc itself
bounds a message before and after decompression, and reads it only when one of the few threads is free.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2

from setpoint.errors import (
    Forbidden,
    InvalidInput,
    NotEnough,
    SetpointError,
    StartupRefused,
    TooLarge,
    Unavailable,
)
from setpoint.telemetry.receive.outcome import clipped
from setpoint.telemetry.receive.receiver import SERVICES, Receiver, Signal

__all__ = ["OtlpGrpcServer"]

_LOG = logging.getLogger(__name__)
_THREADS = 8
_MESSAGE_CHARS = 400
"""Errors travel in headers, percent-encoded and once more in base64; a client drops headers beyond 8 kB, and
with them what says that it may retry.
"""


class OtlpGrpcServer:
    """A gRPC server for OTLP at `address` (`HOST:PORT`; port 0 chooses one, see `port` after `start`)."""

    def __init__(
        self,
        address: str,
        receiver: Receiver,
        limit_bytes: int,
        admit: Callable[[str], None] = lambda authorization: None,
    ) -> None:
        """`limit_bytes` bounds a message after decompression; `admit` is told the `authorization` of each call and
        raises Forbidden.
        """
        self.address = address
        self.port = 0
        self._receiver = receiver
        self._admit = admit
        # Without SO_REUSEPORT a taken port is an error, not a second server that gets half of the calls.
        options = [("grpc.max_receive_message_length", limit_bytes), ("grpc.so_reuseport", 0)]
        self._server = grpc.server(
            ThreadPoolExecutor(_THREADS, thread_name_prefix="otlp-grpc"), options=options
        )
        for signal, service in SERVICES.items():
            export = grpc.unary_unary_rpc_method_handler(partial(self._export, signal))
            handler = grpc.method_handlers_generic_handler(service.name, {"Export": export})
            self._server.add_generic_rpc_handlers((handler,))

    def start(self) -> None:
        """Bind and serve. Raises StartupRefused when the address cannot be had."""
        try:
            self.port = self._server.add_insecure_port(self.address)
        except RuntimeError as error:
            raise StartupRefused(
                f"OTLP/gRPC cannot listen on {self.address}: another program (a collector?) has the port, "
                "or the host is not one of this machine; end that program, choose another address with "
                "--otlp-grpc, or give an empty one to do without gRPC"
            ) from error
        self._server.start()
        _LOG.info("OTLP/gRPC listens on %s", self.address)

    def stop(self, grace_s: float = 5.0) -> None:
        """Take no new calls, give the running ones `grace_s` to end, and close."""
        self._server.stop(grace_s).wait()

    def _export(self, signal: Signal, body: bytes, context: Any) -> bytes:
        try:
            self._authenticate(context)
            receipt = self._receiver.receive(signal, body)
            receipt.stored.result()
        except SetpointError as error:
            _refuse(context, error)
        response: bytes = receipt.response.SerializeToString()
        return response

    def _authenticate(self, context: Any) -> None:
        given = [str(value) for key, value in context.invocation_metadata() if key == "authorization"]
        self._admit(given[0] if len(given) == 1 else "")


def _refuse(context: Any, error: SetpointError) -> NoReturn:
    message = clipped(error.message, _MESSAGE_CHARS)
    code, number, detail = grpc.StatusCode.INTERNAL, code_pb2.INTERNAL, None
    if isinstance(error, Unavailable):
        code, number = grpc.StatusCode.UNAVAILABLE, code_pb2.UNAVAILABLE
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after_s * 1e9))
        detail = error_details_pb2.RetryInfo(retry_delay=delay)
    elif isinstance(error, Forbidden):
        is_known = isinstance(error, NotEnough)
        code = grpc.StatusCode.PERMISSION_DENIED if is_known else grpc.StatusCode.UNAUTHENTICATED
    elif isinstance(error, TooLarge):
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
    elif isinstance(error, InvalidInput):
        code, number = grpc.StatusCode.INVALID_ARGUMENT, code_pb2.INVALID_ARGUMENT
        violation = error_details_pb2.BadRequest.FieldViolation(field="body", description=message)
        detail = error_details_pb2.BadRequest(field_violations=[violation])
    if detail is not None:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status = status_pb2.Status(code=number, message=message, details=[packed])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, message)
    raise AssertionError("abort raises")

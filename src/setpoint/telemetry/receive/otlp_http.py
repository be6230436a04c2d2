"""OTLP/HTTP: POST /v1/traces, /v1/metrics and /v1/logs, in protobuf or JSON, by the protocol's
specification.

`app` mounts `routes` on the main port and on 4318. The event loop only reads and answers; inflating,
parsing and decoding run on two threads of its own, so that a flood of telemetry starves neither the loop
nor the pages' threads.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from setpoint.errors import InvalidInput, SetpointError, TooLarge, Unavailable
from setpoint.telemetry.receive.compression import ENCODINGS, inflate, too_large
from setpoint.telemetry.receive.json_encoding import render
from setpoint.telemetry.receive.receiver import SIGNALS, Receipt, Receiver, Signal

__all__ = ["routes"]

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_BODIES_AT_ONCE = 4
"""Bodies of the largest size that may be in memory together; more senders are told to retry."""


class _UnsupportedType(SetpointError):
    """The body is of a type that OTLP/HTTP does not have."""

    code = "unsupported_media_type"
    http_status = 415
    exit_code = 2


def routes(receiver: Receiver, body_limit_bytes: int) -> list[Route]:
    """The three routes; a body of more than `body_limit_bytes` after decompression is answered 413."""
    door = _Door(receiver, body_limit_bytes)
    return [
        Route(f"/v1/{signal}", door.endpoint(signal), methods=["POST"], name=f"otlp_{signal}")
        for signal in SIGNALS
    ]


class _Door:
    def __init__(self, receiver: Receiver, limit_bytes: int) -> None:
        self._receiver = receiver
        self._limit_bytes = limit_bytes
        self._held_bytes = 0  # only the event loop touches it
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="otlp-http")

    def endpoint(self, signal: Signal) -> Callable[[Request], Awaitable[Response]]:
        async def export(request: Request) -> Response:
            media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            try:
                return await self._export(request, signal, media_type)
            except SetpointError as error:
                return _failure(error, media_type)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody reads it

        return export

    async def _export(self, request: Request, signal: Signal, media_type: str) -> Response:
        encoding = request.headers.get("content-encoding", "").strip().lower() or "identity"
        if media_type not in (_PROTOBUF, _JSON):
            raise _UnsupportedType(f"Content-Type '{media_type}' is not OTLP; send {_PROTOBUF} or {_JSON}")
        if encoding not in ENCODINGS:
            raise _UnsupportedType(
                f"Content-Encoding '{encoding}' is not supported; send {', '.join(ENCODINGS)}"
            )
        body = bytearray()
        try:
            async for chunk in request.stream():
                body += chunk
                self._hold(len(chunk), len(body))
            receipt = await asyncio.get_running_loop().run_in_executor(
                self._threads, self._receive, signal, bytes(body), encoding, media_type == _JSON
            )
        finally:
            self._held_bytes -= len(body)
        # Shielded: a cancelled request must not cancel the future under the writer's hands.
        await asyncio.shield(asyncio.wrap_future(receipt.stored))
        return Response(_encode(receipt.response, media_type), media_type=media_type)

    def _hold(self, chunk_bytes: int, body_bytes: int) -> None:
        self._held_bytes += chunk_bytes
        if body_bytes > self._limit_bytes:
            raise too_large(self._limit_bytes)
        if self._held_bytes > _BODIES_AT_ONCE * self._limit_bytes:
            raise Unavailable("too much telemetry is arriving at once; try again", retry_after_s=1)

    def _receive(self, signal: Signal, body: bytes, encoding: str, is_json: bool) -> Receipt:
        return self._receiver.receive(signal, inflate(body, encoding, self._limit_bytes), is_json=is_json)


def _encode(message: Any, media_type: str) -> bytes:
    return message.SerializeToString() if media_type == _PROTOBUF else render(message)


def _failure(error: SetpointError, media_type: str) -> Response:
    """A google.rpc.Status in the encoding of the request (JSON when that is neither)."""
    status = status_pb2.Status(code=code_pb2.INTERNAL, message=error.message)
    headers = {}
    if isinstance(error, Unavailable):
        status.code = code_pb2.UNAVAILABLE
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    elif isinstance(error, TooLarge):
        status.code = code_pb2.RESOURCE_EXHAUSTED
    elif isinstance(error, InvalidInput | _UnsupportedType):
        status.code = code_pb2.INVALID_ARGUMENT
        violation = error_details_pb2.BadRequest.FieldViolation(field="body", description=error.message)
        detail = any_pb2.Any()
        detail.Pack(error_details_pb2.BadRequest(field_violations=[violation]))
        status.details.append(detail)
    if isinstance(error, _UnsupportedType):
        headers["Accept"], headers["Accept-Encoding"] = f"{_PROTOBUF}, {_JSON}", ", ".join(ENCODINGS)
    answer_type = media_type if media_type == _PROTOBUF else _JSON
    return Response(_encode(status, answer_type), error.http_status, headers, media_type=answer_type)

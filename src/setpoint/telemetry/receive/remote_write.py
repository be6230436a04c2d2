"""The door for Prometheus remote write 1.0 and 2.0 over HTTP, by its specifications.

`web` mounts it in front of everything that a request of hundreds a second need not pass (pages, compression), behind
the access rules. The event loop only reads and answers; inflating, scanning and decoding run on two threads of
its own.

What a sender may conclude (prometheus/docs, specs/prw): 204 when all is on disk; 400 when something was refused that no
retry would change, the rest being on disk; 415 for another message or compression; 503 with Retry-After when
the request should come again as it is. 429 is not used, because Prometheus does not retry it unless told to.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from setpoint.errors import InvalidInput, SetpointError, Unavailable
from setpoint.telemetry.protect import Protection
from setpoint.telemetry.receive.compression import too_large
from setpoint.telemetry.receive.remote_write_receiver import Receipt, RemoteWriteReceiver
from setpoint.telemetry.receive.remote_write_scan import inflate, inflated_bytes

__all__ = ["PATHS", "RemoteWriteDoor"]

PATHS = ("/api/v1/write", "/api/v1/push")
"""Where senders write: Prometheus's path, and Mimir's, which exporters of others have as their default."""

_MESSAGES = {
    "": False,
    "prometheus.writerequest": False,
    "io.prometheus.write.v2.request": True,
}
_WRITTEN = tuple(
    f"x-prometheus-remote-write-{what}-written".encode() for what in ("samples", "histograms", "exemplars")
)
_BODIES_AT_ONCE = 4
"""Bodies of the largest size that may be in memory together; more senders are told to retry."""

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]
_Headers = Iterable[tuple[bytes, bytes]]


class _UnsupportedType(SetpointError):
    """The body is of a type or compression that remote write does not have."""

    code = "unsupported_media_type"
    http_status = 415
    exit_code = 2


class _Disconnected(Exception):
    """The sender went away before its body was here."""


class RemoteWriteDoor:
    """An ASGI application for `PATHS`; a body of more than `limit_bytes` after decompression is answered 413."""

    def __init__(self, receiver: RemoteWriteReceiver, protection: Protection, limit_bytes: int) -> None:
        self._receiver = receiver
        self._protection = protection
        self._limit_bytes = limit_bytes
        self._held_bytes = 0  # only the event loop touches it
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="remote-write")

    async def __call__(self, scope: MutableMapping[str, Any], receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        if scope["method"] != "POST":
            await _answer(send, 405, "remote write takes POST", [(b"allow", b"POST")])
            return
        is_v2 = False
        written = (0, 0, 0)
        headers: list[tuple[bytes, bytes]] = []
        try:
            is_v2 = _negotiate(scope["headers"])
            receipt = await self._take(scope, receive, is_v2)
            written = (receipt.samples, receipt.histograms, receipt.exemplars)
            status, text = (400, receipt.refused) if receipt.refused else (204, "")
        except SetpointError as error:
            status, text = error.http_status, error.message
            if isinstance(error, Unavailable):
                headers.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after_s))))
        except _Disconnected:
            return
        if is_v2:
            headers += [(name, b"%d" % count) for name, count in zip(_WRITTEN, written, strict=True)]
        await _answer(send, status, text, headers)

    async def _take(self, scope: MutableMapping[str, Any], receive: _Receive, is_v2: bool) -> Receipt:
        client = scope.get("client")
        sender = f"remote_write {client[0] if client else 'unknown'}"
        held_bytes = 0
        try:
            body = bytearray()
            is_more = True
            while is_more:
                message = await receive()
                if message["type"] != "http.request":
                    raise _Disconnected
                chunk = message.get("body", b"")
                is_more = message.get("more_body", False)
                held_bytes += self._hold(len(chunk))
                body += chunk
                if len(body) > self._limit_bytes:
                    raise too_large(self._limit_bytes)
            try:
                held_bytes += self._hold(inflated_bytes(body, self._limit_bytes))
                receipt = await asyncio.get_running_loop().run_in_executor(
                    self._threads, self._receive, body, is_v2, sender
                )
            except InvalidInput as error:
                self._protection.refused("malformed_request", "a whole request", sender, 1, error.message)
                raise
        finally:
            self._held_bytes -= held_bytes
        # Shielded: a cancelled request must not cancel the future under the writer's hands.
        await asyncio.shield(asyncio.wrap_future(receipt.stored))
        return receipt

    def _receive(self, body: bytearray, is_v2: bool, sender: str) -> Receipt:
        return self._receiver.receive(inflate(body, self._limit_bytes), is_v2, sender)

    def _hold(self, size_bytes: int) -> int:
        """Count bytes that are in memory now; as many come off at the end."""
        if self._held_bytes + size_bytes > _BODIES_AT_ONCE * self._limit_bytes:
            raise Unavailable("too much telemetry is arriving at once; send it again", retry_after_s=1)
        self._held_bytes += size_bytes
        return size_bytes


def _negotiate(headers: _Headers) -> bool:
    """True for a message of 2.0. Raises _UnsupportedType for what is neither 1.0 nor 2.0.

    A sender that names nothing means 1.0 in snappy, as before there was a choice.
    """
    content_type = encoding = ""
    for name, value in headers:
        if name == b"content-type":
            content_type = value.decode("latin-1")
        elif name == b"content-encoding":
            encoding = value.decode("latin-1").strip().lower()
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    named = [part.partition("=")[2].strip(' "') for part in parameters if part.startswith("proto=")]
    is_v2 = _MESSAGES.get(named[0] if named else "")
    if media_type not in ("", "application/x-protobuf") or is_v2 is None:
        raise _UnsupportedType(
            f"Content-Type '{content_type}' is not remote write; send application/x-protobuf (1.0) or "
            "application/x-protobuf;proto=io.prometheus.write.v2.Request (2.0)"
        )
    if encoding not in ("", "snappy"):
        raise _UnsupportedType(f"Content-Encoding '{encoding}' is not remote write; send snappy")
    return is_v2


async def _answer(send: _Send, status: int, text: str, headers: _Headers) -> None:
    body = text.encode("utf-8", "replace")
    answered = [*headers]
    if body:
        answered += [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": answered})
    await send({"type": "http.response.body", "body": body})

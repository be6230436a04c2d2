"""Request bodies as their sender compressed them, inflated without ever holding more than the limit.

OTLP/HTTP calls `inflate`. A body that inflates a thousandfold costs no more memory here than an honest one.
"""

from __future__ import annotations

import zlib

from setpoint.errors import InvalidInput, TooLarge

__all__ = ["ENCODINGS", "inflate", "too_large"]

ENCODINGS = ("gzip", "deflate", "identity")
"""The values of `Content-Encoding` that `inflate` knows."""

_WINDOW_BITS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
_STEP_BYTES = 1 << 16
_MAX_MEMBERS = 1000


def too_large(limit_bytes: int) -> TooLarge:
    """The error for a body beyond `limit_bytes`."""
    return TooLarge(
        f"the body is larger than {limit_bytes} bytes after decompression; send smaller batches "
        "(OTEL_BSP_MAX_EXPORT_BATCH_SIZE in an SDK, send_batch_max_size in a collector)"
    )


def inflate(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """`body` without its compression (`gzip`, `deflate` as zlib, or `identity`).

    Raises TooLarge when the result has more than `limit_bytes`, InvalidInput when the body is truncated or
    damaged.
    """
    if encoding == "identity":
        if len(body) > limit_bytes:
            raise too_large(limit_bytes)
        return body
    inflated = bytearray()
    members = 0
    stream = zlib.decompressobj(_WINDOW_BITS[encoding])
    try:
        for start in range(0, len(body), _STEP_BYTES):
            waiting = body[start : start + _STEP_BYTES]
            while waiting:
                if stream.eof:  # gzip allows several members one after the other
                    members += 1
                    if members > _MAX_MEMBERS or encoding != "gzip":
                        raise InvalidInput(
                            f"the {encoding} body goes on after its end; compress it as one stream"
                        )
                    stream = zlib.decompressobj(_WINDOW_BITS[encoding])
                inflated += stream.decompress(waiting, limit_bytes + 1 - len(inflated))
                if len(inflated) > limit_bytes:
                    raise too_large(limit_bytes)
                waiting = stream.unused_data if stream.eof else stream.unconsumed_tail
    except zlib.error as error:
        raise InvalidInput(f"the body is not valid {encoding}: {error}; check Content-Encoding") from error
    if not stream.eof:
        raise InvalidInput(f"the {encoding} body is truncated; it was cut off on its way or by the sender")
    return bytes(inflated)

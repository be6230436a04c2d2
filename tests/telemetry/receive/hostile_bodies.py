"""Bodies of 60 MB that would be gigabytes of messages, and a program that receives one of them.

`python -m tests.telemetry.receive.hostile_bodies NAME` prints what the receiver said and by how many megabytes the
process grew at most, beyond the body itself.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from setpoint.clock import VirtualClock
from setpoint.errors import InvalidInput, TooLarge
from setpoint.telemetry.receive import metric_warm
from setpoint.telemetry.receive.receiver import Receiver, Signal
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.receive.messages import NOW_MS, NOW_NS

__all__ = ["BODIES"]

_BYTES = 60_000_000


def _field(tag: int, payload: bytes) -> bytes:
    size, length = len(payload), bytearray()
    while size > 127:
        length.append(size & 127 | 128)
        size >>= 7
    return bytes([tag, *length, size]) + payload


def _many(piece: bytes) -> bytes:
    return piece * (_BYTES // len(piece))


_TIME = b"\x19" + NOW_NS.to_bytes(8, "little")
_VALUE = b"\x31" + bytes(8)


def _metric(data: int, point: bytes) -> bytes:
    """A request with one metric, whose data is the field `data`, with one point."""
    temporality = b"\x10\x02" if data in (0x3A, 0x4A, 0x52) else b""
    metric = _field(0x0A, b"m") + _field(data, _field(0x0A, point) + temporality)
    return _field(0x0A, _field(0x12, _field(0x12, metric)))


def _attributes(resource_or_point: bytes) -> bytes:
    return _field(0x0A, _field(0x0A, resource_or_point)) + _metric(0x2A, _TIME + _VALUE)


def _value(value: bytes) -> bytes:
    return _metric(0x2A, _TIME + _VALUE + _field(0x3A, _field(0x0A, b"k") + _field(0x12, value)))


BODIES: dict[str, tuple[Signal, Callable[[], bytes]]] = {
    "resources": ("metrics", lambda: _many(b"\x0a\x00")),
    "scopes": ("metrics", lambda: _field(0x0A, _many(b"\x12\x00"))),
    "metrics": ("metrics", lambda: _field(0x0A, _field(0x12, _many(b"\x12\x00")))),
    "points": ("metrics", lambda: _field(0x0A, _field(0x12, _field(0x12, _field(0x2A, _many(b"\x0a\x00")))))),
    "most points": (
        "metrics",
        lambda: _field(0x0A, _field(0x12, _field(0x12, _field(0x2A, b"\x0a\x00" * 1_000_000)))),
    ),
    "resource attributes": ("metrics", lambda: _attributes(_many(b"\x0a\x00"))),
    "point attributes": ("metrics", lambda: _metric(0x2A, _TIME + _VALUE + _many(b"\x3a\x00"))),
    "values in an attribute": ("metrics", lambda: _value(_field(0x2A, _many(b"\x0a\x00")))),
    "exemplars": ("metrics", lambda: _metric(0x2A, _TIME + _VALUE + _many(b"\x2a\x00"))),
    "exemplars' attributes": (
        "metrics",
        lambda: _metric(0x2A, _TIME + _VALUE + _field(0x2A, b"\x19" + bytes(8) + _many(b"\x3a\x00"))),
    ),
    "metadata": (
        "metrics",
        lambda: _field(
            0x0A, _field(0x12, _field(0x12, _many(b"\x62\x00") + _field(0x2A, _field(0x0A, _TIME + _VALUE))))
        ),
    ),
    "bucket counts": ("metrics", lambda: _metric(0x4A, _TIME + _field(0x32, _many(bytes(8))))),
    "buckets": (
        "metrics",
        lambda: _metric(
            0x4A, _TIME + _field(0x32, bytes(8 * 3_000_001)) + _field(0x3A, bytes(8 * 3_000_000))
        ),
    ),
    "exponential buckets": (
        "metrics",
        lambda: _metric(0x52, _TIME + _field(0x42, _field(0x12, _many(b"\x01")))),
    ),
    "quantiles": ("metrics", lambda: _metric(0x5A, _TIME + _many(b"\x32\x00"))),
    "a group before attributes": ("metrics", lambda: b"\x63\x64" + _attributes(_many(b"\x0a\x00"))),
    "spans' attributes": (
        "traces",
        lambda: _field(0x0A, _field(0x12, _field(0x12, _many(b"\x4a\x00")))),
    ),
    "spans' events": ("traces", lambda: _field(0x0A, _field(0x12, _field(0x12, _many(b"\x5a\x00"))))),
    "logs' bodies": (
        "logs",
        lambda: _field(0x0A, _field(0x12, _field(0x12, _field(0x2A, _field(0x2A, _many(b"\x0a\x00")))))),
    ),
}


class _Nowhere:
    def submit(self, batch: Any, size_bytes: int) -> Future[None]:
        future: Future[None] = Future()
        future.set_result(None)
        return future


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main(name: str) -> None:
    """Receive one body, after everything was loaded and compiled."""
    metric_warm.warm()
    receiver = Receiver(_Nowhere(), VirtualClock(NOW_MS), SeriesTable())
    signal, make = BODIES[name]
    body = make()
    before_mb = _peak_mb()
    try:
        receipt = receiver.receive(signal, body)
        said = receipt.response.partial_success.error_message or "taken"
    except (InvalidInput, TooLarge) as error:
        said = f"{type(error).__name__}: {error.message}"
    print(_peak_mb() - before_mb, said)


if __name__ == "__main__":
    main(sys.argv[1])

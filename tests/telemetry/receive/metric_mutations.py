"""Damaged OTLP metrics requests, from a seed, and a program that decodes them where a read outside ends it.

`python -m tests.telemetry.receive.metric_mutations 5000`: the body stands directly behind and directly in front
of a page that may not be read. With NUMBA_BOUNDSCHECK=1 every index of the kernels is checked as well.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import config

from setpoint.errors import InvalidInput, TooLarge
from setpoint.telemetry.model import Lease
from setpoint.telemetry.receive import wire_kernels
from setpoint.telemetry.receive.draft import Draft
from setpoint.telemetry.receive.limits import refuse_excess
from setpoint.telemetry.receive.metric_scan import scan_request
from setpoint.telemetry.receive.point_kernels import derive, exemplar_places, values
from tests.telemetry.receive.decoding import Subject
from tests.telemetry.receive.messages import NOW_NS, add_attributes, add_metric, metrics_request
from tests.telemetry.receive.wire_mutations import Guarded, mutated

__all__ = ["bodies", "nested", "valid"]

_SHAPES = ["gauge", "sum", "histogram", "exponential_histogram", "summary"]


def valid(randomness: random.Random) -> Any:
    """A request of a few metrics of all shapes, with exemplars."""
    request, scope = metrics_request()
    for number in range(randomness.randint(1, 4)):
        shape = randomness.choice(_SHAPES)
        data = add_metric(scope, f"m{number}", shape, randomness.choice(["", "s"]))
        if shape in ("sum", "histogram", "exponential_histogram"):
            data.aggregation_temporality = randomness.choice([1, 2])
        for _ in range(randomness.randint(0, 3)):
            point = data.data_points.add(
                time_unix_nano=NOW_NS - randomness.randrange(10**10), start_time_unix_nano=NOW_NS - 10**11
            )
            add_attributes(point.attributes, {f"k{n}": "v" * n for n in range(randomness.choice([0, 1, 3]))})
            _fill(shape, point, randomness)
            if shape != "summary" and randomness.random() < 0.5:
                point.exemplars.add(as_double=1.0, trace_id=bytes(16), time_unix_nano=NOW_NS)
    return request


def _fill(shape: str, point: Any, randomness: random.Random) -> None:
    if shape in ("gauge", "sum"):
        point.as_double = randomness.random()
        return
    point.count, point.sum = 3, 1.5
    if shape == "histogram":
        point.bucket_counts.extend([1, 2, 0])
        point.explicit_bounds.extend([1.0, 2.0])
    elif shape == "summary":
        for level in (0.0, 0.5, 0.99)[: randomness.randint(0, 3)]:
            point.quantile_values.add(quantile=level, value=1.0)
    else:
        point.scale, point.positive.offset, point.zero_count = randomness.choice([3, 20]), -2, 1
        point.positive.bucket_counts.extend([1, 0, 1])


def nested(levels: int) -> bytes:
    """A request with an attribute that is a list in a list …, as wire bytes: too deep to build as messages."""

    def field(tag: int, payload: bytes) -> bytes:
        size, length = len(payload), bytearray()
        while size > 127:
            length.append(size & 127 | 128)
            size >>= 7
        return bytes([tag, *length, size]) + payload

    value = b""
    for _ in range(levels):
        value = field(0x2A, field(0x0A, value))  # AnyValue.array_value { values }
    stamp = b"\x19" + NOW_NS.to_bytes(8, "little") + b"\x31" + bytes(8)
    point = stamp + field(0x3A, field(0x0A, b"key") + field(0x12, value))
    metric = field(0x0A, b"deep") + field(0x2A, field(0x0A, point))
    return field(0x0A, field(0x12, field(0x12, metric)))


def bodies(count: int, seed: int) -> Iterator[bytes]:
    """Requests, nearly all of them damaged."""
    randomness = random.Random(seed)
    for _ in range(count):
        body = valid(randomness).SerializeToString()
        yield mutated(body, randomness) if randomness.random() < 0.95 else body


def main(count: int) -> None:
    """Decode `count` damaged bodies at both edges of guarded memory."""
    if config.BOUNDSCHECK:  # and it is in effect
        with contextlib.suppress(IndexError):
            wire_kernels.word_at(np.zeros(7, np.uint8), 0)
            raise AssertionError("a read outside of an array went unnoticed")
    guarded = Guarded()
    outcomes = {True: 0, False: 0}
    subject = Subject()
    for number, body in enumerate(bodies(count, seed=1)):
        if number % 500 == 0:
            subject = Subject()
        for at_end in (True, False):
            outcome = False
            array: Any = guarded.holding(body, at_end)
            held: Any = memoryview(array)
            with contextlib.suppress(InvalidInput, TooLarge):
                refuse_excess("metrics", held)
                if config.BOUNDSCHECK:  # compiling all that decoding needs would take minutes
                    read(held)
                else:
                    decoded = subject.decoder.decode(held)
                    subject.store(decoded) if number % 3 else decoded.on_failed()
                outcome = True
            outcomes[outcome] += 1
    print(outcomes[True], outcomes[False])
    assert min(outcomes.values()) > count // 10, outcomes


def read(body: Any) -> None:
    """Run every kernel that reads the body."""
    request = scan_request(body, np.arange(1, 9, dtype=np.uint64), 0, 2 * NOW_NS)
    modes = np.ones(len(request.metrics), np.int8)
    draft = Draft.of(request, modes, 0, Lease(1, "", lambda: None))
    derive(request.points, draft.first, np.empty((draft.rows, 2), np.uint64))
    values(request.data, request.metrics, request.points, draft.first, np.empty(draft.rows))
    places = np.empty((int(request.points["exemplars"].sum()), 3), np.int64)
    exemplar_places(request.data, request.metrics, request.points, draft.taken, places)


if __name__ == "__main__":
    main(int(sys.argv[1]))

"""A metrics request as arrays, by the kernels of `metric_kernels`; what they do not read, the protobuf library writes
anew first.

`decode_metrics` calls `scan_request`. Nothing is made of a message before it is counted, so that a small body of
millions of empty messages costs neither memory nor time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.resource.v1 import resource_pb2

from setpoint.errors import InvalidInput
from setpoint.telemetry.receive.limits import (
    MAX_ATTRIBUTES,
    MAX_BUCKETS,
    MAX_CONTAINERS,
    MAX_ITEMS,
    refuse_excess,
    too_many,
)
from setpoint.telemetry.receive.message_count import EXCESS as TOO_MANY
from setpoint.telemetry.receive.message_count import Schema
from setpoint.telemetry.receive.metric_kernels import (
    EXCESS,
    EXPONENTIAL,
    GAUGE,
    HISTOGRAM,
    METRIC,
    POINT,
    SUM,
    SUMMARY,
    measure,
    scan,
)

__all__ = ["SHAPES", "Request", "scan_request", "secret_words"]

SHAPES = {
    GAUGE: "gauge",
    SUM: "sum",
    HISTOGRAM: "histogram",
    EXPONENTIAL: "exponential_histogram",
    SUMMARY: "summary",
}
"""The name of the field of a `Metric` that holds the data of each kind."""

_POINT_MESSAGES = {
    GAUGE: metrics_pb2.NumberDataPoint,
    SUM: metrics_pb2.NumberDataPoint,
    HISTOGRAM: metrics_pb2.HistogramDataPoint,
    EXPONENTIAL: metrics_pb2.ExponentialHistogramDataPoint,
    SUMMARY: metrics_pb2.SummaryDataPoint,
}
_SMALL_BYTES = 1 << 16
_PIECE_MESSAGES = 100_000
"""Messages in one point or one resource; beyond that it is not decoded."""


@dataclass(slots=True, eq=False)
class Request:
    """A scanned request. `data` is `body` as an array; the others as `metric_kernels.scan` fills them."""

    body: memoryview
    data: npt.NDArray[np.uint8]
    resources: npt.NDArray[np.int64]
    resource_keys: npt.NDArray[np.uint64]
    scopes: npt.NDArray[np.int64]
    metrics: npt.NDArray[Any]
    points: npt.NDArray[Any]

    def resource(self, index: int) -> Any:
        """The `Resource` message at `index`. Raises InvalidInput when its bytes are none."""
        begin, end, schema_begin, schema_end = self.resources[index].tolist()
        self._check_text(schema_begin, schema_end)
        return self._message(resource_pb2.Resource, begin, end)

    def scope(self, index: int) -> Any:
        """The `InstrumentationScope` message at `index`. Raises InvalidInput when its bytes are none."""
        begin, end, schema_begin, schema_end = self.scopes[index].tolist()
        self._check_text(schema_begin, schema_end)
        return self._message(common_pb2.InstrumentationScope, begin, end)

    def metric(self, index: int) -> Any:
        """The `Metric` message at `index`, without its data. Raises InvalidInput when its bytes are none."""
        one = self.metrics[index]
        header = b"".join(
            (self.body[one["start"] : one["data_start"]], self.body[one["data_end"] : one["end"]])
        )
        return _parsed(metrics_pb2.Metric, header)

    def point(self, index: int) -> Any:
        """The data point at `index`. Raises InvalidInput when its bytes are none."""
        one = self.points[index]
        kind = int(self.metrics[one["metric"]]["kind"])
        return self._message(_POINT_MESSAGES[kind], int(one["start"]), int(one["end"]))

    def exemplar(self, begin: int, end: int) -> Any:
        """The `Exemplar` message at these bytes. Raises InvalidInput when they are none."""
        return self._message(metrics_pb2.Exemplar, begin, end)

    def _message(self, kind: Any, begin: int, end: int) -> Any:
        return _parsed(kind, self.body[begin:end])

    def _check_text(self, begin: int, end: int) -> None:
        try:
            str(self.body[begin:end], "utf-8")
        except UnicodeDecodeError as error:
            raise _unreadable() from error


def scan_request(body: bytes, seed: npt.NDArray[np.uint64], oldest_ns: int, newest_ns: int) -> Request:
    """The arrays of an `ExportMetricsServiceRequest`.

    `seed` uint64[8] keys the hashes; points outside of `oldest_ns` to `newest_ns` are at fault. Raises InvalidInput
    when the body is no such request, TooLarge when it holds too many messages.
    """
    bounds = np.array([max(oldest_ns, 1), max(newest_ns, 1), MAX_ATTRIBUTES, MAX_BUCKETS], np.uint64)
    found = _scan(body, seed, bounds)
    if found is None:
        refuse_excess("metrics", body)
        found = _scan(_written_anew(body), seed, bounds)
    if found is None:
        raise _unreadable()
    return found


def secret_words(seed: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The words that the kernels want, uint64[8], of a process's secret `seed` uint64[2]; no other door has them."""
    digest = hashlib.blake2b(seed.tobytes(), digest_size=64, person=b"otlp metrics").digest()
    return np.frombuffer(digest, np.uint64)


def _scan(body: bytes, seed: npt.NDArray[np.uint64], bounds: npt.NDArray[np.uint64]) -> Request | None:
    """The request, or None when the kernels leave the body to the protobuf library."""
    data = np.frombuffer(body, np.uint8)
    sizes = np.zeros(4, np.int64)
    status = measure(data, MAX_CONTAINERS, MAX_ITEMS, sizes)
    if status == EXCESS:
        raise too_many(MAX_ITEMS if sizes[3] > MAX_ITEMS else MAX_CONTAINERS)
    if status:
        return None
    resources, scopes, metrics, points = sizes.tolist()
    request = Request(
        memoryview(body),
        data,
        np.zeros((resources, 4), np.int64),
        np.zeros((resources, 2), np.uint64),
        np.zeros((scopes, 4), np.int64),
        np.zeros(metrics, METRIC),
        np.zeros(points, POINT),
    )
    status = scan(
        data,
        seed,
        bounds,
        request.resources,
        request.resource_keys,
        request.scopes,
        request.metrics,
        request.points,
    )
    return None if status else request


def _written_anew(body: bytes) -> bytes:
    """The same request as the protobuf library serializes it."""
    request = _parsed(metrics_service_pb2.ExportMetricsServiceRequest, body, counted=True)
    request.DiscardUnknownFields()
    written: bytes = request.SerializeToString()
    return written


def _parsed(kind: Any, data: Any, *, counted: bool = False) -> Any:
    """The message of these bytes. Raises InvalidInput when they are none, TooLarge when they are too many."""
    if len(data) > _SMALL_BYTES and not counted:
        status, _ = _schema(kind).count(data, _PIECE_MESSAGES)
        if status == TOO_MANY:
            raise too_many(_PIECE_MESSAGES)
    try:
        return kind.FromString(bytes(data))
    except DecodeError as error:
        raise _unreadable() from error


@lru_cache(maxsize=20)
def _schema(kind: Any) -> Schema:
    return Schema(kind.DESCRIPTOR)


def _unreadable() -> InvalidInput:
    return InvalidInput(
        "the body is no valid ExportMetricsServiceRequest in protobuf; "
        "check that it is sent to the path of its signal and not compressed twice"
    )

"""The messages of remote write 1.0 and 2.0 as protobuf classes, and their contents by a plain walk.

Written from prompb/types.proto, prompb/remote.proto and io/prometheus/write/v2/types.proto of Prometheus, apart
from the descriptions in `setpoint`, so that the two can disagree.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import cramjam
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

__all__ = ["Request", "Walked", "WriteRequest", "compressed", "walk"]

_F = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "double": _F.TYPE_DOUBLE,
    "int64": _F.TYPE_INT64,
    "uint64": _F.TYPE_UINT64,
    "uint32": _F.TYPE_UINT32,
    "sint32": _F.TYPE_SINT32,
    "sint64": _F.TYPE_SINT64,
    "int32": _F.TYPE_INT32,
    "bytes": _F.TYPE_BYTES,
}
_HISTOGRAM = [
    ("uint64", "count_int", 1),
    ("double", "count_float", 2),
    ("double", "sum", 3),
    ("sint32", "schema", 4),
    ("double", "zero_threshold", 5),
    ("uint64", "zero_count_int", 6),
    ("double", "zero_count_float", 7),
    ("BucketSpan[]", "negative_spans", 8),
    ("sint64[]", "negative_deltas", 9),
    ("double[]", "negative_counts", 10),
    ("BucketSpan[]", "positive_spans", 11),
    ("sint64[]", "positive_deltas", 12),
    ("double[]", "positive_counts", 13),
    ("int32", "reset_hint", 14),
    ("int64", "timestamp", 15),
    ("double[]", "custom_values", 16),
]
_ONEOFS = {"count_int": "count", "count_float": "count", "zero_count_int": "zero", "zero_count_float": "zero"}
_SPAN = [("sint32", "offset", 1), ("uint32", "length", 2)]

V1 = {
    "WriteRequest": [("TimeSeries[]", "timeseries", 1), ("MetricMetadata[]", "metadata", 3)],
    "TimeSeries": [
        ("Label[]", "labels", 1),
        ("Sample[]", "samples", 2),
        ("Exemplar[]", "exemplars", 3),
        ("Histogram[]", "histograms", 4),
    ],
    "Label": [("bytes", "name", 1), ("bytes", "value", 2)],
    "Sample": [("double", "value", 1), ("int64", "timestamp", 2)],
    "Exemplar": [("Label[]", "labels", 1), ("double", "value", 2), ("int64", "timestamp", 3)],
    "MetricMetadata": [
        ("int32", "type", 1),
        ("bytes", "metric_family_name", 2),
        ("bytes", "help", 4),
        ("bytes", "unit", 5),
    ],
    "Histogram": _HISTOGRAM,
    "BucketSpan": _SPAN,
}
V2 = {
    "Request": [("bytes[]", "symbols", 4), ("TimeSeries[]", "timeseries", 5)],
    "TimeSeries": [
        ("uint32[]", "labels_refs", 1),
        ("Sample[]", "samples", 2),
        ("Histogram[]", "histograms", 3),
        ("Exemplar[]", "exemplars", 4),
        ("Metadata", "metadata", 5),
        ("int64", "created_timestamp", 6),
    ],
    "Sample": [("double", "value", 1), ("int64", "timestamp", 2), ("int64", "start_timestamp", 3)],
    "Exemplar": [("uint32[]", "labels_refs", 1), ("double", "value", 2), ("int64", "timestamp", 3)],
    "Metadata": [("int32", "type", 1), ("uint32", "help_ref", 3), ("uint32", "unit_ref", 4)],
    "Histogram": [*_HISTOGRAM, ("int64", "start_timestamp", 17)],
    "BucketSpan": _SPAN,
}


def _build(package: str, messages: dict[str, list[tuple[str, str, int]]], root: str) -> Any:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for kind, field_name, number in fields:
            one = message.field.add(name=field_name, number=number, label=_F.LABEL_OPTIONAL)
            if kind.endswith("[]"):
                one.label = _F.LABEL_REPEATED
            if (plain := kind.removesuffix("[]")) in _TYPES:
                one.type = _TYPES[plain]
            else:
                one.type, one.type_name = _F.TYPE_MESSAGE, f".{package}.{plain}"
            if (oneof := _ONEOFS.get(field_name)) is not None:
                known = [declared.name for declared in message.oneof_decl]
                if oneof not in known:
                    message.oneof_decl.add(name=oneof)
                    known.append(oneof)
                one.oneof_index = known.index(oneof)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{root}"))


WriteRequest = _build("tests.v1", V1, "WriteRequest")
Request = _build("tests.v2", V2, "Request")


@dataclass
class Walked:
    """Per series of a request: its label bytes, samples (ms, bits, start ms), and how many other items."""

    labels: list[tuple[tuple[bytes, bytes], ...]] = field(default_factory=list)
    samples: list[list[tuple[int, int, int]]] = field(default_factory=list)
    histograms: list[int] = field(default_factory=list)
    exemplars: list[int] = field(default_factory=list)
    metadata: int = 0


def _bits(value: float) -> int:
    return int.from_bytes(struct.pack("<d", value), "little")


def walk(request: Any, is_v2: bool) -> Walked:
    """What a parsed request says, message by message."""
    walked = Walked(metadata=0 if is_v2 else len(request.metadata))
    for series in request.timeseries:
        if is_v2:
            texts = [request.symbols[reference] for reference in series.labels_refs]
            walked.labels.append(tuple(zip(texts[::2], texts[1::2], strict=True)))
        else:
            walked.labels.append(tuple((label.name, label.value) for label in series.labels))
        created = series.created_timestamp if is_v2 and series.created_timestamp > 0 else 0
        walked.samples.append(
            [
                (
                    one.timestamp,
                    _bits(one.value),
                    (one.start_timestamp or created) if is_v2 else 0,
                )
                for one in series.samples
            ]
        )
        walked.histograms.append(len(series.histograms))
        walked.exemplars.append(len(series.exemplars))
    return walked


def compressed(request: Any) -> bytes:
    """A request as a sender puts it into a body."""
    encoded = request if isinstance(request, bytes) else request.SerializeToString()
    return bytes(cramjam.snappy.compress_raw(encoded))

"""The parts of remote write that are looked at one by one: labels of new series, exemplars, histograms, metadata.

`remote_write_receiver` decodes them with the protobuf library, from messages described here field by field after
prompb/types.proto and prompb/io/prometheus/write/v2/types.proto of Prometheus. Strings are taken as bytes, so
that one label that is no UTF-8 costs its own series and not the request.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from setpoint.errors import InvalidInput
from setpoint.telemetry.model import Metadata
from setpoint.telemetry.native_histogram import NativeHistogram, ResetHint, Span

__all__ = [
    "METRIC_TYPES",
    "Message",
    "histogram",
    "labels_of",
    "message_classes",
    "metadata_of",
    "parse",
    "read_message",
]

METRIC_TYPES = ("unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset")
"""Prometheus's words for the numbers of MetricType, the same in 1.0 and 2.0."""

_HINTS: tuple[ResetHint, ...] = ("unknown", "reset", "not_reset", "gauge")
_HELP_CHARS = 4096
_UNIT_CHARS = 256

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "double": _Field.TYPE_DOUBLE,
    "int64": _Field.TYPE_INT64,
    "uint64": _Field.TYPE_UINT64,
    "uint32": _Field.TYPE_UINT32,
    "sint32": _Field.TYPE_SINT32,
    "sint64": _Field.TYPE_SINT64,
    "bytes": _Field.TYPE_BYTES,
}
_MESSAGES = {
    "Label": "bytes name=1, bytes value=2",
    "Span": "sint32 offset=1, uint32 length=2",
    "Histogram": (
        "?uint64 count_int=1, ?double count_float=2, double sum=3, sint32 schema=4, double zero_threshold=5, "
        "?uint64 zero_count_int=6, ?double zero_count_float=7, *Span negative_spans=8, *sint64 negative_deltas=9, "
        "*double negative_counts=10, *Span positive_spans=11, *sint64 positive_deltas=12, "
        "*double positive_counts=13, int64 reset_hint=14, int64 timestamp=15, *double custom_values=16, "
        "int64 start_timestamp=17"
    ),
    "Series1": "*Label labels=1",
    "Exemplar1": "*Label labels=1, double value=2, int64 timestamp=3",
    "Metadata1": "int64 type=1, bytes metric_family_name=2, bytes help=4, bytes unit=5",
    "Metadata2": "int64 type=1, uint32 help_ref=3, uint32 unit_ref=4",
    "Series2": "*uint32 labels_refs=1, Metadata2 metadata=5, int64 created_timestamp=6",
    "Exemplar2": "*uint32 labels_refs=1, double value=2, int64 timestamp=3",
}
"""Fields by message: `*` repeated, `?` with presence (the oneof members, of which senders set one)."""

Message = Any
"""A parsed message of the protobuf library."""


def message_classes(package: str, messages: Mapping[str, str]) -> dict[str, type[Any]]:
    """Classes of the protobuf library for `messages`: fields by name of the message, as of `_MESSAGES`."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"setpoint/{package}.proto", package=f"setpoint.{package}", syntax="proto3"
    )
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for text in fields.split(", "):
            kind, _, rest = text.partition(" ")
            field_name, _, number = rest.partition("=")
            field = message.field.add(name=field_name, number=int(number), label=_Field.LABEL_OPTIONAL)
            if kind[0] == "*":
                field.label = _Field.LABEL_REPEATED
            elif kind[0] == "?":
                field.proto3_optional, field.oneof_index = True, len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field_name}")
            kind = kind.lstrip("*?")
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type, field.type_name = _Field.TYPE_MESSAGE, f".setpoint.{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"setpoint.{package}.{name}"))
        for name in messages
    }


_CLASSES = message_classes("remote_write", _MESSAGES)


def parse(name: str, encoded: bytes) -> Message:
    """A message of the request, by its name here. Raises InvalidInput when it is malformed."""
    return read_message(_CLASSES[name], name[:-1] if name[-1].isdigit() else name, encoded)


def read_message(kind: type[Any], name: str, encoded: bytes) -> Message:
    """A message of `kind`. Raises InvalidInput, with its `name`, when it is malformed."""
    try:
        return kind.FromString(encoded)
    except DecodeError as error:
        raise InvalidInput(
            f"the body holds a malformed {name} message; check what stands between the sender and here"
        ) from error


def labels_of(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Labels sorted by name, without those of an empty value. Raises ValueError, with what is wrong."""
    labels: dict[str, str] = {}
    for raw_name, raw_value in sorted(pairs):
        try:
            name, value = raw_name.decode(), raw_value.decode()
        except UnicodeDecodeError:
            raise ValueError(f"the label {raw_name!r} is not valid UTF-8") from None
        if not name:
            raise ValueError("a label has no name")
        if name in labels:
            raise ValueError(f"the label {name!r} is there twice")
        labels[name] = value
    return {name: value for name, value in labels.items() if value}


def histogram(message: Message) -> NativeHistogram:
    """What a Histogram message says, counts made absolute; it may be faulty (`NativeHistogram.fault`)."""
    is_float = message.HasField("count_float")
    sides = (
        (message.positive_spans, message.positive_deltas, message.positive_counts),
        (message.negative_spans, message.negative_deltas, message.negative_counts),
    )
    (positive_spans, positive_counts), (negative_spans, negative_counts) = (
        (_spans(spans), _counts(deltas, counts, is_float)) for spans, deltas, counts in sides
    )
    hint = message.reset_hint
    return NativeHistogram(
        message.schema,
        message.count_float if is_float else float(message.count_int),
        message.sum,
        message.zero_threshold,
        message.zero_count_float if is_float else float(message.zero_count_int),
        positive_spans,
        positive_counts,
        negative_spans,
        negative_counts,
        tuple(message.custom_values),
        _HINTS[hint] if 0 <= hint < len(_HINTS) else "unknown",
        is_float,
    )


def metadata_of(metric: bytes, type_number: int, unit: bytes, help_text: bytes) -> Metadata:
    """What is said of a metric family, long texts cut; bytes that are no UTF-8 are replaced."""
    kind = METRIC_TYPES[type_number] if 0 <= type_number < len(METRIC_TYPES) else "unknown"
    return Metadata(
        metric.decode(errors="replace")[:_HELP_CHARS],
        kind,
        unit.decode(errors="replace")[:_UNIT_CHARS],
        help_text.decode(errors="replace")[:_HELP_CHARS],
    )


def _spans(spans: Iterable[Any]) -> tuple[Span, ...]:
    return tuple((span.offset, span.length) for span in spans)


def _counts(deltas: Sequence[int], counts: Sequence[float], is_float: bool) -> tuple[float, ...]:
    if is_float:
        return tuple(counts)
    return tuple(float(total) for total in itertools.accumulate(deltas))

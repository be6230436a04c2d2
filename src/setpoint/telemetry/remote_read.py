"""Prometheus's remote read: which samples are asked for, and the answer in either form of its protocol.

`web.remote_read` is the door. A request names several selections; the answer holds all samples of each, as one
message (`samples_answer`) or as a stream of frames of XOR chunks, a series after another (`chunk_frames`), which needs
no more memory than the samples themselves. Messages after Prometheus's prompb/remote.proto and types.proto.

Native histograms are in the first form only; one that is asked for both forms takes it when there are any.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cramjam
import numpy as np

from setpoint.errors import InvalidInput
from setpoint.telemetry import remote_read_kernels as kernels
from setpoint.telemetry.columns import LabelKey, label_key
from setpoint.telemetry.match import refuse_invalid
from setpoint.telemetry.model import Labels, Matcher, SampleColumns
from setpoint.telemetry.native_histogram import NativeHistogram
from setpoint.telemetry.receive.remote_write_messages import Message, message_classes, read_message
from setpoint.telemetry.side_store import StoredHistograms

__all__ = ["Selection", "chunk_frames", "read_request", "samples_answer"]

Form = Literal["samples", "chunks"]

_FORMS: dict[int, Form] = {0: "samples", 1: "chunks"}
_OPERATORS: tuple[Literal["=", "!=", "=~", "!~"], ...] = ("=", "!=", "=~", "!~")
_HINTS = ("unknown", "reset", "not_reset", "gauge")
_QUERIES_MAX = 100
_FRAME_BYTES = 1 << 20
_CHUNK_ROOM = 64

_CLASSES = message_classes(
    "remote_read",
    {
        "LabelMatcher": "int64 type=1, bytes name=2, bytes value=3",
        "Query": "int64 start=1, int64 end=2, *LabelMatcher matchers=3",
        "ReadRequest": "*Query queries=1, *int64 forms=2",
        "Span": "sint32 offset=1, uint32 length=2",
        "Histogram": (
            "?uint64 count_int=1, ?double count_float=2, double sum=3, sint32 schema=4, double zero_threshold=5, "
            "?uint64 zero_count_int=6, ?double zero_count_float=7, *Span negative_spans=8, "
            "*sint64 negative_deltas=9, *double negative_counts=10, *Span positive_spans=11, "
            "*sint64 positive_deltas=12, *double positive_counts=13, int64 reset_hint=14, int64 timestamp=15, "
            "*double custom_values=16"
        ),
    },
)


@dataclass(frozen=True, slots=True)
class Selection:
    """The samples of the series that satisfy `matchers`, with start_ms <= t <= end_ms."""

    matchers: tuple[Matcher, ...]
    start_ms: int
    end_ms: int


def read_request(body: bytes) -> tuple[list[Selection], list[Form]]:
    """The selections of an inflated request, and the forms that its sender takes, the best first.

    Raises InvalidInput for what is no request, or asks for what is not there.
    """
    request = read_message(_CLASSES["ReadRequest"], "ReadRequest", body)
    if len(request.queries) > _QUERIES_MAX:
        raise InvalidInput(f"the request holds {len(request.queries)} queries; send {_QUERIES_MAX} at most")
    forms = [_FORMS[number] for number in request.forms if number in _FORMS]
    if request.forms and not forms:
        raise InvalidInput("none of the response types is known here; accept SAMPLES or STREAMED_XOR_CHUNKS")
    return [_selection(query) for query in request.queries], forms or ["samples"]


def _selection(query: Message) -> Selection:
    matchers = []
    for one in query.matchers:
        if not 0 <= one.type < len(_OPERATORS):
            raise InvalidInput(f"a matcher has the type {one.type}; 0 to 3 stand for =, !=, =~ and !~")
        try:
            matchers.append(Matcher(one.name.decode(), _OPERATORS[one.type], one.value.decode()))
        except UnicodeDecodeError as error:
            raise InvalidInput("a matcher is not valid UTF-8; send names and values as UTF-8") from error
    refuse_invalid(matchers)
    return Selection(tuple(matchers), query.start, query.end)


def samples_answer(found: Sequence[tuple[SampleColumns, StoredHistograms]]) -> bytes:
    """The `ReadResponse` for the selections, compressed by snappy."""
    results = [_field(1, _query_result(columns, histograms)) for columns, histograms in found]
    return bytes(cramjam.snappy.compress_raw(b"".join(results)))


def chunk_frames(found: Sequence[SampleColumns]) -> Iterator[bytes]:
    """Frames of a `ChunkedReadResponse` each: length, checksum, message; a series fills one or several."""
    for number, columns in enumerate(found):
        index = b"" if number == 0 else b"\x10" + _varint(number)
        for place, labels in enumerate(columns.labels):
            named = _labels(labels)
            for chunks in _framed(_chunks(columns, place)):
                yield _frame(_field(1, named + chunks) + index)


def _framed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size > _FRAME_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def _frame(message: bytes) -> bytes:
    checksum = kernels.castagnoli(np.frombuffer(bytearray(message), np.uint8))
    return b"".join((_varint(len(message)), int(checksum).to_bytes(4, "big"), message))


def _chunks(columns: SampleColumns, place: int) -> Iterator[bytes]:
    """The samples of one series as fields 2 of a `ChunkedSeries`."""
    start, end = int(columns.offsets[place]), int(columns.offsets[place + 1])
    times = np.ascontiguousarray(columns.timestamps_ms[start:end])
    count = -(-len(times) // kernels.CHUNK_SAMPLES)
    out = np.zeros(len(times) * kernels.CHUNK_BYTES_PER_SAMPLE + count * _CHUNK_ROOM, np.uint8)
    ends = np.empty(count, np.int64)
    kernels.put_chunks(times, np.ascontiguousarray(columns.values[start:end]), out, ends)
    data = out[: ends[-1]].tobytes() if count else b""
    begin = 0
    for number, stop in enumerate(ends.tolist()):
        first = times[number * kernels.CHUNK_SAMPLES]
        last = times[min((number + 1) * kernels.CHUNK_SAMPLES, len(times)) - 1]
        head = b"\x08" + _varint(int(first)) + b"\x10" + _varint(int(last)) + b"\x18\x01"
        yield _field(2, head + _field(4, data[begin:stop]))
        begin = stop


def _query_result(columns: SampleColumns, histograms: StoredHistograms) -> bytes:
    sparse: dict[LabelKey, list[bytes]] = {}
    rows = histograms.columns
    for row, at_ms, payload in zip(
        rows.rows.tolist(), rows.timestamps_ms.tolist(), rows.payloads, strict=True
    ):
        sparse.setdefault(label_key(histograms.labels[row]), []).append(_histogram(payload, at_ms))
    pieces = []
    for place, labels in enumerate(columns.labels):
        start, end = columns.offsets[place], columns.offsets[place + 1]
        times = np.ascontiguousarray(columns.timestamps_ms[start:end])
        out = np.empty(len(times) * kernels.SAMPLE_BYTES, np.uint8)
        size = kernels.put_samples(times, np.ascontiguousarray(columns.values[start:end]), out)
        beside = sparse.pop(label_key(labels), ())
        pieces.append(_field(1, b"".join((_labels(labels), out[:size].tobytes(), *beside))))
    pieces += [_field(1, _labels(dict(key)) + b"".join(made)) for key, made in sparse.items()]
    return b"".join(pieces)


def _histogram(payload: bytes, at_ms: int) -> bytes:
    """A stored histogram as field 4 of a `TimeSeries`: whole counts as deltas, others as they are."""
    one = NativeHistogram.decode(payload)
    message = _CLASSES["Histogram"](
        sum=one.sum,
        schema=one.schema,
        zero_threshold=one.zero_threshold,
        reset_hint=_HINTS.index(one.reset_hint),
        timestamp=at_ms,
        custom_values=one.custom_bounds,
    )
    for side in ("positive", "negative"):
        spans, counts = getattr(one, f"{side}_spans"), getattr(one, f"{side}_counts")
        for offset, length in spans:
            getattr(message, f"{side}_spans").add(offset=offset, length=length)
        if one.is_float:
            getattr(message, f"{side}_counts").extend(counts)
        else:
            whole = [int(count) for count in counts]
            deltas = [after - before for before, after in itertools.pairwise([0, *whole])]
            getattr(message, f"{side}_deltas").extend(deltas)
    if one.is_float:
        message.count_float, message.zero_count_float = one.count, one.zero_count
    else:
        message.count_int, message.zero_count_int = int(one.count), int(one.zero_count)
    return _field(4, message.SerializeToString())


def _labels(labels: Labels) -> bytes:
    """Labels as fields 1, in the order of their names."""
    return b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in label_key(labels)
    )


def _field(number: int, content: bytes) -> bytes:
    return b"".join((bytes([number << 3 | 2]), _varint(len(content)), content))


def _varint(number: int) -> bytes:
    number &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])

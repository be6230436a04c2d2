"""OTLP's JSON: the same message as in protobuf, and an error with the place for what does not fit."""

from __future__ import annotations

import base64
import json
from concurrent.futures import Future
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from setpoint.clock import VirtualClock
from setpoint.errors import InvalidInput
from setpoint.telemetry.model import LogBatch, RefBatch, SpanBatch
from setpoint.telemetry.receive.json_encoding import parse
from setpoint.telemetry.receive.receiver import SERVICES, SIGNALS, Receiver, Signal
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.receive.messages import NOW_MS, NOW_NS, full_request

_IDS = {"traceId", "spanId", "parentSpanId"}


def otlp_json(request: Any) -> Any:
    """The OTLP JSON document of a message: protobuf's, with ids in hex and enums as integers."""

    def with_hex_ids(node: Any) -> Any:
        if isinstance(node, list):
            return [with_hex_ids(item) for item in node]
        if isinstance(node, dict):
            return {
                key: base64.b64decode(value).hex() if key in _IDS else with_hex_ids(value)
                for key, value in node.items()
            }
        return node

    return with_hex_ids(json_format.MessageToDict(request, use_integers_for_enums=True))


class _Collected:
    """An ingest that keeps what it is given: the place where batches of both encodings meet."""

    def __init__(self) -> None:
        self.batches: list[Any] = []

    def submit(self, batch: RefBatch | SpanBatch | LogBatch, size_bytes: int) -> Future[None]:
        self.batches.append(batch)
        future: Future[None] = Future()
        future.set_result(None)
        return future


def comparable(batch: Any, table: SeriesTable) -> Any:
    if isinstance(batch, RefBatch):
        arrays = (batch.refs, batch.timestamps_ms, batch.values)
        return table.series_of(batch.refs), [array.tobytes() for array in arrays], list(batch.metadata)
    return batch.columns


@pytest.mark.parametrize("signal", SIGNALS)
def test_json_and_protobuf_of_a_message_give_the_same_batch(signal: Signal) -> None:
    request = full_request(signal, NOW_NS)
    document = otlp_json(request)
    collected = _Collected()
    bodies = [
        (request.SerializeToString(), False),
        (json.dumps(document).encode(), True),
        (json.dumps(document, indent=1, ensure_ascii=False).encode(), True),
    ]
    found = []
    for body, is_json in bodies:
        table = SeriesTable()
        receiver = Receiver(collected, VirtualClock(NOW_MS), table)
        receiver.receive(signal, body, is_json=is_json).stored.result()
        found.append(comparable(collected.batches.pop(), table))
    first, *others = found
    assert all(other == first for other in others)


def span(**fields: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}).encode()


def parsed_span(**fields: Any) -> Any:
    request = parse(span(**fields), SERVICES["traces"].request())
    return request.resource_spans[0].scope_spans[0].spans[0]


@pytest.mark.parametrize(
    ("fields", "field", "value"),
    [
        (
            {"traceId": "0AF7651916CD43DD8448EB211C80319C"},
            "trace_id",
            bytes.fromhex("0af7651916cd43dd8448eb211c80319c"),
        ),
        (
            {"traceId": "0af7651916cd43dd8448eb211c80319c"},
            "trace_id",
            bytes.fromhex("0af7651916cd43dd8448eb211c80319c"),
        ),
        ({"spanId": "beef"}, "span_id", b"\xbe\xef"),
        ({"kind": 2}, "kind", 2),
        ({"kind": "SPAN_KIND_SERVER"}, "kind", 2),
        ({"startTimeUnixNano": "1800000000000000001"}, "start_time_unix_nano", 1800000000000000001),
        ({"startTimeUnixNano": 1800000000000000001}, "start_time_unix_nano", 1800000000000000001),
        ({"start_time_unix_nano": 5}, "start_time_unix_nano", 0),
        ({"name": None}, "name", ""),
        ({"somethingNew": {"deep": [1]}}, "name", ""),
        ({"name": "Größe \U0001f600"}, "name", "Größe \U0001f600"),
    ],
)
def test_fields(fields: dict[str, Any], field: str, value: Any) -> None:
    assert getattr(parsed_span(**fields), field) == value


def value_of(value: dict[str, Any]) -> Any:
    return parsed_span(attributes=[{"key": "k", "value": value}]).attributes[0].value


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ({"intValue": "-9223372036854775808"}, "int_value", -(2**63)),
        ({"intValue": 0}, "int_value", 0),
        ({"intValue": 3.0}, "int_value", 3),
        ({"doubleValue": "NaN"}, "double_value", None),
        ({"doubleValue": "-Infinity"}, "double_value", float("-inf")),
        ({"doubleValue": 3}, "double_value", 3.0),
        ({"boolValue": False}, "bool_value", False),
        ({"stringValue": ""}, "string_value", ""),
        ({"bytesValue": "AP8="}, "bytes_value", b"\x00\xff"),
        ({"bytesValue": "AP8"}, "bytes_value", b"\x00\xff"),
        ({"bytesValue": "-_8="}, "bytes_value", b"\xfb\xff"),
        ({"kvlistValue": {}}, "kvlist_value", None),
        ({"arrayValue": {"values": []}}, "array_value", None),
        ({}, None, None),
    ],
)
def test_values(value: dict[str, Any], kind: str | None, expected: Any) -> None:
    found = value_of(value)
    assert found.WhichOneof("value") == kind
    if expected is not None and kind is not None:
        assert getattr(found, kind) == expected


WRONG: list[tuple[bytes, str]] = [
    (b"", "not valid JSON"),
    (b"{", "not valid JSON"),
    (b"\xff\xfe{}", "not valid JSON"),
    (b'{"resourceSpans": NaN}', "not valid JSON"),
    (b"[]", "the body must be an object, not an array"),
    (b'"x"', "the body must be an object, not a string"),
    (b'{"resourceSpans": {}}', "resourceSpans must be an array, not an object"),
    (b'{"resourceSpans": [1]}', "resourceSpans[0] must be an object, not a number"),
    (b'{"resourceSpans": [null]}', "resourceSpans[0] must be an object, not null"),
    (span(traceId="xyz"), "'xyz' is not an id in hex"),
    (span(traceId="0af"), "not an id in hex"),
    (span(traceId="0a f7"), "not an id in hex"),
    (span(traceId=5), "expected an id in hex"),
    (span(name=5), "expected a string, not a number"),
    (span(name="\ud800"), "name"),
    (span(kind="SERVER"), "'SERVER' is not an integer"),
    (span(kind=True), "expected an integer, not a boolean"),
    (span(kind=2**40), "kind"),
    (span(startTimeUnixNano=-1), "startTimeUnixNano"),
    (span(startTimeUnixNano=2**64), "startTimeUnixNano"),
    (span(startTimeUnixNano=1.5), "1.5 is not an integer"),
    (span(startTimeUnixNano="1e9"), "'1e9' is not an integer"),
    (span(startTimeUnixNano="٣"), "is not an integer"),
    (span(startTimeUnixNano=[]), "expected an integer, not an array"),
    (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":' + b"9" * 5000 + b"}]}]}]}", "JSON"),
    (b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":1e999}]}]}]}', "startTimeUnixNano"),
    (span(attributes=[{"value": {"boolValue": "true"}}]), "expected true or false, not a string"),
    (span(attributes=[{"value": {"doubleValue": "one"}}]), "doubleValue"),
    (span(attributes=[{"value": {"doubleValue": "inf"}}]), "write NaN, Infinity or -Infinity"),
    (span(attributes=[{"value": {"doubleValue": {}}}]), "expected a number, not an object"),
    (span(attributes=[{"value": {"bytesValue": "***"}}]), "bytesValue"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"a":' * 100_000, "nested too deeply"),
]


@pytest.mark.parametrize(("body", "message"), WRONG, ids=range(len(WRONG)))
def test_what_does_not_fit_is_named_with_its_place(body: bytes, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(body, SERVICES["traces"].request())
    assert message in caught.value.message


def test_nesting_beyond_protobufs_limit_is_refused_and_below_it_decoded() -> None:
    def nested(levels: int) -> bytes:
        value = '{"arrayValue":{"values":[' * levels + '{"intValue":1}' + "]}}" * levels
        return (
            '{"resourceSpans":[{"resource":{"attributes":[{"key":"k","value":' + value + "}]}}]}"
        ).encode()

    with pytest.raises(InvalidInput, match="nested deeper"):
        parse(nested(60), SERVICES["traces"].request())
    request = parse(nested(40), SERVICES["traces"].request())
    receipt = Receiver(_Collected(), VirtualClock(NOW_MS), SeriesTable()).receive(
        "traces", request.SerializeToString()
    )
    assert receipt.stored.done()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "resourceSpans",
                    "scopeSpans",
                    "spans",
                    "traceId",
                    "name",
                    "kind",
                    "attributes",
                    "value",
                    "intValue",
                ]
            ),
            children,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@given(_json)
def test_any_json_is_a_message_or_invalid_input(document: Any) -> None:
    try:
        parse(json.dumps(document).encode(), SERVICES["traces"].request())
    except InvalidInput as error:
        assert error.message

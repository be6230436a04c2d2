"""Mutated and hostile bodies: the answer is always one of the protocol's, and what is accepted can be stored.

The ingest behind is the real one, so a 503 here would be a row that the database refused: a sender would
retry it for ever. It must not happen.
"""

from __future__ import annotations

import gzip
import json
import time

import httpx
import pytest
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setpoint.telemetry.receive.receiver import SERVICES, SIGNALS, Signal
from tests.telemetry.receive.loopback import Doors
from tests.telemetry.receive.messages import full_request
from tests.telemetry.receive.test_json_encoding import otlp_json

PROTOBUF, JSON = "application/x-protobuf", "application/json"
BODIES = {
    (signal, media): full_request(signal).SerializeToString()
    if media == PROTOBUF
    else json.dumps(otlp_json(full_request(signal))).encode()
    for signal in SIGNALS
    for media in (PROTOBUF, JSON)
}


@st.composite
def mutations(draw: st.DrawFn, body: bytes) -> bytes:
    """`body` with up to four bytes changed, inserted or removed, and perhaps its end cut off."""
    mutated = bytearray(body)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(mutated) - 1))
        match draw(st.sampled_from(["flip", "set", "insert", "remove"])):
            case "flip":
                mutated[place] ^= 1 << draw(st.integers(0, 7))
            case "set":
                mutated[place] = draw(st.integers(0, 255))
            case "insert":
                mutated[place:place] = draw(st.binary(min_size=1, max_size=4))
            case "remove":
                del mutated[place]
    return bytes(mutated[: draw(st.integers(0, len(mutated)))] if draw(st.booleans()) else mutated)


@pytest.mark.parametrize(("signal", "media"), list(BODIES))
def test_mutated_bodies(doors: Doors, signal: Signal, media: str) -> None:
    seen: set[int] = set()
    with httpx.Client() as client:

        @settings(
            max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
        )
        @given(mutations(BODIES[signal, media]), st.booleans())
        def check(body: bytes, compressed: bool) -> None:
            headers = {"content-type": media} | ({"content-encoding": "gzip"} if compressed else {})
            content = gzip.compress(body, 1) if compressed else body
            answer = client.post(f"{doors.url}/v1/{signal}", content=content, headers=headers)
            assert answer.status_code in (200, 400), (answer.status_code, answer.content)
            seen.add(answer.status_code)

        check()
    assert seen == {200, 400}


@pytest.mark.parametrize("signal", SIGNALS)
def test_mutated_gzip(doors: Doors, signal: Signal) -> None:
    with httpx.Client() as client:

        @settings(max_examples=50, deadline=None, database=None)
        @given(mutations(gzip.compress(BODIES[signal, PROTOBUF], mtime=0)))
        def check(body: bytes) -> None:
            headers = {"content-type": PROTOBUF, "content-encoding": "gzip"}
            answer = client.post(f"{doors.url}/v1/{signal}", content=body, headers=headers)
            assert answer.status_code in (200, 400), (answer.status_code, answer.content)

        check()


def nested_any_value(levels: int) -> bytes:
    """A log record's request whose body is an array in an array …, as wire bytes (too deep to build as
    messages).
    """

    def field(number: int, payload: bytes) -> bytes:
        size, length = len(payload), bytearray()
        while size > 127:
            length.append(size & 127 | 128)
            size >>= 7
        return bytes([number << 3 | 2, *length, size]) + payload

    value = b""
    for _ in range(levels):
        value = field(5, field(1, value))  # AnyValue.array_value { values }
    stamp = bytes([1 << 3 | 1]) + time.time_ns().to_bytes(8, "little")
    return field(1, field(2, field(2, stamp + field(5, value))))


def test_nesting_is_bounded(doors: Doors) -> None:
    def answer(body: bytes, media: str) -> int:
        return httpx.post(f"{doors.url}/v1/logs", content=body, headers={"content-type": media}).status_code

    assert answer(nested_any_value(30), PROTOBUF) == 200
    assert doors.database.query("SELECT body FROM logs")["body"].tolist() == ["[" * 30 + "null" + "]" * 30]
    assert answer(nested_any_value(200), PROTOBUF) == 400
    assert answer(nested_any_value(20_000), PROTOBUF) == 400
    deep = '{"arrayValue":{"values":[' * 5000 + "]}}" * 5000
    document = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":' + deep + "}]}]}]}"
    assert answer(document.encode(), JSON) == 400


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_body_of_empty_messages_is_refused_before_it_is_walked(doors: Doors, signal: Signal) -> None:
    """Two bytes on the wire are one message, so a megabyte is half a million of them."""
    answer = httpx.post(
        f"{doors.url}/v1/{signal}",
        content=gzip.compress(b"\x0a\x00" * 500_000),
        headers={"content-type": PROTOBUF, "content-encoding": "gzip"},
    )
    assert answer.status_code == 413
    assert b"smaller batches" in answer.content


@pytest.mark.parametrize("signal", SIGNALS)
def test_resource_attributes_beyond_a_thousand_are_left_out(doors: Doors, signal: Signal) -> None:
    request = full_request(signal)
    resource = request.ListFields()[0][1][0].resource
    for number in range(3000):
        resource.attributes.add(key=f"k{number}").value.int_value = number
    answer = httpx.post(
        f"{doors.url}/v1/{signal}", content=request.SerializeToString(), headers={"content-type": PROTOBUF}
    )
    assert answer.status_code == 200
    doors.store.series.settle()
    table = {"traces": "spans", "metrics": "series", "logs": "logs"}[signal]
    found = doors.database.query(f"SELECT DISTINCT length(mapKeys(resource)) AS n FROM {table}")
    assert found["n"].tolist() == [1000]


@pytest.mark.parametrize("signal", SIGNALS)
def test_extreme_numbers_can_be_stored_or_are_rejected(doors: Doors, signal: Signal) -> None:
    """Every 64-bit field at its limits, one at a time."""
    with httpx.Client() as client:
        for value in (0, 1, 2**63 - 1, 2**63, 2**64 - 1):
            request = full_request(signal)
            extreme(request, value)
            answer = client.post(
                f"{doors.url}/v1/{signal}",
                content=request.SerializeToString(),
                headers={"content-type": PROTOBUF},
            )
            assert answer.status_code == 200, answer.content
            SERVICES[signal].response.FromString(answer.content)


def extreme(request: Message, value: int) -> None:
    """Set every unsigned 64-bit field of the first item, except the time that it is accepted by."""

    def walk(message: Message) -> None:
        for descriptor, found in message.ListFields():
            if descriptor.message_type is not None:
                for child in found if descriptor.is_repeated else [found]:
                    walk(child)
            elif descriptor.cpp_type == descriptor.CPPTYPE_UINT64 and not (
                descriptor.is_repeated or descriptor.name in ("time_unix_nano", "start_time_unix_nano")
            ):
                setattr(message, descriptor.name, value)

    walk(request)

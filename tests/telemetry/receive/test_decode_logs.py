"""The logs decoder: every column, times, ids that make a retry replace itself."""

from __future__ import annotations

from typing import Any

import pytest

from setpoint.telemetry.model import LogBatch
from setpoint.telemetry.receive.decode_logs import decode_logs
from tests.telemetry.receive.messages import NOW_MS, NOW_NS, SPAN_ID, TRACE_ID, add_attributes, log_request

DAY_NS = 86_400 * 10**9


def columns(request: Any, now_ms: int = NOW_MS) -> dict[str, list[Any]]:
    decoded = decode_logs(request, now_ms)
    assert isinstance(decoded.batch, LogBatch)
    return {name: list(values) for name, values in decoded.batch.columns.items()}


def row(request: Any, now_ms: int = NOW_MS) -> dict[str, Any]:
    return {name: values[0] for name, values in columns(request, now_ms).items()}


def test_every_column_of_a_record() -> None:
    request, _ = log_request()
    found = row(request)
    assert found.pop("resource")["service.version"] == "1.4.2"
    assert 0 <= found.pop("id") < 2**64
    assert found == {
        "service": "checkout",
        "ts_ns": NOW_NS - 2_000_000,
        "observed_ns": NOW_NS - 1_000_000,
        "severity_number": 17,
        "severity": "ERROR",
        "body": "card refused: no funds",
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "attributes": {"order.id": "17", "items": '["a",1,{"b":2.5}]'},
        "scope": "tests",
    }


def test_a_missing_time_is_the_observed_one_or_else_now() -> None:
    request, record = log_request(time_unix_nano=0)
    assert row(request)["ts_ns"] == NOW_NS - 1_000_000
    record.observed_time_unix_nano = 0
    assert row(request)["ts_ns"] == row(request)["observed_ns"] == NOW_NS


def test_ids_are_those_of_the_record_and_its_place() -> None:
    request, record = log_request()
    request.resource_logs[0].scope_logs[0].log_records.add().CopyFrom(record)
    first, second = columns(request)["id"]
    assert first != second
    assert columns(request, NOW_MS + 5000)["id"] == [first, second]
    request.resource_logs[0].resource.attributes[0].value.string_value = "other"
    assert columns(request)["id"][0] != first


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"a": [1, True, None], "b": "ü"}, '{"a":[1,true,null],"b":"ü"}'),
        (12, "12"),
        (1e-7, "1e-7"),
        (b"hi", "aGk="),
        (None, ""),
    ],
)
def test_bodies_become_text(body: Any, text: str) -> None:
    request, record = log_request()
    record.ClearField("body")
    if body is not None:
        holder = type(request)().resource_logs.add().resource.attributes
        add_attributes(holder, {"body": body})
        record.body.CopyFrom(holder[0].value)
    assert row(request)["body"] == text


@pytest.mark.parametrize(
    ("number", "text", "severity"),
    [
        (9, "", (9, "INFO")),
        (24, "", (24, "FATAL")),
        (0, "", (0, "")),
        (300, "", (0, "")),
        (-4, "", (0, "")),
        (9, "notice", (9, "notice")),
    ],
)
def test_severities(number: int, text: str, severity: tuple[int, str]) -> None:
    request, _ = log_request(severity_number=number, severity_text=text)
    found = row(request)
    assert (found["severity_number"], found["severity"]) == severity


def test_a_record_with_invalid_ids_belongs_to_no_trace() -> None:
    request, _ = log_request(trace_id=b"abc", span_id=b"")
    found = row(request)
    assert (found["trace_id"], found["span_id"]) == (bytes(16), bytes(8))


@pytest.mark.parametrize(
    ("at_ns", "reason"), [(NOW_NS + DAY_NS, "ahead"), (NOW_NS - 16 * DAY_NS, "older"), (2**64 - 1, "ahead")]
)
def test_records_out_of_time_are_rejected(at_ns: int, reason: str) -> None:
    request, _ = log_request(time_unix_nano=at_ns)
    decoded = decode_logs(request, NOW_MS)
    assert (decoded.items, decoded.rejections.count) == (0, 1)
    assert reason in decoded.rejections.message


def test_an_impossible_observed_time_does_not_cost_the_record() -> None:
    request, _ = log_request(observed_time_unix_nano=2**64 - 1)
    assert row(request)["observed_ns"] == NOW_NS


def test_an_event_keeps_its_name() -> None:
    request, _ = log_request(event_name="checkout.failed")
    assert row(request)["attributes"]["event.name"] == "checkout.failed"

"""The traces decoder: every column, and what it rejects."""

from __future__ import annotations

from typing import Any

import pytest

from setpoint.telemetry.model import SpanBatch
from setpoint.telemetry.receive.decode_traces import decode_traces
from setpoint.telemetry.receive.outcome import Decoded
from tests.telemetry.receive.messages import NOW_MS, NOW_NS, SPAN_ID, TRACE_ID, span_request

DAY_NS = 86_400 * 10**9


def row(decoded: Decoded) -> dict[str, Any]:
    assert isinstance(decoded.batch, SpanBatch)
    assert decoded.items == 1
    return {name: values[0] for name, values in decoded.batch.columns.items()}


def test_every_column_of_a_span() -> None:
    request, _ = span_request()
    found = row(decode_traces(request, NOW_MS))
    assert found.pop("resource")["host.name"] == "node-a"
    assert found == {
        "service": "checkout",
        "name": "POST /orders",
        "kind": "server",
        "start_ns": NOW_NS - 5_000_000,
        "duration_ns": 5_000_000,
        "trace_id": TRACE_ID,
        "span_id": SPAN_ID,
        "parent_span_id": bytes(7) + b"\1",
        "trace_state": "a=b",
        "status": "ERROR",
        "status_message": "card refused",
        "scope": "tests",
        "attributes": {"http.route": "/orders", "http.response.status_code": "500", "cached": "false"},
        "events": [(NOW_NS - 1_000_000, "exception", {"exception.type": "ValueError"})],
        "links": [(TRACE_ID, SPAN_ID, {"why": "retry"})],
    }


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (0, "unspecified"),
        (1, "internal"),
        (2, "server"),
        (3, "client"),
        (4, "producer"),
        (5, "consumer"),
        (99, "unspecified"),
        (-1, "unspecified"),
    ],
)
def test_kinds(number: int, name: str) -> None:
    request, _ = span_request(kind=number)
    assert row(decode_traces(request, NOW_MS))["kind"] == name


@pytest.mark.parametrize(("number", "name"), [(0, "UNSET"), (1, "OK"), (2, "ERROR"), (7, "UNSET")])
def test_statuses(number: int, name: str) -> None:
    request, span = span_request()
    span.status.code = number
    assert row(decode_traces(request, NOW_MS))["status"] == name


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trace_id": b""}, "trace id"),
        ({"trace_id": bytes(16)}, "trace id"),
        ({"trace_id": b"1" * 15}, "trace id"),
        ({"span_id": bytes(8)}, "span id"),
        ({"span_id": b"1" * 16}, "span id"),
        ({"parent_span_id": b"123"}, "parent span id"),
        ({"start_time_unix_nano": 0}, "missing"),
        ({"start_time_unix_nano": NOW_NS - 16 * DAY_NS}, "older than the 15 days"),
        ({"start_time_unix_nano": NOW_NS + DAY_NS}, "ahead"),
        ({"end_time_unix_nano": 2**64 - 1}, "ahead"),
    ],
)
def test_spans_that_cannot_be_kept_are_rejected(changes: dict[str, Any], reason: str) -> None:
    request, _ = span_request(**changes)
    good = request.resource_spans[0].scope_spans[0].spans.add()
    good.CopyFrom(span_request()[1])
    decoded = decode_traces(request, NOW_MS)
    assert (decoded.items, decoded.rejections.count) == (1, 1)
    assert reason in decoded.rejections.message


def test_a_span_that_ends_before_it_starts_lasts_nothing() -> None:
    request, _ = span_request(end_time_unix_nano=NOW_NS - 6_000_000)
    assert row(decode_traces(request, NOW_MS))["duration_ns"] == 0


def test_a_root_span_has_a_parent_of_zeros() -> None:
    request, _ = span_request(parent_span_id=b"")
    assert row(decode_traces(request, NOW_MS))["parent_span_id"] == bytes(8)


def test_a_broken_link_is_left_out_and_said_but_the_span_is_kept() -> None:
    request, span = span_request()
    span.links.add(trace_id=b"short", span_id=SPAN_ID)
    span.events[0].time_unix_nano = 2**64 - 1
    decoded = decode_traces(request, NOW_MS)
    assert len(row(decoded)["links"]) == 1
    assert decoded.rejections.count == 0
    assert "links" in decoded.rejections.message


def test_no_service_name_is_the_unknown_service() -> None:
    request, _ = span_request()
    del request.resource_spans[0].resource.attributes[:]
    assert row(decode_traces(request, NOW_MS))["service"] == "unknown_service"

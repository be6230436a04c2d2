"""Exemplars: which series they belong to, their labels, and which are left out."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from setpoint.errors import InvalidInput
from setpoint.telemetry.model import RefBatch
from tests.telemetry.receive.decoding import TARGET, Subject
from tests.telemetry.receive.loopback import Doors
from tests.telemetry.receive.messages import (
    NOW_MS,
    NOW_NS,
    SPAN_ID,
    TRACE_ID,
    add_attributes,
    add_metric,
    metrics_request,
)

SECOND_NS = 1_000_000_000
TRACE = {"trace_id": TRACE_ID.hex(), "span_id": SPAN_ID.hex()}
Found = list[tuple[dict[str, str], int, float, dict[str, str]]]


def exemplars(request: Any) -> Found:
    """(labels of the series beyond the target's, time, value, labels) of each."""
    subject = Subject()
    decoded = subject.decode(request)
    assert isinstance(decoded.batch, RefBatch)
    columns = decoded.batch.exemplars
    if columns is None:
        return []
    found = []
    for ref, at_ms, value, labels in zip(
        columns.rows.tolist(),
        columns.timestamps_ms.tolist(),
        columns.values.tolist(),
        columns.labels,
        strict=True,
    ):
        series = {name: text for name, text in subject.table.labels(ref).items() if TARGET.get(name) != text}
        found.append((series, at_ms, value, dict(labels)))
    return found


def counter(**fields: Any) -> tuple[Any, Any]:
    """A request with one counter, and an exemplar in it."""
    request, scope = metrics_request()
    point = add_metric(scope, "orders", "sum", is_monotonic=True).data_points.add(
        as_int=1, time_unix_nano=NOW_NS
    )
    return request, point.exemplars.add(**{"as_int": 3, "time_unix_nano": NOW_NS - SECOND_NS, **fields})


def test_an_exemplar_of_a_counter_has_its_trace_and_the_attributes_that_the_series_has_not() -> None:
    request, exemplar = counter(trace_id=TRACE_ID, span_id=SPAN_ID)
    add_attributes(exemplar.filtered_attributes, {"user.id": 7})
    assert exemplars(request) == [
        ({"__name__": "orders_total"}, NOW_MS - 1000, 3.0, {**TRACE, "user.id": "7"})
    ]


@pytest.mark.parametrize("shape", ["gauge", "sum"])
def test_any_number_may_have_exemplars(shape: str) -> None:
    request, scope = metrics_request()
    point = add_metric(scope, "x", shape).data_points.add(as_int=1, time_unix_nano=NOW_NS)
    point.exemplars.add(as_double=1.5)
    assert exemplars(request) == [({"__name__": "x"}, NOW_MS, 1.5, {})]


@pytest.mark.parametrize(
    ("value", "le"),
    [(0.5, "1"), (1.0, "1"), (1.1, "2"), (2.0, "2"), (2.1, "+Inf"), (float("inf"), "+Inf"), (-1.0, "1")],
)
@pytest.mark.parametrize("bounds", [[1.0, 2.0], [1.0, 2.0, float("inf")]])
def test_an_exemplar_of_a_histogram_belongs_to_its_bucket(value: float, le: str, bounds: list[float]) -> None:
    request, scope = metrics_request()
    point = add_metric(scope, "h", "histogram").data_points.add(
        count=1, explicit_bounds=bounds, bucket_counts=[0] * (len(bounds) + 1), time_unix_nano=NOW_NS
    )
    point.exemplars.add(as_double=value, trace_id=TRACE_ID)
    ((series, _, found, _),) = exemplars(request)
    assert (series, found) == ({"__name__": "h_bucket", "le": le}, value)


def test_a_histogram_without_buckets_has_them_at_infinity() -> None:
    request, scope = metrics_request()
    point = add_metric(scope, "h", "histogram").data_points.add(count=1, time_unix_nano=NOW_NS)
    point.exemplars.add(as_double=1)
    assert exemplars(request)[0][0] == {"__name__": "h_bucket", "le": "+Inf"}


def test_an_exponential_histogram_has_them_at_the_native_histogram() -> None:
    request, scope = metrics_request()
    data = add_metric(scope, "h", "exponential_histogram")
    point = data.data_points.add(count=1, zero_count=1, time_unix_nano=NOW_NS)
    point.exemplars.add(as_double=0)
    assert exemplars(request)[0][0] == {"__name__": "h"}


def test_attributes_that_make_it_longer_than_128_characters_are_left_out() -> None:
    request, exemplar = counter(trace_id=TRACE_ID, span_id=SPAN_ID)
    used = sum(len(name) + len(text) for name, text in TRACE.items())
    add_attributes(exemplar.filtered_attributes, {"k": "ü" * (127 - used)})
    assert "k" in exemplars(request)[0][3]
    add_attributes(exemplar.filtered_attributes, {"l": ""})
    assert exemplars(request)[0][3] == TRACE


@pytest.mark.parametrize(
    "fields",
    [
        {"trace_id": bytes(16), "span_id": bytes(8)},
        {"trace_id": b"", "span_id": b""},
    ],
    ids=["zeros", "none"],
)
def test_an_invalid_id_is_no_label(fields: dict[str, bytes]) -> None:
    assert exemplars(counter(**fields)[0])[0][3] == {}


def test_an_exemplar_without_value_or_out_of_time_is_left_out_and_the_point_is_taken() -> None:
    ahead, _ = counter(time_unix_nano=NOW_NS + 700 * SECOND_NS)
    empty, exemplar = counter()
    exemplar.ClearField("as_int")
    for message in (ahead, empty):
        assert exemplars(message) == []
        assert Subject().decode(message).items == 1


def test_those_of_a_rejected_point_are_left_out() -> None:
    request, _ = counter()
    request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].time_unix_nano = 1
    assert exemplars(request) == []


def test_an_exemplar_that_is_none_refuses_the_request() -> None:
    request, exemplar = counter()
    add_attributes(exemplar.filtered_attributes, {"key": "value"})
    body = request.SerializeToString()
    assert body.count(b"value") == 1
    with pytest.raises(InvalidInput):
        Subject().decode(body.replace(b"value", b"\xff\xff\xff\xff\xff"))


def test_exemplars_are_stored(doors: Doors) -> None:
    request, exemplar = counter(trace_id=TRACE_ID)
    now_ns = time.time_ns()
    exemplar.time_unix_nano = now_ns
    request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].time_unix_nano = now_ns
    answer = httpx.post(
        f"{doors.url}/v1/metrics",
        content=request.SerializeToString(),
        headers={"content-type": "application/x-protobuf"},
    )
    assert answer.status_code == 200
    found = doors.database.query("SELECT value, labels FROM exemplars")
    assert found["value"].tolist() == [3.0]
    assert found["labels"].tolist() == [{"trace_id": TRACE_ID.hex()}]

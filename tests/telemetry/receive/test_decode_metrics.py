"""The metrics decoder: identity, shapes, special values, zero samples, and what it rejects."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest

from setpoint.telemetry.model import Metadata, RefBatch, Series, fingerprint
from setpoint.telemetry.receive.outcome import Decoded
from tests.telemetry.receive.decoding import TARGET, Samples, Subject, series_of
from tests.telemetry.receive.messages import (
    NOW_MS,
    NOW_NS,
    add_attributes,
    add_metric,
    full_metrics_request,
    metrics_request,
)

SECOND_NS = 1_000_000_000


def samples(request: Any, name: str) -> Samples:
    """What a decoder that has seen nothing makes of `request`, of the series called `name`."""
    subject = Subject()
    return subject.samples(subject.decode(request), name)


def made(request: Any) -> list[Series]:
    """The series that a request makes."""
    subject = Subject()
    return series_of(subject, subject.decode(request))


def batch_of(decoded: Decoded) -> RefBatch:
    assert isinstance(decoded.batch, RefBatch)
    return decoded.batch


def counter_request(value: int, at_ns: int = NOW_NS, start_ns: int = 0, **changes: Any) -> Any:
    request, scope = metrics_request()
    data = add_metric(scope, "orders", "sum", **{"is_monotonic": True, **changes})
    data.data_points.add(as_int=value, time_unix_nano=at_ns, start_time_unix_nano=start_ns)
    return request


def test_a_series_carries_its_identity_and_its_origin() -> None:
    request, scope = metrics_request()
    data = add_metric(scope, "order.value", "sum", "By", is_monotonic=True)
    add_attributes(
        data.data_points.add(as_double=2.5, time_unix_nano=NOW_NS).attributes,
        {
            "payment.method": "card",
            "retry": True,
            "attempt": 2,
            "share": 0.5,
            "tags": ["a", 1],
            "map": {"b": 1.0, "a": None},
            "raw": b"\x00\xff",
            "empty": "",
        },
    )
    series = made(request)[0]
    assert series.labels == {
        **TARGET,
        "__name__": "order_value_bytes_total",
        "payment_method": "card",
        "retry": "true",
        "attempt": "2",
        "share": "0.5",
        "tags": '["a",1]',
        "map": '{"a":null,"b":1}',
        "raw": "AP8=",
    }
    assert series.fingerprint == fingerprint(series.labels)
    assert (series.service, series.scope, series.type, series.unit) == (
        "checkout",
        "tests",
        "counter",
        "bytes",
    )
    assert series.help == "about order.value"
    assert series.resource["host.name"] == "node-a"


def test_target_info_has_the_other_resource_attributes_at_the_newest_sample() -> None:
    request = full_metrics_request()
    assert samples(request, "target_info") == {(("host_name", "node-a"),): [(NOW_MS, 1.0)]}


@pytest.mark.parametrize(
    "resource",
    [{"service.name": "a", "service.instance.id": "1"}, {"host.name": "a"}, {}],
    ids=["only identity", "no identity", "nothing"],
)
def test_target_info_is_left_out_where_it_says_nothing(resource: dict[str, str]) -> None:
    request, scope = metrics_request(resource)
    add_metric(scope, "x", "gauge").data_points.add(as_int=1, time_unix_nano=NOW_NS)
    found = made(request)
    assert [series.labels["__name__"] for series in found] == ["x"]
    assert found[0].service == resource.get("service.name", "unknown_service")


def test_a_point_keeps_its_own_label_where_a_resource_attribute_would_be_promoted_over_it() -> None:
    request, scope = metrics_request()
    point = add_metric(scope, "x", "gauge").data_points.add(as_int=1, time_unix_nano=NOW_NS)
    add_attributes(point.attributes, {"service.version": "canary", "job": "mine"})
    labels = made(request)[0].labels
    assert (labels["service_version"], labels["job"]) == ("canary", "shop/checkout")


def test_a_histogram_becomes_cumulative_buckets_count_and_sum() -> None:
    request = full_metrics_request()
    name, route = "http_server_request_duration_seconds", ("http_route", "/orders")
    start_ms = NOW_MS - 60_000
    assert samples(request, f"{name}_bucket") == {
        (route, ("le", "0.005")): [(start_ms, 0.0), (NOW_MS, 1.0)],
        (route, ("le", "1")): [(start_ms, 0.0), (NOW_MS, 3.0)],
        (route, ("le", "+Inf")): [(start_ms, 0.0), (NOW_MS, 6.0)],
    }
    assert samples(request, f"{name}_count") == {(route,): [(start_ms, 0.0), (NOW_MS, 6.0)]}
    assert samples(request, f"{name}_sum") == {(route,): [(start_ms, 0.0), (NOW_MS, 1.5)]}


def test_a_histogram_without_sum_or_buckets_has_only_its_count() -> None:
    request, scope = metrics_request()
    add_metric(scope, "h", "histogram").data_points.add(count=4, time_unix_nano=NOW_NS)
    assert samples(request, "h_count") == {(): [(NOW_MS, 4.0)]}
    assert samples(request, "h_bucket") == {(("le", "+Inf"),): [(NOW_MS, 4.0)]}
    assert samples(request, "h_sum") == {}


def test_a_last_bound_of_infinity_makes_no_second_bucket() -> None:
    request, scope = metrics_request()
    data = add_metric(scope, "h", "histogram")
    data.data_points.add(
        count=3, sum=1.0, explicit_bounds=[1, math.inf], bucket_counts=[1, 2, 0], time_unix_nano=NOW_NS
    )
    assert samples(request, "h_bucket") == {
        (("le", "1"),): [(NOW_MS, 1.0)],
        (("le", "+Inf"),): [(NOW_MS, 3.0)],
    }


def test_a_summary_becomes_quantiles_count_and_sum() -> None:
    request = full_metrics_request()
    assert samples(request, "gc_pause_milliseconds") == {(("quantile", "0.5"),): [(NOW_MS, 3.0)]}
    assert samples(request, "gc_pause_milliseconds_count")[()][-1] == (NOW_MS, 2.0)
    assert samples(request, "gc_pause_milliseconds_sum")[()][-1] == (NOW_MS, 7.0)


def test_no_recorded_value_becomes_the_stale_marker_bit_for_bit() -> None:
    request, scope = metrics_request()
    add_metric(scope, "g", "gauge").data_points.add(flags=1, time_unix_nano=NOW_NS)
    add_metric(scope, "h", "histogram").data_points.add(flags=1, time_unix_nano=NOW_NS)
    subject = Subject()
    batch = batch_of(subject.decode(request))
    stale = [
        subject.table.labels(ref)["__name__"]
        for ref, value in zip(batch.refs.tolist(), batch.values.view("uint64"), strict=True)
        if value == 0x7FF0000000000002
    ]
    assert stale == ["g", "h_bucket", "h_count"]


def test_nan_and_infinity_are_values() -> None:
    request, scope = metrics_request()
    for number in (math.nan, math.inf, -math.inf):
        add_metric(scope, "g", "gauge").data_points.add(as_double=number, time_unix_nano=NOW_NS)
    values = batch_of(Subject().decode(request)).values[:3]
    assert struct.pack("<3d", *values) == struct.pack("<3d", math.nan, math.inf, -math.inf)


def test_a_sum_that_can_fall_is_a_gauge_without_zero_or_total() -> None:
    request = counter_request(5, start_ns=NOW_NS - SECOND_NS, is_monotonic=False)
    assert samples(request, "orders") == {(): [(NOW_MS, 5.0)]}
    assert made(request)[0].type == "gauge"


# --- zero samples at start times


def test_a_new_counter_gets_one_zero_at_its_start() -> None:
    subject = Subject()
    start_ns = NOW_NS - 30 * SECOND_NS
    first = subject.take(counter_request(5, NOW_NS, start_ns), "orders_total")
    assert first == {(): [(NOW_MS - 30_000, 0.0), (NOW_MS, 5.0)]}
    second = subject.take(counter_request(6, NOW_NS + SECOND_NS, start_ns), "orders_total")
    assert second == {(): [(NOW_MS + 1000, 6.0)]}


def test_a_retry_of_what_was_not_stored_has_its_zero_again() -> None:
    subject = Subject()
    request = counter_request(5, NOW_NS, NOW_NS - SECOND_NS)
    refused, retried = subject.decode(request), subject.decode(request)
    assert subject.samples(refused, "orders_total") == subject.samples(retried, "orders_total")
    assert len(subject.samples(retried, "orders_total")[()]) == 2


def test_a_counter_that_started_again_gets_another_zero() -> None:
    subject = Subject()
    subject.take(counter_request(5, NOW_NS - 20 * SECOND_NS, NOW_NS - 30 * SECOND_NS))
    again = subject.take(counter_request(1, NOW_NS, NOW_NS - 10 * SECOND_NS), "orders_total")
    assert again == {(): [(NOW_MS - 10_000, 0.0), (NOW_MS, 1.0)]}


def test_a_zero_never_stands_before_a_sample_that_is_stored() -> None:
    subject = Subject()
    subject.take(counter_request(5, NOW_NS - 5 * SECOND_NS, NOW_NS - 30 * SECOND_NS))
    overlapping = subject.take(counter_request(1, NOW_NS, NOW_NS - 10 * SECOND_NS), "orders_total")
    assert overlapping == {(): [(NOW_MS, 1.0)]}


def test_a_start_that_cannot_be_is_not_remembered() -> None:
    subject = Subject()
    subject.take(counter_request(5, NOW_NS - 20 * SECOND_NS, 2**64 - 1))
    again = subject.take(counter_request(1, NOW_NS, NOW_NS - 10 * SECOND_NS), "orders_total")
    assert again == {(): [(NOW_MS - 10_000, 0.0), (NOW_MS, 1.0)]}


@pytest.mark.parametrize(
    ("start_ns", "zeros"),
    [
        (0, []),
        (NOW_NS, []),
        (NOW_NS + SECOND_NS, []),
        (NOW_NS - 3601 * SECOND_NS, []),
        (NOW_NS - 3600 * SECOND_NS, [NOW_MS - 3_600_000]),
        (NOW_NS - 1000, [NOW_MS - 1]),
    ],
    ids=["unset", "same instant", "after the sample", "too long ago", "an hour ago", "same millisecond"],
)
def test_when_a_zero_is_written(start_ns: int, zeros: list[int]) -> None:
    found = samples(counter_request(5, NOW_NS, start_ns), "orders_total")[()]
    assert [at_ms for at_ms, value in found if value == 0.0] == zeros


# --- what is rejected


def reject(request: Any) -> tuple[int, str]:
    decoded = Subject().decode(request)
    return decoded.rejections.count, decoded.rejections.message


def test_unset_temporality_is_rejected() -> None:
    assert reject(counter_request(1, aggregation_temporality=0))[0] == 1


@pytest.mark.parametrize(
    ("at_ns", "reason"),
    [
        (0, "missing"),
        (NOW_NS + 601 * SECOND_NS, "ahead of the server's clock"),
        (2**64 - 1, "ahead of the server's clock"),
        (NOW_NS - 36 * 86_400 * SECOND_NS, "older than the 35 days"),
    ],
)
def test_points_out_of_time_are_rejected_and_the_others_kept(at_ns: int, reason: str) -> None:
    request, scope = metrics_request()
    data = add_metric(scope, "g", "gauge")
    data.data_points.add(as_int=1, time_unix_nano=at_ns)
    data.data_points.add(as_int=2, time_unix_nano=NOW_NS)
    decoded = Subject().decode(request)
    assert (decoded.items, decoded.rejections.count) == (1, 1)
    assert reason in decoded.rejections.message
    assert samples(request, "g") == {(): [(NOW_MS, 2.0)]}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"bucket_counts": [1, 2], "explicit_bounds": [1, 2]}, "one bucket more than bounds"),
        ({"bucket_counts": [1, 2, 3], "explicit_bounds": [2, 1]}, "must ascend"),
        ({"bucket_counts": [1, 2, 3], "explicit_bounds": [1, 1]}, "must ascend"),
        ({"bucket_counts": [1, 2], "explicit_bounds": [math.nan]}, "must ascend"),
    ],
)
def test_a_histogram_whose_buckets_make_no_sense_is_rejected(fields: dict[str, Any], reason: str) -> None:
    request, scope = metrics_request()
    add_metric(scope, "h", "histogram").data_points.add(count=3, time_unix_nano=NOW_NS, **fields)
    count, message = reject(request)
    assert count == 1
    assert reason in message


def test_a_point_without_value_or_with_a_nameless_attribute_is_rejected() -> None:
    request, scope = metrics_request()
    data = add_metric(scope, "g", "gauge")
    data.data_points.add(time_unix_nano=NOW_NS)
    add_attributes(data.data_points.add(time_unix_nano=NOW_NS, as_int=1).attributes, {"ようこそ": "x"})
    count, message = reject(request)
    assert count == 2
    assert "no value" in message
    assert "rename it" in message


def test_a_metric_without_a_name_is_rejected() -> None:
    request, scope = metrics_request()
    add_metric(scope, "???", "gauge").data_points.add(time_unix_nano=NOW_NS, as_int=1)
    assert reject(request) == (
        1,
        "1 rejected: the metric name '???' has no letter or digit that Prometheus allows; rename the metric",
    )


def test_what_is_known_of_series_changes_nothing() -> None:
    request = full_metrics_request()
    subject = Subject()
    anew, again = subject.decode(request), subject.decode(request)
    assert subject.seen(anew) == subject.seen(again)
    assert batch_of(anew).refs.tolist() == batch_of(again).refs.tolist()


def test_the_same_attributes_on_different_resources_are_different_series() -> None:
    subject = Subject()
    found = set()
    for instance in ("1", "2"):
        request, scope = metrics_request({"service.name": "a", "service.instance.id": instance})
        add_metric(scope, "x", "gauge").data_points.add(as_int=1, time_unix_nano=NOW_NS)
        found.add(series_of(subject, subject.decode(request))[0].fingerprint)
    assert len(found) == 2


def test_a_point_with_more_attributes_than_any_sender_has_is_rejected() -> None:
    request, scope = metrics_request()
    point = add_metric(scope, "g", "gauge").data_points.add(time_unix_nano=NOW_NS, as_int=1)
    add_attributes(point.attributes, {f"k{number}": number for number in range(1001)})
    assert reject(request) == (1, "1 rejected: more than 1000 attributes (metric 'g')")


def test_a_message_about_rejections_is_short() -> None:
    request, scope = metrics_request()
    for number in range(20):
        add_metric(scope, f"m{number}" * 200, "sum", aggregation_temporality=0).data_points.add(as_int=1)
    count, message = reject(request)
    assert count == 20
    assert len(message) < 2000


# --- what is said of metrics and senders


def test_a_family_is_described_until_its_description_is_stored() -> None:
    subject = Subject()
    request = full_metrics_request()
    first = subject.decode(request)
    assert list(batch_of(first).metadata) == [
        Metadata("orders_total", "counter", "", "about orders"),
        Metadata("queue_fill_ratio", "gauge", "", "about queue.fill"),
        Metadata(
            "http_server_request_duration_seconds",
            "histogram",
            "seconds",
            "about http.server.request.duration",
        ),
        Metadata("gc_pause_milliseconds", "summary", "milliseconds", "about gc.pause"),
    ]
    subject.store(first)
    assert not batch_of(subject.decode(request)).metadata


def test_a_changed_description_is_told() -> None:
    subject = Subject()
    request = counter_request(1)
    subject.take(request)
    request.resource_metrics[0].scope_metrics[0].metrics[0].description = "Orders taken."
    assert list(batch_of(subject.decode(request)).metadata) == [
        Metadata("orders_total", "counter", "", "Orders taken.")
    ]


def test_series_are_their_service_s() -> None:
    subject = Subject()
    request = counter_request(1)
    request.resource_metrics.append(metrics_request({"service.name": "stock"})[0].resource_metrics[0])
    data = add_metric(request.resource_metrics[1].scope_metrics[0], "left", "gauge")
    data.data_points.add(as_int=1, time_unix_nano=NOW_NS)
    batch = batch_of(subject.decode(request))
    senders = [subject.table.sender_names[place] for place in subject.table.senders(batch.refs)]
    assert senders == ["otlp checkout", "otlp stock", "otlp checkout"]
    assert batch.lease.sender == "otlp"
    assert batch_of(subject.decode(counter_request(1))).lease.sender == "otlp checkout"

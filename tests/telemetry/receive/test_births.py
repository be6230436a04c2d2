"""Series that are seen late: when the first value of a counter whose start is long past counts, and when it must not.

A process that is older than an hour stamps its start on every series. A new series of a metric that was watched gets
its zero where the metric was last sent; any doubt means no zero: an invented increment is worse than a lost one.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.telemetry.receive.decoding import Samples, Subject
from tests.telemetry.receive.messages import NOW_MS, NOW_NS, add_attributes, add_metric, metrics_request

SECOND_NS = 1_000_000_000
START_NS = NOW_NS - 10_000 * SECOND_NS
SUCCESS, FAILURE = {"code": "200"}, {"code": "500"}


def export(
    ago_s: float,
    *points: tuple[dict[str, str], int],
    shape: str = "sum",
    name: str = "requests",
    start_ns: int = START_NS,
    resource: dict[str, str] | None = None,
) -> Any:
    """What a sender exports `ago_s` seconds ago: (attributes, count) of its series, all since `start_ns`."""
    request, scope = metrics_request(resource)
    data = add_metric(scope, name, shape)
    if shape == "sum":
        data.is_monotonic = True
    for attributes, count in points:
        point = data.data_points.add(
            time_unix_nano=NOW_NS - int(ago_s * SECOND_NS), start_time_unix_nano=start_ns
        )
        if shape == "sum":
            point.as_int = count
        elif shape == "histogram":
            point.count, point.sum = count, float(count)
            point.bucket_counts.extend([count, 0])
            point.explicit_bounds.append(1.0)
        else:
            point.count = point.zero_count = count
        add_attributes(point.attributes, attributes)
    return request


def watched(subject: Subject, every_s: int = 60, until_s: int = 60, for_s: int = 360, **fields: Any) -> None:
    """Exports of one successful series, which has counted 100 a second, up to `until_s` seconds ago."""
    for ago_s in range(until_s + for_s, until_s - 1, -every_s):
        subject.take(export(ago_s, (SUCCESS, 100 * (10_000 - ago_s)), **fields))


def births(samples: Samples, code: str = "500") -> list[int]:
    """Where (seconds before now) the series with `code` has zeros."""
    found = [pairs for labels, pairs in samples.items() if ("code", code) in labels]
    return sorted((NOW_MS - at_ms) // 1000 for pairs in found for at_ms, value in pairs if value == 0)


@pytest.mark.parametrize(
    ("shape", "name", "series"),
    [
        ("sum", "requests_total", 1),
        ("histogram", "requests_bucket", 2),
        ("histogram", "requests_count", 1),
        ("exponential_histogram", "requests_count", 1),
    ],
)
def test_a_late_series_of_a_watched_metric_begins_where_the_metric_was_last_sent(
    shape: str, name: str, series: int
) -> None:
    subject = Subject()
    watched(subject, shape=shape)
    now = export(0, (SUCCESS, 1_000_000), (FAILURE, 3), shape=shape)
    assert births(subject.take(now, name)) == [60] * series
    after = export(-60, (SUCCESS, 1_006_000), (FAILURE, 4), shape=shape)
    assert births(subject.take(after, name)) == []


def test_a_retry_of_what_was_not_stored_has_the_same_zero() -> None:
    subject = Subject()
    watched(subject)
    now = export(0, (SUCCESS, 1_000_000), (FAILURE, 3))
    subject.decode(now).on_failed()
    assert births(subject.take(now, "requests_total")) == [60]


def test_a_metric_whose_export_comes_in_two_requests() -> None:
    subject = Subject()
    watched(subject)
    subject.take(export(0, (SUCCESS, 1_000_000)))
    second = export(0, ({"code": "202"}, 1_000_000 // 7), (FAILURE, 3))
    found = subject.take(second, "requests_total")
    assert births(found) == []  # nothing known is beside it that would say how much is usual


def test_a_young_sender_is_not_watched_for_long_enough() -> None:
    subject = Subject()
    watched(subject, for_s=240)
    assert births(subject.take(export(0, (SUCCESS, 1_000_000), (FAILURE, 3)), "requests_total")) == []


def test_a_metric_that_was_never_sent_before_may_have_been_counted_elsewhere() -> None:
    """As when a collector's configuration lets it through from now on."""
    subject = Subject()
    watched(subject)
    now = export(0, (FAILURE, 3), name="orders_failed")
    assert births(subject.take(now, "orders_failed_total")) == []


def test_another_resource_of_the_same_metric_is_not_the_one_that_was_watched() -> None:
    subject = Subject()
    watched(subject)
    now = export(0, (SUCCESS, 1_000_000), (FAILURE, 3), resource={"service.name": "other"})
    assert births(subject.take(now, "requests_total")) == []


def test_more_than_the_metric_usually_counts_was_not_counted_since_the_last_export() -> None:
    """As when a meter that reads the system's own counters sees a disk again."""
    subject = Subject()
    watched(subject)
    now = export(0, (SUCCESS, 1_000_000), (FAILURE, 70_000))
    assert births(subject.take(now, "requests_total")) == []


def test_after_a_start_of_setpoint_a_series_that_was_stored_gets_no_zero() -> None:
    subject = Subject()
    watched(subject, until_s=600)
    subject.take(export(540, (SUCCESS, 946_000), (FAILURE, 5)))
    again = Subject(subject.table)
    watched(again, for_s=420)
    assert births(again.take(export(0, (SUCCESS, 1_000_000), (FAILURE, 9)), "requests_total")) == []


def test_after_a_start_of_setpoint_nothing_is_watched() -> None:
    subject = Subject()
    watched(subject)
    again = Subject(subject.table)
    assert births(again.take(export(0, (SUCCESS, 1_000_000), (FAILURE, 3)), "requests_total")) == []


def test_where_points_were_rejected_a_series_may_have_been_there() -> None:
    subject = Subject()
    watched(subject)
    request = export(30, (SUCCESS, 997_000), (FAILURE, 2))
    data = request.resource_metrics[0].scope_metrics[0].metrics[0].sum
    data.data_points[1].time_unix_nano = 1
    subject.take(request)
    assert births(subject.take(export(0, (SUCCESS, 1_000_000), (FAILURE, 3)), "requests_total")) == []


def test_a_slow_sender_is_watched_by_its_own_rhythm() -> None:
    subject = Subject()
    watched(subject, every_s=600, until_s=600, for_s=600)
    assert births(subject.take(export(0, (SUCCESS, 1_000_000), (FAILURE, 3)), "requests_total")) == [600]


def test_a_sum_that_can_fall_has_no_birth() -> None:
    subject = Subject()
    for ago_s in (420, 360, 60, 0):
        request, scope = metrics_request()
        data = add_metric(scope, "busy", "sum", is_monotonic=False)
        for attributes in (SUCCESS, FAILURE) if not ago_s else (SUCCESS,):
            point = data.data_points.add(
                as_int=5, time_unix_nano=NOW_NS - ago_s * SECOND_NS, start_time_unix_nano=START_NS
            )
            add_attributes(point.attributes, attributes)
        found = subject.take(request, "busy")
    assert births(found) == []


def test_a_series_with_a_start_within_the_hour_has_its_zero_there_and_not_at_the_last_export() -> None:
    subject = Subject()
    watched(subject)
    request = export(0, (SUCCESS, 1_000_000), (FAILURE, 3))
    point = request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[1]
    point.start_time_unix_nano = NOW_NS - 20 * SECOND_NS
    assert births(subject.take(request, "requests_total")) == [20]

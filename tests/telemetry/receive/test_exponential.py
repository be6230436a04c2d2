"""Exponential histograms as native ones: grids, scales, sums of deltas, and what is stored of them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.metrics.v1 import metrics_pb2

from setpoint.telemetry.model import HistogramColumns, RefBatch
from setpoint.telemetry.native_histogram import NativeHistogram
from setpoint.telemetry.receive.exponential import Exponential
from setpoint.telemetry.receive.outcome import Decoded
from tests.telemetry.receive.decoding import Subject
from tests.telemetry.receive.messages import NOW_MS, NOW_NS, add_metric, metrics_request

SECOND_NS = 1_000_000_000
Point = metrics_pb2.ExponentialHistogramDataPoint


def observed(
    values: list[float], scale: int, end_s: float = 0, start_s: float = 60, zero_threshold: float = 0.0
) -> Any:
    """The point of a sender that has measured `values`, at the grid of `scale`."""
    point = Point(
        count=len(values),
        sum=math.fsum(values),
        scale=scale,
        zero_threshold=zero_threshold,
        zero_count=sum(abs(value) <= zero_threshold for value in values),
        time_unix_nano=NOW_NS - int(end_s * SECOND_NS),
        start_time_unix_nano=NOW_NS - int(start_s * SECOND_NS),
    )
    for side, sign in ((point.positive, 1), (point.negative, -1)):
        indexes = [
            math.ceil(math.log2(sign * value) * 2.0**scale) - 1
            for value in values
            if sign * value > zero_threshold
        ]
        if indexes:
            side.offset = min(indexes)
            counts = [0] * (max(indexes) - min(indexes) + 1)
            for index in indexes:
                counts[index - min(indexes)] += 1
            side.bucket_counts.extend(counts)
    return point


def request(*points: Any, temporality: int = 2, name: str = "latency") -> Any:
    message, scope = metrics_request()
    data = add_metric(scope, name, "exponential_histogram", "s", aggregation_temporality=temporality)
    data.data_points.extend(points)
    return message


def native(
    subject: Subject, decoded: Decoded, name: str = "latency_seconds"
) -> list[tuple[int, NativeHistogram]]:
    """(seconds before now, histogram) of the series called `name`."""
    assert isinstance(decoded.batch, RefBatch)
    columns = decoded.batch.histograms
    if columns is None:
        return []
    assert isinstance(columns, HistogramColumns)
    names = [subject.table.labels(int(ref))["__name__"] for ref in columns.rows]
    assert set(names) == {name}
    return [
        ((NOW_MS - int(at_ms)) // 1000, NativeHistogram.decode(payload))
        for at_ms, payload in zip(columns.timestamps_ms, columns.payloads, strict=True)
    ]


def buckets(histogram: NativeHistogram) -> dict[tuple[int, int], float]:
    """{(sign, index): count} of the buckets that are not empty, by the spans."""
    found = {}
    for sign, spans, counts in (
        (1, histogram.positive_spans, histogram.positive_counts),
        (-1, histogram.negative_spans, histogram.negative_counts),
    ):
        index, place = 0, 0
        for gap, length in spans:
            index += gap
            for _ in range(length):
                found[sign, index] = counts[place]
                index, place = index + 1, place + 1
    return {key: count for key, count in found.items() if count}


def expected(values: list[float], schema: int) -> dict[tuple[int, int], float]:
    """The same by Prometheus's definition: bucket i is what is above base^(i-1) and not above base^i."""
    found: dict[tuple[int, int], float] = {}
    for value in values:
        key = (1 if value > 0 else -1, math.ceil(math.log2(abs(value)) * 2.0**schema))
        found[key] = found.get(key, 0) + 1
    return found


VALUES = [0.001, 0.4, 0.5, 0.6, 1.0, 1.5, 3.0, 3.1, 1000.0, -2.0, -0.3]


@pytest.mark.parametrize(
    ("scale", "values"),
    [
        *((scale, VALUES) for scale in (-4, 0, 3, 8)),
        *((scale, [-1.0003, 1.0, 1.0001, 1.0005, 1.0028]) for scale in (8, 9, 12, 20)),
    ],
)
def test_buckets_have_prometheus_s_indexes_at_no_finer_scale_than_8(scale: int, values: list[float]) -> None:
    histogram = Exponential.of(observed(values, scale)).native("unknown")
    assert histogram.schema == min(scale, 8)
    assert buckets(histogram) == expected(values, min(scale, 8))
    assert (histogram.count, histogram.sum) == (len(values), math.fsum(values))
    assert histogram.zero_threshold == 1e-128
    assert histogram.fault() is None


def test_what_a_sender_calls_zero_is_kept() -> None:
    histogram = Exponential.of(observed([0.0, 0.01, 2.0], 2, zero_threshold=0.1)).native("unknown")
    assert (histogram.zero_threshold, histogram.zero_count) == (0.1, 2.0)
    assert buckets(histogram) == expected([2.0], 2)


@st.composite
def measured(draw: st.DrawFn) -> tuple[list[float], int]:
    """Values of either sign and a scale at which a sender would have few thousand buckets for them."""
    scale = draw(st.integers(-4, 12))
    magnitudes = st.floats(0.001, 1e4) if scale < 6 else st.floats(1, 1.5)
    values = draw(st.lists(magnitudes, min_size=1, max_size=20))
    return [value * draw(st.sampled_from([1, -1])) for value in values], scale


@settings(max_examples=200, deadline=None, database=None)
@given(measured(), measured())
def test_a_sum_is_the_histogram_of_all(
    some: tuple[list[float], int], others: tuple[list[float], int]
) -> None:
    (one, first), (more, second) = some, others
    total = Exponential.of(observed(one, first)).plus(Exponential.of(observed(more, second)))
    histogram = total.native("unknown")
    assert histogram.schema <= min(first, second, 8)
    assert buckets(histogram) == expected(one + more, histogram.schema)
    assert histogram.count == len(one + more)
    assert histogram.fault() is None


def test_a_sum_with_a_wide_range_is_coarser_instead_of_larger() -> None:
    total = Exponential.of(observed([1e-6], 8)).plus(Exponential.of(observed([1e6], 8)))
    assert buckets(total.native("unknown")) == expected([1e-6, 1e6], total.scale)
    assert total.scale < 8
    assert max(total.positive) - min(total.positive) < 160


def test_the_wider_zero_bucket_takes_what_lies_in_it_and_cuts_no_bucket() -> None:
    narrow = Exponential.of(observed([0.001, 0.09, 0.12, 5.0], 0))
    wide = Exponential.of(observed([0.05, 7.0], 0, zero_threshold=0.1))
    histogram = narrow.plus(wide).native("unknown")
    assert histogram.zero_threshold == 0.125  # the bucket (0.0625, 0.125] holds 0.1 and so belongs to zero
    assert histogram.zero_count == 4
    assert buckets(histogram) == expected([5.0, 7.0], 0)


# --- as a request


def test_count_and_sum_stand_beside_the_native_histogram() -> None:
    subject = Subject()
    decoded = subject.decode(request(observed(VALUES, 3)))
    zero, (at_s, histogram) = native(subject, decoded)
    assert (zero[0], zero[1].count, zero[1].reset_hint, zero[1].schema) == (60, 0.0, "reset", 3)
    assert (at_s, buckets(histogram)) == (0, expected(VALUES, 3))
    counts = subject.samples(decoded, "latency_seconds_count")[()]
    assert counts == [(NOW_MS - 60_000, 0.0), (NOW_MS, float(len(VALUES)))]
    assert subject.samples(decoded, "latency_seconds_sum")[()][-1] == (NOW_MS, math.fsum(VALUES))
    assert subject.samples(decoded, "latency_seconds") == {}
    subject.store(decoded)
    ((_, again),) = native(subject, subject.decode(request(observed([*VALUES, 1.0], 3, -10))))
    assert (again.count, again.reset_hint) == (len(VALUES) + 1, "unknown")


def test_a_histogram_without_sum_has_no_sum() -> None:
    subject = Subject()
    point = observed([1.0], 3)
    point.ClearField("sum")
    decoded = subject.decode(request(point))
    assert subject.samples(decoded, "latency_seconds_sum") == {}
    assert native(subject, decoded)[-1][1].sum == 0.0


def test_no_recorded_value_is_the_stale_marker() -> None:
    subject = Subject()
    point = observed([], 0)
    point.flags = 1
    decoded = subject.decode(request(point))
    ((_, histogram),) = native(subject, decoded)
    assert histogram.is_stale
    ((_, count),) = subject.samples(decoded, "latency_seconds_count")[()]
    assert math.isnan(count)


def test_deltas_are_added_and_a_retry_is_not() -> None:
    subject = Subject()
    subject.take(request(observed([1.0, 2.0], 3, 60, 70), temporality=1))
    decoded = subject.decode(request(observed([4.0], 2, 50, 60), temporality=1))
    ((_, histogram),) = native(subject, decoded)
    assert (histogram.schema, histogram.count, histogram.reset_hint) == (2, 3.0, "unknown")
    assert buckets(histogram) == expected([1.0, 2.0, 4.0], 2)
    assert subject.samples(decoded, "latency_seconds_count") == {(): [(NOW_MS - 50_000, 3.0)]}
    decoded.on_failed()
    subject.take(request(observed([4.0], 2, 50, 60), temporality=1))
    repeated = subject.decode(request(observed([4.0], 2, 50, 60), temporality=1))
    assert native(subject, repeated) == []
    assert (repeated.items, repeated.rejections.message) == (1, "")
    repeated.on_failed()
    ((_, histogram),) = native(subject, subject.decode(request(observed([8.0], 2, 40, 50), temporality=1)))
    assert buckets(histogram) == expected([1.0, 2.0, 4.0, 8.0], 2)


def test_two_deltas_of_one_request_are_added_in_the_order_of_their_times() -> None:
    subject = Subject()
    decoded = subject.decode(request(observed([2.0], 3, 50, 60), observed([1.0], 3, 60, 70), temporality=1))
    found = native(subject, decoded)
    assert [(at_s, histogram.count) for at_s, histogram in found] == [(70, 0.0), (60, 1.0), (50, 2.0)]


def test_after_a_start_the_histogram_begins_anew_and_says_so_while_its_count_goes_on() -> None:
    subject = Subject()
    subject.take(request(observed([1.0, 2.0], 3, 60, 70), temporality=1))
    again = Subject(
        subject.table,
        lambda series, now_ms: [
            (NOW_MS - 60_000, 2.0) if one.labels["__name__"].endswith("_count") else None for one in series
        ],
    )
    decoded = again.decode(request(observed([4.0], 3, 50, 60), temporality=1))
    found = native(again, decoded)
    assert [histogram.count for _, histogram in found] == [0.0, 1.0]
    assert found[0][1].reset_hint == "reset"
    assert again.samples(decoded, "latency_seconds_count") == {(): [(NOW_MS - 50_000, 3.0)]}


def faulty(**fields: Any) -> Any:
    point = observed([1.0], 3)
    for name, value in fields.items():
        setattr(point, name, value)
    return point


def crowded() -> Any:
    point = observed([1.0], 3)
    point.positive.bucket_counts.extend([0] * 20_000)
    return point


def distant() -> Any:
    point = observed([1.0], 3)
    point.positive.offset = 2**31 - 1
    return point


@pytest.mark.parametrize(
    ("point", "reason"),
    [
        (faulty(scale=-5), "scale -5 is too coarse"),
        (faulty(scale=-(2**31)), "too coarse"),
        (faulty(count=7), "the buckets hold 1 observations, the count says 7"),
        (faulty(zero_threshold=math.nan), "zero threshold"),
        (faulty(zero_threshold=-1.0), "zero threshold"),
        (crowded(), "20001 buckets"),
        (distant(), "beyond what a float can be"),
    ],
)
def test_what_can_be_no_native_histogram_is_rejected_by_name(point: Any, reason: str) -> None:
    subject = Subject()
    decoded = subject.decode(request(point, observed([2.0], 3, 1)))
    assert (decoded.items, decoded.rejections.count) == (1, 1)
    assert reason in decoded.rejections.message
    assert "(metric 'latency_seconds')" in decoded.rejections.message
    assert [histogram.count for _, histogram in native(subject, decoded)] == [0.0, 1.0]


def test_a_rejected_delta_counts_for_nothing() -> None:
    subject = Subject()
    subject.take(request(observed([1.0], 3, 60, 70), temporality=1))
    bad = observed([2.0], 3, 50, 60)
    bad.scale = -9
    subject.take(request(bad, temporality=1))
    assert subject.take(request(observed([2.0], 3, 50, 60), temporality=1), "latency_seconds_count") == {
        (): [(NOW_MS - 50_000, 2.0)]
    }


def test_the_largest_scale_is_no_problem() -> None:
    point = faulty(scale=2**31 - 1)
    point.positive.offset = -(2**31)
    assert Exponential.of(point).native("unknown").fault() is None

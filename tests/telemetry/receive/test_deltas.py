"""Deltas are stored as sums: every delta once, whatever is retried, fails, overlaps, comes late or is restarted."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from setpoint.telemetry.model import RefBatch, Series
from setpoint.telemetry.receive.outcome import Decoded
from tests.telemetry.receive.decoding import Subject
from tests.telemetry.receive.messages import NOW_MS, NOW_NS, add_metric, metrics_request

SECOND_NS = 1_000_000_000


def delta(value: float, end_s: float, start_s: float | None = None, **fields: Any) -> Any:
    """A request with one delta of `orders` from `start_s` to `end_s`, in seconds before now."""
    request, scope = metrics_request()
    data = add_metric(
        scope, "orders", "sum", **{"aggregation_temporality": 1, "is_monotonic": True, **fields}
    )
    data.data_points.add(as_double=value, time_unix_nano=at(end_s), start_time_unix_nano=at(start_s))
    return request


def at(ago_s: float | None) -> int:
    return 0 if ago_s is None else NOW_NS - int(ago_s * SECOND_NS)


def take(subject: Subject, request: Any, name: str = "orders_total") -> list[tuple[int, float]]:
    """(seconds before now, value) of what a stored request gave."""
    decoded = subject.decode(request)
    found = of(subject, decoded, name)
    subject.store(decoded)
    return found


def of(subject: Subject, decoded: Decoded, name: str = "orders_total") -> list[tuple[int, float]]:
    samples = subject.samples(decoded, name).get((), [])
    return [((NOW_MS - at_ms) // 1000, value) for at_ms, value in samples]


def test_the_first_delta_begins_with_a_zero_and_the_next_are_added() -> None:
    subject = Subject()
    assert take(subject, delta(5, 20, 30)) == [(30, 0.0), (20, 5.0)]
    assert take(subject, delta(2, 10, 20)) == [(10, 7.0)]
    assert take(subject, delta(0, 0, 10)) == [(0, 7.0)]
    assert subject.table.series(0).type == "counter"


def test_a_sum_that_can_fall_has_no_zero() -> None:
    subject = Subject()
    fields: dict[str, Any] = {"is_monotonic": False}
    assert take(subject, delta(5, 20, 30, **fields), "orders") == [(20, 5.0)]
    assert take(subject, delta(-7, 10, 20, **fields), "orders") == [(10, -2.0)]


@pytest.mark.parametrize("start_s", [None, 20, 19], ids=["unset", "same instant", "after the delta"])
def test_a_delta_without_a_start_began_just_before(start_s: float | None) -> None:
    decoded = (subject := Subject()).decode(delta(5, 20, start_s))
    assert subject.samples(decoded, "orders_total")[()] == [(NOW_MS - 20_001, 0.0), (NOW_MS - 20_000, 5.0)]


def test_the_zero_of_a_long_delta_is_an_hour_before_at_most() -> None:
    assert take(Subject(), delta(5, 20, 50_000))[0] == (3620, 0.0)


def test_a_gap_loses_nothing_of_the_sum() -> None:
    subject = Subject()
    take(subject, delta(5, 60, 70))
    assert take(subject, delta(1, 0, 10)) == [(0, 6.0)]


def test_an_overlapping_start_is_added_and_one_before_the_sum_is_not() -> None:
    subject = Subject()
    take(subject, delta(5, 60, 70))
    assert take(subject, delta(1, 50, 65)) == [(50, 6.0)]
    decoded = subject.decode(delta(1, 40, 80))
    assert of(subject, decoded) == []
    assert decoded.rejections.count == 1
    assert "begins before the sum" in decoded.rejections.message
    decoded.on_failed()
    assert take(subject, delta(1, 30, 40)) == [(30, 7.0)]


def test_a_delta_out_of_order_is_refused() -> None:
    subject = Subject()
    take(subject, delta(5, 60, 70))
    take(subject, delta(5, 40, 50))
    decoded = subject.decode(delta(1, 50, 60))
    assert (decoded.items, decoded.rejections.count, of(subject, decoded)) == (0, 1, [])
    assert "send deltas in order" in decoded.rejections.message


def test_a_retry_of_a_stored_request_counts_nothing_and_is_no_error() -> None:
    subject = Subject()
    take(subject, delta(5, 60, 70))
    decoded = subject.decode(delta(5, 60, 70))
    assert (decoded.items, decoded.rejections.message, of(subject, decoded)) == (1, "", [])
    decoded.on_failed()
    assert take(subject, delta(1, 50, 60)) == [(50, 6.0)]


def test_what_was_not_stored_did_not_count() -> None:
    subject = Subject()
    subject.decode(delta(5, 60, 70)).on_failed()
    assert take(subject, delta(5, 60, 70)) == [(70, 0.0), (60, 5.0)]
    subject.decode(delta(3, 50, 60)).on_failed()
    assert take(subject, delta(3, 50, 60)) == [(50, 8.0)]


def test_a_request_that_breaks_off_leaves_nothing_behind() -> None:
    subject = Subject()
    request = delta(5, 60, 70)
    point = request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0]
    point.exemplars.add().trace_id = b"x" * 16
    body = request.SerializeToString().replace(b"*\x12*\x10" + b"x" * 16, b"*\x12\xff\xff" + b"x" * 16)
    assert body != request.SerializeToString()
    with pytest.raises(Exception, match="no valid"):
        subject.decode(body)
    assert take(subject, delta(5, 60, 70)) == [(70, 0.0), (60, 5.0)]


def test_two_points_of_one_series_in_a_request_are_added_in_the_order_of_their_times() -> None:
    subject = Subject()
    request = delta(1, 40, 50)
    data = request.resource_metrics[0].scope_metrics[0].metrics[0].sum
    data.data_points.add(as_double=10, time_unix_nano=at(50), start_time_unix_nano=at(60))
    assert sorted(take(subject, request), reverse=True) == [(60, 0.0), (50, 10.0), (40, 11.0)]


def test_a_stale_marker_is_no_delta() -> None:
    subject = Subject()
    take(subject, delta(5, 60, 70))
    request = delta(9, 50, 60)
    request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].flags = 1
    ((_, marker),) = take(subject, request)
    assert math.isnan(marker)
    assert take(subject, delta(1, 40, 50)) == [(40, 6.0)]


def test_a_delta_that_is_no_number_spoils_one_sample_only() -> None:
    subject = Subject()
    take(subject, delta(5, 60, 70))
    ((_, value),) = take(subject, delta(math.nan, 50, 60))
    assert math.isnan(value)
    assert take(subject, delta(1, 40, 50)) == [(40, 6.0)]


def histogram(counts: Sequence[int], end_s: float, start_s: float, bounds: Sequence[float] = (1.0,)) -> Any:
    request, scope = metrics_request()
    data = add_metric(scope, "h", "histogram", aggregation_temporality=1)
    point = data.data_points.add(time_unix_nano=at(end_s), start_time_unix_nano=at(start_s))
    point.bucket_counts.extend(counts)
    point.explicit_bounds.extend(bounds)
    point.count, point.sum = sum(counts), 0.5 * sum(counts)
    return request


def test_histograms_are_added_bucket_by_bucket() -> None:
    subject = Subject()
    subject.take(histogram([1, 2], 50, 60))
    decoded = subject.decode(histogram([3, 4], 40, 50))
    assert subject.samples(decoded, "h_bucket") == {
        (("le", "1"),): [(NOW_MS - 40_000, 4.0)],
        (("le", "+Inf"),): [(NOW_MS - 40_000, 10.0)],
    }
    assert subject.samples(decoded, "h_count") == {(): [(NOW_MS - 40_000, 10.0)]}
    assert subject.samples(decoded, "h_sum") == {(): [(NOW_MS - 40_000, 5.0)]}


def test_new_bounds_begin_new_buckets_and_the_count_goes_on() -> None:
    subject = Subject()
    subject.take(histogram([1, 2], 50, 60))
    decoded = subject.decode(histogram([3, 4], 40, 50, bounds=[2.0]))
    assert subject.samples(decoded, "h_bucket")[("le", "2"),] == [
        (NOW_MS - 50_000, 0.0),
        (NOW_MS - 40_000, 3.0),
    ]
    assert subject.samples(decoded, "h_count") == {(): [(NOW_MS - 40_000, 10.0)]}


def test_a_second_request_waits_until_the_first_is_settled() -> None:
    subject = Subject()
    first = subject.decode(delta(5, 60, 70))
    found: list[list[tuple[int, float]]] = []
    second = threading.Thread(target=lambda: found.append(take(subject, delta(1, 50, 60))))
    second.start()
    second.join(0.2)
    assert second.is_alive()
    subject.store(first)
    second.join()
    assert found == [[(50, 6.0)]]


@pytest.mark.parametrize("is_stored", [True, False])
def test_many_senders_of_different_series_do_not_wait(is_stored: bool) -> None:
    subject = Subject()
    first = subject.decode(delta(5, 60, 70))
    other, scope = metrics_request({"service.name": "other"})
    data = add_metric(scope, "orders", "sum", aggregation_temporality=1, is_monotonic=True)
    data.data_points.add(as_double=1, time_unix_nano=at(60))
    subject.store(subject.decode(other))
    subject.store(first) if is_stored else first.on_failed()


# --- after a start of Setpoint


def restarted(subject: Subject, stored: dict[str, tuple[int, float]] | None = None) -> Subject:
    """A new decoder over the same series, as after a start; `stored` is what is found of them, by name."""

    def last(series: Sequence[Series], now_ms: int) -> list[tuple[int, float] | None]:
        return [(stored or {}).get(one.labels["__name__"]) for one in series]

    return Subject(subject.table, last)


def test_after_a_start_a_sum_goes_on_from_its_stored_sample() -> None:
    subject = Subject()
    take(subject, delta(5, 60, 70))
    again = restarted(subject, {"orders_total": (NOW_MS - 60_000, 5.0)})
    assert take(again, delta(2, 50, 60)) == [(50, 7.0)]


def test_after_a_start_a_retry_of_what_is_stored_counts_nothing() -> None:
    subject = Subject()
    take(subject, delta(5, 60.0000004, 70))
    again = restarted(subject, {"orders_total": (NOW_MS - 60_001, 5.0)})
    assert take(again, delta(5, 60.0000004, 70)) == []
    assert take(again, delta(1, 50, 60)) == [(50, 6.0)]


def test_after_a_start_without_a_stored_sample_the_new_sum_does_not_hide_the_old_one() -> None:
    """The zero is a millisecond behind the place where the last sample of the old sum may be."""
    subject = Subject()
    take(subject, delta(500, 60, 70))
    decoded = (again := restarted(subject)).decode(delta(600, 50, 60))
    assert again.samples(decoded, "orders_total")[()] == [(NOW_MS - 59_999, 0.0), (NOW_MS - 50_000, 600.0)]


def test_a_ref_that_was_given_to_another_series_begins_anew() -> None:
    subject = Subject()
    decoded = subject.decode(delta(5, 60, 70))
    assert isinstance(decoded.batch, RefBatch)
    refs = decoded.batch.refs
    subject.store(decoded)
    assert set(subject.table.remove(refs)) == set(refs)
    request, scope = metrics_request({"service.name": "other"})
    for number in range(len(refs)):
        data = add_metric(scope, f"sold{number}", "sum", aggregation_temporality=1, is_monotonic=True)
        data.data_points.add(as_double=1, time_unix_nano=at(10), start_time_unix_nano=at(20))
    again = subject.decode(request)
    assert isinstance(again.batch, RefBatch)
    assert set(refs) <= set(again.batch.refs)
    assert set(again.batch.values) == {0.0, 1.0}  # and nothing of the series that had the refs before

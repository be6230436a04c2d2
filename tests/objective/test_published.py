"""Worked examples that others have published, each with its source, computed by the book; and faults of peers that must
not be ours. Those about alerts are in `test_published_alerts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from setpoint.objective import ObjectiveBook
from tests.objective.documents import document
from tests.objective.test_fleet import Minute, Shop, settle

SLICE: dict[str, Any] = {"timeSliceWindow": 1}


def kept(minutes: Sequence[Minute], *documents: object) -> ObjectiveBook:
    """A book that has counted these minutes of service a."""
    shop = Shop({"a": minutes})
    for number in range(len(minutes)):
        shop.report(number)
    shop.go_to(len(minutes))
    book = shop.book()
    book.apply(documents)  # type: ignore[arg-type]
    settle(book)
    return book


def test_grafana_the_same_data_is_75_percent_by_event_and_90_percent_by_time() -> None:
    """Grafana's example for its two ways of counting (facts/objectives.md section 2, Budgeting): one bad minute of ten
    that carries a quarter of the events.
    """
    minutes = [*[(10, 10)] * 9, (0, 30)]
    by_time = document("time", method="Timeslices", entry=SLICE | {"timeSliceTarget": 0.95})
    book = kept(minutes, document("event"), by_time)
    assert book.status("event").sli == 0.75
    assert book.status("time").sli == 0.9


def test_datadog_remaining_is_status_less_target_over_one_less_target() -> None:
    """Datadog, `service_level_objectives/_index.md`: remaining = (status − target) / (1 − target)."""
    minutes = [*[(998, 1000)] * 7, *[(1000, 1000)] * 3]
    status = kept(minutes, document("slo", target=0.998)).status("slo")
    assert status.sli == pytest.approx(0.9986)
    assert status.budget_left == pytest.approx((0.9986 - 0.998) / (1 - 0.998))


@pytest.mark.parametrize(("target", "reachable"), [(0.9305, False), (0.9306, True), (0.99, True)])
def test_a_burn_of_14_4_cannot_be_below_a_target_of_93_06_percent(target: float, reachable: bool) -> None:
    """Maximum burn = 1 / (1 − target): 14.4 needs a target above 93.06 % (facts/objectives.md section 2)."""
    window = {"duration": "30d", "isRolling": True}
    status = kept([(0, 10)] * 3, document("slo", target=target, window=window)).status("slo")
    most = max(rate.long_burn or 0 for rate in status.burn)
    assert most == pytest.approx(1 / (1 - target))
    assert (most > 14.4) is reachable
    assert all(rate.reachable for rate in status.burn)  # the default table has no row that can never fire


def test_ten_requests_an_hour_at_99_9_percent_allow_7_2_failures() -> None:
    """Low traffic: 7,200 requests in 30 d allow 7.2 failures, and one costs 13.9 % (facts/objectives.md section 2)."""
    window = {"duration": "30d", "isRolling": True}
    status = kept([(7199, 7200)], document("slo", target=0.999, window=window)).status("slo")
    assert status.allowed_bad == pytest.approx(7.2)
    assert 1 - (status.budget_left or 0) == pytest.approx(0.139, abs=0.0005)


def test_sloth_531_a_minute_of_0_of_0_poisons_nothing() -> None:
    """Sloth #531: one 0/0 sample makes the 30-day budget NaN for 30 days. Here it is a minute without events."""
    minutes: list[Minute] = [(10, 10), (0, 0), (9, 10), (0, 0), (10, 10)]
    slices = [
        document("good", method="Timeslices", entry=SLICE | {"timeSliceTarget": 0.95}),
        document("ratio", method="RatioTimeslices", entry=SLICE),
    ]
    book = kept(minutes, document("events"), *slices)
    assert (book.status("events").good, book.status("events").total) == (29, 30)
    assert (book.status("good").good, book.status("good").total) == (2, 3)
    assert book.status("ratio").sli == pytest.approx((1 + 0.9 + 1) / 3)
    for status in book.statuses():
        assert status.budget_left is not None


@pytest.mark.parametrize("method", ["Occurrences", "Timeslices", "RatioTimeslices"])
def test_yuzu_4290_a_total_outage_is_not_met(method: str) -> None:
    """Tr3kkR/Yuzu #4290: five objectives read as "met" during a total outage, as silent slices counted as good."""
    entries: Mapping[str, dict[str, Any]] = {
        "Timeslices": SLICE | {"timeSliceTarget": 0.95},
        "RatioTimeslices": SLICE,
    }
    entry = entries.get(method)
    minutes: list[Minute] = [*[(10, 10)] * 10, *[None] * 20]
    quiet = document("quiet", method=method, entry=entry)
    strict = document("strict", method=method, entry=entry, noData={"action": "bad", "after": "2m"})
    book = kept(minutes, quiet, strict)
    assert book.status("quiet").state == "no data"
    assert book.status("quiet").total == (
        100 if method == "Occurrences" else 10
    )  # silence is not good either
    assert book.status("strict").state == "no data"
    assert book.status("strict").sli == pytest.approx(10 / 28)  # but for the two minutes that may still come
    assert (book.status("strict").budget_left or 0) < 0


def test_sloth_241_the_mean_of_ratios_is_not_the_ratio() -> None:
    """Sloth #241: under uneven load the mean of 5-minute ratios understates the errors many times."""
    minutes = [*[(1, 1)] * 45, *[(500, 1000)] * 5]
    ratios = document("ratios", method="RatioTimeslices", entry={"timeSliceWindow": 5})
    book = kept(minutes, document("events"), ratios)
    by_event = 1 - (book.status("events").sli or 0)
    by_slice = 1 - (book.status("ratios").sli or 0)
    assert by_event == pytest.approx(2500 / 5045)
    assert (
        by_event > 4 * by_slice
    )  # who asks for the mean gets it, and the page says that each slice is one event
    assert "each 5 min with events is one event" in book.status("ratios").explanation

"""Objectives whose budget begins anew with a calendar: at midnight of a zone, however long that day is."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from setpoint.clock import VirtualClock
from setpoint.objective import ObjectiveBook
from tests.objective.documents import document
from tests.objective.memory import MemoryLedger, Samples

HOUR_MS, DAY_MS = 3_600_000, 86_400_000


def instant(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def calendar(unit: str, zone: str, start: str = "2026-01-01 00:00:00") -> dict[str, Any]:
    return {"duration": f"1{unit}", "calendar": {"startTime": start, "timeZone": zone}}


class Steady:
    """One request a minute, bad in the first minute of each hour, from `start_ms` on."""

    def __init__(self, start_ms: int, end_ms: int, now_ms: int) -> None:
        self.clock, self.samples = VirtualClock(now_ms), Samples()
        good = bad = 0
        for at_ms in range(start_ms, end_ms, 60_000):
            is_bad = at_ms % HOUR_MS == 0
            good, bad = good + (not is_bad), bad + is_bad
            self.samples.add("requests_total", at_ms + 30_000, good, service="a", code="200")
            self.samples.add("requests_total", at_ms + 30_000, bad, service="a", code="500")

    def book(self, *documents: object) -> ObjectiveBook:
        made = ObjectiveBook(
            self.samples.select,
            self.samples.take_oldest_write_ms,
            MemoryLedger(),
            self.clock,
            oldest_sample_ms=self.samples.oldest_sample_ms,
        )
        made.apply(documents)  # type: ignore[arg-type]
        self.settle(made)
        return made

    def settle(self, book: ObjectiveBook) -> None:
        for _ in range(300):
            book.tick()
            if not book.overview().backfilling.any():
                return
        raise AssertionError("history has no end")


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Asia/Kolkata", "2026-03-29", 24),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
    ],
)
def test_a_day_holds_the_events_of_its_hours(zone: str, day: str, hours: float) -> None:
    midnight = instant(day, zone)
    end = midnight + int(hours * HOUR_MS)
    steady = Steady(midnight - DAY_MS, end + DAY_MS, end)
    book = steady.book(document("daily", target=0.9, window=calendar("d", zone)))
    status = book.status("daily")
    assert status.total == hours * 60
    assert status.window_start_ms == midnight
    assert not status.is_rolling
    steady.clock.advance(600)  # the next day is ten minutes old
    steady.settle(book)
    status = book.status("daily")
    assert (status.window_start_ms, status.total) == (end, 10)
    assert status.covered_s == pytest.approx(600)


def test_the_burn_down_begins_anew_at_midnight() -> None:
    zone = "America/New_York"
    midnight = instant("2026-11-02", zone)
    steady = Steady(midnight - DAY_MS, midnight + 2 * HOUR_MS, midnight + 2 * HOUR_MS)
    book = steady.book(document("daily", target=0.9, window=calendar("d", zone)))
    seen = book.past.history("daily", midnight - 2 * HOUR_MS, midnight + 2 * HOUR_MS, 240)
    before, after = seen.times_ms <= midnight, seen.times_ms > midnight
    # An hour with one bad minute of sixty spends a sixth of what 90 % allow.
    assert seen.budget_left[before][-1] == pytest.approx(5 / 6, abs=0.01)
    assert seen.budget_left[after][0] == pytest.approx(
        -9
    )  # the first minute of the day is bad, and all there is
    assert seen.budget_left[-1] == pytest.approx(book.status("daily").budget_left)
    assert np.isclose(seen.budget_left[-1], 5 / 6)
    assert seen.covered[-1] == 1


def test_a_month_of_a_leap_year() -> None:
    """February 2028 has 29 days; at its last hour the window holds all of them."""
    first, last = instant("2028-02-01", "UTC"), instant("2028-02-29T23:00", "UTC")
    steady = Steady(last - 30 * HOUR_MS - 60_000, last, last)  # of the first minute nothing is known
    book = steady.book(document("monthly", target=0.9, window=calendar("M", "UTC")))
    status = book.status("monthly")
    assert status.window_start_ms == first
    assert status.total == 30 * 60
    assert status.covered_s == pytest.approx(30 * 3600, abs=60)
    assert status.reason.endswith("in 1 d 6 h of this window")


def test_how_long_a_budget_lasts_that_grows_with_its_events() -> None:
    """At a burn of b the budget of a calendar window shrinks by b − 1; what lasts until it ends is not said to end."""
    zone = "UTC"
    midnight = instant("2026-05-05", zone)
    noon = midnight + 12 * HOUR_MS
    steady = Steady(midnight, midnight, noon)
    for minute in range(12 * 60):
        bad = max(0, minute - 11 * 60 + 1) // 5  # of the last hour a fifth
        at_ms = midnight + minute * 60_000 + 30_000
        steady.samples.add("requests_total", at_ms, minute + 1 - bad, service="a", code="200")
        steady.samples.add("requests_total", at_ms, bad, service="a", code="500")
    book = steady.book(
        document("quick", target=0.9, window=calendar("d", zone), alertPolicies=[]),
        document("slow", target=0.5, window=calendar("d", zone), alertPolicies=[]),
    )
    quick, slow = book.status("quick"), book.status("slow")
    assert quick.budget_left == pytest.approx(1 - 12 / 72, abs=0.01)
    # 60 events an hour allow 6 and 12 fail: 60 that are left are gone in ten hours.
    assert quick.exhaustion_s == pytest.approx(10 * 3600, rel=0.02)
    assert slow.exhaustion_s is None

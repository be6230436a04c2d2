"""Calendar windows: time zones, daylight saving, leap years, short months, and the edges between two windows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st

from setpoint.objective.calendar_window import begins, window_at
from setpoint.objective.model import Calendar

HOUR_MS = 3_600_000


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def calendar(start: str, count: int, unit: str, zone: str = "UTC") -> Calendar:
    return Calendar(start, zone, count, unit)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("made", "now", "begin", "end"),
    [
        (calendar("2026-01-01T00:00:00", 1, "M"), "2026-02-14T12:00", "2026-02-01", "2026-03-01"),
        (calendar("2026-01-01T00:00:00", 1, "Q"), "2026-11-23T15:00", "2026-10-01", "2027-01-01"),
        (calendar("2020-02-29T00:00:00", 1, "Y"), "2026-06-01T00:00", "2026-02-28", "2027-02-28"),
        (calendar("2020-02-29T00:00:00", 1, "Y"), "2024-06-01T00:00", "2024-02-29", "2025-02-28"),
        (calendar("2026-01-31T00:00:00", 1, "M"), "2026-02-28T00:01", "2026-02-28", "2026-03-31"),
        (calendar("2026-01-31T00:00:00", 1, "M"), "2024-03-01T00:00", "2024-02-29", "2024-03-31"),
        (calendar("2026-01-30T00:00:00", 1, "M"), "2026-04-30T00:00:01", "2026-04-30", "2026-05-30"),
        (calendar("2026-01-05T00:00:00", 2, "w"), "2026-01-19T00:00:01", "2026-01-19", "2026-02-02"),
        (calendar("2026-01-01T00:00:00", 1, "d"), "2025-12-24T12:00", "2025-12-24", "2025-12-25"),
        (calendar("2026-01-01T00:00:00", 2, "M"), "2025-12-31T23:00", "2025-11-01", "2026-01-01"),
        (calendar("2026-01-01T00:30:00", 6, "h"), "2026-01-01T07:00", "2026-01-01T06:30", "2026-01-01T12:30"),
    ],
)
def test_the_window_that_holds_an_instant(made: Calendar, now: str, begin: str, end: str) -> None:
    assert window_at(made, at(now)) == (at(begin), at(end))


def test_the_stroke_of_the_begin_belongs_to_the_window_before() -> None:
    made = calendar("2026-01-01T00:00:00", 1, "M")
    midnight = at("2026-03-01")
    assert window_at(made, midnight) == (at("2026-02-01"), midnight)
    assert window_at(made, midnight + 1) == (midnight, at("2026-04-01"))


def test_days_are_as_long_as_the_clock_says() -> None:
    """23 hours in March, 25 in October; both begin at midnight in Berlin."""
    made = calendar("2026-01-01T00:00:00", 1, "d", "Europe/Berlin")
    for day, hours in (("2026-03-28", 24), ("2026-03-29", 23), ("2026-10-25", 25), ("2026-10-26", 24)):
        begin, end = window_at(made, at(f"{day}T12:00", "Europe/Berlin"))
        assert begin == at(day, "Europe/Berlin")
        assert end - begin == hours * HOUR_MS


def test_a_begin_that_the_clock_skips_is_as_long_after_the_skip() -> None:
    """New York, 2026-03-08: 02:30 does not exist; an hour later it is 03:30 by the new time."""
    made = calendar("2026-03-01T02:30:00", 1, "w", "America/New_York")
    begin, end = window_at(made, at("2026-03-09T12:00", "America/New_York"))
    assert datetime.fromtimestamp(begin / 1000, UTC) == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)
    assert end == at("2026-03-15T02:30", "America/New_York")


def test_a_begin_that_the_clock_shows_twice_is_the_first() -> None:
    made = calendar("2026-10-01T01:30:00", 1, "d", "America/New_York")
    begin, end = window_at(made, at("2026-11-01T12:00", "America/New_York"))
    assert datetime.fromtimestamp(begin / 1000, UTC) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    assert end - begin == 25 * HOUR_MS


def test_hours_are_elapsed_time() -> None:
    """Across the change of daylight saving, windows of an hour stay an hour long."""
    made = calendar("2026-10-24T00:00:00", 1, "h", "Europe/Berlin")
    edges = begins(made, at("2026-10-25T00:00") + 1, at("2026-10-25T06:00"))
    assert [int(step) for step in edges[1:] - edges[:-1]] == [HOUR_MS] * (len(edges) - 1)


def test_zones_with_odd_offsets() -> None:
    made = calendar("2026-01-01T00:00:00", 1, "M", "Asia/Kathmandu")
    assert window_at(made, at("2026-05-10"))[0] == at("2026-04-30T18:15")


_LOCAL = datetime.fromisoformat("2015-01-01T00:00:00")
_UNITS: dict[str, Callable[[int], relativedelta]] = {
    "d": lambda steps: relativedelta(days=steps),
    "w": lambda steps: relativedelta(weeks=steps),
    "M": lambda steps: relativedelta(months=steps),
    "Y": lambda steps: relativedelta(years=steps),
}


@given(
    start=st.integers(0, 8_000_000).map(lambda minutes: _LOCAL + timedelta(minutes=minutes)),
    unit=st.sampled_from(["d", "w", "M", "Y"]),
    count=st.integers(1, 5),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
    steps=st.integers(0, 40),
    within=st.floats(0, 1, exclude_max=True),
)
def test_against_naive_steps_of_the_calendar(  # noqa: PLR0917 — drawn by hypothesis
    start: datetime, unit: str, count: int, zone: str, steps: int, within: float
) -> None:
    """The n-th begin is the start and n steps more on the wall clock (dateutil), and every instant has one window."""
    made = calendar(start.isoformat(), count, unit, zone)

    def edge(number: int) -> int:
        local = start + _UNITS[unit](count * number)
        return int(local.replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)

    begin, end = edge(steps), edge(steps + 1)
    now = begin + 1 + int(within * (end - begin - 1))
    assert window_at(made, now) == (begin, end)
    assert window_at(made, begin)[1] == begin
    far = end + timedelta(days=400) // timedelta(milliseconds=1)
    found = begins(made, now, far).tolist()
    assert found[0] == begin
    assert found[1] == end
    assert found == sorted(set(found))
    assert window_at(made, far)[0] == found[-1]

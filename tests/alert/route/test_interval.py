"""Time intervals by the clock on the wall: changes of daylight saving, ends of months, nights."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.alert.route.interval import LOCAL, Stretch, TimeInterval


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


NIGHT = Stretch(times=((0, 6 * 60),), location="Europe/Berlin")


@pytest.mark.parametrize(
    ("instant", "expected"),
    [
        ("2026-03-28T22:59:59+00:00", False),  # 23:59 in Berlin
        ("2026-03-28T23:00:00+00:00", True),
        ("2026-03-29T03:59:00+00:00", True),  # 05:59: the night of spring ends an hour earlier
        ("2026-03-29T04:00:00+00:00", False),
        ("2026-10-24T22:00:00+00:00", True),
        ("2026-10-25T00:30:00+00:00", True),  # 02:30 for the first time
        ("2026-10-25T01:30:00+00:00", True),  # and the second
        ("2026-10-25T04:59:00+00:00", True),
        ("2026-10-25T05:00:00+00:00", False),
    ],
)
def test_a_night_follows_daylight_saving(instant: str, expected: bool) -> None:
    assert NIGHT.contains(ms(instant)) is expected


@pytest.mark.parametrize(
    ("days", "instant", "expected"),
    [
        ((-1, -1), "2028-02-29T12:00:00+00:00", True),
        ((-1, -1), "2027-02-28T12:00:00+00:00", True),
        ((-1, -1), "2028-02-28T12:00:00+00:00", False),
        ((29, 31), "2027-02-28T12:00:00+00:00", False),
        ((28, 31), "2027-02-28T12:00:00+00:00", True),
        ((-31, -31), "2027-02-01T12:00:00+00:00", False),
        ((1, -1), "2027-02-14T12:00:00+00:00", True),
    ],
)
def test_days_from_the_end_of_a_month(days: tuple[int, int], instant: str, expected: bool) -> None:
    assert Stretch(days_of_month=(days,)).contains(ms(instant)) is expected


def test_an_empty_list_holds_nothing_and_nothing_written_holds_everything() -> None:
    assert not Stretch(times=()).contains(0)
    assert Stretch().contains(0)
    assert not TimeInterval("empty").contains(0)


@given(
    at=st.integers(0, 4_000_000_000),
    zone=st.sampled_from(
        ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]
    ),
    low=st.integers(0, 1439),
    days=st.tuples(st.integers(0, 6), st.integers(0, 6)),
)
@settings(max_examples=300, deadline=None)
def test_the_wall_clock_decides(at: int, zone: str, low: int, days: tuple[int, int]) -> None:
    stretch = Stretch(times=((low, 1440),), weekdays=((min(days), max(days)),), location=zone)
    wall = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at)
    wall = wall.astimezone(ZoneInfo(zone))
    weekday = (wall.weekday() + 1) % 7
    expected = wall.hour * 60 + wall.minute >= low and min(days) <= weekday <= max(days)
    assert stretch.contains(at * 1000 + 999) == expected


def test_the_zone_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    local = Stretch(times=((0, 360),), location=LOCAL)
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    time.tzset()
    try:
        assert local.contains(ms("2026-11-22T18:15:00+00:00"))
        assert not local.contains(ms("2026-11-22T18:14:59+00:00"))
    finally:
        monkeypatch.undo()
        time.tzset()

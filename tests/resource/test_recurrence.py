"""Recurring adjustments against a walk over the wall clock, and at the changes of daylight saving."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.resource.recurrence import Recurrence, check_rule, next_spans, spans_of

ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
]


def minute(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) // 60


def shown(spans: list[tuple[int, int]]) -> list[str]:
    return [f"{datetime.fromtimestamp(first * 60, UTC):%m-%d %H:%M}+{end - first}" for first, end in spans]


@pytest.mark.parametrize(
    ("start", "days", "expected"),
    [
        # 02:30 is skipped on the 29th: the instant 30 min after the skip is 03:30 of summer time.
        ("2026-03-28T02:30:00", ("03-28", "03-31"), ["03-28 01:30+60", "03-29 01:30+60", "03-30 00:30+60"]),
        # 02:30 comes twice on the 25th: the first one, of summer time, is meant.
        ("2026-10-24T02:30:00", ("10-24", "10-27"), ["10-24 00:30+60", "10-25 00:30+60", "10-26 01:30+60"]),
    ],
)
def test_at_changes_of_daylight_saving(start: str, days: tuple[str, str], expected: list[str]) -> None:
    rule = Recurrence(start, "Europe/Berlin", "FREQ=DAILY", 60)
    low, high = (minute(f"2026-{day}T00:00+00:00") for day in days)
    assert shown(spans_of(rule, low, high)) == expected


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    hour=st.integers(0, 23),
    half=st.sampled_from([0, 30]),
    interval=st.integers(1, 3),
    length=st.integers(1, 600),
    first=st.integers(0, 360),
    asked=st.integers(0, 400 * 1440),
    width=st.integers(1, 5000),
)
def test_daily_rules_are_what_a_walk_over_the_days_gives(  # noqa: PLR0917 — what is drawn
    zone: str, hour: int, half: int, interval: int, length: int, first: int, asked: int, width: int
) -> None:
    start = datetime(2026, 1, 1, hour, half) + timedelta(days=first)  # noqa: DTZ001 — by the wall clock
    rule = Recurrence(start.isoformat(), zone, f"FREQ=DAILY;INTERVAL={interval}", length)
    low = minute("2026-01-01T00:00+00:00") + asked
    expected = []
    for step in range(0, 800, interval):
        wall = start + timedelta(days=step)
        begin = int(wall.replace(tzinfo=ZoneInfo(zone)).timestamp()) // 60
        if begin < low + width and begin + length > low:
            expected.append((begin, begin + length))
    assert spans_of(rule, low, low + width) == sorted(expected)


def test_rules_end_by_count_and_until() -> None:
    low, high = minute("2026-01-01T00:00+00:00"), minute("2028-01-01T00:00+00:00")
    counted = Recurrence("2026-06-01T10:00:00", "UTC", "FREQ=MONTHLY;BYDAY=1SA;COUNT=3", 60)
    assert shown(spans_of(counted, low, high)) == ["06-06 10:00+60", "07-04 10:00+60", "08-01 10:00+60"]
    until = Recurrence("2026-06-01T00:30:00", "Europe/Berlin", "FREQ=DAILY;UNTIL=20260602T223000Z", 60)
    assert shown(spans_of(until, low, high)) == ["05-31 22:30+60", "06-01 22:30+60", "06-02 22:30+60"]
    days = Recurrence("2026-06-01T23:00:00", "UTC", "FREQ=DAILY;UNTIL=20260602", 60)
    assert len(spans_of(days, low, high)) == 2, "a date alone is the whole day"
    assert next_spans(counted, minute("2026-06-06T10:00+00:00"), 5, 366 * 1440)[0][0] == minute(
        "2026-07-04T10:00+00:00"
    )


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never takes place"),
        ("FREQ=DAILY;UNTIL=20200101T000000Z", "never takes place"),
        ("FREQ=MINUTELY", "FREQ is MINUTELY; write one of"),
        ("FREQ=DAILY;BYMINUTE=0,10,20,30,40,50;BYHOUR=0,1,2,3,4,5,6,7", "more than 24 times a day"),
        ("FREQ=HOURLY", "one begins 60 min after another"),
        ("FREQ=DAILY;BYSECOND=30", "whole minutes"),
        ("every sunday", "is no RRULE of RFC 5545"),
        ("FREQ=WEEKLY;BYDAY=XX", "is no RRULE of RFC 5545"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20300101", "not both"),
        ("FREQ=DAILY;FREQ=WEEKLY", "written twice"),
        ("FREQ=DAILY\nDTSTART:20200101T000000", "is no RRULE"),
        ("FREQ=DAILY;INTERVAL=0;BYMONTH=3", "INTERVAL=0 is no interval"),
        ("FREQ=DAILY;INTERVAL=-1", "INTERVAL=-1 is no interval"),
        ("FREQ=WEEKLY;INTERVAL=99999999999999999999", "write a whole number from 1 to 999"),
        ("FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30", "write FREQ=YEARLY or MONTHLY with BYHOUR"),
        ("FREQ=HOURLY;INTERVAL=6;BYDAY=SU", None),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", None),
        ("FREQ=WEEKLY;BYDAY=SU", None),
    ],
)
def test_rules_that_cannot_be_kept(rule: str, told: str | None) -> None:
    found = check_rule(Recurrence("2026-06-01T10:00:00", "Europe/Berlin", rule, 120))
    assert (found is None) if told is None else (found is not None and told in found)

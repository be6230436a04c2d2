"""What a silence is at an instant, recurring ones over changes of daylight saving included."""

from __future__ import annotations

from datetime import datetime

import pytest

from setpoint.alert.route.matcher import parse_matchers
from setpoint.alert.silence.model import Recurrence, Silence


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def silence(start: str, end: str, recurrence: Recurrence | None = None) -> Silence:
    return Silence("x", parse_matchers("a=b"), ms(start), ms(end), "ada", "why", recurrence=recurrence)


SUNDAYS = Recurrence("2026-10-01T02:30:00", "Europe/Berlin", "FREQ=WEEKLY;BYDAY=SU", 90)


@pytest.mark.parametrize(
    ("at", "state", "change"),
    [
        ("2026-11-23T09:59:59.999Z", "pending", "2026-11-23T10:00:00Z"),
        ("2026-11-23T10:00:00Z", "active", "2026-11-23T12:00:00Z"),
        ("2026-11-23T11:59:59.999Z", "active", "2026-11-23T12:00:00Z"),
        ("2026-11-23T12:00:00Z", "expired", None),
    ],
)
def test_once(at: str, state: str, change: str | None) -> None:
    one = silence("2026-11-23T10:00:00Z", "2026-11-23T12:00:00Z")
    assert one.state(ms(at)) == state
    assert one.is_active(ms(at)) == (state == "active")
    assert one.next_change_ms(ms(at)) == (None if change is None else ms(change))


@pytest.mark.parametrize(
    ("at", "state", "change"),
    [
        ("2026-10-10T00:00:00Z", "pending", "2026-10-18T00:30:00Z"),  # before it starts at all
        ("2026-10-18T00:29:59Z", "pending", "2026-10-18T00:30:00Z"),
        ("2026-10-18T00:30:00Z", "active", "2026-10-18T02:00:00Z"),
        ("2026-10-18T02:00:00Z", "pending", "2026-10-25T00:30:00Z"),
        ("2026-10-25T00:30:00Z", "active", "2026-10-25T02:00:00Z"),  # 02:30 comes twice; the first is meant
        ("2026-10-25T01:59:00Z", "active", "2026-10-25T02:00:00Z"),
        (
            "2026-10-25T02:00:00Z",
            "pending",
            "2026-11-01T01:30:00Z",
        ),  # an hour later by UTC, the same by the clock
        ("2026-11-08T01:45:00Z", "active", "2026-11-08T02:00:00Z"),  # its end cuts the last one
        ("2026-11-08T02:00:00Z", "expired", None),
    ],
)
def test_again_and_again(at: str, state: str, change: str | None) -> None:
    one = silence("2026-10-12T00:00:00Z", "2026-11-08T02:00:00Z", SUNDAYS)
    assert one.state(ms(at)) == state
    assert one.is_active(ms(at)) == (state == "active")
    assert one.next_change_ms(ms(at)) == (None if change is None else ms(change))


def test_in_spring_the_hour_that_is_skipped_counts_after_it() -> None:
    one = silence("2026-03-01T00:00:00Z", "2026-04-30T00:00:00Z", SUNDAYS_OF_SPRING)
    assert one.is_active(ms("2026-03-22T01:30:00Z"))
    assert not one.is_active(ms("2026-03-29T01:29:00Z"))
    assert one.is_active(ms("2026-03-29T01:30:00Z"))  # 03:30, since there is no 02:30
    assert one.is_active(ms("2026-04-05T00:30:00Z"))


SUNDAYS_OF_SPRING = Recurrence("2026-03-01T02:30:00", "Europe/Berlin", "FREQ=WEEKLY;BYDAY=SU", 90)


def test_one_that_never_comes_again_has_ended() -> None:
    once = Recurrence("2026-10-18T02:00:00", "UTC", "FREQ=DAILY;COUNT=1", 60)
    one = silence("2026-10-01T00:00:00Z", "2027-10-01T00:00:00Z", once)
    assert one.state(ms("2026-10-18T01:00:00Z")) == "pending"
    assert one.state(ms("2026-10-18T02:00:00Z")) == "active"
    assert one.state(ms("2026-10-18T03:00:00Z")) == "expired"
    assert one.next_change_ms(ms("2026-10-18T03:00:00Z")) is None

"""The customers' arithmetic: the shape of a day, and how the rush backs off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.demo.load import Pace, daily_factor


def test_a_day_has_the_mean_of_1_a_quiet_night_and_a_busy_afternoon() -> None:
    day = [daily_factor(minute / 60) for minute in range(24 * 60)]
    assert sum(day) / len(day) == pytest.approx(1)
    assert min(day[60:300]) == min(day)
    assert max(day[12 * 60 : 20 * 60]) == max(day)
    assert min(day) > 0.5
    assert max(day) < 1.5
    assert daily_factor(0) == pytest.approx(daily_factor(24))


def test_the_rush_backs_off_when_answers_are_slow_and_comes_back() -> None:
    pace = Pace(first=1.0)
    for _ in range(100):
        pace.record(0.5)
    assert pace.adjust() == pytest.approx(0.7)
    for _ in range(100):
        pace.record(0.01)
    assert pace.adjust() == pytest.approx(0.84)
    assert pace.adjust() == pytest.approx(0.84), "no answers tell nothing"


@given(st.lists(st.lists(st.floats(0, 10), max_size=20), max_size=50))
def test_the_share_stays_within_its_bounds(seconds: list[list[float]]) -> None:
    pace = Pace()
    for latencies_s in seconds:
        for latency_s in latencies_s:
            pace.record(latency_s)
        assert Pace.LEAST <= pace.adjust() <= 1

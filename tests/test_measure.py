"""Histograms of durations, against counting by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.measure import Durations


@given(st.lists(st.floats(-1, 20), max_size=50))
def test_counts_are_cumulative_and_bounds_inclusive(seconds: list[float]) -> None:
    durations = Durations((0.5, 1.0, 2.0))
    for one in seconds:
        durations.observe(one)
    counted = durations.counted
    assert counted.bounds_s == (0.5, 1.0, 2.0, float("inf"))
    assert counted.counts == tuple(sum(one <= bound for one in seconds) for bound in counted.bounds_s)
    assert counted.sum_s == pytest.approx(sum(max(0.0, one) for one in seconds))


def test_a_block_that_raises_is_observed() -> None:
    durations = Durations()
    with pytest.raises(ZeroDivisionError), durations.timed():
        raise ZeroDivisionError
    assert durations.counted.counts[-1] == 1

"""Where counters were reset, against plain Python."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.telemetry.held_kernels import resets

numbers = st.sampled_from([0.0, 1.0, 2.0, 5.5, 1e17, -3.0, np.nan, np.inf, -np.inf])


@settings(max_examples=100, deadline=None)
@given(every=st.lists(st.lists(numbers, max_size=20), max_size=30), before=st.integers(0, 5))
def test_the_resets_of_each_series_are_listed(every: list[list[float]], before: int) -> None:
    """Also those of a part of larger columns, whose first series does not begin at 0."""
    offsets = np.cumsum([before, *map(len, every)])
    values = np.array([*[9.0] * before, *itertools.chain(*every)])
    expected = [
        [int(start) + k for k in range(1, len(one)) if one[k] < one[k - 1]]
        for start, one in zip(offsets, every, strict=False)
    ]
    positions, of_series = resets(offsets, values)
    assert [positions[a:b].tolist() for a, b in itertools.pairwise(of_series)] == expected
    assert len(positions) == of_series[-1]


def test_more_resets_than_there_was_room_for_at_first() -> None:
    values = np.array([3.0, 2.0, 1.0] * 1000)
    positions, of_series = resets(np.array([0, 3, 1500, 3000]), values)
    expected = [k for k in range(3000) if k % 3 and k not in {0, 3, 1500}]
    assert positions.tolist() == expected
    assert of_series.tolist() == [0, 2, 2 + 998, 2 + 998 + 1000]

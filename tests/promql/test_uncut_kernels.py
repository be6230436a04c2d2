"""Windows over samples where they lie: equal to the bit to those over samples that were cut out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.promql import kernels, uncut_kernels
from setpoint.telemetry.held_kernels import bounds
from setpoint.telemetry.model import SampleColumns
from setpoint.telemetry.uncut import Source, UncutColumns

numbers = st.sampled_from([0.0, 1.0, 2.0, 5.5, 1e17, -3.0, np.nan, np.inf, -np.inf])
series = st.lists(st.tuples(st.integers(1, 40), numbers), max_size=40)


@settings(max_examples=300, deadline=None)
@given(
    every=st.lists(series, min_size=1, max_size=4),
    start=st.integers(-10, 400),
    length=st.integers(0, 500),
    range_ms=st.integers(1, 300),
    step=st.integers(1, 60),
    counter=st.booleans(),
    per_second=st.booleans(),
)
def test_equals_the_kernel_over_columns_of_its_own(  # noqa: PLR0917
    every: list[list[tuple[int, float]]],
    start: int,
    length: int,
    range_ms: int,
    step: int,
    counter: bool,
    per_second: bool,
) -> None:
    times = [np.cumsum([gap for gap, _ in one], dtype=np.int64) for one in every]
    offsets = np.concatenate(([0], np.cumsum([len(one) for one in every]))).astype(np.int64)
    values = np.array([value for one in every for _, value in one], np.float64)
    labels = tuple({"n": str(place)} for place in range(len(every)))
    source = Source(SampleColumns(labels, offsets, np.concatenate(times), values))
    firsts, sizes = bounds(offsets, source.columns.timestamps_ms, start, start + length)
    uncut = UncutColumns(labels, sizes, source, np.arange(len(every)), firsts)
    assert uncut.samples == len(uncut.values) == len(uncut.timestamps_ms)
    ends = np.arange(start + range_ms, start + length + 1, step, dtype=np.int64)
    resets, of_series = source.resets
    there = uncut_kernels.extrapolated(
        uncut.rows, firsts, sizes, source.columns.timestamps_ms, values, resets, of_series, ends, range_ms,
        counter, per_second,
    )  # fmt: skip
    copied = kernels.extrapolated(
        uncut.offsets, uncut.timestamps_ms, uncut.values, ends, range_ms, counter, per_second
    )
    assert np.array_equal(there[1], copied[1])
    assert np.array_equal(there[0].view(np.int64), copied[0].view(np.int64))


@pytest.mark.parametrize("stale", [False, True])
def test_a_source_knows_its_stale_markers(stale: bool) -> None:
    values = np.array([1.0, np.nan, 0.5])
    if stale:
        values.view(np.int64)[1] = kernels.STALE_BITS
    columns = SampleColumns(({},), np.array([0, 3]), np.arange(3), values)
    assert Source(columns).has_stale is stale

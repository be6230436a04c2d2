"""Kernels that look at what a window adds and drops say what reading every window anew says."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.promql import kernels, sliding_kernels
from setpoint.promql.kernels import fold

VALUES = st.one_of(
    st.sampled_from([0.0, 1.0, 2.0, -3.0, 1e300, math.nan, math.inf, -math.inf]),
    st.floats(-1e6, 1e6, width=32),
)
SERIES = st.lists(st.lists(st.tuples(st.integers(1, 40), VALUES), max_size=120), max_size=4)

KERNELS = {
    kernels.MAX: lambda q, *columns: sliding_kernels.extremes(True, False, *columns),
    kernels.MIN: lambda q, *columns: sliding_kernels.extremes(False, False, *columns),
    kernels.TS_MAX: lambda q, *columns: sliding_kernels.extremes(True, True, *columns),
    kernels.TS_MIN: lambda q, *columns: sliding_kernels.extremes(False, True, *columns),
    kernels.CHANGES: lambda q, *columns: sliding_kernels.count_changes(False, *columns),
    kernels.RESETS: lambda q, *columns: sliding_kernels.count_changes(True, *columns),
    kernels.QUANTILE: sliding_kernels.quantiles,
    kernels.SUM: lambda q, *columns: sliding_kernels.sums(False, *columns),
    kernels.AVG: lambda q, *columns: sliding_kernels.sums(True, *columns),
}


@pytest.mark.parametrize("code", sorted(KERNELS))
@settings(max_examples=150, deadline=None)
@given(SERIES, st.integers(1, 900), st.integers(1, 300), st.integers(-50, 50))
def test_windows_are_those_that_fold_reads(
    code: int, series: list[list[tuple[int, float]]], range_ms: int, step_ms: int, first_ms: int
) -> None:
    offsets = np.cumsum([0, *map(len, series)]).astype(np.int64)
    times = [np.cumsum([gap for gap, _ in one]) for one in series]
    timestamps = np.concatenate([np.zeros(0, np.int64), *times]).astype(np.int64)
    values = np.array([value for one in series for _, value in one], np.float64)
    ends = np.arange(first_ms, first_ms + 30 * step_ms, step_ms, dtype=np.int64)
    q = np.linspace(-0.1, 1.1, 30)
    columns = offsets, timestamps, values, ends, range_ms
    expected, there = fold(code, *columns, q, np.zeros(30), ends, 1)
    found, present = KERNELS[code](q, *columns)
    assert np.array_equal(present, there)
    if code in (kernels.SUM, kernels.AVG):
        expected = np.where(np.isfinite(expected), expected, np.nan)
        found = np.where(np.isnan(found), expected, found)  # what is marked is read anew
        np.testing.assert_allclose(found[there], expected[there], rtol=1e-13, atol=1e-290)
    else:
        assert np.array_equal(found[there], expected[there], equal_nan=True)

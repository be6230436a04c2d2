# ruff: noqa: PLR0917 - kernels take flat arrays
"""rate, increase and delta over samples that may lie in larger columns: a window costs the same whatever its length.

`ranges` calls it where samples were not cut out, and `kernels.extrapolated` where they were. The next edge of a window
is searched for in steps that double, and the resets of a counter come as a list.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled

__all__ = ["extrapolated", "warm"]

_NEAR = 4
"""So many samples are looked at one by one: mostly a step adds fewer."""


@compiled
def _after(times: Any, here: Any, stop: Any, instant_ms: Any) -> Any:
    """The first position in here:stop whose time is later than `instant_ms`."""
    near = min(here + _NEAR, stop)
    while here < near and times[here] <= instant_ms:
        here += 1
    if here < near or here == stop or times[here] > instant_ms:
        return here
    stride = 1
    while here + stride <= stop and times[here + stride - 1] <= instant_ms:
        here += stride
        stride *= 2
    low, high = here, min(here + stride - 1, stop)
    while low < high:
        middle = (low + high) // 2
        if times[middle] <= instant_ms:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _extrapolate(
    rise: Any,
    first: Any,
    first_ms: Any,
    last_ms: Any,
    intervals: Any,
    start_ms: Any,
    end_ms: Any,
    counter: Any,
) -> Any:
    """The factor from what the samples rose by to what the window rose by (Prometheus's extrapolatedRate)."""
    to_start = (first_ms - start_ms) / 1000.0
    to_end = (end_ms - last_ms) / 1000.0
    sampled = (last_ms - first_ms) / 1000.0
    average = sampled / intervals
    threshold = average * 1.1
    if to_start >= threshold:
        to_start = average / 2
    if counter:
        to_zero = to_start
        if rise > 0 and first >= 0:
            to_zero = sampled * (first / rise)
        to_start = min(to_start, to_zero)
    if to_end >= threshold:
        to_end = average / 2
    return (sampled + to_start + to_end) / sampled


@compiled
def extrapolated(
    rows: Any,
    firsts: Any,
    offsets: Any,
    timestamps: Any,
    values: Any,
    resets: Any,
    resets_of: Any,
    ends: Any,
    range_ms: Any,
    counter: Any,
    per_second: Any,
) -> Any:
    """rate (`counter`, `per_second`), increase (`counter`) and delta, as Prometheus 3 computes them: (values
    float64[n, s], present bool[n, s]).

    A window adds up its resets one by one: a prefix sum of them would cost less, but lets one infinite sample spoil
    every later window.

    Series i has `offsets[i + 1] - offsets[i]` samples from position `firsts[i]` on; its resets, if it is a counter, are
    among `resets[resets_of[r]:resets_of[r + 1]]`, r = `rows[i]`, ascending. `ends` int64[s] never descend.
    """
    series, steps = len(offsets) - 1, len(ends)
    out = np.zeros((series, steps))
    present = np.zeros((series, steps), np.bool_)
    for i in range(series):
        start = firsts[i]
        stop = start + offsets[i + 1] - offsets[i]
        reset_low, reset_stop = 0, 0
        if counter:
            reset_low, reset_stop = resets_of[rows[i]], resets_of[rows[i] + 1]
        low, high, reset_high = start, start, reset_low
        for j in range(steps):
            end_ms = ends[j]
            high = _after(timestamps, high, stop, end_ms)
            low = _after(timestamps, low, high, end_ms - range_ms)
            if high - low < 2:
                continue
            while reset_low < reset_stop and resets[reset_low] <= low:
                reset_low += 1
            reset_high = max(reset_high, reset_low)
            while reset_high < reset_stop and resets[reset_high] < high:
                reset_high += 1
            rise = values[high - 1] - values[low]
            for r in range(reset_low, reset_high):
                rise += values[resets[r] - 1]
            factor = _extrapolate(
                rise,
                values[low],
                timestamps[low],
                timestamps[high - 1],
                high - low - 1,
                end_ms - range_ms,
                end_ms,
                counter,
            )
            if per_second:
                factor /= range_ms / 1000.0
            out[i, j] = rise * factor
            present[i, j] = True
    return out, present


def warm() -> None:
    """Compile the kernel of this file, or load it from the cache."""
    one = np.array([0], np.int64)
    offsets, times, values = (
        np.array([0, 2], np.int64),
        np.array([1000, 2000], np.int64),
        np.array([1.0, 2.0]),
    )
    extrapolated(one, one, offsets, times, values, one[:0], offsets[:2] * 0, times, 2000, True, True)

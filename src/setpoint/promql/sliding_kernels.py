# ruff: noqa: PLR0917 - kernels take flat arrays, and numba has no keyword arguments to speak of
"""The compiled loops over long windows that overlap: what a step adds and what it drops is all that they look at.

`ranges` takes them where windows hold many samples; `kernels.fold` reads each window anew and says the same. Extremes
are kept in a queue of those that can still win, quantiles in a sorted copy of the window, changes and resets as
running counts. Sums are made of the sums of blocks of samples, all with compensation: nothing is ever subtracted, so
neither an infinite sample nor a large one spoils a later window. What is not finite is marked, for `fold` to repeat.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from setpoint.compensated import add
from setpoint.compiled import compiled
from setpoint.promql.window_kernels import moved, quantile

__all__ = ["count_changes", "extremes", "quantiles", "sums", "warm"]

_BLOCK = 32


@compiled
def extremes(
    largest: Any, as_times: Any, offsets: Any, timestamps: Any, values: Any, ends: Any, range_ms: Any
) -> Any:
    """max_over_time (`largest`) or min_over_time, or with `as_times` when that was, in seconds."""
    series, steps = len(offsets) - 1, len(ends)
    out, present = np.zeros((series, steps)), np.zeros((series, steps), np.bool_)
    queue = np.empty(np.diff(offsets).max() if series else 0, np.int64)
    for i in range(series):
        start, stop = offsets[i], offsets[i + 1]
        low, high, first, count = start, start, 0, 0
        for j in range(steps):
            before = high
            low, high = moved(timestamps, low, high, stop, ends[j], range_ms)
            for k in range(max(before, low), high):
                value = values[k]
                if math.isnan(value):
                    continue
                while count > first and (
                    values[queue[count - 1]] < value if largest else values[queue[count - 1]] > value
                ):
                    count -= 1
                queue[count] = k
                count += 1
            while first < count and queue[first] < low:
                first += 1
            if first == count:
                first = count = 0
            if high > low:
                best = queue[first] if count > first else high - 1  # NaN where there is nothing else
                out[i, j] = timestamps[best] / 1000.0 if as_times else values[best]
                present[i, j] = True
    return out, present


@compiled
def count_changes(falls: Any, offsets: Any, timestamps: Any, values: Any, ends: Any, range_ms: Any) -> Any:
    """changes(), or resets() where only `falls` count."""
    series, steps = len(offsets) - 1, len(ends)
    out, present = np.zeros((series, steps)), np.zeros((series, steps), np.bool_)
    running = np.zeros(np.diff(offsets).max() if series else 0, np.int64)
    for i in range(series):
        start, stop = offsets[i], offsets[i + 1]
        for k in range(start + 1, stop):
            before, after = values[k - 1], values[k]
            is_change = after != before and not (math.isnan(after) and math.isnan(before))
            counts = after < before if falls else is_change
            running[k - start] = running[k - start - 1] + counts
        low, high = start, start
        for j in range(steps):
            low, high = moved(timestamps, low, high, stop, ends[j], range_ms)
            if high > low:
                out[i, j] = running[high - 1 - start] - running[low - start]
                present[i, j] = True
    return out, present


@compiled
def sums(average: Any, offsets: Any, timestamps: Any, values: Any, ends: Any, range_ms: Any) -> Any:
    """sum_over_time or avg_over_time; NaN where that is not finite, or may not be."""
    series, steps = len(offsets) - 1, len(ends)
    out, present = np.zeros((series, steps)), np.zeros((series, steps), np.bool_)
    blocks = np.empty((2, (np.diff(offsets).max() if series else 0) // _BLOCK + 1))
    for i in range(series):
        start, stop = offsets[i], offsets[i + 1]
        for b in range((stop - start) // _BLOCK):
            total, lost = 0.0, 0.0
            for k in range(start + b * _BLOCK, start + (b + 1) * _BLOCK):
                total, lost = add(values[k], total, lost)
            blocks[0, b], blocks[1, b] = total, lost
        low, high = start, start
        for j in range(steps):
            low, high = moved(timestamps, low, high, stop, ends[j], range_ms)
            if high == low:
                continue
            total, lost, k = 0.0, 0.0, low
            while k < high:
                if (k - start) % _BLOCK == 0 and k + _BLOCK <= high:
                    b = (k - start) // _BLOCK
                    total, lost = add(blocks[0, b], total, lost)
                    lost += blocks[1, b]
                    k += _BLOCK
                else:
                    total, lost = add(values[k], total, lost)
                    k += 1
            count = high - low
            value = total / count + lost / count if average else total + lost
            out[i, j] = value if math.isfinite(value) else math.nan
            present[i, j] = True
    return out, present


@compiled
def _place(ordered: Any, count: Any, value: Any) -> Any:
    """Where the first of the `count` ascending numbers stands that is not below `value`."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if ordered[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def quantiles(q: Any, offsets: Any, timestamps: Any, values: Any, ends: Any, range_ms: Any) -> Any:
    """quantile_over_time, q float64[s]."""
    series, steps = len(offsets) - 1, len(ends)
    out, present = np.zeros((series, steps)), np.zeros((series, steps), np.bool_)
    ordered = np.empty(np.diff(offsets).max() if series else 0)
    for i in range(series):
        start, stop = offsets[i], offsets[i + 1]
        low, high, count, nans = start, start, 0, 0
        for j in range(steps):
            left, entered = low, high
            low, high = moved(timestamps, low, high, stop, ends[j], range_ms)
            for k in range(left, min(low, entered)):
                if math.isnan(values[k]):
                    nans -= 1
                    continue
                place = _place(ordered, count, values[k])
                count -= 1
                for m in range(place, count):
                    ordered[m] = ordered[m + 1]
            for k in range(max(entered, low), high):
                if math.isnan(values[k]):
                    nans += 1
                    continue
                place = _place(ordered, count, values[k])
                for m in range(count, place, -1):
                    ordered[m] = ordered[m - 1]
                ordered[place] = values[k]
                count += 1
            if high > low:
                out[i, j] = quantile(q[j], ordered, count, nans)
                present[i, j] = True
    return out, present


def warm() -> None:
    """Compile the kernels of this file, or load them from the cache."""
    offsets, timestamps = np.array([0, 2], np.int64), np.array([1000, 2000], np.int64)
    values, ends = np.array([1.0, 2.0]), np.array([2000], np.int64)
    columns = offsets, timestamps, values, ends, 2000
    extremes(True, False, *columns)
    count_changes(True, *columns)
    sums(False, *columns)
    quantiles(np.array([0.5]), *columns)

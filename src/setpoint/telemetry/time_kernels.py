"""The compiled loops over the times of one series, for the head, the store and what is held of both."""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled

__all__ = ["first_after", "settle"]


@compiled
def first_after(times: Any, low: Any, high: Any, instant_ms: Any) -> Any:
    """The first position in low:high whose time is later than `instant_ms`, else `high`; times never descend."""
    if low == high or times[low] > instant_ms:
        return low
    if times[high - 1] <= instant_ms:
        return high
    while low < high:
        middle = (low + high) // 2
        if times[middle] <= instant_ms:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def settle(times: Any, values: Any) -> Any:
    """Sort one series in place by time, of equal times only the last; how many samples are left."""
    order = np.argsort(times, kind="mergesort")
    sorted_times, sorted_values = times[order], values[order]
    end = 0
    for k in range(len(order)):
        if end and times[end - 1] == sorted_times[k]:
            end -= 1
        times[end] = sorted_times[k]
        values[end] = sorted_values[k]
        end += 1
    return end

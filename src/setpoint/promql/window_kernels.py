# ruff: noqa: PLR0917 - kernels take flat arrays
"""What the compiled loops over windows and across series share: the next window, and a quantile.

`kernels`, `sliding_kernels` and `group_kernels` call them.
"""

from __future__ import annotations

import math
from typing import Any

from setpoint.compiled import compiled

__all__ = ["moved", "quantile"]


@compiled
def moved(timestamps: Any, low: Any, high: Any, stop: Any, end_ms: Any, range_ms: Any) -> Any:
    """The window (end - range, end] as positions, from those of one before it."""
    while high < stop and timestamps[high] <= end_ms:
        high += 1
    while low < high and timestamps[low] <= end_ms - range_ms:
        low += 1
    return low, high


@compiled
def quantile(q: Any, ordered: Any, count: Any, nans: Any) -> Any:
    """The linearly interpolated quantile of the first `count` of `ordered`, which ascend, and of `nans` NaN, which are
    smaller than all of them.
    """
    if math.isnan(q):
        return math.nan
    if q < 0:
        return -math.inf
    if q > 1:
        return math.inf
    rank = q * (count + nans - 1)
    lower = math.floor(rank)
    upper = min(count + nans - 1, lower + 1)
    weight = rank - lower
    below = ordered[lower - nans] if lower >= nans else math.nan
    above = ordered[upper - nans] if upper >= nans else math.nan
    return below * (1 - weight) + above * weight

"""Cuts a kernel's work over the windows of many series into slices, so that a query can end between two.

`ranges` and `selectors` run their kernels through it. A kernel answers (values [n, s], present [n, s]) for
the series and steps that it is given; a slice takes about a tenth of a second. Series are cut first, and the
steps of one series where that alone is too much.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.promql.budget import Budget
from setpoint.promql.model import FloatGrid, Presence

__all__ = ["SLICE_COST", "by_steps", "sliced", "window_cost"]

SLICE_COST = 20_000_000
"""Elementary steps of a kernel between two looks at the clock."""

Run = Callable[[slice, slice], tuple[Any, Any]]
"""Computes a slice of the series and a slice of the steps."""


def window_cost(
    offsets: npt.NDArray[np.int64], timestamps: npt.NDArray[np.int64], range_ms: int, steps: int
) -> npt.NDArray[np.float64]:
    """About how many samples a kernel looks at that reads every window of each series anew, float64[n]."""
    counts = np.diff(offsets).astype(np.float64)
    if not len(timestamps):
        return counts + steps
    last = np.maximum(offsets[1:] - 1, offsets[:-1])
    held = counts > 0
    span = np.ones(len(counts))
    span[held] = timestamps[last[held]] - timestamps[offsets[:-1][held]] + 1
    cost: npt.NDArray[np.float64] = counts + steps * (1 + np.minimum(counts, counts * range_ms / span + 1))
    return cost


def sliced(
    budget: Budget, cost: npt.NDArray[np.float64], walk: npt.NDArray[np.int64], steps: int, run: Run
) -> tuple[FloatGrid, Presence]:
    """(values, present) of all series and steps; `cost` float64[n] is that of each series, `walk` int64[n]
    what it costs to begin with it.

    Raises as `Budget.spend` before it allocates, and as `Budget.check` between two slices.
    """
    series = len(cost)
    budget.spend(series * steps)
    if cost.sum() <= SLICE_COST or not series or not steps:
        values, present = run(slice(0, series), slice(0, steps))
        return values, present
    values, present = np.zeros((series, steps)), np.zeros((series, steps), np.bool_)
    for rows, columns in _cuts(cost, walk, steps):
        budget.check()
        values[rows, columns], present[rows, columns] = run(rows, columns)
    return values, present


def _cuts(
    cost: npt.NDArray[np.float64], walk: npt.NDArray[np.int64], steps: int
) -> Iterator[tuple[slice, slice]]:
    ends = np.cumsum(cost)
    first, series = 0, len(cost)
    while first < series:
        before = ends[first - 1] if first else 0.0
        stop = max(int(np.searchsorted(ends, before + SLICE_COST, "right")), first + 1)
        parts = 1
        if stop == first + 1 and cost[first] > SLICE_COST:
            # Each part walks to its first window again, so parts that are smaller than the walk gain nothing.
            parts = min(steps, int(cost[first] // max(SLICE_COST, 4 * int(walk[first]))) + 1)
        for columns in by_steps(steps, parts):
            yield slice(first, stop), columns
        first = stop


def by_steps(steps: int, parts: int) -> Iterator[slice]:
    """`steps` in about `parts` slices of equal length."""
    length = max(-(-steps // max(parts, 1)), 1)
    for first in range(0, steps, length):
        yield slice(first, min(first + length, steps))

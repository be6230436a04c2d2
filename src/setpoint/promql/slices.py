"""Cuts a kernel's work over the windows of many series into slices, for as many cores as there are, so that a query can
end between two.

`ranges` and `selectors` run their kernels through it. A kernel answers (values [n, s], present [n, s]) for
the series and steps that it is given; a slice takes about a tenth of a second. Series are cut first, and the
steps of one series where that alone is too much.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.promql.budget import Budget
from setpoint.promql.model import FloatGrid, Presence

__all__ = ["SLICE_COST", "by_steps", "sliced", "window_cost"]

SLICE_COST = 20_000_000
"""Elementary steps of a kernel between two looks at the clock."""

_ALONE = 4_000_000
"""What costs no more is done at once, on one thread."""

_CORES = os.cpu_count() or 1
_WORKERS = ThreadPoolExecutor(_CORES, thread_name_prefix="kernel")

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

    `run` is called from several threads. Raises as `Budget.spend` before it allocates, and as `Budget.check` between
    slices.
    """
    series = len(cost)
    budget.spend(series * steps)
    if cost.sum() <= min(_ALONE, SLICE_COST) or not series or not steps:
        values, present = run(slice(0, series), slice(0, steps))
        return values, present
    values, present = np.zeros((series, steps)), np.zeros((series, steps), np.bool_)

    def work(rows: slice, columns: slice) -> None:
        values[rows, columns], present[rows, columns] = run(rows, columns)

    cuts = _cuts(cost, walk, steps)
    while wave := list(islice(cuts, _CORES)):
        budget.check()
        # The first one on this thread; kernels let the others run meanwhile.
        futures = [_WORKERS.submit(work, *one) for one in wave[1:]]
        try:
            work(*wave[0])
        finally:
            wait(futures)
        for future in futures:
            future.result()
    return values, present


def _cuts(
    cost: npt.NDArray[np.float64], walk: npt.NDArray[np.int64], steps: int
) -> Iterator[tuple[slice, slice]]:
    ends = np.cumsum(cost)
    first, series = 0, len(cost)
    share = min(SLICE_COST, max(ends[-1] / _CORES, _ALONE / 2))
    while first < series:
        before = ends[first - 1] if first else 0.0
        stop = max(int(np.searchsorted(ends, before + share, "right")), first + 1)
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

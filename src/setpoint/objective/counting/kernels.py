# ruff: noqa: PLR0912, PLR0917 - kernels take flat arrays
"""The compiled sum over the matrix of queries × series: what sum() of each query is in each slot.

`sums` calls it. Sums are compensated as those of the query language are, in the same order, so that a number
is the same whichever way it was counted.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from setpoint.compensated import add
from setpoint.compiled import compiled

__all__ = ["sums", "warm"]


@compiled
def sums(
    offsets: Any,
    rows: Any,
    groups: Any,
    is_grouped: Any,
    takes_infinity: Any,
    values: Any,
    held: Any,
    minutes: Any,
    out: Any,
    present: Any,
    undefined: Any,
    most: Any,
) -> Any:
    """Sum i, of the rows `rows[offsets[i]:offsets[i + 1]]` of `values` where they are `held`, to row i of `out`.

    A grouped one has its rows sorted by group; each group is summed, and then those with finite values together.
    `most[i]` is how many groups have such values in one minute; slot j is in the minute `minutes[j]`, from 0 on.
    """
    slots = values.shape[1]
    total, lost = np.zeros(slots), np.zeros(slots)
    some = np.zeros(slots, np.bool_)
    speaking = np.zeros(minutes[slots - 1] + 1 if slots else 0, np.int64)
    for i in range(len(offsets) - 1):
        speaking[:] = 0
        first = offsets[i]
        while first < offsets[i + 1]:
            end = offsets[i + 1]
            if is_grouped[i]:
                end = first + 1
                while end < offsets[i + 1] and groups[end] == groups[first]:
                    end += 1
            total[:], lost[:], some[:] = 0.0, 0.0, False
            for k in range(first, end):
                row = rows[k]
                for j in range(slots):
                    if held[row, j]:
                        total[j], lost[j] = add(values[row, j], total[j], lost[j])
                        some[j] = True
            minute = np.int64(-1)
            for j in range(slots):
                if not some[j]:
                    continue
                value = total[j] + lost[j]
                if not is_grouped[i]:
                    out[i, j], present[i, j] = value, True
                elif math.isfinite(value) or (takes_infinity[i] and not math.isnan(value)):
                    out[i, j] += value
                    present[i, j] = True
                    if minutes[j] != minute:
                        minute = minutes[j]
                        speaking[minute] += 1
                        most[i] = max(most[i], speaking[minute])
                else:
                    undefined[i, j] = True
            first = end


def warm() -> None:
    """Compile the kernel, or load it from the cache."""
    one, flag = np.zeros(1, np.int64), np.zeros(1, np.bool_)
    grid, marks = np.zeros((1, 1)), np.zeros((1, 1), np.bool_)
    sums(
        np.array([0, 1]), one, one, flag, flag, grid, marks, one, grid.copy(), marks.copy(), marks.copy(), one.copy()
    )  # fmt: skip

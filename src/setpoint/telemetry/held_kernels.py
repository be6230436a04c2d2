# ruff: noqa: PLR0917 - kernels take flat arrays
"""The compiled loops of `held_samples`: a range cut out of columns, columns put behind others, resets of counters."""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled
from setpoint.telemetry.time_kernels import first_after

__all__ = ["append", "bounds", "chosen", "put", "resets", "warm"]


@compiled
def bounds(offsets: Any, times: Any, start_ms: Any, end_ms: Any) -> Any:
    """Per series where its samples with start_ms < t <= end_ms begin, and offsets int64[n + 1] of these alone."""
    series = len(offsets) - 1
    firsts, sizes = np.empty(series, np.int64), np.zeros(series + 1, np.int64)
    for i in range(series):
        first = first_after(times, offsets[i], offsets[i + 1], start_ms)
        firsts[i] = first
        sizes[i + 1] = sizes[i] + first_after(times, first, offsets[i + 1], end_ms) - first
    return firsts, sizes


@compiled
def chosen(firsts: Any, sizes: Any, times: Any, values: Any) -> Any:
    """The samples that `bounds` found."""
    out_times, out_values = np.empty(sizes[-1], np.int64), np.empty(sizes[-1], np.float64)
    for i in range(len(firsts)):
        shift = firsts[i] - sizes[i]
        for k in range(sizes[i], sizes[i + 1]):
            out_times[k] = times[k + shift]
            out_values[k] = values[k + shift]
    return out_times, out_values


@compiled
def append(offsets: Any, times: Any, values: Any, new_offsets: Any, new_times: Any, new_values: Any) -> Any:
    """Columns of the same series, those of each behind one another: (offsets, times, values)."""
    series = len(offsets) - 1
    out_offsets = offsets + new_offsets
    out_times, out_values = np.empty(out_offsets[-1], np.int64), np.empty(out_offsets[-1], np.float64)
    for i in range(series):
        at = out_offsets[i]
        for k in range(offsets[i], offsets[i + 1]):
            out_times[at] = times[k]
            out_values[at] = values[k]
            at += 1
        for k in range(new_offsets[i], new_offsets[i + 1]):
            out_times[at] = new_times[k]
            out_values[at] = new_values[k]
            at += 1
    return out_offsets, out_times, out_values


@compiled
def put(
    ranks: Any, offsets: Any, times: Any, values: Any, places: Any, out_times: Any, out_values: Any
) -> Any:
    """Copy the samples of each series to where those of its rank go, and move that place behind them."""
    for i in range(len(ranks)):
        at = places[ranks[i]]
        for k in range(offsets[i], offsets[i + 1]):
            out_times[at] = times[k]
            out_values[at] = values[k]
            at += 1
        places[ranks[i]] = at


@compiled
def resets(offsets: Any, values: Any) -> Any:
    """The positions of values that are below the one before them in their series, and offsets int64[n + 1] of these."""
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    # A loop that wrote to an array which may grow would take ten times as long as this one.
    here, positions, ends = (
        np.empty(longest, np.int64),
        np.empty(64, np.int64),
        np.zeros(len(offsets), np.int64),
    )
    for i in range(len(offsets) - 1):
        count, before = 0, ends[i]
        for k in range(offsets[i] + 1, offsets[i + 1]):
            if values[k] < values[k - 1]:
                here[count] = k
                count += 1
        if count:
            if before + count > len(positions):
                grown = np.empty(2 * (before + count), np.int64)
                grown[:before] = positions[:before]
                positions = grown
            positions[before : before + count] = here[:count]
        ends[i + 1] = before + count
    return positions[: ends[-1]], ends


def warm() -> None:
    """Compile the kernels of this file, or load them from the cache."""
    offsets, times, values = np.array([0, 1], np.int64), np.array([1], np.int64), np.array([1.0])
    firsts, sizes = bounds(offsets, times, 0, 1)
    chosen(firsts, sizes, times, values)
    resets(offsets, values)
    put(offsets[:1], offsets, times, values, offsets[:1].copy(), times, values)
    append(offsets, times, values, offsets, times, values)

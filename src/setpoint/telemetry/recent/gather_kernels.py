# ruff: noqa: PLR0912, PLR0917 - kernels take flat arrays
"""The compiled loops that make answers of decoded chunks, open blocks and late samples.

`gather` calls them. The pieces of series i are `bounds[i]:bounds[i + 1]`, in the order in which they were
written, so where two hold the same timestamp the later wins.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled
from setpoint.telemetry.time_kernels import first_after, settle

__all__ = ["assemble", "cumulate"]

STALE_BITS = 0x7FF0000000000002


@compiled
def assemble(
    bounds: Any,
    places: Any,
    counts: Any,
    after_ms: Any,
    until_ms: Any,
    times: Any,
    values: Any,
    open_offsets: Any,
    open_times: Any,
    open_values: Any,
    late_offsets: Any,
    late_times: Any,
    late_values: Any,
    is_late: Any,
) -> Any:
    """Columns of n series, each from its decoded chunks (piece p: `counts[p]` samples from `places[p]` on, of
    which those in (after_ms[p], until_ms] count), then its open block, then its late samples.

    `is_late[i]`: the pieces of series i may overlap. Returns (times, values, offsets).
    """
    series = len(bounds) - 1
    room = len(times) + len(open_times) + len(late_times)
    out_times = np.empty(room, np.int64)
    out_values = np.empty(room, np.float64)
    offsets = np.zeros(series + 1, np.int64)
    end = 0
    for i in range(series):
        start = end
        for p in range(bounds[i], bounds[i + 1]):
            stop = places[p] + counts[p]
            here = first_after(times, places[p], stop, after_ms[p])
            stop = first_after(times, here, stop, until_ms)
            out_times[end : end + stop - here] = times[here:stop]
            out_values[end : end + stop - here] = values[here:stop]
            end += stop - here
        here, stop = open_offsets[i], open_offsets[i + 1]
        out_times[end : end + stop - here] = open_times[here:stop]
        out_values[end : end + stop - here] = open_values[here:stop]
        end += stop - here
        if is_late[i]:
            here, stop = late_offsets[i], late_offsets[i + 1]
            out_times[end : end + stop - here] = late_times[here:stop]
            out_values[end : end + stop - here] = late_values[here:stop]
            end += stop - here
            end = start + settle(out_times[start:end], out_values[start:end])
        offsets[i + 1] = end
    return out_times[:end], out_values[:end], offsets


@compiled
def cumulate(
    bounds: Any,
    places: Any,
    counts: Any,
    after_ms: Any,
    first_ms: Any,
    last_ms: Any,
    first: Any,
    last: Any,
    correction: Any,
    times: Any,
    values: Any,
    open_offsets: Any,
    open_times: Any,
    open_values: Any,
    edges: Any,
) -> Any:
    """float64[n, k]: the value of each series' last sample at or before each edge, plus what its counter lost
    by resets after the first edge; NaN where there is no sample.

    Piece p is decoded when `places[p] >= 0`; otherwise no edge lies within it and its summary suffices. The
    open block of series i counts as its last piece.
    """
    series, steps = len(bounds) - 1, len(edges)
    out = np.full((series, steps), np.nan)
    bits, open_bits = values.view(np.int64), open_values.view(np.int64)
    for i in range(series):
        step = 0
        found = False
        before = 0.0
        lost = 0.0
        for p in range(bounds[i], bounds[i + 1] + 1):
            is_open = p == bounds[i + 1]
            if not is_open and places[p] < 0:
                while step < steps and edges[step] < first_ms[p]:
                    if found:
                        out[i, step] = before + lost
                    step += 1
                if first[p : p + 1].view(np.int64)[0] == STALE_BITS:
                    continue
                if steps and first_ms[p] > edges[0]:
                    if found and first[p] < before:
                        lost += before
                    lost += correction[p]
                before = last[p]
                found = True
                continue
            here = open_offsets[i] if is_open else places[p]
            stop = open_offsets[i + 1] if is_open else places[p] + counts[p]
            for k in range(here, stop):
                time_ms = open_times[k] if is_open else times[k]
                if not is_open and time_ms <= after_ms[p]:
                    continue
                while step < steps and edges[step] < time_ms:
                    if found:
                        out[i, step] = before + lost
                    step += 1
                if (open_bits[k] if is_open else bits[k]) == STALE_BITS:
                    continue
                value = open_values[k] if is_open else values[k]
                if found and value < before and time_ms > edges[0]:
                    lost += before
                before = value
                found = True
        while step < steps:
            if found:
                out[i, step] = before + lost
            step += 1
    return out

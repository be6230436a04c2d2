# ruff: noqa: PLR0912, PLR0917 - kernels take flat arrays
"""The compiled loops that tell per slot what counters rose by, and the last values of gauges.

`increase` calls them, for the open blocks of the head where those suffice and for decoded columns elsewhere. The
meaning is that of `promql.kernels.exact_increase` and `last_sample` (decision 0009), to the last bit where the sums
are whole numbers. Slot j of a window is (begin + j × slot, begin + (j + 1) × slot]. Rows of `rise` and `held` are
written for series that have samples only: they come as zeros and False.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from setpoint.compensated import two_sum
from setpoint.compiled import compiled_lean

__all__ = [
    "DONE",
    "NEEDS_ALL",
    "NEEDS_PRIOR",
    "column_rises",
    "column_values",
    "news",
    "open_rises",
    "open_values",
]

DONE, NEEDS_PRIOR, NEEDS_ALL = range(3)
"""What became of a series: its open block sufficed; the sample before it is wanted; everything is."""

NEVER_MS = -(2**62)
NOTHING_MS = 2**62
STALE_BITS = 0x7FF0000000000002


@compiled_lean
def _rise(base: Any, last: Any, high: Any, low: Any) -> Any:
    """What a counter rose by from `base` to `last` when `high` + `low` is added for its resets and gaps."""
    rise, error = two_sum(last, -base)
    total, error_2 = two_sum(rise, high)
    return max(total + (error + error_2 + low), 0.0)


@compiled_lean
def _rises(
    times: Any,
    values: Any,
    start: Any,
    stop: Any,
    begin_ms: Any,
    slot_ms: Any,
    gap_ms: Any,
    prior_ms: Any,
    prior: Any,
    rise: Any,
    held: Any,
    row: Any,
) -> Any:
    """The rises of one series from its samples start:stop, in time order; `prior` came before them, at `prior_ms`
    (NEVER_MS: nothing did). Those at or before `begin_ms` only are what others are compared with.
    """
    slots = rise.shape[1]
    slot = np.int64(-1)
    base, last, high, low = 0.0, 0.0, 0.0, 0.0
    for k in range(start, stop):
        value, time_ms = values[k], times[k]
        if not math.isfinite(value):
            continue
        if time_ms > begin_ms:
            here = (time_ms - begin_ms - 1) // slot_ms
            if here >= slots:
                break
            if here != slot:
                if slot >= 0:
                    rise[row, slot] = _rise(base, last, high, low)
                slot = here
                held[row, slot] = True
                base = value if prior_ms == NEVER_MS else prior
                high, low = 0.0, 0.0
            if prior_ms != NEVER_MS:
                if time_ms - prior_ms > gap_ms:
                    add, rest = two_sum(prior, -value)
                    high, error = two_sum(high, add)
                    low += error + rest
                elif value < prior:
                    high, error = two_sum(high, prior)
                    low += error
            last = value
        prior, prior_ms = value, time_ms
    if slot >= 0:
        rise[row, slot] = _rise(base, last, high, low)


@compiled_lean
def column_rises(
    offsets: Any,
    times: Any,
    values: Any,
    rows: Any,
    begin_ms: Any,
    slot_ms: Any,
    gap_ms: Any,
    rise: Any,
    held: Any,
) -> Any:
    """What the series i with the samples offsets[i]:offsets[i + 1] rose by, to row `rows[i]`; not of those below 0."""
    for i in range(len(rows)):
        if rows[i] < 0:
            continue
        _rises(
            times, values, offsets[i], offsets[i + 1], begin_ms, slot_ms, gap_ms, NEVER_MS, 0.0, rise, held,
            rows[i],
        )  # fmt: skip


@compiled_lean
def open_rises(
    refs: Any,
    rows: Any,
    begin_ms: Any,
    slot_ms: Any,
    gap_ms: Any,
    newest: Any,
    sealed: Any,
    is_late: Any,
    base: Any,
    count: Any,
    times: Any,
    values: Any,
    prior_ms: Any,
    prior: Any,
    some_times: Any,
    some_values: Any,
    rise: Any,
    held: Any,
    fates: Any,
) -> Any:
    """What the series `refs` rose by according to their open blocks, series i to row `rows[i]`.

    `fates[i]` says whether that was all. NEEDS_PRIOR: `prior_ms[i]` is the time of its first sample in the window; the
    kernel is called again with the time and the value of the one before in `prior_ms` and `prior` (NEVER_MS at the
    first call). `some_times`, `some_values` are room for a block.
    """
    until_ms = begin_ms + slot_ms * rise.shape[1]
    for i in range(len(refs)):
        ref = refs[i]
        fates[i] = DONE
        if ref < 0 or ref >= len(newest) or newest[ref] <= begin_ms:
            continue
        if is_late[ref]:
            fates[i] = NEEDS_ALL
            continue
        stop = np.int64(count[ref])
        first = stop
        while first > 0 and base[ref] + times[first - 1, ref] > begin_ms:
            first -= 1
        before = first
        while before > 0 and not math.isfinite(values[before - 1, ref]):
            before -= 1
        if before > 0:
            before -= 1
        elif sealed[ref] > begin_ms:
            fates[i] = NEEDS_ALL
            continue
        else:
            while first < stop and not math.isfinite(values[first, ref]):
                first += 1
            if first == stop:
                continue
            before = first
            time_ms = base[ref] + times[first, ref]
            if sealed[ref] != NEVER_MS and time_ms - sealed[ref] <= gap_ms and prior_ms[i] == NEVER_MS:
                fates[i] = NEEDS_PRIOR
                prior_ms[i] = time_ms
                continue
        here = 0
        for k in range(before, stop):
            time_ms = base[ref] + times[k, ref]
            if time_ms > until_ms:
                break
            some_times[here], some_values[here] = time_ms, values[k, ref]
            here += 1
        _rises(
            some_times, some_values, 0, here, begin_ms, slot_ms, gap_ms, prior_ms[i], prior[i], rise, held, rows[i]
        )  # fmt: skip


@compiled_lean
def _last_values(
    times: Any,
    values: Any,
    bits: Any,
    start: Any,
    stop: Any,
    begin_ms: Any,
    slot_ms: Any,
    lookback_ms: Any,
    out: Any,
    held: Any,
    row: Any,
) -> Any:
    """Per slot the newest sample of one series at or before its end, if it is young enough and no stale marker."""
    here = start
    for slot in range(out.shape[1]):
        end_ms = begin_ms + slot_ms * (slot + 1)
        while here < stop and times[here] <= end_ms:
            here += 1
        newest = here - 1
        if newest >= start and times[newest] > end_ms - lookback_ms and bits[newest] != STALE_BITS:
            out[row, slot] = values[newest]
            held[row, slot] = True


@compiled_lean
def column_values(
    offsets: Any,
    times: Any,
    values: Any,
    bits: Any,
    rows: Any,
    begin_ms: Any,
    slot_ms: Any,
    lookback_ms: Any,
    out: Any,
    held: Any,
) -> Any:
    """The last values of the series i with the samples offsets[i]:offsets[i + 1], to row `rows[i]`; `bits` is the int64
    view of the values.
    """
    for i in range(len(rows)):
        if rows[i] < 0:
            continue
        _last_values(
            times,
            values,
            bits,
            offsets[i],
            offsets[i + 1],
            begin_ms,
            slot_ms,
            lookback_ms,
            out,
            held,
            rows[i],
        )


@compiled_lean
def open_values(
    refs: Any,
    rows: Any,
    begin_ms: Any,
    slot_ms: Any,
    lookback_ms: Any,
    newest: Any,
    sealed: Any,
    is_late: Any,
    base: Any,
    count: Any,
    times: Any,
    values: Any,
    some_times: Any,
    some_values: Any,
    some_bits: Any,
    out: Any,
    held: Any,
    fates: Any,
) -> Any:
    """The last values of the series `refs` according to their open blocks, as `open_rises`; nothing NEEDS_PRIOR."""
    first_end_ms = begin_ms + slot_ms
    until_ms = begin_ms + slot_ms * out.shape[1]
    for i in range(len(refs)):
        ref = refs[i]
        fates[i] = DONE
        if ref < 0 or ref >= len(newest) or newest[ref] <= first_end_ms - lookback_ms:
            continue
        stop = np.int64(count[ref])
        is_enough = stop > 0 and base[ref] <= first_end_ms
        if is_late[ref] or (not is_enough and sealed[ref] > first_end_ms - lookback_ms):
            fates[i] = NEEDS_ALL
            continue
        here = 0
        for k in range(stop):
            time_ms = base[ref] + times[k, ref]
            if time_ms > until_ms:
                break
            some_times[here], some_values[here] = time_ms, values[k, ref]
            here += 1
        _last_values(
            some_times, some_values, some_bits, 0, here, begin_ms, slot_ms, lookback_ms, out, held, rows[i]
        )  # fmt: skip


@compiled_lean
def news(
    refs: Any, newest: Any, sealed: Any, base: Any, count: Any, times: Any, marks: Any, oldest: Any
) -> Any:
    """The time of the oldest sample of each of `refs` later than its mark, NOTHING_MS where there is none, to `oldest`;
    the marks move on to the newest. Exact while it is in the open block, else a time before it.

    A series without a mark (NEVER_MS) answers with NEVER_MS where it has any sample.
    """
    for i in range(len(refs)):
        ref = refs[i]
        oldest[i] = NOTHING_MS
        if ref >= len(newest) or newest[ref] <= marks[i]:
            continue
        mark = marks[i]
        marks[i] = newest[ref]
        if mark == NEVER_MS:
            oldest[i] = NEVER_MS
            continue
        oldest[i] = mark + 1
        here = np.int64(count[ref])
        if base[ref] <= mark or sealed[ref] <= mark:
            while here > 0 and base[ref] + times[here - 1, ref] > mark:
                here -= 1
                oldest[i] = base[ref] + times[here, ref]

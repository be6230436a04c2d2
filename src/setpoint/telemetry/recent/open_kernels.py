# ruff: noqa: PLR0917 - kernels take flat arrays; the append loop is one piece because it is the hot one
"""The compiled loops over open blocks: appending, late insertion, taking blocks out to be sealed.

`OpenBlocks` calls them. Arrays by ref: `newest`, `sealed`, `base` (int64, ms), `count` (uint8); `times`
int32[64, refs] holds distances from `base`, `values` float64[64, refs]. The sample's number comes first so
that a scrape of many series, which are equally full, writes to consecutive memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled

__all__ = [
    "copy_out",
    "count_open",
    "insert_late",
    "overlapping",
    "plan_runs",
    "push",
    "put_back",
    "read_open",
    "split",
    "trim_open",
]

ROOM = 64
SPAN_MS = 2 * 3_600_000
DAY_MS = 86_400_000
NEVER_MS = -(2**62)
PUSHED, OLD, FULL, LATE, UNKNOWN, OVERLAID = range(6)


@compiled
def _fits(first: Any, last: Any) -> Any:
    """Whether one block may reach from `first` to `last` (ms, ascending): at most two hours of one UTC day."""
    if np.uint64(last) - np.uint64(first) >= np.uint64(SPAN_MS):
        return False
    return first // DAY_MS == last // DAY_MS


@compiled
def push(
    refs: Any,
    at: Any,
    given: Any,
    floor_ms: Any,
    newest: Any,
    sealed: Any,
    base: Any,
    count: Any,
    appended: Any,
    times: Any,
    values: Any,
    fates: Any,
) -> Any:
    """Add what is later than all its series has to the open blocks; what became of sample k goes to `fates[k]`.

    Returns (series that had nothing before, samples pushed, newest sample that was too old).
    """
    fresh = 0
    pushed = 0
    dropped = np.int64(NEVER_MS)
    for k in range(len(refs)):
        ref = refs[k]
        if ref < 0 or ref >= len(newest):
            fates[k] = UNKNOWN
            continue
        time_ms = at[k]
        appended[ref] += np.uint32(1)
        if time_ms <= floor_ms:
            dropped = max(dropped, time_ms)
            fates[k] = OLD
            continue
        if time_ms <= newest[ref]:
            fates[k] = LATE
            continue
        here = np.int64(count[ref])
        if here == 0:
            if time_ms <= sealed[ref]:
                fates[k] = LATE
                continue
            base[ref] = time_ms
        elif here == ROOM or not _fits(base[ref], time_ms):
            fates[k] = FULL
            continue
        times[here, ref] = np.int32(time_ms - base[ref])
        values[here, ref] = given[k]
        count[ref] = np.uint8(here + 1)
        fresh += newest[ref] == NEVER_MS
        newest[ref] = time_ms
        pushed += 1
        fates[k] = PUSHED
    return fresh, pushed, dropped


@compiled
def insert_late(
    refs: Any,
    at: Any,
    given: Any,
    replace: Any,
    newest: Any,
    sealed: Any,
    base: Any,
    count: Any,
    times: Any,
    values: Any,
    fates: Any,
) -> Any:
    """Put samples that are not the newest of their series into its open block, where they belong there.

    Others are marked OVERLAID in `fates`. Returns (series that had nothing before, samples added).
    """
    fresh = 0
    added = 0
    for k in range(len(refs)):
        ref, time_ms = refs[k], at[k]
        held = np.int64(count[ref])
        place = held
        while place > 0 and base[ref] + times[place - 1, ref] > time_ms:
            place -= 1
        if place > 0 and base[ref] + times[place - 1, ref] == time_ms:
            if replace:
                values[place - 1, ref] = given[k]
            fates[k] = PUSHED
            continue
        if time_ms <= sealed[ref] or held == ROOM:
            fates[k] = OVERLAID
            continue
        if held:
            last = base[ref] + times[held - 1, ref]
            if not _fits(min(base[ref], time_ms), max(last, time_ms)):
                fates[k] = OVERLAID
                continue
        if place == 0:
            for j in range(held):
                times[j, ref] += np.int32(base[ref] - time_ms)
            base[ref] = time_ms
        for j in range(held, place, -1):
            times[j, ref] = times[j - 1, ref]
            values[j, ref] = values[j - 1, ref]
        times[place, ref] = np.int32(time_ms - base[ref])
        values[place, ref] = given[k]
        count[ref] = np.uint8(held + 1)
        fresh += newest[ref] == NEVER_MS
        newest[ref] = max(newest[ref], time_ms)
        added += 1
        fates[k] = PUSHED
    return fresh, added


@compiled
def copy_out(refs: Any, base: Any, count: Any, times: Any, values: Any) -> Any:
    """The open blocks of `refs` as columns: (times int64[m], values float64[m], offsets int64[n + 1])."""
    offsets = np.zeros(len(refs) + 1, np.int64)
    for i in range(len(refs)):
        offsets[i + 1] = offsets[i] + count[refs[i]]
    out_times = np.empty(offsets[-1], np.int64)
    out_values = np.empty(offsets[-1], np.float64)
    for i in range(len(refs)):
        ref, at = refs[i], offsets[i]
        for j in range(np.int64(count[ref])):
            out_times[at + j] = base[ref] + times[j, ref]
            out_values[at + j] = values[j, ref]
    return out_times, out_values, offsets


@compiled
def plan_runs(
    refs: Any, at: Any, given: Any, newest: Any, base: Any, count: Any, times: Any, values: Any
) -> Any:
    """Split open blocks and the samples that follow them into chunks. Nothing is changed.

    `refs` is sorted, the samples of a ref in the order they came. Returns (piece times, piece values, piece
    offsets, piece refs, is_last of pieces, left: samples that are not later than those before them).
    """
    many = len(refs)
    distinct = 0
    for k in range(many):
        distinct += k == 0 or refs[k] != refs[k - 1]
    room = many + distinct * ROOM
    out_times = np.empty(room, np.int64)
    out_values = np.empty(room, np.float64)
    offsets = np.zeros(many + distinct + 1, np.int64)
    owners = np.empty(many + distinct, np.int32)
    is_last = np.zeros(many + distinct, np.bool_)
    left = np.zeros(many, np.bool_)
    pieces = 0
    end = np.int64(0)
    k = 0
    while k < many:
        ref = refs[k]
        for j in range(np.int64(count[ref])):
            out_times[end] = base[ref] + times[j, ref]
            out_values[end] = values[j, ref]
            end += 1
        last = newest[ref]
        while k < many and refs[k] == ref:
            time_ms = at[k]
            start = offsets[pieces]
            if time_ms <= last:
                left[k] = True
            else:
                if end > start and (end - start == ROOM or not _fits(out_times[start], time_ms)):
                    owners[pieces] = ref
                    pieces += 1
                    offsets[pieces] = end
                out_times[end] = time_ms
                out_values[end] = given[k]
                end += 1
                last = time_ms
            k += 1
        owners[pieces] = ref
        is_last[pieces] = True
        pieces += 1
        offsets[pieces] = end
    return out_times[:end], out_values[:end], offsets[: pieces + 1], owners[:pieces], is_last[:pieces], left


@compiled
def put_back(
    owners: Any,
    offsets: Any,
    from_times: Any,
    from_values: Any,
    newest: Any,
    base: Any,
    count: Any,
    times: Any,
    values: Any,
) -> Any:
    """Make pieces the open blocks of their refs; how many samples the blocks have more than before."""
    more = 0
    for i in range(len(owners)):
        ref = owners[i]
        start, held = offsets[i], offsets[i + 1] - offsets[i]
        more += held - np.int64(count[ref])
        count[ref] = np.uint8(held)
        if held == 0:
            continue
        base[ref] = from_times[start]
        for j in range(held):
            times[j, ref] = np.int32(from_times[start + j] - from_times[start])
            values[j, ref] = from_values[start + j]
        newest[ref] = max(newest[ref], from_times[start + held - 1])
    return more


@compiled
def read_open(
    refs: Any, start_ms: Any, end_ms: Any, newest: Any, base: Any, count: Any, times: Any, values: Any
) -> Any:
    """The open samples of `refs` with start_ms < t <= end_ms as columns (times, values, offsets)."""
    room = np.int64(0)
    for i in range(len(refs)):
        if refs[i] >= 0 and newest[refs[i]] > start_ms:
            room += np.int64(count[refs[i]])
    out_times = np.empty(room, np.int64)
    out_values = np.empty(room, np.float64)
    offsets = np.zeros(len(refs) + 1, np.int64)
    end = np.int64(0)
    for i in range(len(refs)):
        ref = refs[i]
        if ref >= 0 and newest[ref] > start_ms:
            held = np.int64(count[ref])
            first = held
            while first > 0 and base[ref] + times[first - 1, ref] > start_ms:
                first -= 1
            for j in range(first, held):
                time_ms = base[ref] + times[j, ref]
                if time_ms > end_ms:
                    break
                out_times[end] = time_ms
                out_values[end] = values[j, ref]
                end += 1
        offsets[i + 1] = end
    return out_times[:end], out_values[:end], offsets


@compiled
def trim_open(floor_ms: Any, newest: Any, base: Any, count: Any, times: Any, values: Any) -> Any:
    """Drop the open samples with t <= floor_ms: (refs, times, values of what was dropped)."""
    room = np.int64(0)
    for ref in range(len(count)):
        if count[ref] and base[ref] <= floor_ms:
            room += np.int64(count[ref])
    out_refs = np.empty(room, np.int32)
    out_times = np.empty(room, np.int64)
    out_values = np.empty(room, np.float64)
    end = np.int64(0)
    for ref in range(len(count)):
        held = np.int64(count[ref])
        if held == 0 or base[ref] > floor_ms:
            continue
        gone = 0
        while gone < held and base[ref] + times[gone, ref] <= floor_ms:
            out_refs[end] = ref
            out_times[end] = base[ref] + times[gone, ref]
            out_values[end] = values[gone, ref]
            end += 1
            gone += 1
        count[ref] = np.uint8(held - gone)
        if gone < held:
            shift = times[gone, ref]
            base[ref] += shift
            for j in range(gone, held):
                times[j - gone, ref] = times[j, ref] - shift
                values[j - gone, ref] = values[j, ref]
    return out_refs[:end], out_times[:end], out_values[:end]


@compiled
def count_open(floor_ms: Any, is_late: Any, base: Any, count: Any, times: Any) -> Any:
    """Open samples with t > floor_ms of the series without late samples."""
    total = np.int64(0)
    for ref in range(len(count)):
        held = np.int64(count[ref])
        if held == 0 or is_late[ref]:
            continue
        total += held
        if base[ref] <= floor_ms:
            gone = 0
            while gone < held and base[ref] + times[gone, ref] <= floor_ms:
                gone += 1
            total -= gone
    return total


@compiled
def split(refs: Any, times: Any, most: Any) -> Any:
    """Cut samples, sorted by ref and time, into chunks of at most `most`: their offsets int64[n + 1]."""
    offsets = np.zeros(len(refs) + 1, np.int64)
    pieces = 0
    for k in range(1, len(refs)):
        start = offsets[pieces]
        if refs[k] != refs[start] or k - start == most or not _fits(times[start], times[k]):
            pieces += 1
            offsets[pieces] = k
    if len(refs):
        pieces += 1
        offsets[pieces] = len(refs)
    return offsets[: pieces + 1]


@compiled
def overlapping(refs: Any, first_ms: Any, last_ms: Any, newest: Any) -> Any:
    """Which chunks do not begin after everything before them; `newest` follows. Returns (mask, new series)."""
    found = np.zeros(len(refs), np.bool_)
    fresh = 0
    for i in range(len(refs)):
        ref = refs[i]
        found[i] = first_ms[i] <= newest[ref]
        fresh += newest[ref] == NEVER_MS
        newest[ref] = max(newest[ref], last_ms[i])
    return found, fresh

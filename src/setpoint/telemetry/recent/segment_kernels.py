# ruff: noqa: PLR0917 - kernels take flat arrays
"""The compiled loops over the chunk tables of segments: linking, finding, summarising.

`Segment` calls them. `newest` int32[refs] is the latest chunk of a ref in the segment, `previous` int32 of a
chunk the one before it of the same ref; -1 ends the chain.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled

__all__ = ["copy_chunks", "count_visible", "find_chunks", "last_chunks", "link", "summarise", "unlink"]

STALE_BITS = 0x7FF0000000000002


@compiled
def link(refs: Any, first: Any, newest: Any, previous: Any) -> Any:
    """Enter the chunks `first`, `first + 1`, … of `refs` at the ends of their chains."""
    for i in range(len(refs)):
        previous[first + i] = newest[refs[i]]
        newest[refs[i]] = np.int32(first + i)


@compiled
def find_chunks(
    refs: Any, after_ms: Any, until_ms: Any, newest: Any, previous: Any, first_ms: Any, spans_ms: Any
) -> Any:
    """The chunks of `refs` that may hold samples in (after_ms, until_ms]: (place in `refs`, chunk), both int32[k].

    Ordered by place and, within one, from the oldest chunk to the newest.
    """
    total = 0
    for i in range(len(refs)):
        if 0 <= refs[i] < len(newest):
            chunk = newest[refs[i]]
            while chunk >= 0:
                total += first_ms[chunk] <= until_ms and first_ms[chunk] + spans_ms[chunk] > after_ms
                chunk = previous[chunk]
    places = np.empty(total, np.int32)
    chunks = np.empty(total, np.int32)
    end = 0
    for i in range(len(refs)):
        start = end
        if 0 <= refs[i] < len(newest):
            chunk = newest[refs[i]]
            while chunk >= 0:
                if first_ms[chunk] <= until_ms and first_ms[chunk] + spans_ms[chunk] > after_ms:
                    places[end] = i
                    chunks[end] = chunk
                    end += 1
                chunk = previous[chunk]
        low, high = start, end - 1
        while low < high:
            chunks[low], chunks[high] = chunks[high], chunks[low]
            low += 1
            high -= 1
    return places, chunks


@compiled
def summarise(values: Any, offsets: Any, first: Any, last: Any, correction: Any) -> Any:
    """Per chunk the first and last value and what its counter lost by resets; stale markers do not count.

    A chunk of nothing but stale markers has them as first and last.
    """
    bits = values.view(np.int64)
    for i in range(len(offsets) - 1):
        found = False
        lost = 0.0
        before = values[offsets[i]]
        begin = before
        for k in range(offsets[i], offsets[i + 1]):
            if bits[k] != STALE_BITS:
                if not found:
                    begin = values[k]
                elif values[k] < before:
                    lost += before
                found = True
                before = values[k]
        first[i] = begin
        last[i] = before
        correction[i] = lost


@compiled
def unlink(refs: Any, newest: Any) -> Any:
    """Forget the chunks of `refs`."""
    for i in range(len(refs)):
        if refs[i] < len(newest):
            newest[refs[i]] = -1


@compiled
def copy_chunks(payload: Any, offsets: Any, chosen: Any, out: Any, at: Any, starts: Any) -> Any:
    """Copy the chunks `chosen` of `payload` to `out` from byte `at` on; `starts[i + 1]` is where chunk i ends."""
    for i in range(len(chosen)):
        begin, end = offsets[chosen[i]], offsets[chosen[i] + 1]
        out[at : at + end - begin] = payload[begin:end]
        at += end - begin
        starts[i + 1] = np.uint32(at)
    return at


@compiled
def count_visible(
    after_ms: Any, refs: Any, previous: Any, counts: Any, first_ms: Any, spans_ms: Any, is_late: Any
) -> Any:
    """(samples of the chunks that lie after `after_ms`, the chunks that only partly do int64[k]).

    Chunks of series with late samples are left out, and those that belong to no chain.
    """
    total = np.int64(0)
    straddling = np.empty(len(refs), np.int64)
    partly = 0
    for c in range(len(refs)):
        if previous[c] < -1 or (refs[c] < len(is_late) and is_late[refs[c]]):
            continue
        if first_ms[c] > after_ms:
            total += np.int64(counts[c])
        elif first_ms[c] + spans_ms[c] > after_ms:
            straddling[partly] = c
            partly += 1
    return total, straddling[:partly]


@compiled
def last_chunks(
    refs: Any,
    newest: Any,
    first_ms: Any,
    spans_ms: Any,
    last: Any,
    correction: Any,
    hidden_ms: Any,
    out_first_ms: Any,
    out_last_ms: Any,
    out_value: Any,
) -> Any:
    """Note for each of `refs` whose newest chunk here ends later than `out_last_ms[i]` from when to when it reaches,
    and its last value; NaN where that is not known, or where some of the chunk is hidden.
    """
    bits = correction.view(np.int64)
    for i in range(len(refs)):
        if 0 <= refs[i] < len(newest) and newest[refs[i]] >= 0:
            chunk = newest[refs[i]]
            last_ms = first_ms[chunk] + spans_ms[chunk]
            if last_ms > out_last_ms[i]:
                out_first_ms[i], out_last_ms[i] = first_ms[chunk], last_ms
                is_known = bits[chunk] != STALE_BITS and first_ms[chunk] > hidden_ms
                out_value[i] = last[chunk] if is_known else np.nan

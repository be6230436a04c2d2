# ruff: noqa: PLR0917 - kernels take flat arrays
"""The compiled loops around stored rollups: rows of the table, days joined to one history, buckets as samples.

`rollup_store` is the only caller. Rows travel as ClickHouse's RowBinary, as those of `blocks` do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled
from setpoint.telemetry.row_binary import put_text, put_word, text_at, word_at

__all__ = ["as_samples", "columns_of", "count_rows", "gathered", "joined", "rows_of"]

_FIXED_BYTES = 20
_STALE = 0x7FF0000000000002


@compiled
def rows_of(
    fingerprints: Any,
    day: Any,
    version: Any,
    samples: Any,
    chosen: Any,
    fine: Any,
    fine_bounds: Any,
    coarse: Any,
    coarse_bounds: Any,
) -> Any:
    """Rows of `rollups` as RowBinary, of the series that are `chosen`."""
    out = np.empty((_FIXED_BYTES + 24) * len(fingerprints) + len(fine) + len(coarse), np.uint8)
    at = 0
    for i in range(len(fingerprints)):
        if not chosen[i] or fine_bounds[i] == fine_bounds[i + 1]:
            continue
        words = (np.uint64(fingerprints[i]), np.uint64(day), np.uint64(version), np.uint64(samples[i]))
        for column in range(4):
            at = put_word(out, at, words[column], 8 if column in (0, 2) else 4)
        at = put_text(out, at, fine, fine_bounds[i], fine_bounds[i + 1])
        at = put_text(out, at, coarse, coarse_bounds[i], coarse_bounds[i + 1])
    return out[:at]


@compiled
def count_rows(data: Any) -> Any:
    """Number of rows (fingerprint, day, version, text), -1 when the last is not whole."""
    at, count = np.int64(0), 0
    while at < len(data):
        _, at = text_at(data, at + _FIXED_BYTES)
        if at < 0:
            return -1
        count += 1
    return count


@compiled
def columns_of(data: Any, count: Any) -> Any:
    """Whole rows as columns: fingerprints uint64, days int64, versions uint64, starts and ends of the text."""
    fingerprints, versions = np.empty(count, np.uint64), np.empty(count, np.uint64)
    days, starts, ends = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int64)
    at = np.int64(0)
    for i in range(count):
        fingerprints[i] = word_at(data, at, 8)
        days[i] = np.int64(word_at(data, at + 8, 4))
        versions[i] = word_at(data, at + 12, 8)
        starts[i], ends[i] = text_at(data, at + _FIXED_BYTES)
        at = ends[i]
    return fingerprints, days, versions, starts, ends


@compiled
def gathered(data: Any, starts: Any, ends: Any) -> Any:
    """The texts one behind the other, and their bounds int64[n + 1]."""
    bounds = np.zeros(len(starts) + 1, np.int64)
    for i in range(len(starts)):
        bounds[i + 1] = bounds[i] + ends[i] - starts[i]
    out = np.empty(bounds[-1], np.uint8)
    for i in range(len(starts)):
        out[bounds[i] : bounds[i + 1]] = data[starts[i] : ends[i]]
    return out, bounds


@compiled
def joined(
    runs: Any,
    days: Any,
    resolution_ms: Any,
    offsets: Any,
    places: Any,
    counts: Any,
    minimum: Any,
    maximum: Any,
    total: Any,
    last: Any,
    reset: Any,
    ended: Any,
    first: Any,
    is_gauge: Any,
) -> Any:
    """The days of each series as one history. Series s owns the chunks `runs[s]:runs[s + 1]`, in order of days.

    Answers offsets, end_ms, counts, minimum, maximum, total, last, before, fell, ended. `before` is the last
    number before the bucket (the first in it when there is none), `fell` the sum of the values right before
    each fall since then: a counter rose by last - before + fell. It is NaN for a gauge. The two halves of a
    bucket that ends at midnight become one.
    """
    series, room = len(runs) - 1, len(places)
    out_offsets, end_ms = np.zeros(series + 1, np.int64), np.zeros(room, np.int64)
    out_counts = np.zeros(room, np.int64)
    out_minimum, out_maximum = np.full(room, np.nan), np.full(room, np.nan)
    out_total, out_last = np.zeros(room), np.full(room, np.nan)
    out_before, fell = np.zeros(room), np.zeros(room)
    out_ended = np.zeros(room, np.bool_)
    b = np.int64(-1)
    for s in range(series):
        before = np.nan
        series_start = b + 1
        for c in range(runs[s], runs[s + 1]):
            overnight = before if first[c] < before else 0.0
            if np.isnan(before):
                before = first[c]
            for k in range(offsets[c], offsets[c + 1]):
                end = days[c] * 86_400_000 + places[k] * resolution_ms
                if b < series_start or end_ms[b] != end:
                    b += 1
                    end_ms[b] = end
                    out_before[b] = before
                out_ended[b] = ended[k]
                fell[b] += np.nan if is_gauge[c] else reset[k]
                if counts[k] == 0:
                    continue
                if out_counts[b] == 0:
                    out_minimum[b], out_maximum[b] = minimum[k], maximum[k]
                else:
                    out_minimum[b] = min(out_minimum[b], minimum[k])
                    out_maximum[b] = max(out_maximum[b], maximum[k])
                out_counts[b] += counts[k]
                out_total[b] += total[k]
                out_last[b] = before = last[k]
                fell[b] += overnight
                overnight = 0.0
        out_offsets[s + 1] = b + 1
    n = b + 1
    ends = (end_ms[:n], out_counts[:n], out_minimum[:n], out_maximum[:n], out_total[:n])
    return (out_offsets, *ends, out_last[:n], out_before[:n], fell[:n], out_ended[:n])


@compiled
def as_samples(
    offsets: Any, end_ms: Any, last: Any, before: Any, fell: Any, ended: Any, resolution_ms: Any
) -> Any:
    """Buckets as samples that PromQL computes on: (offsets, times, values).

    Each bucket gives its `last`, at its end. A counter also gives what it had reached in the middle, on a
    straight line, so that a range as long as one bucket holds two samples; a counter that fell gives `fell`
    there, and zero before `last` where that is no less. So `increase` over whole buckets is exact. A series
    that ended gives its last value just before the stale marker.
    """
    room = 4 * len(end_ms)
    times, values = np.empty(room, np.int64), np.empty(room)
    out_offsets = np.zeros(len(offsets), np.int64)
    marker = np.int64(_STALE).view(np.float64)
    n = 0
    for s in range(len(offsets) - 1):
        for b in range(offsets[s], offsets[s + 1]):
            end, value = end_ms[b], last[b]
            middle = end - resolution_ms // 2
            is_first = b == offsets[s]
            if np.isfinite(value) and np.isfinite(before[b]) and np.isfinite(fell[b]):
                if is_first and (value != before[b] or fell[b] > 0):
                    times[n], values[n] = end - resolution_ms + 1, before[b]
                    n += 1
                if fell[b] > 0:
                    times[n], values[n] = middle, max(fell[b], before[b])
                    n += 1
                    if value >= fell[b]:
                        times[n], values[n] = end - 2, 0.0
                        n += 1
                elif not is_first and end_ms[b - 1] == end - resolution_ms:
                    times[n], values[n] = middle, before[b] + (value - before[b]) / 2
                    n += 1
            if ended[b] and not np.isnan(value):
                times[n], values[n] = end - 1, value
                n += 1
            times[n], values[n] = end, marker if ended[b] else value
            n += 1
        out_offsets[s + 1] = n
    return out_offsets, times[:n], values[:n]

# ruff: noqa: PLR0917 - kernels take flat arrays, and numba has no keyword arguments to speak of
"""The compiled loops across series: aggregations, top k and the quantiles of classic histograms.

`aggregate` and `histogram` call them with grids of series × steps. `group` int64[n] says to which of `groups`
each series belongs; `members` and `member_offsets` are the same as a list per group (CSR).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from setpoint.compensated import add
from setpoint.compiled import compiled
from setpoint.promql import hash_kernels
from setpoint.promql.window_kernels import quantile

__all__ = ["bucket_quantile", "combine", "count_present", "group_quantile", "pick", "warm"]

SUM, AVG, MIN, MAX, COUNT, GROUP, STDDEV, STDVAR = range(8)

_INSERTED = 32  # so many are kept in order one by one; more are sorted
_SMALL_DELTA = 1e-12
_SMALLEST_NORMAL = 2.2250738585072014e-308
_LARGEST = 1.7976931348623157e308


@compiled
def _take(code: Any, value: Any, count: Any, state: Any) -> Any:
    """Take one more value, the `count`-th (from 1), into the state (total, lost, mean) of a group at a step.

    For averages the third number is the mean once the sum has overflowed, NaN before.
    """
    total, lost, mean = state
    if code == SUM:
        total, lost = add(value, total, lost)
    elif code == AVG:
        if math.isnan(mean):
            new, new_lost = add(value, total, lost)
            if count == 1 or not math.isinf(new):
                return new, new_lost, mean
            mean = total / (count - 1)
            lost /= count - 1
        share = (count - 1) / count
        mean, lost = add(value / count, share * mean, share * lost)
        if math.isnan(mean):  # it stays NaN, also by the other branch
            total = mean
    elif code == MIN:
        if count == 1 or value < total or math.isnan(total):
            total = value
    elif code == MAX:
        if count == 1 or value > total or math.isnan(total):
            total = value
    elif code in (STDDEV, STDVAR):
        if count == 1:
            mean = value
            total = 0.0 if math.isfinite(value) else math.nan
        else:
            delta = value - mean
            mean += delta / count
            total += delta * (value - mean)
    return total, lost, mean


@compiled
def _finish(code: Any, count: Any, state: Any) -> Any:  # noqa: PLR0911
    total, lost, mean = state
    if code == SUM:
        return total + lost
    if code == AVG:
        return total / count + lost / count if math.isnan(mean) else mean + lost
    if code == COUNT:
        return float(count)
    if code == GROUP:
        return 1.0
    if code == STDDEV:
        return math.sqrt(total / count)
    if code == STDVAR:
        return total / count
    return total


@compiled
def combine(code: Any, values: Any, present: Any, group: Any, groups: Any) -> Any:
    """The aggregation `code` per group and step: (values float64[groups, s], present bool[groups, s])."""
    series, steps = values.shape
    total, lost = np.zeros((groups, steps)), np.zeros((groups, steps))
    mean = np.full((groups, steps), math.nan)
    count = np.zeros((groups, steps), np.int64)
    for i in range(series):
        g = group[i]
        for j in range(steps):
            if present[i, j]:
                count[g, j] += 1
                state = _take(code, values[i, j], count[g, j], (total[g, j], lost[g, j], mean[g, j]))
                total[g, j], lost[g, j], mean[g, j] = state
    for g in range(groups):
        for j in range(steps):
            if count[g, j] > 0:
                total[g, j] = _finish(code, count[g, j], (total[g, j], lost[g, j], mean[g, j]))
    return total, count > 0


@compiled
def group_quantile(q: Any, values: Any, present: Any, members: Any, member_offsets: Any) -> Any:
    """The quantile q[j] (float64[s]) across the series of each group and step."""
    groups, steps = len(member_offsets) - 1, values.shape[1]
    out = np.zeros((groups, steps))
    found = np.zeros((groups, steps), np.bool_)
    for g in range(groups):
        first, stop = member_offsets[g], member_offsets[g + 1]
        buffer = np.empty(stop - first)
        for j in range(steps):
            count, nans = 0, 0
            for m in range(first, stop):
                i = members[m]
                if present[i, j]:
                    buffer[count] = values[i, j]
                    nans += math.isnan(values[i, j])
                    count += 1
            if count > 0:
                out[g, j] = quantile(q[j], np.sort(buffer[:count]), count - nans, nans)
                found[g, j] = True
    return out, found


@compiled
def count_present(present: Any, group: Any, groups: Any) -> Any:
    """How many series of each group have a value at each step, int64[groups, s]."""
    series, steps = present.shape
    counts = np.zeros((groups, steps), np.int64)
    for i in range(series):
        g = group[i]
        for j in range(steps):
            counts[g, j] += present[i, j]
    return counts


@compiled
def _sort_best(largest: Any, limit: Any, j: Any, values: Any, rows: Any, best: Any) -> Any:
    """The best `limit` of `rows` at step j into `best`, by sorting; how many there are."""
    keys = np.empty(len(rows))
    for m in range(len(rows)):
        value = values[rows[m], j]
        keys[m] = -value if largest else value  # NaN is sorted last
    order = np.argsort(keys, kind="mergesort")
    count = min(limit, len(rows))
    for place in range(count):
        best[place] = rows[order[place]]
    return count


@compiled
def _insert_best(largest: Any, limit: Any, j: Any, values: Any, rows: Any, best: Any) -> Any:
    """As `_sort_best`, by inserting one after the other: faster where few are kept."""
    count = 0
    for i in rows:
        value = values[i, j]
        place = count
        while place > 0:
            other = values[best[place - 1], j]
            better = value > other if largest else value < other
            if not (better or (math.isnan(other) and not math.isnan(value))):
                break
            place -= 1
        if place < limit:
            count = min(count + 1, limit)
            for move in range(count - 1, place, -1):
                best[move] = best[move - 1]
            best[place] = i
    return count


@compiled
def pick(largest: Any, k: Any, values: Any, present: Any, members: Any, member_offsets: Any) -> Any:
    """topk (`largest`) or bottomk: which values stay, and each one's rank from 0 (int64[n, s], -1 elsewhere).

    `k` int64[s]. NaN comes after everything else; of equal values the earlier series wins.
    """
    series, steps = values.shape
    rank = np.full((series, steps), -1, np.int64)
    for g in range(len(member_offsets) - 1):
        first, stop = member_offsets[g], member_offsets[g + 1]
        best, rows = np.empty(stop - first, np.int64), np.empty(stop - first, np.int64)
        for j in range(steps):
            limit = min(k[j], stop - first)
            if limit < 1:
                continue
            held = 0
            for m in range(first, stop):
                if present[members[m], j]:
                    rows[held] = members[m]
                    held += 1
            if limit > _INSERTED:
                count = _sort_best(largest, limit, j, values, rows[:held], best)
            else:
                count = _insert_best(largest, limit, j, values, rows[:held], best)
            for place in range(count):
                rank[best[place], j] = place
    return rank


@compiled
def _almost_equal(a: Any, b: Any) -> Any:
    if a == b:
        return True
    total, difference = abs(a) + abs(b), abs(a - b)
    if a == 0 or b == 0 or total < _SMALLEST_NORMAL:
        return difference < _SMALL_DELTA * _SMALLEST_NORMAL
    return difference / min(total, _LARGEST) < _SMALL_DELTA


@compiled
def _make_cumulative(bounds: Any, counts: Any, size: Any) -> Any:
    """Let `counts` only rise, beyond what is rounding: (lowest, highest bound that fell, the largest fall)."""
    lowest, highest, largest = math.inf, -math.inf, 0.0
    before = counts[0]
    for b in range(1, size):
        count = counts[b]
        if count > before and not _almost_equal(before, count):
            before = count
            continue
        counts[b] = before
        if count < before and not _almost_equal(before, count):
            lowest, highest = min(lowest, bounds[b]), max(highest, bounds[b])
            largest = max(largest, before - count)
    return lowest, highest, largest


@compiled
def _merge_bounds(bounds: Any, counts: Any, size: Any) -> Any:
    """One bucket per bound; how many there are."""
    last = 0
    for b in range(1, size):
        if bounds[b] == bounds[last]:
            counts[last] += counts[b]
        else:
            last += 1
            bounds[last], counts[last] = bounds[b], counts[b]
    return last + 1


@compiled
def _from_buckets(q: Any, bounds: Any, counts: Any, size: Any) -> Any:
    """The quantile q of one classic histogram: ascending `bounds` without doubles, cumulative `counts`
    (Prometheus's BucketQuantile).
    """
    observations = counts[size - 1]
    if size < 2 or observations == 0:
        return math.nan
    rank = q * observations
    found = 0
    while found < size - 1 and not counts[found] >= rank:
        found += 1
    if found == size - 1:
        return bounds[size - 2]
    if found == 0 and bounds[0] <= 0:
        return bounds[0]
    lower, count = 0.0, counts[found]
    if found > 0:
        lower = bounds[found - 1]
        count -= counts[found - 1]
        rank -= counts[found - 1]
    return lower + (bounds[found] - lower) * (rank / count)


@compiled
def bucket_quantile(q: Any, bounds: Any, values: Any, present: Any) -> Any:
    """histogram_quantile of one histogram: `bounds` float64[b] ascending, `values` and `present` [b, s].

    Answers (values float64[s], present bool[s], fixed float64[3, s]): the last are the lowest and the highest
    bound whose count was less than one before, and the largest fall; infinity, -infinity and 0 where none was.
    """
    buckets, steps = values.shape
    out = np.zeros(steps)
    found = np.zeros(steps, np.bool_)
    fixed = np.empty((3, steps))
    some_bounds, some_counts = np.empty(buckets), np.empty(buckets)
    for j in range(steps):
        fixed[0, j], fixed[1, j], fixed[2, j] = math.inf, -math.inf, 0.0
        size = 0
        for b in range(buckets):
            if present[b, j]:
                some_bounds[size], some_counts[size] = bounds[b], values[b, j]
                size += 1
        if size == 0:
            continue
        found[j] = True
        if math.isnan(q[j]) or (0 <= q[j] <= 1 and some_bounds[size - 1] != math.inf):
            out[j] = math.nan
        elif q[j] < 0 or q[j] > 1:
            out[j] = math.copysign(math.inf, q[j])
        else:
            size = _merge_bounds(some_bounds, some_counts, size)
            fixed[0, j], fixed[1, j], fixed[2, j] = _make_cumulative(some_bounds, some_counts, size)
            out[j] = _from_buckets(q[j], some_bounds, some_counts, size)
    return out, found, fixed


def warm() -> None:
    """Compile the kernels of this file and of `hash_kernels`, or load them from the cache."""
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    present = np.ones((2, 2), np.bool_)
    group = np.zeros(2, np.int64)
    members, member_offsets = np.arange(2), np.array([0, 2], np.int64)
    combine(SUM, values, present, group, 1)
    group_quantile(np.full(2, 0.5), values, present, members, member_offsets)
    pick(True, np.ones(2, np.int64), values, present, members, member_offsets)
    count_present(present, group, 1)
    bucket_quantile(np.full(2, 0.5), np.array([1.0, math.inf]), values, present)
    hash_kernels.warm()

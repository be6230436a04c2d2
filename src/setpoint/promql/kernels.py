# ruff: noqa: PLR0917 - kernels take flat arrays, and numba has no keyword arguments to speak of
"""The compiled loops over windows of samples, and `warm()` which compiles every kernel before the first
request.

`ranges` and `select` call them with the columns of `SampleColumns` (CSR: series i owns `offsets[i]:offsets[i
+ 1]`) and with `ends`, the right edges of the windows (int64[s], never descending). Each kernel walks a
series once with two pointers. No fastmath: NaN is a value in PromQL. Each answers (values float64[n, s],
present bool[n, s]).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.compensated import add, two_sum
from setpoint.compiled import compiled
from setpoint.promql import group_kernels, number_kernels, sliding_kernels, uncut_kernels
from setpoint.promql.from_telemetry import resets
from setpoint.promql.window_kernels import moved, quantile

__all__ = ["STALE_BITS", "drop_stale", "exact_increase", "extrapolated", "fold", "last_sample", "warm"]

STALE_BITS = 0x7FF0000000000002
"""The NaN that says a series ended; every other NaN is an ordinary value."""

SUM, AVG, MIN, MAX, COUNT, LAST, FIRST, PRESENT, STDDEV, STDVAR = range(10)
CHANGES, RESETS, QUANTILE, MAD, IRATE, IDELTA, DERIV, PREDICT, TS_LAST, TS_FIRST, TS_MAX, TS_MIN = range(
    10, 22
)
SMOOTH = 22


@compiled
def last_sample(offsets: Any, timestamps: Any, bits: Any, ends: Any, lookback_ms: Any) -> Any:
    """Per series and step the position of the newest sample in (end - lookback, end], or -1.

    `bits` is the int64 view of the values: a stale marker ends the series, so that it answers -1.
    """
    series, steps = len(offsets) - 1, len(ends)
    index = np.full((series, steps), -1, np.int64)
    for i in range(series):
        here, stop = offsets[i], offsets[i + 1]
        for j in range(steps):
            while here < stop and timestamps[here] <= ends[j]:
                here += 1
            newest = here - 1
            if (
                newest >= offsets[i]
                and timestamps[newest] > ends[j] - lookback_ms
                and bits[newest] != STALE_BITS
            ):
                index[i, j] = newest
    return index


@compiled
def drop_stale(offsets: Any, timestamps: Any, values: Any, bits: Any) -> Any:
    """The columns without stale markers: (offsets, timestamps, values)."""
    kept_offsets = np.zeros(len(offsets), np.int64)
    kept_timestamps = np.empty(len(timestamps), np.int64)
    kept_values = np.empty(len(values), np.float64)
    count = 0
    for i in range(len(offsets) - 1):
        for k in range(offsets[i], offsets[i + 1]):
            if bits[k] != STALE_BITS:
                kept_timestamps[count] = timestamps[k]
                kept_values[count] = values[k]
                count += 1
        kept_offsets[i + 1] = count
    return kept_offsets, kept_timestamps[:count], kept_values[:count]


def extrapolated(
    offsets: npt.NDArray[np.int64],
    timestamps: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    ends: npt.NDArray[np.int64],
    range_ms: int,
    counter: bool,
    per_second: bool,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """`uncut_kernels.extrapolated` of columns whose resets nobody has listed yet."""
    positions, of_series = resets(offsets, values) if counter else (offsets[:0], offsets[:0])
    out, present = uncut_kernels.extrapolated(
        np.arange(len(offsets) - 1),
        offsets,
        offsets,
        timestamps,
        values,
        positions,
        of_series,
        ends,
        range_ms,
        counter,
        per_second,
    )
    return out, present


@compiled
def _finite_prefix(
    timestamps: Any, values: Any, start: Any, stop: Any, gap_ms: Any, times: Any, columns: Any
) -> Any:
    """Copy the finite samples of a series to `times` and `columns[0]`, and beside them the sum of
    corrections.

    `value + correction` then never falls: at a reset the correction grows by the value before it, after a gap
    by the difference. It is kept as an unevaluated pair (`columns[1]` + `columns[2]`), about 106 bits.
    """
    count = 0
    high, low = 0.0, 0.0
    for k in range(start, stop):
        value = values[k]
        if not math.isfinite(value):
            continue
        if count > 0:
            before = columns[0, count - 1]
            more, rest = 0.0, 0.0
            if timestamps[k] - times[count - 1] > gap_ms:
                more, rest = two_sum(before, -value)
            elif value < before:
                more = before
            high, error = two_sum(high, more)
            low += error + rest
        times[count] = timestamps[k]
        columns[0, count] = value
        columns[1, count] = high
        columns[2, count] = low
        count += 1
    return count


@compiled
def exact_increase(offsets: Any, timestamps: Any, values: Any, ends: Any, window_ms: Any, gap_ms: Any) -> Any:
    """What each counter rose by in (end - window, end], without extrapolation; present where a sample lies in
    it.

    Each sample counts what it lies above the sample before it, or all of itself after a reset, wherever that
    sample lies; nothing when it is the first, or when the one before is more than `gap_ms` older. So adjacent
    windows add up to the whole. Samples that are not finite are ignored. Prefix sums make a window cost the
    same whatever its length.
    """
    series, steps = len(offsets) - 1, len(ends)
    out = np.zeros((series, steps))
    present = np.zeros((series, steps), np.bool_)
    longest = 0
    for i in range(series):
        longest = max(longest, offsets[i + 1] - offsets[i])
    times = np.empty(longest, np.int64)
    columns = np.empty((3, longest))
    for i in range(series):
        count = _finite_prefix(timestamps, values, offsets[i], offsets[i + 1], gap_ms, times, columns)
        low, high = 0, 0
        for j in range(steps):
            low, high = moved(times, low, high, count, ends[j], window_ms)
            if high == low:
                continue
            base, last = max(low - 1, 0), high - 1
            rise, error = two_sum(columns[0, last], -columns[0, base])
            correction, error_2 = two_sum(columns[1, last], -columns[1, base])
            total, error_3 = two_sum(rise, correction)
            rest = error + error_2 + error_3 + (columns[2, last] - columns[2, base])
            out[i, j] = max(total + rest, 0.0)
            present[i, j] = True
    return out, present


@compiled
def _sum(window: Any) -> Any:
    total, lost = 0.0, 0.0
    for value in window:
        total, lost = add(value, total, lost)
    return total if math.isinf(total) else total + lost


@compiled
def _average(window: Any) -> Any:
    """The direct mean as long as the sum does not overflow, the incremental mean from there on."""
    total, lost, mean, incremental = window[0], 0.0, 0.0, False
    for k in range(1, len(window)):
        count = k + 1.0
        if not incremental:
            new, new_lost = add(window[k], total, lost)
            if not math.isinf(new):
                total, lost = new, new_lost
                continue
            incremental = True
            mean = total / (count - 1)
            lost /= count - 1
        share = (count - 1) / count
        mean, lost = add(window[k] / count, share * mean, share * lost)
    if incremental:
        return mean + lost
    return total / len(window) + lost / len(window)


@compiled
def _extreme(window: Any, largest: Any) -> Any:
    """The position of the largest or smallest value; NaN only where there is nothing else."""
    best = 0
    for k in range(len(window)):
        value, so_far = window[k], window[best]
        if math.isnan(so_far) or (value > so_far if largest else value < so_far):
            best = k
    return best


@compiled
def _variance(window: Any) -> Any:
    mean, mean_lost, squares, squares_lost = 0.0, 0.0, 0.0, 0.0
    for k in range(len(window)):
        delta = window[k] - (mean + mean_lost)
        mean, mean_lost = add(delta / (k + 1), mean, mean_lost)
        squares, squares_lost = add(delta * (window[k] - (mean + mean_lost)), squares, squares_lost)
    return (squares + squares_lost) / len(window)


@compiled
def _quantile(q: Any, window: Any) -> Any:
    """The quantile of a window in any order."""
    nans = 0
    for value in window:
        nans += math.isnan(value)
    return quantile(q, np.sort(window), len(window) - nans, nans)  # np.sort puts NaN last


@compiled
def _regression(times: Any, window: Any, origin_ms: Any) -> Any:
    """Least squares through (seconds since origin, value): slope and intercept."""
    n = float(len(window))
    x_sum, x_lost, y_sum, y_lost = 0.0, 0.0, 0.0, 0.0
    xy_sum, xy_lost, xx_sum, xx_lost = 0.0, 0.0, 0.0, 0.0
    constant = True
    for k in range(len(window)):
        if window[k] != window[0]:
            constant = False
        x = (times[k] - origin_ms) / 1e3
        x_sum, x_lost = add(x, x_sum, x_lost)
        y_sum, y_lost = add(window[k], y_sum, y_lost)
        xy_sum, xy_lost = add(x * window[k], xy_sum, xy_lost)
        xx_sum, xx_lost = add(x * x, xx_sum, xx_lost)
    if constant:
        return (math.nan, math.nan) if math.isinf(window[0]) else (0.0, window[0])
    x_sum, y_sum, xy_sum, xx_sum = x_sum + x_lost, y_sum + y_lost, xy_sum + xy_lost, xx_sum + xx_lost
    slope = (xy_sum - x_sum * y_sum / n) / (xx_sum - x_sum * x_sum / n)
    return slope, y_sum / n - slope * x_sum / n


@compiled
def _steps_between(window: Any, resets: Any) -> Any:
    """How often the value changed, or only how often it fell."""
    count = 0
    for k in range(1, len(window)):
        before, after = window[k - 1], window[k]
        if resets:
            count += after < before
        else:
            count += after != before and not (math.isnan(after) and math.isnan(before))
    return float(count)


@compiled
def _smooth(window: Any, factor: Any, trend_factor: Any) -> Any:
    """Holt's double exponential smoothing of at least two values."""
    before, level, trend = 0.0, window[0], window[1] - window[0]
    for k in range(1, len(window)):
        if k > 1:
            trend = trend_factor * (level - before) + (1 - trend_factor) * trend
        before, level = level, factor * window[k] + (1 - factor) * (level + trend)
    return level


@compiled
def _fold_one(  # noqa: PLR0911, PLR0912
    code: Any, times: Any, window: Any, param: Any, param_2: Any, end_ms: Any
) -> Any:
    """One window (not empty) to one value."""
    if code == SUM:
        return _sum(window)
    if code == AVG:
        return _average(window)
    if code in (MIN, MAX):
        return window[_extreme(window, code == MAX)]
    if code == COUNT:
        return float(len(window))
    if code == LAST:
        return window[-1]
    if code == FIRST:
        return window[0]
    if code == STDDEV:
        return math.sqrt(_variance(window))
    if code == STDVAR:
        return _variance(window)
    if code in (CHANGES, RESETS):
        return _steps_between(window, code == RESETS)
    if code == QUANTILE:
        return _quantile(param, window)
    if code == MAD:
        if np.isnan(window).any():
            return math.nan
        middle = _quantile(0.5, window)
        return _quantile(0.5, np.abs(window - middle))
    if code in (IRATE, IDELTA):
        rise = window[-1] - window[-2]
        if code == IDELTA:
            return rise
        if window[-1] < window[-2]:
            rise = window[-1]
        return rise / ((times[-1] - times[-2]) / 1000.0)
    if code == DERIV:
        return _regression(times, window, times[0])[0]
    if code == PREDICT:
        slope, intercept = _regression(times, window, end_ms)
        return slope * param + intercept
    if code == SMOOTH:
        return _smooth(window, param, param_2)
    if code == TS_LAST:
        return times[-1] / 1000.0
    if code == TS_FIRST:
        return times[0] / 1000.0
    if code in (TS_MAX, TS_MIN):
        return times[_extreme(window, code == TS_MAX)] / 1000.0
    return 1.0


@compiled
def fold(
    code: Any,
    offsets: Any,
    timestamps: Any,
    values: Any,
    ends: Any,
    range_ms: Any,
    param: Any,
    param_2: Any,
    at_ms: Any,
    least: Any,
) -> Any:
    """A function of each window's samples, chosen by `code`; present where a window has at least `least`
    samples.

    `param` float64[s] is the quantile, the prediction's distance in seconds or the smoothing factor, `param_2`
    the trend factor; `at_ms` int64[s] the evaluation times.
    """
    series, steps = len(offsets) - 1, len(ends)
    out = np.zeros((series, steps))
    present = np.zeros((series, steps), np.bool_)
    for i in range(series):
        low, high, stop = offsets[i], offsets[i], offsets[i + 1]
        for j in range(steps):
            low, high = moved(timestamps, low, high, stop, ends[j], range_ms)
            if high - low >= least:
                times, window = timestamps[low:high], values[low:high]
                out[i, j] = _fold_one(code, times, window, param[j], param_2[j], at_ms[j])
                present[i, j] = True
    return out, present


def warm() -> None:
    """Compile every kernel for the real types, or load it from the cache; call it at install or start."""
    offsets = np.array([0, 3], np.int64)
    timestamps = np.array([1000, 2000, 3000], np.int64)
    values = np.array([1.0, 2.0, 1.0])
    bits: npt.NDArray[np.int64] = values.view(np.int64)
    ends = np.array([2000, 3000], np.int64)
    last_sample(offsets, timestamps, bits, ends, 300_000)
    drop_stale(offsets, timestamps, values, bits)
    extrapolated(offsets, timestamps, values, ends, 2000, True, True)
    exact_increase(offsets, timestamps, values, ends, 2000, 3_600_000)
    fold(SUM, offsets, timestamps, values, ends, 2000, np.zeros(2), np.zeros(2), ends, 1)
    group_kernels.warm()
    number_kernels.warm()
    sliding_kernels.warm()
    uncut_kernels.warm()

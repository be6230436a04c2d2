# ruff: noqa: PLR0917 - kernels take flat arrays
"""Down-sampling: the samples of a day become buckets of five minutes and of an hour, counter-aware.

`compact` rolls up each day that it has merged, `rollup_codec` packs the buckets, `rollup_store` keeps and
reads them. What a bucket says:

- A bucket of `resolution` that ends at `end` holds the samples with end - resolution < t <= end, as a range
  of PromQL does. A day owns its own samples only, so the one at midnight sharp gives a bucket that ends there
  (place 0), and the day before another one; who reads joins the two.
- `minimum`, `maximum`, `total` and `counts` are over the samples that are numbers; `last` is the newest of
  them. Ordinary NaN is left out, a bucket of nothing else counts 0 and has `last` NaN. A stale marker is
  left out too, but when it is the newest sample of the bucket, `ended` says so.
- `reset` is the sum of the values that came right before a fall of the counter, whether the fall happened
  within the bucket or since the last sample before it. So the rise of a counter from the end of one bucket to
  the end of any later one is `last - earlier last + sum of reset in between`, exactly what raw samples give,
  and buckets chain without loss. (Thanos keeps the whole corrected counter instead, which costs the same as
  `last` again.) The first bucket of a day chains to the day before through `first`, the day's first value.
- A series that falls as a gauge does (`is_gauge`) has no `reset`: every fall would add its whole height, which
  nobody asks for and which packs badly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from setpoint.compensated import add
from setpoint.compiled import compiled

__all__ = ["COARSE_MS", "DAY_MS", "FINE_MS", "RESOLUTIONS_MS", "Buckets", "coarsen", "roll"]

DAY_MS = 86_400_000
FINE_MS, COARSE_MS = 300_000, 3_600_000
RESOLUTIONS_MS = (FINE_MS, COARSE_MS)
"""Bucket lengths that are kept, in milliseconds."""

_STALE = 0x7FF0000000000002


class Buckets(NamedTuple):
    """The buckets of n series in one UTC day: series i owns positions `offsets[i]:offsets[i + 1]`.

    `offsets` int64[n + 1]; `places` int64[m] (a bucket ends at day + place * resolution), ascending within a
    series; `counts` int64[m]; `minimum`, `maximum`, `total`, `last`, `reset` float64[m]; `ended` bool[m].
    Per series: `first` float64[n] (the day's first number, NaN when there is none), `is_gauge` bool[n].
    """

    resolution_ms: int
    offsets: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    minimum: npt.NDArray[np.float64]
    maximum: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]
    last: npt.NDArray[np.float64]
    reset: npt.NDArray[np.float64]
    ended: npt.NDArray[np.bool_]
    first: npt.NDArray[np.float64]
    is_gauge: npt.NDArray[np.bool_]


def roll(
    day_ms: int,
    offsets: npt.NDArray[np.int64],
    times: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
) -> Buckets:
    """The five-minute buckets of n series from their samples of the UTC day that begins at `day_ms`.

    `offsets` int64[n + 1], `times` int64[m] (strictly ascending within a series, all within the day) and
    `values` float64[m] as in `SampleColumns`.
    """
    bits = np.ascontiguousarray(values, np.float64).view(np.int64)
    return Buckets._make((FINE_MS, *_roll(day_ms, FINE_MS, offsets, times, values, bits)))


def coarsen(fine: Buckets) -> Buckets:
    """The hour buckets of the same series and day."""
    found = _coarsen(COARSE_MS // FINE_MS, *fine[1:10])
    return Buckets._make((COARSE_MS, *found, fine.first, fine.is_gauge))


@compiled
def _falls_as_gauge(bits: Any, values: Any, start: Any, stop: Any) -> Any:
    """Whether a series cannot be a counter: it is negative or infinite somewhere, or falls often and by little.

    A counter that starts anew falls to nearly nothing, a gauge to somewhat less. One fall to more than half
    for four rises is taken for a gauge.
    """
    rises, falls = 0, 0
    before = np.nan
    for k in range(start, stop):
        value = values[k]
        if np.isnan(value):
            continue
        if value < 0 or np.isinf(value):
            return True
        if value > before:
            rises += 1
        elif value < before and value > before / 2:
            falls += 1
        before = value
    return 4 * falls > rises


@compiled
def _roll(day_ms: Any, resolution_ms: Any, offsets: Any, times: Any, values: Any, bits: Any) -> Any:
    series = len(offsets) - 1
    out_offsets = np.zeros(series + 1, np.int64)
    room = 0
    for i in range(series):
        newest = np.int64(-1)
        for k in range(offsets[i], offsets[i + 1]):
            bucket = (times[k] - day_ms + resolution_ms - 1) // resolution_ms
            room += bucket != newest
            newest = bucket
    index, count = np.empty(room, np.int64), np.zeros(room, np.int64)
    minimum, maximum = np.full(room, np.nan), np.full(room, np.nan)
    total, last = np.zeros(room), np.full(room, np.nan)
    reset, ended = np.zeros(room), np.zeros(room, np.bool_)
    first, is_gauge = np.full(series, np.nan), np.zeros(series, np.bool_)
    b = np.int64(-1)
    for i in range(series):
        start, stop = offsets[i], offsets[i + 1]
        is_gauge[i] = _falls_as_gauge(bits, values, start, stop)
        bucket = np.int64(-1)
        before, high, low = np.nan, 0.0, 0.0
        for k in range(start, stop):
            here = (times[k] - day_ms + resolution_ms - 1) // resolution_ms
            if here != bucket:
                b += 1
                bucket, high, low = here, 0.0, 0.0
                index[b] = here
            ended[b] = bits[k] == _STALE
            value = values[k]
            if np.isnan(value):
                continue
            if value < before and not is_gauge[i]:
                reset[b] += before
            if np.isnan(first[i]):
                first[i] = value
            if count[b] == 0:
                minimum[b] = maximum[b] = value
            elif value < minimum[b]:
                minimum[b] = value
            elif value > maximum[b]:
                maximum[b] = value
            count[b] += 1
            high, low = add(value, high, low)
            total[b] = high + low
            last[b] = before = value
        out_offsets[i + 1] = b + 1
    return out_offsets, index, count, minimum, maximum, total, last, reset, ended, first, is_gauge


@compiled
def _coarsen(
    factor: Any,
    offsets: Any,
    index: Any,
    count: Any,
    minimum: Any,
    maximum: Any,
    total: Any,
    last: Any,
    reset: Any,
    ended: Any,
) -> Any:
    series = len(offsets) - 1
    out_offsets = np.zeros(series + 1, np.int64)
    room = len(index)
    out_index, out_count = np.empty(room, np.int64), np.zeros(room, np.int64)
    out_minimum, out_maximum = np.full(room, np.nan), np.full(room, np.nan)
    out_total, out_last = np.zeros(room), np.full(room, np.nan)
    out_reset, out_ended = np.zeros(room), np.zeros(room, np.bool_)
    b = np.int64(-1)
    for i in range(series):
        bucket = np.int64(-1)
        for k in range(offsets[i], offsets[i + 1]):
            here = (index[k] + factor - 1) // factor
            if here != bucket:
                b += 1
                bucket = here
                out_index[b] = here
            out_reset[b] += reset[k]
            out_ended[b] = ended[k]
            if count[k] == 0:
                continue
            if out_count[b] == 0:
                out_minimum[b], out_maximum[b] = minimum[k], maximum[k]
            else:
                out_minimum[b] = min(out_minimum[b], minimum[k])
                out_maximum[b] = max(out_maximum[b], maximum[k])
            out_count[b] += count[k]
            out_total[b] += total[k]
            out_last[b] = last[k]
        out_offsets[i + 1] = b + 1
    used = b + 1
    return (
        out_offsets,
        out_index[:used].copy(),
        out_count[:used].copy(),
        out_minimum[:used].copy(),
        out_maximum[:used].copy(),
        out_total[:used].copy(),
        out_last[:used].copy(),
        out_reset[:used].copy(),
        out_ended[:used].copy(),
    )

"""Packed buckets: the rollup of one series and day as a string of bits, about 2.6 bytes per five minutes.

`rollup_store` writes and reads them. Rollups are kept ten times longer than samples, so they are the larger
part of a full disk and worth a format of their own: as chunks of `codec`, a column each, they take 1.8 times
as much (docs/decisions/0015).

A chunk, lowest bits first:

    3  version, 2 mode, 1 "falls as a gauge", 9 number of buckets
    …  first index (9), gaps between the buckets if there are any, which of them end with a stale marker
    …  counts: the first, then differences; which buckets have a `reset`
    …  columns by mode, each as integers: `last` as the rise from the bucket before, `minimum` from the last of
       the bucket before (from `last` in a gauge), `maximum` above `last`, `total` from the middle of both
    …  the `reset` of each bucket that has one

A column is coded with Golomb-Rice codes whose parameter follows what came before; numbers that stay near a
mean, such as the rise of a counter, as differences from the running mean.

- Decimal mode (all values are m / 10^e, with a common power of two taken out): everything is exact but
  `total` of a bucket in which a counter only rises, whose mean is within 1/256 of its span. Nobody sums a
  counter, and the exact sum is a quarter of the size.
- Float mode (other finite values): `last`, `first` and `reset` are exact; `minimum` and `maximum` lie outside
  of the truth by at most 1/1024 of their distance from `last`, the mean within 1/250 of the span.
- Raw mode (infinities, buckets of nothing but NaN): everything bit for bit.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.codec import CorruptChunk
from setpoint.telemetry.rollup import DAY_MS, FINE_MS, RESOLUTIONS_MS, Buckets, coarsen, roll
from setpoint.telemetry.rollup_decode import count_all, decode_all
from setpoint.telemetry.rollup_encode import encode_all

__all__ = ["decode", "encode", "warm"]


def encode(buckets: Buckets) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """One chunk per series: (payload uint8[k], payload_offsets int64[n + 1]); no bytes without buckets."""
    payload, bounds = encode_all(*buckets[1:])
    return payload, bounds


def decode(
    payload: npt.NDArray[np.uint8], payload_offsets: npt.NDArray[np.int64], resolution_ms: int
) -> Buckets:
    """The buckets of n chunks, as if of n series. Raises CorruptChunk for anything malformed."""
    bounds = np.ascontiguousarray(payload_offsets, np.int64)
    if bounds[0] < 0 or bounds[-1] > len(payload) or (np.diff(bounds) < 0).any():
        raise CorruptChunk("the offsets of rollups do not fit their bytes; restore the telemetry database")
    payload = np.ascontiguousarray(payload, np.uint8)
    most = DAY_MS // resolution_ms
    announced = count_all(payload, bounds, most)
    bad = int(np.argmin(announced)) if len(announced) and announced.min() < 0 else -1
    offsets = np.zeros(len(bounds), np.int64)
    np.cumsum(np.maximum(announced, 0), out=offsets[1:])
    many = int(offsets[-1])
    floats = [np.zeros(many) for _ in range(5)]
    integers = [np.zeros(many, np.int64) for _ in range(2)]
    marks = np.zeros(many, np.bool_)
    chunks = (np.zeros(len(announced)), np.zeros(len(announced), np.bool_))
    buckets = Buckets._make((resolution_ms, offsets, *integers, *floats, marks, *chunks))
    if bad < 0:
        bad = decode_all(payload, bounds, most, *buckets[1:])
    if bad >= 0:
        raise CorruptChunk(
            f"rollup {bad} of {len(announced)} is damaged; restore the telemetry database from a backup"
        )
    return buckets


def warm() -> None:
    """Compile the kernels of rollups, or load them from the cache."""
    times = np.arange(1, 4, dtype=np.int64) * FINE_MS
    offsets = np.array([0, 3], np.int64)
    fine = roll(0, offsets, times, np.array([1.0, 2.5, 0.5]))
    for buckets in (fine, coarsen(fine)):
        decode(*encode(buckets), buckets.resolution_ms)
    assert fine.resolution_ms == RESOLUTIONS_MS[0]

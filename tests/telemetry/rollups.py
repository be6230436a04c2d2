"""What rollups must say, written down once more in plain Python, and samples to try it on."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from setpoint.telemetry.rollup import DAY_MS, Buckets, coarsen, roll

DAY = 20_000
"""A UTC day, as its number since 1970."""

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


def is_stale(value: float) -> bool:
    return struct.pack("<d", value) == struct.pack("<Q", 0x7FF0000000000002)


def end_of(time_ms: int, resolution_ms: int) -> int:
    """The end of the bucket of `time_ms`: buckets are open at their start, as ranges of PromQL are."""
    return -(-time_ms // resolution_ms) * resolution_ms


def increase(values: Sequence[float]) -> float:
    """What a counter rose by from the first to the last of `values`: after a fall all of the new value counts."""
    return sum(after - before if after >= before else after for before, after in pairwise(values))


def rolled(samples: Sequence[tuple[int, float]], resolution_ms: int) -> list[tuple[int, Buckets]]:
    """The buckets of one series, day by day."""
    found = []
    for day in sorted({time_ms // DAY_MS for time_ms, _ in samples}):
        mine = [sample for sample in samples if sample[0] // DAY_MS == day]
        fine = roll(
            day * DAY_MS,
            np.array([0, len(mine)], np.int64),
            np.array([time_ms for time_ms, _ in mine], np.int64),
            floats([value for _, value in mine]),
        )
        found.append((day, fine if resolution_ms == fine.resolution_ms else coarsen(fine)))
    return found


def floats(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Bit for bit: numpy may quieten the stale marker when it copies numbers one by one."""
    return np.frombuffer(struct.pack(f"<{len(values)}d", *values), np.float64).copy()


@st.composite
def instants(draw: st.DrawFn, days: int = 2, most: int = 60) -> list[int]:
    """Ascending timestamps over some days, some of them exactly on the edges of buckets."""
    step_ms = draw(st.sampled_from([1, 15_000, 60_000, 300_000, 1_800_000, 7_200_000]))
    time_ms = DAY * DAY_MS + draw(st.sampled_from([0, 1, 299_999, 300_000, DAY_MS - 60_000, DAY_MS // 2]))
    found = []
    for gap in draw(st.lists(st.sampled_from([1, 1, 1, 1, 2, 20]), min_size=1, max_size=most)):
        if time_ms >= (DAY + days) * DAY_MS:
            break
        found.append(time_ms)
        time_ms += gap * step_ms
    return found


@st.composite
def counters(draw: st.DrawFn) -> list[tuple[int, float]]:
    """Samples of a counter that starts anew now and then."""
    times = draw(instants())
    scale = draw(st.sampled_from([1, 1, 0.01, 4096, math.pi]))
    rises = st.sampled_from([0, 1, 1, 1, 7, 1000])
    value, samples = draw(st.integers(0, 50)), []
    for time_ms in times:
        samples.append((time_ms, value * scale))
        value = 0 if draw(st.integers(0, 9)) == 0 else value + draw(rises)
    return samples


@st.composite
def gauges(draw: st.DrawFn) -> list[tuple[int, float]]:
    """Samples of anything: negative, not a number, infinite, stale."""
    one = st.one_of(
        st.sampled_from([0.0, -1.5, 2.25, 1e300, -1e-300, STALE, math.nan, math.inf, -math.inf, 0.1 + 0.2]),
        st.floats(-1e6, 1e6),
        st.integers(-100, 100).map(lambda number: number / 10),
    )
    return [(time_ms, draw(one)) for time_ms in draw(instants())]

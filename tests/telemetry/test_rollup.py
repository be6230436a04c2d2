"""Buckets say of samples what they must, pack small, come back, and chain to exact increases."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.telemetry import rollup_codec
from setpoint.telemetry.codec import CorruptChunk
from setpoint.telemetry.rollup import COARSE_MS, DAY_MS, FINE_MS, RESOLUTIONS_MS, Buckets, coarsen, roll
from setpoint.telemetry.rollup_kernels import as_samples, joined
from tests.telemetry.rollups import (
    DAY,
    STALE,
    counters,
    end_of,
    floats,
    gauges,
    increase,
    is_stale,
    rolled,
)

resolutions = st.sampled_from(RESOLUTIONS_MS)
samples_of_any = st.one_of(counters(), gauges())


@settings(max_examples=100, deadline=None)
@given(samples=samples_of_any, resolution_ms=resolutions)
def test_buckets_say_what_the_samples_were(samples: list[tuple[int, float]], resolution_ms: int) -> None:
    for day, found in rolled(samples, resolution_ms):
        mine = [sample for sample in samples if sample[0] // DAY_MS == day]
        ends = sorted({end_of(time_ms, resolution_ms) for time_ms, _ in mine})
        assert (day * DAY_MS + found.places * resolution_ms).tolist() == ends
        for place, end in enumerate(ends):
            inside = [value for time_ms, value in mine if end_of(time_ms, resolution_ms) == end]
            numbers = [value for value in inside if not math.isnan(value)]
            assert found.counts[place] == len(numbers)
            assert found.ended[place] == is_stale(inside[-1])
            if not numbers:
                assert math.isnan(found.last[place])
                continue
            assert found.minimum[place] == min(numbers)
            assert found.maximum[place] == max(numbers)
            assert found.last[place] == numbers[-1]
            if all(map(math.isfinite, numbers)):
                assert found.total[place] == pytest.approx(math.fsum(numbers), rel=1e-12, abs=1e-9)
        everything = [value for _, value in mine if not math.isnan(value)]
        assert np.array_equal(found.first, everything[:1] or [math.nan], equal_nan=True)


@settings(max_examples=100, deadline=None)
@given(samples=counters(), resolution_ms=resolutions, data=st.data())
def test_increases_over_buckets_are_those_of_the_samples(
    samples: list[tuple[int, float]], resolution_ms: int, data: st.DataObject
) -> None:
    """Wherever the counter starts anew: within a bucket, between two, over midnight."""
    found = _History(samples, resolution_ms)
    ends = found.end_ms.tolist()
    first = data.draw(st.integers(0, len(ends) - 1))
    last = data.draw(st.integers(first, len(ends) - 1))
    begin_ms = ends[first - 1] if first else -1
    before = [value for time_ms, value in samples if time_ms <= begin_ms][-1:]
    inside = [value for time_ms, value in samples if begin_ms < time_ms <= ends[last]]
    expected = increase([*before, *inside])
    if not found.counter:  # so few samples that what falls may be a gauge
        return
    assert sum(found.increase[first : last + 1]) == pytest.approx(expected, rel=1e-12)
    if all(float(value).is_integer() for _, value in samples):
        assert sum(found.increase[first : last + 1]) == expected
    times, values = found.times, found.values
    synthetic = [
        value for time_ms, value in zip(times, values, strict=True) if begin_ms <= time_ms <= ends[last]
    ]
    assert increase(synthetic) == pytest.approx(expected, rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(samples=samples_of_any, resolution_ms=resolutions)
def test_synthetic_samples_keep_within_their_buckets(
    samples: list[tuple[int, float]], resolution_ms: int
) -> None:
    found = _History(samples, resolution_ms)
    assert all(before < after for before, after in pairwise(found.times))
    assert {end_of(time_ms, resolution_ms) for time_ms in found.times} == set(found.end_ms.tolist())
    newest = {end_of(time_ms, resolution_ms): value for time_ms, value in samples}
    at_end = dict(zip(found.times, found.values, strict=True))
    for end, value in newest.items():
        assert is_stale(at_end[end]) == is_stale(value)
        if is_stale(value):
            continue
        numbers = [
            one for time_ms, one in samples if end_of(time_ms, resolution_ms) == end and not math.isnan(one)
        ]
        assert at_end[end] == numbers[-1] if numbers else math.isnan(at_end[end])


def test_a_bucket_holds_its_end_and_not_its_start() -> None:
    start = DAY * DAY_MS
    times = [start, start + 1, start + FINE_MS, start + FINE_MS + 1]
    ((_, found),) = rolled([(time_ms, float(place)) for place, time_ms in enumerate(times)], FINE_MS)
    assert found.places.tolist() == [0, 1, 2]
    assert found.counts.tolist() == [1, 2, 1]


def test_the_halves_of_a_bucket_at_midnight_become_one() -> None:
    midnight = (DAY + 1) * DAY_MS
    found = _History([(midnight - 60_000, 10.0), (midnight, 4.0), (midnight + 1000, 5.0)], FINE_MS)
    assert found.end_ms.tolist() == [midnight, midnight + FINE_MS]
    assert found.counts.tolist() == [2, 1]
    assert (found.minimum.tolist(), found.maximum.tolist()) == ([4.0, 5.0], [10.0, 5.0])
    assert found.increase == [4.0, 1.0]


def test_hours_are_what_the_samples_would_have_given() -> None:
    rng = np.random.default_rng(7)
    times = np.sort(rng.choice(DAY_MS, 3000, replace=False)) + DAY * DAY_MS
    values = np.cumsum(rng.integers(0, 9, 3000)).astype(float)
    values[1500:] -= values[1500]
    fine = roll(DAY * DAY_MS, np.array([0, 3000]), times, values)
    hours = coarsen(fine)
    for place, end in enumerate(hours.places * COARSE_MS + DAY * DAY_MS):
        inside = values[(times > end - COARSE_MS) & (times <= end)]
        assert hours.counts[place] == len(inside)
        assert (hours.minimum[place], hours.maximum[place]) == (inside.min(), inside.max())
        assert (hours.total[place], hours.last[place]) == (inside.sum(), inside[-1])
    assert hours.reset.sum() == fine.reset.sum() == values[1499]


def test_what_falls_by_little_is_a_gauge_and_has_no_increase() -> None:
    start = DAY * DAY_MS
    shaky = [(start + second * 15_000 + 1, 100.0 + second % 3) for second in range(100)]
    restarted = [(start + second * 15_000 + 1, float(second % 50)) for second in range(100)]
    assert [bool(found.is_gauge[0]) for _, found in rolled(shaky, FINE_MS)] == [True]
    assert [bool(found.is_gauge[0]) for _, found in rolled(restarted, FINE_MS)] == [False]
    assert all(map(math.isnan, _History(shaky, FINE_MS).increase))


@settings(max_examples=100, deadline=None)
@given(samples=samples_of_any, resolution_ms=resolutions)
def test_packed_buckets_come_back(samples: list[tuple[int, float]], resolution_ms: int) -> None:
    for _, found in rolled(samples, resolution_ms):
        back = rollup_codec.decode(*rollup_codec.encode(found), resolution_ms)
        for name in ("offsets", "places", "counts", "last", "reset", "ended", "first", "is_gauge"):
            assert np.array_equal(
                getattr(back, name), getattr(found, name), equal_nan=name in {"last", "first"}
            )
        with np.errstate(invalid="ignore"):
            distance = np.abs(found.last - found.minimum)
            assert (back.minimum <= found.minimum)[found.counts > 0].all()
            assert (back.maximum >= found.maximum)[found.counts > 0].all()
            slack = np.isfinite(distance)
            room = distance / 1000 + 1e-12 * np.abs(found.last) + 1e-307
            assert (found.minimum - back.minimum <= room)[slack].all()
            known = np.isfinite(found.total) & (found.counts > 0)
            span = (found.maximum - found.minimum)[known]
            wrong = np.abs(back.total - found.total)[known] / found.counts[known]
            assert (wrong <= span / 200 + 1e-9 * np.abs(found.maximum[known])).all()


def test_decimals_come_back_exactly_but_for_the_sum_of_a_rise() -> None:
    rng = np.random.default_rng(5)
    count = 5760
    times = np.tile(np.arange(count) * 15_000 + DAY * DAY_MS + 7, 4)
    kinds: list[np.ndarray] = [
        np.round(rng.normal(20, 3, count), 2),
        rng.integers(0, 4, count) * 4096.0,
        np.full(count, -0.1),
        np.cumsum(rng.integers(0, 100, count)).astype(float),
    ]
    values = np.concatenate(kinds)
    found = roll(DAY * DAY_MS, np.arange(5) * count, times, values)
    back = rollup_codec.decode(*rollup_codec.encode(found), FINE_MS)
    assert found.is_gauge.tolist() == [True, False, True, False]
    for name in ("minimum", "maximum", "last"):
        assert np.array_equal(getattr(back, name), getattr(found, name))
    exact = np.repeat([True, True, True, False], np.diff(found.offsets))
    assert np.allclose(back.total[exact], found.total[exact], rtol=1e-13)
    assert not np.array_equal(back.total[~exact], found.total[~exact])


def test_both_resolutions_take_a_sixth_of_a_byte_per_sample() -> None:
    """A fifth each: busy counters, seconds, constants, noisy bytes, quiet counters."""
    rng = np.random.default_rng(1)
    count, each = 5760, 40
    kinds: list[np.ndarray] = [
        np.cumsum(rng.poisson(rng.uniform(0.1, 200, (each, 1)), (each, count)), axis=1),
        np.round(np.cumsum(rng.uniform(0, 15, (each, count)), axis=1), 2),
        np.repeat(rng.integers(0, 1000, (each, 1)), count, axis=1),
        np.round(8e9 / 4096 + np.cumsum(rng.normal(0, 250, (each, count)), axis=1)) * 4096,
        np.cumsum(rng.random((each, count)) < 0.01, axis=1),
    ]
    values = np.concatenate(kinds).astype(float)
    times = np.arange(count) * 15_000 + DAY * DAY_MS + rng.integers(0, 15_000, (len(values), 1))
    fine = roll(DAY * DAY_MS, np.arange(len(values) + 1) * count, times.ravel(), values.ravel())
    packed = sum(len(rollup_codec.encode(one)[0]) for one in (fine, coarsen(fine)))
    assert packed / values.size < 0.16


@settings(max_examples=150, deadline=None)
@given(samples=samples_of_any, resolution_ms=resolutions, data=st.data())
def test_damaged_bytes_are_found_or_read_as_some_buckets(
    samples: list[tuple[int, float]], resolution_ms: int, data: st.DataObject
) -> None:
    _, found = rolled(samples, resolution_ms)[0]
    payload, _ = rollup_codec.encode(found)
    damaged = payload.copy()
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    damaged = damaged[: data.draw(st.integers(0, len(damaged)))]
    guarded = np.concatenate([damaged, np.full(64, 0xFF, np.uint8)])  # what lies behind is not ours
    try:
        back = rollup_codec.decode(guarded, np.array([0, len(damaged)]), resolution_ms)
    except CorruptChunk:
        return
    assert back.offsets[-1] == len(back.last) <= DAY_MS // resolution_ms + 1


def test_offsets_that_lie_are_refused() -> None:
    with pytest.raises(CorruptChunk):
        rollup_codec.decode(np.zeros(3, np.uint8), np.array([0, 4]), FINE_MS)
    with pytest.raises(CorruptChunk):
        rollup_codec.decode(np.zeros(3, np.uint8), np.array([0, 2, 1]), FINE_MS)


def test_stale_markers_end_a_series_and_nothing_else() -> None:
    start = DAY * DAY_MS
    found = _History([(start + 1000, 3.0), (start + 2000, STALE), (start + FINE_MS + 1, STALE)], FINE_MS)
    assert found.counts.tolist() == [1, 0]
    assert [
        (time_ms - start, is_stale(value)) for time_ms, value in zip(found.times, found.values, strict=True)
    ] == [
        (FINE_MS - 1, False),
        (FINE_MS, True),
        (2 * FINE_MS, True),
    ]
    assert found.values[0] == 3.0


class _History:
    """One series rolled up, packed, unpacked and joined, with the samples made of it."""

    def __init__(self, samples: list[tuple[int, float]], resolution_ms: int) -> None:
        days = rolled(samples, resolution_ms)
        parts = [rollup_codec.decode(*rollup_codec.encode(found), resolution_ms) for _, found in days]
        offsets = np.cumsum([0, *(len(part.places) for part in parts)])
        columns = [
            np.concatenate([part[column] for part in parts]) for column in range(2, len(Buckets._fields))
        ]
        runs, numbers = np.array([0, len(parts)]), np.array([day for day, _ in days])
        bounds, *answer = joined(runs, numbers, resolution_ms, offsets, *columns)
        self.end_ms, self.counts, self.minimum, self.maximum, _, last, before, fell, ended = answer
        self.counter = not any(part.is_gauge[0] for part in parts)
        with np.errstate(invalid="ignore"):
            self.increase = (last - before + fell).tolist()
        _, times, values = as_samples(bounds, self.end_ms, last, before, fell, ended, resolution_ms)
        self.times, self.values = times.tolist(), floats(values.tolist()).tolist()

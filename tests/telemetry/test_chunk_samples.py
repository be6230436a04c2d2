"""Chunks to samples equals a dictionary, whatever overlaps; late samples are found until they are flushed."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.telemetry.chunk_samples import Runs, decoded, encoded, joined, merged
from setpoint.telemetry.late import LateSamples

# (series, generation, {time: value})
chunk = st.tuples(
    st.integers(1, 3),
    st.integers(1, 3),
    st.dictionaries(st.integers(-20, 40), st.floats(-9, 9), max_size=8),
)
Stored = dict[int, dict[int, float]]


def _runs(chunks: list[tuple[int, int, dict[int, float]]]) -> Runs:
    pairs = [sorted(held.items()) for _, _, held in chunks]
    return Runs(
        np.array([series for series, _, _ in chunks], np.uint64),
        np.array([generation for _, generation, _ in chunks], np.uint64),
        np.cumsum([0, *map(len, pairs)]),
        np.array([time for part in pairs for time, _ in part], np.int64),
        np.array([value for part in pairs for _, value in part], np.float64),
    )


def _found(runs: Runs, start: int, end: int) -> Stored:
    samples = merged(runs, start, end)
    assert (np.diff(samples.fingerprints.astype(np.int64)) > 0).all()
    bounds = samples.offsets.tolist()
    return {
        int(series): dict(
            zip(samples.timestamps_ms[low:high].tolist(), samples.values[low:high].tolist(), strict=True)
        )
        for series, low, high in zip(samples.fingerprints, bounds[:-1], bounds[1:], strict=True)
    }


@settings(max_examples=200, deadline=None)
@given(chunks=st.lists(chunk, max_size=8), start=st.integers(-25, 45), end=st.integers(-25, 45))
def test_the_later_generation_counts(
    chunks: list[tuple[int, int, dict[int, float]]], start: int, end: int
) -> None:
    # Within a generation the chunk with the later first sample counts, so give each its own.
    chunks = [
        (series, 10 * generation + place, held) for place, (series, generation, held) in enumerate(chunks)
    ]
    expected: Stored = {}
    for series, _, held in sorted(chunks, key=lambda one: one[1]):
        inside = {time: value for time, value in held.items() if start < time <= end}
        if inside:
            expected.setdefault(series, {}).update(inside)
    found = _found(_runs(chunks), start, end)
    assert found == expected
    assert all(list(held) == sorted(held) for held in found.values())
    half = len(chunks) // 2
    assert _found(joined(_runs(chunks[:half]), _runs(chunks[half:])), start, end) == expected


@settings(max_examples=100, deadline=None)
@given(
    added=st.lists(
        st.lists(st.tuples(st.integers(1, 3), st.integers(-300, 300), st.floats(-9, 9)), max_size=8),
        max_size=4,
    ),
    cut_after=st.integers(0, 4),
)
def test_late_samples_are_found_until_they_are_flushed(
    added: list[list[tuple[int, int, float]]], cut_after: int
) -> None:
    late = LateSamples()
    taken: Stored = {}
    left: Stored = {}
    for number, samples in enumerate(added):
        if number == cut_after:
            late.cut()
        late.add(
            np.array([series for series, _, _ in samples], np.uint64),
            np.array([time for _, time, _ in samples], np.int64),
            np.array([value for _, _, value in samples], np.float64),
        )
        for series, time, value in samples:
            (taken if number < cut_after else left).setdefault(series, {})[time] = value
    if cut_after >= len(added):
        late.cut()
    everything = {series: {**taken.get(series, {}), **left.get(series, {})} for series in taken | left}
    wide = (-900, 900)
    assert _found(late.runs(*wide), *wide) == everything
    assert late.count == sum(len(samples) for samples in added[cut_after:])
    late.flushed()
    assert _found(late.runs(*wide), *wide) == left
    runs = late.runs(*wide)
    second = runs.chosen(np.flatnonzero(runs.fingerprints == 2), runs.fingerprints)
    assert _found(second, *wide) == {s: held for s, held in left.items() if s == 2}


def test_chunks_end_where_a_span_does() -> None:
    times = np.array([-1, 0, 9, 10, 11, 25, 25], np.int64)
    series = np.array([1, 1, 1, 1, 1, 1, 2], np.uint64)
    chunks = encoded(series, times, np.arange(7.0), span_ms=10)
    assert chunks.first_ms.tolist() == [-1, 0, 10, 25, 25]
    assert chunks.last_ms.tolist() == [-1, 9, 11, 25, 25]
    assert chunks.counts.tolist() == [1, 2, 2, 1, 1]
    generations = np.ones(5, np.uint64)
    runs = decoded(chunks.fingerprints, generations, chunks.counts, chunks.payload, chunks.offsets)
    assert _found(runs, -2, 25) == {
        1: dict(zip([-1, 0, 9, 10, 11, 25], np.arange(6.0).tolist(), strict=True)),
        2: {25: 6.0},
    }

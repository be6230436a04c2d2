"""The codec against the samples themselves: every float64, every gap, and bytes that lie."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.errors import InvalidInput
from setpoint.telemetry.codec import CorruptChunk, decode_chunks, encode_chunks

STALE_BITS = 0x7FF0000000000002

Chunk = tuple[list[int], list[int]]
"""Timestamps, and the values as bit patterns."""


def bits_of(value: float) -> int:
    return int(np.array([value]).view(np.uint64)[0])


any_bits = st.one_of(
    st.integers(0, 2**64 - 1),
    st.sampled_from(
        [STALE_BITS, bits_of(-0.0), bits_of(0.0), 1, bits_of(np.inf), bits_of(-np.inf), bits_of(np.nan)]
    ),
    st.floats(width=64).map(bits_of),
)
decimals = st.builds(
    lambda mantissa, exponent: bits_of(mantissa / 10**exponent),
    st.integers(-(2**55), 2**55),
    st.integers(0, 20),
)
small = st.integers(-1000, 1000).map(float).map(bits_of)


@st.composite
def chunks(draw: st.DrawFn) -> Chunk:
    """A chunk whose timestamps step evenly, with jitter, or wildly, and whose values are of one make or mixed."""
    count = draw(st.integers(0, 100))
    gaps = draw(
        st.sampled_from(
            [
                st.just(15_000),
                st.integers(14_998, 15_002),
                st.integers(1, 3).map(lambda many: 1000 * many),
                st.sampled_from([1, 15_000, 2**33]),
                st.integers(1, 2**54),
            ]
        )
    )
    start = draw(st.integers(-(2**62), 2**60))
    steps = draw(st.lists(gaps, min_size=count, max_size=count))
    times = np.cumsum([start, *steps], dtype=np.int64)[1:].tolist()
    make = draw(
        st.sampled_from(
            [any_bits, decimals, small, st.just(bits_of(4.25)), st.sampled_from([bits_of(0.0), STALE_BITS])]
        )
    )
    values = draw(st.lists(make, min_size=count, max_size=count))
    if draw(st.booleans()):  # a counter
        rising = np.cumsum(draw(st.lists(st.integers(0, 50), min_size=count, max_size=count)))
        values = [bits_of(value / draw(st.sampled_from([1, 8, 10]))) for value in rising.tolist()]
        if count and draw(st.booleans()):
            values[draw(st.integers(0, count - 1))] = STALE_BITS
    return times, values


def columns(
    made: list[Chunk],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    times = np.array([time_ms for times, _ in made for time_ms in times], np.int64)
    values = np.array([value for _, values in made for value in values], np.uint64).view(np.float64)
    offsets = np.cumsum([0, *(len(times) for times, _ in made)], dtype=np.int64)
    return times, values, offsets


@settings(max_examples=1500, deadline=None)
@given(made=st.lists(chunks(), max_size=4))
def test_what_is_decoded_is_what_was_encoded_bit_for_bit(made: list[Chunk]) -> None:
    times, values, offsets = columns(made)
    payload, bounds = encode_chunks(times, values, offsets)
    found_times, found_values, found_offsets = decode_chunks(payload, bounds, np.diff(offsets))
    assert found_times.tolist() == times.tolist()
    assert found_values.view(np.uint64).tolist() == values.view(np.uint64).tolist()
    assert found_offsets.tolist() == offsets.tolist()


@settings(max_examples=1500, deadline=None)
@given(made=chunks(), data=st.data())
def test_damaged_bytes_are_refused_or_decode_to_something(made: Chunk, data: st.DataObject) -> None:
    payload, _ = encode_chunks(*columns([made]))
    spoiled = bytearray(payload.tobytes())
    for _ in range(data.draw(st.integers(0, 3))):
        spoiled[data.draw(st.integers(0, len(spoiled) - 1))] = data.draw(st.integers(0, 255))
    del spoiled[data.draw(st.integers(0, len(spoiled))) :]
    count = data.draw(st.sampled_from([len(made[0]), len(made[0]) + 1, 0, 2**31 - 1, -1]))
    check_decodes_or_refuses(bytes(spoiled), count)


def check_decodes_or_refuses(raw: bytes, count: int) -> None:
    """Decode `raw` as one chunk: an answer has `count` ascending samples, anything else is CorruptChunk."""
    payload = np.frombuffer(raw, np.uint8)
    try:
        times, values, _ = decode_chunks(
            payload, np.array([0, len(raw)], np.int64), np.array([count], np.int32)
        )
    except CorruptChunk:
        return
    assert len(times) == len(values) == count
    assert (np.diff(times) > 0).all() or count < 2


@settings(max_examples=1500, deadline=None)
@given(raw=st.binary(max_size=80), count=st.integers(0, 80))
def test_arbitrary_bytes_are_refused_or_decode_to_something(raw: bytes, count: int) -> None:
    header = bytes([1 | (raw[0] & 0x78)]) if raw else b""
    check_decodes_or_refuses(header + raw[1:], count)
    check_decodes_or_refuses(raw, count)


@pytest.mark.parametrize("cut", [1, 2, 7, 30])
def test_a_truncated_chunk_is_refused(cut: int) -> None:
    made = (list(range(0, 120_000, 1000)), [bits_of(float(value * value)) for value in range(120)])
    payload, bounds = encode_chunks(*columns([made, made]))
    bounds = bounds.copy()
    bounds[2] -= cut
    with pytest.raises(CorruptChunk, match="stored chunk 1"):
        decode_chunks(payload, bounds, np.array([120, 120], np.int64))


@pytest.mark.parametrize(
    ("bounds", "counts"),
    [([0, 10**9], [1]), ([-5, 3], [1]), ([3, 0], [1]), ([0, 3], [1, 2]), ([0, 0], [1]), ([0, 0], [0])],
)
def test_offsets_that_lie_are_refused(bounds: list[int], counts: list[int]) -> None:
    payload, _ = encode_chunks(*columns([([1], [0])]))
    with pytest.raises(CorruptChunk):
        decode_chunks(payload, np.array(bounds, np.int64), np.array(counts, np.int64))


def test_timestamps_that_do_not_ascend_are_not_encoded() -> None:
    with pytest.raises(InvalidInput, match="ascend"):
        encode_chunks(*columns([([1, 2, 2], [0, 0, 0])]))
    with pytest.raises(InvalidInput, match="offsets"):
        encode_chunks(np.array([1], np.int64), np.array([1.0]), np.array([0, 2], np.int64))


def test_usual_series_take_few_bytes() -> None:
    """Bounds with a margin of a tenth over what was measured when this was written."""
    rng = np.random.default_rng(7)
    count = 120
    even = np.arange(count) * 15_000 + 1_790_000_000_000
    jittered = even + rng.integers(-3, 4, count) * (rng.random(count) < 0.3)
    counter = np.cumsum(rng.poisson(50, count)).astype(np.float64)
    stale = counter.copy()
    stale[-1] = np.array([STALE_BITS], np.uint64).view(np.float64)[0]
    sizes = {
        name: len(encode_chunks(times, values, np.array([0, count], np.int64))[0])
        for name, times, values in (
            ("constant", even, np.full(count, 7.5)),
            ("counter", even, counter),
            ("counter that ends", even, stale),
            ("jitter", jittered, counter),
            ("pages", even, 4096 * rng.integers(0, 250, count).astype(np.float64)),
            ("cents", even, np.round(rng.uniform(0, 15, count), 2)),
        )
    }
    most = {
        "constant": 20, "counter": 120, "counter that ends": 125, "jitter": 158, "pages": 148, "cents": 195
    }  # fmt: skip
    assert {name: size for name, size in sizes.items() if size > most[name]} == {}


@pytest.mark.timeout(180)
def test_damaged_bytes_stay_within_bounds(tmp_path: Path) -> None:
    """The same damage in a process whose kernels check every index (the cache of the others must not be used)."""
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    script = Path(__file__).with_name("codec_damage.py")
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout + done.stderr

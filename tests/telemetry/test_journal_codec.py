"""The journal's encoding: what went in comes out bit by bit, small, and damage is noticed."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.telemetry.journal_codec import CorruptJournal, JournalDecoder, JournalEncoder

SPECIAL_BITS = (
    0x7FF0000000000002,  # the stale marker
    0x7FF8000000000001,
    0xFFF8000000000000,
    0x8000000000000000,  # -0.0
    0x7FF0000000000000,
    0xFFF0000000000000,
    1,  # the smallest denormal
    0x7FEFFFFFFFFFFFFF,
)

bits = (
    st.sampled_from(SPECIAL_BITS)
    | st.integers(0, 2**64 - 1)
    | st.integers(-(10**17), 10**17).map(lambda number: _bits_of(float(number)))
    | st.integers(-(10**9), 10**9).map(lambda number: _bits_of(number / 100))
    | st.integers(-(10**12), 10**12).map(lambda number: _bits_of(number / 1e6))
)
times = st.integers(-(2**63), 2**63 - 1) | st.integers(1_700_000_000_000, 1_700_000_060_000)
samples = st.lists(st.tuples(st.integers(0, 40) | st.integers(0, 100_000), times, bits), max_size=60)
groups = st.lists(samples, min_size=1, max_size=4)


def _bits_of(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def _fingerprints(refs: np.ndarray, epoch: int = 0) -> np.ndarray:
    return (refs.astype(np.uint64) + np.uint64(epoch + 1)) * np.uint64(0x9E3779B97F4A7C15)


def _refs_of(fingerprints: np.ndarray) -> np.ndarray:
    """One more than the ref (and two more after it was given to another series)."""
    inverse = np.uint64(pow(0x9E3779B97F4A7C15, -1, 2**64))
    return (fingerprints * inverse).astype(np.int32)


def _columns(group: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array([ref for ref, _, _ in group], np.int32),
        np.array([time_ms for _, time_ms, _ in group], np.int64),
        np.array([word for _, _, word in group], np.uint64).view(np.float64),
    )


@settings(max_examples=150, deadline=None)
@given(written=groups, anew_at=st.sets(st.integers(0, 3)), renamed_at=st.integers(0, 3))
def test_every_sample_comes_back_bit_by_bit(
    written: list[list[tuple[int, int, int]]], anew_at: set[int], renamed_at: int
) -> None:
    """Also after rows were given to other series, and after the encoder began anew."""
    encoder, decoder = JournalEncoder(), JournalDecoder(_refs_of)
    for number, group in enumerate(written):
        refs, times_ms, values = _columns(group)
        epoch = int(number >= renamed_at)
        fingerprints = _fingerprints(refs, epoch)
        if number in anew_at:
            encoder.start_anew()
        found = decoder.decode(encoder.encode(refs, fingerprints, times_ms, values))
        assert found.refs.tolist() == (refs + 1 + epoch).tolist()
        assert found.timestamps_ms.tolist() == times_ms.tolist()
        assert found.values.view(np.uint64).tolist() == values.view(np.uint64).tolist()


def test_a_block_that_was_not_stored_is_not_needed_after_a_new_start() -> None:
    encoder, decoder = JournalEncoder(), JournalDecoder(_refs_of)
    refs, times_ms, values = _columns([(3, 1, _bits_of(1.0)), (5, 1, _bits_of(2.0))])
    fingerprints = _fingerprints(refs)
    lost = encoder.encode(refs, fingerprints, times_ms, values)
    with pytest.raises(CorruptJournal, match="missing"):
        JournalDecoder(_refs_of).decode(encoder.encode(refs, fingerprints, times_ms, values))
    encoder.start_anew()
    again = encoder.encode(refs, fingerprints, times_ms, values)
    assert decoder.decode(again).refs.tolist() == [4, 6]
    # Had it been stored after all, both are there, which does no harm either.
    for block in (lost, again):
        assert decoder.decode(block).values.tolist() == [1.0, 2.0]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_block_never_reads_outside_and_is_noticed_or_decodes_to_something(
    data: st.DataObject,
) -> None:
    refs, times_ms, values = _columns(
        data.draw(st.lists(st.tuples(st.integers(0, 50), times, bits), min_size=1, max_size=30))
    )
    block = bytearray(JournalEncoder().encode(refs, _fingerprints(refs), times_ms, values))
    for _ in range(data.draw(st.integers(1, 3))):
        block[data.draw(st.integers(0, len(block) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(block)) | st.just(len(block)))
    try:
        found = JournalDecoder(_refs_of).decode(bytes(block[:cut]))
    except CorruptJournal:
        return
    assert len(found.refs) == len(found.timestamps_ms) == len(found.values)


def test_a_series_that_is_not_wanted_is_left_out() -> None:
    refs, times_ms, values = _columns([(3, 1, _bits_of(1.0)), (5, 1, _bits_of(2.0)), (3, 2, _bits_of(3.0))])
    fingerprints = _fingerprints(refs)
    decoder = JournalDecoder(lambda asked: np.where(asked == fingerprints[0], 7, -1).astype(np.int32))
    found = decoder.decode(JournalEncoder().encode(refs, fingerprints, times_ms, values))
    assert (found.refs.tolist(), found.values.tolist()) == ([7, 7], [1.0, 3.0])


def test_a_sample_of_many_series_takes_few_bytes() -> None:
    """100,000 series with one sample each, of kinds and in an order as senders have them."""
    random = np.random.default_rng(1)
    count = 100_000
    refs = np.arange(count, dtype=np.int32)
    counters = random.poisson(random.uniform(0.1, 200, count) * 2000).astype(np.float64)
    seconds = np.round(random.uniform(0, 30_000, count), 2)
    sizes = np.round(random.normal(2_000_000, 12_000, count)) * 4096
    values = np.select([refs % 3 == 0, refs % 3 == 1], [counters, seconds], sizes)
    encoder = JournalEncoder()
    for times_ms in (
        1_700_000_000_000 + random.integers(0, 15_000, count // 200)[refs // 200],
        1_700_000_015_000 + random.integers(0, 15_000, count),
    ):
        block = encoder.encode(refs, _fingerprints(refs), times_ms, values)
    assert len(block) <= 7 * count

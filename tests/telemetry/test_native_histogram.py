"""Native histograms: what is encoded comes back bit for bit, damaged bytes are refused, faults are named."""

from __future__ import annotations

import contextlib
import math
import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.errors import InvalidInput
from setpoint.telemetry.native_histogram import CUSTOM_SCHEMA, STALE, STALE_BITS, NativeHistogram

PLAIN = NativeHistogram(
    schema=3,
    count=10,
    sum=12.5,
    zero_threshold=0.001,
    zero_count=1,
    positive_spans=((-2, 2), (3, 1)),
    positive_counts=(2.0, 3.0, 1.0),
    negative_spans=((0, 1),),
    negative_counts=(3.0,),
    reset_hint="not_reset",
)
CUSTOM = NativeHistogram(
    schema=CUSTOM_SCHEMA,
    count=6,
    sum=9.0,
    positive_spans=((0, 1), (1, 1)),
    positive_counts=(2.0, 4.0),
    custom_bounds=(0.1, 1.0),
)

_spans = st.lists(st.tuples(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**31 - 1)), max_size=4).map(
    tuple
)
_counts = st.lists(st.floats(), max_size=6).map(tuple)
histograms = st.builds(
    NativeHistogram,
    schema=st.integers(-128, 127),
    count=st.floats(),
    sum=st.floats() | st.just(STALE),
    zero_threshold=st.floats(),
    zero_count=st.floats(),
    positive_spans=_spans,
    positive_counts=_counts,
    negative_spans=_spans,
    negative_counts=_counts,
    custom_bounds=_counts,
    reset_hint=st.sampled_from(["unknown", "reset", "not_reset", "gauge"]),
    is_float=st.booleans(),
)


@given(histograms)
def test_encoded_comes_back(histogram: NativeHistogram) -> None:
    encoded = histogram.encode()
    decoded = NativeHistogram.decode(encoded)
    assert decoded.encode() == encoded
    assert repr(decoded) == repr(histogram)  # NaN is unequal to itself
    assert decoded.is_stale == histogram.is_stale


@settings(max_examples=200)
@given(st.data())
def test_damaged_bytes_are_refused(data: st.DataObject) -> None:
    encoded = bytearray(PLAIN.encode())
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(InvalidInput, match="damaged"):
        NativeHistogram.decode(bytes(encoded[:cut]))
    with pytest.raises(InvalidInput, match="damaged"):
        NativeHistogram.decode(bytes(encoded) + b"\0")
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(InvalidInput):
        NativeHistogram.decode(bytes(encoded))


def test_the_stale_marker_is_kept_by_its_bits() -> None:
    stale = NativeHistogram(schema=0, count=0, sum=STALE)
    assert stale.is_stale
    assert NativeHistogram.decode(stale.encode()).is_stale
    assert struct.pack("<d", STALE) == STALE_BITS.to_bytes(8, "little")
    assert not NativeHistogram(schema=0, count=0, sum=math.nan).is_stale
    assert replace(stale, schema=99).fault() is None


def test_what_the_stored_form_cannot_hold_is_refused() -> None:
    with pytest.raises(InvalidInput):
        replace(PLAIN, positive_counts=(0.0,) * 10_001).encode()
    with pytest.raises(InvalidInput):
        replace(PLAIN, positive_spans=((2**31, 1),)).encode()
    with pytest.raises(InvalidInput):
        replace(PLAIN, schema=128).encode()


@pytest.mark.parametrize(
    "histogram",
    [PLAIN, CUSTOM, replace(PLAIN, count=11, sum=math.nan), replace(PLAIN, count=9, is_float=True)],
)
def test_sound_histograms(histogram: NativeHistogram) -> None:
    assert histogram.fault() is None


@pytest.mark.parametrize(
    ("histogram", "told"),
    [
        (replace(PLAIN, schema=9), "schema 9"),
        (replace(PLAIN, custom_bounds=(1.0,)), "custom bounds need schema"),
        (replace(PLAIN, zero_threshold=-1.0), "zero threshold"),
        (replace(PLAIN, positive_counts=(1.0,)), "positive spans name 3 buckets, 1 are there"),
        (replace(PLAIN, positive_spans=((0, 2), (-1, 1))), "negative gap"),
        (replace(PLAIN, positive_spans=((0, 4), (0, -1))), "negative gap or length"),
        (replace(PLAIN, negative_counts=(-1.0,)), "negative bucket has the count -1"),
        (replace(PLAIN, positive_counts=(2.0, math.nan, 1.0)), "positive bucket has the count nan"),
        (replace(PLAIN, count=9), "the buckets hold 10 observations, the count says 9"),
        (replace(PLAIN, count=11), "the buckets hold 10 observations, the count says 11"),
        (replace(PLAIN, count=math.nan), "the count is nan"),
        (replace(CUSTOM, zero_count=1), "no negative and no zero bucket"),
        (replace(CUSTOM, custom_bounds=(1.0, 1.0)), "must be finite and ascend"),
        (replace(CUSTOM, custom_bounds=(1.0, math.inf)), "must be finite and ascend"),
        (replace(CUSTOM, positive_spans=((0, 1), (2, 1))), "the spans reach bucket 4 of 3"),
    ],
)
def test_faults_are_named(histogram: NativeHistogram, told: str) -> None:
    assert told in (histogram.fault() or "")

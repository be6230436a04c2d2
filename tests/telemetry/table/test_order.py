"""Sorting without Python objects, against `sorted`."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.telemetry.table.order import rank_pairs
from setpoint.telemetry.table.symbols import Texts, encode


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.text(st.sampled_from("\0\x01abé\U0001f600"), max_size=30)),
        unique=True,
        max_size=60,
    )
)
def test_pairs_are_ranked_by_name_and_code_points(pairs: list[tuple[int, str]]) -> None:
    blob, offsets = encode([value for _, value in pairs])
    texts = Texts(blob, offsets[:-1].copy(), np.diff(offsets).astype(np.int32))
    ranks = rank_pairs(np.array([name for name, _ in pairs], np.int32), texts)
    wanted = sorted(pairs)
    assert ranks.tolist() == [wanted.index(pair) for pair in pairs]


def test_values_that_agree_in_their_beginnings() -> None:
    values = [f"{'checkout-service-' * 5}{number * 7919 % 1000:04d}" for number in range(1000)]
    blob, offsets = encode(values)
    texts = Texts(blob, offsets[:-1].copy(), np.diff(offsets).astype(np.int32))
    ranks = rank_pairs(np.zeros(1000, np.int32), texts)
    assert np.argsort(ranks).tolist() == sorted(range(1000), key=values.__getitem__)

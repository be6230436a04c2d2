"""Wire keys against a dictionary, with keys that crowd into few slots and refs that go."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.telemetry.table.wire_keys import WireKeys

pairs = st.tuples(st.integers(0, 40), st.integers(0, 3))
steps = st.lists(
    st.tuples(st.just("put"), st.lists(st.tuples(pairs, st.integers(-1, 30)), max_size=60))
    | st.tuples(st.just("drop"), st.sets(st.integers(0, 30))),
    max_size=8,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_equals_a_dictionary(changes: list[tuple[str, list[tuple[tuple[int, int], int]] | set[int]]]) -> None:
    keys, naive = WireKeys(), dict[tuple[int, int], int]()
    everything = [(high, low) for high in range(41) for low in range(4)]
    for kind, argument in changes:
        if kind == "put":
            put = [one for one in argument if isinstance(one, tuple)]
            keys.put(
                np.array([key for key, _ in put], np.uint64).reshape(-1, 2),
                np.array([ref for _, ref in put], np.int32),
            )
            naive.update({key: ref for key, ref in put if ref >= 0})
        else:
            gone = np.isin(np.arange(31), [ref for ref in argument if isinstance(ref, int)])
            keys.drop(gone)
            naive = {key: ref for key, ref in naive.items() if not gone[ref]}
        found = keys.find(np.array(everything, np.uint64)).tolist()
        assert found == [naive.get(key, -1) for key in everything]
        assert len(keys) == len(naive)


def test_half_a_key_is_another_key() -> None:
    keys = WireKeys()
    keys.put(np.array([[1, 2]], np.uint64), np.array([7], np.int32))
    assert keys.find(np.array([[1, 2], [1, 3], [2, 2], [2, 1]], np.uint64)).tolist() == [7, -1, -1, -1]


def test_a_table_shrinks_with_its_keys() -> None:
    keys = WireKeys()
    many = np.random.default_rng(1).integers(0, 2**64, (50_000, 2), dtype=np.uint64)
    keys.put(many, np.arange(50_000, dtype=np.int32))
    full_bytes = keys.nbytes
    assert full_bytes < 50_000 * 45
    keys.drop(np.arange(50_000) >= 1000)
    assert keys.nbytes < full_bytes / 20
    assert keys.find(many[:1001]).tolist() == [*range(1000), -1]

"""An answer in pieces says what `format` says; numbers are Go's, bit for bit, however odd."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from setpoint.promql import number_kernels
from setpoint.promql.encode import encode
from setpoint.promql.format import format_number, to_api
from setpoint.promql.model import Matrix

LABELS: tuple[dict[str, str], ...] = (
    {"__name__": "b", "x": 'a"\\\n'},
    {"__name__": "a", "größe": "😀"},
    {},
    {"__name__": "a"},
)
ODD = (
    0.0,
    -0.0,
    1e21,
    1e-6,
    9.99999e-7,
    5e-324,
    2.0**53,
    1e22,
    1e23,
    0.1 + 0.2,
    2**63 - 1.0,
    1.7976931348623157e308,
)


def written(values: list[float]) -> list[str]:
    out = np.empty(len(values) * number_kernels.NUMBER_BYTES, np.uint8)
    ends = np.empty(len(values), np.int64)
    size = number_kernels.put_values(np.array(values, np.float64), out, ends)
    text = out[:size].tobytes().decode()
    return [text[begin:end] for begin, end in zip([0, *ends.tolist()], ends.tolist(), strict=False)]


floats = (
    st.floats()
    | st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", bits.to_bytes(8, "little"))[0])
    | st.integers(-(10**17), 10**17).map(lambda number: number / 100)
    | st.integers(-1074, 1023).map(lambda power: 2.0**power)
    | st.integers(-323, 308).map(lambda power: float(f"1e{power}"))
)


@settings(max_examples=300, deadline=None)
@given(st.lists(floats, min_size=1, max_size=200))
def test_numbers_are_the_shortest_that_read_back(values: list[float]) -> None:
    assert written(values) == [format_number(value) for value in values]


def test_odd_numbers() -> None:
    values = [*ODD, *(-value for value in ODD), float("inf"), float("-inf"), float("nan")]
    assert written(values) == [format_number(value) for value in values]
    assert written([0.1 + 0.2, 1e21, 123456789.25]) == ["0.30000000000000004", "1e+21", "123456789.25"]
    rng = np.random.default_rng(5)
    many = rng.integers(0, 2**63, 20_000, dtype=np.uint64).view(np.float64).tolist()
    assert written(many) == [format_number(value) for value in many]


def matrix_of(values: np.ndarray, present: np.ndarray, kind: str = "vector") -> Matrix:
    times = np.array([-1500, 0, 1000, 1_799_496_000_123], np.int64)[: values.shape[1]]
    return Matrix(LABELS[: len(values)], times, values, present, kind)  # type: ignore[arg-type]


shapes = st.tuples(st.integers(0, 4), st.integers(1, 4))


@settings(max_examples=150, deadline=None)
@given(st.data(), shapes, st.booleans(), st.sampled_from(["vector", "matrix"]), st.sampled_from([None, 1, 3]))
def test_pieces_say_what_format_says(
    data: st.DataObject, shape: tuple[int, int], is_range: bool, kind: str, most: int | None
) -> None:
    values = data.draw(arrays.arrays(np.float64, shape, elements=floats))
    present = data.draw(arrays.arrays(np.bool_, shape))
    present[:, 0] = True  # an evaluation leaves empty series out
    matrix = matrix_of(values, present, kind)
    said = b"".join(encode(matrix, is_range=is_range, most=most))
    assert json.loads(said) == json.loads(json.dumps(to_api(matrix, is_range=is_range, most=most)))


def test_scalars_strings_and_stats() -> None:
    one = np.ones((1, 1))
    scalar = Matrix(({},), np.array([1500]), one * 0.5, one > 0, "scalar")
    stats = {"samples": {"peakSamples": 3}}
    assert json.loads(b"".join(encode(scalar))) == {"resultType": "scalar", "result": [1.5, "0.5"]}
    ranged = json.loads(b"".join(encode(scalar, is_range=True, stats=stats)))
    assert ranged == to_api(scalar, is_range=True) | {"stats": stats}
    assert json.loads(b"".join(encode(scalar, stats=stats)))["stats"] == stats
    text = Matrix((), np.array([0]), one[:0], one[:0] > 0, "string", "hé")
    assert json.loads(b"".join(encode(text))) == {"resultType": "string", "result": [0, "hé"]}


@pytest.mark.parametrize("is_range", [False, True])
def test_pieces_stay_small(is_range: bool) -> None:
    """However many series there are: no piece is more than twice as large as a piece is to be."""
    count = 20_000
    labels = tuple({"__name__": "m", "pod": f"pod-{place:08d}"} for place in range(count))
    values = np.random.default_rng(1).random((count, 20 if is_range else 1))
    matrix = Matrix(labels, np.arange(values.shape[1], dtype=np.int64) * 1000, values, values >= 0)
    pieces = list(encode(matrix, is_range=is_range))
    assert len(pieces) > 3
    assert max(map(len, pieces)) < 2 * (256 << 10)
    assert len(json.loads(b"".join(pieces))["result"]) == count

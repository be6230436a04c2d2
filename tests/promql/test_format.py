"""Results as the Prometheus HTTP API writes them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.promql.samples import every, selecting

from setpoint.promql import parse
from setpoint.promql.evaluate import evaluate, evaluate_instant
from setpoint.promql.format import format_number, to_api

SERIES = {'b{x="1"}': every(10, [1, 2.5, None, 1e21]), "a": every(10, [0, 1e-7, 3, 1e20])}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (0.1, "0.1"),
        (-0.0, "-0"),
        (1e6, "1000000"),
        (123456789012345680.0, "123456789012345680"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1e-7, "1e-07"),
        (math.nan, "NaN"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
    ],
)
def test_numbers_as_go_writes_them(value: float, text: str) -> None:
    assert format_number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_survive(value: float) -> None:
    assert float(format_number(value)) == value
    assert float(format_number(value, exponent=False)) == value


def test_a_vector() -> None:
    data = to_api(evaluate_instant(parse("b"), 10_500, selecting(SERIES)))
    assert data == {
        "resultType": "vector",
        "result": [{"metric": {"__name__": "b", "x": "1"}, "value": [10.5, "2.5"]}],
    }


def test_a_matrix_is_sorted_and_leaves_out_what_is_missing() -> None:
    data = to_api(
        evaluate(parse("{__name__=~'a|b'} and {__name__!=''}"), 0, 10_000, 10_000, selecting(SERIES)),
        is_range=True,
    )
    assert data == {
        "resultType": "matrix",
        "result": [
            {"metric": {"__name__": "a"}, "values": [[0, "0"], [10, "1e-07"]]},
            {"metric": {"__name__": "b", "x": "1"}, "values": [[0, "1"], [10, "2.5"]]},
        ],
    }


def test_scalars_strings_and_range_vectors() -> None:
    select = selecting(SERIES)
    assert to_api(evaluate_instant(parse("1 / 4"), 1000, select)) == {
        "resultType": "scalar",
        "result": [1, "0.25"],
    }
    assert to_api(evaluate_instant(parse("'x'"), 1000, select)) == {
        "resultType": "string",
        "result": [1, "x"],
    }
    assert to_api(evaluate_instant(parse("b[15s]"), 30_000, select)) == {
        "resultType": "matrix",
        "result": [{"metric": {"__name__": "b", "x": "1"}, "values": [[30, "1e+21"]]}],
    }
    assert to_api(evaluate(parse("2"), 0, 2000, 1000, select), is_range=True) == {
        "resultType": "matrix",
        "result": [{"metric": {}, "values": [[0, "2"], [1, "2"], [2, "2"]]}],
    }
    json.dumps(to_api(evaluate(parse("a"), 0, 2000, 1000, select), is_range=True))

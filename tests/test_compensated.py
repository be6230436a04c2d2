"""Sums keep what rounding loses."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.compensated import add, two_sum

numbers = st.floats(-1e200, 1e200)


def total(values: list[float]) -> float:
    high, low = 0.0, 0.0
    for value in values:
        high, low = add(value, high, low)
    return high + low


@given(st.lists(st.floats(-1e9, 1e9), max_size=50))
def test_a_sum_is_off_by_a_rounding_at_most(values: list[float]) -> None:
    bound = math.ulp(math.fsum(values)) + 1e-25 * sum(map(abs, values))
    assert abs(total(values) - math.fsum(values)) <= bound


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1e100, 1.0, -1e100], 2.0),
        ([1e308, 1e308, 1.0], math.inf),
        ([1.0, math.inf, 1.0], math.inf),
        ([-math.inf, 1.0], -math.inf),
        ([], 0.0),
    ],
)
def test_what_a_plain_sum_gets_wrong(values: list[float], expected: float) -> None:
    assert total(values) == expected


@pytest.mark.parametrize("values", [[math.inf, -math.inf, 1.0], [1.0, math.nan, 1.0]])
def test_what_is_not_a_number_stays_so(values: list[float]) -> None:
    assert math.isnan(total(values))


@given(numbers, numbers)
def test_two_sum_is_exact(a: float, b: float) -> None:
    rounded, error = two_sum(a, b)
    assert rounded == a + b
    assert Fraction(rounded) + Fraction(error) == Fraction(a) + Fraction(b)

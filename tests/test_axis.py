"""Axes have round values that enclose the data; figures keep about four digits."""

from __future__ import annotations

import pytest

from setpoint.axis import figure, levels


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, [0, 20, 40, 60, 80, 100]),
        (2, 9.5, [0, 2, 4, 6, 8, 10]),
        (95, 100, [95, 96, 97, 98, 99, 100]),
        (-5, 5, [-6, -4, -2, 0, 2, 4, 6]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (7, 7, [0, 5, 10, 15]),
        (-3, -3, [-6, -4, -2, 0]),
        (1e-9, 5e-9, [0, 1e-9, 2e-9, 3e-9, 4e-9, 5e-9]),
    ],
)
def test_levels_are_round_and_enclose(low: float, high: float, expected: list[float]) -> None:
    assert levels(low, high) == pytest.approx(expected)


def test_figures_of_any_size() -> None:
    told = {
        0.0: "0",
        1.0: "1",
        0.012345: "0.01235",
        1234.5: "1,234",
        -2.5: "−2.5",
        12_345_678.0: "12.35\u00a0M",
    }
    told |= {3.21e-7: "3.21e−07", float("inf"): "+Inf", float("-inf"): "−Inf", 999.95: "1,000"}
    assert {value: figure(value) for value in told} == told
    assert figure(None) == "–"
    assert figure(float("nan")) == "NaN"

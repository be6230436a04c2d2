"""Budget arithmetic against the examples that the field publishes."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.objective import Objective, budget
from setpoint.objective.model import Counts


def _counts(bad: float, total: float) -> Counts:
    return Counts(good=total - bad, total=total, minutes=1)


def _objective(target: float, **changes: object) -> Objective:
    return Objective("o", "s", target, 30 * 86_400, "sum(t)", "sum(g)", **changes)  # type: ignore[arg-type]


def test_the_formula_is_shown_with_its_values() -> None:
    assert budget.explain(_counts(3105, 4_500_213), 0.001) == (
        "left = 1 − bad / (total × (1 − target)) = 1 − 3,105 / (4,500,213 × 0.001) = 31.0 %"
    )


def test_an_overspent_budget_is_negative() -> None:
    assert budget.budget_left(_counts(3, 1000), 0.001) == pytest.approx(-2.0)
    assert budget.explain(_counts(3, 1000), 0.001).endswith("= −200.0 %")


def test_without_events_nothing_can_be_said() -> None:
    nothing = Counts()
    assert budget.sli(nothing) is None
    assert budget.budget_left(nothing, 0.001) is None
    assert budget.burn_rate(nothing, 0.001) is None
    assert "no events" in budget.explain(nothing, 0.001)


def test_low_traffic_one_failure_costs_a_seventh() -> None:
    """10 requests an hour at 99.9 % allow 7.2 failures in 30 days; one costs 13.9 %."""
    month = _counts(1, 10 * 24 * 30)
    assert budget.allowed_bad(month, 0.001) == pytest.approx(7.2)
    left = budget.budget_left(month, 0.001)
    assert left is not None
    assert 1 - left == pytest.approx(0.139, abs=0.0005)


@pytest.mark.parametrize(
    ("target", "allowed"), [(0.999, 0.001), (0.9, 0.1), (0.99999, 1e-05), (0.9995, 0.0005)]
)
def test_one_minus_the_target_is_decimal(target: float, allowed: float) -> None:
    assert _objective(target).allowed_ratio == allowed


def test_the_most_that_can_burn() -> None:
    assert budget.burn_rate(_counts(5, 5), _objective(0.999).allowed_ratio) == pytest.approx(1000)


def test_time_to_exhaustion() -> None:
    month_s = 30 * 86_400
    assert budget.time_to_exhaustion(1.0, 1.0, month_s) == month_s
    assert budget.time_to_exhaustion(0.31, 6.4, month_s) == pytest.approx(125_550)
    assert budget.time_to_exhaustion(-0.5, 2.0, month_s) == 0
    assert budget.time_to_exhaustion(0.5, 0.0, month_s) is None
    assert budget.time_to_exhaustion(0.5, None, month_s) is None


@given(
    total=st.integers(1, 10**9),
    part=st.fractions(0, 1),
    allowed=st.sampled_from([0.1, 0.01, 0.001, 0.0005]),
)
def test_left_and_burn_say_the_same_as_the_peers_formula(total: int, part: Fraction, allowed: float) -> None:
    """left = (status − target) / (1 − target), as the peers write it; burn over the window = 1 − left."""
    bad = int(total * part)
    counts = _counts(bad, total)
    left, burn = budget.budget_left(counts, allowed), budget.burn_rate(counts, allowed)
    assert left is not None
    assert burn is not None
    exact = (Fraction(total - bad, total) - (1 - Fraction(str(allowed)))) / Fraction(str(allowed))
    assert left == pytest.approx(float(exact), rel=1e-9, abs=1e-9)
    assert burn == pytest.approx(1 - left, rel=1e-9, abs=1e-9)


def test_the_ledger_key_follows_the_queries_only() -> None:
    one = _objective(0.999)
    assert one.ledger_key == _objective(0.9).ledger_key
    assert one.ledger_key != _objective(0.999, is_counter=False).ledger_key
    assert one.ledger_key.startswith("o/")
    bad = Objective("o", "s", 0.999, 60, "sum(t)", None, "sum(g)")
    assert bad.ledger_key != one.ledger_key


def test_numbers_of_events_in_words() -> None:
    spoken = [budget.spoken_events(events) for events in (0.0, 0.05, 0.123, 1.0, 2.34, 99.96, 1234.5)]
    assert spoken == ["0", "0.05", "0.12", "1", "2.3", "100.0", "1,234"]

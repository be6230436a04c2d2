"""Whether a promise is kept: three outcomes, credits by tier, and what was not seen."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.objective.sla.decide import credit_of, judge, worst
from setpoint.objective.sla.model import PromiseStatus, Tier

TIERS = (Tier(0.999, 0.10), Tier(0.99, 0.25), Tier(0.95, 1.0))


def promise(bad: float, total: float = 43_200.0, target: float = 0.999, **further: Any) -> PromiseStatus:
    """A month of a request a minute that is over, unless something else is said."""
    known: dict[str, Any] = {
        "seen_minutes": 43_200,
        "unseen_minutes": 0,
        "excluded_minutes": 0,
        "left_minutes": 0.0,
        "last_day_bad": 0.0,
        "last_day_minutes": 1440.0,
    }
    return judge("web", target, TIERS, good=total - bad, total=total, **known | further)


@pytest.mark.parametrize(
    ("bad", "state", "credit"),
    [(0, "kept", 0), (43, "kept", 0), (44, "broken", 0.1), (433, "broken", 0.25), (43_200, "broken", 1.0)],
)
def test_a_month_that_is_over(bad: float, state: str, credit: float) -> None:
    found = promise(bad)
    assert (found.state, found.credit, found.credit_highest) == (state, credit, credit)
    assert found.allowed == pytest.approx(43.2)


def test_exactly_what_was_promised_is_kept() -> None:
    exact = promise(100, 100_000)
    assert (exact.state, exact.credit) == ("kept", 0)
    assert exact.formula == "sli = good / total = 99,900 / 100,000 = 99.9000 %, promised 99.9 %"


def test_what_was_not_seen_is_not_good() -> None:
    """Ten days of a month without data: nobody knows; with as many bad ones as break it anyhow, it is broken."""
    blind = promise(5, 28_800.0, seen_minutes=28_800, unseen_minutes=14_400)
    assert (blind.state, blind.credit, blind.credit_highest) == ("don't know", 0, 1.0)
    assert "14,400 minutes were not seen" in blind.reason
    assert blind.lowest == pytest.approx((28_800 - 5) / 43_200)
    assert promise(44, 28_800.0, seen_minutes=28_800, unseen_minutes=14_400).state == "broken"
    short = promise(5, 43_180.0, seen_minutes=43_180, unseen_minutes=20)
    assert short.state == "kept", "even if all of these were bad"
    assert promise(0, 0.0, seen_minutes=0, unseen_minutes=43_200).state == "don't know"


def test_while_it_lasts() -> None:
    half: dict[str, Any] = {"seen_minutes": 21_600, "left_minutes": 21_600.0}
    assert promise(5, 21_600.0, **half).state == "kept"
    below = promise(30, 21_600.0, **half)
    assert (below.state, below.credit) == ("at risk", 0.1), "below its target now; owed if it ended now"
    hurrying = promise(15, 21_600.0, **half, last_day_bad=10.0)
    assert hurrying.state == "at risk"
    assert "if the last day goes on, 165 will be bad" in hurrying.reason
    assert promise(44, 21_600.0, **half).state == "broken", "no more may be bad in the whole month"
    assert worst(["kept", "don't know"]) == "don't know"
    assert worst(["at risk", "broken", "kept"]) == "broken"


@given(st.integers(0, 1000), st.integers(1, 100_000), st.integers(0, 5000), st.integers(0, 5000))
def test_more_bad_is_never_better(bad: int, total: int, unseen: int, left: int) -> None:
    order = ("kept", "don't know", "at risk", "broken")
    bad = min(bad, total)
    further: dict[str, Any] = {"seen_minutes": 1000, "unseen_minutes": unseen, "left_minutes": float(left)}
    one = promise(bad, float(total), **further)
    more = promise(min(total, bad + 1), float(total), **further)
    assert more.credit >= one.credit
    assert one.credit_highest >= one.credit
    if left == 0:
        assert order.index(more.state) >= order.index(one.state)
    if one.state == "broken":
        assert more.state == "broken"


def test_tiers() -> None:
    assert [credit_of(TIERS, sli) for sli in (None, 1.0, 0.999, 0.9989, 0.99, 0.98, 0.1)] == [
        0,
        0,
        0,
        0.1,
        0.1,
        0.25,
        1,
    ]
    assert credit_of((), 0.1) == 0

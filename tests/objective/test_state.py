"""The verdict: the order of the states, and reasons that a person can act on."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.objective.model import BurnRate, Counts, Objective
from setpoint.objective.state import Evidence, decide

DAY = 86_400
OBJECTIVE = Objective("o", "s", 0.999, 30 * DAY, "sum(t)", "sum(g)")


def _rate(long_burn: float, short_burn: float, *, firing: bool = True, factor: float = 6.0) -> BurnRate:
    return BurnRate(6 * 3600, 1800, factor, long_burn, short_burn, firing, "page")


def _evidence(bad: float = 3105, total: float = 4_500_213, **changes: Any) -> Evidence:
    plain = Evidence(
        window=Counts(total - bad, total, 43_200),
        burn=(),
        hour_burn=0.5,
        silent_s=3.0,
        no_data_after_s=90,
        error=None,
        covered_s=30 * DAY,
        exhausted_s=None,
    )
    return dataclasses.replace(plain, **changes)


def test_healthy() -> None:
    state, reason, seconds = decide(OBJECTIVE, _evidence())
    assert state == "healthy"
    assert reason == "31.0 % of the budget left: 3,105 bad events of 4,500 allowed in 30 d"
    assert seconds == pytest.approx(0.31 * 30 * DAY / 0.5, rel=0.001)


def test_burning_says_when_the_budget_is_gone() -> None:
    state, reason, seconds = decide(OBJECTIVE, _evidence(burn=(_rate(6.4, 60.8),)))
    assert (state, reason) == ("burning", "burning 60.8×: at this rate the budget is gone in 3 h 40 m")
    assert seconds == pytest.approx(3 * 3600 + 40 * 60, abs=60)


def test_the_highest_firing_row_speaks() -> None:
    rows = (_rate(10, 10, firing=False, factor=14.4), _rate(8, 9), _rate(4, 4, factor=3))
    assert decide(OBJECTIVE, _evidence(burn=rows))[1].startswith("burning 9.0×")


def test_a_watch_that_is_held_does_not_claim_a_rate() -> None:
    held = BurnRate(30, 10, 6, 2.0, 0.0, firing=True, severity="watch")
    state, reason, seconds = decide(OBJECTIVE, _evidence(burn=(held,)))
    assert state == "burning"
    assert reason == "burned over 6× within the last 1 min, slower now; 31.0 % of the budget left"
    assert seconds is not None


def test_exhausted() -> None:
    state, reason, seconds = decide(OBJECTIVE, _evidence(bad=5000, exhausted_s=7300, burn=(_rate(9, 9),)))
    assert (state, seconds) == ("exhausted", 0)
    assert reason == "exhausted for 2 h 1 m: 5,000 bad events of 4,500 allowed in 30 d"


def test_a_young_window_says_so() -> None:
    reason = decide(OBJECTIVE, _evidence(covered_s=2 * 3600 + 300))[1]
    assert reason.endswith("allowed in 2 h 5 m of history (window: 30 d)")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"silent_s": None}, "no events yet: the total query has not returned anything"),
        ({"silent_s": 26 * 60}, "no events for 26 min: the total query returns nothing"),
        ({"window": Counts(0, 0, 10)}, "no events in 30 d: samples arrive, but they count nothing"),
        ({"error": "the total query returns 2 series"}, "the total query returns 2 series"),
    ],
)
@pytest.mark.parametrize("bad", [0, 5000])
def test_no_data_stands_above_everything(changes: dict[str, Any], reason: str, bad: float) -> None:
    evidence = dataclasses.replace(_evidence(bad=bad, burn=(_rate(9, 9),)), **changes)
    assert decide(OBJECTIVE, evidence) == ("no data", reason, None)


@pytest.mark.parametrize(
    ("kind", "silent_s", "reason"),
    [
        ("composite", None, "no events yet: no minute in which every part had data; look at the parts"),
        ("composite", 600, "no events for 10 min: no minute in which every part has data; look at the parts"),
        ("threshold", 600, "no events for 10 min: the value query returns nothing"),
        ("raw", None, "no events yet: the ratio query has not returned anything"),
    ],
)
def test_what_is_silent_is_called_by_what_it_is(kind: Any, silent_s: float | None, reason: str) -> None:
    objective = dataclasses.replace(OBJECTIVE, kind=kind)
    assert decide(objective, dataclasses.replace(_evidence(), silent_s=silent_s))[1] == reason


@given(
    good=st.integers(0, 10**6),
    bad=st.integers(0, 10**4),
    silent_s=st.none() | st.floats(0, 10**6),
    error=st.none() | st.just("failed"),
    fires=st.booleans(),
)
def test_silence_and_failure_never_pass_as_good(
    good: int, bad: int, silent_s: float | None, error: str | None, fires: bool
) -> None:
    evidence = _evidence(bad, good + bad, silent_s=silent_s, error=error, burn=(_rate(9, 9, firing=fires),))
    state, reason, _ = decide(OBJECTIVE, evidence)
    assert reason
    unknown = error is not None or silent_s is None or silent_s > 90 or good + bad == 0
    assert (state == "no data") == unknown
    if not unknown:
        exhausted = bad >= (good + bad) * 0.001
        assert state == ("exhausted" if exhausted else "burning" if fires else "healthy") or bad == 0

"""Alerts that cannot fire, and alerts that one failure fires, are told with what to write instead."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from setpoint.objective.alerting.checks import faults, least_bad
from setpoint.objective.alerting.policy import policies_of
from setpoint.objective.alerting.table import PolicyTable
from setpoint.objective.model import AlertPolicy, Calendar, Condition, LowTraffic, Objective
from tests.objective.alert_desk import DAY, QUIET, START_MS, Desk, burning

HOUR = 3600


def _faults(objective: Objective) -> list[str]:
    return [told for policy in policies_of(objective) for told in faults(objective, policy)]


@pytest.mark.parametrize(("target", "cannot"), [(0.9305, True), (0.9306, False), (0.999, False), (0.5, True)])
def test_a_burn_beyond_the_highest(target: float, cannot: bool) -> None:
    """facts/objectives.md, section 2: the most is 1/(1 − target), so 14.4 cannot fire below 93.06 %."""
    found = _faults(burning(HOUR, target=target))
    assert bool(found) is cannot
    if target == 0.9305:
        assert found == [
            "hot: a burn of 14.4 is never exceeded: with a target of 93.05 % an outage of everything burns 14.39×; "
            "write a threshold below that, such as 11"
        ]


def test_what_cannot_fire_does_not(target: float = 0.93) -> None:
    desk = Desk(burning(HOUR, target=target))
    assert desk.after(1, {HOUR: (1000, 1000)}) == []
    assert desk.status.warnings
    assert not desk.table.burn(0)[0].reachable


def test_what_two_windows_share_is_told_once() -> None:
    both = (Condition("burnrate", "gt", 14.4, HOUR), Condition("burnrate", "gt", 14.4, 300))
    policy = AlertPolicy("hot", "page", both)
    assert len(faults(replace(QUIET, target=0.9, policies=(policy,)), policy)) == 1


def test_no_default_is_warned_of() -> None:
    for target in (0.5, 0.9, 0.99, 0.9999):
        for window_s in (DAY, 7 * DAY, 30 * DAY, 90 * DAY):
            assert _faults(replace(QUIET, target=target, window_s=window_s)) == []


def test_a_drop_that_takes_longer_than_its_window() -> None:
    """An outage of everything spends 10 % of 30 days at 99 % in 43 min 12 s."""
    policy = AlertPolicy("drop", "page", (Condition("budgetDrop", "gte", 0.1, lookback_s=1800),))
    (told,) = _faults(replace(QUIET, target=0.99, policies=(policy,)))
    assert "10 % of the budget cannot go in 30m: even an outage of everything takes 44 min" in told
    longer = replace(policy, conditions=(replace(policy.conditions[0], lookback_s=2700),))
    assert _faults(replace(QUIET, target=0.99, policies=(longer,))) == []


def test_a_window_as_long_as_the_objectives() -> None:
    assert _faults(burning(29 * DAY, over=1)) == []
    (told,) = _faults(burning(30 * DAY, over=1))
    assert "looks back 30d, and the objective's window is 30 d" in told
    month = replace(
        burning(31 * DAY, over=1),
        is_rolling=False,
        window_s=31 * DAY,
        calendar=Calendar("2026-01-01T00:00:00", "UTC", 1, "M"),
    )
    assert len(_faults(month)) == 1


def _warned(objective: Objective, an_hour: float, covered_s: float = 30 * DAY) -> tuple[str, ...]:
    """The warnings at an even traffic without any failure."""
    table = PolicyTable([objective])
    total = table.windows.lookback_s / HOUR * an_hour
    whole = np.array([covered_s / HOUR * an_hour])
    measured = replace(Desk(objective, table).measured({}), good=total, total=total)
    table.judge(START_MS, replace(measured, window_good=whole, window_total=whole))
    return tuple(told for alert in table.alerts(0, covered_s) for told in alert.warnings)


def test_one_failure_at_ten_requests_an_hour() -> None:
    """facts/objectives.md, section 2: 10 req/h at 99.9 % allows 7.2 failures per 30 days; one costs 13.9 %."""
    (told,) = _warned(burning(HOUR, 300), an_hour=10)
    assert told == (
        "hot fires for a single failure: at 10 events an hour one costs 13.9 % of the budget; write "
        "lowTraffic: {minBad: 2} in the policy, or in the SLO"
    )
    assert _warned(burning(HOUR, 300), an_hour=10, covered_s=10 * DAY) == (told,)
    assert _warned(burning(HOUR, 300), an_hour=10_000) == ()
    assert _warned(burning(HOUR, 300, low_traffic=LowTraffic(min_bad=3)), an_hour=10) == ()


@pytest.mark.parametrize(("an_hour", "warned"), [(69, True), (70, False)])
def test_where_one_failure_is_enough(an_hour: float, warned: bool) -> None:
    """One of 69 at 99.9 % burns 14.49, one of 70 14.29."""
    assert bool(_warned(burning(HOUR), an_hour)) is warned


def test_the_defaults_do_not_fire_for_one_failure() -> None:
    assert _warned(QUIET, an_hour=10) == ()
    desk = Desk(QUIET)
    one = {HOUR: (1, 10), 300: (1, 1), 6 * HOUR: (1, 60), 1800: (1, 5), DAY: (1, 240), 2 * HOUR: (1, 20)}
    one |= {3 * DAY: (1, 720)}
    assert desk.after(1, {each: (float(bad), float(total)) for each, (bad, total) in one.items()}) == []
    two = {each: (2.0, float(total)) for each, (_, total) in one.items()}
    assert desk.after(1, two) == ["ticket-1d firing", "ticket-3d firing"]
    three = {each: (3.0, float(total)) for each, (_, total) in one.items()}
    assert desk.after(1, three) == ["page-1h firing", "page-6h firing"]


def test_a_guard_that_traffic_never_meets() -> None:
    guarded = burning(HOUR, low_traffic=LowTraffic(min_events=1000))
    (told,) = _warned(guarded, an_hour=10)
    assert told.startswith(
        "hot hardly ever fires: minEvents is 1000, and 1h hold 10 events at 10 events an hour"
    )
    assert _warned(guarded, an_hour=2000) == ()


def test_young_objectives_are_not_judged_by_their_traffic() -> None:
    assert _warned(burning(HOUR), an_hour=10, covered_s=600) == ()


def test_how_many_failures_a_guard_needs() -> None:
    """10 req/h at 99.9 %: 0.01 expected an hour; two of them in one hour happen in 3.5 % of all months (720 × 5e-5)."""
    assert least_bad(0.01, 720) == 2
    assert least_bad(0.06, 120) == 3
    assert least_bad(1e-9, 720) == 2
    assert least_bad(1e6, 720) == 50

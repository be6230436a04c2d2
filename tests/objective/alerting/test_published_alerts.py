"""The field's published tables and worked examples of alerting, each with its source (facts/objectives.md, section 2,
names the files that they were read in).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from setpoint.objective import budget
from setpoint.objective.alerting.burn import burn_factor
from setpoint.objective.alerting.policy import policies_of
from setpoint.objective.model import AlertPolicy, Calendar, Condition, Counts, Objective
from tests.objective.alert_desk import DAY, QUIET, Desk, Held, with_policy

HOUR = 3600
MONTH = Calendar("2026-01-01T00:00:00", "Europe/Berlin", 1, "M")
ROWS_OF_THE_WORKBOOK = [
    ("page-1h", "1h/5m"),
    ("page-6h", "6h/30m"),
    ("ticket-1d", "1d/2h"),
    ("ticket-3d", "3d/6h"),
]


def _factors(objective: Objective) -> list[tuple[str, float]]:
    return [(policy.name, round(policy.conditions[0].threshold, 3)) for policy in policies_of(objective)]


@pytest.mark.parametrize(
    ("days", "factors"),
    [
        (30, [14.4, 6, 3, 1]),  # the SRE workbook; Sloth windows/google-30d.yaml; Grafana create-slo
        (28, [13.44, 5.6, 2.8, 0.933]),  # Sloth windows/google-28d.yaml
        (7, [16.8, 5.6, 2.8]),  # Datadog content/en/service_level_objectives/burn_rate.md
        (90, [21.6, 10.8, 4.5]),  # the same
    ],
)
def test_the_default_policies_are_the_published_tables(days: int, factors: list[float]) -> None:
    names = [name for name, _ in ROWS_OF_THE_WORKBOOK]
    assert _factors(replace(QUIET, window_s=days * DAY)) == list(zip(names, factors, strict=False))


def test_a_default_says_its_windows() -> None:
    shown = [(policy.name, policy.display_name.split(" ")[0]) for policy in policies_of(QUIET)]
    assert shown == ROWS_OF_THE_WORKBOOK
    assert [policy.severity for policy in policies_of(QUIET)] == ["page", "page", "ticket", "ticket"]


def test_a_month_of_the_calendar_has_its_mean_length() -> None:
    """2 % of the mean month in an hour are 14.61×; of a February of 28 days those are 2.17 %."""
    monthly = replace(QUIET, window_s=31 * DAY, is_rolling=False, calendar=MONTH)
    assert _factors(monthly) == [
        ("page-1h", 14.61),
        ("page-6h", 6.087),
        ("ticket-1d", 3.044),
        ("ticket-3d", 1.015),
    ]
    of_february = 100 * 14.61 / (28 * 24)
    assert of_february == pytest.approx(2.17, abs=0.005)
    quarter = replace(monthly, window_s=92 * DAY, calendar=replace(MONTH, unit="Q"))
    assert _factors(quarter)[0] == ("page-1h", 21.915)  # nearest is the table of 90 days: 1 % in an hour


def test_pyrras_factors_are_those_of_no_part_of_the_budget() -> None:
    """Pyrra keeps 14, 7, 2, 1 for 28 days; its PR #775 calls 7 and 2 inaccurate: 5.6 and 2.8 are 5 and 10 %."""
    assert burn_factor(28 * DAY, 5, 6 * HOUR) == pytest.approx(5.6)
    assert burn_factor(28 * DAY, 10, DAY) == pytest.approx(2.8)


def test_twelve_hours_have_windows() -> None:
    """Pyrra scales a period of 12 h to a window of 0 s (pyrra #1028)."""
    for policy in policies_of(replace(QUIET, window_s=12 * HOUR)):
        assert all(condition.lookback_s >= 60 for condition in policy.conditions)
        assert policy.conditions[0].lookback_s > policy.conditions[1].lookback_s


def _outage(part: float, seconds: float, *windows_s: int, a_second: float = 10.0) -> Held:
    """What windows hold `seconds` after the start of an outage of this part of all requests."""
    return {
        window: (part * a_second * min(window, seconds), a_second * window) for window in (*windows_s, 0)
    } | {0: (part * a_second * seconds, a_second * 30 * DAY)}


@pytest.mark.parametrize(
    ("part", "first_s", "policy"),
    [
        (1.0, 52, "page-1h"),  # 14.4 × 0.1 % of an hour: 51.84 s
        (0.1, 519, "page-1h"),  # a tenth fails: ten times as long
        (0.01, 12_961, "page-6h"),  # burn 10: under 14.4, over 6: 60 % of six hours
        (0.004, 64_801, "ticket-1d"),  # burn 4: over 3: 75 % of a day
    ],
)
def test_how_soon_an_outage_is_told(part: float, first_s: int, policy: str) -> None:
    """The SRE workbook's detection time: (1 − target) / error ratio × long window × factor."""
    windows = (HOUR, 300, 6 * HOUR, 1800, DAY, 2 * HOUR, 3 * DAY, 6 * HOUR)
    desk = Desk(QUIET)
    assert desk.after(1, _outage(part, first_s - 1, *windows)) == []
    assert desk.after(1, _outage(part, first_s, *windows))[0] == f"{policy} firing"


def test_a_page_is_over_with_its_short_window() -> None:
    """An hour after an outage of 10 min the long window still burns; the short one has reset it (SRE workbook)."""
    desk = Desk(replace(QUIET, policies=policies_of(QUIET)[:1]))
    desk.after(1, {HOUR: (6000, 36_000), 300: (3000, 3000)})
    assert desk.through(160, {HOUR: (6000, 36_000), 300: (0, 3000)}) == ["page-1h resolved"]


def test_ten_requests_an_hour() -> None:
    """10 req/h at 99.9 % allow 7.2 failures per 30 days; one costs 13.9 %."""
    counts = Counts(good=7199, total=7200)
    assert budget.allowed_bad(counts, 0.001) == pytest.approx(7.2)
    assert 1 - (budget.budget_left(counts, 0.001) or 0) == pytest.approx(0.139, abs=0.0005)


def test_datadogs_remaining_budget() -> None:
    """remaining = (status − target) / (1 − target) (Datadog _index.md)."""
    status, target = 0.9995, 0.999
    counts = Counts(good=status * 1e6, total=1e6)
    assert budget.budget_left(counts, 0.001) == pytest.approx((status - target) / (1 - target))


def _one(kind: str, op: str, threshold: float, lookback_s: int) -> Condition:
    return Condition(kind, op, threshold, lookback_s=lookback_s)  # type: ignore[arg-type]


def test_slo_generators_steps_are_not_rounded() -> None:
    """slo-generator alerts where 1 h burns over 9, but rounds to a decimal first: 9.04 tells nobody (report.py)."""
    desk = Desk(with_policy(AlertPolicy("1h", "page", (_one("burnrate", "gt", 9, HOUR),))))
    assert desk.after(1, {HOUR: (90, 10_000)}) == []
    assert desk.after(1, {HOUR: (90.4, 10_000)}) == ["1h firing"]


def test_nobl9s_presets() -> None:
    """Nobl9 alertpolicy presets: 20× over 5 min; 1× over 48 h and 2× over 15 min; a drop of 10 % in 15 min."""
    fast = AlertPolicy("fast", "page", (_one("burnrate", "gte", 20, 300),))
    slow = AlertPolicy(
        "slow", "ticket", (_one("burnrate", "gte", 1, 2 * DAY), _one("burnrate", "gte", 2, 900))
    )
    drop = AlertPolicy("drop", "page", (_one("budgetDrop", "gte", 0.1, 900),))
    desk = Desk(replace(QUIET, policies=(fast, slow, drop)))
    assert (
        desk.after(1, {300: (19.9, 1000), 2 * DAY: (9.9, 10_000), 900: (99.9, 10_000), 0: (500, 1e6)}) == []
    )
    assert desk.after(1, {300: (20, 1000)}) == ["fast firing"]
    assert desk.after(1, {2 * DAY: (10, 10_000), 900: (20, 10_000)}) == ["slow firing"]
    assert desk.after(1, {900: (100, 10_000), 0: (500, 1e6)}) == ["drop firing"]


def test_at_least_and_over() -> None:
    """Sloth and Pyrra alert over the factor, Grafana and Datadog's formula from it on: documents say which."""
    at = {HOUR: (144.0, 10_000.0), 300: (14.4, 1000.0)}
    over = Desk(QUIET)
    assert over.after(1, at) == []
    conditions = (_one("burnrate", "gte", 14.4, HOUR), _one("burnrate", "gte", 14.4, 300))
    assert Desk(with_policy(AlertPolicy("least", "page", conditions))).after(1, at) == ["least firing"]


def test_nothing_of_nothing_is_no_burn() -> None:
    """Sloth's 0/0 is NaN, and one makes 30 days NaN (sloth #531); Pyrra reads missing errors as none. Here it is
    unknown for as long as it lasts, and nothing else is.
    """
    desk = Desk(QUIET)
    empty = dict.fromkeys((HOUR, 300, 6 * HOUR, 1800, DAY, 2 * HOUR, 3 * DAY, 6 * HOUR, 0), (0.0, 0.0))
    assert desk.through(60, empty) == []
    assert desk.status.values["burn_1h"] is None
    assert desk.after(10, {HOUR: (200, 10_000), 300: (20, 1000)}) == ["page-1h firing"]

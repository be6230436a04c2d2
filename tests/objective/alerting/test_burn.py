"""Burn tables against the published ones, and what cannot fire."""

from __future__ import annotations

from dataclasses import replace

import pytest

from setpoint.objective.alerting.burn import burn_factor, rules_for
from tests.objective.alert_desk import SLO, Desk

HOUR, DAY = 3600, 86_400


def _table(window_s: int, allowed_ratio: float = 0.001) -> list[tuple[int, int, float, str]]:
    return [
        (rule.long_s, rule.short_s, round(rule.factor, 3), rule.severity)
        for rule in rules_for(window_s, allowed_ratio)
        if rule.severity != "watch"
    ]


@pytest.mark.parametrize(
    ("window_s", "published"),
    [
        (30 * DAY, [14.4, 6, 3, 1]),
        (28 * DAY, [13.44, 5.6, 2.8, 0.933]),
        (7 * DAY, [16.8, 5.6, 2.8]),
        (90 * DAY, [21.6, 10.8, 4.5]),
    ],
)
def test_published_tables(window_s: int, published: list[float]) -> None:
    windows = [
        (HOUR, 300, "page"),
        (6 * HOUR, 1800, "page"),
        (DAY, 2 * HOUR, "ticket"),
        (3 * DAY, 6 * HOUR, "ticket"),
    ]
    expected = [
        (long_s, short_s, factor, severity)
        for (long_s, short_s, severity), factor in zip(windows, published, strict=False)
    ]
    assert _table(window_s) == expected


@pytest.mark.parametrize(
    ("days", "percent", "long_s", "factor"),
    [
        (7, 8, HOUR, 13.44),
        (7, 12.5, 6 * HOUR, 3.5),
        (7, 20, DAY, 1.4),
        (7, 42, 3 * DAY, 0.98),
        (28, 5, 6 * HOUR, 5.6),
        (28, 10, DAY, 2.8),
    ],
)
def test_the_factor_is_a_part_of_the_budget_in_a_time(
    days: int, percent: float, long_s: int, factor: float
) -> None:
    assert burn_factor(days * DAY, percent, long_s) == pytest.approx(factor)


def test_a_period_without_a_table_keeps_the_rows_meaning() -> None:
    """10 days: nearest is the week's table; its first row stays 10 % of the budget in an hour."""
    assert _table(10 * DAY)[0] == (HOUR, 300, 24, "page")


@pytest.mark.parametrize("window_s", [300, 600, HOUR, 2 * HOUR, DAY, 3 * DAY])
def test_short_periods_have_windows_that_fit(window_s: int) -> None:
    for long_s, short_s, factor, _ in _table(window_s):
        assert 60 <= short_s < long_s < window_s
        assert factor >= 0.9
    assert any(rule.severity == "watch" for rule in rules_for(window_s, 0.001))


def test_a_day_scales_the_month() -> None:
    assert [factor for _, _, factor, _ in _table(DAY)] == [6, 5.76, 3, 1]


@pytest.mark.parametrize("allowed_ratio", [0.0001, 0.05, 0.0694, 0.07, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("days", [1, 7, 28, 30, 90])
def test_every_default_can_fire(days: int, allowed_ratio: float) -> None:
    """The most is 1 / (1 − target): below 93.06 % a factor of 14.4 is out of reach (facts: Datadog refuses it)."""
    rules = rules_for(days * DAY, allowed_ratio)
    assert [rule for rule in rules if rule.severity == "page"]
    for rule in rules:
        assert rule.factor < 0.81 / allowed_ratio
        assert rule.short_s < rule.long_s < days * DAY
    objective = replace(SLO, window_s=days * DAY, target=1 - allowed_ratio)
    desk = Desk(objective)
    outage = {int(each): (1000.0, 1000.0) for each in desk.table.windows.lookback_s}
    assert len(desk.after(1, outage)) == len(rules) - 1  # the watch row tells nobody
    assert all(row.firing and row.reachable for row in desk.table.burn(0))


def test_a_row_that_could_not_fire_keeps_its_part_of_the_budget() -> None:
    """90 % over 30 days: 2 % of the budget in 108 minutes at 8×, and the rows that can fire stay as published."""
    assert _table(30 * DAY, 0.1) == [
        (108 * 60, 540, 8, "page"),
        (6 * HOUR, 1800, 6, "page"),
        (DAY, 2 * HOUR, 3, "ticket"),
        (3 * DAY, 6 * HOUR, 1, "ticket"),
    ]
    assert _table(30 * DAY, 0.05)[0] == (HOUR, 300, 14.4, "page")

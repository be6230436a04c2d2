"""The burn table: over which windows a burn is measured, and from which threshold it matters.

The published tables are data (`windows/*.yaml`); `rules_for` takes the one whose period is nearest and
computes each threshold for the objective's own period, so that a row keeps its meaning: this part of the
budget in that time.

    factor = period × budget % / 100 / long window          (sloth, internal/alert/window.go)

A burn never exceeds 1 / (1 − target), so 14.4× cannot fire below a target of 93.06 %, and hardly a little above it.
A row whose factor is over 80 % of that most keeps its part of the budget and looks back further instead: for 90 % over
30 days, 2 % of the budget cannot go in an hour, but in 108 minutes of 8×. So every default can fire (decision 0026).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, cast

from ruamel.yaml import YAML

from setpoint.objective.duration import parse_duration
from setpoint.objective.model import Severity

__all__ = ["BurnRule", "burn_factor", "rules_for", "watch_rules"]

_SHORTEST_TABLE_S = 7 * 86_400
_SHORTEST_LONG_S = 300
_SHORTEST_SHORT_S = 60
_LEAST_USEFUL_FACTOR = 0.9
_HIGHEST_PART = 0.8
"""The part of the highest possible burn that a default may ask for."""


@dataclass(frozen=True, slots=True)
class BurnRule:
    """One row: both windows must burn faster than `factor`, with at least `min_bad` bad events in the
    long one.
    """

    long_s: int
    short_s: int
    factor: float
    severity: Severity
    min_bad: float = 0.0


def burn_factor(period_s: float, budget_percent: float, long_s: float) -> float:
    """The burn that spends `budget_percent` of the period's budget within `long_s`."""
    return period_s * budget_percent / (100 * long_s)


def rules_for(window_s: int, allowed_ratio: float, calendar: str = "") -> tuple[BurnRule, ...]:
    """The rows for an objective's window, highest factor first, the watch row included.

    A `calendar` window such as `1M` has a table of its own where there is one. Else periods from a week on use the
    nearest published table, and shorter ones scale the windows of the 30-day table down (to at least 5 min and
    1 min) and leave out what no longer fits into the period.
    """
    most = _HIGHEST_PART / allowed_ratio
    rows, scale = _calendar_tables().get(calendar), 1.0
    if rows is None:
        tables = _tables()
        period_s = min(tables, key=lambda known: abs(math.log(window_s / known)))
        if window_s < _SHORTEST_TABLE_S:
            period_s = 30 * 86_400
            scale = window_s / period_s
        rows = tables[period_s]
    rules: dict[int, BurnRule] = {}
    for row in rows:
        long_s = _scaled(row["long"], scale, _SHORTEST_LONG_S)
        short_s = _scaled(row["short"], scale, _SHORTEST_SHORT_S)
        factor = burn_factor(window_s, row["budget_percent"], long_s)
        if factor > most:
            stretched_s = 60 * math.ceil(long_s * factor / most / 60)
            short_s = max(_SHORTEST_SHORT_S, 60 * round(short_s * stretched_s / long_s / 60))
            long_s, factor = stretched_s, burn_factor(window_s, row["budget_percent"], stretched_s)
        if long_s < window_s and factor >= min(_LEAST_USEFUL_FACTOR, 0.99 * most):
            rules.setdefault(long_s, _rule(long_s, short_s, factor, row))
    found = [*rules.values(), *watch_rules(allowed_ratio)]
    return tuple(sorted(found, key=lambda rule: (-rule.factor, rule.severity == "watch")))


def watch_rules(allowed_ratio: float) -> tuple[BurnRule, ...]:
    """The fast rows that move the state on the page and page nobody; their factor is one that can be reached, too."""
    most = _HIGHEST_PART / allowed_ratio
    return tuple(
        _rule(parse_duration(row["long"]), parse_duration(row["short"]), min(row["factor"], most), row)
        for row in _load("watch.yaml")["rows"]
    )


def _rule(long_s: int, short_s: int, factor: float, row: Mapping[str, Any]) -> BurnRule:
    return BurnRule(
        long_s=long_s,
        short_s=short_s,
        factor=factor,
        severity=cast(Severity, row["severity"]),
        min_bad=float(row.get("min_bad", 0)),
    )


def _scaled(duration: str, scale: float, least_s: int) -> int:
    seconds = parse_duration(duration)
    return seconds if scale == 1.0 else max(least_s, 60 * round(seconds * scale / 60))


@cache
def _tables() -> Mapping[int, Sequence[Mapping[str, Any]]]:
    return {parse_duration(table["period"]): table["rows"] for table in _loaded() if "period" in table}


@cache
def _calendar_tables() -> Mapping[str, Sequence[Mapping[str, Any]]]:
    return {table["calendar"]: table["rows"] for table in _loaded() if "calendar" in table}


def _loaded() -> list[Mapping[str, Any]]:
    return [_load(entry.name) for entry in files(__package__).joinpath("windows").iterdir()]


@cache
def _load(name: str) -> Mapping[str, Any]:
    text = files(__package__).joinpath("windows", name).read_text(encoding="utf-8")
    return cast("Mapping[str, Any]", YAML(typ="safe", pure=True).load(text))

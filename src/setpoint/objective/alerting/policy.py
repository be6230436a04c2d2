"""Which alert policies an objective has: its own, or those that are derived from the published tables.

`PolicyTable` asks once per objective; pages and `advice` show what it finds. A default policy is one row of a table
(`windows/*.yaml`): the burn over a long window and over a short one, both over a factor that keeps the row's meaning
for any period and target: this part of the budget in that time (`burn`). A calendar window takes its mean length: a
month is 30.44 days, so that 2 % of the budget in an hour are 14.6×, and 2.2 % in a February.

One failure alone never pages by default: a page needs three bad events in its long window, a ticket two (decision
0026: at 10 requests an hour and 99.9 % one failure is 13.9 % of a month's budget, so every window is over its factor).
"""

from __future__ import annotations

from functools import lru_cache

from setpoint.objective.alerting.burn import BurnRule, rules_for, watch_rules
from setpoint.objective.model import AlertPolicy, Condition, LowTraffic, Objective

__all__ = ["LEAST_BAD", "NO_DATA", "WATCH", "nominal_window_s", "policies_of", "short_duration", "watch_of"]

LEAST_BAD = {"page": 3.0, "ticket": 2.0}
"""By severity, how many bad events the long window of a default policy must hold."""

WATCH = ".watch"
"""The hidden row that moves the state and tells nobody (decision 0010). No document can have this name."""

NO_DATA = "no data"
"""The policy of an objective whose `no_data` says `alert`. No document can have this name."""

_DAY_S = 86_400
_MEAN_S = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_MEAN_YEAR_S = 365.2425 * _DAY_S


def policies_of(objective: Objective) -> tuple[AlertPolicy, ...]:
    """The policies that tell somebody: the objective's own, or the defaults (highest factor first); and `no data`
    where its silence is to be told. Not the watch row (`watch_of`).
    """
    own = objective.policies
    if own is None:
        calendar = objective.calendar
        named = "" if calendar is None else f"{calendar.count}{calendar.unit}"
        own = _defaults(nominal_window_s(objective), objective.allowed_ratio, named)
    return (*own, _silence()) if objective.no_data.action == "alert" else own


def watch_of(objective: Objective) -> tuple[AlertPolicy, ...]:
    """The hidden fast rows; none where events are not counted in slices of seconds."""
    counts_slices = (objective.kind, objective.engine) == ("ratio", "promql") and objective.is_counter
    return _watch(objective.allowed_ratio) if counts_slices and objective.method == "Occurrences" else ()


def nominal_window_s(objective: Objective) -> int:
    """The length of the objective's window that factors are derived from: of a calendar's the mean."""
    calendar = objective.calendar
    if calendar is None:
        return objective.window_s
    unit_s = _MEAN_S.get(calendar.unit) or _MEAN_YEAR_S / {"M": 12, "Q": 4, "Y": 1}[calendar.unit]
    return round(calendar.count * unit_s)


def short_duration(seconds: float) -> str:
    """`seconds` as a table writes them: 90 s is `90s`, 300 s `5m`, 86,400 s `1d`."""
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    return f"{seconds:g}s"


@lru_cache(maxsize=4096)
def _defaults(window_s: int, allowed_ratio: float, calendar: str) -> tuple[AlertPolicy, ...]:
    rules = rules_for(window_s, allowed_ratio, calendar)
    return tuple(_policy(rule) for rule in rules if rule.severity != "watch")


@lru_cache(maxsize=4096)
def _watch(allowed_ratio: float) -> tuple[AlertPolicy, ...]:
    return tuple(_policy(rule, name=WATCH) for rule in watch_rules(allowed_ratio))


def _policy(rule: BurnRule, name: str = "") -> AlertPolicy:
    windows = (rule.long_s, rule.short_s)
    return AlertPolicy(
        name=name or f"{rule.severity}-{short_duration(rule.long_s)}",
        severity=rule.severity,
        conditions=tuple(Condition("burnrate", "gt", rule.factor, lookback_s=each) for each in windows),
        low_traffic=LowTraffic(min_bad=rule.min_bad or LEAST_BAD.get(rule.severity, 0.0)),
        is_default=True,
        display_name=f"{short_duration(rule.long_s)}/{short_duration(rule.short_s)} over {rule.factor:.4g}×",
    )


@lru_cache(maxsize=1)
def _silence() -> AlertPolicy:
    return AlertPolicy(
        name=NO_DATA,
        severity="page",
        conditions=(),
        when_no_data=True,
        is_default=True,
        display_name="no data",
    )

"""The sentence of an alert and the numbers in it: what burned, over what, against which threshold, and what it means.

`alerting` asks for both when somebody reads an alert or it changes; they are the same on a page, in an event and in
a webhook.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from setpoint.objective.alerting.policy import short_duration
from setpoint.objective.alerting.rows import View
from setpoint.objective.budget import spoken_events
from setpoint.objective.duration import spoken_duration
from setpoint.objective.model import AlertPolicy, Condition

__all__ = ["is_told", "sentence", "summary", "values_of"]

_OP = {"gt": "over", "gte": "at least", "lt": "under", "lte": "at most"}
_NAMES = {
    "burnrate": "burn",
    "timeToExhaustion": "exhaustion_s",
    "budgetDrop": "drop",
    "remainingBudget": "budget_left",
}


def values_of(view: View) -> Mapping[str, float | None]:
    """The numbers: `burn_1h` with `threshold_burn_1h`, `bad_1h` and `total_1h` for each window of a condition
    (`exhaustion_s_…`, `drop_…` alike; `budget_left` has no window), `target`, and `bad` and `total` of the
    objective's window. None: unknown, or (`exhaustion_s_…`) not in this window.
    """
    values: dict[str, float | None] = {"target": view.objective.target}
    for condition, value, good, total in view.conditions:
        window = f"_{short_duration(condition.lookback_s)}" if condition.lookback_s else ""
        name = f"{_NAMES[condition.kind]}{window}"
        values[name] = value if math.isfinite(value) else None
        values[f"threshold_{name}"] = condition.threshold
        if window:
            values[f"bad{window}"], values[f"total{window}"] = _finite(total - good), _finite(total)
    left = _left(view)
    values["budget_left"] = left
    values["bad"], values["total"] = (
        _finite(view.window_total - view.window_good),
        _finite(view.window_total),
    )
    return values


def sentence(policy: AlertPolicy, view: View) -> str:
    """What the policy sees now, and what it compares with."""
    if not policy.conditions:
        return "data arrives"
    parts = [_condition(condition, value, good, total) for condition, value, good, total in view.conditions]
    told = " and ".join(parts)
    if view.holds and view.is_guarded:
        told += f"; {_guard(view)}"
    burn = max(
        (
            (condition.lookback_s, value)
            for condition, value, _, _ in view.conditions
            if condition.kind == "burnrate"
        ),
        default=(0, math.nan),
    )[1]
    left = _left(view)
    if left is not None and left <= 0:
        return f"{told}; nothing of the budget is left"
    if not math.isnan(burn) and burn > 1 and left is not None:
        lasts_s = left * view.objective.window_s if math.isnan(view.lasts_s) else view.lasts_s
        gone = spoken_duration(lasts_s / (burn if view.rolls else burn - 1))
        told += f"; at this rate the rest of the budget ({100 * left:.1f} %) is gone in {gone}"
    return told


def summary(
    policy: AlertPolicy, view: View, *, silent_s: float, after_s: float, is_silenced: bool, is_doubtful: bool
) -> str:
    """The sentence of an alert. `is_silenced`: silence makes it true; `is_doubtful`: it fires, and silence keeps it
    from being resolved.
    """
    if is_silenced:
        silent, after = spoken_duration(silent_s), spoken_duration(after_s)
        return f"no data for {silent} (told after {after}): nobody knows whether it works"
    told = sentence(policy, view)
    if is_doubtful:
        return f"{told}; no data for {spoken_duration(silent_s)}, so nobody knows whether it is over"
    return told


def is_told(policy: AlertPolicy, *, is_fired: bool, by_silence: bool) -> bool:
    """Whether the policy wants this change of its alert told."""
    if not is_fired:
        return policy.when_resolved
    return policy.when_no_data if by_silence else policy.when_breaching


def _condition(condition: Condition, value: float, good: float, total: float) -> str:
    over = f" in {short_duration(condition.lookback_s)}" if condition.lookback_s else ""
    limit = f"{_OP[condition.op]} {_quantity(condition, condition.threshold)}"
    if math.isnan(value):
        return f"no events{over} (fires {limit})"
    events = f"{spoken_events(total - good)} bad of {spoken_events(total)}" if condition.lookback_s else ""
    shown = _quantity(condition, value)
    match condition.kind:
        case "burnrate":
            return f"burning {shown}{over} ({events}; fires {limit})"
        case "timeToExhaustion":
            gone = "the budget lasts" if math.isinf(value) else f"the budget is gone in {shown}"
            return f"{gone} at the burn{over} ({events}; fires {limit})"
        case "budgetDrop":
            return f"{shown} of the budget went{over} ({events}; fires {limit})"
        case _:
            return f"{shown} of the budget is left (fires {limit})"


def _quantity(condition: Condition, value: float) -> str:
    if condition.kind == "burnrate":
        return f"{value:.4g}×" if value < 1000 else f"{value:,.0f}×"
    if condition.kind == "timeToExhaustion":
        return spoken_duration(value) if math.isfinite(value) else "never"
    return f"{100 * value:.4g} %".replace("-", "−")


def _guard(view: View) -> str:
    over = f"in {short_duration(view.guard_s)}" if view.guard_s else "in the window"
    needs = []
    if view.guard.min_bad:
        needs.append(f"{spoken_events(view.guard.min_bad)} bad")
    if view.guard.min_events:
        needs.append(f"{spoken_events(view.guard.min_events)} events")
    return f"held back by low traffic: it needs {' and '.join(needs)} {over}"


def _left(view: View) -> float | None:
    allowed = view.window_total * view.objective.allowed_ratio
    return 1 - (view.window_total - view.window_good) / allowed if allowed > 0 else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

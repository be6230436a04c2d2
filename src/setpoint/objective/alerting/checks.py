"""What is wrong with an alert policy: it can never fire, or one failure alone would page somebody at night.

`advice` asks when a document is applied (`faults`), `PolicyTable.alerts` with the traffic that was seen (`noise`); both
say what to write instead. The arithmetic is in docs/howto/alert-on-burn.md.
"""

from __future__ import annotations

import math

from setpoint.objective.alerting.policy import nominal_window_s, short_duration
from setpoint.objective.alerting.rows import View
from setpoint.objective.duration import spoken_duration
from setpoint.objective.model import AlertPolicy, Condition, Objective

__all__ = ["faults", "least_bad", "noise"]

_FALSE_ALARMS_MOST = 0.1
_LEAST_BAD_MOST = 50


def faults(objective: Objective, policy: AlertPolicy) -> list[str]:
    """Why `policy` cannot fire for `objective`, or does not mean what it looks like, whatever the traffic."""
    told = (_out_of_reach(objective, one) or _too_long(objective, one) for one in policy.conditions)
    return list(dict.fromkeys(f"{policy.name}: {fault}" for fault in told if fault))  # each once


def noise(view: View, policy: AlertPolicy, covered_s: float) -> list[str]:
    """What the traffic of the last `covered_s` seconds, of which the objective's window counted all, says of a policy:
    a guard that is never met, or one failure that is enough to fire.
    """
    if not policy.conditions or covered_s < 3600 or not view.window_total > 0:
        return []
    a_second = view.window_total / covered_s
    starved = _starved(view, policy, a_second)
    if starved:
        return [starved]
    if view.guard.min_bad > 1 or view.guard.min_events > 0 or not _one_is_enough(view, policy, a_second):
        return []
    allowed = view.objective.allowed_ratio
    longest_s = max((condition.lookback_s for condition in policy.conditions), default=0)
    over_s = longest_s or view.objective.window_s
    cost = 100 / (a_second * nominal_window_s(view.objective) * allowed)
    write = least_bad(a_second * over_s * allowed, nominal_window_s(view.objective) / over_s)
    return [
        f"{policy.name} fires for a single failure: at {_rate(a_second)} one costs {cost:.3g} % of the budget; write "
        f"lowTraffic: {{minBad: {write}}} in the policy, or in the SLO"
    ]


def least_bad(expected: float, windows: float) -> int:
    """How many bad events a window must hold so that a service that spends exactly its budget, which makes `expected`
    bad events in each of `windows` windows (Poisson), is alerted of less than once in ten of its periods. At least 2.
    """
    term = tail = math.exp(-expected)
    for count in range(1, _LEAST_BAD_MOST):
        if count >= 2 and windows * (1 - tail) < _FALSE_ALARMS_MOST:
            return count
        term *= expected / count
        tail += term
    return _LEAST_BAD_MOST


def _out_of_reach(objective: Objective, condition: Condition) -> str:
    """What a complete outage would not reach."""
    if condition.op not in ("gt", "gte"):
        return ""
    if condition.kind == "burnrate":
        most = 1 / objective.allowed_ratio
        edge = condition.threshold * objective.allowed_ratio
        if edge < 1 - 1e-12 or (condition.op == "gte" and edge <= 1 + 1e-12):
            return ""
        target = f"{100 * objective.target:g} %"
        return (
            f"a burn of {condition.threshold:g} is never exceeded: with a target of {target} an outage of "
            f"everything burns {most:.4g}×; write a threshold below that, such as {_rounded(0.8 * most):g}"
        )
    if condition.kind == "budgetDrop":
        window_s = nominal_window_s(objective)
        most = condition.lookback_s / window_s / objective.allowed_ratio
        if most >= condition.threshold:
            return ""
        needed_s = condition.threshold * window_s * objective.allowed_ratio
        over = short_duration(condition.lookback_s)
        return (
            f"{100 * condition.threshold:g} % of the budget cannot go in {over}: even an outage of everything "
            f"takes {spoken_duration(math.ceil(needed_s / 60) * 60)} for that at even traffic; "
            "write a longer lookbackWindow or a lower threshold"
        )
    return ""


def _too_long(objective: Objective, condition: Condition) -> str:
    if condition.lookback_s < nominal_window_s(objective):
        return ""
    return (
        f"it looks back {short_duration(condition.lookback_s)}, and the objective's window is "
        f"{spoken_duration(nominal_window_s(objective))}; write a lookbackWindow that is shorter, or use "
        "remainingBudget, which looks at the whole window"
    )


def _starved(view: View, policy: AlertPolicy, a_second: float) -> str:
    """A guard that even an outage of everything would not meet."""
    over_s = view.guard_s or view.objective.window_s
    events = a_second * over_s
    needs = max(view.guard.min_events, view.guard.min_bad)
    if events >= needs or policy.is_default:
        return ""
    name = "minEvents" if view.guard.min_events >= view.guard.min_bad else "minBad"
    return (
        f"{policy.name} hardly ever fires: {name} is {needs:g}, and {short_duration(over_s)} hold {events:.3g} "
        f"events at {_rate(a_second)}; write a lower one, or a longer lookbackWindow"
    )


def _one_is_enough(view: View, policy: AlertPolicy, a_second: float) -> bool:
    """Whether one bad event makes every condition true at this traffic, the budget whole before it."""
    allowed = view.objective.allowed_ratio
    whole = max(1.0, a_second * nominal_window_s(view.objective)) * allowed
    for condition in policy.conditions:
        events = max(1.0, a_second * condition.lookback_s)
        value = {
            "burnrate": 1 / events / allowed,
            "budgetDrop": 1 / whole,
            "timeToExhaustion": max(0.0, 1 - 1 / whole) * view.objective.window_s * events * allowed,
            "remainingBudget": 1 - 1 / whole,
        }[condition.kind]
        is_true = (
            value > condition.threshold if condition.op in ("gt", "gte") else value < condition.threshold
        )
        if not is_true:
            return False
    return True


def _rate(a_second: float) -> str:
    for unit, seconds in (("a second", 1), ("a minute", 60), ("an hour", 3600), ("a day", 86_400)):
        if a_second * seconds >= 1:
            return f"{a_second * seconds:.3g} events {unit}"
    return f"{a_second * 86_400 * 30:.3g} events a month"


def _rounded(value: float) -> float:
    """Two digits, rounded down."""
    size = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.floor(value / size + 1e-9) * size

"""How an attribution is told: the rule in sentences, and each number as a formula with its values."""

from __future__ import annotations

from setpoint.objective.attribution.model import Attribution, Cause, Stretch

__all__ = ["RULE", "spent_formula", "stretch_formula", "sum_formula", "way"]

_MINUS = "\u2212"

RULE = (
    "Spent are the bad events of the budget in this stretch of time, as a part of those that the target allows for "
    "so many events.",
    "Causes are taken the most specific first: faults and experiments, then deploys, then dependencies that burned "
    "their own budget (the farthest first), then incidents. Each explains what those before it left.",
    "A deploy counts until the next one of its service, or until an hour without harm, a week at most; one back to "
    "the version before ends it and is no cause. A deploy of a dependency counts only while that dependency burned. "
    "A fault or experiment counts from begin to end and two minutes more, an incident from an hour before it was "
    "opened.",
    "What is usual stays unexplained: the ratio of bad events in the last hour before the cause, or as much of the "
    "day before as holds 20 bad events; without that, what the target allows. Only stretches with more than chance "
    "makes of it are looked at (three standard deviations and one event, over 5, 60 or 360 minutes).",
    "In such a stretch a cause is given bad events − usual ratio × events. Causes of one rank share what they have "
    "in common equally. The event of a slice goes to causes as the bad events of its minutes do.",
    "Shares are whole multiples of a power of two, so causes and the unexplained rest add up to what was spent, "
    "exactly.",
)
"""The rule, one sentence or two each (decision 0032)."""


def spent_formula(found: Attribution) -> str:
    """What was spent, as a part of the budget."""
    formula = "spent = bad / (total × (1 − target))"
    if found.of_budget is None:
        return f"{formula}: no events in this stretch, so nothing can be said"
    allowed = 1 - found.target
    values = f"{_number(found.bad)} / ({_number(found.total)} × {allowed:.10g})"
    return f"{formula} = {values} = {_percent(found.of_budget)}"


def sum_formula(found: Attribution) -> str:
    """Causes and the rest, which make up what was spent; rounded alike, the rest takes what rounding leaves."""
    exact = [share.bad for share in found.shares]
    is_whole = all(abs(one - round(one)) < 0.0005 for one in (*exact, found.bad))
    digits = 0 if is_whole else 1 if found.bad >= 1000 else 3
    parts = [round(one, digits) for one in exact]
    rest = round(round(found.bad, digits) - sum(parts), digits)
    told = " + ".join([*(_number(one) for one in parts), f"{_number(rest)} unexplained"])
    return f"{told} = {_number(found.bad)}"


def stretch_formula(stretch: Stretch) -> str:
    """What a cause is given of one stretch."""
    text = f"{_number(stretch.bad)} − {_ratio(stretch.baseline)} × {_number(stretch.total)}"
    if stretch.among > 1 + 1e-9:
        text = f"({text}) / {_number(stretch.among)}"
    told = f"{text} = {_number(stretch.excess)}"
    if abs(stretch.attributed - stretch.excess) > 0.005 * max(1.0, stretch.excess):
        told += f"; {_number(stretch.attributed)} of the budget in this stretch of time"
    if stretch.reference_minutes:
        return (
            f"{told} (usual: {_ratio(stretch.baseline)} in {stretch.reference_minutes} quiet minutes before)"
        )
    return f"{told} (nothing before it to compare with, so what the target allows is usual)"


def way(cause: Cause) -> str:
    """The calls from the objective's service to where it happened; empty where that is the same service."""
    return " → ".join(cause.via) if len(cause.via) > 1 else ""


def _number(events: float) -> str:
    digits = 0 if abs(events) >= 1_000_000 else 1 if abs(events) >= 1000 else 3
    text = f"{events:,.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return (text if text not in ("-0", "") else "0").replace("-", _MINUS)


def _ratio(ratio: float) -> str:
    return f"{100 * ratio:.3g} %"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:,.1f} %".replace("-", _MINUS)

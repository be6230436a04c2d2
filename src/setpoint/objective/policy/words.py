"""What policies, conditions and decisions are called in sentences, each number with the formula behind it.

Pages, commands and events show these; nothing is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from setpoint.objective.duration import spoken_duration
from setpoint.objective.overview import STATES
from setpoint.objective.policy.evaluate import incident_share, since_column, spending, value_of
from setpoint.objective.policy.facts import Facts
from setpoint.objective.policy.model import Condition, Incident, Rule

__all__ = [
    "RELEASES",
    "clipped",
    "ends_when",
    "formula_of",
    "percent",
    "rule_words",
    "said",
    "sentence_of",
    "unknown_because",
    "when_words",
]

RELEASES: Final = {
    "": "releases go on",
    "review": "features need a review",
    "fixesOnly": "only fixes and security changes may be released",
    "freeze": "releases are frozen",
}
_SIGNS: Final = {"<": "less than", "<=": "at most", ">": "more than", ">=": "at least"}
_MOST_SHOWN: Final = 120


def clipped(text: str, length: int) -> str:
    """`text` in at most `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def percent(ratio: float) -> str:
    """A part as per cent, with a decimal where it says something: `100 %`, `12.5 %`, `−3.2 %`."""
    value = 100 * ratio
    digits = 0 if abs(value) >= 100 or value == round(value) else 1
    return f"{value:,.{digits}f} %".replace("-", "−")


def _times(rate: float) -> str:
    return f"{rate:,.4g}×"


def said(condition: Condition) -> str:
    """A condition without values: `at most 0 % of the budget is left`."""
    sign, number, part = _SIGNS.get(condition.op, ""), condition.threshold, percent(condition.threshold)
    over, lasting = spoken_duration(condition.over_s), spoken_duration(number)
    return {
        "remainingBudget": f"{sign} {part} of the budget is left",
        "budgetSpent": f"{sign} {part} of what {over} allow is spent",
        "burnRate": f"the budget burns {sign} {_times(number)} over {over}",
        "timeToExhaustion": f"the budget is gone in {sign} {lasting}",
        "state": f"it is {' or '.join(condition.states)}",
        "noData": f"it has had no data for {sign} {lasting}",
        "openIncidents": f"{sign} {_incidents(number)} open",
        "incidentSpent": f"one incident of the last {over} spent {sign} {part} of the budget",
        "inForceFor": f"it has been in force for {sign} {lasting}",
    }[condition.kind]


def _incidents(number: float) -> str:
    return "1 incident is" if number == 1 else f"{number:.0f} incidents are"


def when_words(rule: Rule) -> str:
    """When a rule comes into force."""
    return _and([said(one) for one in rule.when])


def ends_when(rule: Rule) -> str:
    """When a rule that is in force ends."""
    if rule.until:
        return _and([said(one) for one in rule.until])
    return "it no longer holds that " + _and([said(one) for one in rule.when])


def _and(parts: Sequence[str]) -> str:
    return " and ".join(parts)


def sentence_of(rule: Rule, facts: Facts, at: int, since_ms: int) -> str:
    """What is measured of an objective (row `at`) for each condition of a rule, with its threshold."""
    return _and([_measured(one, facts.take([at]), since_ms) for one in rule.when])


def _measured(condition: Condition, facts: Facts, since_ms: int) -> str:
    """`−12 % of the budget is left (at most 0 %)`; `facts` has one row."""
    if condition.kind == "state":
        return f"it is {STATES[facts.state[0]]}"
    value = float(value_of(condition, facts, since_column(facts, {facts.names[0]: since_ms}))[0])
    if math.isnan(value):
        return unknown_because(facts, 0)
    bound, threshold = _SIGNS[condition.op], condition.threshold
    part, lasting = f"({bound} {percent(threshold)})", f"({bound} {spoken_duration(threshold)})"
    return {
        "remainingBudget": lambda: f"{percent(value)} of the budget is left {part}",
        "budgetSpent": lambda: (
            f"{percent(value)} of what {spoken_duration(condition.over_s)} allow is spent {part}"
        ),
        "burnRate": lambda: (
            f"the budget burns {_times(value)} over {spoken_duration(condition.over_s)} ({bound} {_times(threshold)})"
        ),
        "timeToExhaustion": lambda: (
            f"the budget is {'not being spent' if math.isinf(value) else f'gone in {spoken_duration(value)}'} {lasting}"
        ),
        "noData": lambda: f"{_silence(value)} {lasting}" if value else "data comes",
        "openIncidents": lambda: f"{_incidents(value)} open ({bound} {threshold:.0f})",
        "incidentSpent": lambda: (
            f"{_worst_named(condition, facts)} spent {percent(value)} of the budget {part}"
        ),
        "inForceFor": lambda: said(condition),
    }[condition.kind]()


def _silence(seconds: float) -> str:
    return (
        "it never had data" if math.isinf(seconds) else f"it has had no data for {spoken_duration(seconds)}"
    )


def _worst_named(condition: Condition, facts: Facts) -> str:
    """The incident that spent most; `facts` has one row."""
    worst = _worst(condition, facts, 0)
    return "one incident" if worst is None else f"incident {clipped(worst.title or worst.id, _MOST_SHOWN)}"


def _worst(condition: Condition, facts: Facts, at: int) -> Incident | None:
    """The incident that spent most of an objective's budget in the time that the condition looks at; None where nobody
    knows of one what it spent.
    """
    name, oldest_ms = facts.names[at], facts.at_ms - condition.over_s * 1000
    spent = {
        one: share
        for one in facts.incidents
        if one.service == facts.services[at] and one.opened_ms >= oldest_ms
        if not math.isnan(share := incident_share(facts, one, name))
    }
    return max(spent, key=spent.__getitem__, default=None)


def unknown_because(facts: Facts, at: int) -> str:
    """Why nothing can be said of an objective."""
    late_s = (facts.at_ms - facts.evaluated_ms) / 1000
    if STATES[facts.state[at]] != "no data":
        return "its history is still being counted" if facts.counting[at] else "too little of it is known"
    return (
        f"it has not been evaluated for {spoken_duration(late_s)}"
        if late_s > 60
        else _silence(facts.silent_s[at])
    )


def formula_of(rule: Rule, facts: Facts, at: int) -> str:
    """The formulas behind the numbers of a rule's conditions, with the values in them; empty where there is none."""
    found = [_formula(one, facts, at) for one in rule.when]
    return "; ".join(dict.fromkeys(one for one in found if one))


def _formula(condition: Condition, facts: Facts, at: int) -> str:
    if condition.kind == "remainingBudget" and not math.isnan(facts.sli[at]):
        sli, left, allowed = float(facts.sli[at]), float(facts.left[at]), float(facts.allowed[at])
        return f"left = 1 − (1 − SLI) / (1 − target) = 1 − (1 − {sli:.8g}) / {allowed:.6g} = {percent(left)}"
    if condition.kind in ("budgetSpent", "burnRate") and facts.counts[condition.over_s][2, at] > 0:
        return _spending_formula(condition, facts, at)
    worst = _worst(condition, facts, at) if condition.kind == "incidentSpent" else None
    if worst is None:
        return ""
    share = facts.shares[worst.id, facts.names[at]]
    return f"spent = bad / allowed = {_events(share.bad)} / {_events(share.allowed)} = {percent(share.ratio)}"


def _spending_formula(condition: Condition, facts: Facts, at: int) -> str:
    good, total, _ = facts.counts[condition.over_s][:, at].tolist()
    rate = float(spending(facts, condition.over_s)[at])
    name, result = ("spent", percent(rate)) if condition.kind == "budgetSpent" else ("burn", _times(rate))
    values = f"{_events(total - good)} / ({_events(total)} × {float(facts.allowed[at]):.6g})"
    return f"{name} = bad / (total × (1 − target)) = {values} = {result}"


def _events(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 or number == int(number) else f"{number:,.2f}"


def rule_words(rule: Rule) -> str:
    """A rule in a sentence: when what happens until when."""
    does = [RELEASES[rule.releases]] if rule.releases else []
    does += (
        [f"{', '.join(rule.notify)} {'is' if len(rule.notify) == 1 else 'are'} told"] if rule.notify else []
    )
    does += ["a postmortem is demanded"] if rule.postmortem else []
    until = f", until {ends_when(rule)}" if rule.until else ""
    return f"When {when_words(rule)}, {' and '.join(does)}{until}."

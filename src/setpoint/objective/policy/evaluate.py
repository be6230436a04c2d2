"""Whether the rules of a policy are in force for objectives: columns in, columns out, pure.

The board judges all objectives of a server with it, the gate those of one service, and a replay what an event recorded:
one piece of code for all three. A condition is true, false or unknown; a rule is as true as its least condition. What
is unknown neither begins nor ends anything: the last good minutes before a silence do not show that all is well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from setpoint.objective.overview import STATES
from setpoint.objective.policy.facts import Facts
from setpoint.objective.policy.model import Condition, Incident, Policy, Rule

__all__ = ["Judged", "incident_share", "judge", "since_column", "spending", "stretches_of", "value_of"]

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]

_FALSE, _UNKNOWN, _TRUE = 0, 1, 2
_COMPARE: Final[Mapping[str, Callable[[_Floats, float], _Bools]]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A rule for n objectives: `in_force` bool[n] now, of which some began or ended just now; `unknown` bool[n]: it is
    not in force, and nobody knows whether it should be.
    """

    in_force: _Bools
    unknown: _Bools
    since_ms: _Ints


def judge(policy: Policy, rule: Rule, facts: Facts, since_ms: _Ints) -> Judged:
    """Judge a rule for the objectives that its policy looks at (the rows of `facts`). `since_ms` int64[n] says since
    when it has been in force for each, -1: it is not.
    """
    was = since_ms >= 0
    when = _all(rule.when, facts, since_ms)
    if rule.until:
        until = _all(rule.until, facts, since_ms)
        ends = (until == _TRUE) & (when != _TRUE)
    else:
        ends = when == _FALSE
    in_force = np.where(was, ~ends, when == _TRUE)
    unknown = ~in_force & (when == _UNKNOWN)
    if policy.ignores_no_data and unknown.any():
        unknown &= facts.has_data | ~_beside_data(facts)
    return Judged(in_force, unknown, np.where(in_force, np.where(was, since_ms, facts.at_ms), -1))


def _beside_data(facts: Facts) -> _Bools:
    """Whether some objective of the same service has data, bool[n]."""
    alive = {service for service, known in zip(facts.services, facts.has_data.tolist(), strict=True) if known}
    return np.array([service in alive for service in facts.services], np.bool_)


def stretches_of(policies: Sequence[Policy]) -> list[int]:
    """The stretches of time (seconds) over which events have to be counted."""
    kinds = ("budgetSpent", "burnRate")
    return sorted(
        {
            one.over_s
            for policy in policies
            for rule in policy.rules
            for one in (*rule.when, *rule.until)
            if one.kind in kinds
        }
    )


def since_column(facts: Facts, since_ms: Mapping[str, int]) -> _Ints:
    """Since when something has been in force for each row, from what is known by objective; -1: it is not."""
    return np.array([since_ms.get(name, -1) for name in facts.names], np.int64)


def _all(conditions: Sequence[Condition], facts: Facts, since_ms: _Ints) -> npt.NDArray[np.int8]:
    """The least of the conditions' truths, int8[n]."""
    found = np.full(len(facts), _TRUE, np.int8)
    for one in conditions:
        np.minimum(found, _truth(one, facts, since_ms), out=found)
    return found


def _truth(condition: Condition, facts: Facts, since_ms: _Ints) -> npt.NDArray[np.int8]:
    if condition.kind == "state":
        wanted = [STATES.index(state) for state in STATES if state in condition.states]
        is_in = np.isin(facts.state, wanted)
        known = (facts.state != STATES.index("no data")) | ("no data" in condition.states)
        return np.where(is_in & known, _TRUE, np.where(known, _FALSE, _UNKNOWN)).astype(np.int8)
    value = value_of(condition, facts, since_ms)
    holds = _COMPARE[condition.op](value, condition.threshold)
    return np.where(np.isnan(value), _UNKNOWN, np.where(holds, _TRUE, _FALSE)).astype(np.int8)


def value_of(condition: Condition, facts: Facts, since_ms: _Ints) -> _Floats:
    """What a condition compares with its threshold, float64[n]; NaN where it is not known."""
    found = np.zeros(len(facts))
    match condition.kind:
        case "remainingBudget":
            found = np.where(facts.has_data, facts.left, np.nan)
        case "budgetSpent" | "burnRate":
            found = np.where(facts.has_data, spending(facts, condition.over_s), np.nan)
        case "timeToExhaustion":
            lasts_s = np.where(np.isnan(facts.exhaustion_s), np.inf, facts.exhaustion_s)
            found = np.where(facts.has_data, lasts_s, np.nan)
        case "noData":
            is_silent = facts.state == STATES.index("no data")
            found = np.where(is_silent, facts.silent_s, 0.0)
        case "openIncidents":
            open_ = Counter(one.service for one in facts.incidents if one.resolved_ms is None)
            if open_:
                found = np.array([open_[service] for service in facts.services], np.float64)
        case "incidentSpent":
            found = _worst_incident(condition, facts)
        case _:
            found = np.where(since_ms >= 0, (facts.at_ms - since_ms) / 1000, 0.0)
    return found


def spending(facts: Facts, over_s: int) -> _Floats:
    """bad / (total × (1 − target)) of the last `over_s` seconds: the burn, and what was spent of what that time allows.

    NaN without data; 0 where data came and counted no event.
    """
    good, total, minutes = facts.counts[over_s]
    rate = np.where(minutes > 0, 0.0, np.nan)
    np.divide(total - good, total * facts.allowed, out=rate, where=total > 0)
    return rate


def incident_share(facts: Facts, incident: Incident, name: str) -> float:
    """The part of an objective's budget that an incident spent; NaN while that is not known."""
    share = facts.shares.get((incident.id, name))
    return np.nan if share is None else share.ratio


def _worst_incident(condition: Condition, facts: Facts) -> _Floats:
    """The most that one incident spent. One that is over the threshold is enough; else all must be known."""
    worst = np.zeros(len(facts))
    recent: dict[str, list[Incident]] = {}
    for one in facts.incidents:
        if one.opened_ms >= facts.at_ms - condition.over_s * 1000:
            recent.setdefault(one.service, []).append(one)
    if not recent:
        return worst
    for at, (name, service) in enumerate(zip(facts.names, facts.services, strict=True)):
        shares = [incident_share(facts, one, name) for one in recent.get(service, ())]
        known = [share for share in shares if not np.isnan(share)]
        over = max(known, default=0.0)
        worst[at] = over if over > condition.threshold or len(known) == len(shares) else np.nan
    return worst

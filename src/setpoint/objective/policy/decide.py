"""May this change be released? Pure: the same inputs give the same decision, now and when somebody replays it.

Of all rules that are in force for the service's objectives, those that stop this kind of change hold it, unless an
exception sets their policy aside. Where no rule holds it, but one that would cannot be judged, because data is
missing, the answer is "don't know", which no gate may take for a yes (decision 0030).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from setpoint.objective.policy.evaluate import judge, since_column
from setpoint.objective.policy.inputs import Governing, Inputs
from setpoint.objective.policy.model import STRICTNESS, PolicyException, Releases, Rule, stops
from setpoint.objective.policy.words import RELEASES, ends_when, formula_of, sentence_of

__all__ = ["Because", "Decision", "Outcome", "decide"]

Outcome = Literal["allow", "hold", "don't know"]


@dataclass(frozen=True, slots=True)
class Because:
    """A rule that bears on a decision: in force (`since_ms` is set), or unknown (it is None).

    `objective` is the one that the sentence speaks of, `others` how many more there are. `stops`: it would hold this
    change; `exception`: what sets it aside.
    """

    policy: str
    rule: str
    releases: Releases
    objective: str
    others: int
    since_ms: int | None
    sentence: str
    formula: str
    ends_when: str
    stops: bool
    exception: str = ""


@dataclass(frozen=True, slots=True)
class Waiver:
    """An exception that bears on a decision."""

    name: str
    approved_by: str
    reason: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `releases` is the strictest that is in force without an exception, since `since_ms`."""

    decision: Outcome
    reason: str
    service: str
    change: str
    version: str
    reviewed_by: str
    at_ms: int
    releases: Releases
    since_ms: int | None
    policies: tuple[str, ...]
    because: tuple[Because, ...]
    exceptions: tuple[Waiver, ...]
    lifted_when: str

    def as_json(self) -> dict[str, Any]:
        """All of it in plain lists and mappings."""
        found = asdict(self)
        found["policies"] = list(self.policies)
        found["because"] = list(found["because"])
        found["exceptions"] = list(found["exceptions"])
        return found


def decide(inputs: Inputs) -> Decision:
    """The answer to `inputs.request`."""
    request, facts = inputs.request, inputs.facts
    current = [one for one in inputs.exceptions if one.is_current(facts.at_ms)]
    because = [_excepted(one, inputs, current) for one in _bearing(inputs)]
    held = [one for one in because if one.since_ms is not None and not one.exception]
    doubtful = [one for one in because if one.since_ms is None and one.stops and not one.exception]
    strictest = max(held, key=lambda one: (STRICTNESS[one.releases], -(one.since_ms or 0)), default=None)
    holding = [one for one in held if one.stops]
    outcome: Outcome
    if not inputs.is_known or not inputs.objectives or (doubtful and not holding):
        outcome = "don't know"
    else:
        outcome = "hold" if holding else "allow"
    used = {one.exception for one in because if one.exception and one.stops}
    return Decision(
        decision=outcome,
        reason=_reason(inputs, outcome, because),
        service=request.service,
        change=request.change,
        version=request.version,
        reviewed_by=request.reviewed_by,
        at_ms=facts.at_ms,
        releases=strictest.releases if strictest else "",
        since_ms=strictest.since_ms if strictest else None,
        policies=tuple(one.policy.name for one in inputs.policies),
        because=tuple(sorted(because, key=_order)),
        exceptions=tuple(
            Waiver(one.name, one.approved_by, one.reason, one.until_ms) for one in current if one.name in used
        ),
        lifted_when=" and ".join(dict.fromkeys(f"{one.objective}: {one.ends_when}" for one in holding)),
    )


def _order(one: Because) -> tuple[int, int, int, str, str]:
    return (not one.stops, one.since_ms is None, -STRICTNESS[one.releases], one.policy, one.rule)


def _bearing(inputs: Inputs) -> list[Because]:
    """The rules that do something to releases and are in force, or might be."""
    row_of = {name: at for at, name in enumerate(inputs.facts.names)}
    found = []
    for governing in inputs.policies:
        for rule in governing.policy.rules:
            if rule.releases:
                found += _one(inputs, governing, rule, row_of)
    return found


def _one(inputs: Inputs, governing: Governing, rule: Rule, row_of: dict[str, int]) -> list[Because]:
    policy, request = governing.policy, inputs.request
    facts = inputs.facts.take([row_of[name] for name in governing.objectives if name in row_of])
    judged = judge(policy, rule, facts, since_column(facts, inputs.held.get((policy.name, rule.name), {})))
    in_force, unknown = np.flatnonzero(judged.in_force), np.flatnonzero(judged.unknown)
    chosen = in_force if len(in_force) else unknown
    if not len(chosen):
        return []
    if len(in_force):  # the one for which it has been in force longest speaks for all
        at = int(in_force[np.argmin(judged.since_ms[in_force])])
        since_ms = int(judged.since_ms[in_force].min())
    else:
        at, since_ms = int(unknown[0]), None
    return [
        Because(
            policy=policy.name,
            rule=rule.name,
            releases=rule.releases,
            objective=facts.names[at],
            others=len(chosen) - 1,
            since_ms=since_ms,
            sentence=sentence_of(rule, facts, at, -1 if since_ms is None else since_ms),
            formula=formula_of(rule, facts, at),
            ends_when=ends_when(rule),
            stops=stops(rule.releases, request.change, bool(request.reviewed_by)),
        )
    ]


def _excepted(one: Because, inputs: Inputs, current: Sequence[PolicyException]) -> Because:
    """The same with the exception that sets its policy aside, the first to end last."""
    asked = inputs.request
    covering = [
        other
        for other in current
        if other.covers(policy=one.policy, service=asked.service, change=asked.change, version=asked.version)
    ]
    if not covering:
        return one
    return replace(one, exception=max(covering, key=lambda other: (other.until_ms, other.name)).name)


def _reason(inputs: Inputs, outcome: Outcome, because: Sequence[Because]) -> str:
    request, ranked = inputs.request, sorted(because, key=_order)
    if not inputs.is_known or not inputs.objectives:
        return _nothing_known(inputs)
    if outcome == "allow":
        return _allowed(inputs, ranked)
    stopping = [one for one in ranked if one.stops and not one.exception]
    if outcome == "hold":
        first = next(one for one in stopping if one.since_ms is not None)
        hint = "; name who reviewed it with --reviewed-by" if first.releases == "review" else ""
        return f"{RELEASES[first.releases]}: {_told(first)}{hint}"
    first = next(one for one in stopping if one.since_ms is None)
    return f"it cannot be judged: {_told(first)}, which would hold a {request.change}"


def _nothing_known(inputs: Inputs) -> str:
    service = inputs.request.service
    if inputs.is_known:
        return (
            f"no objectives are declared for {service}, so nothing is known of its budget; declare one with "
            "`setpoint apply`, and the gate can say more"
        )
    near = f"did you mean '{inputs.near[0]}'? " if inputs.near else ""
    return (
        f"there is no service '{service}': neither a Service nor an SLO names it; {near}`setpoint get Service` lists "
        "those that are declared"
    )


def _allowed(inputs: Inputs, ranked: Sequence[Because]) -> str:
    request = inputs.request
    if not inputs.policies:
        number = "1 objective" if inputs.objectives == 1 else f"{inputs.objectives:,} objectives"
        return f"no policy governs {request.service} ({number}): nothing keeps it from being released"
    waived = [one for one in ranked if one.exception and one.stops]
    if waived:
        one = next(other for other in inputs.exceptions if other.name == waived[0].exception)
        return f"allowed by the exception {one.name} of {one.approved_by} ({one.reason}), although {_told(waived[0])}"
    passed = [one for one in ranked if one.since_ms is not None and not one.exception]
    if passed:
        is_reviewed = passed[0].releases == "review" and request.change == "feature"
        why = f"reviewed by {request.reviewed_by}" if is_reviewed else f"a {request.change} may pass"
        return f"{why}, although {RELEASES[passed[0].releases]}: {_told(passed[0])}"
    return f"no rule of {', '.join(one.policy.name for one in inputs.policies)} holds it"


def _told(one: Because) -> str:
    more = f" (and {one.others} more)" if one.others else ""
    return f"{one.objective}{more}: {one.sentence}; policy {one.policy}, rule {one.rule}"

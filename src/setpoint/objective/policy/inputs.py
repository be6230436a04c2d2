"""Everything that a decision is made from, as one value: what is asked, who governs it, what is known and in force.

The gate makes it and puts it into the event of its decision; a replay reads it back from there. What does not stand in
it cannot change a decision.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np

from setpoint.errors import InvalidInput
from setpoint.objective.policy.evaluate import incident_share, judge, since_column
from setpoint.objective.policy.facts import Facts
from setpoint.objective.policy.model import Policy, PolicyException

__all__ = ["Governing", "Held", "Inputs", "Request", "reduced"]

_FORMAT: Final = 1
_OBJECTIVES_MOST: Final = 50
"""As many objectives stand in an event at most; of more, those that do not matter are left out."""

Held = Mapping[tuple[str, str], Mapping[str, int]]
"""By policy and rule: since when (Unix milliseconds) it has been in force for which objectives."""


@dataclass(frozen=True, slots=True)
class Request:
    """May this change be released? `change` is feature, fix or security; empty texts where nothing is known."""

    service: str
    change: str = "feature"
    version: str = ""
    reviewed_by: str = ""


@dataclass(frozen=True, slots=True)
class Governing:
    """A policy, and which objectives of the service it looks at."""

    policy: Policy
    objectives: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """See above. `is_known`: some document names the service. `objectives`: how many it has, of which the facts may
    leave out some (`left_out`) that do not matter.
    """

    request: Request
    facts: Facts
    is_known: bool = True
    objectives: int = 0
    left_out: int = 0
    near: tuple[str, ...] = ()
    """Services that are called nearly so, where it is not known."""
    policies: tuple[Governing, ...] = ()
    held: Held = field(default_factory=dict)
    exceptions: tuple[PolicyException, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """All of it, as it stands in an event."""
        return {
            "format": _FORMAT,
            "request": asdict(self.request),
            "is_known": self.is_known,
            "near": list(self.near),
            "objectives": self.objectives,
            "left_out": self.left_out,
            "policies": [
                one.policy.as_json() | {"objectives": list(one.objectives)} for one in self.policies
            ],
            "held": [
                {"policy": policy, "rule": rule, "objective": name, "since_ms": since_ms}
                for (policy, rule), objectives in self.held.items()
                for name, since_ms in objectives.items()
            ],
            "exceptions": [one.as_json() for one in self.exceptions],
            "facts": self.facts.as_json(),
        }

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Inputs:
        """What `as_json` wrote. Raises InvalidInput when this version cannot read it."""
        try:
            if given["format"] != _FORMAT:
                raise InvalidInput(
                    f"its inputs have format {given['format']}, which this Setpoint does not read"
                )
            held: dict[tuple[str, str], dict[str, int]] = {}
            for one in given["held"]:
                held.setdefault((one["policy"], one["rule"]), {})[one["objective"]] = int(one["since_ms"])
            return cls(
                request=Request(**given["request"]),
                facts=Facts.from_json(given["facts"]),
                is_known=given["is_known"],
                near=tuple(given["near"]),
                objectives=given["objectives"],
                left_out=given["left_out"],
                policies=tuple(
                    Governing(Policy.from_json(one), tuple(one["objectives"])) for one in given["policies"]
                ),
                held=held,
                exceptions=tuple(PolicyException.from_json(one) for one in given["exceptions"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInput(
                f"its inputs cannot be read ({error!r}); another version wrote them"
            ) from error


def reduced(inputs: Inputs, most: int = _OBJECTIVES_MOST) -> Inputs:
    """The same with at most `most` objectives: those for which a rule is in force or unknown, the strictest first. The
    outcome is the same, because one objective is enough for a rule. Of its incidents, too, those that do not matter are
    left out.
    """
    return _with_few_incidents(_with_few_objectives(inputs, most))


def _with_few_incidents(inputs: Inputs) -> Inputs:
    """With the open incidents, and for each objective the one that spent most and one of which nobody knows what it
    spent, in the time that each rule looks at: a condition on what an incident spent asks for no other.
    """
    facts = inputs.facts
    stretches = {
        one.over_s
        for governing in inputs.policies
        for rule in governing.policy.rules
        for one in rule.when
        if one.kind == "incidentSpent"
    }
    kept = {one.id for one in facts.incidents if one.resolved_ms is None}
    for over_s in stretches:
        recent = [one for one in facts.incidents if one.opened_ms >= facts.at_ms - over_s * 1000]
        for name, service in zip(facts.names, facts.services, strict=True):
            spent = {one.id: incident_share(facts, one, name) for one in recent if one.service == service}
            known = {key: share for key, share in spent.items() if not np.isnan(share)}
            if known:
                kept.add(max(known, key=known.__getitem__))
            kept.update([key for key in spent if key not in known][:1])
    if len(kept) == len(facts.incidents):
        return inputs
    return replace(
        inputs,
        facts=replace(
            facts,
            incidents=tuple(one for one in facts.incidents if one.id in kept),
            shares={key: share for key, share in facts.shares.items() if key[0] in kept},
        ),
    )


def _with_few_objectives(inputs: Inputs, most: int) -> Inputs:
    facts = inputs.facts
    if len(facts) <= most:
        return inputs
    row_of = {name: at for at, name in enumerate(facts.names)}
    matters: dict[int, None] = {}
    ranked = sorted(
        ((one, rule) for one in inputs.policies for rule in one.policy.rules),
        key=lambda pair: -pair[1].strictness,
    )
    each = max(1, most // max(1, 2 * len(ranked)))
    for governing, rule in ranked:
        rows = np.array([row_of[name] for name in governing.objectives if name in row_of], np.int64)
        some = facts.take(rows)
        since = since_column(some, inputs.held.get((governing.policy.name, rule.name), {}))
        judged = judge(governing.policy, rule, some, since)
        for chosen in (judged.in_force, judged.unknown, some.has_data):
            matters.update(dict.fromkeys(rows[chosen][:each].tolist()))
    kept = _kept(list(matters), len(facts), most)
    names = {facts.names[row] for row in kept}
    return replace(
        inputs,
        facts=facts.take(kept),
        left_out=inputs.left_out + len(facts) - len(kept),
        policies=tuple(
            replace(one, objectives=tuple(name for name in one.objectives if name in names))
            for one in inputs.policies
        ),
        held={
            key: {name: since_ms for name, since_ms in objectives.items() if name in names}
            for key, objectives in inputs.held.items()
        },
    )


def _kept(matters: Sequence[int], size: int, most: int) -> list[int]:
    """What matters, and then whatever there is room for, in the order of the rows."""
    kept = dict.fromkeys(matters)
    for row in range(size):
        if len(kept) >= most:
            break
        kept[row] = None
    return sorted(kept)

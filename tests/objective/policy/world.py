"""Facts and inputs for tests of policies, from a few words: what a service's objectives show at one instant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from setpoint.objective.overview import STATES
from setpoint.objective.policy.facts import Facts, Share
from setpoint.objective.policy.inputs import Governing, Inputs, Request
from setpoint.objective.policy.model import Condition, Incident, Policy, PolicyException, Releases, Rule

__all__ = ["NOW_MS", "Seen", "facts", "inputs", "left_at_most", "policy"]

NOW_MS = 1_800_000_000_000
WEEKS_S = 28 * 86_400
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Seen:
    """One objective: the part of its budget that is left, and bad of a thousand events in the last hour and four weeks.

    Its target is 99 %.
    """

    name: str = "checkout-availability"
    left: float = 0.5
    state: str = "healthy"
    bad_hour: float = 0.0
    bad_weeks: float = 0.0
    total: float = 1000.0
    exhaustion_s: float = np.nan
    silent_s: float = 5.0
    counting: bool = False
    service: str = "checkout"
    spent: Mapping[str, float] = field(default_factory=dict)
    """By incident, the part of the budget."""


def facts(*seen: Seen, incidents: Sequence[Incident] = (), at_ms: int = NOW_MS) -> Facts:
    """What is known of these objectives."""
    left = np.array([one.left for one in seen], np.float64)

    def counts(bad: Sequence[float]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        total = np.array([one.total for one in seen], np.float64)
        return np.array([total - np.array(bad), total, np.where(total > 0, 60.0, 0.0)])

    return Facts(
        at_ms=at_ms,
        evaluated_ms=at_ms,
        names=tuple(one.name for one in seen),
        services=tuple(one.service for one in seen),
        target=np.full(len(seen), 0.99),
        window_s=np.full(len(seen), 30 * 86_400, np.int64),
        state=np.array([STATES.index(one.state) for one in seen], np.int8),
        left=left,
        sli=1 - (1 - left) * 0.01,
        exhaustion_s=np.array([one.exhaustion_s for one in seen], np.float64),
        silent_s=np.array([one.silent_s for one in seen], np.float64),
        counting=np.array([one.counting for one in seen], np.bool_),
        counts={
            HOUR_S: counts([one.bad_hour for one in seen]),
            WEEKS_S: counts([one.bad_weeks for one in seen]),
        },
        incidents=tuple(incidents),
        shares={
            (incident, one.name): Share(share * 10.0, 10.0)
            for one in seen
            for incident, share in one.spent.items()
        },
    )


def left_at_most(
    left: float, releases: Releases = "fixesOnly", name: str = "gone", until: float | None = None
) -> Rule:
    """A rule on the budget that is left."""
    end = () if until is None else (Condition("remainingBudget", ">=", until),)
    return Rule(name, (Condition("remainingBudget", "<=", left),), end, releases)


def policy(*rules: Rule, name: str = "shop", ignores_no_data: bool = False) -> Policy:
    """A policy with these rules."""
    return Policy(name, rules, ignores_no_data)


def inputs(
    known: Facts,
    *policies: Policy,
    request: Request | None = None,
    exceptions: Sequence[PolicyException] = (),
    held: Mapping[tuple[str, str], Mapping[str, int]] | None = None,
) -> Inputs:
    """What is asked of the checkout, governed by these policies in all its objectives."""
    return Inputs(
        request=request or Request("checkout"),
        facts=known,
        objectives=len(known),
        policies=tuple(Governing(one, known.names) for one in policies),
        held=held or {},
        exceptions=tuple(exceptions),
    )

"""The resource kinds `ErrorBudgetPolicy` and `PolicyException` of setpoint/v1: what a user writes about what a budget
does. `resolve` makes the model of them, `references` finds what does not fit the other documents.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from setpoint.objective.duration import parse_duration
from setpoint.objective.spec.fields import (
    Description,
    Fault,
    Labels,
    Name,
    OpenSloMetadata,
    decimal_of,
    duration_field,
    errors_at,
)
from setpoint.resource import Part

__all__ = [
    "POLICY_VERSION",
    "AppliesTo",
    "ErrorBudgetPolicy",
    "PolicyException",
    "Rule",
    "Until",
    "When",
    "instant_of",
]

POLICY_VERSION: Final = "setpoint/v1"
_YEAR_S = 366 * 86_400

Change = Literal["feature", "fix", "security"]


def _ratio(low: float, high: float, such: str) -> BeforeValidator:
    """A part of a budget: `20%` or 0.2."""

    def read(value: Any) -> float:
        is_percent = isinstance(value, str) and value.strip().endswith("%")
        number = decimal_of(value.strip()[:-1] if is_percent else value)
        ratio = float(number) / (100 if is_percent else 1)
        if not low <= ratio <= high:
            raise ValueError(f"{value} is out of bounds; write {low:.0%} to {high:.0%}, such as {such}")
        return ratio

    return BeforeValidator(read)


def _factor(value: Any) -> float:
    number = float(decimal_of(value))
    if not 0 < number <= 1e6:
        raise ValueError(f"{value} is out of bounds; write a factor above 0, such as 14.4")
    return number


Left = Annotated[float, _ratio(-100, 1, "10%")]
Spent = Annotated[float, _ratio(0.0001, 100, "100%")]
Factor = Annotated[float, BeforeValidator(_factor)]
Stretch = Annotated[str, duration_field(300, _YEAR_S, "5m to 366d, such as 4w")]
Lasting = Annotated[str, duration_field(60, 31 * 86_400, "1m to 31d, such as 30m")]
State = Literal["healthy", "burning", "exhausted", "no data"]

_OVER = "The time that is looked at, up to now, such as 4w; at most the objective's own window counts."


class _AtMostLeft(Part):
    at_most: Left = Field(
        description="The part of the budget that is left, such as 0% or 0.1; below 0: overspent."
    )


class _AtLeastLeft(Part):
    at_least: Left = Field(description="The part of the budget that must be left again, such as 10%.")


class _AtLeastSpent(Part):
    at_least: Spent = Field(description="Spent, as a part of what that time allows; 100% is exceeded.")
    over: Stretch = Field("4w", description=_OVER)


class _BelowSpent(Part):
    below: Spent = Field(
        description="Spent, as a part of what that time allows; 100% is back within the objective."
    )
    over: Stretch = Field("4w", description=_OVER)


class _AboveBurn(Part):
    above: Factor = Field(description="How many times faster than allowed the budget goes, such as 14.4.")
    over: Stretch = Field(description=_OVER)


class _BelowBurn(Part):
    below: Factor = Field(description="How many times faster than allowed the budget goes, such as 1.")
    over: Stretch = Field(description=_OVER)


class _BelowTime(Part):
    below: Annotated[str, duration_field(60, _YEAR_S, "1m to 366d, such as 4h")] = Field(
        description="How long the budget still lasts at the present rate, such as 4h."
    )


class _Silent(Part):
    lasting: Lasting = Field(description="For how long no event has been counted, such as 30m.")


class _AtLeastOpen(Part):
    at_least: Annotated[int, Field(ge=1, le=1000)] = Field(1, description="How many incidents are open.")


class _AtMostOpen(Part):
    at_most: Annotated[int, Field(ge=0, le=1000)] = Field(
        0, description="How many incidents may still be open."
    )


class _IncidentSpent(Part):
    above: Spent = Field(
        description="What one incident alone spent of the objective's whole budget, such as 20%."
    )
    within: Annotated[str, duration_field(3600, 92 * 86_400, "1h to 92d, such as 4w")] = Field(
        "4w", description="How long ago the incident may have begun."
    )


def _one_of(part: Part, example: str) -> None:
    """Exactly one field is written: a list of conditions reads as a list of sentences."""
    given = [name for name in type(part).model_fields if getattr(part, name) is not None]
    if len(given) == 1:
        return
    if not given:
        raise ValueError(f"says nothing; write one condition, such as '{example}'")
    names = [type(part).model_fields[name].alias or name for name in given]
    raise errors_at(
        part,
        [
            (
                (names[1],),
                f"'{names[0]}' stands here already; write this as a condition of its own, after '- '",
            )
        ],
    )


class When(Part):
    """One condition of a rule."""

    remaining_budget: _AtMostLeft | None = Field(
        None, description="Little of the objective's budget is left."
    )
    budget_spent: _AtLeastSpent | None = Field(
        None, description="More was spent in a stretch of time than it allows: bad / (total × (1 − target))."
    )
    burn_rate: _AboveBurn | None = Field(None, description="The budget goes fast.")
    time_to_exhaustion: _BelowTime | None = Field(
        None, description="The budget is gone soon at the present rate."
    )
    state: Annotated[list[State], Field(min_length=1, max_length=4)] | None = Field(
        None, description="The objective is in one of these states: exhausted, burning, no data, healthy."
    )
    no_data: _Silent | None = Field(None, description="The objective has had no data for long.")
    open_incidents: _AtLeastOpen | None = Field(None, description="Incidents of the service are open.")
    incident_spent: _IncidentSpent | None = Field(
        None, description="A single incident spent much of the budget."
    )

    @model_validator(mode="after")
    def _one(self) -> When:
        _one_of(self, "remainingBudget: {atMost: 0%}")
        return self


class Until(Part):
    """One condition for the end of what a rule did."""

    remaining_budget: _AtLeastLeft | None = Field(None, description="Enough of the budget is left again.")
    budget_spent: _BelowSpent | None = Field(None, description="The service is back within its objective.")
    burn_rate: _BelowBurn | None = Field(None, description="The budget goes slowly again.")
    state: Annotated[list[State], Field(min_length=1, max_length=4)] | None = Field(
        None, description="The objective is in one of these states, such as healthy."
    )
    open_incidents: _AtMostOpen | None = Field(None, description="The incidents of the service are over.")
    in_force_for: Lasting | None = Field(None, description="It has been in force at least that long.")

    @model_validator(mode="after")
    def _one(self) -> Until:
        _one_of(self, "remainingBudget: {atLeast: 10%}")
        return self


class Rule(Part):
    """What happens when its conditions hold for an objective."""

    name: Name = Field(description="What events and sentences call it, such as budget-gone.")
    description: Description = Field("", description="Why it is so.")
    when: Annotated[list[When], Field(min_length=1, max_length=10)] = Field(
        description="All must hold for the same objective; write another rule for another case."
    )
    until: Annotated[list[Until], Field(max_length=10)] = Field(
        default_factory=list,
        description="All must hold before it ends, so that it does not come and go. Left out: it ends when `when` no "
        "longer holds. Without data it does not end.",
    )
    releases: Literal["freeze", "fixesOnly", "review"] | None = Field(
        None,
        description="freeze: nothing is released. fixesOnly: only fixes and security changes. review: features need a "
        "reviewer, whom `setpoint gate --reviewed-by` names. Left out: releases go on.",
    )
    notify: Annotated[list[Name], Field(max_length=20)] = Field(
        default_factory=list,
        description="Each AlertNotificationTarget that is told once when it comes into force.",
    )
    postmortem: bool = Field(
        False,
        description="Demand a postmortem: once for each incident, or each time that it comes into force.",
    )

    @model_validator(mode="after")
    def _acts(self) -> Rule:
        faults: list[Fault] = []
        if self.releases is None and not self.notify and not self.postmortem:
            faults.append(
                ((), "has no consequence; write releases: fixesOnly, notify: [TARGET] or postmortem: true")
            )
        faults += [
            (("until", number), told) for number, one in enumerate(self.until) if (told := self._flaps(one))
        ]
        if faults:
            raise errors_at(self, faults)
        return self

    def _flaps(self, end: Until) -> str:
        """What ends a rule must not hold while its condition does: it would come and go all the time."""
        return next((told for one in self.when if (told := _overlap(one, end))), "")


def _overlap(one: When, end: Until) -> str:
    """Why both can hold at once; empty when they cannot, or are about different things."""
    fault = ""
    if one.remaining_budget and end.remaining_budget:
        begins, ends = one.remaining_budget.at_most, end.remaining_budget.at_least
        if ends <= begins:
            fault = f"{ends:.4g} is left when it begins ({begins:.4g}), too; write more, such as {begins + 0.1:.2g}"
    elif one.budget_spent and end.budget_spent and _same(one.budget_spent, end.budget_spent):
        fault = _above(end.budget_spent.below, one.budget_spent.at_least)
    elif one.burn_rate and end.burn_rate and _same(one.burn_rate, end.burn_rate):
        fault = _above(end.burn_rate.below, one.burn_rate.above)
    elif one.open_incidents and end.open_incidents:
        most, least = end.open_incidents.at_most, one.open_incidents.at_least
        if most >= least:
            fault = f"{most} are open when it begins ({least}), too; write {least - 1} or less"
    elif one.state and end.state and (both := sorted(set(one.state) & set(end.state))):
        fault = f"it begins in '{both[0]}', too; leave that out of one of them"
    return f"the rule would end while its condition holds: {fault}" if fault else ""


def _above(ends: float, begins: float) -> str:
    return (
        f"it begins at {begins:.4g}, and ends below {ends:.4g}; write {begins:.4g} or less"
        if ends > begins
        else ""
    )


def _same(one: Any, other: Any) -> bool:
    return parse_duration(one.over) == parse_duration(other.over)


class AppliesTo(Part):
    """Which objectives a policy looks at: those that fit all that is written."""

    services: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="Of these services."
    )
    teams: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="Of the services of these teams, and of teams that are part of them."
    )
    labels: Labels | None = Field(None, description="With these labels; of a list, one of its values.")
    objectives: Annotated[list[str], Field(min_length=1, max_length=1000)] | None = Field(
        None, description="These; the name of an SLO means all of its objectives."
    )


class _PolicySpec(Part):
    description: Description = Field("", description="What was agreed, and with whom.")
    applies_to: AppliesTo | None = Field(
        None,
        description="Which objectives it looks at; it governs the releases of their services. Left out: all.",
    )
    rules: Annotated[list[Rule], Field(min_length=1, max_length=50)] | None = Field(
        None,
        description="What happens when. Left out, the rules of the SRE workbook's example: only fixes and security "
        "changes while more is spent than four weeks allow, and a postmortem when one incident spends over 20 %.",
    )
    no_data: Literal["dontKnow", "ignore"] = Field(
        "dontKnow",
        description="What the gate says while an objective has no data: dontKnow; or ignore it, as long as another "
        "one that the policy looks at has some.",
    )

    @model_validator(mode="after")
    def _once(self) -> _PolicySpec:
        names = [rule.name for rule in self.rules or ()]
        faults: list[Fault] = [
            (("rules", number, "name"), f"'{name}' is the name of a rule above; choose another")
            for number, name in enumerate(names)
            if name in names[:number]
        ]
        if faults:
            raise errors_at(self, faults)
        return self


class ErrorBudgetPolicy(Part):
    """What happens to releases, and who is told, when a service spends its error budget.

    Of several policies, and several rules of one, the strictest that is in force counts.
    """

    api_version: Literal["setpoint/v1"] = POLICY_VERSION
    kind: Literal["ErrorBudgetPolicy"] = "ErrorBudgetPolicy"
    metadata: OpenSloMetadata
    spec: _PolicySpec


def instant_of(text: str) -> int:
    """Unix milliseconds of an instant with its offset; ValueError says what to write."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"'{text[:80]}' is no instant; write date, time and offset, such as 2026-12-01T18:00:00Z"
        ) from None
    if moment.tzinfo is None:
        raise ValueError(f"'{text}' does not say where that time holds; write it as 2026-12-01T18:00:00Z")
    return round(moment.timestamp() * 1000)


def _instant(value: Any) -> str:
    text = value if isinstance(value, str) else str(value)
    instant_of(text)
    return text


Instant = Annotated[str, BeforeValidator(_instant)]


def _said(noun: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not value.strip():
            raise ValueError(f"is empty; write {noun}")
        return value.strip()

    return check


class _ExceptionSpec(Part):
    approved_by: Annotated[str, Field(max_length=200), AfterValidator(_said("the name of a person"))] = Field(
        description="The person who answers for it."
    )
    reason: Annotated[str, Field(max_length=1000), AfterValidator(_said("why it is needed"))] = Field(
        description="Why the policy is set aside; it is shown beside every decision that rests on it."
    )
    from_: Instant | None = Field(None, alias="from", description="From when on; left out, at once.")
    until: Instant = Field(
        description="When it ends, such as 2026-12-01T18:00:00Z; there is none without an end."
    )
    services: Annotated[list[Name], Field(min_length=1, max_length=100)] | None = Field(
        None, description="For these services; left out, for all that its policies govern."
    )
    policies: Annotated[list[Name], Field(min_length=1, max_length=100)] | None = Field(
        None, description="From these policies; left out, from all."
    )
    changes: Annotated[list[Change], Field(min_length=1, max_length=3)] | None = Field(
        None, description="For these kinds of change: feature, fix, security; left out, for all."
    )
    versions: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=100)]], Field(min_length=1, max_length=100)
        ]
        | None
    ) = Field(None, description="For these versions; left out, for all.")

    @model_validator(mode="after")
    def _fits(self) -> _ExceptionSpec:
        faults: list[Fault] = []
        if self.services is None and self.policies is None:
            faults.append(((), "would set aside every policy of every service; add services or policies"))
        if self.from_ is not None and instant_of(self.from_) >= instant_of(self.until):
            faults.append(
                (("until",), f"{self.until} is not after its begin, {self.from_}; write a later instant")
            )
        if faults:
            raise errors_at(self, faults)
        return self


class PolicyException(Part):
    """A change may be released although a policy would hold it, for a reason, in a person's name, until an instant."""

    api_version: Literal["setpoint/v1"] = POLICY_VERSION
    kind: Literal["PolicyException"] = "PolicyException"
    metadata: OpenSloMetadata
    spec: _ExceptionSpec

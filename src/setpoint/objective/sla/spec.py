"""The resource kind `SLA` of setpoint/v1: a promise to customers over objectives, by the calendar, with credits.

An SLA stands above objectives: it counts the same events, so adjustments, slices and composites are as they are there,
against a target that is looser, as people should hear of trouble before customers may claim for it.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from setpoint.objective.spec.fields import (
    Description,
    Name,
    Number,
    Target,
    TargetPercent,
    error_at,
    ratio_of,
    zone,
)
from setpoint.resource import Metadata, Part

__all__ = ["SLA_VERSION", "Credit", "Promise", "Sla", "SlaSpec"]

SLA_VERSION: Final = "setpoint/v1"


def _percent(value: Decimal) -> Decimal:
    if not 0 < value <= 100:
        raise ValueError(f"{value} is no percentage; write a number above 0 and up to 100, such as 10")
    return value


Percent = Annotated[Decimal, Number, AfterValidator(_percent)]


class Credit(Part):
    """A tier: what is owed when less was kept."""

    below: Percent = Field(description="Owed when the percentage of good events is below this, such as 99.9.")
    percent: Percent = Field(description="How much of the period's fee is owed then, in per cent.")


class Promise(Part):
    """One objective that is promised."""

    objective: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        description="The objective whose events are counted, by its name."
    )
    target: Target | None = Field(None, description="What is promised, as a ratio, such as 0.999.")
    target_percent: TargetPercent | None = Field(None, description="The same in per cent; one of the two.")
    credits: Annotated[list[Credit], Field(max_length=20)] = Field(
        default_factory=list, description="Tiers of this objective; left out: those of the SLA."
    )

    @model_validator(mode="after")
    def _one_target(self) -> Promise:
        if (self.target is None) == (self.target_percent is None):
            raise error_at(
                self.target, ("target",), "write one of target and targetPercent, such as target: 0.999"
            )
        return self

    @property
    def ratio(self) -> float:
        """What is promised, between 0 and 1."""
        return ratio_of(self.target, self.target_percent)


def _begin(value: str) -> str:
    try:
        if datetime.fromisoformat(value).tzinfo is not None:
            raise ValueError(value)
    except ValueError as error:
        raise ValueError(
            f"'{value[:40]}' is no day; write one as 2026-11-20, or with a time, 2026-11-20 08:00"
        ) from error
    return value


class SlaSpec(Part):
    description: Description = Field("", description="What is promised, as the contract says it.")
    service: Name = Field(description="The service that it is about.")
    customer: Annotated[str, Field(max_length=200)] = Field("", description="Whom it is promised to.")
    period: Literal["month", "quarter"] = Field(
        "month", description="What is counted together: by the calendar."
    )
    time_zone: Annotated[str, AfterValidator(zone)] = Field(
        "UTC", description="By whose clock a period begins, such as Europe/Berlin."
    )
    starts_on: Annotated[str, AfterValidator(_begin)] | None = Field(
        None,
        description="From which day on it is promised, by that clock, such as 2026-11-20. Without it, what was not "
        "seen of a period because nothing was counted yet may have been bad.",
    )
    objectives: Annotated[list[Promise], Field(min_length=1, max_length=50)] = Field(
        description="What is promised, each over an objective. The highest credit of them is owed."
    )
    credits: Annotated[list[Credit], Field(max_length=20)] = Field(
        default_factory=list, description="Tiers for all objectives that have none of their own."
    )

    @model_validator(mode="after")
    def _tiers(self) -> SlaSpec:
        _check(self.credits, (), min(promise.ratio for promise in self.objectives) if self.credits else None)
        for number, promise in enumerate(self.objectives):
            _check(promise.credits, ("objectives", number), promise.ratio)
        names = [promise.objective for promise in self.objectives]
        for number, name in enumerate(names):
            if name in names[:number]:
                place = ("objectives", number, "objective")
                raise error_at(name, place, f"'{name}' is promised twice; write one target for it")
        return self


class Sla(Part):
    """A promise to customers, with the credit that is owed when it is broken."""

    api_version: Literal["setpoint/v1"] = SLA_VERSION
    kind: Literal["SLA"] = "SLA"
    metadata: Metadata
    spec: SlaSpec


def _check(tiers: list[Credit], place: tuple[str | int, ...], target: float | None) -> None:
    """Tiers go down and cost more; the first is not above what is promised."""
    for number, tier in enumerate(tiers):
        at = (*place, "credits", number)
        if target is not None and float(tier.below) > 100 * target + 1e-9:
            raise error_at(
                tier,
                (*at, "below"),
                f"{tier.below} % is above the target of {100 * target:.10g} %, so it would be owed "
                "for a promise that was kept; write the target or less",
            )
        if number and tier.below >= tiers[number - 1].below:
            raise error_at(tier, (*at, "below"), "tiers go down; write one that is below the tier before")
        if number and tier.percent <= tiers[number - 1].percent:
            raise error_at(
                tier, (*at, "percent"), "less kept is owed more; write more than in the tier before"
            )

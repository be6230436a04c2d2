"""The resource kind `BudgetAdjustment` of setpoint/v1, and what it declares as the model has it.

What one document can tell by itself is refused here, at the field; what depends on other documents or on the time of
day (`check`) when it is applied.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, Final, Literal, Protocol
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from setpoint.objective.adjustment.model import Adjustment, Choice, Correction, Recurrence, Span
from setpoint.objective.duration import parse_duration
from setpoint.objective.spec.fields import Labels, error_at, zone
from setpoint.resource import Metadata, Part
from setpoint.resource.recurrence import check_rule

__all__ = ["ADJUSTMENT_VERSION", "BudgetAdjustment", "declared", "instant_minute"]

ADJUSTMENT_VERSION: Final = "setpoint/v1"
_LONGEST_MINUTES = 366 * 1440
_Name = Annotated[str, Field(min_length=1, max_length=300)]
_Names = Annotated[list[_Name], Field(max_length=1000)]


def _as_text(value: Any) -> Any:
    """YAML reads 2026-12-01 22:00:00 as an instant where it is not quoted."""
    return value.isoformat() if isinstance(value, datetime) else value


def _instant(value: str) -> str:
    try:
        at = datetime.fromisoformat(value)
    except ValueError as error:
        raise ValueError(
            f"'{value[:80]}' is no instant; write date and time with an offset, such as 2026-12-01T22:00:00Z"
        ) from error
    if at.second or at.microsecond:
        raise ValueError(f"'{value}' is within a minute; adjustments are in whole minutes, as ledgers are")
    if not 1970 < at.year <= 2200:
        raise ValueError(f"the year {at.year} is out of bounds; write one between 1971 and 2200")
    return value


def _local(value: str) -> str:
    if datetime.fromisoformat(_instant(value)).tzinfo is not None:
        raise ValueError(
            f"'{value}' has an offset; write the time by the clock of timeZone, such as 2026-12-01T22:00:00"
        )
    return value


def _whole_minutes(value: str) -> str:
    if not 60 <= parse_duration(value) <= _LONGEST_MINUTES * 60:
        raise ValueError(f"{value} is out of bounds; write 1m to 366d, such as 2h")
    return value


Instant = Annotated[str, BeforeValidator(_as_text), AfterValidator(_instant)]
Zone = Annotated[str, AfterValidator(zone)]


def instant_minute(text: str, time_zone: str) -> int:
    """The minute that begins at an instant; one without an offset is by the clock of `time_zone`."""
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=ZoneInfo(time_zone))).timestamp()) // 60


class Select(Part):
    """Which objectives: all that is given must hold, and of each list one."""

    all: bool = Field(default=False, description="true, and nothing else: every objective there is.")
    objectives: _Names = Field(
        default_factory=list, description="Objectives by name, as in `setpoint slo list`."
    )
    slos: _Names = Field(default_factory=list, description="All objectives that these SLO documents declare.")
    services: _Names = Field(default_factory=list, description="All objectives of these services.")
    labels: Labels = Field(
        default_factory=dict,
        description="All objectives with these labels, such as {team: payments}; of several values one is enough.",
    )

    @model_validator(mode="after")
    def _something(self) -> Select:
        given = bool(self.objectives or self.slos or self.services or self.labels)
        if given == self.all:
            sentence = (
                "choose either all or some; leave one of them out"
                if given
                else "choose some objectives: by objectives, slos, services or labels, or all: true"
            )
            raise error_at(self.all, ("all",) if given else (), sentence)
        return self

    def choice(self) -> Choice:
        """As the model has it."""
        return Choice(
            self.all,
            tuple(self.objectives),
            tuple(self.slos),
            tuple(self.services),
            {key: (one,) if isinstance(one, str) else tuple(one) for key, one in self.labels.items()},
        )


class Once(Part):
    """One stretch of time."""

    start: Instant = Field(
        description="With an offset (2026-12-01T22:00:00Z), or without by the clock of timeZone."
    )
    end: Instant = Field(description="Written as start; what happens at this instant still belongs to it.")
    time_zone: Zone | None = Field(
        default=None, description="A name of the IANA database, where start and end have no offset."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Once:
        _need_zone(self, ("start", "end"), self.time_zone)
        first, end = self.span()
        if end <= first:
            raise error_at(self.end, ("end",), f"{self.end} is not after start ({self.start}); exchange them")
        if end - first > _LONGEST_MINUTES:
            raise error_at(self.end, ("end",), "it is longer than 366 days; write an earlier end")
        return self

    def span(self) -> Span:
        """Its minutes."""
        return instant_minute(self.start, self.time_zone or "UTC"), instant_minute(
            self.end, self.time_zone or "UTC"
        )


class Recurring(Part):
    """The same stretch of time again and again."""

    start: Annotated[str, BeforeValidator(_as_text), AfterValidator(_local)] = Field(
        description="When it begins for the first time, by the clock of timeZone: 2026-12-01T22:00:00."
    )
    time_zone: Zone = Field(
        default="UTC",
        description="A name of the IANA database; it begins at the same time of day before and after a change of "
        "daylight saving.",
    )
    rrule: Annotated[str, Field(min_length=1, max_length=500)] = Field(
        description="A recurrence rule of RFC 5545, such as FREQ=WEEKLY;BYDAY=SU or "
        "FREQ=MONTHLY;BYDAY=1SA;UNTIL=20271231T000000Z."
    )
    duration: Annotated[str, AfterValidator(_whole_minutes)] = Field(
        description="How long each lasts, in elapsed time: a whole number and one of m, h, d, w, such as 2h."
    )

    @model_validator(mode="after")
    def _takes_place(self) -> Recurring:
        told = check_rule(self.recurrence())
        if told:
            raise error_at(self.rrule, ("rrule",), told)
        return self

    def recurrence(self) -> Recurrence:
        """As the model has it."""
        rule = self.rrule.strip().upper().removeprefix("RRULE:")
        return Recurrence(
            self.start.replace(" ", "T"), self.time_zone, rule, parse_duration(self.duration) // 60
        )


class CorrectionSpec(Part):
    """Events that were counted wrong."""

    at: Instant | None = Field(default=None, description="The minute whose events change; or start and end.")
    start: Instant | None = Field(
        default=None, description="From when on, for events that came over a while."
    )
    end: Instant | None = Field(default=None, description="Up to when.")
    time_zone: Zone | None = Field(
        default=None, description="A name of the IANA database, where the instants have no offset."
    )
    bad_events: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="How many bad events come in addition; negative ones are taken away, as many as there are.",
    )
    good_events: float = Field(
        default=0.0,
        allow_inf_nan=False,
        description="The same for good events: -5 and 5 turn five bad events into good ones.",
    )

    @model_validator(mode="after")
    def _of_some_time(self) -> CorrectionSpec:
        _need_zone(self, ("at", "start", "end"), self.time_zone)
        if (self.at is None) == (self.start is None) or (self.start is None) != (self.end is None):
            raise error_at(self.at, (), "write either 'at', or both 'start' and 'end'")
        if not self.bad_events and not self.good_events:
            raise error_at(
                self.bad_events, ("badEvents",), "nothing is corrected; write badEvents, goodEvents or both"
            )
        one = self.correction()
        if one.end <= one.first:
            raise error_at(self.end, ("end",), f"{self.end} is not after start ({self.start}); exchange them")
        if one.end - one.first > 31 * 1440:
            raise error_at(self.end, ("end",), "it is longer than 31 days; correct less at once")
        return self

    def correction(self) -> Correction:
        """As the model has it."""
        zone_name = self.time_zone or "UTC"
        if self.at is not None:
            first = instant_minute(self.at, zone_name)
            return Correction(first, first + 1, self.good_events, self.bad_events)
        first, end = (instant_minute(one or "", zone_name) for one in (self.start, self.end))
        return Correction(first, end, self.good_events, self.bad_events)


def _need_zone(part: Part, names: tuple[str, ...], time_zone: str | None) -> None:
    for name in names:
        text = getattr(part, name)
        if text is not None and time_zone is None and datetime.fromisoformat(text).tzinfo is None:
            sentence = f"'{text}' has no offset; write one, such as {text}Z, or add timeZone: Europe/Berlin"
            raise error_at(text, (name,), sentence)


class _AdjustmentSpec(Part):
    description: Annotated[str, Field(max_length=1050)] = ""
    reason: Annotated[str, Field(min_length=3, max_length=300)] = Field(
        description="Why, in a sentence: it stands on the chart, in explanations and on the timeline."
    )
    link: Annotated[str, Field(max_length=500, pattern=r"^https?://\S+$")] | None = Field(
        default=None, description="Where to read more: a change request, a review."
    )
    select: Select = Field(description="Which objectives.")
    action: Literal["exclude", "good"] | None = Field(
        default=None,
        description="exclude (the default): the time is left out, as if nothing had been measured, and the rest weighs "
        "more. good: all its events count as good, and the rest weighs as before. Not for a correction.",
    )
    per_objective: dict[str, Literal["exclude", "good"]] = Field(
        default_factory=dict, description="Objectives, by name, for which the time is treated in another way."
    )
    once: Once | None = Field(default=None, description="One stretch of time, in the past or to come.")
    recurring: Recurring | None = Field(
        default=None, description="Time that comes again, such as every Sunday night."
    )
    correction: CorrectionSpec | None = Field(default=None, description="Events that were counted wrong.")

    @model_validator(mode="after")
    def _one_kind(self) -> _AdjustmentSpec:
        given = [name for name in ("once", "recurring", "correction") if getattr(self, name) is not None]
        if len(given) != 1:
            place = (given[1],) if given else ()
            raise error_at(given, place, "write exactly one of once, recurring and correction")
        if self.correction is None:
            return self
        if self.action is not None or self.per_objective:
            place = ("action",) if self.action is not None else ("perObjective",)
            raise error_at(self.action, place, "a correction says what it does by its events; leave this out")
        if not self.select.objectives:
            raise error_at(
                self.select,
                ("select",),
                "a correction is about the events of certain objectives; write objectives: [its name]",
            )
        return self


class BudgetAdjustment(Part):
    """Time that is left out of error budgets or counted good, or a correction of what was counted."""

    api_version: Literal["setpoint/v1"] = ADJUSTMENT_VERSION
    kind: Literal["BudgetAdjustment"] = "BudgetAdjustment"
    metadata: Metadata
    spec: _AdjustmentSpec

    def adjustment(self) -> Adjustment:
        """As the model has it."""
        spec = self.spec
        return Adjustment(
            name=self.metadata.name,
            reason=spec.reason,
            choice=spec.select.choice(),
            action=spec.action or "exclude",
            per_objective=dict(spec.per_objective),
            once=None if spec.once is None else spec.once.span(),
            recurrence=None if spec.recurring is None else spec.recurring.recurrence(),
            correction=None if spec.correction is None else spec.correction.correction(),
            link=spec.link or "",
            display_name=self.metadata.display_name,
            description=spec.description,
        )


class Declared(Protocol):
    """What this module needs of `resource.Document`."""

    @property
    def spec(self) -> object: ...


def declared(documents: Iterable[Declared]) -> tuple[Adjustment, ...]:
    """The adjustments among some documents, by name."""
    found = [one.spec.adjustment() for one in documents if isinstance(one.spec, BudgetAdjustment)]
    return tuple(sorted(found, key=lambda one: one.name))

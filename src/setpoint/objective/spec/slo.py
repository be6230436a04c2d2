"""The resource kind `SLO`: what is promised of an indicator, over which time, and who is told.

Several entries of `objectives` over one indicator are objectives of their own. Entries with indicators of their own
are the parts of a composite, as in OpenSLO. Beyond OpenSLO: `noData`, `lowTraffic`, `groupBy` and `composite`.
What depends on a referenced indicator is checked by `entry_faults` when the references are known (`refer`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from setpoint.objective.duration import parse_duration
from setpoint.objective.source.labels import label_fault
from setpoint.objective.spec.alert import LowTrafficSpec, PolicyEntry
from setpoint.objective.spec.fields import (
    API_VERSION,
    Comparison,
    Description,
    Fault,
    Name,
    Number,
    OpenSloMetadata,
    Target,
    TargetPercent,
    duration_field,
    error_at,
    errors_at,
    ratio_of,
)
from setpoint.objective.spec.indicator import Indicator, IndicatorSpec
from setpoint.objective.spec.names import entry_names
from setpoint.objective.spec.window import TimeWindow
from setpoint.resource import Part

__all__ = ["CompositeSpec", "ObjectiveEntry", "Slo", "SloSpec", "entry_faults"]

_ENTRIES_MAX = 50
_DAY_S = 86_400
_RATIO_HAS_NO = (
    "belongs to a thresholdMetric; leave it out beside a ratioMetric, whose events are good or bad already"
)


def _slice(value: Any) -> Any:
    """A number is minutes; what is kept is the duration."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if value != int(value):
        raise ValueError(f"{value} minutes are no whole number of them; write one, such as 5")
    return f"{int(value)}m"


def _weight(value: Decimal) -> Decimal:
    if not 0 < value <= 1_000_000:
        raise ValueError(f"{value} is no weight; write a number greater than 0, such as 2")
    return value


class ObjectiveEntry(Part):
    display_name: str = Field(
        "", description="Its name among several: the objective is <slo>.<this as a slug>."
    )
    op: Comparison | None = Field(
        None, description="thresholdMetric: how the measured value compares with value."
    )
    value: Annotated[Decimal, Number] | None = Field(
        None, description="thresholdMetric: the value that is good."
    )
    target: Target | None = Field(
        None, description="The ratio of good events that is promised, between 0 and 1, such as 0.999."
    )
    target_percent: TargetPercent | None = Field(
        None, description="The same in percent, such as 99.9; write one of the two."
    )
    time_slice_target: Annotated[Decimal, Number] | None = Field(
        None, description="Timeslices: the ratio of good events that makes a slice a good one; up to 1."
    )
    time_slice_window: (
        Annotated[str, BeforeValidator(_slice), duration_field(60, _DAY_S, "1m to 1d, such as 5m")] | None
    ) = Field(None, description="Timeslices, RatioTimeslices: the length of a slice; a number is minutes.")
    indicator: Indicator | None = Field(None, description="What is counted for this part of a composite.")
    indicator_ref: Name | None = Field(
        None, description="The SLI that is counted for this part of a composite."
    )
    composite_weight: Annotated[Decimal, Number, AfterValidator(_weight)] | None = Field(
        None, description="How much this part of a composite counts; 1 if left out."
    )

    @model_validator(mode="after")
    def _one_target(self) -> ObjectiveEntry:
        if self.target is None and self.target_percent is None:
            raise ValueError("write a target, such as target: 0.999 or targetPercent: 99.9")
        if self.target is not None and self.target_percent is not None:
            raise ValueError("target and targetPercent exclude each other; keep one")
        if self.indicator is not None and self.indicator_ref is not None:
            raise ValueError("indicator and indicatorRef exclude each other; keep one")
        if self.time_slice_target is not None and not 0 < self.time_slice_target <= 1:
            sentence = f"{self.time_slice_target} is no ratio of events; write a number up to 1, such as 0.95"
            raise error_at(self.time_slice_target, ("timeSliceTarget",), sentence)
        return self

    @property
    def ratio(self) -> float:
        """The target between 0 and 1."""
        return ratio_of(self.target, self.target_percent)

    @property
    def has_indicator(self) -> bool:
        """True for a part of a composite."""
        return self.indicator is not None or self.indicator_ref is not None

    @property
    def slice_s(self) -> int | None:
        """The length of a time slice; None where none is said."""
        return None if self.time_slice_window is None else parse_duration(self.time_slice_window)


class NoDataSpec(Part):
    action: Literal["alert", "ignore", "bad"] = Field(
        "ignore",
        description="alert: tell somebody. ignore: tell nobody. bad: silent minutes count as bad. The state is no data "
        "in each case.",
    )
    after: Annotated[str, duration_field(60, 31 * _DAY_S, "1m to 31d, such as 5m")] | None = Field(
        None, description="How long it must have been silent; else the server's setting no_data_after_s."
    )


class CompositeSpec(Part):
    all_of: bool | None = Field(
        None,
        description="true: a minute or slice is good where every part met its own target. false: it is as good as the "
        "weighted mean of its parts. Left out: true with Timeslices, as OpenSLO has it.",
    )
    target: Target | None = Field(
        None,
        description="The composite's target; else the weighted mean of its parts', with allOf the lowest of them.",
    )
    target_percent: TargetPercent | None = Field(None, description="The same in percent.")

    @model_validator(mode="after")
    def _one_target(self) -> CompositeSpec:
        if self.target is not None and self.target_percent is not None:
            raise ValueError("target and targetPercent exclude each other; keep one")
        return self


def _label(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError(f"{value[:80]!r} is no label; write one such as region")
    return value


class SloSpec(Part):
    description: Description = ""
    service: Name = Field(description="The service that this is about: its `service.name` in telemetry.")
    indicator: Indicator | None = Field(None, description="What is counted; write this or indicatorRef.")
    indicator_ref: Name | None = Field(None, description="The SLI that says what is counted.")
    time_window: Annotated[list[TimeWindow], Field(min_length=1, max_length=1)] = Field(
        default_factory=lambda: [TimeWindow(duration="30d", isRolling=True)],
        description="Exactly one; 30 days that roll if left out.",
    )
    budgeting_method: Literal["Occurrences", "Timeslices", "RatioTimeslices"] = Field(
        "Occurrences",
        description="Occurrences: every event counts the same. Timeslices: every stretch of time does, good or bad. "
        "RatioTimeslices: every stretch of time does, by its ratio.",
    )
    objectives: Annotated[list[ObjectiveEntry], Field(min_length=1, max_length=_ENTRIES_MAX)] = Field(
        description="One or several targets."
    )
    alert_policies: Annotated[list[PolicyEntry], Field(max_length=20)] | None = Field(
        None, description="When somebody is told. Left out: the published burn-rate tables. Empty: never."
    )
    no_data: NoDataSpec | None = Field(None, description="What silence means. Setpoint's.")
    low_traffic: LowTrafficSpec | None = Field(
        None, description="How much must have happened before an alert may fire. Setpoint's."
    )
    group_by: (
        Annotated[
            list[Annotated[str, Field(max_length=200), AfterValidator(_label)]],
            Field(min_length=1, max_length=5),
        ]
        | None
    ) = Field(
        None,
        description="One objective for each value of these labels: of series; of spans service, operation, kind, "
        "attributes and resource.KEY; of SQL further columns. Setpoint's.",
    )
    composite: CompositeSpec | None = Field(
        None, description="How parts with indicators of their own make one objective. Setpoint's."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> SloSpec:
        faults = [*self._indicator_faults(), *self._name_faults(), *self._composite_faults()]
        if not faults:
            faults = [*self._slice_faults(), *self._known_entry_faults()]
        if faults:
            raise errors_at(self, faults)
        return self

    @property
    def is_composite(self) -> bool:
        """True where several entries have indicators of their own."""
        return len(self.objectives) > 1 and any(entry.has_indicator for entry in self.objectives)

    @property
    def is_all_of(self) -> bool:
        """True for a composite that is good where all of its parts are."""
        said = self.composite.all_of if self.composite is not None else None
        return self.budgeting_method == "Timeslices" if said is None else said

    def indicators(self) -> Iterator[tuple[tuple[str | int, ...], Indicator | None, str | None]]:
        """Every indicator: its place, itself when it is written here, else the name of the SLI."""
        if self.indicator is not None or self.indicator_ref is not None:
            yield (), self.indicator, self.indicator_ref
        for number, entry in enumerate(self.objectives):
            if entry.has_indicator:
                yield ("objectives", number), entry.indicator, entry.indicator_ref

    def _indicator_faults(self) -> Iterator[Fault]:
        if self.indicator is not None and self.indicator_ref is not None:
            yield ("indicatorRef",), "indicator and indicatorRef exclude each other; keep one"
        is_common = self.indicator is not None or self.indicator_ref is not None
        owners = [entry.has_indicator for entry in self.objectives]
        if not is_common and not any(owners):
            yield (), "says not what is counted; write an indicator, or indicatorRef: NAME of an SLI"
        for number, has_own in enumerate(owners):
            place = ("objectives", number)
            if has_own and is_common:
                name = "indicator" if self.objectives[number].indicator is not None else "indicatorRef"
                yield (
                    (*place, name),
                    "the SLO has an indicator for all objectives; keep that one, or give each objective its own "
                    "(a composite)",
                )
            elif any(owners) and not has_own and not is_common:
                yield (
                    place,
                    "has no indicator, and the others have one of their own; write indicator or indicatorRef",
                )

    def _name_faults(self) -> Iterator[Fault]:
        names = entry_names([entry.display_name for entry in self.objectives])
        for name, count in Counter(names).items():
            if count > 1 and len(names) > 1:
                number = len(names) - 1 - names[::-1].index(name)
                sentence = f"two objectives would have the name '{name}'; give each a displayName of its own"
                yield ("objectives", number, "displayName"), sentence

    def _composite_faults(self) -> Iterator[Fault]:
        if self.composite is not None and not self.is_composite:
            sentence = (
                "a composite has several objectives with indicators of their own; write them, or leave it out"
            )
            yield ("composite",), sentence
        for number, entry in enumerate(self.objectives):
            place = ("objectives", number, "compositeWeight")
            if entry.composite_weight is None:
                continue
            if not self.is_composite:
                yield (
                    place,
                    "weighs the parts of a composite; give each of several objectives an indicator of its own, or "
                    "leave it out",
                )
            elif self.is_all_of:
                yield (
                    place,
                    "weighs nothing where all parts must be good (Timeslices, or allOf); leave it out, or write "
                    "composite: {allOf: false}",
                )
        if self.group_by is not None and len(set(self.group_by)) < len(self.group_by):
            yield ("groupBy",), "a label is given twice; keep one"

    def _slice_faults(self) -> Iterator[Fault]:
        method = self.budgeting_method
        for number, entry in enumerate(self.objectives):
            place = ("objectives", number)
            if method != "Timeslices" and entry.time_slice_target is not None:
                yield (
                    (*place, "timeSliceTarget"),
                    f"belongs to budgetingMethod: Timeslices, and this is {method}; leave it out, or write that method",
                )
            if method == "Occurrences" and entry.time_slice_window is not None:
                yield (
                    (*place, "timeSliceWindow"),
                    "belongs to budgetingMethod: Timeslices or RatioTimeslices, and this is Occurrences; leave it out, "
                    "or write such a method",
                )
            if method == "Timeslices" and entry.time_slice_target is None:
                yield place, "timeSliceTarget is missing; write which ratio makes a slice good, such as 0.95"
            if method != "Occurrences" and entry.slice_s is None:
                yield place, "timeSliceWindow is missing; write the length of a slice, such as 1m"
            elif entry.slice_s is not None and entry.slice_s > self.time_window[0].longest_s:
                yield (
                    (*place, "timeSliceWindow"),
                    f"a slice of {entry.time_slice_window} is longer than the window of "
                    f"{self.time_window[0].duration}; write a shorter one",
                )
        lengths = {entry.slice_s for entry in self.objectives}
        if self.is_composite and len(lengths) > 1 and method != "Occurrences":
            sentence = (
                "the parts of a composite have slices of one length; write the same timeSliceWindow for each"
            )
            yield ("objectives",), sentence

    def _known_entry_faults(self) -> Iterator[Fault]:
        """What is wrong with entries whose indicator is written here."""
        told: set[Fault] = set()
        for number, entry in enumerate(self.objectives):
            indicator = entry.indicator if entry.has_indicator else self.indicator
            if indicator is not None:
                for place, sentence in entry_faults(self, entry, indicator.spec):
                    fault = (place if place[:1] == ("groupBy",) else ("objectives", number, *place)), sentence
                    if fault not in told:
                        told.add(fault)
                        yield fault


def entry_faults(slo: SloSpec, entry: ObjectiveEntry, indicator: IndicatorSpec) -> Iterator[Fault]:
    """What does not fit between an objective and its indicator; places are below the entry (or groupBy)."""
    if indicator.is_threshold:
        missing = [name for name, value in (("op", entry.op), ("value", entry.value)) if value is None]
        if missing:
            words = f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
            yield (
                (),
                f"{words}; the indicator is a thresholdMetric, write which value is good, such as op: lte and value: "
                "0.3",
            )
    else:
        for name, value in (("op", entry.op), ("value", entry.value)):
            if value is not None:
                yield (name,), _RATIO_HAS_NO
    if slo.group_by is not None:
        engine, texts = _engine_of(indicator)
        for number, label in enumerate(slo.group_by):
            if fault := label_fault(label, engine, texts):
                yield ("groupBy", number), fault


def _engine_of(indicator: IndicatorSpec) -> tuple[str, list[str]]:
    """The engine of an indicator, and its queries."""
    sources = [source for _, source in indicator.sources()]
    return sources[0].engine, [source.text for source in sources]


class Slo(Part):
    """A service level objective."""

    api_version: Literal["openslo/v1"] = API_VERSION
    kind: Literal["SLO"] = "SLO"
    metadata: OpenSloMetadata
    spec: SloSpec

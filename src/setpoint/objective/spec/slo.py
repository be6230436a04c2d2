"""The resource kind `SLO` of openslo/v1, as a user writes it.

`resource` validates documents with these models and turns a pydantic `loc` into a line, so every check raises
at the field that has to change. What OpenSLO allows and Setpoint cannot keep yet is refused with a sentence
that says what to write; an SLO that is accepted is an SLO that is kept. The whole document is one model
(`apiVersion` to `spec`).

An SLO here has one objective, an inline indicator with a `ratioMetric` of Prometheus queries, one rolling
window, and `budgetingMethod: Occurrences` (also when it is left out, as in OpenSLO's own README).
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from setpoint.errors import InvalidInput
from setpoint.objective.duration import parse_duration
from setpoint.objective.from_promql import refuse_ranges, refuse_unparsable
from setpoint.objective.model import Objective
from setpoint.objective.spec.fields import API_VERSION
from setpoint.resource import Metadata, Part

__all__ = ["Slo"]

_SHORTEST_WINDOW_S, _LONGEST_WINDOW_S = 300, 366 * 86_400
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)


def _error_at(value: Any, place: tuple[str, ...], sentence: str) -> ValidationError:
    """An error at `place` below the model that is being validated, to be raised in its validator."""
    detail = InitErrorDetails(type="value_error", loc=place, input=value, ctx={"error": ValueError(sentence)})
    return ValidationError.from_exception_data("document", [detail])


def _refused(sentence: str) -> BeforeValidator:
    """A field of OpenSLO that is known and not kept yet; empty values are let through."""

    def check(value: Any) -> None:
        if value not in (None, [], {}):
            raise ValueError(sentence)

    return BeforeValidator(check)


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"'{value}' is no name; write up to 63 lower-case letters, digits and '-', such as checkout"
        )
    return value


def _query(value: str) -> str:
    try:
        refuse_unparsable(value)
    except InvalidInput as error:
        raise ValueError(error.message) from error
    return value


def _duration(value: str) -> str:
    seconds = parse_duration(value)
    if value.endswith("s"):
        raise ValueError(f"'{value}' is in seconds, which OpenSLO does not have; write minutes, such as 5m")
    if not _SHORTEST_WINDOW_S <= seconds <= _LONGEST_WINDOW_S:
        raise ValueError(f"a window of {value} is not kept; write 5m to 366d, such as 30d")
    return value


def _target(value: Decimal) -> Decimal:
    if 0 < value <= 1 and float(value) == 1:
        raise ValueError(
            "a target of 100 % leaves no error budget: the first failure would spend more than all of it, "
            "and no decision could rest on it; write the most that users would notice, such as 0.999"
        )
    if not 0 < value < 1:
        hint = f", or targetPercent: {value}" if 1 < value < 100 else ""
        raise ValueError(
            f"{value} is no ratio of events; write a number between 0 and 1, such as 0.999{hint}"
        )
    return value


def _target_percent(value: Decimal) -> Decimal:
    if not 0 < value <= 100:
        raise ValueError(
            f"{value} is no percentage of events; write a number between 0 and 100, such as 99.9"
        )
    _target(value / 100)
    return value


def _decimal(value: Any) -> Any:
    """A YAML number as the decimal number that was written."""
    try:
        return None if value is None else Decimal(str(value))
    except InvalidOperation as error:
        raise ValueError(f"'{value}' is no number; write one, such as 0.999") from error


Name = Annotated[str, AfterValidator(_name)]
Query = Annotated[str, AfterValidator(_query)]
_Number = BeforeValidator(_decimal)
_NOT_KEPT: Any = Field(None, description="Of OpenSLO, not kept yet: refused with what to write instead.")


class _MetricSpec(Part):
    query: Query = Field(description="PromQL that yields one series: the number of events, or their counter.")


def _prometheus(value: Any) -> Any:
    return "Prometheus" if isinstance(value, str) and value.lower() == "prometheus" else value


class _MetricSource(Part):
    type: Annotated[Literal["Prometheus"], BeforeValidator(_prometheus)] = "Prometheus"
    spec: _MetricSpec
    metric_source_ref: Name | None = Field(
        None,
        description="The DataSource that the query's samples are read from; without it Setpoint's own telemetry.",
    )


class _Metric(Part):
    metric_source: _MetricSource


class _RatioMetric(Part):
    counter: bool = Field(
        description="true: the queries name counters that only grow, and Setpoint takes their exact increase. "
        "false: their value at the end of a minute is the number of events in that minute."
    )
    good: _Metric | None = Field(None, description="Counts good events; write this or `bad`.")
    bad: _Metric | None = Field(None, description="Counts bad events; write this or `good`.")
    total: _Metric = Field(description="Counts all events; without samples of it there is no data.")
    raw: Annotated[None, _refused("a ready-made ratio cannot be counted; write good (or bad) and total")] = (
        _NOT_KEPT
    )
    raw_type: Annotated[
        None, _refused("belongs to raw, which cannot be counted; write good (or bad) and total")
    ] = _NOT_KEPT

    @model_validator(mode="before")
    @classmethod
    def _counter_is_said(cls, data: Any) -> Any:
        known = {field.alias or name for name, field in cls.model_fields.items()}
        if isinstance(data, dict) and "counter" not in data and known.issuperset(data):  # else it is misspelt
            raise ValueError(
                "counter is missing; write counter: true where the queries name counters that only grow, "
                "counter: false where their value is the number of events in the last minute"
            )
        return data

    @model_validator(mode="after")
    def _queries_fit(self) -> _RatioMetric:
        if (self.good is None) == (self.bad is None):
            raise ValueError(
                "good and bad exclude each other; keep one" if self.good else "write good or bad beside total"
            )
        self._refuse_two_sources()
        if not self.counter:
            return self
        for role in ("good", "bad", "total"):
            metric: _Metric | None = getattr(self, role)
            if metric is not None:
                query = metric.metric_source.spec.query
                try:
                    refuse_ranges(query)
                except InvalidInput as error:
                    raise _error_at(query, (role, "metricSource", "spec", "query"), error.message) from error
        return self

    @property
    def source(self) -> str:
        """The name of the data source; empty for Setpoint's own telemetry."""
        return self.total.metric_source.metric_source_ref or ""

    def _refuse_two_sources(self) -> None:
        for role in ("good", "bad"):
            metric: _Metric | None = getattr(self, role)
            if metric is not None and (metric.metric_source.metric_source_ref or "") != self.source:
                raise _error_at(
                    metric.metric_source.metric_source_ref,
                    (role, "metricSource", "metricSourceRef"),
                    "both queries must be read from one data source, so that their minutes are the same; write "
                    "the same metricSourceRef as in total",
                )


class _IndicatorSpec(Part):
    description: str = ""
    ratio_metric: _RatioMetric
    threshold_metric: Annotated[
        None, _refused("thresholds are not kept yet; count good and total events with a ratioMetric")
    ] = _NOT_KEPT


class _IndicatorMetadata(Part):
    name: str = ""
    display_name: str = ""
    labels: dict[str, str | list[str]] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class _Indicator(Part):
    metadata: _IndicatorMetadata | None = None
    spec: _IndicatorSpec


class _TimeWindow(Part):
    duration: Annotated[str, AfterValidator(_duration)] = Field(
        description="A whole number and one of m, h, d, w, M (30 d), Q (90 d), Y (365 d); 5m to 366d."
    )
    is_rolling: bool = Field(False, description="Must be true: only rolling windows are kept so far.")
    calendar: Annotated[
        None, _refused("calendar windows are not kept yet; leave calendar out and write isRolling: true")
    ] = _NOT_KEPT

    @model_validator(mode="after")
    def _rolls(self) -> _TimeWindow:
        if not self.is_rolling:
            sentence = "only rolling windows are kept so far; write isRolling: true"
            raise _error_at(self.is_rolling, ("isRolling",), sentence)
        return self


_COMPOSITE = (
    "objectives over several indicators are not kept yet; write one indicator in spec, and an SLO for each"
)
_SLICES = "time slices are not kept yet; leave it out, events are counted (budgetingMethod: Occurrences)"
_INLINE = "separate SLI documents are not read yet; write the indicator inside the SLO"
_THRESHOLD = "belongs to a thresholdMetric; leave it out beside a ratioMetric"


class _ObjectiveSpec(Part):
    display_name: str = ""
    target: Annotated[Decimal, _Number, AfterValidator(_target)] | None = Field(
        None, description="The ratio of good events that is promised, between 0 and 1, such as 0.999."
    )
    target_percent: Annotated[Decimal, _Number, AfterValidator(_target_percent)] | None = Field(
        None, description="The same in percent, such as 99.9; write one of the two."
    )
    op: Annotated[None, _refused(_THRESHOLD)] = _NOT_KEPT
    value: Annotated[None, _refused(_THRESHOLD)] = _NOT_KEPT
    time_slice_target: Annotated[None, _refused(_SLICES)] = _NOT_KEPT
    time_slice_window: Annotated[None, _refused(_SLICES)] = _NOT_KEPT
    indicator: Annotated[None, _refused(_COMPOSITE)] = _NOT_KEPT
    indicator_ref: Annotated[None, _refused(_COMPOSITE)] = _NOT_KEPT
    composite_weight: Annotated[None, _refused(_COMPOSITE)] = _NOT_KEPT

    @model_validator(mode="after")
    def _one_target(self) -> _ObjectiveSpec:
        if self.target is None and self.target_percent is None:
            raise ValueError("write a target, such as target: 0.999 or targetPercent: 99.9")
        if self.target is not None and self.target_percent is not None:
            raise ValueError("target and targetPercent exclude each other; keep one")
        return self

    @property
    def ratio(self) -> float:
        """The target between 0 and 1."""
        return float(self.target if self.target is not None else (self.target_percent or 0) / Decimal(100))


def _occurrences(value: Any) -> Any:
    if value in ("Timeslices", "RatioTimeslices"):
        raise ValueError(f"{value} is not kept yet; write budgetingMethod: Occurrences, which counts events")
    return value


class _SloSpec(Part):
    description: Annotated[str, Field(max_length=1050)] = ""
    service: Name = Field(description="The service that this is about: its `service.name` in telemetry.")
    indicator: _Indicator = Field(description="What is counted.")
    time_window: list[_TimeWindow] = Field(description="Exactly one.")
    budgeting_method: Annotated[Literal["Occurrences"], BeforeValidator(_occurrences)] = Field(
        "Occurrences", description="Occurrences: every event counts the same."
    )
    objectives: list[_ObjectiveSpec] = Field(description="Exactly one.")
    indicator_ref: Annotated[None, _refused(_INLINE)] = _NOT_KEPT
    alert_policies: Annotated[
        None,
        _refused(
            "alert policies are not kept yet; leave them out, burn rates are measured for every objective"
        ),
    ] = _NOT_KEPT

    @model_validator(mode="before")
    @classmethod
    def _indicator_is_inline(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("indicatorRef") and "indicator" not in data:
            raise _error_at(data, ("indicatorRef",), _INLINE)
        return data

    @model_validator(mode="after")
    def _exactly_one(self) -> _SloSpec:
        if len(self.time_window) != 1:
            sentence = "write exactly one window, such as [{duration: 30d, isRolling: true}]"
            raise _error_at(self.time_window, ("timeWindow",), sentence)
        if len(self.objectives) != 1:
            sentence = "write exactly one objective, and a further SLO for each other one"
            raise _error_at(self.objectives, ("objectives",), sentence)
        return self


class Slo(Part):
    """A service level objective."""

    api_version: Literal["openslo/v1"] = API_VERSION
    kind: Literal["SLO"] = "SLO"
    metadata: Metadata
    spec: _SloSpec

    def objective(self) -> Objective:
        """The objective that this document declares."""
        spec, metric = self.spec, self.spec.indicator.spec.ratio_metric
        return Objective(
            name=self.metadata.name,
            service=spec.service,
            target=spec.objectives[0].ratio,
            window_s=parse_duration(spec.time_window[0].duration),
            total_query=metric.total.metric_source.spec.query,
            good_query=metric.good.metric_source.spec.query if metric.good else None,
            bad_query=metric.bad.metric_source.spec.query if metric.bad else None,
            is_counter=metric.counter,
            display_name=self.metadata.display_name,
            description=spec.description,
            source=metric.source,
            labels={
                key: (values,) if isinstance(values, str) else tuple(values)
                for key, values in self.metadata.labels.items()
            },
        )

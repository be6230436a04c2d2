"""What is counted: the resource kind `SLI`, and the same inside an SLO.

A `ratioMetric` counts events (good or bad, and all of them) or reads a ready-made ratio (`raw`); a
`thresholdMetric` gives a value that an objective's `op` and `value` judge.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field, model_validator

from setpoint.errors import InvalidInput
from setpoint.objective.from_promql import refuse_ranges
from setpoint.objective.spec.fields import (
    API_VERSION,
    Description,
    Fault,
    InlineMetadata,
    OpenSloMetadata,
    errors_at,
)
from setpoint.objective.spec.source import Metric, MetricSource
from setpoint.resource import Part

__all__ = ["Indicator", "IndicatorSpec", "RatioMetric", "Sli"]

_COUNTER_MISSING = (
    "counter is missing; write counter: true where the queries name counters that only grow, "
    "counter: false where their value is the number of events in the last minute"
)
_TWO_SOURCES = (
    "both queries must be read from one data source, so that their minutes are the same; write "
    "the same metricSourceRef as in total"
)


class RatioMetric(Part):
    counter: bool | None = Field(
        None,
        description="true: the queries name counters that only grow, and Setpoint takes their exact increase. "
        "false: their value at the end of a minute is the number of events in that minute. Needed with PromQL; "
        "sql and spans count events themselves, raw is no count.",
    )
    good: Metric | None = Field(None, description="Counts good events; write this or `bad`.")
    bad: Metric | None = Field(None, description="Counts bad events; write this or `good`.")
    total: Metric | None = Field(
        None, description="Counts all events; without samples of it there is no data."
    )
    raw: Metric | None = Field(
        None,
        description="A ready-made ratio between 0 and 1, instead of good, bad and total; each minute with a value is "
        "one event. Counts are better: a ratio does not know how many events it stands for.",
    )
    raw_type: Literal["success", "failure"] | None = Field(
        None, description="success: raw is the ratio of good events. failure: of bad ones."
    )

    @model_validator(mode="after")
    def _fits(self) -> RatioMetric:
        faults = list(self._raw_faults() if self.raw is not None else self._ratio_faults())
        if faults:
            raise errors_at(self, faults)
        return self

    def _raw_faults(self) -> Iterator[Fault]:
        for role in ("good", "bad", "total"):
            if getattr(self, role) is not None:
                yield (role,), f"{role} and raw exclude each other; keep raw, or good (or bad) and total"
        if self.raw_type is None:
            yield (), "rawType is missing; write success where raw is the ratio of good events, else failure"
        if self.raw is not None and self.raw.metric_source.engine == "spans":
            yield ("raw", "metricSource", "type"), "spans are counted; write good (or bad) and total"

    def _ratio_faults(self) -> Iterator[Fault]:
        if self.raw_type is not None:
            yield ("rawType",), "belongs to raw; leave it out beside good or bad and total"
        if self.total is None:
            yield (
                (),
                "total is missing; write good or bad, and total (or raw and rawType for a ready-made ratio)",
            )
            return
        if (self.good is None) == (self.bad is None):
            both = self.good is not None
            yield (
                (),
                "good and bad exclude each other; keep one" if both else "write good or bad beside total",
            )
            return
        role, part = ("good", self.good) if self.good is not None else ("bad", self.bad)
        assert part is not None
        total, source = self.total.metric_source, part.metric_source
        if source.engine != total.engine:
            sentence = (
                f"total is of type {total.type}; write the same type for both, so that they count alike"
            )
            yield (role, "metricSource", "type"), sentence
        elif source.source != total.source:
            yield (role, "metricSource", "metricSourceRef"), _TWO_SOURCES
        elif total.engine != "promql":
            if self.counter:
                yield ("counter",), f"{total.type} counts events, it reads no counter; leave counter out"
        elif self.counter is None:
            yield (), _COUNTER_MISSING
        elif self.counter:
            for name, text in ((role, source.text), ("total", total.text)):
                try:
                    refuse_ranges(text)
                except InvalidInput as error:
                    yield (name, "metricSource", "spec", "query"), error.message


class IndicatorSpec(Part):
    description: Description = ""
    ratio_metric: RatioMetric | None = Field(
        None, description="Good and all events, or a ready-made ratio; write this or thresholdMetric."
    )
    threshold_metric: Metric | None = Field(
        None,
        description="A value, judged by the objective's op and value; each minute with a value is one event.",
    )

    @model_validator(mode="after")
    def _one_metric(self) -> IndicatorSpec:
        if (self.ratio_metric is None) == (self.threshold_metric is None):
            both = self.ratio_metric is not None
            raise ValueError(
                "ratioMetric and thresholdMetric exclude each other; keep one"
                if both
                else "write a ratioMetric (good or bad, and total) or a thresholdMetric"
            )
        if self.threshold_metric is not None and self.threshold_metric.metric_source.engine == "spans":
            sentence = "spans are counted; write a ratioMetric whose good has maxDurationMs, and total"
            raise errors_at(self, [(("thresholdMetric", "metricSource", "type"), sentence)])
        return self

    @property
    def is_threshold(self) -> bool:
        """True where an objective needs op and value."""
        return self.threshold_metric is not None

    def sources(self) -> Iterator[tuple[tuple[str, ...], MetricSource]]:
        """Every metric source, with its place in this spec."""
        if self.threshold_metric is not None:
            yield ("thresholdMetric", "metricSource"), self.threshold_metric.metric_source
        if self.ratio_metric is not None:
            for role in ("good", "bad", "total", "raw"):
                metric: Metric | None = getattr(self.ratio_metric, role)
                if metric is not None:
                    yield ("ratioMetric", role, "metricSource"), metric.metric_source


class Indicator(Part):
    """An SLI inside an SLO."""

    metadata: InlineMetadata | None = None
    spec: IndicatorSpec


class Sli(Part):
    """A service level indicator, for SLOs that name it as `indicatorRef`."""

    api_version: Literal["openslo/v1"] = API_VERSION
    kind: Literal["SLI"] = "SLI"
    metadata: OpenSloMetadata
    spec: IndicatorSpec

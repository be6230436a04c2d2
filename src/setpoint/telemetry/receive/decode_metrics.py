"""OTLP metrics to a batch of Prometheus series and samples.

The receiver hands every metrics request to one `MetricDecoder`. What it does per point is small, because
the labels and fingerprints of a series are computed once and found again by the bytes of the point's
attributes; the same series come back every few seconds. Identity and shape of a series follow Prometheus's
own OTLP endpoint (its storage/remote/otlptranslator/prometheusremotewrite), and so does the zero at a start
time (`start_times`).
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from setpoint.clock import Clock
from setpoint.telemetry.model import Labels, MetricBatch, Series, fingerprint
from setpoint.telemetry.receive.attributes import Resource, value_text
from setpoint.telemetry.receive.limits import MAX_ATTRIBUTES
from setpoint.telemetry.receive.outcome import SAMPLE_RETENTION_S, Bounds, Decoded, Rejections
from setpoint.telemetry.receive.start_times import StartTimes
from setpoint.telemetry.receive.translate import (
    Kind,
    bound_text,
    label_name,
    merge_labels,
    metric_name,
    unit_name,
)

__all__ = ["STALE", "MetricDecoder"]

STALE: float = struct.unpack("<d", (0x7FF0000000000002).to_bytes(8, "little"))[0]
"""Prometheus's stale marker: the NaN that says a series has ended."""

_NO_RECORDED_VALUE = 1
_CUMULATIVE, _DELTA = 2, 1
_IDENTIFYING = ("service.name", "service.namespace", "service.instance.id")
_PROMOTED = {
    "service.name": "service_name",
    "service.version": "service_version",
    "deployment.environment.name": "deployment_environment_name",
}
_USE_CUMULATIVE = (
    "delta temporality is not supported; set "
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative in the sender"
)
_USE_EXPLICIT = (
    "exponential histograms are not supported; set "
    "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION=explicit_bucket_histogram in the sender"
)


@dataclass(slots=True)
class _Family:
    """One metric of one resource: what its series share, and the series already made, by the bytes of their
    points.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    scope: str
    resource: Resource
    points: dict[Any, tuple[Series, ...]] = field(default_factory=dict)

    def series(self, labels: Labels, suffix: str = "", **extra: str) -> Series:
        named = {**labels, **extra, "__name__": self.name + suffix}
        named = {name: value for name, value in named.items() if value}
        kind = "gauge" if self.kind == "updown" else self.kind
        return Series(
            fingerprint(named),
            named,
            self.resource.service,
            self.resource.attributes,
            self.scope,
            kind,
            self.unit,
            self.help,
        )


@dataclass(slots=True)
class _Draft:
    """The batch under construction; `starts` is what to remember of cumulative series: {fingerprint:
    (start_ns, ms)}.
    """

    bounds: Bounds
    rejections: Rejections = field(default_factory=Rejections)
    series: list[Series] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    series_index: list[int] = field(default_factory=list)
    timestamps_ms: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    starts: dict[int, tuple[int, int]] = field(default_factory=dict)
    points: int = 0
    newest_ms: int = 0

    def add(self, series: Series, at_ms: int, value: float) -> None:
        place = self.places.get(series.fingerprint)
        if place is None:
            place = self.places[series.fingerprint] = len(self.series)
            self.series.append(series)
        self.series_index.append(place)
        self.timestamps_ms.append(at_ms)
        self.values.append(value)

    def batch(self) -> MetricBatch:
        return MetricBatch(
            self.series,
            np.array(self.series_index, np.int32),
            np.array(self.timestamps_ms, np.int64),
            np.array(self.values, np.float64),
        )


class MetricDecoder:
    """Decodes `ExportMetricsServiceRequest` messages; thread-safe. Remembers the series of `cache_limit`
    points.
    """

    def __init__(
        self, clock: Clock, start_times: StartTimes | None = None, cache_limit: int = 50_000
    ) -> None:
        self._clock = clock
        self._start_times = start_times or StartTimes()
        self._cache_limit = cache_limit
        self._families: dict[tuple[bytes, str, str, str, str, str], _Family] = {}
        self._cached = 0

    def decode(self, request: Any) -> Decoded:
        """The batch of a request. Each rejected data point counts, with its reason, in `rejections`."""
        draft = _Draft(Bounds.at(self._clock.now_ms(), SAMPLE_RETENTION_S))
        if self._cached > self._cache_limit:
            self._families, self._cached = {}, 0
        for resource_metrics in request.resource_metrics:
            resource = Resource.of(resource_metrics.resource)
            identity = resource_metrics.resource.SerializeToString()
            draft.newest_ms = 0
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    self._metric(draft, metric, resource, identity, scope_metrics.scope.name)
            if draft.newest_ms:
                self._target_info(draft, resource, identity)
        remember = partial(self._start_times.remember, draft.starts)
        return Decoded(draft.batch(), draft.points, draft.rejections, remember)

    def _metric(self, draft: _Draft, metric: Any, resource: Resource, identity: bytes, scope: str) -> None:
        shape = metric.WhichOneof("data")
        if shape is None:
            return
        data = getattr(metric, shape)
        reason = _unsupported(shape, data)
        if reason is not None:
            draft.rejections.add(f"{reason} (metric '{metric.name}')", len(data.data_points))
            return
        kind: Kind = shape if shape != "sum" else "counter" if data.is_monotonic else "updown"
        key = (identity, scope, metric.name, metric.unit, metric.description, kind)
        family = self._families.get(key)
        if family is None:
            try:
                name = metric_name(metric.name, metric.unit, kind)
            except ValueError as error:
                draft.rejections.add(str(error), len(data.data_points))
                return
            family = _Family(name, kind, unit_name(metric.unit), metric.description, scope, resource)
            self._families[key] = family
            self._cached += 1
        _POINTS[shape](self, draft, family, data.data_points)

    def _number_points(self, draft: _Draft, family: _Family, points: Iterable[Any]) -> None:
        is_counter = family.kind == "counter"
        for point in points:
            if not self._is_fit(draft, family, point):
                continue
            key = tuple([attribute.SerializeToString() for attribute in point.attributes])
            series = family.points.get(key) or self._new(draft, family, key, point.attributes, _one_series)
            if series is None:
                continue
            which = point.WhichOneof("value")
            if point.flags & _NO_RECORDED_VALUE:
                value = STALE
            elif which is None:
                draft.rejections.add(f"the data point has no value (metric '{family.name}')")
                continue
            else:
                value = point.as_double if which == "as_double" else float(point.as_int)
            self._emit(draft, series, (value,), point, cumulative=series if is_counter else ())

    def _histogram_points(self, draft: _Draft, family: _Family, points: Iterable[Any]) -> None:
        for point in points:
            if not self._is_fit(draft, family, point):
                continue
            counts = point.bucket_counts
            bounds = tuple(point.explicit_bounds) if counts else ()
            if counts and len(counts) != len(bounds) + 1:
                draft.rejections.add(
                    f"a histogram needs one bucket more than bounds (metric '{family.name}': "
                    f"{len(counts)} buckets, {len(bounds)} bounds)"
                )
                continue
            key = (bounds, *[attribute.SerializeToString() for attribute in point.attributes])
            make = partial(_histogram_series, bounds=bounds)
            series = family.points.get(key) or self._new(draft, family, key, point.attributes, make)
            if series is None:
                continue
            finite = len(series) - 3  # a bound of +Inf gets no series of its own
            cumulated = [float(total) for total in itertools.accumulate(counts[:finite])]
            values = [*cumulated, float(point.count), float(point.count), point.sum]
            if not point.HasField("sum"):
                series = series[:-1]
            self._emit(draft, series, values, point, cumulative=series)

    def _summary_points(self, draft: _Draft, family: _Family, points: Iterable[Any]) -> None:
        for point in points:
            if not self._is_fit(draft, family, point):
                continue
            quantiles = tuple(item.quantile for item in point.quantile_values)
            key = (quantiles, *[attribute.SerializeToString() for attribute in point.attributes])
            make = partial(_summary_series, quantiles=quantiles)
            series = family.points.get(key) or self._new(draft, family, key, point.attributes, make)
            if series is None:
                continue
            values = [float(point.count), point.sum, *(item.value for item in point.quantile_values)]
            self._emit(draft, series, values, point, cumulative=series[:2])

    def _is_fit(self, draft: _Draft, family: _Family, point: Any) -> bool:
        at_ns = point.time_unix_nano
        if not draft.bounds.oldest_ns <= at_ns <= draft.bounds.newest_ns:
            draft.rejections.add(f"{draft.bounds.fault(at_ns)} (metric '{family.name}')")
            return False
        if len(point.attributes) > MAX_ATTRIBUTES:
            # Leaving some out, as spans and logs do, would make different series one.
            draft.rejections.add(f"more than {MAX_ATTRIBUTES} attributes (metric '{family.name}')")
            return False
        return True

    def _new(
        self, draft: _Draft, family: _Family, key: Any, attributes: Iterable[Any], make: _MakeSeries
    ) -> tuple[Series, ...] | None:
        try:
            series = make(family, _labels(family.resource, attributes))
        except ValueError as error:
            draft.rejections.add(f"{error} (metric '{family.name}')")
            return None
        family.points[key] = series
        self._cached += len(series)
        return series

    def _emit(
        self,
        draft: _Draft,
        series: Sequence[Series],
        values: Sequence[float],
        point: Any,
        cumulative: Sequence[Series],
    ) -> None:
        at_ns = point.time_unix_nano
        at_ms = at_ns // 1_000_000
        is_stale = point.flags & _NO_RECORDED_VALUE
        if cumulative and not is_stale:
            # The series of one point start together, so the first stands for all.
            first, start_ns = cumulative[0].fingerprint, point.start_time_unix_nano
            if draft.starts.get(first, (None,))[0] != start_ns:
                zero_ms = self._start_times.zero_ms(first, start_ns, at_ns, draft.bounds.now_ms)
                if zero_ms is not None:
                    for one in cumulative:
                        draft.add(one, zero_ms, 0.0)
            draft.starts[first] = (start_ns, at_ms)
        for one, value in zip(series, values, strict=False):
            draft.add(one, at_ms, STALE if is_stale else value)
        draft.points += 1
        draft.newest_ms = max(draft.newest_ms, at_ms)

    def _target_info(self, draft: _Draft, resource: Resource, identity: bytes) -> None:
        """One sample of `target_info`, which carries every resource attribute that does not identify the
        target.
        """
        key = (identity, "", "target_info", "", "", "info")
        family = self._families.get(key)
        if family is None:
            family = _Family("target_info", "gauge", "", "The resource that sends telemetry.", "", resource)
            self._families[key] = family
            family.points[()] = _info_series(family)
            self._cached += 1
        for series in family.points[()]:
            draft.add(series, draft.newest_ms, 1.0)


_MakeSeries = Callable[[_Family, dict[str, str]], tuple[Series, ...]]

_POINTS: dict[str, Callable[[MetricDecoder, _Draft, _Family, Iterable[Any]], None]] = {
    "gauge": MetricDecoder._number_points,
    "sum": MetricDecoder._number_points,
    "histogram": MetricDecoder._histogram_points,
    "summary": MetricDecoder._summary_points,
}


def _unsupported(shape: str, data: Any) -> str | None:
    if shape == "exponential_histogram":
        return _USE_EXPLICIT
    if shape in ("sum", "histogram") and data.aggregation_temporality != _CUMULATIVE:
        return (
            _USE_CUMULATIVE
            if data.aggregation_temporality == _DELTA
            else "the aggregation temporality is missing; send cumulative"
        )
    return None


def _labels(resource: Resource, attributes: Iterable[Any]) -> dict[str, str]:
    """A point's labels without its name. Raises ValueError when an attribute's key has no Prometheus name."""
    labels = merge_labels((attribute.key, value_text(attribute.value)) for attribute in attributes)
    for key, name in _PROMOTED.items():
        if key in resource.attributes:
            labels.setdefault(name, resource.attributes[key])
    return {**labels, **_target(resource)}


def _target(resource: Resource) -> dict[str, str]:
    name, namespace, instance = (resource.attributes.get(key, "") for key in _IDENTIFYING)
    target = {"job": f"{namespace}/{name}" if namespace and name else name, "instance": instance}
    return {label: value for label, value in target.items() if value}


def _one_series(family: _Family, labels: dict[str, str]) -> tuple[Series, ...]:
    return (family.series(labels),)


def _histogram_series(
    family: _Family, labels: dict[str, str], bounds: tuple[float, ...]
) -> tuple[Series, ...]:
    """Finite buckets in order, then +Inf, count and sum."""
    if any(not lower < upper for lower, upper in itertools.pairwise((float("-inf"), *bounds))):
        raise ValueError("the bounds of a histogram must ascend")
    texts = [bound_text(bound) for bound in bounds if bound != float("inf")]
    buckets = [family.series(labels, "_bucket", le=text) for text in [*texts, "+Inf"]]
    return (*buckets, family.series(labels, "_count"), family.series(labels, "_sum"))


def _summary_series(
    family: _Family, labels: dict[str, str], quantiles: tuple[float, ...]
) -> tuple[Series, ...]:
    """Count, sum, then the quantiles in order."""
    levels = [family.series(labels, quantile=bound_text(level)) for level in quantiles]
    return (family.series(labels, "_count"), family.series(labels, "_sum"), *levels)


def _info_series(family: _Family) -> tuple[Series, ...]:
    target = _target(family.resource)
    others = {key: text for key, text in family.resource.attributes.items() if key not in _IDENTIFYING}
    if not target or not others:
        return ()  # nothing to say, or nobody to say it of
    # An attribute whose key has no Prometheus name stays in the series' resource; only its label is left out.
    labels = merge_labels((key, text) for key, text in others.items() if _has_label_name(key))
    return (family.series({**labels, **target}),)


def _has_label_name(key: str) -> bool:
    try:
        label_name(key)
    except ValueError:
        return False
    return True

"""OTLP metrics by name: the labels and identities of series, decoded for the points that are new.

`decode_metrics` asks here for the series of points whose keys the series table does not know; everything that repeats
goes past this. Identity and shape of a series follow Prometheus's own OTLP endpoint (its
storage/remote/otlptranslator/prometheusremotewrite). What is remembered of resources and metrics only saves decoding
them again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.telemetry.model import Labels, Metadata, Series, fingerprint
from setpoint.telemetry.receive.attributes import Resource, value_text
from setpoint.telemetry.receive.translate import (
    Kind,
    bound_text,
    label_name,
    merge_labels,
    metric_name,
    unit_name,
)

__all__ = ["Family", "info_series", "point_series"]

_IDENTIFYING = ("service.name", "service.namespace", "service.instance.id")
_PROMOTED = {
    "service.name": "service_name",
    "service.version": "service_version",
    "deployment.environment.name": "deployment_environment_name",
}
_INFO_HELP = "The resource that sends telemetry."


@dataclass(frozen=True, slots=True)
class Family:
    """One metric of one resource: what its series share. `type` is in Prometheus's words."""

    name: str
    type: str
    unit: str
    help: str
    scope: str
    resource: Resource

    @classmethod
    def of(cls, metric: Any, kind: Kind, scope: str, resource: Resource) -> Family:
        """The family of a `Metric` message. Raises ValueError when nothing of its name is left."""
        name = metric_name(metric.name, metric.unit, kind)
        shown = "gauge" if kind == "updown" else kind
        return cls(name, shown, unit_name(metric.unit), metric.description, scope, resource)

    @property
    def metadata(self) -> Metadata:
        """What its sender says of it."""
        return Metadata(self.name, self.type, self.unit, self.help)

    def series(self, labels: Labels, suffix: str = "", **extra: str) -> Series:
        """One of its series: `labels` and `extra` without the empty ones, the name with `suffix`."""
        named = {**labels, **extra, "__name__": self.name + suffix}
        named = {name: value for name, value in named.items() if value}
        return Series(
            fingerprint(named),
            named,
            self.resource.service,
            self.resource.attributes,
            self.scope,
            self.type,
            self.unit,
            self.help,
        )


def point_series(family: Family, shape: str, point: Any) -> tuple[Series, ...]:
    """The series of a data point of `shape` (the name of the metric's data), in the order of `point_kernels`.

    Raises ValueError when an attribute's key has no Prometheus name or the bounds of a histogram do not ascend.
    """
    labels = _labels(family.resource, point.attributes)
    if shape == "histogram":
        return _histogram_series(family, labels, tuple(point.explicit_bounds) if point.bucket_counts else ())
    if shape == "exponential_histogram":
        return family.series(labels), family.series(labels, "_count"), family.series(labels, "_sum")
    if shape == "summary":
        return _summary_series(family, labels, [item.quantile for item in point.quantile_values])
    return (family.series(labels),)


def info_series(resource: Resource) -> Series | None:
    """The series `target_info`, which carries every resource attribute that does not identify the target; None where
    there is nothing to say, or nobody to say it of.
    """
    target = _target(resource)
    others = {key: text for key, text in resource.attributes.items() if key not in _IDENTIFYING}
    if not target or not others:
        return None
    # An attribute whose key has no Prometheus name stays in the series' resource; only its label is left out.
    labels = merge_labels((key, text) for key, text in others.items() if _has_label_name(key))
    family = Family("target_info", "gauge", "", _INFO_HELP, "", resource)
    return family.series({**labels, **target})


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


def _histogram_series(
    family: Family, labels: dict[str, str], bounds: tuple[float, ...]
) -> tuple[Series, ...]:
    """Finite buckets in order, then +Inf, count and sum."""
    if any(not lower < upper for lower, upper in itertools.pairwise((float("-inf"), *bounds))):
        raise ValueError("the bounds of a histogram must ascend")
    texts = [bound_text(bound) for bound in bounds if bound != float("inf")]
    buckets = [family.series(labels, "_bucket", le=text) for text in [*texts, "+Inf"]]
    return (*buckets, family.series(labels, "_count"), family.series(labels, "_sum"))


def _summary_series(family: Family, labels: dict[str, str], quantiles: Sequence[float]) -> tuple[Series, ...]:
    """Count, sum, then the quantiles in order."""
    levels = [family.series(labels, quantile=bound_text(level)) for level in quantiles]
    return (family.series(labels, "_count"), family.series(labels, "_sum"), *levels)


def _has_label_name(key: str) -> bool:
    try:
        label_name(key)
    except ValueError:
        return False
    return True

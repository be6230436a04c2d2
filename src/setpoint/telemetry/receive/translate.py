"""OpenTelemetry names, units and attributes as Prometheus spells them.

The metrics decoder calls this, so that a metric lands under the name that a Prometheus with its default
settings would give it (`UnderscoreEscapingWithSuffixes`), and queries and dashboards written for one work
on the other. The rules are those of prometheus/otlptranslator (metric_namer.go, unit_namer.go,
label_namer.go), with Prometheus's defaults for labels: `label_name_underscore_sanitization` and
`label_name_preserve_multiple_underscores`, both true.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from typing import Literal

__all__ = ["Kind", "bound_text", "label_name", "merge_labels", "metric_name", "unit_name"]

Kind = Literal["counter", "gauge", "histogram", "summary", "updown"]
"""What a metric is: `counter` is a monotonic sum, `updown` any other sum."""

_UNITS = {
    "d": "days", "h": "hours", "min": "minutes", "s": "seconds",
    "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds",
    "By": "bytes", "KiBy": "kibibytes", "MiBy": "mebibytes", "GiBy": "gibibytes", "TiBy": "tibibytes",
    "KBy": "kilobytes", "MBy": "megabytes", "GBy": "gigabytes", "TBy": "terabytes",
    "m": "meters", "V": "volts", "A": "amperes", "J": "joules", "W": "watts", "g": "grams",
    "Cel": "celsius", "Hz": "hertz", "1": "", "%": "percent",
}  # fmt: skip
_PER_UNITS = {
    "s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year",
}  # fmt: skip

_NOT_METRIC = re.compile(r"[^a-zA-Z0-9:]+")
_NOT_LABEL = re.compile(r"[^a-zA-Z0-9_]")


@lru_cache(maxsize=10_000)
def metric_name(name: str, unit: str, kind: Kind) -> str:
    """The Prometheus name of a metric, such as `http_server_request_duration_seconds`.

    Raises ValueError when nothing of the name is left.
    """
    tokens = [token for token in _NOT_METRIC.split(name) if token]
    main, per = _unit_suffixes(unit)
    main, per = _clean_unit(main), _clean_unit(per)
    if main in tokens:
        main = ""
    per = "" if per == "per_" else per.removesuffix("_")
    if per in tokens:
        per = ""
    if per:
        main = main.removesuffix("_")
    tokens += [token for token in (main, per) if token]
    if kind == "counter":
        tokens = [token for token in tokens if token != "total"] + ["total"]
    if unit == "1" and kind == "gauge":
        tokens = [token for token in tokens if token != "ratio"] + ["ratio"]
    joined = "_".join(tokens)
    if joined[:1].isdigit():
        joined = "_" + joined
    if not joined.strip("_"):
        raise ValueError(
            f"the metric name '{name}' has no letter or digit that Prometheus allows; rename the metric"
        )
    return joined


@lru_cache(maxsize=1_000)
def unit_name(unit: str) -> str:
    """The Prometheus spelling of a unit: `s` is `seconds`, `By/s` `bytes_per_second`, `1` and `{requests}`
    nothing.
    """
    main, per = _unit_suffixes(unit)
    joined = "_".join(part for part in (_clean_unit(main), _clean_unit(per)) if part)
    return joined.removeprefix("_").removesuffix("_")


@lru_cache(maxsize=10_000)
def label_name(attribute: str) -> str:
    """The Prometheus label of an attribute's key; raises ValueError when nothing but underscores is left."""
    name = _NOT_LABEL.sub("_", attribute)
    if name[:1].isdigit():
        name = "key_" + name
    elif name.startswith("_") and not name.startswith("__"):
        name = "key" + name
    if not name.strip("_"):
        raise ValueError(
            f"the attribute key '{attribute}' has no letter or digit that Prometheus allows; rename it"
        )
    return name


def merge_labels(attributes: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Labels of attribute pairs; values whose keys become the same label are joined with `;` in the order
    of their keys.

    Raises ValueError when a key has no Prometheus name.
    """
    labels: dict[str, str] = {}
    for key, value in sorted(attributes, key=lambda pair: pair[0]):
        name = label_name(key)
        labels[name] = f"{labels[name]};{value}" if name in labels else value
    return labels


@lru_cache(maxsize=10_000)
def bound_text(value: float) -> str:
    """A bucket bound or quantile as label text: the shortest decimal without exponent (`0.005`, `1`,
    `+Inf`).
    """
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def _unit_suffixes(unit: str) -> tuple[str, str]:
    main, _, per = (part.strip() for part in unit.partition("/"))
    # A unit in braces is an annotation ("{requests}"): it says what is counted and is no part of the name.
    main_suffix = "" if "{" in main or "}" in main else _UNITS.get(main, main)
    per_suffix = "" if "{" in per or "}" in per else _PER_UNITS.get(per, per)
    return main_suffix, f"per_{per_suffix}" if per_suffix else ""


def _clean_unit(unit: str) -> str:
    return _NOT_METRIC.sub("_", unit).removeprefix("_")

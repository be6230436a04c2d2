"""Classic histograms as native ones with custom buckets: what `load_with_nhcb` of a test script asks for.

Prometheus does the same at a scrape with `convert_classic_histograms_to_nhcb` (util/convertnhcb).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from setpoint.errors import InvalidInput
from setpoint.promql.from_telemetry import CUSTOM_SCHEMA, Labels, NativeHistogram
from setpoint.promql.model import NAME

__all__ = ["custom_bucket_series"]

Value = float | NativeHistogram


@dataclass(slots=True)
class _Classic:
    """One histogram at one instant: cumulative counts by upper bound."""

    buckets: dict[float, float] = field(default_factory=dict)
    count: float | None = None
    sum: float = 0.0


def custom_bucket_series(
    series: Iterable[tuple[Labels, Sequence[tuple[int, Value]]]],
) -> list[tuple[dict[str, str], list[tuple[int, NativeHistogram]]]]:
    """The histograms whose `_bucket`, `_count` and `_sum` are among `series`, (t in ms, value) each.

    Raises InvalidInput when counts fall from bucket to bucket, or contradict `_count`.
    """
    found: dict[tuple[tuple[str, str], ...], dict[int, _Classic]] = {}
    for labels, samples in series:
        name, _, suffix = labels.get(NAME, "").rpartition("_")
        bound = _bound(labels.get("le")) if suffix == "bucket" else 0.0
        if suffix not in ("bucket", "count", "sum") or math.isnan(bound):
            continue
        base = {key: value for key, value in labels.items() if key != "le"} | {NAME: name}
        instants = found.setdefault(tuple(sorted(base.items())), {})
        for at_ms, value in samples:
            if isinstance(value, NativeHistogram):
                continue
            classic = instants.setdefault(at_ms, _Classic())
            if suffix == "bucket":
                classic.buckets.setdefault(bound, value)
            elif suffix == "count":
                classic.count = value
            else:
                classic.sum = value
    return [
        (dict(key), [(at_ms, _converted(dict(key), instants[at_ms])) for at_ms in sorted(instants)])
        for key, instants in found.items()
    ]


def _bound(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _converted(labels: Labels, classic: _Classic) -> NativeHistogram:
    bounds = sorted(classic.buckets)
    cumulative = [classic.buckets[bound] for bound in bounds]
    count = classic.count if classic.count is not None else (cumulative[-1] if cumulative else 0.0)
    if not bounds or bounds[-1] != math.inf:
        bounds, cumulative = [*bounds, math.inf], [*cumulative, count]
    counts = [own - below for own, below in zip(cumulative, [0.0, *cumulative[:-1]], strict=True)]
    if min(counts) < 0 or cumulative[-1] != count:
        raise InvalidInput(
            f"the buckets of {labels[NAME]} are not those of a histogram: they count {cumulative} below {bounds}, "
            f"the count is {count:g}"
        )
    return NativeHistogram(
        CUSTOM_SCHEMA,
        count,
        classic.sum,
        positive_spans=((0, len(counts)),),
        positive_counts=tuple(counts),
        custom_bounds=tuple(bounds[:-1]),
        is_float=True,
    )

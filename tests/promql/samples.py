"""Sample columns and a `select` for tests of the query language: series written as a mapping of labels to
samples.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping, Sequence

import numpy as np

from setpoint.promql.from_telemetry import Matcher, SampleColumns, Select

STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]

Series = Mapping[str, Sequence[tuple[float, float]]]
"""`name{label="value",…}` to (seconds, value) pairs in ascending order."""


def labels_of(text: str) -> dict[str, str]:
    """`name{a="b"}` as labels."""
    name, _, rest = text.partition("{")
    labels = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    return {"__name__": name, **labels} if name else labels


def columns(series: Series) -> SampleColumns:
    """All samples of `series` as columns."""
    sizes = [len(samples) for samples in series.values()]
    flat = [sample for samples in series.values() for sample in samples]
    return SampleColumns(
        tuple(labels_of(text) for text in series),
        np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        np.array([round(seconds * 1000) for seconds, _ in flat], np.int64),
        np.array([value for _, value in flat], np.float64),
    )


def _matches(matcher: Matcher, labels: Mapping[str, str]) -> bool:
    value = labels.get(matcher.name, "")
    if matcher.op in ("=", "!="):
        return (value == matcher.value) == (matcher.op == "=")
    return (re.fullmatch(matcher.value, value) is not None) == (matcher.op == "=~")


class Recorder:
    """A `Select` over `series` that writes down what it was asked."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self.asked: list[tuple[str, int, int]] = []

    def __call__(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        text = ",".join(f"{matcher.name}{matcher.op}{matcher.value}" for matcher in matchers)
        self.asked.append((text, start_ms, end_ms))
        found = {}
        for name, samples in self.series.items():
            if all(_matches(matcher, labels_of(name)) for matcher in matchers):
                inside = [sample for sample in samples if start_ms < round(sample[0] * 1000) <= end_ms]
                if inside:
                    found[name] = inside
        return columns(found)


def selecting(series: Series) -> Select:
    """A `Select` over `series`."""
    return Recorder(series)


def every(step_s: float, values: Sequence[float | None]) -> list[tuple[float, float]]:
    """Samples at 0, step_s, … (None: no sample)."""
    return [(i * step_s, value) for i, value in enumerate(values) if value is not None]


def close(a: float, b: float, tolerance: float = 1e-9) -> bool:
    """Equal within a relative tolerance; NaN equals NaN."""
    return (math.isnan(a) and math.isnan(b)) or a == b or math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-12)

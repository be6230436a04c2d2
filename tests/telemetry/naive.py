"""A dictionary that head, store and reader are compared with, and builders of batches."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from hypothesis import strategies as st

from setpoint.telemetry import Labels, Matcher, MetricBatch, SampleColumns, Series, fingerprint

Sample = tuple[Labels, int, float]
"""Labels, timestamp in ms, value."""

Answer = list[tuple[dict[str, str], list[int], list[float]]]


def series(labels: Labels, service: str = "shop") -> Series:
    return Series(
        fingerprint(labels), dict(labels), service, {"host.name": "h1"}, "lib", "counter", "s", "Help."
    )


def batch(samples: Sequence[Sample], service: str = "shop") -> MetricBatch:
    """One batch of `samples` in their order; a series of several samples is named once."""
    places: dict[int, int] = {}
    named: list[Series] = []
    index = []
    for labels, _, _ in samples:
        one = series(labels, service)
        if one.fingerprint not in places:
            places[one.fingerprint] = len(named)
            named.append(one)
        index.append(places[one.fingerprint])
    return MetricBatch(
        named,
        np.array(index, np.int32),
        np.array([time_ms for _, time_ms, _ in samples], np.int64),
        np.array([value for _, _, value in samples], np.float64),
    )


def answer(columns: SampleColumns) -> Answer:
    """`columns` as plain lists."""
    bounds = columns.offsets.tolist()
    assert bounds[0] == 0
    assert bounds[-1] == len(columns.timestamps_ms) == len(columns.values)
    assert columns.timestamps_ms.dtype == np.int64
    assert columns.values.dtype == np.float64
    return [
        (dict(labels), columns.timestamps_ms[start:end].tolist(), columns.values[start:end].tolist())
        for labels, start, end in zip(columns.labels, bounds[:-1], bounds[1:], strict=True)
    ]


def accepted(matchers: Sequence[Matcher], labels: Mapping[str, str]) -> bool:
    """Prometheus's meaning of matchers, written down once more."""
    for matcher in matchers:
        value = labels.get(matcher.name, "")
        if matcher.op in ("=", "!="):
            holds = value == matcher.value
        else:
            holds = re.fullmatch(matcher.value, value, re.DOTALL | re.ASCII) is not None
        if holds != (matcher.op in ("=", "=~")):
            return False
    return True


class Naive:
    """{labels: {timestamp: value}}."""

    def __init__(self) -> None:
        self.samples: dict[tuple[tuple[str, str], ...], dict[int, float]] = {}

    def write(self, samples: Sequence[Sample], replace: bool = True, floor_ms: int | None = None) -> None:
        before = {(key, time_ms) for key, held in self.samples.items() for time_ms in held}
        for labels, time_ms, value in samples:
            key = tuple(sorted(labels.items()))
            if (replace or (key, time_ms) not in before) and (floor_ms is None or time_ms > floor_ms):
                self.samples.setdefault(key, {})[time_ms] = value

    def drop_until(self, floor_ms: int) -> None:
        for held in self.samples.values():
            for time_ms in [time_ms for time_ms in held if time_ms <= floor_ms]:
                del held[time_ms]

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Answer:
        found: Answer = []
        for key in sorted(self.samples):
            times = sorted(time_ms for time_ms in self.samples[key] if start_ms < time_ms <= end_ms)
            if times and accepted(matchers, dict(key)):
                found.append((dict(key), times, [self.samples[key][time_ms] for time_ms in times]))
        return found


VALUES = (
    "",
    "a",
    "b",
    "ab",
    "a\nb",
    "é",
    "it's",
    'q"',
    "back\\slash",
    "tab\t",
    "{value_0:String}",
    "%s",
    "A",
)
EXPRESSIONS = (
    "", ".*", ".+", "a", "a|b", "a.*", "a.b", "[ab]+", "(?i)a", "(a)?", "é", r"back\\slash", "it's", '.*"',
    "[^a]*", r"\w+", "nothing", r"a\nb", "b$", "^a",
)  # fmt: skip
NAMES = ("__name__", "job", "code", "odd name'\\")

label_sets = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES), min_size=1)
matchers = st.lists(
    st.builds(Matcher, st.sampled_from(NAMES), st.sampled_from(("=", "!=")), st.sampled_from(VALUES))
    | st.builds(Matcher, st.sampled_from(NAMES), st.sampled_from(("=~", "!~")), st.sampled_from(EXPRESSIONS)),
    max_size=3,
)

"""Columns joined are what dictionaries joined are."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.telemetry.columns import gather, join, label_key
from setpoint.telemetry.model import SampleColumns

Drawn = dict[int, int]
drawn = st.dictionaries(st.integers(0, 6), st.integers(1, 4), max_size=6)


def columns(samples: Drawn, first_ms: int) -> SampleColumns:
    """Series by number, each with so many samples from `first_ms` on."""
    labels = {number: {"pod": str(number), "__name__": "m"} for number in samples}
    order = sorted(samples, key=lambda number: label_key(labels[number]))
    times = {number: first_ms + np.arange(samples[number], dtype=np.int64) for number in order}
    values = {number: number + times[number].astype(np.float64) * 10 for number in order}
    return gather((labels[number], times[number], values[number]) for number in order)


def as_dictionary(found: SampleColumns) -> dict[str, list[tuple[int, float]]]:
    pairs = list(zip(found.timestamps_ms.tolist(), found.values.tolist(), strict=True))
    bounds = found.offsets.tolist()
    return {one["pod"]: pairs[bounds[i] : bounds[i + 1]] for i, one in enumerate(found.labels)}


@settings(max_examples=200, deadline=None)
@given(drawn, drawn, st.booleans())
def test_joined_columns(older: Drawn, recent: Drawn, same: bool) -> None:
    first, second = columns(older, 100), columns(dict.fromkeys(older, 2) if same else recent, 200)
    found = join(first, second)
    before, after = as_dictionary(first), as_dictionary(second)
    assert as_dictionary(found) == {pod: before.get(pod, []) + after.get(pod, []) for pod in before | after}
    assert [label_key(one) for one in found.labels] == sorted(label_key(one) for one in found.labels)
    assert found.offsets[-1] == len(found.timestamps_ms) == len(found.values)

"""The latest stored sample of series, so that sums of deltas go on after a start.

`app` gives `last_samples(head.select)` to the metrics door, which asks once for each series that was stored before this
process began and is sent as deltas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from setpoint.telemetry.model import Matcher, Select, Series
from setpoint.telemetry.receive.series_memory import LastSamples

__all__ = ["last_samples"]

_LOOKBACK_MS = 3_600_000
_AHEAD_MS = 600_000
_ASKED = ("__name__", "job", "instance")


def last_samples(select: Select) -> LastSamples:
    """Ask `select` for the samples of the last hour; a stale marker or NaN is no sample to go on from."""

    def last(series: Sequence[Series], now_ms: int) -> Sequence[tuple[int, float] | None]:
        groups: dict[tuple[str, ...], list[int]] = {}
        for place, one in enumerate(series):
            groups.setdefault(tuple(one.labels.get(name, "") for name in _ASKED), []).append(place)
        found: list[tuple[int, float] | None] = [None] * len(series)
        for values, places in groups.items():
            matchers = [Matcher(name, "=", value) for name, value in zip(_ASKED, values, strict=True)]
            latest = _latest(select, matchers, now_ms)
            for place in places:
                found[place] = latest.get(frozenset(series[place].labels.items()))
        return found

    return last


def _latest(
    select: Select, matchers: Sequence[Matcher], now_ms: int
) -> Mapping[frozenset[tuple[str, str]], tuple[int, float]]:
    columns = select(matchers, now_ms - _LOOKBACK_MS, now_ms + _AHEAD_MS)
    latest = {}
    for place, labels in enumerate(columns.labels):
        begin, end = int(columns.offsets[place]), int(columns.offsets[place + 1])
        numbers = np.flatnonzero(np.isfinite(columns.values[begin:end]))
        if len(numbers):
            at = begin + int(numbers[-1])
            latest[frozenset(labels.items())] = (
                int(columns.timestamps_ms[at]),
                float(columns.values[at]),
            )
    return latest

"""An in-memory metrics store for tests: a `Select` over plain lists, and the head's late-write function."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from setpoint.telemetry.columns import Piece, gather
from setpoint.telemetry.model import Matcher, SampleColumns

__all__ = ["Samples"]


class Samples:
    """Series by labels; `add` may come in any order. `reads` counts selects."""

    def __init__(self) -> None:
        self._series: dict[frozenset[tuple[str, str]], dict[int, float]] = {}
        self._oldest_write_ms: int | None = None
        self.reads = 0

    def add(self, name: str, at_ms: int, value: float, **labels: str) -> None:
        key = frozenset({"__name__": name, **labels}.items())
        self._series.setdefault(key, {})[at_ms] = value
        self._oldest_write_ms = min(at_ms, self._oldest_write_ms or at_ms)

    def forget_before(self, at_ms: int) -> None:
        """Drop older samples, as the database's retention does."""
        for samples in self._series.values():
            for old_ms in [one for one in samples if one < at_ms]:
                del samples[old_ms]

    def take_oldest_write_ms(self) -> int | None:
        oldest, self._oldest_write_ms = self._oldest_write_ms, None
        return oldest

    def oldest_sample_ms(self) -> int | None:
        return min((min(samples) for samples in self._series.values() if samples), default=None)

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        self.reads += 1
        found: list[Piece] = []
        for key, samples in self._series.items():
            own = dict(key)
            chosen = sorted(at for at in samples if start_ms < at <= end_ms)
            if chosen and all(_matches(own.get(matcher.name, ""), matcher) for matcher in matchers):
                found.append((own, np.array(chosen), np.array([samples[at] for at in chosen], np.float64)))
        return gather(found)


def _matches(value: str, matcher: Matcher) -> bool:
    if matcher.op in ("=~", "!~"):
        return (re.fullmatch(matcher.value, value) is not None) == (matcher.op == "=~")
    return (value == matcher.value) == (matcher.op == "=")

"""Series in memory, for tests of queries and rules: `setpoint test` fills it and asks it as the engine asks a store.

It is not `telemetry.head`: it takes samples in any order, has no horizon and no threads, and a clock (`until_ms`)
behind which nothing can be seen, because a rule that is evaluated at noon must not know the afternoon.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from setpoint.promql.from_telemetry import (
    HistogramColumns,
    Labels,
    Matcher,
    NativeHistogram,
    SampleColumns,
    StoredHistograms,
    predicate,
)

__all__ = ["Duplicate", "MemoryStore", "Value"]

Value = float | NativeHistogram

_FIRST_CAPACITY = 16
_FAR_MS = 2**62

LabelPairs = tuple[tuple[str, str], ...]


class Duplicate(Exception):
    """The series has another value at that time."""


class _Floats:
    """The samples of one series, ascending in time."""

    __slots__ = ("_is_sorted", "_size", "_times", "_values")

    def __init__(self) -> None:
        self._times = np.empty(_FIRST_CAPACITY, np.int64)
        self._values = np.empty(_FIRST_CAPACITY, np.float64)
        self._size = 0
        self._is_sorted = True

    def append(self, at_ms: int, value: float) -> None:
        size = self._size
        if size == len(self._times):
            self._times = np.concatenate([self._times, np.empty(size, np.int64)])
            self._values = np.concatenate([self._values, np.empty(size, np.float64)])
        if size and at_ms <= self._times[size - 1]:
            self._is_sorted = False
        self._times[size], self._values[size] = at_ms, value
        self._size = size + 1

    def extend(self, times: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> None:
        held = self._size
        self._times = np.concatenate([self._times[:held], times])
        self._values = np.concatenate([self._values[:held], values])
        self._size = len(self._times)
        self._is_sorted = False

    def columns(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """Times and values; of equal times the last that was given."""
        if not self._is_sorted:
            times, last = np.unique(self._times[: self._size][::-1], return_index=True)
            values = self._values[: self._size][::-1][last]
            self._times, self._values, self._size, self._is_sorted = times, values, len(times), True
        return self._times[: self._size], self._values[: self._size]

    def within(self, start_ms: int, end_ms: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        times, values = self.columns()
        low, high = np.searchsorted(times, (start_ms, end_ms), "right")
        return times[low:high], values[low:high]


class _Series:
    __slots__ = ("floats", "histograms", "labels")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.floats = _Floats()
        self.histograms: list[tuple[int, bytes]] = []


class MemoryStore:
    """`select` and `select_histograms` are what `evaluate` asks; `until_ms` is the last instant that they tell of."""

    def __init__(self) -> None:
        self.until_ms = _FAR_MS
        self._series: dict[LabelPairs, _Series] = {}
        self._order: list[_Series] = []
        # Per matchers how many series were looked at, and those that match, in the order of their labels.
        self._answers: dict[tuple[Matcher, ...], tuple[int, list[LabelPairs]]] = {}
        self._has_histograms = False

    def load(self, labels: Labels, samples: Iterable[tuple[int, Value]]) -> None:
        """Add samples, (t in ms, value) in any order; a later value at the same time replaces the earlier."""
        series = self._of(labels)
        floats = []
        for at_ms, value in samples:
            if isinstance(value, NativeHistogram):
                self._put_histogram(series, at_ms, value)
            else:
                floats.append((at_ms, value))
        if floats:
            times, values = zip(*floats, strict=True)
            series.floats.extend(np.array(times, np.int64), np.array(values, np.float64))

    def extend(
        self, labels: Labels, times_ms: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
    ) -> None:
        """Add samples of one series, as equally long columns."""
        self._of(labels).floats.extend(times_ms, values)

    def has(self, labels: Labels) -> bool:
        """Whether the series exists."""
        return _pairs(labels) in self._series

    def append(self, labels: Labels, at_ms: int, value: Value) -> None:
        """Add one sample. Raises Duplicate if the series has another value at that time."""
        series = self._of(labels)
        if isinstance(value, NativeHistogram):
            self._put_histogram(series, at_ms, value)
            return
        times, values = series.floats.within(at_ms - 1, at_ms)
        if not len(times):
            series.floats.append(at_ms, value)
        elif values.view(np.int64)[0] != np.float64(value).view(np.int64):
            raise Duplicate

    def _of(self, labels: Labels) -> _Series:
        key = _pairs(labels)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Series(dict(key))
            self._order.append(series)
        return series

    def _put_histogram(self, series: _Series, at_ms: int, histogram: NativeHistogram) -> None:
        self._has_histograms = True
        series.histograms = [sample for sample in series.histograms if sample[0] != at_ms]
        insort(series.histograms, (at_ms, histogram.encode()))

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        """The samples of the matching series with start_ms < t <= end_ms."""
        end_ms = min(end_ms, self.until_ms)
        found = []
        for series in self._matching(matchers):
            times, values = series.floats.within(start_ms, end_ms)
            if len(times):
                found.append((series.labels, times, values))
        if not found:
            return SampleColumns.empty()
        labels, all_times, all_values = zip(*found, strict=True)
        offsets = np.zeros(len(labels) + 1, np.int64)
        np.cumsum([len(times) for times in all_times], out=offsets[1:])
        return SampleColumns(labels, offsets, np.concatenate(all_times), np.concatenate(all_values))

    def select_histograms(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> StoredHistograms | None:
        """As `select`, for native histograms."""
        if not self._has_histograms:
            return None
        end_ms = min(end_ms, self.until_ms)
        labels: list[Labels] = []
        rows: list[int] = []
        times: list[int] = []
        payloads: list[bytes] = []
        for series in self._matching(matchers):
            low = bisect_right(series.histograms, start_ms, key=lambda sample: sample[0])
            high = bisect_right(series.histograms, end_ms, key=lambda sample: sample[0])
            if low == high:
                continue
            rows += [len(labels)] * (high - low)
            labels.append(series.labels)
            times += [at_ms for at_ms, _ in series.histograms[low:high]]
            payloads += [payload for _, payload in series.histograms[low:high]]
        columns = HistogramColumns(np.array(rows, np.int32), np.array(times, np.int64), payloads)
        return StoredHistograms(tuple(labels), columns)

    def _matching(self, matchers: Sequence[Matcher]) -> list[_Series]:
        key = tuple(matchers)
        seen, pairs = self._answers.get(key, (0, []))
        if seen < len(self._order):
            tests = [(matcher.name, predicate(matcher)) for matcher in matchers]
            for series in self._order[seen:]:
                if all(accepts(series.labels.get(name, "")) for name, accepts in tests):
                    insort(pairs, tuple(series.labels.items()))
            self._answers[key] = (len(self._order), pairs)
        return [self._series[found] for found in pairs]


def _pairs(labels: Labels) -> LabelPairs:
    return tuple(sorted((name, value) for name, value in labels.items() if value))

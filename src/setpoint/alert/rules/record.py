"""Stores the series that rules make: recorded ones, ALERTS and ALERTS_FOR_STATE.

A group gathers what its rules make (`add`) and hands it on together (`flush`): before a rule that may read it, and at
the end of an evaluation. It is stored durably, as what senders bring, and queries see it when `settle` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future

import numpy as np

from setpoint.alert.from_promql import Duplicate, NativeHistogram, Value
from setpoint.alert.from_telemetry import HistogramColumns, MetricBatch, Series, fingerprint
from setpoint.alert.rules.state import LabelPairs
from setpoint.errors import Unavailable

__all__ = ["Recorder", "Submit"]

Submit = Callable[[MetricBatch, int], "Future[None]"]
"""Takes samples and about how many bytes they are; the future resolves when they are stored. Raises Unavailable."""

_SAMPLE_BYTES = 64
_STORED_WITHIN_S = 30.0
_SENDER = "rules"


class Recorder:
    """What one group makes. For one thread at a time."""

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._known: dict[LabelPairs, Series] = {}
        self._kept: dict[LabelPairs, Series] = {}
        self._samples: dict[LabelPairs, tuple[int, Value]] = {}
        self._fresh: dict[LabelPairs, tuple[int, Value]] = {}
        self._futures: list[Future[None]] = []
        self.waiting: set[str] = set()
        """The names of metrics that are not stored yet."""

    def begin(self) -> None:
        """A new evaluation begins."""
        self._known, self._kept = self._kept, {}  # what is no longer made is forgotten
        self._samples.clear()

    def add(self, labels: Mapping[str, str], at_ms: int, value: Value) -> None:
        """Add a sample. Raises Duplicate if the series has another value at that time in this evaluation."""
        key = tuple(sorted(labels.items()))
        before = self._samples.get(key)
        if before is not None and before[0] == at_ms:
            if _is_same(before[1], value):
                return
            raise Duplicate
        series = self._kept.get(key) or self._known.get(key)
        if series is None:
            series = Series(fingerprint(labels), labels, labels.get("service", ""), type="gauge")
        self._kept[key] = series
        self._samples[key] = self._fresh[key] = at_ms, value
        self.waiting.add(labels["__name__"])

    def flush(self) -> None:
        """Hand on what was added. Raises Unavailable when it cannot be taken; it is dropped then."""
        fresh, self._fresh = self._fresh, {}
        if not fresh:
            return
        batch = self._batch(fresh)
        self._futures.append(self._submit(batch, _SAMPLE_BYTES * len(fresh)))

    def settle(self) -> None:
        """Wait until what was handed on is stored and can be queried. Raises Unavailable when it was not."""
        self.flush()
        futures, self._futures = self._futures, []
        self.waiting.clear()
        for future in futures:
            try:
                future.result(_STORED_WITHIN_S)
            except TimeoutError as error:
                raise Unavailable("what the rule made is not stored yet; the database is slow") from error

    def drop(self) -> None:
        """Give up what waits."""
        self._fresh, self._futures = {}, []
        self.waiting.clear()

    def _batch(self, fresh: Mapping[LabelPairs, tuple[int, Value]]) -> MetricBatch:
        series, rows, times, values = [], [], [], []
        histogram_rows, histogram_times, payloads = [], [], []
        for row, (key, (at_ms, value)) in enumerate(fresh.items()):
            series.append(self._kept[key])
            if isinstance(value, NativeHistogram):
                histogram_rows.append(row)
                histogram_times.append(at_ms)
                payloads.append(value.encode())
            else:
                rows.append(row)
                times.append(at_ms)
                values.append(value)
        histograms = HistogramColumns(
            np.array(histogram_rows, np.int32), np.array(histogram_times, np.int64), payloads
        )
        return MetricBatch(
            series,
            np.array(rows, np.int32),
            np.array(times, np.int64),
            np.array(values, np.float64),
            histograms if payloads else None,
            sender=_SENDER,
        )


def _is_same(one: Value, other: Value) -> bool:
    if isinstance(one, NativeHistogram) or isinstance(other, NativeHistogram):
        return one == other
    return np.float64(one).tobytes() == np.float64(other).tobytes()

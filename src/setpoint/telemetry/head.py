"""The head: the recent samples of every series in memory, so that evaluating objectives never waits for a
database.

`ingest` appends what the store has taken, `read.rebuild_head` fills it at start, `read.Reader` selects from
it. Each series owns two numpy columns that grow by halves and slide as old samples leave; labels are kept
once per series, their strings interned; an inverted index finds series, and what it found for a set of
matchers is kept until a series comes or goes, because the same few queries are asked every second.

One lock guards everything: a select copies out under it (about 10 ms for a million samples). A store for a
million series needs samples of many series in one block; it can stand behind the same methods.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.columns import gather, label_key, runs
from setpoint.telemetry.label_index import LabelIndex
from setpoint.telemetry.model import Labels, Matcher, MetricBatch, SampleColumns, Series

__all__ = ["Head"]

_NEVER_MS = -(2**62)
_ALWAYS_MS = 2**62
_ANSWERS_KEPT = 512
_SMALLEST = 8
_GROUP_FROM = 4
"""Samples per series in a batch from which sorting them into runs beats adding them one by one."""

_by_key = attrgetter("key")


class Head:
    """Samples of the last `horizon_ms`, by series. Thread-safe."""

    def __init__(self, horizon_ms: int) -> None:
        self._horizon_ms = horizon_ms
        self._lock = threading.Lock()
        self._series: dict[int, _Column] = {}
        self._index = LabelIndex()
        self._answers: dict[tuple[Matcher, ...], list[_Column]] = {}
        self._floor_ms = _NEVER_MS
        self._dropped_ms = (
            _NEVER_MS  # the newest sample that was given up; later than the floor after a clock set back
        )
        self._complete_from_ms = _ALWAYS_MS
        self._newest_ms: int | None = None
        self._oldest_write_ms: int | None = None

    @property
    def horizon_ms(self) -> int:
        """How far back the head reaches."""
        return self._horizon_ms

    @property
    def covers_from_ms(self) -> int:
        """The head holds every stored sample later than this; far in the future until it was rebuilt."""
        return max(self._complete_from_ms, self._floor_ms, self._dropped_ms)

    @property
    def newest_ms(self) -> int | None:
        """The latest timestamp ever appended, or None."""
        return self._newest_ms

    @property
    def series_count(self) -> int:
        """Number of series held."""
        return len(self._series)

    @property
    def sample_count(self) -> int:
        """Number of samples held."""
        with self._lock:
            return sum(column.end - column.first for column in self._series.values())

    @property
    def sample_bytes(self) -> int:
        """Bytes of the sample columns, spare room included (labels and index not counted)."""
        with self._lock:
            return sum(column.times.nbytes + column.values.nbytes for column in self._series.values())

    def append(self, batch: MetricBatch) -> None:
        """Add samples in any order; one with the timestamp of an earlier one replaces its value."""
        with self._lock:
            self._write(batch, replace=True)

    def restore(self, batch: MetricBatch) -> None:
        """Add samples read back from the store; one that is already here stays, because it may be newer."""
        with self._lock:
            self._write(batch, replace=False)

    def complete_from(self, start_ms: int) -> None:
        """Declare that every stored sample later than `start_ms` is here."""
        with self._lock:
            self._complete_from_ms = start_ms

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        """The samples held with start_ms < t <= end_ms, as copies, series in the order of their labels.

        Series without a sample in the range are left out. The label mappings are shared: do not change them.
        Raises InvalidInput for a bad expression.
        """
        with self._lock:
            return self._select(matchers, start_ms, end_ms)

    def select_covered(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> tuple[int, SampleColumns]:
        """`covers_from_ms`, and the samples later than it, taken at one moment (an eviction moves both)."""
        with self._lock:
            covers_from_ms = self.covers_from_ms
            return covers_from_ms, self._select(matchers, max(start_ms, covers_from_ms), end_ms)

    def take_oldest_write_ms(self) -> int | None:
        """The oldest timestamp written since the last call, or None; too old and restored samples count."""
        with self._lock:
            oldest, self._oldest_write_ms = self._oldest_write_ms, None
            return oldest

    def evict(self, now_ms: int) -> None:
        """Drop the samples older than the horizon and series that have none left; give their memory back."""
        with self._lock:
            self._floor_ms = now_ms - self._horizon_ms  # may fall: the clock can be set back
            gone = []
            for identity, column in self._series.items():
                self._dropped_ms = max(self._dropped_ms, column.drop_until(self._floor_ms))
                if column.first == column.end:
                    gone.append(identity)
            for identity in gone:
                self._index.remove(identity, self._series.pop(identity).labels)
            if gone:
                self._answers.clear()

    def _write(self, batch: MetricBatch, replace: bool) -> None:
        times, values, index = batch.timestamps_ms, batch.values, batch.series_index
        if not len(times):
            return
        oldest = int(times.min())
        if self._oldest_write_ms is None or oldest < self._oldest_write_ms:
            self._oldest_write_ms = oldest
        newest = int(times.max())
        if self._newest_ms is None or newest > self._newest_ms:
            self._newest_ms = newest
        if oldest <= self._floor_ms:
            kept = times > self._floor_ms
            self._dropped_ms = max(self._dropped_ms, int(times[~kept].max()))
            times, values, index = times[kept], values[kept], index[kept]
            batch = MetricBatch(batch.series, index, times, values)
        if not replace or len(times) >= _GROUP_FROM * len(batch.series):
            self._write_runs(batch, replace)
            return
        columns = [self._series.get(series.fingerprint) for series in batch.series]
        for place, time_ms, value in zip(index.tolist(), times.tolist(), values.tolist(), strict=True):
            column = columns[place]
            if column is None:
                column = columns[place] = self._open(batch.series[place])
            if time_ms > column.last_ms:
                column.push(time_ms, value)
            else:
                column.merge(np.array([time_ms], np.int64), np.array([value], np.float64), replace)

    def _write_runs(self, batch: MetricBatch, replace: bool) -> None:
        order = np.argsort(batch.series_index, kind="stable")
        index, times, values = batch.series_index[order], batch.timestamps_ms[order], batch.values[order]
        for start, end in runs(index):
            column = self._open(batch.series[int(index[start])])
            column.merge(times[start:end], values[start:end], replace)

    def _open(self, series: Series) -> _Column:
        """The column of a series, made when missing (a batch may name one series twice)."""
        column = self._series.get(series.fingerprint)
        if column is None:
            labels = {sys.intern(name): sys.intern(value) for name, value in series.labels.items()}
            column = self._series[series.fingerprint] = _Column(labels)
            self._index.add(series.fingerprint, labels)
            self._answers.clear()
        return column

    def _select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        pieces = []
        for column in self._matching(tuple(matchers)):
            if end_ms < column.first_ms or start_ms >= column.last_ms:
                continue
            first, end = column.range(start_ms, end_ms)
            if first < end:
                pieces.append((column.labels, column.times[first:end], column.values[first:end]))
        return gather(pieces)

    def _matching(self, matchers: tuple[Matcher, ...]) -> list[_Column]:
        found = self._answers.get(matchers)
        if found is None:
            columns = (self._series[identity] for identity in self._index.resolve(matchers))
            found = sorted(columns, key=_by_key)
            if len(self._answers) >= _ANSWERS_KEPT:
                self._answers.clear()
            self._answers[matchers] = found
        return found


class _Column:
    """The samples of one series: positions `first:end` of two arrays, timestamps strictly ascending."""

    __slots__ = ("end", "first", "first_ms", "key", "labels", "last_ms", "times", "values")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.key = label_key(labels)
        self.times = np.empty(_SMALLEST, np.int64)
        self.values = np.empty(_SMALLEST, np.float64)
        self.first = self.end = 0
        self.first_ms = _ALWAYS_MS
        self.last_ms = _NEVER_MS

    def push(self, time_ms: int, value: float) -> None:
        """Add a sample that is later than all others."""
        end = self.end
        if end == len(self.times):
            self._make_room(1)
            end = self.end
        self.times[end] = time_ms
        self.values[end] = value
        self.end = end + 1
        self.last_ms = time_ms
        if self.first_ms == _ALWAYS_MS:
            self.first_ms = time_ms

    def merge(self, times: npt.NDArray[np.int64], values: npt.NDArray[np.float64], replace: bool) -> None:
        """Add samples in any order; of equal timestamps the newer stays (the one here, if not `replace`)."""
        at = self.first + int(self.times[self.first : self.end].searchsorted(times.min()))
        if at < self.end or (times[1:] <= times[:-1]).any():
            old_times, old_values = self.times[at : self.end], self.values[at : self.end]
            parts = [(old_times, old_values), (times, values)]
            if not replace:
                parts.reverse()
            times = np.concatenate([part[0] for part in parts])
            values = np.concatenate([part[1] for part in parts])
            order = np.argsort(times, kind="stable")
            times, values = times[order], values[order]
            last = np.append(times[1:] != times[:-1], True)
            times, values = times[last], values[last]
        self.end = at
        if at + len(times) > len(self.times):
            self._make_room(len(times))
        end = self.end + len(times)
        self.times[self.end : end] = times
        self.values[self.end : end] = values
        self.end = end
        self.first_ms, self.last_ms = int(self.times[self.first]), int(self.times[end - 1])

    def range(self, start_ms: int, end_ms: int) -> tuple[int, int]:
        """Positions of the samples with start_ms < t <= end_ms."""
        first, end = self.first, self.end
        held = self.times[first:end]
        if end_ms < self.last_ms:
            end = first + int(held.searchsorted(end_ms, "right"))
        if start_ms >= self.first_ms:
            first += int(held.searchsorted(start_ms, "right"))
        return first, end

    def drop_until(self, floor_ms: int) -> int:
        """Forget the samples with t <= floor_ms and return the newest of them; shrink the arrays when most of
        their room is unused.
        """
        if floor_ms < self.first_ms:
            return _NEVER_MS
        self.first += int(self.times[self.first : self.end].searchsorted(floor_ms, "right"))
        self.first_ms = int(self.times[self.first]) if self.first < self.end else _ALWAYS_MS
        dropped_ms = int(self.times[self.first - 1])
        held = self.end - self.first
        if len(self.times) > _SMALLEST and len(self.times) > 2 * held:
            self._move(max(_SMALLEST, held))
        return dropped_ms

    def _make_room(self, count: int) -> None:
        """Space for `count` more: what was dropped in front if that is much, else half as much again."""
        held = self.end - self.first
        if self.first >= held // 4 and held + count <= len(self.times):
            self.times[:held] = self.times[self.first : self.end]
            self.values[:held] = self.values[self.first : self.end]
            self.first, self.end = 0, held
            return
        self._move(max(_SMALLEST, held + count, held + held // 2))

    def _move(self, capacity: int) -> None:
        held = self.end - self.first
        times, values = np.empty(capacity, np.int64), np.empty(capacity, np.float64)
        times[:held] = self.times[self.first : self.end]
        values[:held] = self.values[self.first : self.end]
        self.times, self.values, self.first, self.end = times, values, 0, held

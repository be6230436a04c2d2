"""Which series have native histograms: asked before the store is, so that other queries pay nothing for them.

`side_store` notes what it writes; what was written before the start is read once, with the first write or question. It
errs on one side only: a series whose histograms have expired still counts as one that has some.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from setpoint.database import TelemetryDatabase, load_queries
from setpoint.telemetry.match import predicate, refuse_invalid
from setpoint.telemetry.model import Labels, Matcher
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["HistogramSeries"]

_QUERIES = load_queries("setpoint.telemetry")
_SERIES_MAX = 50_000
"""Series that are remembered one by one; beyond, every selector may match."""
_ANSWERS_MAX = 200


class HistogramSeries:
    """The series that ever had a native histogram. Thread-safe."""

    def __init__(self, db: TelemetryDatabase, table: SeriesTable, loaded: Callable[[int], None]) -> None:
        """`loaded` is told the newest time of a histogram that was stored before the first write or question."""
        self._db = db
        self._table = table
        self._lock = threading.Lock()
        self._loaded = loaded
        self._is_loaded = False
        self._known: set[int] = set()
        self._series: list[tuple[int, Labels]] = []
        # Per selector how many series were looked at, and those that match.
        self._answers: dict[tuple[Matcher, ...], tuple[int, list[tuple[int, Labels]]]] = {}

    def note(self, refs: npt.NDArray[np.int32]) -> None:
        """Histograms of these rows of the series table are to be written. Raises Unavailable, as the write would."""
        refs = np.unique(refs)
        fingerprints = self._table.fingerprints(refs).tolist()
        with self._lock:
            self._load()
            if len(self._series) > _SERIES_MAX:
                return
            for ref, fingerprint in zip(refs.tolist(), fingerprints, strict=True):
                if fingerprint not in self._known:
                    self._known.add(fingerprint)
                    self._series.append((fingerprint, self._table.labels(ref)))

    @property
    def is_known(self) -> bool:
        """Whether `matching` answers without the engine."""
        return self._is_loaded

    def matching(self, matchers: Sequence[Matcher]) -> list[tuple[int, Labels]] | None:
        """Fingerprint and labels of the series that satisfy the matchers; None when they are too many to know.

        Raises InvalidInput for a bad expression, Unavailable when the engine does not answer the first question.
        """
        refuse_invalid(matchers)
        key = tuple(matchers)
        with self._lock:
            self._load()
            if len(self._series) > _SERIES_MAX:
                return None
            seen, found = self._answers.get(key, (0, []))
            if seen < len(self._series):
                tests = [(matcher.name, predicate(matcher)) for matcher in key]
                found = found + [
                    one
                    for one in self._series[seen:]
                    if all(accepts(one[1].get(name, "")) for name, accepts in tests)
                ]
                if len(self._answers) >= _ANSWERS_MAX:
                    self._answers.clear()
                self._answers[key] = len(self._series), found
            return found

    def _load(self) -> None:
        if self._is_loaded:
            return
        rows = self._db.query(_QUERIES["histogram_series"], most=_SERIES_MAX + 1)
        for fingerprint, labels in zip(rows["fingerprint"].tolist(), rows["labels"].tolist(), strict=True):
            if fingerprint not in self._known:
                self._known.add(fingerprint)
                self._series.append((fingerprint, labels))
        newest = self._db.query(_QUERIES["newest_histogram"])
        self._loaded(int(newest["ts_ms"][0]))
        self._is_loaded = True

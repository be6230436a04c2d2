"""What the metrics door remembers of series between requests: starts, sums of deltas, and when metrics were sent.

A counter that appears with the value 5 has counted five events since its start time, but a query that takes
differences of samples would see none of them. So a zero is written at the start time when a series is first seen or
has started again (as Prometheus does with created timestamps), and deltas are stored as the sums that a query expects.

Everything is remembered when it is stored and not before, so that a retry of a failed request gives the same samples
again and one of a stored request counts nothing twice. The zero of one start is always the same sample. What is held is
bounded by the series table: arrays by ref, and a table of fixed size for watched metrics.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.errors import Unavailable
from setpoint.telemetry.model import Series
from setpoint.telemetry.receive import birth_kernels, delta_kernels
from setpoint.telemetry.receive.draft import Draft
from setpoint.telemetry.receive.point_kernels import DELTA
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["Births", "LastSamples", "SeriesMemory", "Sums"]

LastSamples = Callable[[Sequence[Series], int], Sequence[tuple[int, float] | None]]
"""`last(series, now_ms)`: time (Unix ms) and value of the latest stored sample of each series, None if unknown."""

_YOUNG_MS = 3_600_000
"""How far back a zero is written; what a series counted before is not ours to count."""

_WATCHED = 1 << 17
_SETTLED_S = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Births:
    """What to remember of the cumulative series of one request: by point, and the keys of their metrics."""

    refs: npt.NDArray[np.int32]
    owners: npt.NDArray[np.uint64]
    starts_ns: npt.NDArray[np.uint64]
    times_ns: npt.NDArray[np.uint64]
    keys: npt.NDArray[np.uint64]
    newest_ms: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """The deltas of one request under way: their series, what became of each point, and where sums begin.

    `verdicts` int8[n] by `points` int64[n]; `fresh` uint8[rows] of the whole draft.
    """

    number: int
    points: npt.NDArray[np.int64]
    verdicts: npt.NDArray[np.int8]
    fresh: npt.NDArray[np.uint8]
    refs: npt.NDArray[np.int32]
    owners: npt.NDArray[np.uint64]


class SeriesMemory:
    """Starts and sums of the series of `table`; thread-safe, and shared by every door that takes OTLP.

    `last` finds where a sum goes on whose series is older than this process; without it such sums begin anew.
    """

    def __init__(self, table: SeriesTable, last: LastSamples | None = None) -> None:
        self._table = table
        self._last = last
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._under_way: dict[int, threading.Event] = {}
        self._births = np.zeros(0, birth_kernels.BIRTH)
        self._latest = np.zeros(0, np.int32)
        self._summed = np.zeros(0, delta_kernels.SUMMED)
        self._watch = np.zeros(_WATCHED, birth_kernels.WATCH)

    # ---- cumulative series -------------------------------------------------------------------------------

    def births(self, draft: Draft) -> Births:
        """Enter the zeros that cumulative series need into `draft.zero_ms`; what to `remember` of them."""
        heads = np.flatnonzero(draft.taken)
        owners = np.zeros(len(draft.points), np.uint64)
        owners[heads] = self._table.fingerprints(draft.refs[draft.first[heads]])
        found = np.zeros(len(draft.points), np.uint8)
        late_ms = np.empty(len(draft.metrics), np.int64)
        with self._lock:
            self._births = self._grown(self._births, draft.refs)
            self._latest = self._grown(self._latest, draft.refs)
            birth_kernels.births(
                draft.metrics,
                draft.points,
                draft.modes,
                draft.taken,
                draft.first,
                draft.refs,
                owners,
                self._births,
                self._latest,
                self._watch,
                draft.now_ms - _YOUNG_MS,
                found,
                late_ms,
                np.zeros(len(draft.metrics)),
                draft.zero_ms,
            )
        self._late_zeros(draft, np.flatnonzero(found == birth_kernels.LATE), late_ms)
        return self._births_of(draft, np.flatnonzero(found), owners)

    def remember(self, births: Births) -> None:
        """The points of `births` are stored."""
        with self._lock:
            self._births = self._grown(self._births, births.refs)
            birth_kernels.remember(
                births.refs, births.owners, births.starts_ns, births.times_ns, self._births
            )
            birth_kernels.note(births.keys, births.newest_ms, self._watch)

    def forget(self, keys: npt.NDArray[np.uint64]) -> None:
        """Points of the metrics `keys` uint64[n, 2] were not taken, so that a series may be missing for that."""
        with self._lock:
            birth_kernels.forget(keys, self._watch)

    def _late_zeros(self, draft: Draft, late: npt.NDArray[np.int64], late_ms: npt.NDArray[np.int64]) -> None:
        """A zero at the metric's previous samples for new series whose stated start is long past.

        Its sender exports all that it has counted, so what was not there then had counted nothing. Not so for a
        series that was stored before: it has been silent, and what it counted meanwhile is nobody's first.
        """
        if not len(late):
            return
        refs = draft.refs[draft.first[late]]
        new = np.isin(refs, self._table.unwritten(refs))
        for point in late[new].tolist():
            rows = slice(draft.first[point], draft.first[point + 1])
            draft.zero_ms[rows] = late_ms[draft.points[point]["metric"]]

    @staticmethod
    def _births_of(draft: Draft, seen: npt.NDArray[np.int64], owners: npt.NDArray[np.uint64]) -> Births:
        points = draft.points[seen]
        newest_ms = np.zeros(len(draft.metrics), np.int64)
        np.maximum.at(newest_ms, points["metric"], (points["time_ns"] // 1_000_000).astype(np.int64))
        sent = np.flatnonzero(newest_ms)
        metrics = draft.metrics[sent]
        return Births(
            draft.refs[draft.first[seen]],
            owners[seen],
            np.ascontiguousarray(points["start_ns"]),
            np.ascontiguousarray(points["time_ns"]),
            np.column_stack((metrics["high"], metrics["low"])),
            newest_ms[sent],
        )

    # ---- sums of deltas ----------------------------------------------------------------------------------

    def add_up(self, draft: Draft) -> Sums | None:
        """Turn the deltas of `draft` into sums in `draft.values`, with zeros in `draft.zero_ms`; None without deltas.

        Whoever calls this calls `settle` with the result once the request is stored or has failed: until then other
        requests with one of its series wait here. Raises Unavailable when that takes a minute.
        """
        delta = draft.taken.astype(bool) & (draft.modes[draft.points["metric"]] == DELTA)
        points = np.flatnonzero(delta)
        if not len(points):
            return None
        order = points[np.argsort(draft.points["time_ns"][points], kind="stable")]
        is_row = np.repeat(delta, np.diff(draft.first))
        owners = np.zeros(draft.rows, np.uint64)
        owners[is_row] = self._table.fingerprints(draft.refs[is_row])
        stored = self._gone_on(draft, order, owners)
        while True:
            with self._lock:
                self._summed = self._grown(self._summed, draft.refs)
                waiting_for = delta_kernels.pending(order, draft.first, draft.refs, self._summed)
                settled = self._under_way.get(waiting_for)
                if settled is None:
                    return self._added(draft, order, is_row, owners, stored)
            if not settled.wait(_SETTLED_S):
                raise Unavailable("an earlier request with the same deltas is still being stored; try again")

    def settle(self, sums: Sums, *, stored: bool) -> None:
        """The request of `sums` was stored, or it was not and counts for nothing."""
        with self._lock:
            self._summed = self._grown(self._summed, sums.refs)
            delta_kernels.settle(sums.refs, sums.owners, sums.number, stored, self._summed)
            settled = self._under_way.pop(sums.number)
        settled.set()

    def _added(
        self,
        draft: Draft,
        order: npt.NDArray[np.int64],
        is_row: npt.NDArray[np.bool_],
        owners: npt.NDArray[np.uint64],
        stored: npt.NDArray[np.uint8],
    ) -> Sums:
        number = next(self._numbers)
        verdicts = np.zeros(len(draft.points), np.int8)
        fresh = np.zeros(draft.rows, np.uint8)
        delta_kernels.add_up(
            order,
            draft.metrics,
            draft.points,
            draft.first,
            draft.refs,
            owners,
            stored,
            number,
            _YOUNG_MS,
            self._summed,
            draft.values,
            draft.zero_ms,
            fresh,
            verdicts,
        )
        self._under_way[number] = threading.Event()
        return Sums(number, order, verdicts[order], fresh, draft.refs[is_row], owners[is_row])

    def _gone_on(
        self, draft: Draft, order: npt.NDArray[np.int64], owners: npt.NDArray[np.uint64]
    ) -> npt.NDArray[np.uint8]:
        """Let sums go on from what is stored of them, after a start; uint8[rows], 1 for rows with stored samples."""
        found = np.zeros(draft.rows, np.uint8)
        with self._lock:
            self._summed = self._grown(self._summed, draft.refs)
            delta_kernels.strangers(order, draft.first, draft.refs, owners, self._summed, found)
        rows = np.flatnonzero(found)
        if not len(rows):
            return found
        rows = rows[~np.isin(draft.refs[rows], self._table.unwritten(draft.refs[rows]))]
        found[:] = 0
        found[rows] = 1
        _, places = np.unique(draft.refs[rows], return_index=True)
        rows = rows[places]
        if len(rows) and self._last is not None:
            last = self._last(self._table.series_of(draft.refs[rows]), draft.now_ms)
            known = np.array([sample is not None for sample in last], bool)
            samples = [sample for sample in last if sample is not None]
            with self._lock:
                delta_kernels.adopt(
                    draft.refs[rows[known]],
                    owners[rows[known]],
                    np.array([at_ms for at_ms, _ in samples], np.int64),
                    np.array([value for _, value in samples], np.float64),
                    self._summed,
                )
        return found

    def _grown(self, memory: npt.NDArray[Any], refs: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
        """`memory` with a place for every ref; also smaller again when the table is."""
        needed = max(self._table.capacity, int(refs.max(initial=-1)) + 1)
        if needed <= len(memory) <= max(8 * needed, 1 << 16):
            return memory
        grown = np.zeros(needed + needed // 4, memory.dtype)
        kept = min(len(memory), len(grown))
        grown[:kept] = memory[:kept]
        return grown

# ruff: noqa: PLR0917 - the parts of the head, in one order everywhere
"""How an answer is made: what it needs is taken under the head's lock, and decoded without it.

`take` finds the chunks of some series and copies their open and late samples (a fraction of a millisecond
for 2,000 series); `Taken` decodes and merges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.recent import gather_kernels as kernels
from setpoint.telemetry.recent.late import LateSamples
from setpoint.telemetry.recent.open_blocks import OpenBlocks, offsets_of
from setpoint.telemetry.recent.segment import Chunks, Segment, decode

__all__ = ["Columns", "Taken", "take"]

Columns = tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64]]
"""Times, values, and the offsets int64[n + 1] of n series in them."""

_STALE_BITS = 0x7FF0000000000002


@dataclass(frozen=True, slots=True)
class Taken:
    """What an answer about n series up to `until_ms` is made of; valid without the head's lock."""

    series: int
    until_ms: int
    chunks: Sequence[Chunks]
    open: Columns
    late: Columns
    is_late: npt.NDArray[np.bool_]

    def columns(self) -> Columns:
        """The samples in time order, the newest written of equal timestamps. Raises CorruptChunk."""
        everything = _Sorted(self.chunks, self.series)
        places = everything.lay_out(np.ones(len(everything.counts), np.bool_))
        times, values = everything.decode(places)
        open_times, open_values, open_offsets = self.open
        late_times, late_values, late_offsets = self.late
        return kernels.assemble(  # type: ignore[no-any-return]
            everything.bounds, places, everything.counts, everything.after_ms, self.until_ms, times, values,
            open_offsets, open_times, open_values, late_offsets, late_times, late_values, self.is_late,
        )  # fmt: skip

    def is_in_order(self) -> npt.NDArray[np.bool_]:
        """Whether the pieces of each series follow one another in time, bool[n]."""
        everything = _Sorted(self.chunks, self.series)
        first_ms, last_ms, *_ = everything.headers()
        ordered = np.ones(self.series, np.bool_)
        owners = np.repeat(np.arange(self.series), np.diff(everything.bounds))
        ordered[owners[1:][(owners[1:] == owners[:-1]) & (first_ms[1:] <= last_ms[:-1])]] = False
        open_times, _, open_offsets = self.open
        both = np.flatnonzero((np.diff(open_offsets) > 0) & (np.diff(everything.bounds) > 0))
        begins = open_times[open_offsets[both]]
        ordered[both[begins <= last_ms[everything.bounds[both + 1] - 1]]] = False
        return ordered

    def cumulative(self, edges_ms: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Reset-corrected values float64[n, k] at ascending edges int64[k]; only chunks that an edge cuts are
        decoded. Raises CorruptChunk.
        """
        if self.is_late.any():
            times, values, offsets = self.columns()
            return _cumulate(None, self.series, (times, values, offsets), edges_ms)
        return _cumulate(_Sorted(self.chunks, self.series), self.series, self.open, edges_ms)


class _Sorted:
    """Chunks of several segments in the order of the series that they belong to."""

    def __init__(self, parts: Sequence[Chunks], series: int) -> None:
        self._parts = parts
        owners = _joined([part.places for part in parts], np.int32)
        self._order = np.argsort(owners, kind="stable")
        self.counts = self._sorted([part.counts for part in parts], np.int64)
        self.after_ms = self._sorted([part.after_ms for part in parts], np.int64)
        self.bounds = offsets_of(np.bincount(owners, minlength=series))

    def lay_out(self, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Where the samples of each chunk go, in order; -1 for those that are not wanted."""
        offsets = offsets_of(np.where(wanted, self.counts, 0))
        return np.where(wanted, offsets[:-1], -1)

    def decode(self, places: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The samples of the chunks that have a place."""
        total = int(self.counts[places >= 0].sum())
        times, values = np.empty(total, np.int64), np.empty(total)
        given = np.empty_like(places)
        given[self._order] = places
        end = 0
        for part in self._parts:
            start, end = end, end + len(part.counts)
            into = given[start:end]
            decode(part if (into >= 0).all() else _only(part, into >= 0), into[into >= 0], times, values)
        return times, values

    def headers(self) -> tuple[npt.NDArray[Any], ...]:
        """(first_ms, last_ms, first, last, correction) of the chunks."""
        parts = self._parts
        return (
            self._sorted([part.first_ms for part in parts], np.int64),
            self._sorted([part.last_ms for part in parts], np.int64),
            self._sorted([part.summary.first for part in parts], np.float64),
            self._sorted([part.summary.last for part in parts], np.float64),
            self._sorted([part.summary.correction for part in parts], np.float64),
        )

    def _sorted(self, columns: list[npt.NDArray[Any]], dtype: type) -> npt.NDArray[Any]:
        return _joined(columns, dtype)[self._order]


def take(
    segments: Sequence[Segment],
    blocks: OpenBlocks,
    late: LateSamples,
    refs: npt.NDArray[np.int32],
    after_ms: int,
    until_ms: int,
) -> Taken:
    """What is needed to answer about `refs` int32[n] for after_ms < t <= until_ms; under the head's lock."""
    found = (segment.find(refs, after_ms, until_ms) for segment in segments)
    return Taken(
        len(refs),
        until_ms,
        [chunks for chunks in found if chunks is not None],
        blocks.read(refs, after_ms, until_ms),
        late.read(refs, after_ms, until_ms),
        (refs >= 0) & blocks.is_late[refs],
    )


def _cumulate(
    everything: _Sorted | None, series: int, rest: Columns, edges_ms: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    if everything is None:
        everything = _Sorted([], series)
    first_ms, last_ms, first, last, correction = everything.headers()
    cut = np.searchsorted(edges_ms, first_ms, "left") < np.searchsorted(edges_ms, last_ms, "left")
    unknown = correction.view(np.uint64) == _STALE_BITS
    places = everything.lay_out(cut | unknown | (first_ms <= everything.after_ms))
    times, values = everything.decode(places)
    rest_times, rest_values, rest_offsets = rest
    return kernels.cumulate(  # type: ignore[no-any-return]
        everything.bounds, places, everything.counts, everything.after_ms, first_ms, last_ms, first, last,
        correction, times, values, rest_offsets, rest_times, rest_values, edges_ms,
    )  # fmt: skip


def _only(part: Chunks, chosen: npt.NDArray[np.bool_]) -> Chunks:
    summary = part.summary
    return Chunks(
        part.payload, part.places[chosen], part.starts[chosen], part.ends[chosen], part.counts[chosen],
        part.first_ms[chosen], part.last_ms[chosen], part.after_ms[chosen], summary,
    )  # fmt: skip


def _joined(columns: list[npt.NDArray[Any]], dtype: type) -> npt.NDArray[Any]:
    return np.concatenate(columns) if columns else np.empty(0, dtype)

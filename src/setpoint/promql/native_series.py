"""The leaves of an expression where series hold native histograms: fetched samples, the newest one, windows.

A query asks for them beside its samples (`SelectHistograms`), selector by selector; where none are found, nothing here
runs again. Where some are, series of both kinds share their rows, and what the float kernels answered is
completed: a series may switch from floats to histograms and back, and at each step the newest sample of either counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from setpoint.promql.budget import Budget
from setpoint.promql.from_telemetry import (
    Labels,
    Matcher,
    SampleColumns,
    SelectHistograms,
    StoredHistograms,
)
from setpoint.promql.model import Matrix, Presence, Times
from setpoint.promql.native import GAUGE, NOT_RESET, RESET, UNKNOWN, Cells, Histogram
from setpoint.promql.native_decode import decoded
from setpoint.promql.nodes import LabelMatcher

if TYPE_CHECKING:
    from setpoint.promql.selectors import Windows

__all__ = [
    "NativeSamples",
    "fetch",
    "histogram_cells",
    "of_matrix",
    "with_newest",
    "with_raw",
    "without_stale",
]

Positions = npt.NDArray[np.int64]
Key = tuple[LabelMatcher, ...]

_BEFORE_MS = 300_000
"""How much earlier samples are fetched, too: a counter's histogram says whether it goes on from the one before."""


@dataclass(frozen=True, slots=True)
class NativeSamples:
    """Histograms of n series, row by row beside their float samples: series i owns `offsets[i]:offsets[i + 1]`.

    `timestamps_ms` int64[m] ascending within a series; `values` object[m], a Histogram each, or None where the
    sample says that the series ended.
    """

    offsets: Positions
    timestamps_ms: Positions
    values: Cells

    def rows(self) -> list[int]:
        """The series that have any."""
        return np.flatnonzero(np.diff(self.offsets)).tolist()

    def with_resets(self) -> NativeSamples:
        """The same, with a hint wherever a counter's sample has one before it.

        Prometheus reads samples so where only counts and sums are asked for, and then tells of conflicting resets;
        elsewhere a sample after a reset says nothing.
        """
        values = self.values.copy()
        starts = set(self.offsets.tolist())
        for place in range(1, len(values)):
            value, before = values[place], self.values[place - 1]
            if place not in starts and value is not None and before is not None and value.hint == UNKNOWN:
                values[place] = value.hinted(RESET if value.was_reset_since(before) else NOT_RESET)
        return NativeSamples(self.offsets, self.timestamps_ms, values)

    def of(self, row: int) -> tuple[Positions, Cells]:
        """Timestamps and histograms of a series."""
        within = slice(self.offsets[row], self.offsets[row + 1])
        return self.timestamps_ms[within], self.values[within]


def histogram_cells(shape: tuple[int, ...]) -> Cells:
    """Cells without any histogram."""
    return np.full(shape, None, np.object_)


def objects(histograms: Sequence[Histogram | None]) -> Cells:
    """A column of histograms."""
    column = np.empty(len(histograms), np.object_)
    column[:] = histograms
    return column


def fetch(
    fetches: Mapping[Key, tuple[int, int]],
    columns: Mapping[Key, SampleColumns],
    select: SelectHistograms | None,
    budget: Budget,
) -> tuple[Mapping[Key, SampleColumns], Mapping[Key, NativeSamples]]:
    """The histograms of each selector that has any, and its samples with the same rows."""
    if select is None:
        return columns, {}
    aligned, native = dict(columns), {}
    for key, (start_ms, end_ms) in fetches.items():
        budget.check()
        matchers = [Matcher(matcher.name, matcher.op, matcher.value) for matcher in key]
        stored = select(matchers, start_ms - _BEFORE_MS, end_ms)
        if stored is not None and len(stored.columns.rows):
            budget.spend(sum(map(len, stored.columns.payloads)) // 8)
            budget.fetched += len(stored.columns.rows)
            aligned[key], native[key] = _aligned(columns[key], stored, budget)
    return aligned, native


def _aligned(
    columns: SampleColumns, stored: StoredHistograms, budget: Budget
) -> tuple[SampleColumns, NativeSamples]:
    """Samples and histograms with one row per series of either, in the order of their labels."""
    places: dict[tuple[tuple[str, str], ...], list[int | None]] = {}
    for side, series in enumerate((columns.labels, stored.labels)):
        for row, named in enumerate(series):
            places.setdefault(tuple(sorted(named.items())), [None, None])[side] = row
    keys = sorted(places)
    labels: list[Labels] = []
    floats, times, histograms = [], [], []
    firsts = np.searchsorted(stored.columns.rows, np.arange(len(stored.labels) + 1))
    found = decoded(stored.columns.payloads, firsts, budget)
    none = np.empty(0, np.int64)
    for key in keys:
        own, native = places[key]
        labels.append(dict(key) if own is None else columns.labels[own])
        floats.append(slice(0, 0) if own is None else slice(columns.offsets[own], columns.offsets[own + 1]))
        within = slice(0, 0) if native is None else slice(firsts[native], firsts[native + 1])
        times.append(stored.columns.timestamps_ms[within])
        histograms.append(found[within])
    merged = SampleColumns(
        tuple(labels),
        _offsets([part.stop - part.start for part in floats]),
        np.concatenate([none, *(columns.timestamps_ms[part] for part in floats)]),
        np.concatenate([np.empty(0), *(columns.values[part] for part in floats)]),
    )
    return merged, NativeSamples(
        _offsets([len(part) for part in times]), np.concatenate([none, *times]), np.concatenate(histograms)
    )


def _offsets(counts: Sequence[int]) -> Positions:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts, dtype=np.int64)])


def _newest(
    samples: NativeSamples, row: int, float_times: Positions, ends: Times, lookback_ms: int
) -> tuple[npt.NDArray[np.intp], Presence]:
    """Per step the position of a series' newest histogram, and whether it is its newest sample at all."""
    times, _ = samples.of(row)
    newest = np.searchsorted(times, ends, side="right") - 1
    newest_float = np.searchsorted(float_times, ends, side="right") - 1
    at = times[np.maximum(newest, 0)]
    counts = (newest >= 0) & (at > ends - lookback_ms)
    if len(float_times):
        counts &= (newest_float < 0) | (at >= float_times[np.maximum(newest_float, 0)])
    return newest, counts


def with_newest(  # noqa: PLR0917 — the answer, and what it came from
    matrix: Matrix,
    samples: NativeSamples,
    columns: SampleColumns,
    ends: Times,
    lookback_ms: int,
    budget: Budget,
    *,
    as_times: bool = False,
) -> Matrix:
    """What the newest float samples answered, with histograms where those are newer; `as_times`: their seconds."""
    cells = histogram_cells(matrix.values.shape)
    values, present = matrix.values.copy(), matrix.present.copy()
    for row in budget.watch(samples.rows()):
        float_times = columns.timestamps_ms[columns.offsets[row] : columns.offsets[row + 1]]
        newest, counts = _newest(samples, row, float_times, ends, lookback_ms)
        times, histograms = samples.of(row)
        chosen = histograms[newest[counts]]
        live = np.array([histogram is not None for histogram in chosen], np.bool_)
        present[row, counts] = live
        if as_times:
            values[row, counts] = times[newest[counts]] / 1000
        else:
            cells[row, counts] = chosen
            values[row, counts] = 0.0
    if as_times:
        return replace(matrix, values=values, present=present)
    budget.spend(matrix.values.size)
    return replace(matrix, values=values, present=present, histograms=cells)


def without_stale(samples: NativeSamples) -> NativeSamples:
    """The histograms of range vectors, which leave out that a series ended."""
    live = np.array([value is not None for value in samples.values], np.bool_)
    if live.all():
        return samples
    kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(live, dtype=np.int64)])
    return NativeSamples(kept[samples.offsets], samples.timestamps_ms[live], samples.values[live])


def of_matrix(matrix: Matrix) -> NativeSamples | None:
    """The histograms of an evaluated vector as samples of a subquery, None without any.

    Their hints are forgotten: a subquery may skip samples, or see one several times.
    """
    if matrix.histograms is None:
        return None
    held = matrix.is_histogram
    if not held.any():
        return None
    values = [
        value if value.hint in (UNKNOWN, GAUGE) else value.hinted(UNKNOWN)
        for value in matrix.histograms[held]
    ]
    times = np.broadcast_to(matrix.times_ms, held.shape)[held]
    return NativeSamples(_offsets(held.sum(axis=1).tolist()), times, objects(values))


def with_raw(matrix: Matrix, found: Windows) -> Matrix:
    """The raw samples of a range vector at its first step, with its histograms among them."""
    samples = found.histograms
    if samples is None:
        return matrix
    end = int(found.ends[0])
    inside = (samples.timestamps_ms > end - found.range_ms) & (samples.timestamps_ms <= end)
    times = np.union1d(matrix.times_ms, samples.timestamps_ms[inside])
    shape = (len(matrix.labels), len(times))
    values, present, cells = np.zeros(shape), np.zeros(shape, np.bool_), histogram_cells(shape)
    own = np.searchsorted(times, matrix.times_ms)
    values[:, own], present[:, own] = matrix.values, matrix.present
    row = np.repeat(np.arange(shape[0]), np.diff(samples.offsets))[inside]
    column = np.searchsorted(times, samples.timestamps_ms[inside])
    cells[row, column] = samples.values[inside]
    present[row, column] = True
    return replace(matrix, times_ms=times, values=values, present=present, histograms=cells)

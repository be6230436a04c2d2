# ruff: noqa: PLR0917 - kernels take flat arrays
"""From chunks to samples: decoded, overlapping ones merged, cut to a range. `store` reads through here.

Chunks of a series overlap where samples came late, or came again after a crash. Of equal timestamps the one of the
later generation counts; within a generation the chunk that stands later.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled
from setpoint.telemetry.codec import decode_chunks, encode_chunks
from setpoint.telemetry.model import ChunkColumns
from setpoint.telemetry.time_kernels import first_after, settle

__all__ = ["Runs", "SeriesSamples", "decoded", "encoded", "joined", "merged", "run_bounds", "warm"]


class Runs(NamedTuple):
    """Runs of samples: run i is of one series, and owns positions `offsets[i]:offsets[i + 1]`, strictly ascending.

    `fingerprints` uint64[n], `generations` uint64[n], `offsets` int64[n + 1], `timestamps_ms` int64[m], `values`
    float64[m].
    """

    fingerprints: npt.NDArray[np.uint64]
    generations: npt.NDArray[np.uint64]
    offsets: npt.NDArray[np.int64]
    timestamps_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    def chosen(self, kept: npt.NDArray[np.int64], names: npt.NDArray[np.integer]) -> Runs:
        """The runs at positions `kept`; `names` int64[n] stand in the place of fingerprints."""
        lengths = np.diff(self.offsets)[kept]
        offsets = np.append(0, np.cumsum(lengths))
        places = np.repeat(self.offsets[:-1][kept] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Runs(
            names[kept].astype(np.uint64),
            self.generations[kept],
            offsets,
            self.timestamps_ms[places],
            self.values[places],
        )


class SeriesSamples(NamedTuple):
    """Samples by series: series i owns positions `offsets[i]:offsets[i + 1]`, strictly ascending, at least one.

    `fingerprints` uint64[n] ascending, `offsets` int64[n + 1], `timestamps_ms` int64[m], `values` float64[m].
    """

    fingerprints: npt.NDArray[np.uint64]
    offsets: npt.NDArray[np.int64]
    timestamps_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def decoded(
    fingerprints: npt.NDArray[np.uint64],
    generations: npt.NDArray[np.uint64],
    counts: npt.NDArray[np.integer],
    payload: npt.NDArray[np.uint8],
    offsets: npt.NDArray[np.int64],
) -> Runs:
    """Each chunk as a run. Raises CorruptChunk."""
    times, values, bounds = decode_chunks(payload, offsets, counts)
    return Runs(fingerprints, generations, bounds, times, values)


def encoded(
    fingerprints: npt.NDArray[np.uint64],
    timestamps_ms: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    span_ms: int,
) -> ChunkColumns:
    """Chunks of samples (columns of one length) that are sorted by series and time, no timestamp twice.

    No chunk contains a multiple of `span_ms` but as its first instant; a day holds whole spans.
    """
    bounds = run_bounds(fingerprints, timestamps_ms, span_ms)
    payload, offsets = encode_chunks(timestamps_ms, values, bounds)
    return ChunkColumns(
        fingerprints[bounds[:-1]],
        timestamps_ms[bounds[:-1]],
        timestamps_ms[bounds[1:] - 1],
        np.diff(bounds).astype(np.int32),
        offsets,
        payload,
    )


def run_bounds(
    fingerprints: npt.NDArray[np.uint64], timestamps_ms: npt.NDArray[np.int64], span_ms: int = 0
) -> npt.NDArray[np.int64]:
    """Where in sorted samples another series (or, if given, another span of time) begins, and the end: int64[n + 1]."""
    if not len(fingerprints):
        return np.zeros(1, np.int64)
    changes = fingerprints[1:] != fingerprints[:-1]
    if span_ms:
        spans = timestamps_ms // span_ms
        changes |= spans[1:] != spans[:-1]
    return np.concatenate(([0], np.flatnonzero(changes) + 1, [len(fingerprints)])).astype(np.int64)


def joined(first: Runs, second: Runs) -> Runs:
    """Both, one behind the other."""
    if not len(second.fingerprints):
        return first
    if not len(first.fingerprints):
        return second
    return Runs(
        np.concatenate((first.fingerprints, second.fingerprints)),
        np.concatenate((first.generations, second.generations)),
        np.concatenate((first.offsets, second.offsets[1:] + first.offsets[-1])),
        np.concatenate((first.timestamps_ms, second.timestamps_ms)),
        np.concatenate((first.values, second.values)),
    )


def merged(runs: Runs, start_ms: int, end_ms: int) -> SeriesSamples:
    """The samples with start_ms < t <= end_ms by series."""
    lengths = np.diff(runs.offsets)
    held = np.flatnonzero(lengths)
    starts = runs.offsets[:-1][held]
    order = held[np.lexsort((runs.generations[held], runs.timestamps_ms[starts], runs.fingerprints[held]))]
    fingerprints = runs.fingerprints[order]
    firsts = np.flatnonzero(np.append(True, fingerprints[1:] != fingerprints[:-1])) if len(order) else order
    times, values, sizes = _merge(
        np.append(firsts, len(order)),
        runs.offsets[:-1][order],
        runs.offsets[1:][order],
        runs.generations[order],
        runs.timestamps_ms,
        runs.values,
        start_ms,
        end_ms,
    )
    kept = np.flatnonzero(sizes)
    offsets = np.zeros(len(kept) + 1, np.int64)
    np.cumsum(sizes[kept], out=offsets[1:])
    return SeriesSamples(fingerprints[firsts[kept]], offsets, times, values)


@compiled
def _merge(
    bounds: Any,
    starts: Any,
    ends: Any,
    generations: Any,
    times: Any,
    values: Any,
    start_ms: Any,
    end_ms: Any,
) -> Any:
    """Per series (runs `bounds[i]:bounds[i + 1]`) its samples in the range: (times, values, sizes int64[n])."""
    total = 0
    lows, highs = np.empty(len(starts), np.int64), np.empty(len(starts), np.int64)
    for run in range(len(starts)):
        lows[run] = first_after(times, starts[run], ends[run], start_ms)
        highs[run] = first_after(times, lows[run], ends[run], end_ms)
        total += highs[run] - lows[run]
    out_times, out_values = np.empty(total, np.int64), np.empty(total, np.float64)
    sizes = np.zeros(max(len(bounds) - 1, 0), np.int64)
    at = 0
    for series in range(len(sizes)):
        chosen = np.arange(bounds[series], bounds[series + 1])
        newest = np.int64(-(2**63))
        overlaps = False
        for run in chosen:
            if lows[run] < highs[run]:
                overlaps |= newest != -(2**63) and times[lows[run]] <= newest
                newest = max(newest, times[highs[run] - 1])
        if overlaps:
            chosen = chosen[np.argsort(generations[chosen], kind="mergesort")]
        first = at
        for run in chosen:
            for place in range(lows[run], highs[run]):
                out_times[at] = times[place]
                out_values[at] = values[place]
                at += 1
        if overlaps:
            at = first + settle(out_times[first:at], out_values[first:at])
        sizes[series] = at - first
    return out_times[:at], out_values[:at], sizes


def warm() -> None:
    """Compile the kernels, or load them from the cache."""
    times, values = np.array([1, 2, 2], np.int64), np.zeros(3)
    word = np.zeros(2, np.uint64)
    merged(Runs(word, word, np.array([0, 2, 3], np.int64), times, values), 0, 3)

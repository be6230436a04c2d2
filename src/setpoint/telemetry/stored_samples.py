"""Stored chunks and late samples as `SampleColumns`: decoded some series at a time, in the order of their labels.

`store` reads through here. A question may touch far more samples than it asks for, because chunks are decoded whole and
those of compacted days span a day; so only the answer is kept, and it has a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

from setpoint.errors import InvalidInput
from setpoint.telemetry.blocks import StoredChunks
from setpoint.telemetry.chunk_samples import Runs, decoded, joined, merged
from setpoint.telemetry.columns import label_key
from setpoint.telemetry.model import Labels, SampleColumns

__all__ = ["SAMPLES_MAX", "labelled_samples", "refuse_excess"]

SAMPLES_MAX = 50_000_000
"""Samples of one answer, as many as a query may hold in memory: 800 MB."""

_DECODED_AT_ONCE = 4_000_000


def refuse_excess(samples: float) -> None:
    """Raise InvalidInput when an answer of so many samples is too large."""
    if samples > SAMPLES_MAX:
        raise InvalidInput(
            f"about {samples:,.0f} samples would be read, at most {SAMPLES_MAX:,} are: "
            "ask for fewer series or a shorter time"
        )


def labelled_samples(
    stored: StoredChunks,
    late: Runs,
    labels: Mapping[int, Labels],
    range_ms: tuple[int, int],
    *,
    is_ordered: bool = False,
) -> SampleColumns:
    """The samples in the range (its start excluded) of the series in `labels` (by fingerprint), empty ones left out.

    `is_ordered` says that `labels` are in the order of labels. Raises CorruptChunk.
    """
    start_ms, end_ms = range_ms
    fingerprints = np.fromiter(labels, np.uint64, len(labels))
    names = list(labels.values())
    order = list(range(len(names)))
    if not is_ordered:
        order.sort(key=lambda place: label_key(names[place]))
    ranks = _Ranks(fingerprints[order])
    chunk_ranks, late_ranks = ranks.of(stored.fingerprints), ranks.of(late.fingerprints)
    most = int(stored.counts.sum()) + len(late.values)
    times, values = np.empty(most, np.int64), np.empty(most, np.float64)
    kept, sizes, at = [], [], 0
    for first, last in _slices(chunk_ranks, stored.counts, len(names)):
        runs = joined(
            _decoded(stored, np.flatnonzero((chunk_ranks >= first) & (chunk_ranks < last)), chunk_ranks),
            late.chosen(np.flatnonzero((late_ranks >= first) & (late_ranks < last)), late_ranks),
        )
        found = merged(runs, start_ms, end_ms)
        end = at + len(found.values)
        refuse_excess(end)
        times[at:end], values[at:end], at = found.timestamps_ms, found.values, end
        kept.append(found.fingerprints)
        sizes.append(np.diff(found.offsets))
    if not at:
        return SampleColumns.empty()
    offsets = np.zeros(sum(map(len, sizes)) + 1, np.int64)
    np.cumsum(np.concatenate(sizes), out=offsets[1:])
    if 2 * at < most:
        times, values = times[:at].copy(), values[:at].copy()
    found_names = tuple(names[order[rank]] for rank in np.concatenate(kept).tolist())
    return SampleColumns(found_names, offsets, times[:at], values[:at])


class _Ranks:
    """The places of series in the order of their labels."""

    def __init__(self, fingerprints: npt.NDArray[np.uint64]) -> None:
        self._places = np.argsort(fingerprints)
        self._fingerprints = fingerprints[self._places]

    def of(self, fingerprints: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """The places int64[n], -1 for a series that is not wanted."""
        if not len(self._places):
            return np.full(len(fingerprints), -1, np.int64)
        found = np.minimum(np.searchsorted(self._fingerprints, fingerprints), len(self._places) - 1)
        known = self._fingerprints[found] == fingerprints
        return np.where(known, self._places[found], -1)


def _slices(
    ranks: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], series: int
) -> Iterator[tuple[int, int]]:
    """First and last + 1 of the series that are decoded together."""
    wanted = ranks >= 0
    ends = np.cumsum(np.bincount(ranks[wanted], counts[wanted], series))
    first = 0
    while first < series:
        before = ends[first - 1] if first else 0.0
        last = max(int(np.searchsorted(ends, before + _DECODED_AT_ONCE, "right")), first + 1)
        yield first, last
        first = last


def _decoded(stored: StoredChunks, places: npt.NDArray[np.int64], ranks: npt.NDArray[np.int64]) -> Runs:
    """Chunks as runs, ranks in the place of fingerprints."""
    chunks = stored.columns(places)
    return decoded(
        ranks[places].astype(np.uint64),
        stored.generations[places],
        chunks.counts,
        chunks.payload,
        chunks.offsets,
    )

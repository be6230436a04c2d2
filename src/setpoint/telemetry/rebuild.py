"""The start: the head filled with what is stored, and the journal replayed.

`app` calls it once, before anything is received. First what a killed flush left is cleared away (its chunks are
deleted, what it had finished is dropped from the journal), then the head takes the chunks of its horizon as they are,
and last the journal's generations that no flush has marked are replayed: the next flush stores them with its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.blocks import StoredChunks
from setpoint.telemetry.chunk_samples import decoded, encoded, merged
from setpoint.telemetry.head import Head
from setpoint.telemetry.model import ChunkColumns, Lease, RefBatch, Series
from setpoint.telemetry.store import SignalStore

__all__ = ["rebuild_head"]

_log = logging.getLogger(__name__)

_SPAN_MS = 2 * 3_600_000
"""What a chunk of the head may span; compaction makes longer ones."""

_INSERT_BYTES = 8 << 20

Progress = Callable[[int, int], None]


def rebuild_head(store: SignalStore, head: Head, now_ms: int, progress: Progress | None = None) -> int:
    """Fill `head` (which shares its series table with `store`) with the stored samples of its horizon before `now_ms`,
    declare it complete from there, and replay the journal.

    Calls `progress(done, total)` after each part, in samples. Returns the number of samples.
    """
    store.convert_samples(now_ms)
    open_generations = _recover(store)
    waiting = sum(open_generations.values())
    since_ms = now_ms - head.horizon_ms
    lease = store.table.lease()
    try:
        known = _Known(store, lease)
        done = total = 0
        for done, total, chunks in store.blocks.recent(since_ms):
            first, last = (int(chunks.fingerprints[place]) for place in (0, -1))
            known.add(store.series.recent(since_ms, first, last))
            _adopt(head, chunks, known, since_ms)
            _tell(progress, done, total + waiting)
        head.complete_from(since_ms)
        store.journal.adopt(list(open_generations))
        for generation in open_generations:
            for samples in store.journal.read(generation, known.refs_of):
                store.remember(RefBatch(lease, *samples), head)
                done += len(samples.values)
                _tell(progress, done, max(total + waiting, done))
    finally:
        lease.release()
    return done


def _tell(progress: Progress | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _recover(store: SignalStore) -> dict[int, int]:
    """Clear away what a killed flush left. The generations to replay, ascending, and how many samples each holds."""
    marked = store.blocks.newest_marked()
    deleted = store.blocks.delete_unmarked()
    if deleted:
        _log.info(
            "%d chunks of a flush that never ended were deleted; the journal still has their samples", deleted
        )
    stored = store.journal.stored()
    store.journal.drop([generation for generation in stored if generation <= marked])
    waiting = {generation: samples for generation, samples in stored.items() if generation > marked}
    _restore_series(store, waiting)
    return waiting


def _restore_series(store: SignalStore, generations: Iterable[int]) -> None:
    """Insert the rows of new series that groups took along, those of many groups together."""
    held: list[bytes] = []
    size = 0
    for generation in generations:
        for rows in store.journal.series(generation):
            held.append(rows)
            size += len(rows)
            if size >= _INSERT_BYTES:
                store.series.restore(b"".join(held))
                held, size = [], 0
    if held:
        store.series.restore(b"".join(held))


class _Known:
    """The refs of series that were loaded, by fingerprint."""

    def __init__(self, store: SignalStore, lease: Lease) -> None:
        self._store = store
        self._lease = lease
        self._fingerprints = np.empty(0, np.uint64)
        self._refs = np.empty(0, np.int32)

    def add(self, series: list[Series]) -> None:
        """Give stored series rows in the table; those that it refuses keep -1."""
        if not series:
            return
        refs = self._store.table.resolve(series, self._lease, written=True)
        taken = [place for place, ref in enumerate(refs.tolist()) if ref >= 0]
        self._store.series.learn(refs[taken], [series[place].service for place in taken])
        fingerprints = np.array([one.fingerprint for one in series], np.uint64)
        self._fingerprints = np.concatenate((self._fingerprints, fingerprints))
        self._refs = np.concatenate((self._refs, refs))
        order = np.argsort(self._fingerprints)
        self._fingerprints, self._refs = self._fingerprints[order], self._refs[order]

    def refs_of(self, fingerprints: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        """The refs of series, int32[n], loaded when they were not yet; -1 for what is not stored or was refused."""
        refs, missing = self._find(fingerprints)
        if missing.any():
            for series in self._store.series.named(np.unique(fingerprints[missing])):
                self.add(series)
            refs, missing = self._find(fingerprints)
            if missing.any():
                _log.error("%d series of stored samples are not in the table series", missing.sum())
        return refs

    def _find(
        self, fingerprints: npt.NDArray[np.uint64]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
        if not len(self._refs):
            return np.full(len(fingerprints), -1, np.int32), np.ones(len(fingerprints), np.bool_)
        places = np.minimum(np.searchsorted(self._fingerprints, fingerprints), len(self._refs) - 1)
        missing = self._fingerprints[places] != fingerprints
        return np.where(missing, np.int32(-1), self._refs[places]).astype(np.int32), missing


def _adopt(head: Head, chunks: StoredChunks, known: _Known, since_ms: int) -> None:
    """Hand chunks to the head; series with long or overlapping ones are encoded anew."""
    refs = known.refs_of(chunks.fingerprints)
    wanted = refs >= 0
    same = chunks.fingerprints[1:] == chunks.fingerprints[:-1]
    odd = chunks.last_ms - chunks.first_ms >= _SPAN_MS
    odd[1:] |= same & (chunks.first_ms[1:] <= chunks.last_ms[:-1])
    if odd.any():
        odd = np.isin(chunks.fingerprints, chunks.fingerprints[odd])
        again = _anew(chunks, np.flatnonzero(wanted & odd), since_ms)
        head.adopt(again, known.refs_of(again.fingerprints))
    plain = np.flatnonzero(wanted & ~odd)
    head.adopt(chunks.columns(plain), refs[plain])


def _anew(chunks: StoredChunks, places: npt.NDArray[np.int64], since_ms: int) -> ChunkColumns:
    columns = chunks.columns(places)
    found = merged(
        decoded(
            columns.fingerprints, chunks.generations[places], columns.counts, columns.payload, columns.offsets
        ),
        since_ms,
        2**62,
    )
    fingerprints = np.repeat(found.fingerprints, np.diff(found.offsets))
    return encoded(fingerprints, found.timestamps_ms, found.values, _SPAN_MS)

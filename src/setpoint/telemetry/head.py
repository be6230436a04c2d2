"""The head: the recent samples of every series in memory: evaluating objectives never waits for a database.

`ingest` appends what the store has taken, the flusher writes what the head has sealed, `read` fills it at
start and selects from it. The newest samples of a series are in an open block, older ones in encoded chunks,
which come in segments by time; samples that came late are kept beside them and merged when they are asked
for. Series are rows ("refs") of the `SeriesTable`.

One thread at a time appends, seals, adopts and evicts; any thread selects. A lock guards all of it and is
held for a fraction of a millisecond: an answer is found and copied under it in slices of 2,000 series, and
decoded without it, so neither an expensive query nor a flush delays evaluation or ingest. A select that runs
keeps what it may still need: the segments that were there since it began, and the rows of the series whose
samples it asked for. It costs 30 bytes a series, 12 an open sample, some 1.3 a sealed one and 56 a chunk of 60.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.model import ChunkColumns, Labels, Matcher, MetricBatch, RefBatch, SampleColumns
from setpoint.telemetry.recent.gather import Columns, Taken, take
from setpoint.telemetry.recent.late import LateSamples, in_order, joined, sorted_pieces
from setpoint.telemetry.recent.late_writes import LateWrites
from setpoint.telemetry.recent.open_blocks import NEVER_MS, OpenBlocks, Pieces, Samples, offsets_of
from setpoint.telemetry.recent.open_kernels import FULL, LATE, OLD, overlapping
from setpoint.telemetry.recent.segment import Segment, encoded
from setpoint.telemetry.recent.segments import Segments
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["Head"]

_ALWAYS_MS = 2**62
_SLICE = 2048
_SEALED_AT_ONCE = 8192
_FLUSHED_AT_ONCE = 100_000
_LATE_KEPT = 65_536

Admit = Callable[[int], None]
Look = Callable[[OpenBlocks, Segments, LateSamples], "_Seen"]
_Seen = TypeVar("_Seen")


def _admit_all(samples: int) -> None:
    pass


@dataclass(eq=False, slots=True)
class _Running:
    """A select that is under way: it needs samples later than `after_ms`, of `segments` or newer ones, but
    none of `removed`, whose refs may name other series by now.
    """

    after_ms: int
    segments: tuple[Segment, ...]
    removed: list[npt.NDArray[np.int32]] = field(default_factory=list)


class Head:
    """Samples of the last `horizon_ms`, by series. `table` says which series there are."""

    def __init__(self, horizon_ms: int, table: SeriesTable | None = None) -> None:
        """With a `table`, what was sealed or appended is kept until `flushed`, even beyond the horizon (it is
        not shown then); a head without one belongs to nobody's store and forgets what is too old.
        """
        self.table = table or SeriesTable()
        self._keeps = table is not None
        self._horizon_ms = horizon_ms
        self._lock = threading.Lock()
        self._open = OpenBlocks()
        self._late = LateSamples()
        self._old: list[Samples] = []
        self._segments = Segments(horizon_ms, self._keeps)
        self._running: set[_Running] = set()
        self._late_version = 0
        self._floor_ms = NEVER_MS
        self._dropped_ms = NEVER_MS  # the newest given up; later than the floor after a clock set back
        self._complete_from_ms = _ALWAYS_MS
        self._newest_ms: int | None = None
        self._oldest_write_ms: int | None = None
        self.late_writes = LateWrites()

    # ---- what is here ------------------------------------------------------------------------------------

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
        return self._open.series

    @property
    def sample_count(self) -> int:
        """Number of samples held."""
        with self._lock:
            is_late = self._open.is_late
            total = self._open.counted(self._floor_ms)
            for segment in self._segments.all:
                total += segment.visible(self._floor_ms, is_late, self._late_version)
            late = np.flatnonzero(is_late).astype(np.int32)
            for start in range(0, len(late), _SLICE):
                taken = self._take(
                    self._segments.all, late[start : start + _SLICE], self._floor_ms, _ALWAYS_MS
                )
                total += len(taken.columns()[0])
            return total

    @property
    def sample_bytes(self) -> int:
        """Bytes that hold samples, encoded or not (chunk table, labels and index not counted)."""
        memory = self.memory_bytes
        return memory["open"] + memory["chunks"] + memory["late"]

    @property
    def memory_bytes(self) -> Mapping[str, int]:
        """Bytes by part: open blocks, encoded chunks, the table of chunks, late samples, per-series rows."""
        with self._lock:
            return {
                "open": self._open.sample_bytes,
                "chunks": sum(segment.payload_bytes for segment in self._segments.all),
                "chunk_table": sum(segment.table_bytes for segment in self._segments.all),
                "late": self._late.sample_bytes,
                "series": self._open.ref_bytes,
            }

    def appended(self, refs: npt.NDArray[np.int32]) -> npt.NDArray[np.uint32]:
        """How many samples each of `refs` was sent since it became a series (wraps at 2^32), uint32[n]."""
        counts = np.zeros(len(refs), np.uint32)
        with self._lock:
            known = refs < self._open.capacity
            counts[known] = self._open.appended[refs[known]]
        return counts

    def complete_from(self, start_ms: int) -> None:
        """Declare that every stored sample later than `start_ms` is here."""
        with self._lock:
            self._complete_from_ms = start_ms

    def take_oldest_write_ms(self) -> int | None:
        """The oldest timestamp written since the last call, or None; too old and restored samples count."""
        with self._lock:
            oldest, self._oldest_write_ms = self._oldest_write_ms, None
            return oldest

    def look(self, look: Look[_Seen]) -> _Seen:
        """What `look` answers about the parts of the head; it is called with the lock held, so it must be quick."""
        with self._lock:
            self._open.make_room(self.table.capacity)
            return look(self._open, self._segments, self._late)

    # ---- samples in --------------------------------------------------------------------------------------

    def append(self, batch: RefBatch | MetricBatch) -> None:
        """Add samples in any order; one with the timestamp of an earlier one replaces its value."""
        self._write(batch, replace=True)

    def restore(self, batch: RefBatch | MetricBatch) -> None:
        """Add samples read back from the store; one that is already here stays, because it may be newer."""
        self._write(batch, replace=False)

    def adopt(self, chunks: ChunkColumns, refs: npt.NDArray[np.int32]) -> None:
        """Take stored chunks as they are; chunk i is of `refs[i]` (none if negative), ascending by `first_ms`
        within a series.

        Of equal timestamps in chunks that overlap, the later adopted wins; what was appended wins over both.
        """
        with self._lock:
            self._open.make_room(self.table.capacity)
            is_old = chunks.last_ms <= self._floor_ms
            self._dropped_ms = max(self._dropped_ms, int(chunks.last_ms[is_old].max(initial=NEVER_MS)))
            chosen = np.flatnonzero((refs >= 0) & ~is_old)
            if not len(chosen):
                return
            owners, last_ms = refs[chosen], chunks.last_ms[chosen]
            overlap, fresh = overlapping(owners, chunks.first_ms[chosen], last_ms, self._open.newest)
            self._open.series += fresh
            np.maximum.at(self._open.sealed, owners, last_ms)
            # What was appended meanwhile comes behind everything adopted, whatever its time.
            self._mark_late(owners[overlap | (self._open.appended[owners] > 0)])
            self._segments.adopt(chunks, refs, chosen[~overlap], self._open.capacity)
            if overlap.any():
                self._segments.adopt_late(chunks, refs, chosen[overlap], self._open.capacity)

    def _write(self, batch: RefBatch | MetricBatch, replace: bool) -> None:
        if isinstance(batch, RefBatch):
            self._write_samples(batch, Samples.of(batch, batch.refs), replace)
            return
        lease = self.table.lease(batch.sender)
        try:
            refs = self.table.resolve(batch.series, lease)
            self._write_samples(batch, Samples.of(batch, refs[batch.series_index]), replace, refs)
        finally:
            lease.release()

    def _write_samples(
        self,
        batch: RefBatch | MetricBatch,
        samples: Samples,
        replace: bool,
        refs: npt.NDArray[np.int32] | None = None,
    ) -> None:
        with self._lock:
            self._open.make_room(self.table.capacity)
            if batch.histograms is not None:
                rows = batch.histograms.rows if refs is None else refs[batch.histograms.rows]
                self._open.note(rows[rows >= 0], batch.histograms.timestamps_ms[rows >= 0])
            if not len(samples):
                return
            oldest, newest = int(samples.times.min()), int(samples.times.max())
            if self._oldest_write_ms is None or oldest < self._oldest_write_ms:
                self._oldest_write_ms = oldest
            if self._newest_ms is None or newest > self._newest_ms:
                self._newest_ms = newest
            if not replace:
                samples = in_order(samples)
            fates, dropped_ms = self._open.push(samples, self._floor_ms)
            self._dropped_ms = max(self._dropped_ms, dropped_ms)
            if dropped_ms > NEVER_MS:
                self.late_writes.note(old := samples.take(fates == OLD))
                if self._keeps:
                    self._old.insert(len(self._old) if replace else 0, old)
        if (fates == FULL).any():
            self._write_runs(samples.take(fates == FULL), replace)
        if (fates == LATE).any():
            with self._lock:
                self._write_late(samples.take(fates == LATE), replace)
        if self._late.count > _LATE_KEPT:
            self._seal_late()

    def _write_runs(self, samples: Samples, replace: bool) -> None:
        """Seal the blocks that are full, and go on with what comes after them."""
        with self._lock:
            full, rest, late = self._open.plan(samples)
        self._install(full, rest)
        with self._lock:
            self._write_late(late, replace)

    def _write_late(self, samples: Samples, replace: bool) -> None:
        self.late_writes.note(samples)
        samples = self._open.insert(samples, replace)
        if len(samples) and not replace:
            samples = samples.take(~self._is_here(samples))
        if len(samples):
            self._late.add(samples)
            self._mark_late(samples.refs)
            self._open.note(samples.refs, samples.times)

    def _is_here(self, samples: Samples) -> npt.NDArray[np.bool_]:
        refs, where = np.unique(samples.refs, return_inverse=True)
        taken = self._take(self._segments.all, refs, int(samples.times.min()) - 1, int(samples.times.max()))
        times, _, offsets = taken.columns()
        held = np.repeat(np.arange(len(refs)), np.diff(offsets))
        here = set(zip(held.tolist(), times.tolist(), strict=True))
        asked = zip(where.tolist(), samples.times.tolist(), strict=True)
        return np.array([one in here for one in asked], np.bool_)

    def _mark_late(self, refs: npt.NDArray[np.int32]) -> None:
        if len(refs):
            self._open.is_late[refs] = True
            self._late_version += 1

    # ---- sealing and flushing ----------------------------------------------------------------------------

    def seal(self) -> None:
        """Encode all open blocks and late samples: what was appended until now is in `unflushed`."""
        with self._lock:
            refs = np.flatnonzero(self._open.count).astype(np.int32)
        for start in range(0, len(refs), _SEALED_AT_ONCE):
            with self._lock:
                pieces = self._open.copy_out(refs[start : start + _SEALED_AT_ONCE])
            self._install(pieces)
        self._seal_late()
        with self._lock:
            self._seal_old()
            self._segments.seal()
            self._open.renew()

    def unflushed(self) -> Iterator[ChunkColumns]:
        """The chunks that the last `seal` and those before it left to be stored, in slices; samples that came
        too late for the head are among them. Any thread may ask.
        """
        with self._lock:
            segments = self._segments.to_store()
        for segment in segments:
            for start in range(0, segment.count, _FLUSHED_AT_ONCE):
                end = min(start + _FLUSHED_AT_ONCE, segment.count)
                refs, found = segment.columns(start, end)
                yield dataclasses.replace(found, fingerprints=self.table.fingerprints(refs))

    def flushed(self) -> None:
        """Say that what the last `unflushed` gave is stored."""
        with self._lock:
            self._segments.stored()

    def _install(self, pieces: Pieces, rest: Pieces | None = None, late: bool = False) -> None:
        """Make chunks of `pieces`, which leave the open blocks (or the late samples); `rest` becomes open."""
        columns, summary = encoded(pieces)
        with self._lock:
            if len(pieces.refs):
                self._segments.current(self._open.capacity).add(columns, pieces.refs, summary=summary)
                self._open.sealed_until(pieces.refs, columns.last_ms)
            if rest is not None:
                self._open.settle(rest)
            elif late:
                self._late.clear()
            else:
                self._open.empty(pieces.refs)

    def _seal_late(self) -> None:
        with self._lock:
            pieces = sorted_pieces(self._late.all())
        if len(pieces.refs):
            self._install(pieces, late=True)

    def _seal_old(self) -> None:
        """Make chunks, for the store only, of the samples that were too old; the lock is held."""
        if not self._old:
            return
        pieces = sorted_pieces(joined(self._old))
        columns, summary = encoded(pieces)
        segment = self._segments.current(self._open.capacity)
        segment.add(columns, pieces.refs, summary=summary, is_chained=False)
        self._old = []

    # ---- samples out -------------------------------------------------------------------------------------

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        """The samples held with start_ms < t <= end_ms, as copies, series in the order of their labels.

        Series without a sample in the range are left out. The label mappings are shared: do not change them.
        Raises InvalidInput for a bad expression, CorruptChunk for an adopted chunk that is damaged.
        """
        _, running = self._begin(start_ms)
        return self._select(running, matchers, end_ms)

    def select_covered(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, admit: Admit = _admit_all
    ) -> tuple[int, SampleColumns]:
        """`covers_from_ms`, and the samples later than it, taken at one moment (an eviction moves both).

        `admit` is told how many samples were decoded so far; it raises to end the select.
        """
        covers_from_ms, running = self._begin(start_ms, is_covered=True)
        return covers_from_ms, self._select(running, matchers, end_ms, admit)

    def select_increase(
        self, matchers: Sequence[Matcher], edges_ms: npt.NDArray[np.int64]
    ) -> tuple[tuple[Labels, ...], npt.NDArray[np.float64]]:
        """The counters that match, at ascending instants int64[k]: (labels, cumulative float64[n, k]).

        `cumulative[i, j]` is the value of the last sample of series i at or before edge j, plus what resets
        took from the counter after the first edge, so the difference of two columns is the increase between
        them; NaN where there is no sample. Stale markers are not samples. Chunks between two edges are not
        decoded. Raises as `select`.
        """
        _, running = self._begin(NEVER_MS)
        until_ms = int(edges_ms[-1]) if len(edges_ms) else NEVER_MS
        labels: list[Labels] = []
        parts = [np.empty((0, len(edges_ms)))]
        try:
            refs, all_labels = self.table.match_labels(matchers)
            for start in range(0, len(refs), _SLICE):
                found = self._taken(running, refs[start : start + _SLICE], until_ms).cumulative(edges_ms)
                held = ~np.isnan(found).all(axis=1)
                labels.extend(all_labels[start + place] for place in np.flatnonzero(held).tolist())
                parts.append(found[held])
        finally:
            self._end(running)
        return tuple(labels), np.concatenate(parts)

    def _begin(self, start_ms: int, is_covered: bool = False) -> tuple[int, _Running]:
        with self._lock:
            covers_from_ms = self.covers_from_ms
            running = _Running(
                max(start_ms, covers_from_ms if is_covered else self._floor_ms), self._segments.all
            )
            self._running.add(running)
            return covers_from_ms, running

    def _end(self, running: _Running) -> None:
        with self._lock:
            self._running.discard(running)

    def _select(
        self, running: _Running, matchers: Sequence[Matcher], end_ms: int, admit: Admit = _admit_all
    ) -> SampleColumns:
        parts: list[Columns] = []
        try:
            refs, labels = self.table.match_labels(matchers)
            for start in range(0, len(refs), _SLICE):
                parts.append(self._taken(running, refs[start : start + _SLICE], end_ms).columns())
                admit(sum(len(part[0]) for part in parts))
        finally:
            self._end(running)
        if not parts:
            return SampleColumns.empty()
        counts = np.concatenate([np.diff(offsets) for _, _, offsets in parts])
        held = np.flatnonzero(counts)
        if len(held) < len(labels):
            labels = tuple(labels[place] for place in held.tolist())
        if len(parts) == 1:
            times, values = parts[0][:2]
        else:
            times = np.concatenate([part[0] for part in parts])
            values = np.concatenate([part[1] for part in parts])
        return SampleColumns(labels, offsets_of(counts[held]), times, values)

    def _taken(self, running: _Running, refs: npt.NDArray[np.int32], until_ms: int) -> Taken:
        with self._lock:
            segments = self._segments.with_those(running.segments)
            for removed in running.removed:
                refs = np.where(np.isin(refs, removed), np.int32(-1), refs)
            return self._take(segments, refs, running.after_ms, until_ms)

    def _take(
        self, segments: Sequence[Segment], refs: npt.NDArray[np.int32], after_ms: int, until_ms: int
    ) -> Taken:
        self._open.make_room(self.table.capacity)
        return take(segments, self._open, self._late, refs, after_ms, max(until_ms, after_ms))

    # ---- eviction ----------------------------------------------------------------------------------------

    def evict(self, now_ms: int) -> None:
        """Drop the samples older than the horizon and series that have none left; give their memory back."""
        with self._lock:
            floor_ms = now_ms - self._horizon_ms
            if floor_ms < self._floor_ms:
                self._hide(self._floor_ms)  # the clock was set back: what is gone stays gone
            self._floor_ms = floor_ms
            before = self._segments.all
            self._dropped_ms = max(self._dropped_ms, self._segments.drop(floor_ms))
            for running in self._running:
                running.segments = self._segments.with_gone(running.segments, before)
            if self._late.count and not self._keeps:
                gone = self._late.keep_after(floor_ms)
                self._dropped_ms = max(self._dropped_ms, int(gone.times.max(initial=NEVER_MS)))
            self._settle_late()
            self._remove_series()

    def _hide(self, floor_ms: int) -> None:
        """Keep the samples at or before `floor_ms` from being seen again."""
        self._dropped_ms = max(self._dropped_ms, self._segments.hide(floor_ms))
        gone = joined([self._open.trim(floor_ms), self._late.keep_after(floor_ms)])
        self._dropped_ms = max(self._dropped_ms, int(gone.times.max(initial=NEVER_MS)))
        if self._keeps:
            self._old.insert(0, gone)
            self._seal_old()  # before what may now be appended again

    def _settle_late(self) -> None:
        """Find series that had late samples once and have none any more: they are cheaper to read."""
        is_late = self._open.is_late
        is_pending = np.zeros(len(is_late), np.bool_)
        is_pending[self._late.all().refs] = True
        refs = np.flatnonzero(is_late & ~is_pending)[:_SLICE].astype(np.int32)
        if len(refs):
            in_order = self._take(self._segments.all, refs, self._floor_ms, _ALWAYS_MS).is_in_order()
            is_late[refs[in_order]] = False
            self._late_version += 1

    def _remove_series(self) -> None:
        limit_ms = min([self._floor_ms, *(running.after_ms for running in self._running)])
        self._open.make_room(self.table.capacity)
        refs = np.flatnonzero(self._open.newest <= limit_ms).astype(np.int32)
        refs = refs[refs < self.table.capacity]
        if self._keeps:
            refs = refs[~self._is_unflushed(refs)]
        removed = self.table.remove(refs)
        if not len(removed):
            return
        self._dropped_ms = max(self._dropped_ms, int(self._open.newest[removed].max()))
        self._open.forget(removed)
        self._segments.forget(removed)
        for running in self._running:
            running.removed.append(removed)
        self._open.shrink(self.table.capacity)
        self._open.renew()

    def _is_unflushed(self, refs: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = self._open.count[refs] > 0
        for samples in (*self._old, self._late.all()):
            found |= np.isin(refs, samples.refs)
        return found | self._segments.is_unstored(refs)

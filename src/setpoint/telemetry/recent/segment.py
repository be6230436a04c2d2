"""Sealed chunks that came in one stretch of time: one array of bytes, and a table of chunks as columns.

The head keeps a list of segments, oldest first, and drops a whole segment when nothing in it can be seen any
more: no copying, and the memory goes back to the system at once. A segment is closed at every flush, and
after a twelfth of the horizon at the latest, so about a twelfth more than the horizon is held.

Chunks are only ever added, arrays that grow are replaced and never change where a chunk lies: who has taken
`Chunks` under the head's lock may decode them without it. Costs per chunk: its payload and 52 bytes; 4 bytes
per ref for the ends of the chains.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.codec import CorruptChunk, decode_into, encode_chunks
from setpoint.telemetry.model import ChunkColumns
from setpoint.telemetry.recent import segment_kernels as kernels
from setpoint.telemetry.recent.open_blocks import NEVER_MS, Pieces, offsets_of

__all__ = ["Chunks", "Order", "Segment", "Summary", "decode", "encoded"]

_ALWAYS_MS = 2**62
_CHUNK_BYTES = 52
_FEWEST = 8
_UNCHAINED = -2
_UNKNOWN = np.array([0x7FF0000000000002], np.uint64).view(np.float64)
"""The correction of a chunk that was adopted without looking into it (a NaN that no arithmetic gives)."""

Order = tuple[int, int, int]
"""Segments are read in this order, and of two samples with one timestamp the later read wins."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What is known of chunks without decoding them: first and last value (stale markers left out) and what
    the counter lost by resets in between, float64[n] each.
    """

    first: npt.NDArray[np.float64]
    last: npt.NDArray[np.float64]
    correction: npt.NDArray[np.float64]

    @classmethod
    def of(cls, pieces: Pieces) -> Summary:
        """The summary of samples that become chunks."""
        first, last, correction = (np.empty(len(pieces.refs)) for _ in range(3))
        kernels.summarise(pieces.values, pieces.offsets, first, last, correction)
        return cls(first, last, correction)


@dataclass(frozen=True, slots=True)
class Chunks:
    """Chunks of one segment that an answer needs, as equally long columns; valid without the head's lock.

    `places` int32[n] says for which of the asked refs, `after_ms` int64[n] that only later samples are seen.
    """

    payload: npt.NDArray[np.uint8]
    places: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    first_ms: npt.NDArray[np.int64]
    last_ms: npt.NDArray[np.int64]
    after_ms: npt.NDArray[np.int64]
    summary: Summary


def decode(
    chunks: Chunks, into: npt.NDArray[np.int64], times: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> None:
    """Decode `chunks` to the positions `into` int64[n]; raises CorruptChunk."""
    bad = decode_into(chunks.payload, chunks.starts, chunks.ends, chunks.counts, into, times, values)
    if bad >= 0:
        raise CorruptChunk


class Segment:
    """One array of chunks. Not thread-safe: the head holds its lock.

    `is_sealed`: a flush may take it; `is_stored`: it is in the store, or need not be. Samples at or before
    `hidden_ms` were given up and are not shown again when the clock is set back.
    """

    def __init__(self, order: Order, capacity: int, chunks: int = 0, payload_bytes: int = 0) -> None:
        """Room for refs below `capacity`; `chunks` and `payload_bytes` are what will probably be needed
        (memory that is never written to costs nothing).
        """
        self.order = order
        self.is_sealed = self.is_stored = False
        self.hidden_ms = NEVER_MS
        self.first_ms, self.last_ms = _ALWAYS_MS, NEVER_MS
        self.count = self.samples = 0
        self._newest = np.full(capacity, -1, np.int32)
        room = max(_FEWEST, chunks)
        self._refs = np.empty(room, np.int32)
        self._previous = np.empty(room, np.int32)
        self._starts = np.zeros(room + 1, np.uint32)
        self._counts = np.empty(room, np.int32)
        self._first_ms = np.empty(room, np.int64)
        self._spans_ms = np.empty(room, np.int32)
        self._first, self._last, self._correction = (np.empty(room) for _ in range(3))
        self._payload = np.empty(max(256, payload_bytes), np.uint8)
        self._counted: tuple[tuple[int, int, int], int] | None = None

    @property
    def payload_bytes(self) -> int:
        """Bytes of encoded samples."""
        return int(self._starts[self.count])

    @property
    def table_bytes(self) -> int:
        """Bytes of the chunk table and of the ends of the chains."""
        return _CHUNK_BYTES * self.count + self._newest.nbytes

    def add(
        self,
        columns: ChunkColumns,
        refs: npt.NDArray[np.int32],
        chosen: npt.NDArray[np.int64] | None = None,
        summary: Summary | None = None,
        is_chained: bool = True,
    ) -> None:
        """Take the chunks of `columns` (those at the positions `chosen`, or all); `refs` int32[n] says whose.

        Unchained chunks are kept for the store only. `columns.fingerprints` is not looked at.
        """
        if chosen is None:
            chosen = np.arange(len(refs))
        if not len(chosen):
            return
        first, end = self.count, self.count + len(chosen)
        sizes = columns.offsets[1:] - columns.offsets[:-1]
        self._make_room(end, self.payload_bytes + int(sizes[chosen].sum()), int(refs[chosen].max()) + 1)
        kernels.copy_chunks(
            columns.payload, columns.offsets, chosen, self._payload, self.payload_bytes, self._starts[first:]
        )
        self._refs[first:end] = refs[chosen]
        self._counts[first:end] = columns.counts[chosen]
        self._first_ms[first:end] = columns.first_ms[chosen]
        self._spans_ms[first:end] = columns.last_ms[chosen] - columns.first_ms[chosen]
        self._first[first:end] = np.nan if summary is None else summary.first[chosen]
        self._last[first:end] = np.nan if summary is None else summary.last[chosen]
        self._correction[first:end] = _UNKNOWN if summary is None else summary.correction[chosen]
        if is_chained:
            kernels.link(self._refs[first:end], first, self._newest, self._previous)
        else:
            self._previous[first:end] = _UNCHAINED
        self.count = end
        self.samples += int(columns.counts[chosen].sum())
        self.first_ms = min(self.first_ms, int(columns.first_ms[chosen].min()))
        self.last_ms = max(self.last_ms, int(columns.last_ms[chosen].max()))

    def find(self, refs: npt.NDArray[np.int32], after_ms: int, until_ms: int) -> Chunks | None:
        """The chunks of `refs` that may hold samples in (after_ms, until_ms], by ref and from old to new."""
        after_ms = max(after_ms, self.hidden_ms)
        if not self.count or self.first_ms > until_ms or self.last_ms <= after_ms:
            return None
        places, chunks = kernels.find_chunks(
            refs, after_ms, until_ms, self._newest, self._previous, self._first_ms, self._spans_ms
        )
        return self._chunks(places, chunks, after_ms) if len(chunks) else None

    def last_chunks(
        self,
        refs: npt.NDArray[np.int32],
        first_ms: npt.NDArray[np.int64],
        last_ms: npt.NDArray[np.int64],
        value: npt.NDArray[np.float64],
    ) -> None:
        """See `segment_kernels.last_chunks`."""
        kernels.last_chunks(
            refs, self._newest, self._first_ms, self._spans_ms, self._last, self._correction, self.hidden_ms,
            first_ms, last_ms, value,
        )  # fmt: skip

    def holds(self, refs: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Whether a chunk of each of `refs` is here, those kept for the store included."""
        found = np.zeros(len(refs), np.bool_)
        known = refs < len(self._newest)
        found[known] = self._newest[refs[known]] >= 0
        unchained = np.unique(self._refs[: self.count][self._previous[: self.count] == _UNCHAINED])
        return found | np.isin(refs, unchained)

    def forget(self, refs: npt.NDArray[np.int32]) -> None:
        """The chunks of `refs` are nobody's any more."""
        kernels.unlink(refs, self._newest)

    def visible(self, floor_ms: int, is_late: npt.NDArray[np.bool_], version: int) -> int:
        """Number of samples later than `floor_ms` of the series that are not late; `version` changes with
        `is_late`.
        """
        after_ms = max(floor_ms, self.hidden_ms)
        key = (after_ms, version, self.count)
        if self._counted is None or self._counted[0] != key:
            end = self.count
            total, partly = kernels.count_visible(
                after_ms, self._refs[:end], self._previous[:end], self._counts, self._first_ms, self._spans_ms,
                is_late,
            )  # fmt: skip
            if len(partly):
                times = self._times(partly, after_ms)
                total += int((times > after_ms).sum())
            self._counted = (key, total)
        return self._counted[1]

    def newest_until(self, until_ms: int) -> int:
        """The newest sample at or before `until_ms`, or NEVER_MS."""
        last_ms = self._first_ms[: self.count] + self._spans_ms[: self.count]
        newest = int(last_ms[last_ms <= until_ms].max(initial=NEVER_MS))
        partly = np.flatnonzero((last_ms > until_ms) & (self._first_ms[: self.count] <= until_ms))
        if len(partly):
            times = self._times(partly, NEVER_MS)
            newest = max(newest, int(times[times <= until_ms].max()))
        return newest

    def without_expired(self, floor_ms: int) -> Segment | None:
        """A copy without the chunks that end at or before `floor_ms`, if those are more than half of it."""
        floor_ms = max(floor_ms, self.hidden_ms)
        if self.first_ms > floor_ms:
            return None
        end = self.count
        alive = np.flatnonzero(self._first_ms[:end] + self._spans_ms[:end] > floor_ms)
        if 2 * int(self._counts[alive].sum()) > self.samples:
            return None
        made = Segment(self.order, len(self._newest), len(alive))
        made.is_sealed, made.is_stored, made.hidden_ms = self.is_sealed, self.is_stored, self.hidden_ms
        refs, columns = self.columns(0, end)
        made.add(columns, refs, alive, Summary(self._first, self._last, self._correction))
        return made

    def columns(self, start: int, end: int) -> tuple[npt.NDArray[np.int32], ChunkColumns]:
        """The chunks start:end and their refs; `fingerprints` is left empty. Views: valid for ever."""
        first_ms = self._first_ms[start:end]
        offsets = self._starts[start : end + 1].astype(np.int64)
        columns = ChunkColumns(
            np.empty(0, np.uint64), first_ms, first_ms + self._spans_ms[start:end], self._counts[start:end],
            offsets - offsets[0], self._payload[offsets[0] : offsets[-1]],
        )  # fmt: skip
        return self._refs[start:end], columns

    def _times(self, chunks: npt.NDArray[np.int64], after_ms: int) -> npt.NDArray[np.int64]:
        found = self._chunks(np.zeros(len(chunks), np.int32), chunks, after_ms)
        offsets = offsets_of(found.counts)
        times, values = np.empty(offsets[-1], np.int64), np.empty(offsets[-1])
        decode(found, offsets[:-1], times, values)
        return times

    def _chunks(self, places: npt.NDArray[np.int32], chunks: npt.NDArray[np.int64], after_ms: int) -> Chunks:
        first_ms = self._first_ms[chunks]
        return Chunks(
            self._payload,
            places,
            self._starts[chunks].astype(np.int64),
            self._starts[chunks + 1].astype(np.int64),
            self._counts[chunks].astype(np.int64),
            first_ms,
            first_ms + self._spans_ms[chunks],
            np.full(len(chunks), after_ms, np.int64),
            Summary(self._first[chunks], self._last[chunks], self._correction[chunks]),
        )

    def _make_room(self, chunks: int, payload_bytes: int, capacity: int) -> None:
        if capacity > len(self._newest):
            newest = np.full(max(capacity, len(self._newest) * 3 // 2), -1, np.int32)
            newest[: len(self._newest)] = self._newest
            self._newest = newest
        if payload_bytes > len(self._payload):
            payload = np.empty(max(payload_bytes, 2 * len(self._payload)), np.uint8)
            payload[: self.payload_bytes] = self._payload[: self.payload_bytes]
            self._payload = payload
        if chunks > len(self._refs):
            room = max(chunks, 2 * len(self._refs))
            for name in (
                "_refs", "_previous", "_counts", "_first_ms", "_spans_ms", "_first", "_last", "_correction",
            ):  # fmt: skip
                old = getattr(self, name)
                new = np.empty(room, old.dtype)
                new[: self.count] = old[: self.count]
                setattr(self, name, new)
            starts = np.zeros(room + 1, np.uint32)
            starts[: self.count + 1] = self._starts[: self.count + 1]
            self._starts = starts


def encoded(pieces: Pieces) -> tuple[ChunkColumns, Summary]:
    """`pieces` as chunks; the fingerprints are left empty."""
    payload, offsets = encode_chunks(pieces.times, pieces.values, pieces.offsets)
    starts, ends = pieces.offsets[:-1], pieces.offsets[1:]
    columns = ChunkColumns(
        np.empty(0, np.uint64), pieces.times[starts], pieces.times[ends - 1],
        (ends - starts).astype(np.int32), offsets, payload,
    )  # fmt: skip
    return columns, Summary.of(pieces)

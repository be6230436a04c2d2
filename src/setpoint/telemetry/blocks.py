"""The table `blocks`: encoded chunks on their way into the database and out of it.

`flush` writes what the head has sealed, `store` and `rebuild` read, compaction replaces whole days. Rows travel
as ClickHouse's RowBinary, built and taken apart by kernels, because a Python object per chunk would cost more than
everything else.

A chunk belongs to the generation of the journal whose flush wrote it. A generation counts when its marker is in
`flushes`; generations are marked in ascending order, so one number says which do. What a flush left behind when it was
killed has no marker and is deleted at the next start, when the journal is replayed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from setpoint.database import TelemetryDatabase, load_queries
from setpoint.errors import SetpointError
from setpoint.telemetry.block_rows import columns_of, count_rows, gathered, rows_of
from setpoint.telemetry.conditions import MATCHERS
from setpoint.telemetry.model import ChunkColumns

__all__ = ["DAY_MS", "Blocks", "DayState", "StoredChunks", "day_start_ms", "warm"]

DAY_MS = 86_400_000

_QUERIES = load_queries("setpoint.telemetry")
_COLUMNS = ("fingerprint", "first_ms", "last_ms", "samples", "generation", "payload")
_CHUNKS_AT_ONCE = 200_000
_DAYS_PER_INSERT = 50
"""ClickHouse refuses a block that falls into more than 100 partitions."""


def day_start_ms(instant_ms: int) -> int:
    """When the UTC day of an instant began: a chunk with samples since the instant does not begin earlier."""
    return max(instant_ms // DAY_MS * DAY_MS, -(2**63))


class StoredChunks(NamedTuple):
    """n chunks as they were read, sorted by fingerprint, then `first_ms`, then generation.

    `fingerprints` uint64[n], `first_ms`, `last_ms` int64[n] (inclusive), `counts` int64[n] (samples), `generations`
    uint64[n], and chunk i is `payload[starts[i]:ends[i]]` of uint8[k].
    """

    fingerprints: npt.NDArray[np.uint64]
    first_ms: npt.NDArray[np.int64]
    last_ms: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    generations: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    payload: npt.NDArray[np.uint8]

    def at(self, places: npt.NDArray[np.int64]) -> StoredChunks:
        """The chunks at these places, over the same payload."""
        *columns, payload = self
        return StoredChunks._make((*(column[places] for column in columns), payload))

    def columns(self, chosen: npt.NDArray[Any] | slice = slice(None)) -> ChunkColumns:
        """The chunks, or those at positions `chosen`, with their payloads one behind the other."""
        starts, ends = self.starts[chosen], self.ends[chosen]
        offsets = np.zeros(len(starts) + 1, np.int64)
        np.cumsum(ends - starts, out=offsets[1:])
        return ChunkColumns(
            self.fingerprints[chosen],
            self.first_ms[chosen],
            self.last_ms[chosen],
            self.counts[chosen].astype(np.int32),
            offsets,
            gathered(self.payload, starts, ends, offsets),
        )


class DayState(NamedTuple):
    """What a day's partition held at a moment, to notice that something was added since."""

    chunks: int
    newest_generation: int


class Extent(NamedTuple):
    """About how many samples a range has, in how many chunks, and when the first and last of these begin."""

    samples: float
    chunks: int
    oldest_ms: int
    newest_ms: int


class Blocks:
    """The stored chunks. Thread-safe."""

    def __init__(self, db: TelemetryDatabase) -> None:
        self._db = db
        self.guard = threading.Lock()
        """Held by who writes chunks: a flush from its first insert to its marker, compaction as it replaces a day."""

    # ---- writing -----------------------------------------------------------------------------------------

    def insert(
        self, chunks: ChunkColumns, generation: int | npt.NDArray[np.uint64], table: str = "blocks"
    ) -> None:
        """Store chunks of one generation, or of one each; those of many days as several inserts.

        Raises Unavailable when refused.
        """
        days = chunks.first_ms // DAY_MS
        if not len(days):
            return
        generations = np.broadcast_to(np.asarray(generation, np.uint64), days.shape)
        if int(days.max()) - int(days.min()) < _DAYS_PER_INSERT:
            self._insert(chunks, slice(None), generations, table)
            return
        order = np.argsort(days, kind="stable")
        numbers = np.cumsum(np.diff(days[order], prepend=days[order[0]]) != 0)
        for first in range(0, int(numbers[-1]) + 1, _DAYS_PER_INSERT):
            low, high = np.searchsorted(numbers, (first, first + _DAYS_PER_INSERT))
            self._insert(chunks, order[low:high], generations, table)

    def _insert(
        self,
        chunks: ChunkColumns,
        chosen: npt.NDArray[np.int64] | slice,
        generations: npt.NDArray[np.uint64],
        table: str,
    ) -> None:
        rows = rows_of(
            np.ascontiguousarray(chunks.fingerprints[chosen], np.uint64),
            np.ascontiguousarray(chunks.first_ms[chosen], np.int64),
            np.ascontiguousarray(chunks.last_ms[chosen], np.int64),
            np.ascontiguousarray(chunks.counts[chosen], np.int64),
            np.ascontiguousarray(generations[chosen], np.uint64),
            np.ascontiguousarray(chunks.offsets[:-1][chosen], np.int64),
            np.ascontiguousarray(chunks.offsets[1:][chosen], np.int64),
            np.ascontiguousarray(chunks.payload, np.uint8),
        )
        self._db.insert_rows(table, _COLUMNS, rows)

    def mark(self, generations: Sequence[int], now_ms: int) -> None:
        """Declare, at once, that `generations` (none without chunks missing) are wholly stored."""
        self._db.insert(
            "flushes",
            {
                "generation": np.array(generations, np.uint64),
                "flushed_ms": np.full(len(generations), now_ms, np.int64),
            },
        )

    def delete_unmarked(self) -> int:
        """Delete what flushes left behind that never ended; returns the number of chunks."""
        marked = self.newest_marked()
        found = self._db.query(_QUERIES["count_unmarked"], marked=marked)
        chunks = int(found["chunks"][0])
        if chunks:
            self._db.command(_QUERIES["delete_unmarked"], marked=marked)
        return chunks

    def day_state(self, day: int) -> DayState | None:
        """What the partition of a UTC day (its number since 1970) holds; None while a flush is not through with it."""
        found = self._db.query(_QUERIES["day_state"], day=day)
        state = DayState(int(found["chunks"][0]), int(found["generation"][0]))
        return state if state.newest_generation <= self.newest_marked() else None

    def replace_day(self, day: int, staged: str, expected: DayState) -> bool:
        """Replace the chunks of a day, at once, by those in the table `staged` (of the same structure).

        False, and nothing is changed, when the day is no longer as `expected`: chunks were added meanwhile.
        """
        with self.guard:
            if self.day_state(day) != expected:
                return False
            self._db.command(f"ALTER TABLE blocks REPLACE PARTITION {day:d} FROM {staged}")
            return True

    # ---- reading -----------------------------------------------------------------------------------------

    def newest_marked(self) -> int:
        """The newest generation that is wholly stored, 0 when none is."""
        return int(self._db.query(_QUERIES["newest_marked"])["generation"][0])

    def select(
        self,
        condition: str,
        parameters: Mapping[str, Any],
        start_ms: int,
        end_ms: int,
        extent: Extent | None = None,
    ) -> StoredChunks:
        """The chunks with samples in (start_ms, end_ms] of the series that satisfy an SQL condition on `series`.

        `extent` is what `estimate` told: many chunks are read in pieces, because the engine holds an answer in memory.
        """
        statement = _QUERIES["read_chunks"].replace(MATCHERS, condition)
        low_ms = day_start_ms(start_ms)
        return _joined(
            [
                self.read(statement, {**parameters, "start_ms": start_ms, **piece})
                for piece in _pieces(extent, low_ms, end_ms)
            ]
        )

    def estimate(self, condition: str, parameters: Mapping[str, Any], start_ms: int, end_ms: int) -> Extent:
        """How much `select` would find in (start_ms, end_ms]."""
        statement = _QUERIES["estimate_chunks"].replace(MATCHERS, condition)
        range_ms = {"start_ms": start_ms, "end_ms": end_ms, "day_ms": day_start_ms(start_ms)}
        found = self._db.query(statement, **parameters, **range_ms)
        return Extent(
            float(found["samples"][0]),
            int(found["chunks"][0]),
            int(found["oldest_ms"][0]),
            int(found["newest_ms"][0]),
        )

    def recent(
        self, since_ms: int, chunks_per_slice: int = 200_000
    ) -> Iterator[tuple[int, int, StoredChunks]]:
        """The chunks with samples later than `since_ms`, in slices of whole series: (done, total, chunks).

        `total` is the number of their samples (whole chunks), `done` how many have come.
        """
        day_ms = day_start_ms(since_ms)
        found = self._db.query(_QUERIES["count_chunks_since"], since_ms=since_ms, day_ms=day_ms)
        chunks, total, done = int(found["chunks"][0]), int(found["samples"][0]), 0
        # Fingerprints are hashes, so equal ranges of them hold about equally many series.
        slices = -(-chunks // chunks_per_slice)
        for number in range(slices):
            part = self.read(
                _QUERIES["read_chunks_since"],
                {
                    "since_ms": since_ms,
                    "day_ms": day_ms,
                    "first": (number << 64) // slices,
                    "last": ((number + 1) << 64) // slices - 1,
                },
            )
            done += int(part.counts.sum())
            yield done, max(total, done), part

    def read_day(self, day: int) -> StoredChunks:
        """All chunks of a UTC day (its number since 1970)."""
        return self.read(_QUERIES["read_day"], {"day": day})

    def read(self, statement: str, parameters: Mapping[str, Any]) -> StoredChunks:
        """What a query for the columns of `blocks`, in their order, finds."""
        data = np.frombuffer(self._db.query_rows(statement, **parameters), np.uint8)
        count = count_rows(data)
        if count < 0:
            raise SetpointError("the telemetry database answered with rows that end early; look into its log")
        return _sorted(StoredChunks._make((*columns_of(data, count), data)))


def _pieces(extent: Extent | None, low_ms: int, high_ms: int) -> Iterator[dict[str, int]]:
    """What `read_chunks` is asked for: whole days, some at a time, and where days are too large parts of their series.

    Fingerprints are hashes, so equal ranges of them hold about equally many series.
    """
    wanted = 1 if extent is None else max(1, -(-extent.chunks // _CHUNKS_AT_ONCE))
    edges: list[int] = []
    if extent is not None and wanted > 1:
        first, last = extent.oldest_ms // DAY_MS, extent.newest_ms // DAY_MS
        each = max(1, (last - first + 1) // wanted)
        edges = [day * DAY_MS for day in range(first + each, last + 1, each)]
    parts = -(-wanted // (len(edges) + 1))
    for low, high in zip([low_ms, *edges], [*(edge - 1 for edge in edges), high_ms], strict=True):
        for number in range(parts):
            yield {
                "low_ms": low,
                "high_ms": high,
                "first": (number << 64) // parts,
                "last": ((number + 1) << 64) // parts - 1,
            }


def _joined(pieces: Sequence[StoredChunks]) -> StoredChunks:
    """The chunks of all pieces, sorted."""
    if len(pieces) == 1:
        return pieces[0]
    sizes = [len(one.payload) for one in pieces]
    shifts = np.repeat(np.cumsum([0, *sizes[:-1]]), [len(one.counts) for one in pieces])
    whole = StoredChunks._make(np.concatenate(column) for column in zip(*pieces, strict=True))
    return _sorted(whole._replace(starts=whole.starts + shifts, ends=whole.ends + shifts))


def _sorted(chunks: StoredChunks) -> StoredChunks:
    return chunks.at(np.lexsort((chunks.generations, chunks.first_ms, chunks.fingerprints)))


def warm() -> None:
    """Compile the kernels, or load them from the cache."""
    one, payload = np.zeros(1, np.int64), np.zeros(1, np.uint8)
    data = rows_of(one.astype(np.uint64), one, one, one, one.astype(np.uint64), one, one + 1, payload)
    StoredChunks._make((*columns_of(data, count_rows(data)), data)).columns()

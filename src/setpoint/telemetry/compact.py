"""Compaction: the many small chunks of a finished day become few large ones, and rollups are made on the way.

`housekeeping` runs it at night. A day is rewritten aside, in `blocks_staged`, and put in place by one REPLACE
PARTITION, so a reader sees the day before or after, never between.

Nothing acknowledged is lost, whatever happens meanwhile:

- REPLACE PARTITION drops every part of the day, also those that a flush wrote after the day was read. So
  compaction reads up to the newest generation that is wholly stored, and under `Blocks.guard`, which a flush
  holds from its first chunk to its marker, takes over what was written since, unread, and replaces then. What
  was taken over is merged the next night.
- Compacted chunks have generation 0. A day with chunks of another generation is dirty; that is all the state
  there is, so a process killed anywhere begins the day anew and writes the same. A late sample has a later
  generation than any compacted chunk and wins over it, as it must.
- Rollups are stored before the day is replaced, so a day that is not dirty is rolled up. A rollup is not
  overwritten by one of fewer samples: late samples of a day whose others are gone would empty it.

Of a day that was compacted before only the series with new chunks are decoded; the others are copied inside
the engine. Memory is bounded by slices of series: fingerprints are hashes, so equal ranges of them hold about
equally many samples.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.clock import stopwatch
from setpoint.database import TelemetryDatabase, load_queries
from setpoint.telemetry.blocks import Blocks, StoredChunks
from setpoint.telemetry.chunk_samples import SeriesSamples, decoded, merged
from setpoint.telemetry.codec import encode_chunks
from setpoint.telemetry.model import ChunkColumns
from setpoint.telemetry.rollup import DAY_MS, roll
from setpoint.telemetry.rollup_store import Rollups

__all__ = ["CHUNK_SAMPLES", "COMPACTED", "Compacted", "Compactor", "Expired", "rechunked"]

CHUNK_SAMPLES = 1440
"""Samples of a compacted chunk at most: a quarter of a day at 15 s. Longer ones are hardly smaller, and a query
decodes whole chunks."""

COMPACTED = 0
"""The generation of a compacted chunk."""

_QUERIES = load_queries("setpoint.telemetry")
_EXPIRED = "/* expired */"
_INSERT_BYTES = 8 << 20
"""Chunks wait for each other until they are worth a part of their own."""

_log = logging.getLogger(__name__)

Expired = tuple[str, Mapping[str, Any]]
"""Series of which a day is no longer kept: an SQL condition on the table `series`, and its parameters."""

NOTHING_EXPIRED: Expired = ("0", {})


@dataclass(frozen=True, slots=True)
class Compacted:
    """What compacting a day did; bytes are those of the payloads, without what was copied as it was."""

    day: int
    series: int
    samples: int
    chunks_before: int
    chunks_after: int
    bytes_before: int
    bytes_after: int
    rollup_bytes: int
    took_s: float


class Stopped(Exception):
    """Compaction was told to stop; what it staged is thrown away."""


def _never(took_s: float) -> bool:
    del took_s
    return False


class Compactor:
    """Rewrites finished days. One thread at a time."""

    def __init__(
        self,
        db: TelemetryDatabase,
        blocks: Blocks,
        rollups: Rollups,
        slice_samples: int = 500_000,
    ) -> None:
        """A slice of `slice_samples` takes about 60 bytes of memory for each."""
        self._db = db
        self._blocks = blocks
        self._rollups = rollups
        self._slice_samples = slice_samples

    def dirty_days(self, before_day: int) -> list[int]:
        """The UTC days (numbers since 1970) before `before_day` that have something to compact, in order."""
        found = self._db.query(_QUERIES["dirty_days"], before=before_day, upto=self._blocks.newest_marked())
        return [int(day) for day in found["day"].tolist()]

    def compact(
        self, day: int, expired: Expired = NOTHING_EXPIRED, pause: Callable[[float], bool] = _never
    ) -> Compacted:
        """Rewrite a UTC day; the samples of `expired` series are left out, and their rollups left alone.

        `pause(took_s)` is called after each slice of work with the seconds that it took, so that the rest of
        the server gets its turn; True stops the compaction. Raises CorruptChunk when a chunk is damaged,
        Unavailable when the engine refuses, Stopped when told to; the day is as it was then.
        """
        elapsed_s = stopwatch()
        upto = self._blocks.newest_marked()
        self._db.command("TRUNCATE TABLE blocks_staged")
        size = self._db.query(_QUERIES["compaction_size"], day=day, upto=upto)
        if int(size["other_chunks"][0]):
            self._stage("stage_compacted", expired, day=day, upto=upto)
        work = _Day(self._blocks, self._rollups, day, upto)
        slices = max(1, -(-int(size["samples"][0]) // self._slice_samples))
        for number in range(slices):
            since_s = elapsed_s()
            first, last = (number << 64) // slices, ((number + 1) << 64) // slices - 1
            chunks = self._read(day, upto, expired, first, last)
            if len(chunks.starts):
                work.add(chunks, self._rolled(day, first, last))
            if pause(elapsed_s() - since_s):
                raise Stopped
        work.finish()
        self._replace(day, upto)
        return work.report(elapsed_s())

    def _read(self, day: int, upto: int, expired: Expired, first: int, last: int) -> StoredChunks:
        condition, parameters = expired
        return self._blocks.read(
            _QUERIES["read_compaction"].replace(_EXPIRED, condition),
            {**parameters, "day": day, "upto": upto, "first": first, "last": last},
        )

    def _rolled(self, day: int, first: int, last: int) -> dict[int, int]:
        found = self._db.query(_QUERIES["rolled_samples"], day=day, first=first, last=last)
        return dict(zip(found["fingerprint"].tolist(), found["samples"].tolist(), strict=True))

    def _stage(self, query: str, expired: Expired, **parameters: Any) -> None:
        condition, more = expired
        self._db.command(_QUERIES[query].replace(_EXPIRED, condition), **parameters, **more)

    def _replace(self, day: int, upto: int) -> None:
        with self._blocks.guard:
            if int(self._db.query(_QUERIES["count_added"], day=day, upto=upto)["chunks"][0]):
                self._db.command(_QUERIES["stage_added"], day=day, upto=upto)
            if int(self._db.query(_QUERIES["count_staged"])["chunks"][0]):
                self._db.command(f"ALTER TABLE blocks REPLACE PARTITION {day:d} FROM blocks_staged")
            else:
                self._db.command(f"ALTER TABLE blocks DROP PARTITION {day:d}")
        self._db.command("TRUNCATE TABLE blocks_staged")


class _Day:
    """A day on its way to `blocks_staged` and `rollups`, slice by slice; rows wait until they fill an insert."""

    def __init__(self, blocks: Blocks, rollups: Rollups, day: int, version: int) -> None:
        self._blocks = blocks
        self._rollups = rollups
        self._day = day
        self._version = version
        self._chunks: list[ChunkColumns] = []
        self._rows: list[npt.NDArray[np.uint8]] = []
        self._series = self._samples = self._chunks_before = self._chunks_after = 0
        self._bytes_before = self._bytes_after = self._rollup_bytes = 0

    def add(self, chunks: StoredChunks, rolled: Mapping[int, int]) -> None:
        """Merge, re-encode and roll up whole series; `rolled` says of how many samples their rollups are now."""
        columns = chunks.columns()
        runs = decoded(
            columns.fingerprints, chunks.generations, columns.counts, columns.payload, columns.offsets
        )
        samples = merged(runs, self._day * DAY_MS - 1, (self._day + 1) * DAY_MS - 1)
        compacted = rechunked(samples)
        self._roll(samples, rolled)
        self._chunks.append(compacted)
        self._series += len(samples.fingerprints)
        self._samples += len(samples.timestamps_ms)
        self._chunks_before += len(columns.fingerprints)
        self._chunks_after += len(compacted.fingerprints)
        self._bytes_before += len(columns.payload)
        self._bytes_after += len(compacted.payload)
        if sum(len(one.payload) for one in self._chunks) >= _INSERT_BYTES:
            self._insert_chunks()
        if sum(map(len, self._rows)) >= _INSERT_BYTES:
            self._insert_rows()

    def finish(self) -> None:
        """Store what waits."""
        self._insert_rows()
        self._insert_chunks()

    def report(self, took_s: float) -> Compacted:
        """What was done."""
        return Compacted(
            self._day,
            self._series,
            self._samples,
            self._chunks_before,
            self._chunks_after,
            self._bytes_before,
            self._bytes_after,
            self._rollup_bytes,
            took_s,
        )

    def _roll(self, samples: SeriesSamples, rolled: Mapping[int, int]) -> None:
        buckets = roll(self._day * DAY_MS, samples.offsets, samples.timestamps_ms, samples.values)
        counts = np.diff(samples.offsets)
        known = [rolled.get(one, 0) for one in samples.fingerprints.tolist()] if rolled else 0
        rows = self._rollups.rows(
            self._day, samples.fingerprints, counts, buckets, self._version, chosen=counts >= known
        )
        self._rows.append(rows)
        self._rollup_bytes += len(rows)

    def _insert_rows(self) -> None:
        if self._rows:
            self._rollups.insert_rows(np.concatenate(self._rows))
        self._rows = []

    def _insert_chunks(self) -> None:
        for one in self._chunks[:1]:
            self._blocks.insert(
                _together(self._chunks) if self._chunks[1:] else one, COMPACTED, "blocks_staged"
            )
        self._chunks = []


def rechunked(samples: SeriesSamples) -> ChunkColumns:
    """`samples` of one UTC day as chunks of up to `CHUNK_SAMPLES`, those of a series about equally long."""
    sizes = np.diff(samples.offsets)
    parts = -(-sizes // CHUNK_SAMPLES)
    owner = np.repeat(np.arange(len(sizes)), parts)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(parts) - parts, parts)
    offsets = np.append(samples.offsets[owner] + number * sizes[owner] // parts[owner], samples.offsets[-1:])
    payload, bounds = encode_chunks(samples.timestamps_ms, samples.values, offsets)
    return ChunkColumns(
        samples.fingerprints[owner],
        samples.timestamps_ms[offsets[:-1]],
        samples.timestamps_ms[offsets[1:] - 1],
        np.diff(offsets).astype(np.int32),
        bounds,
        payload,
    )


def _together(parts: list[ChunkColumns]) -> ChunkColumns:
    shifts = np.cumsum([0, *(part.offsets[-1] for part in parts[:-1])])
    return ChunkColumns(
        np.concatenate([part.fingerprints for part in parts]),
        np.concatenate([part.first_ms for part in parts]),
        np.concatenate([part.last_ms for part in parts]),
        np.concatenate([part.counts for part in parts]),
        np.concatenate(
            [
                *(part.offsets[:-1] + shift for part, shift in zip(parts, shifts, strict=True)),
                shifts[-1:] + parts[-1].offsets[-1:],
            ]
        ),
        np.concatenate([part.payload for part in parts]),
    )

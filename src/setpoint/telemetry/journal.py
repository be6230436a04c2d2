"""The journal: what was acknowledged and is not in `blocks` yet, one row per group commit.

The writer appends to the newest generation, which is a table of its own; a flush begins another one, and when its
chunks are stored and marked the older tables are dropped. What has no mark when the server starts is replayed
(`rebuild`).

The embedded engine appends to a StripeLog: no parts and no merges, half the cost of a small group (decision 0014); it
truncates what a killed process left unfinished. A server keeps a MergeTree, which it can replicate.

Generations are numbered in steps, so that the chunks of one flush have numbers of their own, ascending in the order in
which they were written, all above those of the generation before and none above the generation that is marked.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from setpoint.database import TelemetryDatabase, load_queries
from setpoint.telemetry.journal_codec import (
    CorruptJournal,
    JournalDecoder,
    JournalEncoder,
    JournalSamples,
    Resolve,
)

__all__ = ["GENERATION_STEP", "Journal"]

GENERATION_STEP = 1 << 16

_QUERIES = load_queries("setpoint.telemetry")
_COLUMNS = ("generation", "seq", "samples", "block")
_JOURNAL = "/* journal */"
_NAME = re.compile(r"journal_([0-9]+)")
_EMBEDDED = "StripeLog"
_SERVED = "MergeTree ORDER BY seq SETTINGS old_parts_lifetime = 30, max_bytes_to_merge_at_max_space_in_pool = 1048576"
_ROWS_AT_ONCE = 5_000
_SAMPLES_AT_ONCE = 4_000_000

_log = logging.getLogger(__name__)


class Journal:
    """The journal. `write` and `end` belong to one thread, the rest to any."""

    def __init__(self, db: TelemetryDatabase) -> None:
        self._db = db
        self._encoder = JournalEncoder()
        self._guard = threading.Lock()
        self._newest: int | None = None
        self._generation = 0
        self._seq = 0
        self._samples = 0
        self._open: tuple[int, ...] = ()

    @property
    def samples(self) -> int:
        """Samples written since the last `end`."""
        return self._samples

    @property
    def open(self) -> tuple[int, ...]:
        """The generations, ascending, that were not dropped."""
        return self._open

    def end(self) -> tuple[int, ...]:
        """End the generation that is written now, if there is one; the next `write` begins another. Returns `open`."""
        self._generation = self._samples = 0
        return self._open

    def _begin(self) -> None:
        if self._newest is None:
            found = self._db.query(_QUERIES["newest_generation"])
            self._newest = max(int(found["generation"][0]), *self._tables(), 0)
        self._newest = (self._newest // GENERATION_STEP + 1) * GENERATION_STEP
        engine = _EMBEDDED if self._db.is_embedded else _SERVED
        self._db.command(
            f"CREATE TABLE {_table(self._newest)} {_QUERIES['journal_columns']} ENGINE = {engine}"
        )
        with self._guard:
            self._open = (*self._open, self._newest)
        self._generation, self._seq = self._newest, 0
        self._encoder.start_anew()

    def write(
        self,
        refs: npt.NDArray[np.int32],
        fingerprints: npt.NDArray[np.uint64],
        timestamps_ms: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> None:
        """Store a group; when it returns, the group is on disk. Raises Unavailable when the database refuses."""
        if not self._generation:
            self._begin()
        block = self._encoder.encode(refs, fingerprints, timestamps_ms, values)
        try:
            self._db.insert_rows(
                _table(self._generation), _COLUMNS, _row(self._generation, self._seq, len(refs), block)
            )
        except BaseException:
            self._encoder.start_anew()  # the next block must not build on one that may not be there
            raise
        finally:
            self._seq += 1
        self._samples += len(refs)

    def stored(self) -> dict[int, int]:
        """The generations in the database, ascending, and how many samples each holds."""
        generations = self._tables()
        if not generations:
            return {}
        found = self._db.query(_QUERIES["count_journal"])
        samples = dict(zip(found["generation"].tolist(), found["samples"].tolist(), strict=True))
        return {generation: samples.get(generation, 0) for generation in generations}

    def _tables(self) -> list[int]:
        names = self._db.query(_QUERIES["list_journals"])["name"].tolist()
        return sorted(int(found[1]) for name in names if (found := _NAME.fullmatch(name)))

    def read(self, generation: int, resolve: Resolve) -> Iterator[JournalSamples]:
        """The groups of a generation in the order in which they were written.

        A damaged group is logged and left out, and the generation stays open.
        """
        decoder = JournalDecoder(resolve)
        for first, last in self._ranges(generation):
            rows = self._db.query_rows(
                _QUERIES["read_journal"].replace(_JOURNAL, _table(generation)), first=first, last=last
            )
            for seq, block in _parsed(rows):
                try:
                    yield decoder.decode(block)
                except CorruptJournal as error:
                    _log.error("group %d of the journal's generation %d is lost: %s", seq, generation, error)

    def _ranges(self, generation: int) -> Iterator[tuple[int, int]]:
        """First and last number of rows that are read together, so that memory stays bounded."""
        found = self._db.query(_QUERIES["list_journal"].replace(_JOURNAL, _table(generation)))
        first, rows, samples = None, 0, 0
        for seq, count in zip(found["seq"].tolist(), found["samples"].tolist(), strict=True):
            if first is not None and (rows == _ROWS_AT_ONCE or samples + count > _SAMPLES_AT_ONCE):
                yield first, seq - 1
                first, rows, samples = None, 0, 0
            first = seq if first is None else first
            rows += 1
            samples += count
        if first is not None:
            yield first, seq

    def adopt(self, generations: Sequence[int]) -> None:
        """Count generations, found at start and replayed, as open: the next flush holds their samples, too."""
        with self._guard:
            self._open = tuple(sorted({*self._open, *generations}))

    def drop(self, generations: Sequence[int]) -> None:
        """Delete whole generations. Raises Unavailable when the database refuses; it may be called again."""
        for generation in generations:
            self._db.command(f"DROP TABLE IF EXISTS {_table(generation)} SYNC")
            with self._guard:
                self._open = tuple(number for number in self._open if number != generation)


def _table(generation: int) -> str:
    return f"journal_{generation:d}"


def _row(generation: int, seq: int, samples: int, block: bytes) -> npt.NDArray[np.uint8]:
    """The row as RowBinary."""
    length = bytearray()
    rest = len(block)
    while rest > 127:
        length.append(rest & 127 | 128)
        rest >>= 7
    length.append(rest)
    head = b"".join(
        number.to_bytes(size, "little") for number, size in ((generation, 8), (seq, 8), (samples, 4))
    )
    return np.frombuffer(head + bytes(length) + block, np.uint8)


def _parsed(rows: bytes) -> Iterator[tuple[int, memoryview]]:
    """(seq, block) of each row of RowBinary."""
    view, at = memoryview(rows), 0
    while at < len(view):
        seq = int.from_bytes(view[at : at + 8], "little")
        at += 8
        length = shift = 0
        while view[at] > 127:
            length |= (view[at] & 127) << shift
            shift += 7
            at += 1
        length |= view[at] << shift
        at += 1
        yield seq, view[at : at + length]
        at += length

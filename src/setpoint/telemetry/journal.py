"""The journal: what was acknowledged and is not in `blocks` yet, one row per group commit.

The writer appends to the newest generation, a file or table of its own (`journal_log`); a flush begins another one, and
when its chunks are stored and marked the older ones are dropped. What has no mark when the server starts is replayed
(`rebuild`).

Generations are numbered in steps, so that the chunks of one flush have numbers of their own, ascending in the order in
which they were written, all above those of the generation before and none above the generation that is marked.
"""

from __future__ import annotations

import logging
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
from setpoint.telemetry.journal_log import open_log

__all__ = ["GENERATION_STEP", "Journal"]

GENERATION_STEP = 1 << 16

_QUERIES = load_queries("setpoint.telemetry")

_log = logging.getLogger(__name__)


class Journal:
    """The journal. `write` and `end` belong to one thread, the rest to any."""

    def __init__(self, db: TelemetryDatabase) -> None:
        self._db = db
        self._log = open_log(db)
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
        self._log.close()
        return self._open

    def _begin(self) -> None:
        if self._newest is None:
            found = self._db.query(_QUERIES["newest_generation"])
            self._newest = max(int(found["generation"][0]), *self.stored(), 0)
        self._newest = (self._newest // GENERATION_STEP + 1) * GENERATION_STEP
        self._log.begin(self._newest)
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
        series: bytes = b"",
    ) -> None:
        """Store a group, and the rows of its new series if it `keeps_series`; when it returns, they are on disk.

        Raises Unavailable when it cannot be written.
        """
        if not self._generation:
            self._begin()
        block = self._encoder.encode(refs, fingerprints, timestamps_ms, values)
        try:
            self._log.append(self._seq, len(refs), block, series)
        except BaseException:
            self._encoder.start_anew()  # the next block must not build on one that may not be there
            raise
        finally:
            self._seq += 1
        self._samples += len(refs)

    def stored(self) -> dict[int, int]:
        """The generations that are kept, ascending, and how many samples each holds."""
        return dict(self._log.samples())

    def read(self, generation: int, resolve: Resolve) -> Iterator[JournalSamples]:
        """The groups of a generation in the order in which they were written.

        A damaged group is logged and left out, and the generation stays open.
        """
        decoder = JournalDecoder(resolve)
        for seq, block in self._log.read(generation):
            try:
                yield decoder.decode(block)
            except CorruptJournal as error:
                _log.error("group %d of the journal's generation %d is lost: %s", seq, generation, error)

    @property
    def keeps_series(self) -> bool:
        """Whether a group takes the rows of its new series along."""
        return self._log.keeps_series

    def series(self, generation: int) -> Iterator[bytes]:
        """The rows of new series that a generation's groups took along, RowBinary of the table `series`."""
        return self._log.series(generation)

    def adopt(self, generations: Sequence[int]) -> None:
        """Count generations, found at start and replayed, as open: the next flush holds their samples, too."""
        with self._guard:
            self._open = tuple(sorted({*self._open, *generations}))

    def drop(self, generations: Sequence[int]) -> None:
        """Delete whole generations. Raises Unavailable when that fails; it may be called again."""
        for generation in generations:
            self._log.drop(generation)
            with self._guard:
                self._open = tuple(number for number in self._open if number != generation)

    def close(self) -> None:
        """Write nothing more; what is kept stays."""
        self._log.close()

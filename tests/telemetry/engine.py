"""Store, head, ingest and reader over one database, as `app` wires them, for tests that need more than one of them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import wait
from pathlib import Path

from setpoint.clock import VirtualClock
from setpoint.database import TelemetryDatabase
from setpoint.telemetry import Batch, Head, Ingest, Reader, SignalStore, rebuild_head
from setpoint.telemetry.journal import Journal
from setpoint.telemetry.series_table import SeriesTable

HOUR_MS = 3_600_000
TABLES = ("series", "blocks", "flushes", "exemplars", "histograms", "metadata")


def clear(database: TelemetryDatabase) -> None:
    """Empty the tables of metrics."""
    for table in TABLES:
        database.command(f"TRUNCATE TABLE {table}")
    journal = Journal(database)
    journal.drop(list(journal.stored()))


class Engine:
    """Started like a server on what the database holds; `close` it, and the next one finds what this one stored."""

    def __init__(
        self,
        database: TelemetryDatabase,
        now_ms: int,
        horizon_ms: int = HOUR_MS,
        queue_limit_bytes: int = 1 << 20,
        flush_s: float = 900,
    ) -> None:
        self.clock = VirtualClock(now_ms)
        self._folder = database.folder
        self.table = SeriesTable()
        self.store = SignalStore(database, self.table)
        self.head = Head(horizon_ms, self.table)
        self.progress: list[tuple[int, int]] = []
        self.rebuilt = rebuild_head(
            self.store, self.head, now_ms, lambda done, total: self.progress.append((done, total))
        )
        self.reader = Reader(self.head, self.store)
        self.ingest = Ingest(self.store, self.head, self.clock, queue_limit_bytes, flush_s)

    def send(self, *batches: Batch) -> None:
        """Submit `batches` together and wait until they are acknowledged."""
        futures = [self.ingest.submit(batch, 100) for batch in batches]
        wait(futures, 30)
        for future in futures:
            future.result(0)

    @property
    def journal_file(self) -> Path:
        """The file that groups are written to; there was one since the last flush."""
        assert self._folder is not None
        return self._folder / "journal" / f"{self.store.journal.open[-1]:020d}.journal"

    def flush(self) -> None:
        """Have everything that is acknowledged in chunks."""
        self.ingest.flush().result(30)

    def close(self) -> None:
        self.ingest.close()


def stored(database: TelemetryDatabase, now_ms: int, batches: Sequence[Batch]) -> SignalStore:
    """A store in whose chunks the samples of `batches` are."""
    engine = Engine(database, now_ms)
    engine.send(*batches)
    engine.flush()
    engine.close()
    return engine.store

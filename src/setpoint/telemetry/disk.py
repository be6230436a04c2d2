"""The disk budget: the oldest days of samples, spans and logs make room for new ones.

`housekeeping` calls `enforce` every minute. Whole day partitions go, the oldest first whatever they hold; of the same
day logs before spans, exemplars, samples and native histograms. Today, the journal, the ledger of objectives and
rollups stay, whatever the budget: it is a bound on history, not a way to stop recording.

Sizes are those of the engine's active parts; a part that was dropped or merged away leaves the disk some
minutes later.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from setpoint.clock import rfc3339
from setpoint.database import TelemetryDatabase, load_queries
from setpoint.telemetry.retention import Partition, partitions
from setpoint.telemetry.rollup import DAY_MS

__all__ = ["DiskBudget", "DiskState", "Eviction"]

_QUERIES = load_queries("setpoint.telemetry")
_SIGNALS = {
    "logs": "logs",
    "spans": "spans",
    "exemplars": "exemplars",
    "blocks": "samples",
    "histograms": "native histograms",
}
_TABLES = tuple(_SIGNALS)
_LOW_SHARE, _LOW_BYTES = 0.05, 2 << 30
_TELL_EVERY_MS = 3_600_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Eviction:
    """A day that was dropped for the budget: `signal` says what of it, such as samples, `day_ms` when the day began."""

    signal: str
    day_ms: int
    bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class DiskState:
    """The database's `bytes` on disk, the budget (None without one), and what the disk has left of its size (None
    where the database is elsewhere); `is_low` when that is so little that writes may fail soon.
    """

    bytes: int = 0
    limit_bytes: int | None = None
    free_bytes: int | None = None
    disk_bytes: int | None = None
    is_low: bool = False


class DiskBudget:
    """Keeps the telemetry database within its budget. One thread at a time; `state` may be read by any."""

    def __init__(
        self,
        db: TelemetryDatabase,
        limit_bytes: int | None,
        folder: Path | None,
        on_eviction: Callable[[Eviction], None],
        on_low: Callable[[DiskState], None],
    ) -> None:
        """`folder` is that of the embedded database, None when it is a server elsewhere. `on_eviction` is called
        after each day that was dropped, `on_low` when the disk begins to be low.
        """
        self.state = DiskState(limit_bytes=limit_bytes)
        self._db = db
        self._limit_bytes = limit_bytes
        self._folder = folder
        self._on_eviction = on_eviction
        self._on_low = on_low
        self._told_ms: dict[str, int] = {}

    def enforce(self, now_ms: int) -> list[Eviction]:
        """Drop the oldest days until the database is within its budget. Raises Unavailable."""
        found = self._db.query(_QUERIES["partitions"])
        size = int(found["bytes"].sum()) if len(found["bytes"]) else 0
        evicted = []
        if self._limit_bytes is not None and size > self._limit_bytes:
            for part in self._oldest_first(now_ms // DAY_MS):
                eviction = self._evict(part)
                evicted.append(eviction)
                size -= part.bytes
                if size <= self._limit_bytes:
                    break
            else:
                self._warn(
                    now_ms,
                    "budget",
                    f"the telemetry database takes {size / 1e9:.2f} GB, more than disk_limit_gb allows "
                    f"({self._limit_bytes / 1e9:.2f} GB), and nothing older than today is left to drop; "
                    "raise disk_limit_gb or shorten rollup_retention_days",
                )
        self._look_at_disk(size, now_ms)
        return evicted

    def _oldest_first(self, today: int) -> list[Partition]:
        known = [part for part in partitions(self._db, _TABLES) if part.days[1] < today]
        return sorted(known, key=lambda part: (part.days, _TABLES.index(part.table)))

    def _evict(self, part: Partition) -> Eviction:
        self._db.command(f"ALTER TABLE {part.table} DROP PARTITION {part.name}")
        eviction = Eviction(_SIGNALS[part.table], part.days[0] * DAY_MS, part.bytes, part.rows)
        _log.warning(
            "disk budget: dropped the %s of %s (%.1f MB)",
            eviction.signal,
            rfc3339(eviction.day_ms)[:10],
            part.bytes / 1e6,
        )
        self._on_eviction(eviction)
        return eviction

    def _look_at_disk(self, size: int, now_ms: int) -> None:
        was_low = self.state.is_low
        if self._folder is None:
            self.state = DiskState(size, self._limit_bytes)
            return
        disk = shutil.disk_usage(self._folder)
        is_low = disk.free < max(_LOW_SHARE * disk.total, min(_LOW_BYTES, disk.total / 2))
        self.state = DiskState(size, self._limit_bytes, disk.free, disk.total, is_low)
        if is_low:
            self._warn(
                now_ms,
                "low",
                f"the disk of {self._folder} has {disk.free / 1e9:.2f} GB left of {disk.total / 1e9:.2f} GB; free "
                "some, or set disk_limit_gb below what telemetry takes now "
                f"({size / 1e9:.2f} GB)",
            )
            if not was_low:
                self._on_low(self.state)

    def _warn(self, now_ms: int, what: str, sentence: str) -> None:
        """Log `sentence`, once an hour."""
        told_ms = self._told_ms.get(what)
        if told_ms is None or not 0 <= now_ms - told_ms < _TELL_EVERY_MS:
            self._told_ms[what] = now_ms
            _log.warning("%s", sentence)

"""How large the stored telemetry is, what a sample takes, and when the disk will be full.

`usage` shares it out to metrics and senders, `web` shows it, `/metrics` counts it. The database is asked by a
background thread now and then (`refresh`); everybody else reads what it found last.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from setpoint.database import TelemetryDatabase
from setpoint.database.queries import parse_queries
from setpoint.errors import SetpointError
from setpoint.telemetry.journal_log import files_size

__all__ = ["Outlook", "SizeMeter", "StoreSize", "TableSize", "outlook"]

_log = logging.getLogger(__name__)
_QUERIES = parse_queries(
    files("setpoint.telemetry").joinpath("queries_usage.sql").read_text(encoding="utf-8")
)

_SAMPLES_MIN = 100_000
"""Fewer stored samples say nothing of what one takes: the parts weigh more than their content."""


@dataclass(frozen=True, slots=True)
class TableSize:
    """A table on disk: bytes, parts, rows; of the journal's files no rows are known."""

    bytes: int
    parts: int
    rows: int


@dataclass(frozen=True, slots=True)
class StoreSize:
    """All tables. `sample_bytes` is what a sample takes in the stored chunks, None when too few are stored;
    `free_bytes` is what the disk of the data folder has left, None where the database is elsewhere.
    """

    tables: Mapping[str, TableSize] = field(default_factory=dict)
    sample_bytes: float | None = None
    free_bytes: int | None = None

    @property
    def bytes(self) -> int:
        """Bytes of all tables."""
        return sum(table.bytes for table in self.tables.values())


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the samples' growth means: `bytes_per_day` at today's pace; `steady_bytes` when the oldest days go
    as fast as new ones come, which then reach back `kept_days`; `days_left` until the disk is full, None when
    it never is.
    """

    bytes_per_day: float
    steady_bytes: float
    kept_days: float
    days_left: float | None


class SizeMeter:
    """Keeps the latest `StoreSize`; `refresh` by one thread, `latest` by any."""

    def __init__(self, database: TelemetryDatabase, folder: Path | None) -> None:
        """`folder` is that of the embedded database; None when it is a server elsewhere."""
        self._database, self._folder = database, folder
        self._latest = StoreSize()
        self._is_failing = False

    @property
    def latest(self) -> StoreSize:
        """What `refresh` found last; empty before."""
        return self._latest

    def refresh(self) -> None:
        """Ask the database and the disk; when one does not answer, the latest stays."""
        try:
            rows = self._database.query(_QUERIES["table_sizes"])
            samples = int(self._database.query(_QUERIES["stored_samples"])["samples"][0])
            journal = files_size(self._database)
            free_bytes = None if self._folder is None else shutil.disk_usage(self._folder).free
        except (SetpointError, OSError) as error:
            if not self._is_failing:
                _log.warning("the size of the stored telemetry is not known: %s", error)
            self._is_failing = True
            return
        self._is_failing = False
        columns = (rows[name].tolist() for name in ("table", "bytes", "parts", "rows"))
        tables = {name: TableSize(*numbers) for name, *numbers in zip(*columns, strict=True)}
        if journal[1]:
            tables["journal"] = TableSize(*journal, 0)
        blocks = tables.get("blocks")
        known = blocks is not None and samples >= _SAMPLES_MIN
        self._latest = StoreSize(tables, blocks.bytes / samples if blocks and known else None, free_bytes)


def outlook(
    size: StoreSize, samples_per_s: float | None, retention_days: float, limit_bytes: float | None
) -> Outlook | None:
    """What `samples_per_s` means for the disk; None when the pace, or what a sample takes, is not known.

    `limit_bytes` is the budget of the whole database, for which the oldest days are dropped; None without
    one. Only samples are taken to grow.
    """
    if not samples_per_s or size.sample_bytes is None:
        return None
    bytes_per_day = samples_per_s * 86_400 * size.sample_bytes
    kept_days = retention_days
    if limit_bytes:
        kept_days = min(kept_days, limit_bytes / bytes_per_day)
    steady_bytes = bytes_per_day * kept_days
    growth_bytes = steady_bytes - size.tables["blocks"].bytes
    is_enough = size.free_bytes is None or growth_bytes <= size.free_bytes
    days_left = None if is_enough else (size.free_bytes or 0) / bytes_per_day
    return Outlook(bytes_per_day, steady_bytes, kept_days, days_left)

"""How large the stored telemetry is, what a sample takes, and when the disk will be full.

`usage` shares it out to metrics and senders, `web` shows it, `/metrics` counts it. The database is asked by a
background thread now and then (`refresh`); everybody else reads what it found last.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping
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

_ROLLUP_BYTES, _ROLLUPS_MIN = 900.0, 1_000
"""What a day of a series takes as rollups (docs/decisions/0015), until so many rows say it better."""


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
    """What the growth of samples and rollups means: `bytes_per_day` at today's pace; `steady_bytes` when the oldest
    days go as fast as new ones come, of which those of samples then reach back `kept_days`; `days_left` until the
    disk is full, None when it never is.
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


def outlook(  # noqa: PLR0917 — the pace, and how long what is kept
    size: StoreSize,
    samples_per_s: float | None,
    retention_days: float,
    limit_bytes: float | None,
    series: int = 0,
    rollup_days: float = 0.0,
) -> Outlook | None:
    """What `samples_per_s` of `series` series means for the disk; None when the pace, or what a sample takes, is not
    known.

    `limit_bytes` is the budget of the whole database, for which the oldest days of samples are dropped; None without
    one. Only samples and their rollups are taken to grow.
    """
    if not samples_per_s or size.sample_bytes is None:
        return None
    samples_per_day = samples_per_s * 86_400 * size.sample_bytes
    rollups_per_day = series * _rollup_bytes(size)
    rollups = rollups_per_day * rollup_days
    kept_days = retention_days
    if limit_bytes:
        kept_days = min(kept_days, max(0.0, limit_bytes - rollups) / samples_per_day)
    samples = samples_per_day * kept_days
    growing = (
        (samples_per_day, samples - _stored(size, "blocks")),
        (rollups_per_day, rollups - _stored(size, "rollups")),
    )
    days_left = None if size.free_bytes is None else _days_until(size.free_bytes, growing)
    return Outlook(samples_per_day + rollups_per_day, samples + rollups, kept_days, days_left)


def _rollup_bytes(size: StoreSize) -> float:
    """What a day of a series takes as rollups: a row of the table."""
    table = size.tables.get("rollups")
    return table.bytes / table.rows if table and table.rows >= _ROLLUPS_MIN else _ROLLUP_BYTES


def _stored(size: StoreSize, table: str) -> int:
    found = size.tables.get(table)
    return found.bytes if found else 0


def _days_until(free_bytes: float, growing: Iterable[tuple[float, float]]) -> float | None:
    """When what grows has taken `free_bytes`: each by so many bytes a day, so many in all; None when it never has."""
    left = [(per_day, total / per_day) for per_day, total in growing if per_day > 0 and total > 0]
    days = 0.0
    for _, end in sorted(left, key=lambda one: one[1]):
        pace = sum(per_day for per_day, until in left if until > days)
        if pace * (end - days) > free_bytes:
            return days + free_bytes / pace
        free_bytes -= pace * (end - days)
        days = end
    return None

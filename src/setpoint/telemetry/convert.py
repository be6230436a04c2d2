"""Once after an update: the rows of the table `samples`, one per sample, become chunks, and the table is dropped.

`rebuild` calls it before anything else. Killed in between, it begins again: its chunks are those of generation 1,
before any that a flush marks (0 is that of compacted chunks), and the table is dropped only when that generation is
marked.
"""

from __future__ import annotations

import logging

from setpoint.database import TelemetryDatabase, load_queries
from setpoint.telemetry.blocks import DAY_MS, Blocks
from setpoint.telemetry.chunk_samples import encoded

__all__ = ["convert_samples"]

_log = logging.getLogger(__name__)

_QUERIES = load_queries("setpoint.telemetry")
_SAMPLES_AT_ONCE = 500_000
_GENERATION = 1


def convert_samples(db: TelemetryDatabase, blocks: Blocks, now_ms: int) -> int:
    """Convert the table `samples`, if it is there; returns the number of its rows. Raises Unavailable."""
    if not int(db.query(_QUERIES["has_samples"])["tables"][0]):
        return 0
    total = int(db.query(_QUERIES["count_samples"])["samples"][0])
    if total and not int(db.query(_QUERIES["is_converted"])["marks"][0]):
        _log.info("samples of an earlier version are stored anew, %s rows; this happens once", f"{total:,}")
        db.command(_QUERIES["delete_converted"])
        _convert(db, blocks, total)
        blocks.mark([_GENERATION], now_ms)
    db.command("DROP TABLE samples")
    return total


def _convert(db: TelemetryDatabase, blocks: Blocks, total: int) -> None:
    done = 0
    # Fingerprints are hashes, so equal ranges of them hold about equally many series.
    slices = -(-total // _SAMPLES_AT_ONCE)
    for number in range(slices):
        rows = db.query(
            _QUERIES["read_old_samples"],
            first=(number << 64) // slices,
            last=((number + 1) << 64) // slices - 1,
        )
        if not len(rows["fingerprint"]):
            continue
        blocks.insert(encoded(rows["fingerprint"], rows["ts_ms"], rows["value"], DAY_MS), _GENERATION)
        done += len(rows["fingerprint"])
        _log.info("stored anew: %s of %s samples", f"{done:,}", f"{total:,}")

"""A process that compacts, to be killed: `python -m tests.telemetry.drive_compaction FOLDER fill|compact|read|finish`.

`read` prints a checksum of every stored sample, and `clean` when no day is left to be compacted.
"""

from __future__ import annotations

import hashlib
import os
import sys

import numpy as np

from setpoint.database import TelemetryDatabase
from setpoint.telemetry.blocks import Blocks
from setpoint.telemetry.chunk_samples import decoded, merged
from setpoint.telemetry.codec import encode_chunks
from setpoint.telemetry.compact import Compactor
from setpoint.telemetry.model import ChunkColumns
from setpoint.telemetry.rollup import DAY_MS
from setpoint.telemetry.rollup_store import Rollups

DAYS = range(20_000, 20_004)
SERIES = 60


def _fill(blocks: Blocks) -> None:
    """24 flushes a day, one of each late: it replaces samples of the one before."""
    rng = np.random.default_rng(3)
    prints = rng.integers(1, 2**63, SERIES, np.uint64)
    generation = 0
    for day in DAYS:
        for hour in range(24):
            generation += 1
            first_ms = day * DAY_MS + max(0, hour - (hour % 5 == 4)) * 3_600_000
            times = np.tile(first_ms + np.arange(60) * 60_000, SERIES)
            values = rng.integers(0, 1000, len(times)).astype(float)
            payload, bounds = encode_chunks(times, values, np.arange(SERIES + 1) * 60)
            firsts, lasts = times[::60], times[59::60]
            counts = np.full(SERIES, 60, np.int32)
            blocks.insert(ChunkColumns(prints, firsts, lasts, counts, bounds, payload), generation)
            blocks.mark([generation], 0)


def _read(blocks: Blocks) -> str:
    digest = hashlib.sha256()
    for day in DAYS:
        found = blocks.read_day(day)
        columns = found.columns()
        runs = decoded(
            columns.fingerprints, found.generations, columns.counts, columns.payload, columns.offsets
        )
        for part in merged(runs, -(2**62), 2**62):
            digest.update(part.tobytes())
    return digest.hexdigest()


def main() -> None:
    db = TelemetryDatabase(f"chdb://{sys.argv[1]}")
    blocks = Blocks(db)
    compactor = Compactor(db, blocks, Rollups(db), slice_samples=8_000)
    what = sys.argv[2]
    if what == "fill":
        _fill(blocks)
        print(_read(blocks))
    elif what == "read":
        print(_read(blocks), *([] if compactor.dirty_days(DAYS.stop) else ["clean"]))
    else:
        print("compacting", flush=True)
        for day in compactor.dirty_days(DAYS.stop):
            compactor.compact(day)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()

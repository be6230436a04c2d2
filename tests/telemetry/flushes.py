"""Flushes by hand: chunks written, generation by generation, with a dictionary of what the store must hold."""

from __future__ import annotations

import numpy as np

from setpoint.database import TelemetryDatabase
from setpoint.telemetry import Labels, fingerprint
from setpoint.telemetry.blocks import Blocks
from setpoint.telemetry.chunk_samples import decoded, merged
from setpoint.telemetry.codec import encode_chunks
from setpoint.telemetry.model import ChunkColumns
from setpoint.telemetry.rollup import DAY_MS
from tests.telemetry.rollups import DAY

__all__ = ["PRINTS", "START", "Flusher", "Samples", "chunks_of", "labels_of", "quarter"]

START = DAY * DAY_MS

Samples = dict[tuple[int, int], float]
"""{(series, timestamp): value}."""


def labels_of(series: int) -> Labels:
    """Every second series is of a metric for debugging."""
    return {"__name__": "debug_m" if series % 2 else "m", "pod": str(series)}


PRINTS = [fingerprint(labels_of(series)) for series in range(40)]


class Flusher:
    """Writes generations of chunks as a flush does, and remembers what the store must hold."""

    def __init__(self, db: TelemetryDatabase) -> None:
        self.db = db
        self.blocks = Blocks(db)
        self.generation = 0
        self.expected: Samples = {}

    def flush(self, samples: Samples, marks: bool = True) -> None:
        """Store one chunk per series and day, and the marker."""
        with self.blocks.guard:
            self.generation += 1
            self.blocks.insert(chunks_of(samples), self.generation)
            if marks:
                self.mark()
        self.expected |= samples

    def mark(self) -> None:
        """Declare the generation stored."""
        self.blocks.mark([self.generation], 0)

    def write_series(self) -> None:
        """Store the labels of every series."""
        self.db.insert(
            "series",
            {
                "fingerprint": np.array(PRINTS, np.uint64),
                "metric": [labels_of(series)["__name__"] for series in range(len(PRINTS))],
                "labels": [dict(labels_of(series)) for series in range(len(PRINTS))],
            },
        )

    def stored(self, day: int = DAY) -> Samples:
        """Every sample of a day, read as queries read it."""
        found = self.blocks.read_day(day)
        columns = found.columns()
        runs = decoded(
            columns.fingerprints, found.generations, columns.counts, columns.payload, columns.offsets
        )
        samples = merged(runs, -(2**62), 2**62)
        series = {print_: number for number, print_ in enumerate(PRINTS)}
        owners = np.repeat(samples.fingerprints, np.diff(samples.offsets)).tolist()
        times, values = samples.timestamps_ms.tolist(), samples.values.tolist()
        return {
            (series[one], time_ms): value for one, time_ms, value in zip(owners, times, values, strict=True)
        }


def chunks_of(samples: Samples) -> ChunkColumns:
    """One chunk per series and day."""
    groups: dict[tuple[int, int], list[int]] = {}
    for series, time_ms in sorted(samples):
        groups.setdefault((series, time_ms // DAY_MS), []).append(time_ms)
    times = np.array([time_ms for group in groups.values() for time_ms in group], np.int64)
    values = np.array([samples[series, one] for (series, _), group in groups.items() for one in group])
    offsets = np.cumsum([0, *map(len, groups.values())])
    payload, bounds = encode_chunks(times, values, offsets)
    prints = np.array([PRINTS[series] for series, _ in groups], np.uint64)
    counts = np.diff(offsets).astype(np.int32)
    return ChunkColumns(prints, times[offsets[:-1]], times[offsets[1:] - 1], counts, bounds, payload)


def quarter(number: int, series: range = range(8), day: int = DAY) -> Samples:
    """15 samples of each series in a quarter of an hour, the `number`-th of a day."""
    first_ms = day * DAY_MS + number * 900_000
    return {
        (one, first_ms + place * 60_000 + one): float(number * 15 + place)
        for one in series
        for place in range(15)
    }

"""Batches by row of the series table: what a slow door brings as `Series` is turned into rows here.

`ingest` does it once for a batch, before store and head see it, so that both name the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.model import (
    ExemplarColumns,
    HistogramColumns,
    LogBatch,
    MetricBatch,
    RefBatch,
    SpanBatch,
)
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["by_ref", "columns_of", "fits_together", "rows_of"]


def by_ref(batch: RefBatch | MetricBatch, table: SeriesTable) -> RefBatch:
    """`batch` by rows of `table`, under a lease of its own if it had none; what `table` refuses is left out."""
    if isinstance(batch, RefBatch):
        return batch
    lease = table.lease(batch.sender)
    try:
        refs = table.resolve(batch.series, lease)
    except BaseException:
        lease.release()
        raise
    at = refs[batch.series_index] if len(refs) else np.empty(0, np.int32)
    kept = at >= 0
    exemplars, histograms = batch.exemplars, batch.histograms
    if exemplars is not None:
        known = np.flatnonzero(refs[exemplars.rows] >= 0)
        exemplars = ExemplarColumns(
            refs[exemplars.rows][known],
            exemplars.timestamps_ms[known],
            exemplars.values[known],
            [exemplars.labels[place] for place in known.tolist()],
        )
    if histograms is not None:
        known = np.flatnonzero(refs[histograms.rows] >= 0)
        histograms = HistogramColumns(
            refs[histograms.rows][known],
            histograms.timestamps_ms[known],
            [histograms.payloads[place] for place in known.tolist()],
        )
    return RefBatch(
        lease, at[kept], batch.timestamps_ms[kept], batch.values[kept], histograms, exemplars, batch.metadata
    )


def columns_of(
    batches: Sequence[RefBatch],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The samples of all batches as (refs, timestamps_ms, values)."""
    if len(batches) == 1:
        return batches[0].refs, batches[0].timestamps_ms, batches[0].values
    return (
        np.concatenate([batch.refs for batch in batches] or [np.empty(0, np.int32)]),
        np.concatenate([batch.timestamps_ms for batch in batches] or [np.empty(0, np.int64)]),
        np.concatenate([batch.values for batch in batches] or [np.empty(0)]),
    )


def rows_of(batch: RefBatch | MetricBatch | SpanBatch | LogBatch) -> int:
    """How many samples, and what comes beside them, or spans or records a batch holds."""
    if isinstance(batch, SpanBatch | LogBatch):
        return len(next(iter(batch.columns.values()), ()))
    beside = sum(len(part.rows) for part in (batch.histograms, batch.exemplars) if part is not None)
    return len(batch.timestamps_ms) + beside + len(batch.metadata)


def fits_together(batch: RefBatch | MetricBatch | SpanBatch | LogBatch, capacity: int) -> bool:
    """True when the columns have one length and name only series that are there (refs below `capacity`)."""
    if isinstance(batch, SpanBatch | LogBatch):
        return len({len(values) for values in batch.columns.values()}) <= 1
    rows, least = (
        (batch.refs, capacity) if isinstance(batch, RefBatch) else (batch.series_index, len(batch.series))
    )
    columns: list[tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], Sized]] = [
        (rows, batch.timestamps_ms, batch.values)
    ]
    if batch.histograms is not None:
        columns.append((batch.histograms.rows, batch.histograms.timestamps_ms, batch.histograms.payloads))
    if batch.exemplars is not None:
        exemplars = batch.exemplars
        columns.append((exemplars.rows, exemplars.timestamps_ms, exemplars.values))
        columns.append((exemplars.rows, exemplars.timestamps_ms, exemplars.labels))
    return all(
        len(places) == len(times) == len(values)
        and (not len(places) or (int(places.min()) >= 0 and int(places.max()) < least))
        for places, times, values in columns
    )

"""Signals in the telemetry database: what `ingest` writes, and what `read` and the status page ask for.

Samples go to the journal, one row per group, and reach the table of chunks with the next flush; until then the head
answers for them, or `LateSamples` for what is too old for the head. Series are written before their samples, so a
sample in the database always has its labels there. Spans and logs become one block per table and group, because the
engine wants few large inserts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.database import TelemetryDatabase, load_queries
from setpoint.errors import InvalidInput, NotFound
from setpoint.telemetry.blocks import Blocks, day_start_ms
from setpoint.telemetry.conditions import condition_of
from setpoint.telemetry.convert import convert_samples
from setpoint.telemetry.head import Head
from setpoint.telemetry.journal import Journal
from setpoint.telemetry.kept_chunks import Kept, KeptChunks, whole_hours
from setpoint.telemetry.late import LateSamples
from setpoint.telemetry.match import refuse_invalid
from setpoint.telemetry.model import (
    Labels,
    LogBatch,
    Matcher,
    Metadata,
    MetricBatch,
    RefBatch,
    SampleColumns,
    SpanBatch,
)
from setpoint.telemetry.ref_batches import by_ref, columns_of
from setpoint.telemetry.series_store import SeriesStore
from setpoint.telemetry.series_table import SeriesTable
from setpoint.telemetry.side_store import SideStore, StoredExemplars, StoredHistograms
from setpoint.telemetry.stored_samples import labelled_samples, refuse_excess
from setpoint.telemetry.write_log import WriteLog

__all__ = ["ServiceSignals", "SignalCounts", "SignalStore"]

_QUERIES = load_queries("setpoint.telemetry")
_INT64 = np.iinfo(np.int64)
_UNCOVERED_MS = 2**61
"""`Head.covers_from_ms` is beyond this until the head was rebuilt: then it is asked for everything."""


@dataclass(frozen=True, slots=True)
class SignalCounts:
    """Rows of each signal's table, and samples (a resent one counts twice until it was merged away)."""

    series: int
    samples: int
    spans: int
    logs: int


@dataclass(frozen=True, slots=True)
class ServiceSignals:
    """What one service has sent; `last_seen_ms` is its newest timestamp, 0 if none is recent."""

    service: str
    series: int
    spans: int
    logs: int
    last_seen_ms: int


class _Oldest:
    """The oldest timestamp of what was not flushed yet. Written by one thread, `flushed` by another."""

    def __init__(self) -> None:
        self._arriving: int | None = None
        self._flushing: int | None = None

    @property
    def value(self) -> int | None:
        known = [instant for instant in (self._flushing, self._arriving) if instant is not None]
        return min(known, default=None)

    def note(self, instant_ms: int) -> None:
        if self._arriving is None or instant_ms < self._arriving:
            self._arriving = instant_ms

    def cut(self) -> None:
        self._flushing, self._arriving = self.value, None

    def flushed(self) -> None:
        self._flushing = None


class SignalStore:
    """Metrics, spans and logs in `db`. Reads may come from any thread, writes from one.

    `table` is the series table of the head that is fed with the same batches.
    """

    def __init__(self, db: TelemetryDatabase, table: SeriesTable | None = None) -> None:
        self._db = db
        self.table = table or SeriesTable()
        self.blocks = Blocks(db)
        self.journal = Journal(db)
        self.late = LateSamples()
        self.writes = WriteLog()
        self.series = SeriesStore(db, self.table)
        self.side = SideStore(db, self.table, self.series)
        self._chunks = KeptChunks(partial(db.revision, "blocks"))
        self._oldest = _Oldest()
        self._oldest_in_head = _Oldest()

    # ---- writing -----------------------------------------------------------------------------------------

    def write_metrics(self, batches: Sequence[RefBatch | MetricBatch]) -> None:
        """Store what `batches` bring: new series, what comes beside samples, and the samples as one group.

        Samples are safe when it returns; `read_samples` finds them after the next flush. Of equal timestamps of a
        series the later in `batches` stays. Raises Unavailable when the engine refuses.
        """
        rows = [by_ref(batch, self.table) for batch in batches]
        try:
            self._write(rows)
        finally:
            for batch, row in zip(batches, rows, strict=True):
                if row is not batch:
                    row.lease.release()

    def _write(self, batches: Sequence[RefBatch]) -> None:
        named = [
            part.rows for batch in batches for part in (batch.exemplars, batch.histograms) if part is not None
        ]
        refs, times, values = columns_of(batches)
        if not self.journal.keeps_series:
            named.append(refs)
        if named:  # what is stored beside samples is found by the rows of its series
            self.series.write(np.concatenate(named))
        try:
            self.side.write(batches)
        finally:  # histograms are found from here on
            for batch in batches:
                if batch.histograms is not None and len(batch.histograms.timestamps_ms):
                    self.writes.note(int(batch.histograms.timestamps_ms.min()))
        if not len(refs):
            return
        fresh = self.series.fresh(refs)
        self.journal.write(
            refs, self.table.fingerprints(refs), times, values, fresh.rows if fresh is not None else b""
        )
        if fresh is not None:
            self.series.promise(fresh)

    def remember(self, batch: RefBatch, head: Head) -> None:
        """Put samples that are in the journal where they are found until the next flush: into the head, and into
        `late` what is too old for it.
        """
        times = batch.timestamps_ms
        if not len(times):
            return
        covers_from_ms, oldest_ms = head.covers_from_ms, int(times.min())
        self._oldest.note(oldest_ms)
        if oldest_ms <= covers_from_ms < _UNCOVERED_MS:
            late = times <= covers_from_ms
            self.late.add(self.table.fingerprints(batch.refs[late]), times[late], batch.values[late])
            if not late.all():
                self._oldest_in_head.note(int(times[~late].min()))
        else:
            self._oldest_in_head.note(oldest_ms)
        try:
            head.append(batch)
        finally:  # once all of them are found, or some
            self.writes.note(oldest_ms)
        self.series.seen(batch.refs, times)

    def end_generation(self) -> tuple[int, ...]:
        """What was written until now is what the next flush stores; returns its generations of the journal."""
        self.late.cut()
        self._oldest.cut()
        self._oldest_in_head.cut()
        return self.journal.end()

    def flushed(self) -> None:
        """What was written until the last `end_generation` is in chunks."""
        self.late.flushed()
        self._oldest.flushed()
        self._oldest_in_head.flushed()

    @property
    def oldest_in_head_ms(self) -> int | None:
        """The oldest timestamp of a sample that the head must keep because no chunk holds it yet, or None."""
        return self._oldest_in_head.value

    def write_spans(self, batches: Sequence[SpanBatch]) -> None:
        """Store spans as one block. Raises InvalidInput for uneven columns, Unavailable when refused."""
        self._write_columns("spans", [batch.columns for batch in batches])

    def write_logs(self, batches: Sequence[LogBatch]) -> None:
        """Store log records as one block; errors as `write_spans`."""
        self._write_columns("logs", [batch.columns for batch in batches])

    def _write_columns(self, table: str, parts: Sequence[Mapping[str, Sequence[Any]]]) -> None:
        names = list(parts[0]) if parts else []
        joined: dict[str, list[Any]] = {name: [] for name in names}
        for part in parts:
            if set(part) != set(names) or len({len(values) for values in part.values()}) > 1:
                raise InvalidInput(
                    f"a batch for {table} has uneven or differently named columns; nothing was stored"
                )
            for name, values in part.items():
                joined[name].extend(values)
        if names and joined[names[0]]:
            self._db.insert(table, joined)

    def convert_samples(self, now_ms: int) -> int:
        """Make chunks of the rows that an earlier version stored, once; see `convert`."""
        return convert_samples(self._db, self.blocks, now_ms)

    # ---- reading -----------------------------------------------------------------------------------------

    def read_samples(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        """The samples with start_ms < t <= end_ms that were flushed, or came too late for the head; series in the
        order of their labels, empty ones left out.

        Raises InvalidInput for a bad expression or too many samples, Unavailable when the engine does not answer,
        CorruptChunk.
        """
        refuse_invalid(matchers)
        start_ms, end_ms = _as_int64(start_ms), _as_int64(end_ms)
        condition, parameters = condition_of(matchers)
        # Late samples first: what a flush moves from there meanwhile is found in the table, at worst in both.
        late = self.late.runs(start_ms, end_ms)
        key = tuple(matchers)
        kept = self._chunks.find(key, start_ms, end_ms)
        if kept is None:
            with self._chunks.turn(key):
                kept = self._chunks.find(key, start_ms, end_ms) or self._read_chunks(
                    key, condition, parameters, start_ms, end_ms
                )
        labels, is_ordered = kept.labels, kept.is_ordered
        if len(late.fingerprints):
            fingerprints = np.concatenate((kept.chunks.fingerprints, late.fingerprints))
            labels = self.series.labels(condition, parameters, fingerprints)
            is_ordered = False
        return labelled_samples(
            kept.within(start_ms, end_ms), late, labels, (start_ms, end_ms), is_ordered=is_ordered
        )

    def _live_labels(
        self, matchers: Sequence[Matcher], fingerprints: npt.NDArray[np.uint64]
    ) -> dict[int, Labels] | None:
        """The labels of series by fingerprint in the order of labels, as the table of live series has them; None when
        some of them live no more.
        """
        refs, labels = self.table.match_labels(matchers)
        try:
            live = self.table.fingerprints(refs)
        except NotFound:  # one was removed in between
            return None
        wanted = np.unique(fingerprints)
        chosen = np.flatnonzero(np.isin(live, wanted))
        if len(chosen) < len(wanted):
            return None
        return {
            number: labels[place]
            for number, place in zip(live[chosen].tolist(), chosen.tolist(), strict=True)
        }

    def _read_chunks(
        self, key: tuple[Matcher, ...], condition: str, parameters: dict[str, str], start_ms: int, end_ms: int
    ) -> Kept:
        """The chunks of the hours around a range, which are kept for the next question."""
        revision = self._db.revision("blocks")
        extent = self.blocks.estimate(condition, parameters, start_ms, end_ms)
        refuse_excess(extent.samples)
        start_ms, end_ms = map(_as_int64, whole_hours(start_ms, end_ms))
        stored = self.blocks.select(condition, parameters, start_ms, end_ms, extent)
        # Labels after samples: series are written first, so every fingerprint that was just read is found.
        labels = self._live_labels(key, stored.fingerprints)
        is_ordered = labels is not None
        if labels is None:
            labels = self.series.labels(condition, parameters, stored.fingerprints)
        kept = Kept(start_ms, end_ms, stored, labels, revision, is_ordered)
        self._chunks.keep(key, kept)
        return kept

    def read_exemplars(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> StoredExemplars:
        """The exemplars with start_ms <= t <= end_ms of the matching series; errors as `read_samples`."""
        return self.side.read_exemplars(matchers, _as_int64(start_ms), _as_int64(end_ms))

    def read_histograms(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> StoredHistograms:
        """The native histograms with start_ms < t <= end_ms of the matching series; errors as `read_samples`."""
        return self.side.read_histograms(matchers, _as_int64(start_ms), _as_int64(end_ms))

    def select_histograms(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> StoredHistograms | None:
        """As `read_histograms`; None, without asking the engine, where no matching series ever had any."""
        return self.side.select_histograms(matchers, _as_int64(start_ms), _as_int64(end_ms))

    def may_have_histograms(self, matchers: Sequence[Matcher]) -> bool:
        """False where it is known without the engine that no matching series ever had any."""
        return self.side.may_have_histograms(matchers)

    def read_metadata(self, metric: str | None = None) -> list[Metadata]:
        """What senders said of metric families, or of one, by name."""
        return self.side.read_metadata(metric)

    def oldest_sample_ms(self) -> int | None:
        """The oldest timestamp of a stored sample, or None."""
        row = self._db.query(_QUERIES["oldest_sample"])
        known = [int(row["oldest_ms"][0])] if row["chunks"][0] else []
        unflushed = self._oldest.value
        return min(known if unflushed is None else [*known, unflushed], default=None)

    def counts(self) -> SignalCounts:
        """Rows per signal."""
        self.series.settle()
        row = {name: int(column[0]) for name, column in self._db.query(_QUERIES["count_rows"]).items()}
        marked = row.pop("marked")
        waiting = (samples for generation, samples in self.journal.stored().items() if generation > marked)
        row["samples"] += sum(waiting)
        return SignalCounts(**row)

    def services(self, since_ms: int = 0) -> list[ServiceSignals]:
        """What each service has sent, by name; metrics count as seen only when later than `since_ms`.

        Give a recent `since_ms` on a large database: without it every chunk is looked at.
        """
        since_ms = _as_int64(since_ms)
        self.series.settle()
        rows = self._db.query(_QUERIES["count_by_service"], since_ms=since_ms, day_ms=day_start_ms(since_ms))
        seen_ms = {name: at_ms for name, at_ms in self.series.last_seen_ms().items() if at_ms > since_ms}
        columns = [rows[name].tolist() for name in ("service", "series", "spans", "logs", "last_seen_ms")]
        return [
            ServiceSignals(name, series, spans, logs, max(last_ms, seen_ms.get(name, 0)))
            for name, series, spans, logs, last_ms in zip(*columns, strict=True)
        ]


def _as_int64(instant_ms: int) -> int:
    return int(min(max(instant_ms, _INT64.min), _INT64.max))

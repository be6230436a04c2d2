"""What remote write does with a body: scan, find the series, queue the samples; acknowledged when stored.

`remote_write` is the door in front and calls `receive` on its threads. What is wrong with one series refuses
that series, and the rest is stored; only bytes that are no message refuse the request. Samples may come in any
order and twice, because the head and the store keep one per instant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from setpoint.clock import Clock
from setpoint.errors import SetpointError
from setpoint.telemetry.model import Lease, RefBatch
from setpoint.telemetry.protect import Bounds, Protection, shown
from setpoint.telemetry.receive import remote_write_columns as kernels
from setpoint.telemetry.receive.outcome import Rejections
from setpoint.telemetry.receive.remote_write_families import Families
from setpoint.telemetry.receive.remote_write_items import Items, decode_items
from setpoint.telemetry.receive.remote_write_kernels import METADATA
from setpoint.telemetry.receive.remote_write_scan import Scanned, Scanner
from setpoint.telemetry.receive.remote_write_series import FAULTY, Found, SeriesFinder, labels_at
from setpoint.telemetry.receive.remote_write_starts import Starts
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["Receipt", "RemoteWriteReceiver", "Submit"]

Submit = Callable[[RefBatch, int], Future[None]]
"""`Ingest.submit`: the future resolves when the batch is stored; raises Unavailable when the queue is full."""

_SAMPLE_BYTES = 20
_EXTRA_BYTES = 200


@dataclass(frozen=True, slots=True)
class Receipt:
    """A queued request: `stored` resolves when it is on disk. How many samples, histograms and exemplars are
    written then, and what was refused, empty when all was taken.
    """

    stored: Future[None]
    samples: int
    histograms: int
    exemplars: int
    refused: str


class RemoteWriteReceiver:
    """Turns remote write requests into queued batches; thread-safe."""

    def __init__(self, submit: Submit, table: SeriesTable, protection: Protection, clock: Clock) -> None:
        self._submit = submit
        self._table = table
        self._protection = protection
        self._clock = clock
        self._scanner = Scanner(table.hash_seed)
        self._finder = SeriesFinder(table)
        self._families = Families()
        self._starts = Starts(table)

    def receive(self, body: npt.NDArray[np.uint8], is_v2: bool, sender: str) -> Receipt:
        """Queue one decompressed request, uint8[n].

        Raises InvalidInput when it is malformed, TooLarge when it holds too much, Unavailable when the queue is full;
        nothing was taken then.
        """
        scanned = self._scanner.scan(body, is_v2)
        lease = self._table.lease(sender)
        try:
            return self._receive(scanned, lease)
        except BaseException:
            lease.release()
            raise

    def _receive(self, scanned: Scanned, lease: Lease) -> Receipt:
        items = scanned.items
        counts = np.diff(scanned.marks[:, 2])
        if len(items):
            of_series = items[items[:, 0] != METADATA, 1]
            counts += np.bincount(of_series, minlength=len(counts))
        found = self._finder.find(scanned, counts > 0, self._families.of, lease)
        bounds = self._protection.bounds(self._clock.now_ms())
        draft = _Draft(self._protection, scanned, lease.sender, bounds, found, counts)
        draft.refuse_series()
        columns = draft.samples()
        decoded = decode_items(scanned, found.refs.tolist(), bounds, draft.refuse) if len(items) else Items()
        said = self._families.new(scanned, decoded.metadata, found.refs != FAULTY)
        receipt = partial(
            Receipt,
            samples=len(columns.refs),
            histograms=len(decoded.histograms),
            exemplars=len(decoded.exemplar_refs),
            refused=draft.rejections.message,
        )
        on_stored = [said.remember]
        if scanned.has_starts or any(decoded.histogram_starts):
            on_stored += self._add_zeros(columns, decoded, bounds.now_ms)
        batch = RefBatch(
            lease,
            columns.refs,
            columns.times,
            columns.values.view(np.float64),
            decoded.histogram_columns(),
            decoded.exemplar_columns(),
            said.metadata,
        )
        return receipt(self._queue(batch, on_stored, said.forget))

    def _add_zeros(self, columns: Columns, decoded: Items, now_ms: int) -> list[Callable[[], None]]:
        """Add the zeros of series that started lately; what to call when the batch is stored."""
        remember = []
        if columns.starts.any():
            due = self._starts.due(columns.refs, columns.times, columns.starts, now_ms)
            columns.add_zeros(due.positions)
            remember.append(due.remember)
        if any(decoded.histogram_starts):
            refs = np.array(decoded.histogram_refs, np.int32)
            times, starts = np.array([decoded.histogram_times, decoded.histogram_starts], np.int64)
            due = self._starts.due(refs, times, starts, now_ms)
            decoded.add_zeros(due.positions.tolist())
            remember.append(due.remember)
        return remember

    def _queue(
        self, batch: RefBatch, on_stored: Sequence[Callable[[], None]], on_failed: Callable[[], None]
    ) -> Future[None]:
        extras = len(batch.histograms.rows) if batch.histograms else 0
        extras += len(batch.exemplars.rows) if batch.exemplars else 0
        extras += len(batch.metadata)
        if not extras and not len(batch.refs):
            batch.lease.release()
            nothing: Future[None] = Future()
            nothing.set_result(None)
            return nothing
        try:
            stored = self._submit(batch, _SAMPLE_BYTES * len(batch.refs) + _EXTRA_BYTES * extras)
        except SetpointError:
            on_failed()
            raise

        def settle(future: Future[None]) -> None:
            if future.exception() is None:
                for remember in on_stored:
                    remember()
            else:
                on_failed()

        stored.add_done_callback(settle)
        return stored


@dataclass(slots=True, eq=False)
class Columns:
    """Samples by ref as equally long columns: `times` and `starts` (0 where none is said) in Unix ms, `values`
    uint64 as bits of the floats.
    """

    refs: npt.NDArray[np.int32]
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.uint64]
    starts: npt.NDArray[np.int64]

    def add_zeros(self, positions: npt.NDArray[np.int64]) -> None:
        """Add a sample of 0 at the start of each of the samples at `positions`."""
        self.refs = np.concatenate([self.refs, self.refs[positions]])
        self.times = np.concatenate([self.times, self.starts[positions]])
        self.values = np.concatenate([self.values, np.zeros(len(positions), np.uint64)])


@dataclass(slots=True, eq=False)
class _Draft:
    """One request under way, and what is refused of it."""

    protection: Protection
    scanned: Scanned
    sender: str
    bounds: Bounds
    found: Found
    counts: npt.NDArray[np.int64]
    """Samples, histograms and exemplars by series."""

    rejections: Rejections = field(default_factory=Rejections)

    def samples(self) -> Columns:
        """The samples of the series that have a ref, within the bounds."""
        scanned = self.scanned
        size = len(scanned.samples)
        columns = Columns(
            np.empty(size, np.int32),
            np.empty(size, np.int64),
            np.empty(size, np.uint64),
            np.zeros(size if scanned.has_starts else 0, np.int64),
        )
        report = np.zeros((2, 3), np.int64)
        count = kernels.assemble(
            self.found.refs,
            scanned.marks,
            scanned.families,
            scanned.samples,
            self.bounds.oldest_ms,
            self.bounds.newest_ms,
            columns.refs,
            columns.times,
            columns.values,
            columns.starts,
            report,
        )
        for refused, series, at_ms in report.tolist():
            fault = self.bounds.fault(at_ms) if refused else None
            if fault is not None:
                self.refuse(series, *fault, count=refused)
        if count < size:
            columns = Columns(
                columns.refs[:count], columns.times[:count], columns.values[:count], columns.starts[:count]
            )
        return columns

    def refuse_series(self) -> None:
        """Tell of the series without a ref: wrong labels, no data, not admitted."""
        refs = self.found.refs
        if not len(refs) or refs.min() >= 0:
            return
        for series, fault in self.found.faults.items():
            self._tell("invalid_labels", fault.offender, fault.reason, int(self.counts[series]))
        refused = int(self.counts[(refs < 0) & (refs != FAULTY)].sum())
        if refused:
            self.rejections.add(self.protection.refused_series(self.sender, refused), refused)
        if self.scanned.is_v2:
            empty = (self.counts == 0) & (self.scanned.families[:, 0] == 0)
            if empty.any():
                self.rejections.note(f"{int(empty.sum())} series have neither samples nor histograms")

    def refuse(self, series: int, reason: str, sentence: str, count: int = 1) -> None:
        """Refuse something of a series that has labels."""
        labels = labels_at(self.scanned, series)
        self._tell(reason, shown(labels), sentence, count)

    def _tell(self, reason: str, offender: str, sentence: str, count: int) -> None:
        told = f"{sentence} ({offender})"
        self.rejections.add(told, count)
        self.protection.refused(reason, offender, self.sender, count, sentence)

"""OTLP metrics to a batch of samples by ref.

The receiver hands every metrics request to one `MetricDecoder`. Kernels find the points on the wire bytes and a key
for each of their series (`metric_scan`); the series table knows the keys that came before, and only for the others
anything is decoded (`NewSeries`). Then kernels make the rows (`point_kernels`), with the zeros and sums that
`SeriesMemory` knows of. What is rare goes through Python a piece at a time: exemplars, exponential buckets, what is
rejected.

Behaviour follows Prometheus's own OTLP endpoint (its storage/remote/otlptranslator/prometheusremotewrite), except that
deltas are added up instead of refused, and exponential histograms have `_count` and `_sum` beside the native histogram.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from setpoint.clock import Clock
from setpoint.telemetry.model import RefBatch
from setpoint.telemetry.native_histogram import STALE_BITS
from setpoint.telemetry.protect import Bounds, Limits, Protection
from setpoint.telemetry.receive.draft import Draft
from setpoint.telemetry.receive.exemplars import exemplars_of
from setpoint.telemetry.receive.exponential_points import ExponentialPoints
from setpoint.telemetry.receive.faults import (
    reject_faulty,
    reject_refused,
    reject_unadded,
    reject_without_temporality,
)
from setpoint.telemetry.receive.limits import MAX_ROWS, too_many
from setpoint.telemetry.receive.metric_kernels import GAUGE, NO_DATA, SUM, SUMMARY
from setpoint.telemetry.receive.metric_scan import Request, scan_request, secret_words
from setpoint.telemetry.receive.new_series import NewSeries
from setpoint.telemetry.receive.outcome import Decoded, Rejections
from setpoint.telemetry.receive.point_kernels import CUMULATIVE, DELTA, MEASURE, derive, emit, lowest, values
from setpoint.telemetry.receive.series_memory import SeriesMemory
from setpoint.telemetry.series_table import UNKNOWN, SeriesTable

__all__ = ["STALE", "MetricDecoder"]

STALE: float = struct.unpack("<d", STALE_BITS.to_bytes(8, "little"))[0]
"""Prometheus's stale marker: the NaN that says a series has ended."""

_DELTA, _CUMULATIVE = 1, 2
"""Values of `AggregationTemporality`."""

_INFO = np.uint64(0xA0761D6478BD642F)
"""Makes the key of a resource the key of its `target_info`."""


class MetricDecoder:
    """Decodes `ExportMetricsServiceRequest` bodies; thread-safe.

    `memory` is shared by every decoder in front of one series table.
    """

    def __init__(
        self,
        clock: Clock,
        table: SeriesTable,
        memory: SeriesMemory | None = None,
        protection: Protection | None = None,
    ) -> None:
        self._clock = clock
        self._table = table
        self._memory = memory or SeriesMemory(table)
        self._protection = protection
        self._seed = secret_words(table.hash_seed)
        self._new = NewSeries(table)
        self._exponential = ExponentialPoints()

    def decode(self, body: bytes) -> Decoded:
        """The batch of a request in protobuf. Each rejected data point counts, with its reason, in `rejections`.

        Whoever calls this calls `on_stored` or `on_failed` of the result, once; the latter releases the lease. Raises
        InvalidInput when the body is no such request, TooLarge when it holds too many messages, Unavailable when
        earlier deltas are not stored in time.
        """
        now_ms = self._clock.now_ms()
        bounds = self._bounds(now_ms)
        request = scan_request(body, self._seed, bounds.oldest_ms * 1_000_000, bounds.newest_ms * 1_000_000)
        lease = self._table.lease(self._sender(request))
        undo = [lease.release]
        try:
            draft = Draft.of(request, _modes(request), now_ms, lease)
            return self._decode(draft, bounds, undo)
        except BaseException:
            _run(undo)
            raise

    def _decode(self, draft: Draft, bounds: Bounds, undo: list[Callable[[], None]]) -> Decoded:
        info_keys, info_refs = self._find(draft, bounds)
        values(draft.request.data, draft.metrics, draft.points, draft.first, draft.values)
        parsed = self._exponential.parse(draft, self._new)
        sums = self._memory.add_up(draft)
        repeated = 0
        if sums is not None:
            undo.append(partial(self._memory.settle, sums, stored=False))
            repeated = reject_unadded(draft, self._new, sums)
        births = self._memory.births(draft)
        histograms, totals = self._exponential.columns(draft, parsed, sums)
        columns = self._rows(draft, info_keys, info_refs)
        exemplars = exemplars_of(draft, bounds)
        batch = RefBatch(draft.lease, *columns, histograms, exemplars, draft.metadata)
        rejections = self._tell(draft)

        def on_stored() -> None:
            if sums is not None:
                self._memory.settle(sums, stored=True)
            self._memory.remember(births)
            self._exponential.remember(totals)
            self._new.told(draft.metadata)

        items = int(draft.taken.sum()) + repeated
        return Decoded(batch, items, rejections, on_stored, partial(_run, undo))

    def _find(self, draft: Draft, bounds: Bounds) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int32]]:
        """Fill in the refs of the draft's series, new ones made; keys and refs of the resources' `target_info`."""
        _check_unread(draft)
        reject_without_temporality(draft, self._new)
        if draft.rows > MAX_ROWS:
            raise too_many(MAX_ROWS)
        rows = draft.rows
        keys = np.empty((rows + len(draft.request.resources), 2), np.uint64)
        derive(draft.points, draft.first, keys)
        keys[rows:] = draft.request.resource_keys ^ _INFO
        refs = self._table.find(keys, draft.lease)
        draft.refs, draft.values = refs[:rows], np.empty(rows)
        draft.zero_ms = np.full(rows, -1, np.int64)
        least = np.empty(len(draft.points), np.int32)
        lowest(draft.first, draft.refs, least)
        missing = np.flatnonzero((least == UNKNOWN) & (draft.taken != 0))
        if len(missing):
            self._new.bind(draft, keys[:rows], missing)
        reject_faulty(draft, self._new, bounds)
        if rows and draft.refs.min() < 0:
            reject_refused(draft, self._new, self._protection)
        return keys[rows:], refs[rows:]

    def _rows(
        self, draft: Draft, info_keys: npt.NDArray[np.uint64], info_refs: npt.NDArray[np.int32]
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        """The columns of the batch: points and their zeros, then one `target_info` of each resource that has points."""
        newest_ms = np.zeros(len(info_refs), np.int64)
        room = draft.rows + int((draft.zero_ms >= 0).sum())
        refs, times_ms, sent = np.empty(room, np.int32), np.empty(room, np.int64), np.empty(room)
        count = emit(
            draft.metrics,
            draft.points,
            draft.taken,
            draft.first,
            draft.refs,
            draft.values,
            draft.zero_ms,
            newest_ms,
            refs,
            times_ms,
            sent,
        )
        for resource in np.flatnonzero((newest_ms > 0) & (info_refs == UNKNOWN)).tolist():
            info_refs[resource] = self._new.bind_info(draft, resource, info_keys[resource])
        told = np.flatnonzero((newest_ms > 0) & (info_refs >= 0))
        return (
            np.concatenate((refs[:count], info_refs[told])),
            np.concatenate((times_ms[:count], newest_ms[told])),
            np.concatenate((sent[:count], np.ones(len(told)))),
        )

    def _tell(self, draft: Draft) -> Rejections:
        """What the sender is told of rejected points; the server's operator and the watch over metrics are told too."""
        rejections = Rejections()
        told = sorted(draft.rejected.values(), key=lambda one: one.point)
        for one in told:
            rejections.add(one.sentence, one.count)
            if self._protection is not None and one.reason:
                self._protection.refused(one.reason, one.offender, one.sender, one.count, one.sentence)
        if told:
            metrics = draft.metrics[draft.points["metric"][[one.point for one in told]]]
            self._memory.forget(np.column_stack((metrics["high"], metrics["low"])))
        return rejections

    def _bounds(self, now_ms: int) -> Bounds:
        if self._protection is not None:
            return self._protection.bounds(now_ms)
        limits = Limits()
        return Bounds(now_ms, now_ms - limits.past_s * 1000, now_ms + limits.future_s * 1000)

    def _sender(self, request: Request) -> str:
        """Who sends a request, as one name. Raises InvalidInput when a resource is no message."""
        names = {self._new.sender(request, index).name for index in range(len(request.resources))}
        return names.pop() if len(names) == 1 else "otlp"


def _modes(request: Request) -> npt.NDArray[np.int8]:
    """What the values of each metric are; 0 for those whose temporality is missing."""
    kinds, temporality = request.metrics["kind"], request.metrics["temporality"]
    counted = np.where(temporality == _CUMULATIVE, CUMULATIVE, np.where(temporality == _DELTA, DELTA, 0))
    falls = (kinds == SUM) & (request.metrics["monotonic"] == 0) & (temporality == _CUMULATIVE)
    choices = [kinds == GAUGE, kinds == SUMMARY, falls, kinds == NO_DATA]
    return np.select(choices, [MEASURE, CUMULATIVE, MEASURE, 0], counted).astype(np.int8)


def _check_unread(draft: Draft) -> None:
    """Parse what nobody else will. Raises InvalidInput when something is no message: then nothing is taken."""
    points, metrics = draft.points, draft.metrics
    for point in np.flatnonzero((points["fault"] != 0) | (draft.modes[points["metric"]] == 0)).tolist():
        draft.request.point(point)
    for metric in np.flatnonzero(metrics["points"] == 0).tolist():
        draft.request.metric(metric)
    for scope in np.setdiff1d(np.arange(len(draft.request.scopes)), metrics["scope"]).tolist():
        draft.request.scope(scope)


def _run(steps: list[Callable[[], None]]) -> None:
    for step in reversed(steps):
        step()

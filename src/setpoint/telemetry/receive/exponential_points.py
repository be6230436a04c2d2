"""Exponential histograms of a request as native histograms beside its samples.

`decode_metrics` calls `parse` before anything is remembered of the request, because a histogram may turn out to make no
sense, and `columns` when it is known which deltas count. The sums of deltas are kept here by ref, at most `limit` of
them, and follow what `SeriesMemory` decides of the same points.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping

import numpy as np

from setpoint.telemetry.model import HistogramColumns
from setpoint.telemetry.native_histogram import NativeHistogram, ResetHint
from setpoint.telemetry.receive.draft import Draft, Rejected
from setpoint.telemetry.receive.exponential import MAX_POINT_BYTES, Exponential, stale_histogram
from setpoint.telemetry.receive.families import Family
from setpoint.telemetry.receive.metric_kernels import EXPONENTIAL, NO_RECORDED_VALUE
from setpoint.telemetry.receive.new_series import NewSeries
from setpoint.telemetry.receive.series_memory import Sums

__all__ = ["ExponentialPoints", "Totals"]

Totals = dict[int, tuple[int, Exponential]]
"""Sums of deltas: {ref: (fingerprint, sum)}."""


class ExponentialPoints:
    """Makes native histograms; thread-safe."""

    def __init__(self, limit: int = 20_000) -> None:
        self._limit = limit
        self._totals: OrderedDict[int, tuple[int, Exponential]] = OrderedDict()
        self._lock = threading.Lock()

    @staticmethod
    def parse(draft: Draft, new: NewSeries) -> dict[int, Exponential]:
        """{point: histogram} of the draft's exponential points, without stale ones; what makes no sense is rejected."""
        is_exponential = draft.metrics["kind"][draft.points["metric"]] == EXPONENTIAL
        found: dict[int, Exponential] = {}
        for point in np.flatnonzero(is_exponential & (draft.taken != 0)).tolist():
            one = draft.points[point]
            try:
                if one["end"] - one["start"] > MAX_POINT_BYTES:
                    raise ValueError(f"an exponential histogram of more than {MAX_POINT_BYTES} bytes")
                histogram = Exponential.of(draft.request.point(point))
            except ValueError as error:
                metric = int(one["metric"])
                family = new.family(draft.request, metric)
                name = family.name if isinstance(family, Family) else ""
                sender = new.sender(draft.request, int(draft.metrics[metric]["resource"])).name
                draft.reject(Rejected(point, 1, "invalid", f"{error} (metric '{name}')", name, sender))
                continue
            if not one["flags"] & NO_RECORDED_VALUE:
                found[point] = histogram
        return found

    def columns(
        self, draft: Draft, parsed: Mapping[int, Exponential], sums: Sums | None
    ) -> tuple[HistogramColumns | None, Totals]:
        """The native histograms of the points that are taken, and what to `remember` once they are stored."""
        rows: list[tuple[int, int, NativeHistogram]] = []
        totals: Totals = {}
        owners = dict(zip(sums.refs.tolist(), sums.owners.tolist(), strict=True)) if sums is not None else {}
        is_exponential = draft.metrics["kind"][draft.points["metric"]] == EXPONENTIAL
        points = np.flatnonzero(is_exponential & (draft.taken != 0))
        for point in points[np.argsort(draft.points["time_ns"][points], kind="stable")].tolist():
            row = int(draft.first[point])
            ref, zero_ms = int(draft.refs[row]), int(draft.zero_ms[row])
            at_ms = int(draft.points[point]["time_ns"]) // 1_000_000
            if point not in parsed:
                rows.append((ref, at_ms, stale_histogram()))
                continue
            histogram, hint = parsed[point], "unknown"
            if sums is not None and ref in owners:
                is_fresh = bool(sums.fresh[row])
                histogram, is_fresh = self._added(ref, owners[ref], histogram, totals, is_fresh)
                hint = "reset" if is_fresh else "unknown"
            if zero_ms >= 0:
                rows.append((ref, zero_ms, histogram.empty().native("reset")))
                hint = "unknown"
            rows.append((ref, at_ms, histogram.native(_hint(hint))))
        if not rows:
            return None, totals
        refs, times, histograms = zip(*rows, strict=True)
        payloads = [histogram.encode() for histogram in histograms]
        return HistogramColumns(np.array(refs, np.int32), np.array(times, np.int64), payloads), totals

    def remember(self, totals: Totals) -> None:
        """The histograms of these sums are stored."""
        with self._lock:
            for ref, total in totals.items():
                self._totals[ref] = total
                self._totals.move_to_end(ref)
            while len(self._totals) > self._limit:
                self._totals.popitem(last=False)

    def _added(
        self, ref: int, owner: int, delta: Exponential, totals: Totals, is_fresh: bool
    ) -> tuple[Exponential, bool]:
        """The sum with `delta` in it, and whether it begins with it."""
        known = totals.get(ref) or (None if is_fresh else self._totals.get(ref))
        if known is None or known[0] != owner:
            total, is_fresh = delta, True
        else:
            total, is_fresh = known[1].plus(delta), False
        totals[ref] = (owner, total)
        return total, is_fresh


def _hint(hint: str) -> ResetHint:
    return "reset" if hint == "reset" else "unknown"

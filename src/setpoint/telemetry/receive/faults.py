"""What is wrong with data points, in sentences for their sender: times, attributes, buckets, values, limits.

`decode_metrics` calls these for the points that the kernels or the series table did not take.
"""

from __future__ import annotations

import numpy as np

from setpoint.telemetry.protect import Bounds, Protection
from setpoint.telemetry.receive.delta_kernels import ADDED, OLDER, PAST
from setpoint.telemetry.receive.draft import Draft, Rejected
from setpoint.telemetry.receive.families import Family, point_series
from setpoint.telemetry.receive.limits import MAX_ATTRIBUTES, MAX_BUCKETS
from setpoint.telemetry.receive.metric_kernels import (
    BAD_BUCKETS,
    NO_DATA,
    NO_VALUE,
    OUT_OF_TIME,
    TOO_MANY_ATTRIBUTES,
    TOO_MANY_BUCKETS,
)
from setpoint.telemetry.receive.metric_scan import SHAPES
from setpoint.telemetry.receive.new_series import NewSeries, reject_metric
from setpoint.telemetry.receive.series_memory import Sums

__all__ = ["reject_faulty", "reject_refused", "reject_unadded", "reject_without_temporality"]

_DELTAS = {
    PAST: "a delta is not later than those that were added before, so it may have been counted; send deltas in order",
    OLDER: "a delta begins before the sum that it belongs to; one process alone must send a series' deltas",
}


def reject_without_temporality(draft: Draft, new: NewSeries) -> None:
    """Metrics of which it is not known what their values count."""
    kinds = draft.metrics["kind"]
    for metric in np.flatnonzero((draft.modes == 0) & (kinds != NO_DATA)).tolist():
        name = draft.request.metric(metric).name
        sentence = f"the aggregation temporality is missing; send cumulative or delta (metric '{name}')"
        sender = new.sender(draft.request, int(draft.metrics[metric]["resource"]))
        reject_metric(draft, metric, "invalid", sentence, sender)


def reject_faulty(draft: Draft, new: NewSeries, bounds: Bounds) -> None:
    """The points whose fault the kernels found."""
    faulty = np.flatnonzero((draft.points["fault"] != 0) & (draft.modes[draft.points["metric"]] != 0))
    for point in faulty.tolist():
        metric = int(draft.points[point]["metric"])
        family = new.family(draft.request, metric)
        sender = new.sender(draft.request, int(draft.metrics[metric]["resource"]))
        if isinstance(family, str):
            if draft.modes[metric]:
                reject_metric(draft, metric, "invalid", family, sender)
            continue
        reason, sentence = _fault(draft, point, bounds)
        if draft.points[point]["fault"] == NO_VALUE:
            try:
                shape = SHAPES[int(draft.metrics[metric]["kind"])]
                point_series(family, shape, draft.request.point(point))
            except ValueError as error:
                sentence = str(error)
        sentence = f"{sentence} (metric '{family.name}'{_buckets(draft, point)})"
        draft.reject(Rejected(point, 1, reason, sentence, family.name, sender.name))


def reject_refused(draft: Draft, new: NewSeries, protection: Protection | None) -> None:
    """Points one of whose series the table does not admit; a part of a histogram would be a wrong histogram."""
    refused = np.zeros(len(draft.points), bool)
    rows = np.flatnonzero(draft.refs < 0)
    refused[np.searchsorted(draft.first, rows, "right") - 1] = True
    points = np.flatnonzero(refused & (draft.taken != 0))
    metrics = draft.points["metric"][points]
    for metric in np.unique(metrics).tolist():
        mine = points[metrics == metric]
        family = new.family(draft.request, metric)
        name = family.name if isinstance(family, Family) else ""
        sender = new.sender(draft.request, int(draft.metrics[metric]["resource"])).name
        told = "the limit of series is reached; drop labels that vary"
        if protection is not None:
            told = protection.refused_series(sender, len(mine))
        draft.reject(Rejected(int(mine[0]), len(mine), "", f"{told} (metric '{name}')", name, sender), mine)


def reject_unadded(draft: Draft, new: NewSeries, sums: Sums) -> int:
    """Deltas that were not added: out of order they are rejected. Returns how many were added by an earlier request,
    of which their sender need not hear: it sends a request again whose answer it did not get.
    """
    unadded = np.flatnonzero(sums.verdicts != ADDED)
    points, verdicts = sums.points[unadded], sums.verdicts[unadded]
    draft.taken[points] = 0
    repeated = 0
    for point, verdict in zip(points.tolist(), verdicts.tolist(), strict=True):
        if verdict not in _DELTAS:
            repeated += 1
            continue
        metric = int(draft.points[point]["metric"])
        family = new.family(draft.request, metric)
        name = family.name if isinstance(family, Family) else ""
        sender = new.sender(draft.request, int(draft.metrics[metric]["resource"])).name
        sentence = f"{_DELTAS[verdict]} (metric '{name}')"
        draft.reject(Rejected(point, 1, "out_of_order", sentence, name, sender))
    return repeated


def _fault(draft: Draft, point: int, bounds: Bounds) -> tuple[str, str]:
    """Reason and sentence of a point's fault."""
    one = draft.points[point]
    if one["fault"] == OUT_OF_TIME:
        if one["time_ns"] == 0:
            return "invalid", "the timestamp is missing (0)"
        at_ms = int(one["time_ns"]) // 1_000_000
        beyond = bounds.fault(at_ms) or bounds.fault(at_ms + 1)  # beyond by less than a millisecond
        assert beyond is not None
        return beyond
    if one["fault"] == TOO_MANY_ATTRIBUTES:
        # Leaving some out, as spans and logs do, would make different series one.
        return "labels_per_series", f"more than {MAX_ATTRIBUTES} attributes"
    if one["fault"] == BAD_BUCKETS:
        return "invalid", "a histogram needs one bucket more than bounds"
    if one["fault"] == TOO_MANY_BUCKETS:
        return "invalid", f"more than {MAX_BUCKETS} buckets or quantiles"
    return "invalid", "the data point has no value"


def _buckets(draft: Draft, point: int) -> str:
    one = draft.points[point]
    if one["fault"] != BAD_BUCKETS:
        return ""
    return f": {one['counts']} buckets, {one['bounds']} bounds"

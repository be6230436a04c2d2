"""Exemplars of data points: a value, when it was measured, and the trace that it was measured in.

`decode_metrics` calls `exemplars_of` for the points that are taken. Labels are those of Prometheus's OTLP endpoint:
`trace_id` and `span_id` in hex, and the attributes that are no labels of the series, unless all of it is longer than
the 128 characters that OpenMetrics allows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.model import ExemplarColumns, Labels
from setpoint.telemetry.protect import Bounds
from setpoint.telemetry.receive.attributes import attribute_map
from setpoint.telemetry.receive.draft import Draft
from setpoint.telemetry.receive.metric_kernels import HISTOGRAM
from setpoint.telemetry.receive.point_kernels import exemplar_places

__all__ = ["exemplars_of"]

_MOST = 100_000
"""Exemplars of one request; SDKs send one for each bucket that was hit."""

_MOST_CHARS = 128


def exemplars_of(draft: Draft, bounds: Bounds) -> ExemplarColumns | None:
    """The exemplars of the points that are taken, by ref; None without any.

    Of a histogram, an exemplar belongs to the bucket that its value is in. Those without a value or out of time are
    left out. Raises InvalidInput when the bytes of one are no message.
    """
    expected = int(draft.points["exemplars"][draft.taken != 0].sum())
    if not expected:
        return None
    places = np.empty((min(expected, _MOST), 3), np.int64)
    found = exemplar_places(draft.request.data, draft.metrics, draft.points, draft.taken, places)
    refs: list[int] = []
    times_ms: list[int] = []
    values: list[float] = []
    labels: list[Labels] = []
    for point, begin, end in places[:found].tolist():
        message = draft.request.exemplar(begin, end)
        which = message.WhichOneof("value")
        at_ms = (message.time_unix_nano or int(draft.points[point]["time_ns"])) // 1_000_000
        if which is None or bounds.fault(at_ms) is not None:
            continue
        value = float(getattr(message, which))
        refs.append(int(draft.refs[_row(draft, point, value)]))
        times_ms.append(at_ms)
        values.append(value)
        labels.append(_labels(message))
    if not refs:
        return None
    return ExemplarColumns(
        np.array(refs, np.int32), np.array(times_ms, np.int64), np.array(values, np.float64), labels
    )


def _row(draft: Draft, point: int, value: float) -> int:
    """The series of the point that an exemplar of `value` belongs to."""
    one, first = draft.points[point], int(draft.first[point])
    if draft.metrics[one["metric"]]["kind"] != HISTOGRAM:
        return first
    begin, count = int(one["bounds_at"]), int(one["bounds"])
    if not count:
        return first
    bounds: npt.NDArray[np.float64] = np.frombuffer(draft.request.body, "<f8", count, begin)
    finite = count - 1 if bounds[-1] == np.inf else count
    return first + int(np.searchsorted(bounds[:finite], value))


def _labels(message: Any) -> Labels:
    labels: dict[str, str] = {}
    if any(message.trace_id):
        labels["trace_id"] = message.trace_id.hex()
    if any(message.span_id):
        labels["span_id"] = message.span_id.hex()
    others = attribute_map(message.filtered_attributes)
    chars = sum(len(name) + len(text) for part in (labels, others) for name, text in part.items())
    return {**others, **labels} if chars <= _MOST_CHARS else labels

"""The metrics decoder as one would write it first: protobuf objects, walked in Python, with dictionaries.

The differential tests hold the kernels against it. It shares with them what names series (`families`) and nothing of
how points are found, keyed, remembered and added up. Late births and exponential histograms are tested elsewhere.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from setpoint.errors import InvalidInput
from setpoint.telemetry.model import Series
from setpoint.telemetry.protect import Bounds, Limits
from setpoint.telemetry.receive.attributes import Resource
from setpoint.telemetry.receive.families import Family, info_series, point_series
from setpoint.telemetry.receive.outcome import Rejections
from setpoint.telemetry.receive.receiver import SERVICES
from setpoint.telemetry.receive.translate import Kind

__all__ = ["Seen", "Walk", "Walked", "bits_of"]

Seen = dict[tuple[tuple[str, str], ...], dict[int, int]]
"""{sorted labels: {timestamp in ms: the bits of the value}}."""

STALE_BITS = 0x7FF0000000000002
_HOUR_MS = 3_600_000
_METRIC = "metric …"


def bits_of(value: float) -> int:
    """The bits of a float; every NaN but the stale marker is one, because Python keeps no payload."""
    bits = int.from_bytes(struct.pack("<d", value), "little")
    return bits if value == value or bits == STALE_BITS else -1  # noqa: PLR0124


@dataclass(slots=True)
class _Point:
    """A point that can be taken; `zeros` are those of its first series, None where there are none."""

    family: Family
    shape: str
    is_delta: bool
    message: Any
    series: tuple[Series, ...]
    values: list[float]
    resource: int
    zeros: list[int | None] = field(default_factory=list)

    @property
    def at_ms(self) -> int:
        return int(self.message.time_unix_nano) // 1_000_000

    @property
    def is_stale(self) -> bool:
        return bool(self.message.flags & 1)


@dataclass(slots=True)
class Walked:
    """What a request gave."""

    samples: Seen = field(default_factory=dict)
    rejections: Rejections = field(default_factory=Rejections)
    items: int = 0
    starts: dict[int, tuple[int, int]] = field(default_factory=dict)
    latest: dict[int, tuple[int, ...]] = field(default_factory=dict)
    sums: dict[int, tuple[int, int, float]] = field(default_factory=dict)

    def add(self, series: Series, at_ms: int, bits: int) -> None:
        """One sample; of equal times the last stays."""
        self.samples.setdefault(_key(series), {})[at_ms] = bits


class Walk:
    """Decodes requests at `now_ms`; `stored` says that what a request gave is kept."""

    def __init__(self, now_ms: int) -> None:
        limits = Limits()
        self.now_ms = now_ms
        self.bounds = Bounds(now_ms, now_ms - limits.past_s * 1000, now_ms + limits.future_s * 1000)
        self.starts: dict[int, tuple[int, int]] = {}
        self.sums: dict[int, tuple[int, int, float]] = {}
        self.keys: set[tuple[tuple[str, str], ...]] = set()

    def stored(self, walked: Walked) -> None:
        """The request is stored."""
        for fingerprint, (start_ns, at_ms) in walked.latest.items():
            known = self.starts.get(fingerprint, (0, at_ms))
            self.starts[fingerprint] = max(start_ns, known[0]), max(at_ms, known[1])
        self.sums.update(walked.sums)
        self.keys.update(walked.samples)

    def decode(self, body: bytes) -> Walked:
        """Raises InvalidInput when the body is no request."""
        try:
            request = SERVICES["metrics"].request.FromString(body)
        except DecodeError as error:
            raise InvalidInput("no request") from error
        walked = Walked()
        points: list[_Point] = []
        resources: list[Resource] = []
        for resource_metrics in request.resource_metrics:
            resources.append(Resource.of(resource_metrics.resource))
            points += self._points(walked, resource_metrics, resources)
        for point in sorted((point for point in points if point.is_delta), key=_time):
            self._add_up(walked, point)
        newest_ms: dict[int, int] = {}
        for point in points:
            if self._take(walked, point):
                newest_ms[point.resource] = max(newest_ms.get(point.resource, 0), point.at_ms)
        for place, at_ms in newest_ms.items():
            info = info_series(resources[place])
            if info is not None:
                walked.add(info, at_ms, bits_of(1.0))
        return walked

    def _points(self, walked: Walked, resource_metrics: Any, resources: list[Resource]) -> Iterator[_Point]:
        for scope_metrics in resource_metrics.scope_metrics:
            for metric in scope_metrics.metrics:
                shape = metric.WhichOneof("data")
                if shape is None:
                    continue
                data = getattr(metric, shape)
                try:
                    is_delta = _is_delta(metric, data)
                    family = Family.of(metric, _kind(shape, data), scope_metrics.scope.name, resources[-1])
                except ValueError as error:
                    walked.rejections.add(str(error), len(data.data_points))
                    continue
                for message in data.data_points:
                    try:
                        self._check(message)
                        series, values = _values(family, shape, message)
                    except ValueError as error:
                        walked.rejections.add(str(error).replace(_METRIC, f"metric '{family.name}'"))
                        continue
                    place = len(resources) - 1
                    yield _Point(family, shape, is_delta, message, series, values, place)

    def _check(self, message: Any) -> None:
        at_ns = message.time_unix_nano
        if at_ns == 0:
            raise ValueError(f"the timestamp is missing (0) ({_METRIC})")
        fault = self.bounds.fault(at_ns // 1_000_000) or self.bounds.fault(-(-at_ns // 1_000_000))
        if fault is not None:
            raise ValueError(f"{fault[1]} ({_METRIC})")
        if len(message.attributes) > 1000:
            raise ValueError(f"more than 1000 attributes ({_METRIC})")

    def _add_up(self, walked: Walked, point: _Point) -> None:
        """Deltas become sums; of a point that does not count `series` is emptied."""
        start_ns, at_ns = point.message.start_time_unix_nano, point.message.time_unix_nano
        known = [walked.sums.get(one.fingerprint) or self.sums.get(one.fingerprint) for one in point.series]
        lasts = [one[1] for one in known if one is not None and at_ns <= one[1]]
        begun = [one for one in known if one is not None and at_ns > one[1] and 0 < start_ns < one[0]]
        reason = ""
        if any(last // 1_000_000 != point.at_ms for last in lasts):
            reason = "a delta is not later than those that were added before"
        elif begun:
            reason = "a delta begins before the sum that it belongs to"
        if reason or lasts:
            point.series = ()
            if reason:
                walked.rejections.add(f"{reason} (metric '{point.family.name}')")
            else:
                walked.items += 1
            return
        if point.is_stale:
            return
        for place, (one, before) in enumerate(zip(point.series, known, strict=True)):
            start, _, total = before or (start_ns, 0, 0.0)
            if before is None:
                shift_ms = int(_key(one) in self.keys)
                begin_ms = start_ns // 1_000_000 + shift_ms if 0 < start_ns < at_ns else point.at_ms - 1
                zero_ms = min(max(begin_ms, point.at_ms - _HOUR_MS), point.at_ms - 1)
                point.zeros.append(None if point.family.type == "gauge" else zero_ms)
            else:
                point.zeros.append(None)
            point.values[place] += total
            kept = point.values[place]
            finite = kept - kept == 0
            walked.sums[one.fingerprint] = (start, at_ns, kept if finite else total)

    def _take(self, walked: Walked, point: _Point) -> bool:
        if not point.series:
            return False
        if not point.is_delta and point.family.type != "gauge" and not point.is_stale:
            self._begin(walked, point)
        for one, zero_ms in zip(point.series, point.zeros, strict=False):
            if zero_ms is not None:
                walked.add(one, zero_ms, bits_of(0.0))
        for one, value in zip(point.series, point.values, strict=True):
            walked.add(one, point.at_ms, STALE_BITS if point.is_stale else bits_of(value))
        walked.items += 1
        return True

    def _begin(self, walked: Walked, point: _Point) -> None:
        first, start_ns = point.series[0].fingerprint, point.message.start_time_unix_nano
        at_ns = point.message.time_unix_nano
        start_ns = start_ns if start_ns < at_ns else 0
        before = walked.starts.get(first)
        if before is None or before[0] != start_ns:
            zero_ms = self._zero_ms(first, start_ns, point.at_ms)
            point.zeros = [zero_ms] * (2 if point.shape == "summary" else len(point.series))
        walked.starts[first] = (start_ns, point.at_ms)
        walked.latest[first] = tuple(map(max, (start_ns, point.at_ms), walked.latest.get(first, (0, 0))))

    def _zero_ms(self, fingerprint: int, start_ns: int, at_ms: int) -> int | None:
        start_ms = start_ns // 1_000_000
        if not start_ns or start_ms < self.now_ms - _HOUR_MS:
            return None
        zero_ms = min(start_ms, at_ms - 1)
        known = self.starts.get(fingerprint)
        if known is not None and (start_ns <= known[0] or zero_ms <= known[1]):
            return None
        return zero_ms


def _key(series: Series) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(series.labels.items()))


def _time(point: _Point) -> int:
    return int(point.message.time_unix_nano)


def _is_delta(metric: Any, data: Any) -> bool:
    temporality = getattr(data, "aggregation_temporality", 2)
    if temporality not in (1, 2):
        raise ValueError(
            f"the aggregation temporality is missing; send cumulative or delta (metric '{metric.name}')"
        )
    return bool(temporality == 1)


def _kind(shape: str, data: Any) -> Kind:
    if shape == "sum":
        return "counter" if data.is_monotonic else "updown"
    return shape  # type: ignore[return-value]


def _values(family: Family, shape: str, point: Any) -> tuple[tuple[Series, ...], list[float]]:
    """The series of a point that have values, and these. Raises ValueError where it makes no sense."""
    if shape == "histogram":
        counts = point.bucket_counts
        bounds = point.explicit_bounds if counts else ()
        if counts and len(counts) != len(bounds) + 1:
            raise ValueError(
                f"a histogram needs one bucket more than bounds ({_METRIC}: "
                f"{len(counts)} buckets, {len(bounds)} bounds)"
            )
        if len(bounds) > 1000:
            raise ValueError(f"more than 1000 buckets or quantiles ({_METRIC})")
    series = _named(family, shape, point)
    if shape == "histogram":
        finite = len(series) - 3
        values = [float(total) for total in itertools.accumulate(counts[:finite])]
        values += [float(point.count), float(point.count), point.sum]
        return (series, values) if point.HasField("sum") else (series[:-1], values[:-1])
    if shape == "summary":
        return series, [float(point.count), point.sum, *(item.value for item in point.quantile_values)]
    which = point.WhichOneof("value")
    if which is None and not point.flags & 1:
        raise ValueError(f"the data point has no value ({_METRIC})")
    return series, [float(getattr(point, which)) if which else 0.0]


def _named(family: Family, shape: str, point: Any) -> tuple[Series, ...]:
    try:
        return point_series(family, shape, point)
    except ValueError as error:
        raise ValueError(f"{error} ({_METRIC})") from error

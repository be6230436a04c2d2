"""The series of points whose keys the series table does not know: decoded, named, and bound to their keys.

`decode_metrics` comes here for what is new. All of it is decoded before any of it is kept, so that a body that is no
request changes nothing. What is remembered of resources and metrics (by their keys) only saves decoding them again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.model import Metadata, Series
from setpoint.telemetry.receive.attributes import Resource
from setpoint.telemetry.receive.draft import Draft, Rejected
from setpoint.telemetry.receive.families import Family, info_series, point_series
from setpoint.telemetry.receive.metric_kernels import SUM
from setpoint.telemetry.receive.metric_scan import SHAPES, Request
from setpoint.telemetry.receive.translate import Kind
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["NewSeries", "Sender"]

_KEPT = 20_000
_TOLD_KEPT = 50_000
_HELD_POINTS = 2_000
"""Decoded points that are held between looking at them and taking them; more are decoded twice."""

_SLICE = 8_192
"""Series that are made before they are handed to the table."""

_KINDS: dict[str, Kind] = {
    "gauge": "gauge",
    "histogram": "histogram",
    "exponential_histogram": "histogram",
    "summary": "summary",
}


@dataclass(frozen=True, slots=True)
class Sender:
    """A resource as a sender of series: its name in the table, and its series `target_info`, if it has one."""

    name: str
    resource: Resource
    info: Series | None


@dataclass(slots=True)
class _Slice:
    """Series of one sender that wait for their refs, and the rows that get them."""

    sender: str
    rows: list[int]
    series: list[Series]


class NewSeries:
    """Decodes and binds what `table` does not know; thread-safe, as losing a remembered thing does no harm."""

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self._senders: dict[tuple[int, int], Sender] = {}
        self._families: dict[tuple[int, int], Family | str] = {}
        self._told: set[Metadata] = set()

    def sender(self, request: Request, index: int) -> Sender:
        """Who the resource at `index` is."""
        high, low = request.resource_keys[index].tolist()
        found = self._senders.get((high, low))
        if found is None:
            resource = Resource.of(request.resource(index))
            found = Sender(f"otlp {resource.service}", resource, info_series(resource))
            if len(self._senders) >= _KEPT:
                self._senders = {}
            self._senders[high, low] = found
        return found

    def family(self, request: Request, index: int) -> Family | str:
        """What the metric at `index` is, or why it cannot be."""
        metric = request.metrics[index]
        key = (int(metric["high"]), int(metric["low"]))
        found = self._families.get(key)
        if found is None:
            found = self._family(request, index, metric)
            if len(self._families) >= _KEPT:
                self._families = {}
            self._families[key] = found
        return found

    def bind(self, draft: Draft, keys: npt.NDArray[np.uint64], missing: npt.NDArray[np.int64]) -> None:
        """Fill in `draft.refs` of the points `missing`; rejects those that can have no series.

        `keys` uint64[rows, 2]. Raises InvalidInput when a message is none; nothing is kept then.
        """
        request = draft.request
        held = {point: request.point(point) for point in missing[:_HELD_POINTS].tolist()}
        for point in missing[_HELD_POINTS:].tolist():
            request.point(point)
        metrics = np.unique(draft.points["metric"][missing])
        for metric in metrics.tolist():
            family = self.family(request, metric)
            if isinstance(family, str):
                self._reject_metric(draft, metric, family)
            elif family.metadata not in self._told:
                draft.metadata.append(family.metadata)
        for part in self._slices(draft, missing, held):
            lease = self._table.lease(part.sender)
            # The batch's own lease is older, so it keeps what is found under this one too.
            try:
                draft.refs[part.rows] = self._table.bind(keys[part.rows], part.series, lease)
            finally:
                lease.release()

    def bind_info(self, draft: Draft, resource: int, key: npt.NDArray[np.uint64]) -> int:
        """The ref of the series `target_info` of a resource, -1 if it has none."""
        sender = self.sender(draft.request, resource)
        if sender.info is None:
            return -1
        lease = self._table.lease(sender.name)
        try:
            return int(self._table.bind(key.reshape(1, 2), [sender.info], lease)[0])
        finally:
            lease.release()

    def told(self, metadata: list[Metadata]) -> None:
        """These are stored and need not be said again."""
        if len(self._told) >= _TOLD_KEPT:
            self._told = set()
        self._told.update(metadata)

    def _slices(self, draft: Draft, missing: npt.NDArray[np.int64], held: dict[int, Any]) -> Iterator[_Slice]:
        part = _Slice("", [], [])
        for point in missing.tolist():
            if not draft.taken[point]:
                continue
            metric = int(draft.points[point]["metric"])
            family = self.family(draft.request, metric)
            sender = self.sender(draft.request, int(draft.metrics[metric]["resource"]))
            assert isinstance(family, Family)  # others are not taken any more
            message = held.pop(point, None) or draft.request.point(point)
            try:
                made = point_series(family, SHAPES[int(draft.metrics[metric]["kind"])], message)
            except ValueError as error:
                sentence = f"{error} (metric '{family.name}')"
                draft.reject(Rejected(point, 1, "invalid", sentence, family.name, sender.name))
                continue
            if part.series and (part.sender != sender.name or len(part.series) + len(made) > _SLICE):
                yield part
                part = _Slice("", [], [])
            part.sender = sender.name
            begin, end = int(draft.first[point]), int(draft.first[point + 1])
            part.rows.extend(range(begin, end))
            part.series.extend(made[: end - begin])
        if part.series:
            yield part

    def _reject_metric(self, draft: Draft, metric: int, sentence: str) -> None:
        reject_metric(
            draft, metric, "invalid", sentence, self.sender(draft.request, _resource(draft, metric))
        )

    def _family(self, request: Request, index: int, metric: Any) -> Family | str:
        message = request.metric(index)
        scope = request.scope(int(metric["scope"])).name
        resource = self.sender(request, int(metric["resource"])).resource
        kind: Kind
        if metric["kind"] == SUM:
            kind = "counter" if metric["monotonic"] else "updown"
        else:
            kind = _KINDS[SHAPES[int(metric["kind"])]]
        try:
            return Family.of(message, kind, scope, resource)
        except ValueError as error:
            return str(error)


def reject_metric(draft: Draft, metric: int, reason: str, sentence: str, sender: Sender) -> None:
    """Reject every point of a metric; whatever else is wrong with them is not told."""
    first, count = int(draft.metrics[metric]["first"]), int(draft.metrics[metric]["points"])
    name = draft.request.metric(metric).name
    draft.modes[metric] = 0
    draft.reject(Rejected(first, count, reason, sentence, name, sender.name), np.arange(first, first + count))


def _resource(draft: Draft, metric: int) -> int:
    return int(draft.metrics[metric]["resource"])

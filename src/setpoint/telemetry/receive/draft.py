"""A metrics request on its way to a batch: what was scanned, what its points were found to be, what was rejected.

`decode_metrics` fills it in step by step; `series_memory` reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.model import Lease, Metadata
from setpoint.telemetry.receive.metric_scan import Request
from setpoint.telemetry.receive.point_kernels import layout

__all__ = ["Draft", "Rejected"]


@dataclass(slots=True)
class Rejected:
    """`count` points of one metric, `point` the first, that are not taken: the sentence for their sender, and for the
    server's operator the reason in one word, whose they are and from whom.
    """

    point: int
    count: int
    reason: str
    sentence: str
    offender: str
    sender: str


@dataclass(slots=True, eq=False)
class Draft:
    """n points of m metrics with k series in all; the series of point i are rows `first[i]:first[i + 1]`.

    `modes` int8[m]: what each metric's values are (`point_kernels`), 0 if it is not taken. `taken` uint8[n]: 1 for
    points that go into the batch. By row: `refs` int32[k], `values` float64[k], `zero_ms` int64[k] (-1: no zero).
    """

    request: Request
    modes: npt.NDArray[np.int8]
    now_ms: int
    lease: Lease
    first: npt.NDArray[np.int64]
    taken: npt.NDArray[np.uint8]
    refs: npt.NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    values: npt.NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    zero_ms: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    rejected: dict[tuple[int, str], Rejected] = field(default_factory=dict)
    metadata: list[Metadata] = field(default_factory=list)

    @classmethod
    def of(cls, request: Request, modes: npt.NDArray[np.int8], now_ms: int, lease: Lease) -> Draft:
        """The draft of a request that was scanned."""
        first = np.empty(len(request.points) + 1, np.int64)
        layout(request.data, request.metrics, request.points, modes, first)
        taken = (np.diff(first) > 0).astype(np.uint8)
        return cls(request, modes, now_ms, lease, first, taken)

    @property
    def metrics(self) -> npt.NDArray[Any]:
        """The metrics of the request (METRIC)."""
        return self.request.metrics

    @property
    def points(self) -> npt.NDArray[Any]:
        """The points of the request (POINT)."""
        return self.request.points

    @property
    def rows(self) -> int:
        """Number of series of all points."""
        return int(self.first[-1])

    def reject(self, rejected: Rejected, points: npt.NDArray[np.int64] | None = None) -> None:
        """Do not take `points` (unless given: `rejected.point`)."""
        self.taken[rejected.point if points is None else points] = 0
        if not rejected.count:
            return
        key = (int(self.points[rejected.point]["metric"]), rejected.sentence)
        known = self.rejected.setdefault(key, rejected)
        if known is not rejected:
            known.count += rejected.count
            known.point = min(known.point, rejected.point)

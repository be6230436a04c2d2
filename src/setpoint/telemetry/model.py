"""The shapes that telemetry takes on its way in (batches) and out (sample columns).

Receivers decode protocols into batches, `ingest` stores them, `head` keeps the recent samples; the query language sees
only `SampleColumns` through a `Select` function, whatever the samples come from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "ChunkColumns",
    "ExemplarColumns",
    "HistogramColumns",
    "Labels",
    "Lease",
    "LogBatch",
    "Matcher",
    "Metadata",
    "MetricBatch",
    "RefBatch",
    "SampleColumns",
    "Select",
    "SelectHistograms",
    "Series",
    "SpanBatch",
    "StoredHistograms",
    "fingerprint",
]

Labels = Mapping[str, str]
"""Label names and values of a series, the metric's name under `__name__`."""

MatchOperator = Literal["=", "!=", "=~", "!~"]


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on a label; a missing label counts as the empty string, expressions are anchored."""

    name: str
    op: MatchOperator
    value: str


@dataclass(frozen=True, slots=True)
class SampleColumns:
    """Samples of n series as columns: series i owns positions `offsets[i]:offsets[i + 1]`.

    `offsets` int64[n + 1], `timestamps_ms` int64[m] strictly ascending within a series, `values` float64[m].
    """

    labels: tuple[Labels, ...]
    offsets: npt.NDArray[np.int64]
    timestamps_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return int(self.offsets[-1])

    @classmethod
    def empty(cls) -> SampleColumns:
        """No series, no samples."""
        return SampleColumns((), np.zeros(1, np.int64), np.empty(0, np.int64), np.empty(0, np.float64))


Select = Callable[[Sequence[Matcher], int, int], SampleColumns]
"""`select(matchers, start_ms, end_ms)`: the samples of the matching series with start_ms < t <= end_ms."""


@dataclass(frozen=True, slots=True)
class Series:
    """One metric series and what its sender said of it. `fingerprint` is that of `labels` (uint64)."""

    fingerprint: int
    labels: Labels
    service: str
    resource: Labels = field(default_factory=dict)
    scope: str = ""
    type: str = ""
    unit: str = ""
    help: str = ""


@dataclass(frozen=True, slots=True)
class HistogramColumns:
    """Native histograms as equally long columns, beside the samples of a batch.

    `rows` int32[k]: positions in `series` (`MetricBatch`) or refs (`RefBatch`); `timestamps_ms` int64[k];
    `payloads`: k encoded histograms (`native_histogram.NativeHistogram.encode`).
    """

    rows: npt.NDArray[np.int32]
    timestamps_ms: npt.NDArray[np.int64]
    payloads: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class StoredHistograms:
    """Native histograms of n series; `columns.rows` point into `labels`, by series and time."""

    labels: tuple[Labels, ...]
    columns: HistogramColumns


SelectHistograms = Callable[[Sequence[Matcher], int, int], StoredHistograms | None]
"""As `Select`, for the native histograms of the matching series; None when there cannot be any."""


@dataclass(frozen=True, slots=True)
class ExemplarColumns:
    """Exemplars as equally long columns, beside the samples of a batch; `rows` as in `HistogramColumns`."""

    rows: npt.NDArray[np.int32]
    timestamps_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    labels: Sequence[Labels]


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a sender says of a metric family: `type` in Prometheus's words (counter, gauge, histogram, …)."""

    metric: str
    type: str
    unit: str
    help: str


@dataclass(frozen=True, slots=True)
class MetricBatch:
    """Samples of several series; `series_index` int32[m] points into `series`. `sender` says who sent them."""

    series: Sequence[Series]
    series_index: npt.NDArray[np.int32]
    timestamps_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    histograms: HistogramColumns | None = None
    exemplars: ExemplarColumns | None = None
    metadata: Sequence[Metadata] = ()
    sender: str = ""


@dataclass(eq=False, slots=True)
class Lease:
    """Keeps the rows of a `SeriesTable` that a batch names from being given to other series meanwhile.

    Made by `SeriesTable.lease`, released once by whoever finishes the batch.
    """

    epoch: int
    sender: str
    release: Callable[[], None]


@dataclass(frozen=True, slots=True)
class RefBatch:
    """Samples by row of the series table: `refs` int32[m], `timestamps_ms` int64[m], `values` float64[m]."""

    lease: Lease
    refs: npt.NDArray[np.int32]
    timestamps_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    histograms: HistogramColumns | None = None
    exemplars: ExemplarColumns | None = None
    metadata: Sequence[Metadata] = ()


@dataclass(frozen=True, slots=True)
class ChunkColumns:
    """n encoded chunks (`codec`): chunk i is `payload[offsets[i]:offsets[i + 1]]`, of one series and one UTC day.

    `fingerprints` uint64[n], `first_ms` and `last_ms` int64[n] (inclusive), `counts` int32[n] (samples),
    `offsets` int64[n + 1], `payload` uint8[offsets[n]].
    """

    fingerprints: npt.NDArray[np.uint64]
    first_ms: npt.NDArray[np.int64]
    last_ms: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    payload: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SpanBatch:
    """Spans as equally long columns, named as in the table `spans`."""

    columns: Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Log records as equally long columns, named as in the table `logs`."""

    columns: Mapping[str, Sequence[Any]]


def fingerprint(labels: Labels) -> int:
    """A stable 64-bit identity of a set of labels: BLAKE2b over the sorted, length-prefixed pairs."""
    parts: list[bytes] = []
    for name in sorted(labels):
        key, value = name.encode(), labels[name].encode()
        parts += (len(key).to_bytes(4, "little"), key, len(value).to_bytes(4, "little"), value)
    return int.from_bytes(hashlib.blake2b(b"".join(parts), digest_size=8).digest(), "little")

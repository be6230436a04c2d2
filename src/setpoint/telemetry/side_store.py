"""What comes beside samples, in the database: exemplars, native histograms, and what senders say of a metric family.

`store` writes them with the batch that brought them; the Prometheus API reads them. One that is sent again replaces
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.database import Columns, TelemetryDatabase, load_queries
from setpoint.errors import InvalidInput
from setpoint.telemetry.conditions import condition_of
from setpoint.telemetry.histogram_series import HistogramSeries
from setpoint.telemetry.match import refuse_invalid
from setpoint.telemetry.model import (
    ExemplarColumns,
    HistogramColumns,
    Labels,
    Matcher,
    Metadata,
    RefBatch,
    StoredHistograms,
)
from setpoint.telemetry.recent_histograms import RecentHistograms
from setpoint.telemetry.series_store import SeriesStore
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["HISTOGRAMS_MAX", "SideStore", "StoredExemplars", "StoredHistograms"]

_QUERIES = load_queries("setpoint.telemetry")
_MATCHERS = "/* matchers */"
HISTOGRAMS_MAX = 600_000
"""Native histograms of one answer: some 600 MB, as Prometheus's limit on samples would allow."""

_HISTOGRAMS_AT_ONCE = 50_000
_METADATA_KEPT = 100_000
"""Families remembered as written; beyond that all are forgotten and written again, which is harmless."""


@dataclass(frozen=True, slots=True)
class StoredExemplars:
    """Exemplars of n series; `columns.rows` point into `labels`, by series and time."""

    labels: tuple[Labels, ...]
    columns: ExemplarColumns


class SideStore:
    """Exemplars, histograms, metadata. Reads may come from any thread, writes from one."""

    def __init__(self, db: TelemetryDatabase, table: SeriesTable, series: SeriesStore) -> None:
        self._db = db
        self._table = table
        self._series = series
        self._metadata: dict[str, Metadata] = {}
        self._recent = RecentHistograms()
        table.kept = self._recent.fingerprints
        self._histogram_series = HistogramSeries(db, table, self._recent.begin)

    def write(self, batches: Sequence[RefBatch]) -> None:
        """Store what `batches` bring beside samples, a block per table. Raises Unavailable when refused."""
        exemplars = [batch.exemplars for batch in batches if batch.exemplars and len(batch.exemplars.rows)]
        histograms = [
            batch.histograms for batch in batches if batch.histograms and len(batch.histograms.rows)
        ]
        if exemplars:
            self._db.insert(
                "exemplars",
                {
                    **self._keys(exemplars),
                    "value": np.concatenate([one.values for one in exemplars]),
                    "labels": [dict(labels) for one in exemplars for labels in one.labels],
                },
            )
        if histograms:
            # Before the rows are there: who asks in between finds none yet, and would otherwise never.
            self._histogram_series.note(np.concatenate([one.rows for one in histograms]))
            keys = self._keys(histograms)
            payloads = [payload for one in histograms for payload in one.payloads]
            self._db.insert("histograms", {**keys, "payload": payloads})
            self._recent.put(keys["fingerprint"], keys["ts_ms"], payloads)
        self._write_metadata(batches)

    def _keys(
        self, parts: Sequence[ExemplarColumns] | Sequence[HistogramColumns]
    ) -> dict[str, npt.NDArray[Any]]:
        return {
            "fingerprint": self._table.fingerprints(np.concatenate([part.rows for part in parts])),
            "ts_ms": np.concatenate([part.timestamps_ms for part in parts]),
        }

    def _write_metadata(self, batches: Sequence[RefBatch]) -> None:
        news = {
            said.metric: said
            for batch in batches
            for said in batch.metadata
            if self._metadata.get(said.metric) != said
        }
        if not news:
            return
        self._db.insert(
            "metadata",
            {
                name: [getattr(said, name) for said in news.values()]
                for name in ("metric", "type", "unit", "help")
            },
        )
        if len(self._metadata) + len(news) > _METADATA_KEPT:
            self._metadata.clear()
        self._metadata.update(news)

    # ---- reading -----------------------------------------------------------------------------------------

    def read_exemplars(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> StoredExemplars:
        """The exemplars with start_ms <= t <= end_ms of the series that satisfy the matchers.

        Raises InvalidInput for a bad expression, Unavailable when the engine does not answer.
        """
        rows, labels = self._read("read_exemplars", matchers, start_ms, end_ms)
        return StoredExemplars(
            labels,
            ExemplarColumns(
                rows["row"].astype(np.int32),
                rows["ts_ms"].astype(np.int64),
                rows["value"].astype(np.float64),
                rows["labels"].tolist(),
            ),
        )

    def read_histograms(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> StoredHistograms:
        """The native histograms with start_ms < t <= end_ms; errors as `read_exemplars`, and InvalidInput for more than
        `HISTOGRAMS_MAX`.
        """
        refuse_invalid(matchers)
        condition, parameters = condition_of(matchers)
        self._series.settle()  # what is beside samples is found by the rows of its series
        counted = _QUERIES["count_histograms"].replace(_MATCHERS, condition)
        count = int(self._db.query(counted, start_ms=start_ms, end_ms=end_ms, **parameters)["rows"][0])
        if count > HISTOGRAMS_MAX:
            raise InvalidInput(
                f"about {count:,} native histograms would be read, at most {HISTOGRAMS_MAX:,} are: "
                "ask for fewer series or a shorter time"
            )
        query = _QUERIES["read_histograms"].replace(_MATCHERS, condition)
        fingerprints, times, payloads = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], list[bytes]()
        slices = -(-count // _HISTOGRAMS_AT_ONCE)
        edges = [start_ms + (end_ms - start_ms) * k // max(slices, 1) for k in range(slices + 1)]
        for first_ms, last_ms in pairwise(edges):
            rows = self._db.query(query, start_ms=first_ms, end_ms=last_ms, **parameters)
            fingerprints.append(rows["fingerprint"].astype(np.uint64))
            times.append(rows["ts_ms"].astype(np.int64))
            payloads += map(bytes.fromhex, rows["payload"].tolist())
        series, instants = np.concatenate(fingerprints), np.concatenate(times)
        order = np.lexsort((instants, series))
        named, places = np.unique(series[order], return_inverse=True)
        labels = self._series.labels(condition, parameters, named)
        return StoredHistograms(
            tuple(labels[fingerprint] for fingerprint in named.tolist()),
            HistogramColumns(
                places.astype(np.int32), instants[order], [payloads[place] for place in order.tolist()]
            ),
        )

    def select_histograms(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> StoredHistograms | None:
        """As `read_histograms`; None, without asking the engine, where no matching series ever had any."""
        series = self._histogram_series.matching(matchers)
        if series is None:
            return self.read_histograms(matchers, start_ms, end_ms)
        if not series:
            return None
        return self._recent.select(series, start_ms, end_ms) or self.read_histograms(
            matchers, start_ms, end_ms
        )

    def may_have_histograms(self, matchers: Sequence[Matcher]) -> bool:
        """False where it is known without the engine that no matching series ever had any."""
        return not self._histogram_series.is_known or self._histogram_series.matching(matchers) != []

    def read_metadata(self, metric: str | None = None) -> list[Metadata]:
        """What senders said of metric families, or of one, by name."""
        name = "read_metadata" if metric is None else "read_metadata_of"
        parameters = {} if metric is None else {"metric": metric}
        rows = self._db.query(_QUERIES[name], **parameters)
        columns = (rows[name].tolist() for name in ("metric", "type", "unit", "help"))
        return [Metadata(*row) for row in zip(*columns, strict=True)]

    def _read(
        self, query: str, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> tuple[Columns, tuple[Labels, ...]]:
        """The rows with a column `row`, and the labels that it points into."""
        refuse_invalid(matchers)
        condition, parameters = condition_of(matchers)
        self._series.settle()
        rows = self._db.query(
            _QUERIES[query].replace(_MATCHERS, condition), start_ms=start_ms, end_ms=end_ms, **parameters
        )
        fingerprints, places = np.unique(rows["fingerprint"], return_inverse=True)
        labels = self._series.labels(condition, parameters, fingerprints)
        if len(fingerprints):
            rows["row"] = places
        return rows, tuple(labels[fingerprint] for fingerprint in fingerprints.tolist())

"""Signals in the telemetry database: what `ingest` writes, and what `read` and the status page ask for.

Many batches become one block per table, because the engine wants few large inserts. Series are written
before their samples, so a sample in the database always has its labels there; a fingerprint is written once
by each process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.database import Columns, TelemetryDatabase, load_queries
from setpoint.errors import InvalidInput
from setpoint.telemetry.columns import Piece, gather, label_key, runs
from setpoint.telemetry.match import refuse_invalid
from setpoint.telemetry.model import (
    LogBatch,
    Matcher,
    MetricBatch,
    SampleColumns,
    Series,
    SpanBatch,
)

__all__ = ["ServiceSignals", "SignalCounts", "SignalStore"]

_QUERIES = load_queries("setpoint.telemetry")
_MATCHERS = "/* matchers */"
_INT64 = np.iinfo(np.int64)
_FINGERPRINTS_KEPT = 1_000_000
"""Fingerprints remembered as written; beyond that all are forgotten and written again, which is harmless."""

_CONDITIONS = {
    "=": "{label} = {{{value}:String}}",
    "!=": "{label} != {{{value}:String}}",
    "=~": "match({label}, concat('^(?:', {{{value}:String}}, ')$'))",
    "!~": "NOT match({label}, concat('^(?:', {{{value}:String}}, ')$'))",
}


@dataclass(frozen=True, slots=True)
class SignalCounts:
    """Rows of each signal's table (a resent row counts twice until the engine has merged it away)."""

    series: int
    samples: int
    spans: int
    logs: int


@dataclass(frozen=True, slots=True)
class ServiceSignals:
    """What one service has sent; `last_seen_ms` is its newest timestamp, 0 if none is recent."""

    service: str
    series: int
    spans: int
    logs: int
    last_seen_ms: int


class SignalStore:
    """Metrics, spans and logs in `db`. Reads may come from any thread, writes from one."""

    def __init__(self, db: TelemetryDatabase) -> None:
        self._db = db
        self._written: set[int] = set()

    def write_metrics(self, batches: Sequence[MetricBatch]) -> None:
        """Store the samples of `batches` (and the series that are new to this process) as one block.

        Of equal timestamps of a series the later in `batches` stays. Raises Unavailable when the engine
        refuses.
        """
        unknown: dict[int, Series] = {}
        for batch in batches:
            for series in batch.series:
                if series.fingerprint not in self._written:
                    unknown[series.fingerprint] = series
        if unknown:
            self._write_series(list(unknown.values()))
        columns = _sample_columns(batches)
        if len(columns["ts_ms"]):
            self._db.insert("samples", columns)

    def write_spans(self, batches: Sequence[SpanBatch]) -> None:
        """Store spans as one block. Raises InvalidInput for uneven columns, Unavailable when refused."""
        self._write_columns("spans", [batch.columns for batch in batches])

    def write_logs(self, batches: Sequence[LogBatch]) -> None:
        """Store log records as one block; errors as `write_spans`."""
        self._write_columns("logs", [batch.columns for batch in batches])

    def read_samples(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        """The samples with start_ms < t <= end_ms, series in the order of their labels, empty ones left out.

        Raises InvalidInput for a bad expression, Unavailable when the engine does not answer.
        """
        refuse_invalid(matchers)
        condition, parameters = _condition(matchers)
        samples = self._db.query(
            _QUERIES["read_samples"].replace(_MATCHERS, condition),
            start_ms=_as_int64(start_ms),
            end_ms=_as_int64(end_ms),
            **parameters,
        )
        if not len(samples["ts_ms"]):
            return SampleColumns.empty()
        # Labels after samples: series are written first, so every fingerprint that was just read is found.
        rows = self._db.query(_QUERIES["read_labels"].replace(_MATCHERS, condition), **parameters)
        labels = dict(zip(rows["fingerprint"].tolist(), rows["labels"].tolist(), strict=True))
        pieces: list[Piece] = [
            (
                labels[int(samples["fingerprint"][start])],
                samples["ts_ms"][start:end],
                samples["value"][start:end],
            )
            for start, end in runs(samples["fingerprint"])
        ]
        pieces.sort(key=lambda piece: label_key(piece[0]))
        return gather(pieces)

    def count_recent(self, since_ms: int) -> int:
        """How many samples `read_recent` will yield at most."""
        return int(self._db.query(_QUERIES["count_recent"], since_ms=_as_int64(since_ms))["samples"][0])

    def read_recent(self, since_ms: int, chunk: int = 500_000) -> Iterator[MetricBatch]:
        """The samples later than `since_ms` with their series, in batches of up to `chunk` samples.

        A series may continue in the next batch; within a batch its samples stand together, in order of time.
        """
        after, after_ms = 0, _INT64.min
        while True:
            samples = self._db.query(
                _QUERIES["read_recent"],
                since_ms=_as_int64(since_ms),
                after=after,
                after_ms=int(after_ms),
                chunk=chunk,
            )
            fingerprints, times = samples["fingerprint"], samples["ts_ms"]
            if not len(times):
                return
            first, after, after_ms = int(fingerprints[0]), int(fingerprints[-1]), int(times[-1])
            known = self._read_series(first, after, since_ms)
            found = runs(fingerprints)
            series = [known[int(fingerprints[start])] for start, _ in found]
            lengths = [end - start for start, end in found]
            index = np.repeat(np.arange(len(found), dtype=np.int32), lengths)
            yield MetricBatch(series, index, times, samples["value"])
            if len(times) < chunk:
                return

    def oldest_sample_ms(self) -> int | None:
        """The oldest timestamp of a stored sample, or None."""
        row = self._db.query(_QUERIES["oldest_sample"])
        return int(row["oldest_ms"][0]) if row["samples"][0] else None

    def counts(self) -> SignalCounts:
        """Rows per signal."""
        row = self._db.query(_QUERIES["count_rows"])
        return SignalCounts(**{name: int(column[0]) for name, column in row.items()})

    def services(self, since_ms: int = 0) -> list[ServiceSignals]:
        """What each service has sent, by name; metrics count as seen only when later than `since_ms`.

        Give a recent `since_ms` on a large database: without it every sample is read.
        """
        rows = self._db.query(_QUERIES["count_by_service"], since_ms=_as_int64(since_ms))
        names = ("service", "series", "spans", "logs", "last_seen_ms")
        columns = [rows[name].tolist() for name in names]
        return [ServiceSignals(*row) for row in zip(*columns, strict=True)]

    def _write_series(self, series: Sequence[Series]) -> None:
        self._db.insert(
            "series",
            {
                "fingerprint": np.array([one.fingerprint for one in series], np.uint64),
                "metric": [one.labels.get("__name__", "") for one in series],
                "labels": [dict(one.labels) for one in series],
                "service": [one.service for one in series],
                "resource": [dict(one.resource) for one in series],
                "scope": [one.scope for one in series],
                "type": [one.type for one in series],
                "unit": [one.unit for one in series],
                "help": [one.help for one in series],
            },
        )
        if len(self._written) + len(series) > _FINGERPRINTS_KEPT:
            self._written.clear()
        self._written.update(one.fingerprint for one in series)

    def _write_columns(self, table: str, parts: Sequence[Mapping[str, Sequence[Any]]]) -> None:
        names = list(parts[0]) if parts else []
        joined: dict[str, list[Any]] = {name: [] for name in names}
        for part in parts:
            if set(part) != set(names) or len({len(values) for values in part.values()}) > 1:
                raise InvalidInput(
                    f"a batch for {table} has uneven or differently named columns; nothing was stored"
                )
            for name, values in part.items():
                joined[name].extend(values)
        if names and joined[names[0]]:
            self._db.insert(table, joined)

    def _read_series(self, first: int, last: int, since_ms: int) -> dict[int, Series]:
        rows = self._db.query(
            _QUERIES["read_recent_series"], first=first, last=last, since_ms=_as_int64(since_ms)
        )
        return {series.fingerprint: series for series in _series(rows)}


def _series(rows: Columns) -> list[Series]:
    names = ("fingerprint", "labels", "service", "resource", "scope", "type", "unit", "help")
    return [Series(*row) for row in zip(*(rows[name].tolist() for name in names), strict=True)]


def _sample_columns(batches: Sequence[MetricBatch]) -> dict[str, npt.NDArray[Any]]:
    fingerprints = [
        np.array([series.fingerprint for series in batch.series], np.uint64)[batch.series_index]
        for batch in batches
    ]
    return {
        "fingerprint": np.concatenate(fingerprints or [np.empty(0, np.uint64)]),
        "ts_ms": np.concatenate([batch.timestamps_ms for batch in batches] or [np.empty(0, np.int64)]),
        "value": np.concatenate([batch.values for batch in batches] or [np.empty(0, np.float64)]),
    }


def _condition(matchers: Sequence[Matcher]) -> tuple[str, dict[str, str]]:
    """Matchers as an SQL condition and its parameters; a label that a map lacks reads as the empty string."""
    terms = ["1"]
    parameters: dict[str, str] = {}
    for number, matcher in enumerate(matchers):
        name, value = f"name_{number}", f"value_{number}"
        if matcher.name == "__name__":
            label = "metric"
        else:
            label = f"labels[{{{name}:String}}]"
            parameters[name] = matcher.name
        parameters[value] = matcher.value
        terms.append(_CONDITIONS[matcher.op].format(label=label, value=value))
    return " AND ".join(terms), parameters


def _as_int64(instant_ms: int) -> int:
    return int(min(max(instant_ms, _INT64.min), _INT64.max))

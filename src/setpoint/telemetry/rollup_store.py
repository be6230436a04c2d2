"""The table `rollups`: down-sampled history, written once a day and read by ranges of time.

`compact` stores what it rolled up. `select` answers with buckets (pages and reports that ask for minimum,
maximum, average and increase), `samples` with synthetic samples for ranges older than the samples that are
kept; `read.Reader` calls the latter, so that PromQL over a year answers.

What synthetic samples mean (see also docs/howto/keep-and-thin.md): a bucket stands for its newest value at
its end, a counter's also for the middle, on a straight line. `rate()` and `increase()` over whole buckets are
exact, `max_over_time()` and its like see the newest value of each bucket only. They are always those of five
minutes: with hours, a selector whose lookback is five minutes would find nothing most of the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from setpoint.database import TelemetryDatabase, load_queries
from setpoint.errors import InvalidInput, SetpointError
from setpoint.telemetry import rollup_codec
from setpoint.telemetry.columns import LabelKey, label_key, runs
from setpoint.telemetry.conditions import MATCHERS, condition_of
from setpoint.telemetry.model import Labels, Matcher, SampleColumns
from setpoint.telemetry.rollup import COARSE_MS, DAY_MS, FINE_MS, RESOLUTIONS_MS, Buckets, coarsen
from setpoint.telemetry.rollup_kernels import as_samples, columns_of, count_rows, gathered, joined, rows_of

__all__ = ["RollupColumns", "Rollups", "warm"]

_QUERIES = load_queries("setpoint.telemetry")
_COLUMNS = ("fingerprint", "day", "version", "samples", "fine", "coarse")
_READ = {FINE_MS: "read_fine_rollups", COARSE_MS: "read_coarse_rollups"}
_BUCKETS_MAX = 50_000_000
"""Most buckets that one question may take from the table: 3 GB while they are joined."""

_LAST_DAY = 2**31
_ALWAYS_MS = 2**62


@dataclass(frozen=True, slots=True)
class RollupColumns:
    """Buckets of n series as columns: series i owns positions `offsets[i]:offsets[i + 1]`.

    `offsets` int64[n + 1]; `end_ms` int64[m] strictly ascending within a series: a bucket holds the samples
    of (end - resolution, end]; `counts` int64[m] (samples that are numbers); `minimum`, `maximum`, `total`
    (the sum), `last` float64[m], NaN (`total` 0) where there is none; `increase` float64[m]: what a counter
    rose by from the last sample before the bucket to the last in it, resets corrected, so that increases add
    up; NaN for a gauge; `ended` bool[m]: the bucket's newest sample is a stale marker.
    """

    labels: tuple[Labels, ...]
    resolution_ms: int
    offsets: npt.NDArray[np.int64]
    end_ms: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    minimum: npt.NDArray[np.float64]
    maximum: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]
    last: npt.NDArray[np.float64]
    increase: npt.NDArray[np.float64]
    ended: npt.NDArray[np.bool_]


class _Rows(NamedTuple):
    """One row a day, sorted by series (in the order of `labels`), then day; series s owns
    `bounds[s]:bounds[s + 1]`.
    """

    labels: tuple[Labels, ...]
    bounds: npt.NDArray[np.int64]
    days: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    data: npt.NDArray[np.uint8]

    def only(self, chosen: npt.NDArray[np.bool_]) -> _Rows:
        """The chosen rows; a series may be left with none."""
        kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(chosen)])
        return self._replace(
            bounds=kept[self.bounds],
            days=self.days[chosen],
            starts=self.starts[chosen],
            ends=self.ends[chosen],
        )


class _Joined(NamedTuple):
    """What `rollup_kernels.joined` answers, cut to a range."""

    offsets: npt.NDArray[np.int64]
    end_ms: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    minimum: npt.NDArray[np.float64]
    maximum: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]
    last: npt.NDArray[np.float64]
    before: npt.NDArray[np.float64]
    fell: npt.NDArray[np.float64]
    ended: npt.NDArray[np.bool_]


class Rollups:
    """The stored rollups. Thread-safe; written by compaction alone."""

    def __init__(self, db: TelemetryDatabase) -> None:
        self._db = db

    def rows(  # noqa: PLR0917 — columns of a table
        self,
        day: int,
        fingerprints: npt.NDArray[np.uint64],
        samples: npt.NDArray[np.int64],
        fine: Buckets,
        version: int,
        chosen: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.uint8]:
        """Rows for `insert_rows`: the buckets of n series in a UTC day (its number since 1970), and hours made
        of them; only of the series that are `chosen` (bool[n]). `samples` int64[n] is how many each is made of.
        """
        small, small_bounds = rollup_codec.encode(fine)
        large, large_bounds = rollup_codec.encode(coarsen(fine))
        rows: npt.NDArray[np.uint8] = rows_of(
            np.ascontiguousarray(fingerprints, np.uint64),
            day,
            version,
            samples,
            chosen,
            small,
            small_bounds,
            large,
            large_bounds,
        )
        return rows

    def insert_rows(self, rows: npt.NDArray[np.uint8]) -> None:
        """Store rows; what was stored of a series and day with an earlier version is replaced. Raises Unavailable."""
        if len(rows):
            self._db.insert_rows("rollups", _COLUMNS, rows)

    def select(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, resolution_ms: int = FINE_MS
    ) -> RollupColumns:
        """The buckets with start_ms < end <= end_ms, series in the order of their labels, empty ones left out.

        `resolution_ms` is 300,000 or 3,600,000. Days that are not compacted yet (the last one or two) have
        none. Raises InvalidInput for another resolution, a bad expression or too much at once, Unavailable.
        """
        if resolution_ms not in RESOLUTIONS_MS:
            kept = " or ".join(str(one // 1000) for one in RESOLUTIONS_MS)
            raise InvalidInput(f"there are no rollups of {resolution_ms / 1000:g} s; ask for {kept} s")
        rows = self._rows(matchers, start_ms, end_ms, resolution_ms)
        found = self._joined(rows, resolution_ms)
        found = _cut(found, (found.end_ms > start_ms) & (found.end_ms <= end_ms))
        present = np.diff(found.offsets) > 0
        with np.errstate(invalid="ignore"):  # infinities, of which no counter has any
            increase = np.where(found.counts > 0, found.last - found.before + found.fell, found.fell * 0)
        return RollupColumns(
            tuple(label for label, kept in zip(rows.labels, present.tolist(), strict=True) if kept),
            resolution_ms,
            np.concatenate([found.offsets[:1], found.offsets[1:][present]]),
            found.end_ms,
            found.counts,
            found.minimum,
            found.maximum,
            found.total,
            found.last,
            increase,
            found.ended,
        )

    def samples(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, until_ms: Mapping[LabelKey, int]
    ) -> SampleColumns:
        """Synthetic samples with start_ms < t <= end_ms, as `SampleColumns` with only series that have some.

        `until_ms` says of series when their stored samples begin: of these only the days before that one are
        taken. Raises InvalidInput and Unavailable as `select`.
        """
        rows = self._rows(matchers, start_ms, end_ms, FINE_MS)
        until = np.array([until_ms.get(label_key(labels), _ALWAYS_MS) for labels in rows.labels], np.int64)
        rows = rows.only(rows.days < np.repeat(until // DAY_MS, np.diff(rows.bounds)))
        found = self._joined(rows, FINE_MS)
        offsets, times, values = as_samples(
            found.offsets, found.end_ms, found.last, found.before, found.fell, found.ended, FINE_MS
        )
        inside = (times > start_ms) & (times <= end_ms) & (times < np.repeat(until, np.diff(offsets)))
        kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(inside)])[offsets]
        present = np.diff(kept) > 0
        return SampleColumns(
            tuple(label for label, some in zip(rows.labels, present.tolist(), strict=True) if some),
            np.concatenate([kept[:1], kept[1:][present]]),
            times[inside],
            values[inside],
        )

    def oldest_day(self) -> int | None:
        """The first day that is rolled up (its number since 1970), or None."""
        row = self._db.query(_QUERIES["oldest_rollup"])
        return int(row["day"][0]) if row["chunks"][0] else None

    def _rows(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, resolution_ms: int) -> _Rows:
        """The rows of the days that (start_ms, end_ms] touches and of the day before, to which the first chains."""
        condition, parameters = condition_of(matchers)
        answer = self._db.query_rows(
            _QUERIES[_READ[resolution_ms]].replace(MATCHERS, condition),
            first_day=min(max(start_ms // DAY_MS - 1, 0), _LAST_DAY),
            last_day=min(max(end_ms // DAY_MS, 0), _LAST_DAY),
            **parameters,
        )
        data = np.frombuffer(answer, np.uint8)
        many = count_rows(data)
        if many < 0:
            raise SetpointError("the telemetry database answered with rows that end early; look into its log")
        if many * (DAY_MS // resolution_ms) > _BUCKETS_MAX:
            raise InvalidInput(
                f"{many:,} days of series are too many to read at once; ask for fewer series or a shorter time"
            )
        fingerprints, days, versions, starts, ends = columns_of(data, many)
        labels = self._labels(condition, parameters) if many else {}
        ranked = sorted(labels, key=lambda one: label_key(labels[one]))
        order, places = _order(fingerprints, days, versions, ranked)
        return _Rows(
            tuple(labels[ranked[place]] for place in np.unique(places[order]).tolist()),
            np.array([0, *(end for _, end in runs(places[order]))], np.int64),
            days[order],
            starts[order],
            ends[order],
            data,
        )

    def _labels(self, condition: str, parameters: Mapping[str, Any]) -> dict[int, Labels]:
        rows = self._db.query(_QUERIES["read_labels"].replace(MATCHERS, condition), **parameters)
        return dict(zip(rows["fingerprint"].tolist(), rows["labels"].tolist(), strict=True))

    @staticmethod
    def _joined(rows: _Rows, resolution_ms: int) -> _Joined:
        payload, bounds = gathered(rows.data, rows.starts, rows.ends)
        buckets = rollup_codec.decode(payload, bounds, resolution_ms)
        return _Joined._make(joined(rows.bounds, rows.days, *buckets))


def _order(
    fingerprints: npt.NDArray[np.uint64],
    days: npt.NDArray[np.int64],
    versions: npt.NDArray[np.uint64],
    ranked: Sequence[int],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Which rows count, by series in the order of `ranked` (fingerprints), then day; and each row's series.

    Rows of an earlier version are left out, as are those of a series that was deleted meanwhile.
    """
    known = np.array(ranked, np.uint64)
    sorted_places = np.argsort(known)
    at = np.searchsorted(known[sorted_places], fingerprints)
    places = np.full(len(fingerprints), -1, np.int64)
    if len(known):
        at = np.minimum(at, len(known) - 1)
        found = known[sorted_places][at] == fingerprints
        places[found] = sorted_places[at[found]]
    order = np.lexsort((versions, days, places))
    newest = np.ones(len(order), np.bool_)
    newest[:-1] = (places[order][1:] != places[order][:-1]) | (days[order][1:] != days[order][:-1])
    return order[newest & (places[order] >= 0)], places


def _cut(found: _Joined, inside: npt.NDArray[np.bool_]) -> _Joined:
    kept = np.concatenate([np.zeros(1, np.int64), np.cumsum(inside)])
    return _Joined._make((kept[found.offsets], *(column[inside] for column in found[1:])))


def warm() -> None:
    """Compile the kernels, or load them from the cache."""
    rollup_codec.warm()
    numbers, texts = np.zeros(1, np.int64), np.zeros(1, np.uint8)
    bounds = np.array([0, 1], np.int64)
    chosen = np.ones(1, np.bool_)
    data = rows_of(
        numbers.astype(np.uint64), 1, 1, numbers, chosen, texts, bounds, texts[:0], numbers.repeat(2)
    )
    count_rows(data)
    _, days, _, starts, ends = columns_of(data, 0)
    found = Rollups._joined(_Rows((), numbers, days, starts, ends, data), FINE_MS)
    as_samples(found.offsets, found.end_ms, found.last, found.before, found.fell, found.ended, FINE_MS)

"""Who sends what, and what it costs: series, samples and new series per metric, label, pair, sender, service.

`web` and `setpoint telemetry top` ask for the top rows; `/metrics` for the totals. `run` is a thread that
takes what must be taken regularly: how much each series has grown, how many places of the limits are really
taken, how large the tables are.

Everything is counted over the arrays of the series table and the head, a million series in a fraction of a
second, on the thread that asks; an answer is kept for three seconds, because every open page asks for it.

Memory and disk of a row are estimates: the head's memory is shared out by samples, the index's by the bytes
of the labels, the disk by samples at the bytes per sample that the stored blocks take.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from setpoint.clock import Clock
from setpoint.errors import InvalidInput
from setpoint.telemetry.protect import PLACE_BYTES, Census, Protection
from setpoint.telemetry.series_table import SeriesTable, SeriesUsage

__all__ = ["SORTS", "Arrivals", "By", "Sort", "Top", "TopRow", "UsageMeter"]

By = Literal["metric", "label", "pair", "sender", "service"]
Sort = Literal["series", "samples", "memory", "new", "values"]

SORTS: Mapping[By, tuple[Sort, ...]] = {
    "metric": ("series", "samples", "memory", "new"),
    "label": ("values", "series", "samples", "memory"),
    "pair": ("series", "samples", "memory"),
    "sender": ("series", "samples", "memory", "new"),
    "service": ("series", "samples", "memory"),
}
"""What each kind of row can be sorted by; the first is what it is sorted by unless asked otherwise."""

_log = logging.getLogger(__name__)

_SLOT_MS, _SLOTS = 600_000, 6
_RATE_MS = 60_000
_KEPT_MS = 3_000
_ANSWERS_KEPT = 64
_DAY_S = 86_400
_CENSUS_S = 10.0
_ROUNDS_A_MINUTE = 6
_OPEN_SAMPLES = 64
"""What the open block of a series weighs, in samples: a series costs memory before it has many."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class _Head(Protocol):
    """What the meter needs of `Head`."""

    @property
    def horizon_ms(self) -> int: ...

    @property
    def memory_bytes(self) -> Mapping[str, int]: ...

    def appended(self, refs: npt.NDArray[np.int32]) -> npt.NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class TopRow:
    """One metric, label, pair, sender or service. `share` is its part (0 to 1) of what all have together of
    the figure that is sorted by. `values` (distinct ones) is known of labels only, `new` (series that came
    within the last hour) of metrics and senders only; `samples_per_s` is None until it was counted for some
    seconds, `disk_bytes_per_day` until enough is stored to know what a sample takes.
    """

    name: str
    share: float
    series: int
    samples_per_s: float | None
    new: int | None
    values: int | None
    memory_bytes: int
    disk_bytes_per_day: float | None


@dataclass(frozen=True, slots=True)
class Top:
    """The first `rows` of `total` in the order of `sort`; `series` and `samples_per_s` are those of all live
    series.
    """

    by: By
    sort: Sort
    rows: tuple[TopRow, ...]
    total: int
    series: int
    samples_per_s: float | None


class Arrivals:
    """How many series came within the last hour, by metric and by sender. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._slots: dict[int, tuple[Counter[str], Counter[str]]] = {}

    def note(self, metric: str, sender: str) -> None:
        """Count one new series."""
        slot = self._clock.now_ms() // _SLOT_MS
        with self._lock:
            counters = self._slots.get(slot)
            if counters is None:
                counters = self._slots[slot] = (Counter(), Counter())
                for old in [one for one in self._slots if not slot - _SLOTS < one <= slot]:
                    del self._slots[old]
            counters[0][metric] += 1
            counters[1][sender] += 1

    def lately(self, by: By) -> Counter[str]:
        """New series by name of metrics or senders, over the current ten minutes and the fifty before."""
        slot = self._clock.now_ms() // _SLOT_MS
        found: Counter[str] = Counter()
        with self._lock:
            for one, counters in self._slots.items():
                if slot - _SLOTS < one <= slot:
                    found.update(counters[0 if by == "metric" else 1])
        return found


@dataclass(frozen=True, slots=True)
class _Taken:
    """How many samples each ref had at `at_ms` (refs beyond the array had none), and how many were stored."""

    at_ms: int
    appended: Ints
    stored: int


@dataclass(frozen=True, slots=True)
class _Columns:
    """Rows before they are ranked: `figures` as equally long columns (without those that are not known yet),
    what all rows have together, how rows are called, and how many series came lately by name.
    """

    figures: Mapping[Sort, npt.NDArray[Any]]
    totals: Mapping[str, float]
    names: Callable[[Ints], list[str]]
    came: Counter[str] | None


class UsageMeter:
    """Counts usage over a table and a head. Thread-safe."""

    def __init__(
        self,
        table: SeriesTable,
        head: _Head,
        protection: Protection,
        arrivals: Arrivals,
        clock: Clock,
        *,
        samples_stored: Callable[[], int],
        bytes_per_sample: Callable[[], float | None] = lambda: None,
    ) -> None:
        """`samples_stored` counts samples since start; `bytes_per_sample` tells what one takes on disk, None
        while that is not known.
        """
        self._table, self._head, self._protection = table, head, protection
        self._arrivals, self._clock = arrivals, clock
        self._stored, self._bytes_per_sample = samples_stored, bytes_per_sample
        self._computing = threading.Lock()
        self._answers: dict[tuple[By, Sort, int], tuple[int, Top]] = {}
        self._before = self._since = self._take()
        self._forgot_ms = clock.now_ms()

    # ---- what is taken regularly -------------------------------------------------------------------------

    def tick(self) -> None:
        """Take what must be taken every few seconds: growth, and the places that are really taken."""
        now_ms = self._clock.now_ms()
        if not 0 <= now_ms - self._since.at_ms < _RATE_MS:
            self._before, self._since = self._since, self._take()
        self._protection.recount(self._census)
        if not 0 <= now_ms - self._forgot_ms < _RATE_MS:
            self._forgot_ms = now_ms
            self._table.forget_refused()

    def run(self, stop: threading.Event, then: Callable[[], None] = lambda: None) -> None:
        """Tick every ten seconds, and call `then` every minute, until `stop` is set; the body of the usage
        thread.
        """
        rounds = 0
        while not self._clock.wait(stop, _CENSUS_S):
            try:
                self.tick()
                if rounds % _ROUNDS_A_MINUTE == 0:
                    then()
                rounds += 1
            except Exception:  # noqa: BLE001 — the loop must outlive any fault: limits open again by it
                _log.exception("usage was not counted; the next round tries again")

    def _take(self) -> _Taken:
        at_ms = self._clock.now_ms()
        refs = self._table.usage().refs
        appended = np.zeros(int(refs.max(initial=-1)) + 1, np.int64)
        appended[refs] = self._head.appended(refs)
        return _Taken(at_ms, appended, self._stored())

    def _census(self) -> Census:
        usage = self._table.usage()
        places = 1 + np.maximum(usage.label_bytes.astype(np.int64) - 1, 0) // PLACE_BYTES
        few = max(1, self._protection.limits.metric_series // 100)
        symbols, where = np.unique(usage.metrics, return_inverse=True)
        of_metric = np.bincount(where, places, len(symbols)).astype(np.int64)
        names = self._table.texts(symbols)
        senders = list(self._table.sender_names)
        of_sender = np.bincount(usage.senders, places, len(senders)).astype(np.int64)
        pairs: dict[tuple[str, str], int] = {}
        is_big = of_metric >= few
        held = np.flatnonzero(is_big[where])
        code = where[held].astype(np.int64) * len(senders) + usage.senders[held]
        codes, at = np.unique(code, return_inverse=True)
        for one, count in zip(
            codes.tolist(), np.bincount(at, places[held]).astype(int).tolist(), strict=True
        ):
            pairs[names[one // len(senders)], senders[one % len(senders)]] = count
        return Census(
            int(places.sum()),
            dict(zip(names, of_metric.tolist(), strict=True)),
            {name: count for name, count in zip(senders, of_sender.tolist(), strict=True) if count},
            pairs,
        )

    # ---- answers -----------------------------------------------------------------------------------------

    def top(self, by: By, sort: Sort | None = None, limit: int = 20) -> Top:
        """The `limit` largest rows. Raises InvalidInput for a `by` or `sort` that is not in `SORTS`."""
        if by not in SORTS:
            raise InvalidInput(f"'{by}' is not one of {', '.join(SORTS)}")
        sort = sort or SORTS[by][0]
        if sort not in SORTS[by]:
            raise InvalidInput(f"by {by}, rows are sorted by {', '.join(SORTS[by])}, not by '{sort}'")
        key, now_ms = (by, sort, limit), self._clock.now_ms()
        with self._computing:  # who waits here finds the answer of who was first
            kept = self._answers.get(key)
            if kept is not None and 0 <= now_ms - kept[0] < _KEPT_MS:
                return kept[1]
            columns = self._pair_columns(by) if by in ("label", "pair") else self._columns(by, sort)
            made = self._ranked(by, sort, limit, columns)
            if len(self._answers) >= _ANSWERS_KEPT:
                self._answers.clear()
            self._answers[key] = (now_ms, made)
        return made

    def rates(self, refs: npt.NDArray[np.int32]) -> Floats | None:
        """Samples per second of each ref over the last one to two minutes; None in the first seconds."""
        before = self._before
        elapsed_s = (self._clock.now_ms() - before.at_ms) / 1000
        if elapsed_s < 1:
            return None
        had = np.zeros(len(refs), np.int64)
        known = refs < len(before.appended)
        had[known] = before.appended[refs[known]]
        have = np.asarray(self._head.appended(refs), np.int64)
        # Fewer than before: the ref was given to another series since, and all of them are new.
        return np.where(have >= had, have - had, have) / elapsed_s

    @property
    def samples_per_s(self) -> float | None:
        """Samples stored per second over the last one to two minutes; None in the first seconds."""
        elapsed_s = (self._clock.now_ms() - self._before.at_ms) / 1000
        return (self._stored() - self._before.stored) / elapsed_s if elapsed_s >= 1 else None

    @property
    def memory_bytes(self) -> dict[str, int]:
        """Memory of samples and index, by part."""
        head = {f"head_{part}": count for part, count in self._head.memory_bytes.items()}
        return head | {f"index_{part}": count for part, count in self._table.memory_bytes.items()}

    @property
    def arrived(self) -> int:
        """Series that came within the last hour."""
        return sum(self._arrivals.lately("metric").values())

    def _columns(self, by: By, sort: Sort) -> _Columns:
        """Per metric, sender or service."""
        usage = self._table.usage()
        if by == "sender":
            keys, names = usage.senders, self._names_of_senders
        else:
            keys, names = (usage.metrics if by == "metric" else usage.services), self._table.texts
        symbols, where = np.unique(keys, return_inverse=True)
        rates = self.rates(usage.refs)
        series = np.bincount(where, minlength=len(symbols))
        samples = None if rates is None else np.bincount(where, rates, len(symbols))
        memory = np.bincount(where, self._memory_of(usage, rates), len(symbols))
        came = self._arrivals.lately(by) if by in {"metric", "sender"} else None
        figures: dict[Sort, npt.NDArray[Any]] = {"series": series, "memory": memory}
        if samples is not None:
            figures["samples"] = samples
        if came is not None and sort == "new":
            figures["new"] = np.array([came[name] for name in names(symbols)], np.int64)
        totals = {
            "series": len(usage.refs),
            "samples": _total(rates),
            "memory": float(memory.sum()),
            "new": sum(came.values()) if came is not None else 0,
        }
        return _Columns(figures, totals, lambda picked: names(symbols[picked]), came)

    def _pair_columns(self, by: By) -> _Columns:
        """Per label, or per label pair."""
        usage = self._table.usage()
        rates = self.rates(usage.refs)
        weights = np.zeros(self._table.capacity)
        weights[usage.refs] = 0.0 if rates is None else rates
        pairs = self._table.pair_usage(weights)
        totals = {"series": len(usage.refs), "samples": _total(rates), "values": len(pairs.counts)}
        figures: dict[Sort, npt.NDArray[Any]] = {}
        if by == "pair":
            figures["series"] = pairs.counts
            figures["samples"] = pairs.sums
            totals["memory"] = sum(self.memory_bytes.values())
            figures["memory"] = pairs.counts * (totals["memory"] / max(1, len(usage.refs)))
            texts = self._table.texts

            def names(picked: Ints) -> list[str]:
                both = zip(texts(pairs.names[picked]), texts(pairs.values[picked]), strict=True)
                return [f'{name}="{value}"' for name, value in both]
        else:
            symbols, where = np.unique(pairs.names, return_inverse=True)
            figures["values"] = np.bincount(where, minlength=len(symbols))
            figures["series"] = np.bincount(where, pairs.counts, len(symbols)).astype(np.int64)
            figures["samples"] = np.bincount(where, pairs.sums, len(symbols))
            figures["memory"] = self._memory_of_labels(figures["values"], figures["series"])
            totals["memory"] = float(figures["memory"].sum())

            def names(picked: Ints) -> list[str]:
                return self._table.texts(symbols[picked])

        if rates is None:
            del figures["samples"]
        return _Columns(figures, totals, names, None)

    def _ranked(self, by: By, sort: Sort, limit: int, columns: _Columns) -> Top:
        figures, totals = columns.figures, columns.totals
        series = figures["series"]
        wanted = figures.get(sort, series)
        picked = np.lexsort((-series, -wanted))[:limit].astype(np.int64)
        whole = totals[sort] if sort in figures else totals["series"]
        each = self._bytes_per_sample()
        rows = []
        for at, name in zip(picked.tolist(), columns.names(picked), strict=True):
            rate = float(figures["samples"][at]) if "samples" in figures else None
            rows.append(
                TopRow(
                    name,
                    float(wanted[at]) / whole if whole else 0.0,
                    int(series[at]),
                    rate,
                    None if columns.came is None else columns.came[name],
                    int(figures["values"][at]) if "values" in figures else None,
                    int(figures["memory"][at]),
                    None if rate is None or each is None else rate * _DAY_S * each,
                )
            )
        rate = totals["samples"] if "samples" in figures else None
        return Top(by, sort, tuple(rows), len(series), int(totals["series"]), rate)

    # ---- estimates ---------------------------------------------------------------------------------------

    def _memory_of(self, usage: SeriesUsage, rates: Floats | None) -> Floats:
        """Bytes of each series: its share of the head by samples, of the index by the bytes of its labels."""
        held = np.full(len(usage.refs), float(_OPEN_SAMPLES))
        if rates is not None:
            held += rates * (self._head.horizon_ms / 1000)
        labels = usage.label_bytes.astype(np.float64)
        head, index = sum(self._head.memory_bytes.values()), sum(self._table.memory_bytes.values())
        shares: Floats = head * held / max(held.sum(), 1) + index * labels / max(labels.sum(), 1)
        return shares

    def _memory_of_labels(self, values: Ints, series: Ints) -> Floats:
        """Bytes of the index that labels take: half of it for strings and their lists of series, half for the
        places in the rows of the series.
        """
        index = sum(self._table.memory_bytes.values())
        shares: Floats = index * (0.5 * values / max(1, values.sum()) + 0.5 * series / max(1, series.sum()))
        return shares

    def _names_of_senders(self, symbols: npt.NDArray[Any]) -> list[str]:
        known = self._table.sender_names
        return [known[symbol] for symbol in symbols.tolist()]


def _total(rates: Floats | None) -> float:
    return 0.0 if rates is None else float(rates.sum())

"""What is remembered of one target's series from scrape to scrape, and a body made into a batch with it.

`scraper` has one `TargetSeries` for each target. A target sends the same lines in every scrape, so the usual
scrape is a scan, one `SeriesTable.find`, and nothing else; what is new goes through `lines` once. A series
that vanished gets a stale marker, and so do all of them when a scrape fails (Prometheus's scrape/scrape.go).
What is remembered changes only when the batch is stored (`accept`), so that a scrape that could not be stored
is a gap and nothing more. Keys are remembered, not refs: a ref may be another series' by the next scrape.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.model import ExemplarColumns, Labels, Lease, Metadata, RefBatch, Series
from setpoint.telemetry.protect import Protection
from setpoint.telemetry.scrape.created import CREATED, zeros
from setpoint.telemetry.scrape.exposition import (
    NO_TIME,
    BadBody,
    Samples,
    is_openmetrics,
    key_of,
    read_exemplar,
    read_labels,
    read_metadata,
    read_samples,
)
from setpoint.telemetry.scrape.lines import Lines, series_of
from setpoint.telemetry.scrape.target import Target
from setpoint.telemetry.series_table import UNKNOWN, SeriesTable

__all__ = ["REPORTED", "STALE", "Draft", "TargetSeries"]

STALE = float(np.array([0x7FF0000000000002], np.uint64).view(np.float64)[0])
"""Prometheus's stale marker: the series has ended."""

REPORTED = (
    "up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_post_metric_relabeling",
    "scrape_series_added", "scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes",
)  # fmt: skip
"""The series that each scrape of a target writes about itself."""

Keys = npt.NDArray[np.uint64]
Refs = npt.NDArray[np.int32]
Rows = npt.NDArray[np.int64]
Times = npt.NDArray[np.int64]
_DROPPED = -3


def _no_keys() -> Keys:
    return np.empty((0, 2), np.uint64)


def _no_rows() -> Rows:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class _Memory:
    """The last stored scrape. `keys` are those of all its lines, `rows` the lines that have a series,
    `is_whole` says that none was refused and `is_plain` that no two have the same series; `tracked` are the
    keys that get a stale marker when they vanish, `dropped` those that relabelling drops.
    """

    keys: Keys = field(default_factory=_no_keys)
    rows: Rows = field(default_factory=_no_rows)
    is_whole: bool = False
    is_plain: bool = False
    tracked: Keys = field(default_factory=_no_keys)
    dropped: Keys = field(default_factory=_no_keys)
    comments_key: bytes = b""
    types: Mapping[str, str] = field(default_factory=dict)
    exemplars: Keys = field(default_factory=_no_keys)


@dataclass(slots=True)
class Draft:
    """A scrape on its way to a batch. `scraped`, `kept` and `added` are lines, lines after relabelling, and
    series that are new; `note` says what of it is not stored.
    """

    lease: Lease
    memory: _Memory
    refs: list[Refs] = field(default_factory=list)
    times_ms: list[Times] = field(default_factory=list)
    values: list[npt.NDArray[np.float64]] = field(default_factory=list)
    exemplars: ExemplarColumns | None = None
    metadata: Sequence[Metadata] = ()
    scraped: int = 0
    kept: int = 0
    added: int = 0
    note: str = ""

    def add(self, refs: Refs, times_ms: npt.ArrayLike, values: npt.ArrayLike) -> None:
        """Append samples; a single time or value is that of all of them."""
        self.refs.append(refs)
        self.times_ms.append(np.broadcast_to(np.asarray(times_ms, np.int64), refs.shape))
        self.values.append(np.broadcast_to(np.asarray(values, np.float64), refs.shape))

    def batch(self) -> RefBatch:
        """Everything that was added."""
        return RefBatch(
            self.lease,
            np.concatenate(self.refs),
            np.concatenate(self.times_ms),
            np.concatenate(self.values),
            exemplars=self.exemplars,
            metadata=self.metadata,
        )


class TargetSeries:
    """The series of one target; one call at a time."""

    def __init__(self, target: Target, table: SeriesTable, protection: Protection | None = None) -> None:
        self._table, self._protection = table, protection
        self._memory = _Memory()
        self._take(target)

    def _take(self, target: Target) -> None:
        self._spec, self._lines = target.job.spec, Lines(target, self._table.hash_seed)
        self._sender = f"scrape {target.job.name}"
        self._reported = [series_of({"__name__": name, **target.public}) for name in REPORTED]
        # No line of a body begins with this byte, so these keys are no line's.
        self._reported_keys = np.array(
            [key_of(b"\xff" + name.encode(), self._lines.secret) for name in REPORTED]
        )

    def configure(self, target: Target) -> None:
        """Go on with the same target of a changed configuration. Where its lines may mean other series now,
        only what is needed to end the old ones is kept.
        """
        before = self._lines.secret
        self._take(target)
        if not np.array_equal(before, self._lines.secret):
            self._memory = _Memory(tracked=self._memory.tracked)

    def read(self, body: bytes, content_type: str, at_ms: int) -> Draft:
        """The draft of a scrape that brought `body`. Raises InvalidInput, with the line, when anything in it
        is wrong or a limit is exceeded; then nothing of it is kept.
        """
        if not body:
            return self.empty(at_ms)
        openmetrics = is_openmetrics(content_type, self._spec.fallback_scrape_protocol)
        samples = read_samples(body, openmetrics=openmetrics, secret=self._lines.secret)
        draft = Draft(self._table.lease(self._sender), self._memory, scraped=len(samples))
        try:
            self._fill(draft, samples, openmetrics, at_ms)
        except BaseException:
            draft.lease.release()
            raise
        return draft

    def empty(self, at_ms: int, but: Refs | None = None) -> Draft:
        """The draft of a scrape that brought nothing: every series ends, except those of `but`."""
        draft = Draft(self._table.lease(self._sender), replace(self._memory, tracked=_no_keys()))
        refs = self._table.find(self._memory.tracked, draft.lease)
        refs = np.unique(refs[refs >= 0])
        draft.add(refs if but is None else refs[~np.isin(refs, but)], at_ms, STALE)
        return draft

    def report(self, draft: Draft, at_ms: int, values: Sequence[float], but: Refs | None = None) -> None:
        """Add the samples of `REPORTED`, in their order, to `draft`, except those of `but`."""
        refs = self._table.find(self._reported_keys, draft.lease)
        if (refs == UNKNOWN).any():
            refs = self._table.bind(self._reported_keys, self._reported, draft.lease)
        wanted = refs >= 0 if but is None else (refs >= 0) & ~np.isin(refs, but)
        draft.add(refs[wanted], at_ms, np.asarray(values, np.float64)[wanted])

    def accept(self, draft: Draft) -> None:
        """Remember `draft`: it is stored."""
        self._memory = draft.memory

    def refs(self, lease: Lease) -> Refs:
        """The refs of the series that this target has now, those about itself included."""
        refs = self._table.find(np.concatenate([self._memory.tracked, self._reported_keys]), lease)
        return refs[refs >= 0]

    # ---- a body ------------------------------------------------------------------------------------------

    def _fill(self, draft: Draft, samples: Samples, openmetrics: bool, at_ms: int) -> None:
        memory, keys = self._memory, samples.keys
        types = memory.types
        if samples.comments_key != memory.comments_key:
            draft.metadata = read_metadata(samples, openmetrics=openmetrics)
            types = {told.metric: told.type for told in draft.metadata}
        is_usual = memory.is_whole and len(keys) == len(memory.keys) and np.array_equal(keys, memory.keys)
        appeared = _no_rows() if is_usual else np.flatnonzero(~_isin(keys, memory.keys))
        refs = self._known(draft, keys) if is_usual else None
        if refs is None:
            refs = self._resolve(draft, samples, openmetrics)
        rows = np.flatnonzero(refs >= 0)
        is_plain = memory.is_plain if is_usual else len(np.unique(refs[rows])) == len(rows)
        times_ms, explicit = self._times(samples, at_ms)
        stored = rows if explicit is None else self._in_time(draft, samples, rows, times_ms, at_ms)
        if not is_plain:
            stored = _without_repeats(draft, stored, refs, times_ms)
        draft.add(refs[stored], times_ms[stored], samples.values[stored])
        appeared = appeared[np.isin(appeared, stored)]
        draft.added = len(appeared)
        is_tracked = explicit is None or self._spec.track_timestamps_staleness
        tracked = keys[stored] if is_tracked else keys[stored[~explicit[stored]]]  # type: ignore[index]
        self._end_vanished(draft, tracked, refs[stored], at_ms)
        exemplars = self._read_exemplars(draft, samples, refs, times_ms)
        draft.memory = _Memory(
            keys,
            rows,
            bool(((refs >= 0) | (refs == _DROPPED)).all()),
            is_plain,
            tracked,
            memory.dropped if is_usual else keys[refs == _DROPPED],
            samples.comments_key,
            types,
            exemplars,
        )
        if openmetrics and len(appeared) and CREATED in samples.body:
            _add_zeros(draft, samples, appeared, refs, at_ms)

    def _known(self, draft: Draft, keys: Keys) -> Refs | None:
        """The refs of the same lines as last time; None when one of them is forgotten."""
        memory = self._memory
        found = self._table.find(keys[memory.rows], draft.lease)
        if (found < 0).any():
            return None
        draft.kept = len(memory.rows)
        refs = np.full(len(keys), _DROPPED, np.int32)
        refs[memory.rows] = found
        return refs

    def _resolve(self, draft: Draft, samples: Samples, openmetrics: bool) -> Refs:
        """The ref of every line; `_DROPPED` for those that relabelling drops, below 0 for those refused."""
        refs = self._table.find(samples.keys, draft.lease)
        unknown = np.flatnonzero(refs == UNKNOWN)
        is_dropped = _isin(samples.keys[unknown], self._memory.dropped)
        refs[unknown[is_dropped]] = _DROPPED
        unknown = unknown[~is_dropped]
        new: dict[tuple[int, int], tuple[Series | None, list[int]]] = {}
        for row, (high, low) in zip(unknown.tolist(), samples.keys[unknown].tolist(), strict=True):
            known = new.get((high, low))
            if known is None:
                known = new[high, low] = (self._lines.series(samples, row, openmetrics=openmetrics), [])
            known[1].append(row)
        for series, rows in new.values():
            if series is None:
                refs[rows] = _DROPPED
        draft.kept = int((refs != _DROPPED).sum())
        limit = self._spec.sample_limit
        if limit and draft.kept > limit:
            message = f"sample_limit exceeded: {draft.kept:,} samples, {limit:,} are allowed"
            raise BadBody(message, len(refs), draft.kept)
        named = [(series, rows) for series, rows in new.values() if series is not None]
        if named:
            keys = samples.keys[[rows[0] for _, rows in named]]
            bound = self._table.bind(keys, [series for series, _ in named], draft.lease)
            for (_, rows), ref in zip(named, bound.tolist(), strict=True):
                refs[rows] = ref
        refused = draft.kept - int((refs >= 0).sum())
        if refused:
            draft.note = f"{refused:,} samples are not stored"
            if self._protection is not None:
                draft.note += f": {self._protection.refused_series(self._sender, refused)}"
        return refs

    def _times(self, samples: Samples, at_ms: int) -> tuple[Times, npt.NDArray[np.bool_] | None]:
        """The time of every line, and which lines name their own; None when none does."""
        if not samples.timed or not self._spec.honor_timestamps:
            return np.full(len(samples), at_ms), None
        explicit = samples.times_ms != NO_TIME
        return np.where(explicit, samples.times_ms, at_ms), explicit

    def _in_time(self, draft: Draft, samples: Samples, rows: Rows, times_ms: Times, at_ms: int) -> Rows:
        """Those of `rows` whose time is one at which samples are taken."""
        if self._protection is None:
            return rows
        bounds = self._protection.bounds(at_ms)
        outside = (times_ms[rows] < bounds.oldest_ms) | (times_ms[rows] > bounds.newest_ms)
        if not outside.any():
            return rows
        first = int(rows[outside][0])
        reason, sentence = bounds.fault(int(times_ms[first])) or ("", "")
        name = samples.series(first).decode("utf-8", "replace")
        self._protection.refused(reason, name, self._sender, int(outside.sum()), sentence)
        draft.note = draft.note or f"{int(outside.sum()):,} samples are not stored: {sentence}"
        return rows[~outside]

    def _end_vanished(self, draft: Draft, tracked: Keys, current: Refs, at_ms: int) -> None:
        before = self._memory.tracked
        if len(before) == len(tracked) and np.array_equal(before, tracked):
            return
        vanished = before[~_isin(before, tracked)]
        if len(vanished):
            refs = self._table.find(vanished, draft.lease)
            # Another line may mean the same series now: labels in another order, another configuration.
            refs = np.unique(refs[refs >= 0])
            draft.add(refs[~np.isin(refs, current)], at_ms, STALE)

    def _read_exemplars(self, draft: Draft, samples: Samples, refs: Refs, times_ms: Times) -> Keys:
        """Adds the exemplars that were not there last time; returns what stands for all of them."""
        marked = samples.exemplars[:, 0]
        marks = samples.exemplar_keys ^ samples.keys[marked]
        found: list[tuple[int, int, float, Labels]] = []
        for place in np.flatnonzero(~_isin(marks, self._memory.exemplars)).tolist():
            row, start, end = samples.exemplars[place].tolist()
            told = read_exemplar(samples.body, start, end)
            if told is not None and refs[row] >= 0:
                labels, value, at_ms = told
                found.append((int(refs[row]), int(times_ms[row]) if at_ms is None else at_ms, value, labels))
        if found:
            rows, instants, values, sets = zip(*found, strict=True)
            draft.exemplars = ExemplarColumns(
                np.array(rows, np.int32), np.array(instants, np.int64), np.array(values), sets
            )
        return marks


def _add_zeros(draft: Draft, samples: Samples, rows: Rows, refs: Refs, at_ms: int) -> None:
    appeared = (
        (row, read_labels(samples.series(row), openmetrics=True), float(samples.values[row]))
        for row in rows.tolist()
    )
    found = zeros(appeared, draft.memory.types, at_ms)
    if found:
        wanted, instants = (np.array(column) for column in zip(*found, strict=True))
        draft.add(refs[wanted], instants, 0.0)


def _isin(keys: Keys, among: Keys) -> npt.NDArray[np.bool_]:
    """Which of `keys` uint64[n, 2] are among others, bool[n]."""
    if not len(keys) or not len(among):
        return np.zeros(len(keys), bool)
    ordered = among[np.argsort(among[:, 0])]
    places = np.minimum(np.searchsorted(ordered[:, 0], keys[:, 0]), len(ordered) - 1)
    found: npt.NDArray[np.bool_] = (ordered[places] == keys).all(axis=1)
    return found


def _without_repeats(draft: Draft, rows: Rows, refs: Refs, times_ms: Times) -> Rows:
    """Of lines with one series and one time the first; notes how many there were."""
    order = np.lexsort((times_ms[rows], refs[rows]))
    ordered = rows[order]
    is_repeat = np.zeros(len(rows), bool)
    is_repeat[1:] = (np.diff(refs[ordered]) == 0) & (np.diff(times_ms[ordered]) == 0)
    if is_repeat.any():
        draft.note = draft.note or f"{int(is_repeat.sum()):,} samples repeat a series and are not stored"
    return np.sort(ordered[~is_repeat])

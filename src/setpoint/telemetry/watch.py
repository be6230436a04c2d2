"""Watches the series of the head that satisfy some thousand selectors: which they are, what is new of them, and what
they rose by.

Objectives count with it. Which series match is kept up to date as series come and go, by looking at those only. What
is new of a series is seen by comparing its newest sample with the one before, so that appending samples costs nothing;
samples that came late are noted by the head (`late_writes`).

A matrix of selectors × series in rows (CSR) says what belongs together: the series in use are numbered, and selector q
has those at `places[offsets[q]:offsets[q + 1]]`, in the order of their labels.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import numpy.typing as npt

from setpoint.errors import NotFound, Unavailable
from setpoint.telemetry.head import Head
from setpoint.telemetry.model import Labels, Matcher
from setpoint.telemetry.recent import increase_kernels as kernels
from setpoint.telemetry.recent.gather import Taken, take
from setpoint.telemetry.recent.increase import Grid, Window, read_window
from setpoint.telemetry.recent.late import LateSamples
from setpoint.telemetry.recent.open_blocks import NEVER_MS, OpenBlocks, offsets_of
from setpoint.telemetry.recent.segments import Segments
from setpoint.telemetry.selector_index import Selector, SelectorIndex

__all__ = ["NOTHING_MS", "Members", "Read", "SeriesWatch"]

NOTHING_MS = kernels.NOTHING_MS
"""Later than any sample: nothing is new."""

_ALWAYS_MS = 2**62
_TRIES = 5
_FEW_SELECTORS = 64
_FEW_NAMES = 512
_LABELLED_AT_ONCE = 8192
_NEW_MAX = 65_536

_Refs = npt.NDArray[np.int32]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Members:
    """The series of q selectors: those of selector i are `refs[offsets[i]:offsets[i + 1]]`, in the order of their
    labels. `distinct` are all of them ascending, `places` where each of `refs` is in it.
    """

    refs: _Refs
    offsets: _Ints
    distinct: _Refs
    places: _Ints

    @classmethod
    def of(cls, refs: Sequence[_Refs]) -> Members:
        """The members of each selector, one array for each."""
        joined = np.concatenate([np.empty(0, np.int32), *refs])
        offsets = offsets_of(np.fromiter(map(len, refs), np.int64, len(refs)))
        distinct, places = np.unique(joined, return_inverse=True)
        return cls(joined, offsets, distinct, places.astype(np.int64))

    def of_selector(self, number: int) -> _Refs:
        """The refs of one selector."""
        return self.refs[self.offsets[number] : self.offsets[number + 1]]


@dataclass(frozen=True, slots=True)
class Read:
    """The values of k selectors' series: those of the i-th are the rows `rows[offsets[i]:offsets[i + 1]]` of `grid`, in
    the order of their labels. `labels` has the labels of those selectors for which they are wanted, by i.
    """

    offsets: _Ints
    rows: _Ints
    grid: Grid
    labels: Mapping[int, Sequence[Labels]] = field(default_factory=dict)


class SeriesWatch:
    """The series of `selectors` in `head`, from now on. Thread-safe; what is new is told to one caller."""

    def __init__(
        self,
        head: Head,
        selectors: Sequence[Selector],
        labelled: Collection[int] = (),
        before: SeriesWatch | None = None,
    ) -> None:
        """`labelled` are the numbers of the selectors whose series' labels are wanted. What `before` knows is taken
        over. Raises InvalidInput for a bad expression.
        """
        self._head, self._table = head, head.table
        self._selectors = tuple(selectors)
        self._labelled = frozenset(labelled)
        self._index: SelectorIndex | None = None
        self._lock = threading.RLock()
        self._labels: dict[int, tuple[_Refs, Sequence[Labels]]] = {}
        self._members = Members.of([])
        self._marks = np.empty(0, np.int64)
        self._added = self._removed = 0
        with self._lock:
            self._begin(before)
        self._head.look(self._mark)

    @property
    def series_count(self) -> int:
        """How many series there are in use."""
        return len(self._members.distinct)

    def counts(self) -> _Ints:
        """How many series each selector has, int64[q]."""
        return np.diff(self._members.offsets)

    def has_series(self, number: int) -> bool:
        """Whether one selector has any."""
        offsets = self._members.offsets
        return bool(offsets[number + 1] > offsets[number])

    def covers(self, window: Window) -> bool:
        """Whether the head holds every sample that matters for `window`."""
        return window.after_ms >= self._head.covers_from_ms

    def take_news(self) -> _Ints:
        """The time of the oldest sample that came since this was last asked, of each selector, int64[q]; `NOTHING_MS`
        where none did. It may be a little early, never late; of a series that is gone already, because nobody asked for
        hours, nothing is told.
        """
        with self._lock:
            self._refresh()
            members, oldest = self._members, np.empty(len(self._members.distinct), np.int64)

            def look(
                blocks: OpenBlocks, segments: Segments, late: LateSamples
            ) -> tuple[_Refs, npt.NDArray[np.int64]]:
                del segments, late
                newest, sealed, _, base, count, times, _ = blocks.arrays
                kernels.news(members.distinct, newest, sealed, base, count, times, self._marks, oldest)
                return self._head.late_writes.take()

            refs, times_ms = self._head.look(look)
            self._find_first(oldest)
            found = np.searchsorted(members.distinct, refs)
            known = found < len(members.distinct)
            known[known] = members.distinct[found[known]] == refs[known]
            found, times_ms = found[known], times_ms[known]
            oldest[found] = np.minimum(oldest[found], times_ms)
        news = np.full(len(self._selectors), NOTHING_MS)
        held = np.diff(members.offsets) > 0
        if held.any():
            news[held] = np.minimum.reduceat(oldest[members.places], members.offsets[:-1][held])
        return news

    def read(self, chosen: _Ints, window: Window) -> Read:
        """The values of the selectors with the numbers `chosen` int64[k] in the slots of `window`.

        The head must cover it.
        Raises Unavailable when series come and go faster than they can be read, CorruptChunk.
        """
        for _ in range(_TRIES):
            with self._lock:
                self._refresh()
                members, removed = self._members, self._removed
                try:
                    labels = {place: self._labels_of(number) for place, number in self._wanted(chosen)}
                except NotFound:  # a series was removed this moment
                    continue
            starts, counts = members.offsets[chosen], members.offsets[chosen + 1] - members.offsets[chosen]
            offsets = offsets_of(counts)
            places = members.places[np.repeat(starts - offsets[:-1], counts) + np.arange(offsets[-1])]
            used = np.zeros(len(members.distinct), np.bool_)
            used[places] = True
            grid = read_window(self._head, members.distinct[used], removed, window)
            if grid is not None:
                return Read(offsets, (np.cumsum(used) - 1)[places], grid, labels)
        raise Unavailable("series come and go faster than they can be counted; the next tick tries again")

    # ---- which series there are --------------------------------------------------------------------------

    def _wanted(self, chosen: _Ints) -> list[tuple[int, int]]:
        if not self._labelled:
            return []
        return [(place, number) for place, number in enumerate(chosen.tolist()) if number in self._labelled]

    def _labels_of(self, number: int) -> Sequence[Labels]:
        refs = self._members.of_selector(number)
        known = self._labels.get(number)
        if known is None or not np.array_equal(known[0], refs):
            known = self._labels[number] = refs, self._table.labels_of(refs)
        return known[1]

    def _begin(self, before: SeriesWatch | None) -> None:
        """Find the series of all selectors; of those that `before` has, by asking it."""
        known: dict[Selector, _Refs] = {}
        if before is not None and before._head is self._head:
            with before._lock:
                before._refresh()
                self._added, self._removed = before._added, before._removed
                known = {
                    selector: before._members.of_selector(number)
                    for number, selector in enumerate(before._selectors)
                }
        else:
            since = self._table.since(0, [])
            self._added, self._removed = since.added, since.removed
        missing = [number for number, selector in enumerate(self._selectors) if selector not in known]
        found = self._found(missing)
        self._take(
            [
                found[number] if number in found else known[selector]
                for number, selector in enumerate(self._selectors)
            ]
        )

    def _found(self, numbers: Sequence[int]) -> dict[int, _Refs]:
        """The series of some selectors, looked for in the table."""
        if len(numbers) <= _FEW_SELECTORS:
            return {number: self._table.match(self._selectors[number]) for number in numbers}
        selectors = [self._selectors[number] for number in numbers]
        index = self._indexed() if len(numbers) == len(self._selectors) else SelectorIndex(selectors)
        refs, owners = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
        candidates = self._candidates(selectors)
        for start in range(0, len(candidates), _LABELLED_AT_ONCE):
            some, labels = self._labelled_refs(candidates[start : start + _LABELLED_AT_ONCE])
            places, found = index.match(labels)
            refs.append(some[places])
            owners.append(found)
        in_order = self._in_order(np.concatenate(refs), np.concatenate(owners), len(numbers))
        return dict(zip(numbers, in_order, strict=True))

    def _indexed(self) -> SelectorIndex:
        if self._index is None:
            self._index = SelectorIndex(self._selectors)
        return self._index

    def _candidates(self, selectors: Sequence[Selector]) -> _Refs:
        """The series that may satisfy one of `selectors`."""
        names = [_name_of(selector) for selector in selectors]
        distinct = {name for name in names if name}
        if not all(names) or len(distinct) > _FEW_NAMES:
            return self._table.usage().refs
        parts = [self._table.match((Matcher("__name__", "=", name),)) for name in distinct]
        return np.concatenate([np.empty(0, np.int32), *parts])

    def _labelled_refs(self, refs: _Refs) -> tuple[_Refs, Sequence[Labels]]:
        """Those of `refs` that still are there, and their labels."""
        for _ in range(_TRIES):
            try:
                return refs, self._table.labels_of(refs)
            except NotFound:  # removed this moment
                refs = refs[self._table.alive(refs)]
        return refs[:0], ()

    def _in_order(self, refs: _Refs, owners: _Ints, count: int) -> list[_Refs]:
        """`refs[i]` belongs to `owners[i]`: the refs of each of `count` owners, in the order of their labels."""
        distinct, places = np.unique(refs, return_inverse=True)
        for _ in range(_TRIES):
            try:
                order = self._table.described(distinct).labels.order()
                break
            except NotFound:
                is_alive = self._table.alive(distinct)
                stays = is_alive[places]
                refs, owners = refs[stays], owners[stays]
                distinct, places = np.unique(refs, return_inverse=True)
        else:
            raise Unavailable(
                "series come and go faster than they can be told apart; the next tick tries again"
            )
        ranks = np.empty(len(distinct), np.int64)
        ranks[order] = np.arange(len(distinct))
        sequence = np.lexsort((ranks[places], owners))
        offsets = offsets_of(np.bincount(owners, minlength=count))
        ordered = refs[sequence]
        return [
            ordered[start:end] for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
        ]

    def _refresh(self) -> None:
        """Follow the series that came and went."""
        if (self._table.new_total, self._table.removed_total) == (self._added, self._removed):
            return
        members = self._members
        since = self._table.since(self._added, members.distinct)
        if since.new is None or len(since.new) > max(_NEW_MAX, len(members.distinct)):
            self._added, self._removed = since.added, since.removed
            found = self._found(range(len(self._selectors)))
            self._take([found[number] for number in range(len(self._selectors))], since.stays)
            return
        some, labels = self._labelled_refs(since.new)
        places, owners = self._indexed().match(labels)
        stays = since.stays[members.places]
        if stays.all() and not len(owners):
            self._added, self._removed = since.added, since.removed
            return
        all_owners = np.repeat(np.arange(len(self._selectors)), np.diff(members.offsets))
        changed = np.unique(np.concatenate([owners, all_owners[~stays]]))
        kept = np.isin(all_owners, owners) & stays
        numbers = np.searchsorted(changed, np.concatenate([all_owners[kept], owners]))
        gained = self._in_order(np.concatenate([members.refs[kept], some[places]]), numbers, len(changed))
        refs = [members.of_selector(number) for number in range(len(self._selectors))]
        with_new = set(owners.tolist())
        for place, number in enumerate(changed.tolist()):
            start, end = members.offsets[number : number + 2]
            refs[number] = gained[place] if number in with_new else refs[number][stays[start:end]]
        self._added, self._removed = since.added, since.removed
        self._take(refs, since.stays)

    def _take(self, refs: Sequence[_Refs], stays: npt.NDArray[np.bool_] | None = None) -> None:
        """Take over the members of all selectors; of the series that were here those that `stays` keep their marks."""
        before, marks = self._members, self._marks
        self._members = Members.of(refs)
        self._marks = np.full(len(self._members.distinct), NEVER_MS)
        if stays is not None:
            _, old, new = np.intersect1d(
                before.distinct[stays], self._members.distinct, assume_unique=True, return_indices=True
            )
            self._marks[new] = marks[stays][old]

    # ---- what is new -------------------------------------------------------------------------------------

    def _mark(self, blocks: OpenBlocks, segments: Segments, late: LateSamples) -> None:
        """Begin to watch: what is here is not new."""
        del segments, late
        newest, sealed, _, base, count, times, _ = blocks.arrays
        oldest = np.empty(len(self._members.distinct), np.int64)
        kernels.news(self._members.distinct, newest, sealed, base, count, times, self._marks, oldest)
        self._head.late_writes.begin()

    def _find_first(self, oldest: _Ints) -> None:
        """Find the first samples of series that were not here before."""
        fresh = np.flatnonzero(oldest == NEVER_MS)
        for start in range(0, len(fresh), _LABELLED_AT_ONCE):
            some = fresh[start : start + _LABELLED_AT_ONCE]
            times, _, offsets = self._head.look(partial(_take_all, self._members.distinct[some])).columns()
            held = np.diff(offsets) > 0
            oldest[some] = NOTHING_MS
            oldest[some[held]] = times[offsets[:-1][held]]


def _take_all(refs: _Refs, blocks: OpenBlocks, segments: Segments, late: LateSamples) -> Taken:
    return take(segments.all, blocks, late, refs, NEVER_MS, _ALWAYS_MS)


def _name_of(selector: Selector) -> str:
    return next((one.value for one in selector if one.name == "__name__" and one.op == "="), "")

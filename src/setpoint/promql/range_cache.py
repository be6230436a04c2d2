"""Results of range queries, kept so that a dashboard which asks again a step later has only the new steps computed.

The Prometheus API evaluates range queries through here; objectives never do. What is kept of a query is one matrix over
the steps of its last answer. A step of it is used as long as nothing was written, since it was computed, at or before
the newest instant that it reads, and the database has not changed otherwise; so a late sample is seen at once, and
no step has to be old to be final. Only queries whose steps are known to be independent take part (`steadiness`).

Thread-safe: entries are never changed, only replaced.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from setpoint.cache import Cache
from setpoint.clock import stopwatch
from setpoint.promql.budget import Budget
from setpoint.promql.context import Options
from setpoint.promql.errors import ExecutionError
from setpoint.promql.evaluate import evaluate
from setpoint.promql.from_telemetry import Matcher, Select, SelectHistograms, StoredHistograms
from setpoint.promql.model import Labels, Matrix, are_different, compact
from setpoint.promql.nodes import Node
from setpoint.promql.steadiness import Reach, reach_of

__all__ = ["Grid", "RangeCache", "Writes"]

_LIMIT_BYTES = 64 << 20
_ENTRY_PART = 4
"""Nothing is kept that is larger than this part of the limit."""

_WORTH_S = 0.003
_LIFE_S = 600.0
_FEWEST_STEPS = 4
_NEWEST_STEPS = 2
"""So many steps are computed at least, if any: some functions see an instant query in a single one."""

_STEPS_BEFORE = 8
"""So many steps are kept from before the last range, for who is a little behind."""

_ENTRY_BYTES, _LABELS_BYTES = 2000, 500
_FEWER_NOTES = 10
"""So many notes are cut off."""

_COUNTED = "needed to be fixed for monotonicity"
"""An info that says in how many samples, so that those of two parts are not that of the whole."""

Grid = tuple[int, int, int]
"""Start, end and step of a range query in Unix milliseconds."""

Key = tuple[str, Node, int, int, int, Options]


class Writes(Protocol):
    """The oldest timestamp written since a mark: `telemetry.write_log.WriteLog`."""

    def mark(self) -> int: ...
    def oldest_since_ms(self, mark: int) -> int: ...


@dataclass(frozen=True, slots=True)
class _Entry:
    """The answer `matrix` of a query, as true as at `mark`, in this `state` of the database."""

    matrix: Matrix
    mark: int
    state: Hashable
    age_s: Callable[[], float]
    size_bytes: int


@dataclass(slots=True)
class _Asked:
    """One query on its way, and whether native histograms may take part."""

    text: str
    node: Node
    grid: Grid
    select: Select
    options: Options
    budget: Budget
    histograms: SelectHistograms | None
    has_histograms: bool = False
    elapsed_s: Callable[[], float] = field(default_factory=stopwatch)

    @property
    def key(self) -> Key:
        """Equal for queries of one length whose steps can stand for each other; warnings name places in the text."""
        start_ms, end_ms, step_ms = self.grid
        return self.text, self.node, (end_ms - start_ms) // step_ms, step_ms, start_ms % step_ms, self.options

    def evaluated(self, start_ms: int) -> Matrix:
        """The steps from `start_ms` on."""
        select = None if self.histograms is None else self._select_histograms
        _, end_ms, step_ms = self.grid
        return evaluate(
            self.node,
            start_ms,
            end_ms,
            step_ms,
            self.select,
            options=self.options,
            budget=self.budget,
            histograms=select,
        )

    def _select_histograms(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> StoredHistograms | None:
        assert self.histograms is not None
        found = self.histograms(matchers, start_ms, end_ms)
        self.has_histograms |= found is not None
        return found


class RangeCache:
    """Answers range queries, from what it kept where that is as true as computing it again."""

    def __init__(
        self,
        writes: Writes,
        state: Callable[[], Hashable],
        kept_from_ms: Callable[[], int] = lambda: -(2**62),
        *,
        limit_bytes: int = _LIMIT_BYTES,
        worth_s: float = _WORTH_S,
        life_s: float = _LIFE_S,
    ) -> None:
        """`state` tells what is another value after every change of the database that is no new sample; `kept_from_ms`
        from when on samples are read as they came. What took less than `worth_s` is not kept, nothing is for longer
        than `life_s`.
        """
        self._writes = writes
        self._state = state
        self._kept_from_ms = kept_from_ms
        self._worth_s = worth_s
        self._entries: Cache[Key, _Entry] = Cache(limit_bytes, _ENTRY_PART, life_s)
        self._counting = threading.Lock()
        self.hits = 0
        """Queries of which some steps were kept."""
        self.misses = 0
        """Queries that could have been kept, and were not."""
        self.steps_kept = 0
        """Steps that were not computed again."""

    @property
    def size_bytes(self) -> int:
        """About how much memory the results take."""
        return self._entries.size_bytes

    def evaluate(
        self,
        text: str,
        node: Node,
        grid: Grid,
        select: Select,
        *,
        options: Options,
        budget: Budget,
        histograms: SelectHistograms | None = None,
    ) -> Matrix:
        """As `evaluate.evaluate`; `text` is what `node` was parsed from. Limits apply to what is computed."""
        asked = _Asked(text, node, grid, select, options, budget, histograms)
        start_ms, _, _ = grid
        reach = self._reach(asked)
        if reach is None:
            return asked.evaluated(start_ms)
        state, mark = self._state(), self._writes.mark()
        entry = self._entries.find(asked.key, state)
        if entry is not None:
            held = budget.held
            found = self._continued(asked, entry, reach)
            if found is not None:
                matrix, whole = found
                if whole is not entry.matrix:
                    self._keep(asked, whole, mark, state, entry.age_s)
                return matrix
            budget.settle(held, 0)
            asked = _Asked(text, node, grid, select, options, budget, histograms)
        with self._counting:
            self.misses += 1
        matrix = asked.evaluated(start_ms)
        if asked.elapsed_s() >= self._worth_s:
            self._keep(asked, matrix, mark, state, stopwatch())
        return matrix

    def _reach(self, asked: _Asked) -> Reach | None:
        """What each step reads, if the query is one whose result may be kept."""
        start_ms, end_ms, step_ms = asked.grid
        if step_ms <= 0 or (end_ms - start_ms) // step_ms < _FEWEST_STEPS:
            return None
        if asked.options.delayed_name_removal:
            return None
        reach = reach_of(asked.node, asked.options.lookback_ms)
        # Steps further apart leave samples between two parts that a whole query would fetch, if not use.
        if reach is None or step_ms > reach.window_ms or start_ms - reach.back_ms < self._kept_from_ms():
            return None
        return reach

    def _continued(self, asked: _Asked, entry: _Entry, reach: Reach) -> tuple[Matrix, Matrix] | None:
        """What was asked for and what to keep: kept steps that are still true, and after them those that had to be
        computed. None if that is no gain, or if both parts together might not say what the whole would.
        """
        start_ms, end_ms, step_ms = asked.grid
        kept = entry.matrix
        first = int(kept.times_ms[0])
        if start_ms < first:
            return None
        oldest_ms = self._writes.oldest_since_ms(entry.mark)
        true_until = int(np.searchsorted(kept.times_ms, oldest_ms + reach.ahead_ms))
        low = (start_ms - first) // step_ms
        stop = low + (end_ms - start_ms) // step_ms + 1
        high = min(true_until, stop)
        if high == stop and (not (kept.warnings or kept.infos) or (low, high) == (0, len(kept.times_ms))):
            self._count(high - low)
            return _cut(kept, low, high), kept
        high = min(high, stop - _NEWEST_STEPS)
        if high - low < _FEWEST_STEPS:
            return None
        try:
            fresh = asked.evaluated(first + high * step_ms)
        except ExecutionError:
            return None  # the whole may say something else of it
        if asked.has_histograms or not _fit(kept, fresh):
            return None
        self._count(high - low)
        before = min(low, _STEPS_BEFORE)
        whole = _joined(kept, low - before, high, fresh)
        asked.budget.spend(whole.values.size)
        return _cut(whole, before, len(whole.times_ms)), whole

    def _count(self, steps: int) -> None:
        with self._counting:
            self.hits += 1
            self.steps_kept += steps

    def _keep(
        self, asked: _Asked, matrix: Matrix, mark: int, state: Hashable, age_s: Callable[[], float]
    ) -> None:
        """Keep an answer in the place of what is kept of the query, if it is one that can be continued."""
        rows, steps = matrix.values.shape
        size = _ENTRY_BYTES + rows * (9 * steps + _LABELS_BYTES)
        usable = not asked.has_histograms and matrix.histograms is None and matrix.kind == "vector"
        usable &= max(len(matrix.warnings), len(matrix.infos)) < _FEWER_NOTES
        usable &= not any(_COUNTED in said for said in matrix.infos)
        usable &= size <= self._entries.entry_bytes and are_different(matrix.labels)
        if usable:
            self._entries.keep(asked.key, _Entry(matrix, mark, state, age_s, size))
        else:
            self._entries.drop(asked.key)


def _identity(labels: Labels) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())


def _fit(kept: Matrix, fresh: Matrix) -> bool:
    """Whether both parts say what the whole would. Their warnings and infos are then those of the whole: each part
    has those of its steps, in the order in which the expression is evaluated.
    """
    if kept.warnings != fresh.warnings or kept.infos != fresh.infos:
        return False
    return fresh.histograms is None and fresh.kind == kept.kind and not fresh.drops_name.any()


def _cut(matrix: Matrix, low: int, high: int) -> Matrix:
    """The steps `low` to `high` (excluded)."""
    if (low, high) == (0, len(matrix.times_ms)):
        return matrix
    part = replace(
        matrix,
        times_ms=matrix.times_ms[low:high],
        values=matrix.values[:, low:high],
        present=matrix.present[:, low:high],
    )
    return compact(part)


def _joined(kept: Matrix, low: int, high: int, fresh: Matrix) -> Matrix:
    """The kept steps `low` to `high` (excluded), and `fresh` after them."""
    before = high - low
    times_ms = np.concatenate([kept.times_ms[low:high], fresh.times_ms])
    if kept.labels == fresh.labels:
        labels = kept.labels
        into = np.arange(len(labels))
    else:
        place = {_identity(one): row for row, one in enumerate(kept.labels)}
        news = [one for one in fresh.labels if _identity(one) not in place]
        labels = (*kept.labels, *news)
        place |= {_identity(one): len(kept.labels) + row for row, one in enumerate(news)}
        into = np.array([place[_identity(one)] for one in fresh.labels], np.intp)
    shape = len(labels), len(times_ms)
    values, present = np.zeros(shape), np.zeros(shape, np.bool_)
    values[: len(kept.labels), :before] = kept.values[:, low:high]
    present[: len(kept.labels), :before] = kept.present[:, low:high]
    values[into, before:] = fresh.values
    present[into, before:] = fresh.present
    return compact(
        Matrix(labels, times_ms, values, present, fresh.kind, warnings=fresh.warnings, infos=fresh.infos)
    )

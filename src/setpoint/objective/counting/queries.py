"""The distinct queries of a plan, and their events in consecutive slots: many at once where they are arithmetic on sums
of series, one by one by the query language where they are more.

`counting` makes one for each source of samples. A query that several objectives share is computed once, and so is a
sum that several queries share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from setpoint.errors import SetpointError
from setpoint.objective.counting.feed import Feed
from setpoint.objective.counting.sums import Sum, Summed, Sums
from setpoint.objective.from_promql import PREVIOUS_SAMPLE_MS, EventQuery, Expression, Formula, several_series
from setpoint.objective.from_telemetry import NOTHING_MS, Select, Selector, can_match, last_values, rises

if TYPE_CHECKING:
    from setpoint.objective.from_telemetry import Window

__all__ = ["ManyEvents", "Queries", "Query"]

_LOOKBACK_SLOTS = 2

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]


class Query(NamedTuple):
    """A query as it is counted: `role` (total, good, …) names it in errors."""

    text: str
    role: str
    is_counter: bool
    takes_infinity: bool


@dataclass(frozen=True, slots=True)
class ManyEvents:
    """Events of k queries in m slots, as `from_promql.Events` are of one; `errors` by position."""

    values: _Floats
    present: _Bools
    undefined: _Bools
    errors: dict[int, SetpointError] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Alike:
    """Queries with the same arithmetic: query `numbers[i]` on the sums `sums[i]`, int64[q, s]."""

    expression: Expression
    numbers: _Ints
    sums: _Ints


class Queries:
    """`queries` over what `feed` gives. What `before` knows is taken over."""

    def __init__(self, queries: Sequence[Query], feed: Feed, before: Queries | None = None) -> None:
        """Raises QueryError when one does not parse."""
        self.queries = tuple(queries)
        self.number = {query: number for number, query in enumerate(self.queries)}
        known: dict[Query, _Run] = (
            {} if before is None else dict(zip(before.queries, before._runs, strict=True))
        )
        self._feed = feed
        self._runs: list[_Run] = [known.get(query) or _run(query) for query in self.queries]
        formulas = [one.formula if feed.head is not None else None for one in self._runs]
        self._is_quick = np.array([one is not None for one in formulas], np.bool_)
        self._sums: dict[Sum, int] = {}
        self._alike = {is_counter: self._sorted(formulas, is_counter) for is_counter in (True, False)}
        also = [self._runs[number].selectors for number in np.flatnonzero(~self._is_quick).tolist()]
        self._summer: Sums | None = None
        if feed.head is not None:
            self._summer = Sums(
                list(self._sums),
                [selector for selectors in also for selector in selectors or ()],
                feed.head,
                None if before is None else before._summer,
            )
        self._reads = self._selectors_read()
        self._written_ms = NOTHING_MS

    def is_additive(self, number: int) -> bool:
        """Whether minutes are the sums of their slices."""
        return self._runs[number].query.is_additive

    def speaks_in_silence(self, number: int) -> bool:
        """Whether there may be a value in a slot that no sample is in."""
        run = self._runs[number]
        return run.query.calls if run.formula is None else run.formula.speaks_in_silence

    def has_series(self, number: int) -> bool | None:
        """Whether any series satisfies a selector of the query now; None where that is not known."""
        selectors, summer = self._runs[number].selectors, self._summer
        if summer is None or selectors is None:
            return None
        return any(summer.watch.has_series(summer.selectors[selector]) for selector in selectors)

    def take_news(self) -> _Ints:
        """The time of the oldest sample that came for each query since this was last asked, int64[q]; `NOTHING_MS`
        where none did.
        """
        written_ms = self._feed.take_oldest_write_ms()
        if self._summer is None or self._reads is None:
            return np.full(len(self.queries), NOTHING_MS if written_ms is None else written_ms)
        of_selector = np.append(
            self._summer.watch.take_news(), NOTHING_MS if written_ms is None else written_ms
        )
        offsets, selectors = self._reads
        news = np.full(len(self.queries), NOTHING_MS)
        held = np.diff(offsets) > 0
        if held.any():
            news[held] = np.minimum.reduceat(of_selector[selectors], offsets[:-1][held])
        return news

    def count(self, numbers: _Ints, first: int, end: int, slot_ms: int, select: Select) -> ManyEvents:
        """The events of the queries `numbers` int64[k], ascending, in the slots from `first` to before `end`."""
        shape = len(numbers), end - first
        found = ManyEvents(np.zeros(shape), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_))
        place_of = np.full(len(self.queries), -1)
        place_of[numbers] = np.arange(len(numbers))
        for is_counter, alike in self._alike.items():
            window = _window(first, end, slot_ms, is_counter=is_counter)
            self._count_quick(alike, place_of, window, select, found)
        for place in np.flatnonzero(~self._is_quick[numbers]).tolist():
            run = self._runs[numbers[place]]
            try:
                one = run.query.count(
                    first, end - first, slot_ms, select, takes_infinity=run.key.takes_infinity
                )
            except SetpointError as error:
                found.errors[place] = error
                continue
            found.values[place], found.present[place] = one.values, one.present
            found.undefined[place] = one.undefined
        return found

    # ---- many at once ------------------------------------------------------------------------------------

    def _sorted(self, formulas: Sequence[Formula | None], is_counter: bool) -> list[_Alike]:
        alike: dict[Expression, tuple[list[int], list[list[int]]]] = {}
        for number, (run, formula) in enumerate(zip(self._runs, formulas, strict=True)):
            if formula is None or run.key.is_counter != is_counter:
                continue
            numbers, sums = alike.setdefault(formula.expression, ([], []))
            numbers.append(number)
            own = [Sum(one, is_counter, run.key.takes_infinity) for one in formula.sums]
            sums.append([self._sums.setdefault(one, len(self._sums)) for one in own])
        return [
            _Alike(expression, np.array(numbers, np.int64), np.array(sums, np.int64))
            for expression, (numbers, sums) in alike.items()
        ]

    def _count_quick(
        self,
        all_alike: Sequence[_Alike],
        place_of: _Ints,
        window: Window,
        select: Select,
        found: ManyEvents,
    ) -> None:
        chosen = [
            replace(one, numbers=one.numbers[asked], sums=one.sums[asked])
            for one in all_alike
            if (asked := place_of[one.numbers] >= 0).any()
        ]
        if not chosen or self._summer is None:
            return
        used = np.unique(np.concatenate([one.sums.ravel() for one in chosen]))
        summed = self._summer.sum(used, window, select)
        for one in chosen:
            self._settle(one, np.searchsorted(used, one.sums), summed, place_of, found)

    def _settle(self, alike: _Alike, rows: _Ints, summed: Summed, place_of: _Ints, found: ManyEvents) -> None:
        """Compute the formulas of queries that are alike from their sums, in `rows` int64[q, s] of `summed`."""
        places = place_of[alike.numbers]
        with np.errstate(all="ignore"):
            values, present = _value(alike.expression, rows, summed)
        infinite = np.array([self.queries[number].takes_infinity for number in alike.numbers.tolist()])
        is_value = np.isfinite(values) | (infinite[:, None] & np.isinf(values))
        undefined = present & ~is_value
        for column in rows.T:
            undefined |= summed.undefined[column]
        found.present[places] = present & is_value
        found.values[places] = np.where(found.present[places], values, 0.0)
        found.undefined[places] = undefined
        most = summed.most[rows].max(axis=1)
        for at in np.flatnonzero(most > 1).tolist():
            role = self.queries[alike.numbers[at]].role
            found.errors[int(places[at])] = several_series(role, int(most[at]))
        if summed.errors:
            for at, own in enumerate(rows.tolist()):
                for row in own:
                    if row in summed.errors:
                        found.errors[int(places[at])] = summed.errors[row]

    # ---- what is new -------------------------------------------------------------------------------------

    def _selectors_read(self) -> tuple[_Ints, _Ints] | None:
        """Which selectors of the watch each query reads, in rows (CSR); the last stands for every sample there is."""
        if self._summer is None:
            return None
        places = self._summer.selectors
        read = [
            [len(places)] if run.selectors is None else [places[selector] for selector in run.selectors]
            for run in self._runs
        ]
        offsets = np.append(0, np.cumsum([len(own) for own in read], dtype=np.int64))
        return offsets, np.array([place for own in read for place in own], np.int64)


@dataclass(frozen=True, slots=True)
class _Run:
    """A query, ready to run."""

    key: Query
    query: EventQuery
    formula: Formula | None
    selectors: tuple[Selector, ...] | None


def _run(key: Query) -> _Run:
    query = EventQuery(key.text, role=key.role, is_counter=key.is_counter)
    if not all(map(can_match, query.selectors or ())):
        return _Run(key, query, None, ())  # it fails when it is counted, and leaves the others alone
    return _Run(key, query, query.formula, query.selectors)


def _window(first: int, end: int, slot_ms: int, *, is_counter: bool) -> Window:
    """What is asked of series in the slots from `first` to before `end`."""
    if is_counter:
        return rises(first * slot_ms, slot_ms, end - first, PREVIOUS_SAMPLE_MS)
    return last_values(first * slot_ms, slot_ms, end - first, _LOOKBACK_SLOTS * slot_ms)


def _value(expression: Expression, rows: _Ints, summed: Summed) -> tuple[_Floats, _Bools]:
    """The value of an expression for q queries, whose sums are in `rows` int64[q, s]: values, and where they are."""
    match expression:
        case ("sum", int(place)):
            return summed.values[rows[:, place]], summed.present[rows[:, place]]
        case ("number", float(number)):
            shape = len(rows), summed.values.shape[1]
            return np.full(shape, number), np.ones(shape, np.bool_)
        case ("-", tuple(inner)):
            values, present = _value(inner, rows, summed)
            return -values, present
        case ("or", tuple(inner), float(number)):
            values, present = _value(inner, rows, summed)
            return np.where(present, values, number), np.ones(present.shape, np.bool_)
        case (str(operator), tuple(one), tuple(other)):
            left, is_left = _value(one, rows, summed)
            right, is_right = _value(other, rows, summed)
            return _OPERATORS[operator](left, right), is_left & is_right
    raise AssertionError(expression)


_OPERATORS = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}

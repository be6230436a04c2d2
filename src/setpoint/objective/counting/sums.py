"""Sums over series for many queries at once: the matrix of sums × series, applied to what the series rose by.

`queries` asks for the sums that its formulas are made of. Of the recent past they come from the head, by the
watch over all their series. What lies before is read from the store some sums at a time: those that name the same
metric are asked for with one wide selector, and the series that it finds are dealt out by their labels. A question is
cut so that it reads some million samples, which bounds the memory that history needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from setpoint.errors import InvalidInput, SetpointError
from setpoint.objective.from_promql import Grouped
from setpoint.objective.from_telemetry import Labels, Matcher, Select, Selector, SelectorIndex, grid_of, watch

if TYPE_CHECKING:
    from setpoint.objective.from_telemetry import Grid, Head, SeriesWatch, Window

__all__ = ["Sum", "Summed", "Sums"]

_SAMPLES_AT_ONCE = 2_000_000
_USUAL_STEP_MS = 15_000
_CELLS_AT_ONCE = 2_000_000
_ALTERNATIVES_MAX = 256
_NAME = "__name__"
_SPECIAL = frozenset("\\.+*?()|[]{}^$#&-~")

_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Sum:
    """A sum in a formula, of increases (`is_counter`) or of values; `takes_infinity`: infinity is a value, too."""

    grouped: Grouped
    is_counter: bool
    takes_infinity: bool


@dataclass(frozen=True, slots=True)
class Summed:
    """k sums in m slots: `values` float64[k, m]; `present` bool[k, m], where they are; `undefined` bool[k, m], where a
    group's is NaN or infinite; `most` int64[k], how many groups have values in one minute (1 for those without groups).

    `errors` tells which could not be computed, by position.
    """

    values: npt.NDArray[np.float64]
    present: _Bools
    undefined: _Bools
    most: _Ints
    errors: dict[int, SetpointError] = field(default_factory=dict)

    @classmethod
    def empty(cls, count: int, slots: int) -> Summed:
        """Sums without values."""
        shape = count, slots
        return cls(
            np.zeros(shape), np.zeros(shape, np.bool_), np.zeros(shape, np.bool_), np.zeros(count, np.int64)
        )

    def slots(self, first: int, end: int) -> Summed:
        """The slots from `first` to before `end`, as views."""
        return replace(
            self,
            values=self.values[:, first:end],
            present=self.present[:, first:end],
            undefined=self.undefined[:, first:end],
        )


class Sums:
    """The sums of a plan. `also` are selectors whose series are watched as well, for what is new of them."""

    def __init__(
        self,
        sums: Sequence[Sum],
        also: Sequence[Selector],
        head: Head,
        before: Sums | None = None,
    ) -> None:
        """Raises InvalidInput for a bad expression."""
        from setpoint.objective.counting import kernels  # loads numba: only who counts waits for it

        self._kernels = kernels
        self._sums = tuple(sums)
        self._groups: dict[int, tuple[Sequence[Labels], _Ints]] = {}
        self.selectors = {
            selector: place
            for place, selector in enumerate(dict.fromkeys([*(one.grouped.matchers for one in sums), *also]))
        }
        self._selector_of = np.array([self.selectors[one.grouped.matchers] for one in sums], np.int64)
        self._is_grouped = np.array([not one.grouped.is_one for one in sums], np.bool_)
        self._takes_infinity = np.array([one.takes_infinity for one in sums], np.bool_)
        labelled = np.unique(self._selector_of[self._is_grouped]).tolist()
        self.watch: SeriesWatch = watch(
            head, tuple(self.selectors), labelled, None if before is None else before.watch
        )

    def series_counts(self, chosen: _Ints) -> _Ints:
        """How many series each of the sums `chosen` has now."""
        return self.watch.counts()[self._selector_of[chosen]]

    def sum(self, chosen: _Ints, window: Window, select: Select) -> Summed:
        """The sums with the numbers `chosen` int64[k] in the slots of `window`; samples that are not in memory come
        from `select`.
        """
        found = Summed.empty(len(chosen), window.slots)
        if self.watch.covers(window):
            series = np.cumsum(self.series_counts(chosen))
            for places in _parts(np.arange(len(chosen)), series * window.slots, _CELLS_AT_ONCE):
                try:
                    self._sum_in_pieces(chosen, places, window, found)
                except SetpointError as error:
                    found.errors.update(dict.fromkeys(places.tolist(), error))
            if self.watch.covers(window):
                return found
            found = Summed.empty(len(chosen), window.slots)  # an eviction may have been quicker
        for places in self._questions(chosen, window):
            self._sum_stored(chosen, places, window, select, found)
        return found

    # ---- from memory -------------------------------------------------------------------------------------

    def _sum_in_pieces(self, chosen: _Ints, places: _Ints, window: Window, found: Summed) -> None:
        """`_sum_recent`, some minutes at a time where one sum has too many series for all of them."""
        minute = max(1, 60_000 // window.slot_ms)
        series = max(1, int(self.series_counts(chosen[places]).sum()))
        most = max(1, 2 * _CELLS_AT_ONCE // series // minute) * minute
        # Pieces begin with minutes, because a minute's groups are counted together.
        start = -(window.begin_ms // window.slot_ms % minute)
        while start < window.slots:
            first, end = max(0, start), min(start + most, window.slots)
            piece = replace(window, begin_ms=window.begin_ms + first * window.slot_ms, slots=end - first)
            self._sum_recent(chosen, places, piece, found.slots(first, end))
            start += most

    def _sum_recent(self, chosen: _Ints, places: _Ints, window: Window, found: Summed) -> None:
        numbers = chosen[places]
        selectors, of_number = np.unique(self._selector_of[numbers], return_inverse=True)
        read = self.watch.read(selectors, window)
        starts, counts = read.offsets[of_number], np.diff(read.offsets)[of_number]
        offsets = np.append(0, np.cumsum(counts))
        rows = read.rows[np.repeat(starts - offsets[:-1], counts) + np.arange(offsets[-1])]
        labels = {place: read.labels[of] for place, of in enumerate(of_number.tolist()) if of in read.labels}
        self._add_up(numbers, places, (offsets, rows, read.grid, labels), window, found)

    def _add_up(
        self,
        numbers: _Ints,
        places: _Ints,
        matrix: tuple[_Ints, _Ints, Grid, dict[int, Sequence[Labels]]],
        window: Window,
        found: Summed,
    ) -> None:
        """Apply the rows of the matrix for the sums `numbers` to a grid of series; they are `places` in `found`."""
        offsets, rows, grid, labels = matrix
        groups = np.zeros(len(rows), np.int64)
        for place in np.flatnonzero(self._is_grouped[numbers]).tolist():
            start, end = offsets[place], offsets[place + 1]
            of_series = self._groups_of(int(numbers[place]), labels[place])
            order = np.argsort(of_series, kind="stable")
            rows[start:end], groups[start:end] = rows[start:end][order], of_series[order]
        some = Summed.empty(len(numbers), window.slots)
        ends_ms = window.begin_ms + window.slot_ms * np.arange(1, window.slots + 1)
        minutes = (ends_ms - 1) // 60_000
        self._kernels.sums(
            offsets, rows, groups, self._is_grouped[numbers], self._takes_infinity[numbers], grid.values, grid.held,
            minutes - minutes[:1], some.values, some.present, some.undefined, some.most,
        )  # fmt: skip
        found.values[places], found.present[places] = some.values, some.present
        found.undefined[places] = some.undefined
        found.most[places] = np.maximum(found.most[places], some.most)

    def _groups_of(self, number: int, labels: Sequence[Labels]) -> _Ints:
        """The group of each series of a sum, numbered in the order in which they appear."""
        known = self._groups.get(number)
        if known is None or known[0] is not labels:
            keys: dict[frozenset[tuple[str, str]], int] = {}
            group_of = self._sums[number].grouped.group_of
            groups = np.array([keys.setdefault(group_of(one), len(keys)) for one in labels], np.int64)
            known = self._groups[number] = labels, groups
        return known[1]

    # ---- from the store ----------------------------------------------------------------------------------

    def _questions(self, chosen: _Ints, window: Window) -> Iterator[_Ints]:
        """The positions in `chosen` of sums that are asked for together."""
        alike: dict[tuple[str, ...], list[int]] = {}
        for place, number in enumerate(chosen.tolist()):
            equal = {one.name: one.value for one in self._sums[number].grouped.matchers if one.op == "="}
            alike.setdefault((equal[_NAME], *sorted(equal)), []).append(place)
        samples = max(1.0, (window.end_ms - window.after_ms) / _USUAL_STEP_MS)
        for places in alike.values():
            some = np.array(places, np.int64)
            series = np.cumsum(np.maximum(1, self._new_series(chosen[some])))
            for part in _parts(some, series * samples, _SAMPLES_AT_ONCE):
                for start in range(0, len(part), _ALTERNATIVES_MAX):
                    yield part[start : start + _ALTERNATIVES_MAX]

    def _new_series(self, numbers: _Ints) -> _Ints:
        """How many series each sum adds to the question; sums of one selector's series share them."""
        counts = self.series_counts(numbers)
        seen: set[tuple[str, ...]] = set()
        for place, number in enumerate(numbers.tolist()):
            equal = tuple(one.value for one in self._sums[number].grouped.matchers if one.op == "=")
            if equal in seen:  # most likely the same series, or some of them
                counts[place] = 0
            seen.add(equal)
        return counts

    def _sum_stored(
        self, chosen: _Ints, places: _Ints, window: Window, select: Select, found: Summed
    ) -> None:
        numbers = chosen[places]
        selectors = [self._sums[number].grouped.matchers for number in numbers.tolist()]
        try:
            columns = select(_wide(selectors), window.after_ms, window.end_ms)
        except InvalidInput as error:
            if len(places) > 1:  # too much for one question
                half = len(places) // 2
                self._sum_stored(chosen, places[:half], window, select, found)
                self._sum_stored(chosen, places[half:], window, select, found)
                return
            found.errors[int(places[0])] = error
            return
        except SetpointError as error:
            found.errors.update(dict.fromkeys(places.tolist(), error))
            return
        series, owners = SelectorIndex(selectors).match(columns.labels)
        order = np.lexsort((series, owners))
        series, owners = series[order], owners[order]
        used, rows = np.unique(series, return_inverse=True)
        offsets = np.append(0, np.cumsum(np.bincount(owners, minlength=len(numbers))))
        labels: dict[int, Sequence[Labels]] = {
            place: [columns.labels[at] for at in series[offsets[place] : offsets[place + 1]].tolist()]
            for place in np.flatnonzero(self._is_grouped[numbers]).tolist()
        }
        grid = grid_of(columns, used, window)
        self._add_up(numbers, places, (offsets, rows.astype(np.int64), grid, labels), window, found)


def _parts(places: _Ints, cost: npt.NDArray[np.float64] | _Ints, most: int) -> Iterator[_Ints]:
    """`places` in parts that cost about `most` at the most; `cost` is the running sum."""
    first = 0
    while first < len(places):
        before = cost[first - 1] if first else 0
        end = max(first + 1, int(np.searchsorted(cost, before + most, "right")))
        yield places[first:end]
        first = end


def _wide(selectors: Sequence[Selector]) -> Selector:
    """One selector for all series of `selectors`, which want the same labels to be equal to something."""
    wide = []
    common = set(selectors[0]).intersection(*selectors[1:])
    values: dict[str, set[str]] = {}
    for selector in selectors:
        for one in selector:
            if one.op == "=" and one not in common:
                values.setdefault(one.name, set()).add(one.value)
    for name, texts in values.items():
        if all(any(one.op == "=" and one.name == name for one in selector) for selector in selectors):
            wide.append(Matcher(name, "=~", "|".join(map(_quoted, sorted(texts)))))
    return (*(one for one in selectors[0] if one in common), *wide)


def _quoted(text: str) -> str:
    """`text` as an expression that matches nothing else."""
    return "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in text)

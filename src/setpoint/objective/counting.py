"""Counts the events of thousands of objectives at once.

`book` makes a plan of all objectives that are counted with PromQL whenever their documents change, asks it on
every tick which of them have new samples (`take_changes`), and lets it count those (`count`). A plan never
changes, so that a thread which counts history may go on with the one that it began with.

Objectives of other engines, and composites, have a place in a plan, so that all columns of the book have the same
rows, but nothing is counted for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.errors import SetpointError
from setpoint.objective.count import EventCounter, takes_increase
from setpoint.objective.feed import Feed
from setpoint.objective.model import Objective

__all__ = ["NEVER_MS", "Counted", "Counting", "Plan", "settled", "summed"]

NEVER_MS = 2**62
"""Later than any sample: nothing came."""

_ROUNDING = 1e-9

_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Counted:
    """Events of k objectives in the m slots from `first` on: `good`, `total` float64[k, m], `present` bool[k, m] (the
    slot had data). They are raw until they are `settled`.

    `errors` tells why objectives were not counted, by their numbers in the plan (not by row): InvalidInput when a
    query cannot be computed, Unavailable when samples cannot be read. Their rows have no data.
    """

    first: int
    good: _Floats
    total: _Floats
    present: _Bools
    errors: Mapping[int, SetpointError]


class Counting:
    """Makes plans. `feeds` tells where the samples of a source come from, "" being Setpoint's own telemetry."""

    def __init__(self, feeds: Callable[[str], Feed]) -> None:
        self._feeds = feeds
        self._plan: Plan | None = None

    def plan(self, objectives: Sequence[Objective]) -> Plan:
        """The plan that counts `objectives` from now on; what the one before was not asked for of changes is kept.

        Raises QueryError when a query does not parse, InvalidInput for a source that there is not.
        """
        before = self._plan
        feeds = {source: self._feeds(source) for source in {one.source for one in objectives} | {""}}
        plan = Plan(objectives, feeds)
        if before is not None:
            plan.carry_on(before)
        self._plan = plan
        return plan


class Plan:
    """What is counted of `objectives`; `Counting.plan` makes it.

    `is_counted` bool[n]: there is something to count. `by_slice` bool[n]: the events of any slot can be told, because
    they are the increases of counters; otherwise of minutes only. `is_additive` bool[n]: minutes are the sums of their
    slices; other minutes have to be counted by themselves.
    """

    def __init__(self, objectives: Sequence[Objective], feeds: Mapping[str, Feed]) -> None:
        self.objectives = tuple(objectives)
        self._feeds = feeds
        self._counters: list[EventCounter | None] = []
        for one in self.objectives:
            is_counted = one.engine == "promql" and one.kind != "composite"
            self._counters.append(EventCounter(one, feeds[one.source].select) if is_counted else None)
        self.is_counted: _Bools = np.array([one is not None for one in self._counters], np.bool_)
        self.by_slice: _Bools = self.is_counted & np.array(
            [takes_increase(one) for one in self.objectives], np.bool_
        )
        self.is_additive: _Bools = np.array(
            [one is not None and one.is_additive for one in self._counters], np.bool_
        )
        self._written_ms = dict.fromkeys(feeds, NEVER_MS)

    def count(self, which: _Ints, first: int, end: int, slot_s: int, *, history: bool = False) -> Counted:
        """The raw events of the objectives with the numbers `which` int64[k] in the slots from `first` to before `end`.

        Slots are left-open, slot i being (i × slot_s, (i + 1) × slot_s] since 1970, as in the ledger. `history`:
        samples that another server has are fetched, which may wait for it.
        """
        shape = len(which), max(0, end - first)
        found = Counted(first, np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_), errors := {})
        for row, number in enumerate(which.tolist()):
            counter = self._counters[number]
            if counter is None or not shape[1]:
                continue
            feed = self._feeds[self.objectives[number].source]
            try:
                slots = counter.count(first, end, slot_s, feed.fetch if history else None)
            except SetpointError as error:
                errors[number] = error
                continue
            found.good[row], found.total[row], found.present[row] = slots.good, slots.total, slots.present
        return found

    def take_changes(self) -> _Ints:
        """Per objective the time of the oldest sample (ms) that came since this was last asked, int64[n]; `NEVER_MS`
        where none did. Of a new objective it tells what came since it was planned.
        """
        for source, feed in self._feeds.items():
            oldest_ms = feed.take_oldest_write_ms()
            if oldest_ms is not None:
                self._written_ms[source] = min(self._written_ms[source], oldest_ms)
        taken = np.array([self._written_ms[one.source] for one in self.objectives], np.int64)
        self._written_ms = dict.fromkeys(self._feeds, NEVER_MS)
        taken[~self.is_counted] = NEVER_MS
        return taken

    def carry_on(self, before: Plan) -> None:
        """Take over the changes that `before` was not asked for."""
        for source, oldest_ms in before._written_ms.items():
            if source in self._written_ms:
                self._written_ms[source] = oldest_ms


def settled(raw: Counted) -> tuple[Counted, _Bools]:
    """`raw` with good ≤ total and nothing below zero, and bool[k, m]: where it had to be made so (see `count`)."""
    total = np.where(raw.present, np.maximum(raw.total, 0.0), 0.0)
    good = np.clip(raw.good, 0.0, total)
    cut = (_differ(good, raw.good) | _differ(total, raw.total)) & raw.present
    return Counted(raw.first, good, total, raw.present, raw.errors), cut


def summed(raw: Counted, each: int) -> Counted:
    """`raw` in slots `each` times as long; it must begin and end on their edges."""
    shape = len(raw.total), -1, each
    return Counted(
        raw.first // each,
        raw.good.reshape(shape).sum(axis=2),
        raw.total.reshape(shape).sum(axis=2),
        np.any(raw.present.reshape(shape), axis=2),
        raw.errors,
    )


def _differ(one: _Floats, other: _Floats) -> _Bools:
    found: _Bools = np.abs(one - other) > _ROUNDING * (1 + np.abs(other))
    return found

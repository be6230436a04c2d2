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
from setpoint.objective.counting.count import takes_increase
from setpoint.objective.counting.feed import Feed
from setpoint.objective.counting.queries import ManyEvents, Queries
from setpoint.objective.counting.rules import Rules, queries_of
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
        feeds = {source: self._feeds(source) for source in sorted({one.source for one in objectives})}
        self._plan = Plan(objectives, feeds, self._plan)
        return self._plan


@dataclass(frozen=True, slots=True)
class _Rows:
    """What is counted of the n objectives of one source: `places` int64[n] in the plan, and the numbers of their
    queries, `total` and `part` int64[n] (-1: none).
    """

    feed: Feed
    queries: Queries
    places: _Ints
    total: _Ints
    part: _Ints


class Plan:
    """What is counted of `objectives`; `Counting.plan` makes it.

    `is_counted` bool[n]: there is something to count. `by_slice` bool[n]: the events of any slot can be told, because
    they are the increases of counters; otherwise of minutes only. `is_additive` bool[n]: minutes are the sums of their
    slices; other minutes have to be counted by themselves. `speaks_in_silence` bool[n]: there can be events in a slot
    which no sample is in, as with `or vector(0)`, so that `take_changes` does not tell all of them.
    """

    def __init__(
        self, objectives: Sequence[Objective], feeds: Mapping[str, Feed], before: Plan | None = None
    ) -> None:
        """`feeds` by source. What `before` knows is taken over, with the changes that it was not asked for."""
        self.objectives = tuple(objectives)
        count = len(self.objectives)
        counted = [
            one.engine == "promql" and one.kind != "composite" and not one.awaits for one in self.objectives
        ]
        self.is_counted: _Bools = np.array(counted, np.bool_)
        self.by_slice: _Bools = np.array(
            [is_counted and takes_increase(one) for is_counted, one in zip(counted, objectives, strict=True)],
            np.bool_,
        )
        self.is_additive: _Bools = np.zeros(count, np.bool_)
        self.speaks_in_silence: _Bools = np.zeros(count, np.bool_)
        self._rules = Rules(self.objectives)
        self._row_of = np.full(count, -1)
        self._sources: dict[str, _Rows] = {}
        for source, feed in feeds.items():
            known = None if before is None else before._sources.get(source)
            self._add(source, feed, None if known is None else known.queries)
        self._carried_ms: _Ints = np.full(count, NEVER_MS)
        if before is not None:
            self._carry_on(before)

    def _add(self, source: str, feed: Feed, before: Queries | None) -> None:
        places = np.flatnonzero(self.is_counted & [one.source == source for one in self.objectives])
        asked = [queries_of(self.objectives[place]) for place in places.tolist()]
        queries = Queries(list(dict.fromkeys(query for own in asked for query in own)), feed, before)
        numbers = [[queries.number[query] for query in own] for own in asked]
        self._sources[source] = _Rows(
            feed,
            queries,
            places,
            np.array([own[0] for own in numbers], np.int64),
            np.array([own[1] if len(own) > 1 else -1 for own in numbers], np.int64),
        )
        self._row_of[places] = np.arange(len(places))
        for place, own in zip(places.tolist(), numbers, strict=True):
            self.is_additive[place] = len(own) > 1 and all(map(queries.is_additive, own))
            self.speaks_in_silence[place] = any(map(queries.speaks_in_silence, own))

    def count(self, which: _Ints, first: int, end: int, slot_s: int, *, history: bool = False) -> Counted:
        """The raw events of the objectives with the numbers `which` int64[k] in the slots from `first` to before `end`.

        Slots are left-open, slot i being (i × slot_s, (i + 1) × slot_s] since 1970, as in the ledger. `history`:
        samples that another server has are fetched, which may wait for it. Any thread may count.
        """
        shape = len(which), max(0, end - first)
        errors: dict[int, SetpointError] = {}
        found = Counted(first, np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_), errors)
        for source in self._sources.values():
            asked = np.flatnonzero(np.isin(which, source.places))
            if not len(asked) or not shape[1]:
                continue
            rows = self._row_of[which[asked]]
            select = (history and source.feed.fetch) or source.feed.select
            wanted = np.unique(np.concatenate([source.total[rows], source.part[rows]]))
            numbers = wanted[wanted >= 0]
            events = source.queries.count(numbers, first, end, slot_s * 1000, select)
            place_of = np.full(len(source.queries.queries) + 1, -1)  # the last for those without a part
            place_of[numbers] = np.arange(len(numbers))
            of = place_of[source.total[rows]], place_of[source.part[rows]]
            errors |= self._settle(which, asked, events, of, found)
        return found

    def _settle(
        self,
        which: _Ints,
        asked: _Ints,
        events: ManyEvents,
        queries: tuple[_Ints, _Ints],
        found: Counted,
    ) -> dict[int, SetpointError]:
        """Put what the queries of the rows `asked` of `which` gave into `found`; the errors."""
        total, part = queries
        good, events_of, present = self._rules.apply(which[asked], events, total, part)
        errors: dict[int, SetpointError] = {}
        if events.errors:
            failed = np.zeros(len(events.values) + 1, np.bool_)
            failed[[*events.errors]] = True
            for row in np.flatnonzero(failed[total] | failed[part]).tolist():
                error = events.errors.get(int(total[row])) or events.errors[int(part[row])]
                errors[int(which[asked[row]])] = error
                good[row], events_of[row], present[row] = 0.0, 0.0, False
        found.good[asked], found.total[asked], found.present[asked] = good, events_of, present
        return errors

    def has_part(self, number: int) -> bool | None:
        """Whether there are series for the good (or bad) query of an objective now; None where that is not known."""
        rows = self._sources.get(self.objectives[number].source)
        if rows is None or not self.is_counted[number]:
            return None
        part = int(rows.part[self._row_of[number]])
        return None if part < 0 else rows.queries.has_series(part)

    def take_changes(self) -> _Ints:
        """Per objective the time of the oldest sample (ms) that came since this was last asked, int64[n]; `NEVER_MS`
        where none did. Of a new objective it tells what came since it was planned.

        It may be a little early, never late.
        """
        taken, self._carried_ms = self._carried_ms, np.full(len(self.objectives), NEVER_MS)
        for source in self._sources.values():
            news = np.append(source.queries.take_news(), NEVER_MS)
            own = np.minimum(news[source.total], news[source.part])
            taken[source.places] = np.minimum(taken[source.places], own)
        return taken

    def _carry_on(self, before: Plan) -> None:
        """Take over the changes that `before` was not asked for."""
        known = dict(
            zip((one.ledger_key for one in before.objectives), before.take_changes().tolist(), strict=True)
        )
        self._carried_ms = np.array(
            [known.get(one.ledger_key, NEVER_MS) for one in self.objectives], np.int64
        )


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

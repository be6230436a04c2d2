"""Which groups there are of an objective that is declared once for many: the values of its `groupBy` labels.

`book` asks again every minute, with `resolve`. A group that was seen within the objective's window stays: an objective
must not go away because its service fell silent, for that is when it is needed. Series are known by their index;
stored spans and rows of SQL are looked through, first the last hour, so that an apply does not wait, then further back
a stretch at a time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from setpoint.clock import Clock, stopwatch
from setpoint.errors import InvalidInput, SetpointError
from setpoint.objective.counting.feed import Feed
from setpoint.objective.from_promql import selectors_of
from setpoint.objective.model import Objective

__all__ = ["Groups", "Look", "nothing_stored"]

logger = logging.getLogger(__name__)

_AGAIN_MS = 600_000
_SAMPLED_MS = 600_000
_HOUR_MS = 3_600_000
_LEAST_STEP_MS, _MOST_STEP_MS = _HOUR_MS // 4, 7 * 24 * _HOUR_MS
_QUICK_S = 0.3
_ROUND_MS, _BACK_S = 20_000, 2.0
"""In each round that long all look-backs together may take so many seconds."""

_STARTING_S = 3.0
"""And so many more in the first one: an alert that fired before a restart must find its objective again."""

_KNOWN_MOST = 10_000
_Group = tuple[str, ...]
Look = Callable[[Objective, Sequence[str], int, int], Collection[_Group]]
"""The groups of what an objective's total, spans or SQL, counts in (start_ms, end_ms]. Raises InvalidInput when it
cannot be run, Unavailable when the database does not answer."""


def nothing_stored(objective: Objective, labels: Sequence[str], start_ms: int, end_ms: int) -> list[_Group]:
    """A `Look` where there is no database."""
    del objective, labels, start_ms, end_ms
    return []


@dataclass(slots=True)
class _Known:
    """The groups of one query by when they were last seen, and not before which they were; the stretch that was looked
    through.
    """

    seen: dict[_Group, int] = field(default_factory=dict)
    first_ms: dict[_Group, int] = field(default_factory=dict)
    looked_ms: int | None = None
    reached_ms: int = 0
    step_ms: int = _HOUR_MS
    has_gaps: bool = False
    told: str = ""

    def note(self, found: Collection[_Group], start_ms: int, end_ms: int) -> None:
        for group in found:
            if group in self.seen or len(self.seen) < _KNOWN_MOST:
                self.seen[group] = max(end_ms, self.seen.get(group, 0))
                self.first_ms[group] = min(start_ms, self.first_ms.get(group, start_ms))

    def since(self, start_ms: int) -> list[_Group]:
        return sorted(group for group, at_ms in self.seen.items() if at_ms > start_ms)


class Groups:
    """Remembers the groups of each query, with when they were last seen; safe to use from several threads."""

    def __init__(self, feeds: Callable[[str], Feed], clock: Clock, stored: Look = nothing_stored) -> None:
        """`stored` looks for the groups of spans and SQL."""
        self._feeds, self._clock, self._stored = feeds, clock, stored
        self._guard = threading.Lock()
        self._known: dict[tuple[str, str, str, _Group], _Known] = {}
        self._round_ms, self._spent_s = clock.now_ms(), -_STARTING_S

    def discover(self, objective: Objective, labels: Sequence[str]) -> list[_Group]:
        """A `resolve.Discover`. When the query cannot be run or its source does not answer: the groups that are known.
        Raises a SetpointError where none is.
        """
        now_ms, window_ms = self._clock.now_ms(), 1000 * objective.window_s
        key = (objective.engine, objective.source, objective.total_query, tuple(labels))
        with self._guard:
            known = self._known.setdefault(key, _Known())
            try:
                if objective.engine == "promql":
                    self._look(objective, labels, known, now_ms)
                else:
                    self._look_stored(objective, labels, known, now_ms)
                known.told = ""
            except SetpointError as error:
                if not known.seen:
                    raise
                if known.told != error.message:  # once, not every minute
                    logger.warning("groups of %s cannot be looked up: %s", objective.name, error.message)
                known.told = error.message
            return known.since(now_ms - window_ms)

    def first_ms(self, objective: Objective) -> int | None:
        """Before which instant a group of spans or SQL had nothing that counts; None while that is not known."""
        key = (objective.engine, objective.source, objective.total_query, tuple(objective.group))
        oldest_ms = self._clock.now_ms() - 1000 * objective.window_s
        with self._guard:
            known = self._known.get(key)
            if known is None or known.has_gaps or known.reached_ms > oldest_ms:
                return None
            return known.first_ms.get(tuple(objective.group.values()))

    def _look(self, objective: Objective, labels: Sequence[str], known: _Known, now_ms: int) -> None:
        feed = self._feeds(objective.source)
        selectors = selectors_of(objective.total_query)
        start_ms = now_ms - 1000 * objective.window_s
        if known.looked_ms is not None:
            start_ms = min(now_ms, known.looked_ms) - _AGAIN_MS
        if feed.series is not None:
            found = feed.series(selectors, start_ms, now_ms)
        else:  # of another server what is at hand: it is read as its objectives are counted
            recent_ms = max(start_ms, now_ms - _SAMPLED_MS)
            found = [one for matchers in selectors for one in feed.select(matchers, recent_ms, now_ms).labels]
        known.note({tuple(one.get(name, "") for name in labels) for one in found}, start_ms, now_ms)
        known.looked_ms = now_ms

    def _look_stored(self, objective: Objective, labels: Sequence[str], known: _Known, now_ms: int) -> None:
        if known.looked_ms is None or now_ms - known.looked_ms > _HOUR_MS:
            start_ms = known.reached_ms = now_ms - _HOUR_MS
        else:
            start_ms = min(now_ms, known.looked_ms) - _AGAIN_MS
        known.note(self._stored(objective, labels, start_ms, now_ms), start_ms, now_ms)
        known.looked_ms = now_ms
        if not 0 <= now_ms - self._round_ms < _ROUND_MS:
            self._round_ms, self._spent_s = now_ms, 0.0
        oldest_ms = now_ms - 1000 * objective.window_s
        while known.reached_ms > oldest_ms and self._spent_s < _BACK_S:
            took_s = stopwatch()
            try:
                self._look_back(objective, labels, known, oldest_ms)
            finally:
                self._spent_s += took_s()
            known.step_ms = min(_MOST_STEP_MS, 2 * known.step_ms) if took_s() < _QUICK_S else known.step_ms

    def _look_back(self, objective: Objective, labels: Sequence[str], known: _Known, oldest_ms: int) -> None:
        """Look through the stretch before what was looked through; one that takes too much is taken in parts, and
        left out when it is small already.
        """
        step_ms = min(known.step_ms, known.reached_ms - oldest_ms)
        start_ms = known.reached_ms - step_ms
        try:
            found = self._stored(objective, labels, start_ms, known.reached_ms)
        except InvalidInput:
            if step_ms > _LEAST_STEP_MS:
                known.step_ms = max(_LEAST_STEP_MS, step_ms // 4)
                return
            found, known.has_gaps = (), True
        known.note(found, start_ms, known.reached_ms)
        known.reached_ms = start_ms

"""Which groups there are of an objective that is declared once for many: the values of its `groupBy` labels.

`book` asks again every minute, with `resolve`. A group that was seen within the objective's window stays: an objective
must not go away because its service fell silent, for that is when it is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from setpoint.clock import Clock
from setpoint.errors import SetpointError
from setpoint.objective.counting.feed import Feed
from setpoint.objective.from_promql import selectors_of
from setpoint.objective.model import Objective

__all__ = ["Groups"]

logger = logging.getLogger(__name__)

_AGAIN_MS = 600_000
_SAMPLED_MS = 600_000
_Group = tuple[str, ...]


class Groups:
    """Remembers the groups of each query, with when they were last seen."""

    def __init__(self, feeds: Callable[[str], Feed], clock: Clock) -> None:
        self._feeds, self._clock = feeds, clock
        self._seen: dict[tuple[str, str, tuple[str, ...]], dict[_Group, int]] = {}
        self._looked_ms: dict[tuple[str, str, tuple[str, ...]], int] = {}

    def discover(self, objective: Objective, labels: Sequence[str]) -> list[_Group]:
        """A `resolve.Discover`. When the source does not answer: the groups that are known."""
        now_ms, window_ms = self._clock.now_ms(), 1000 * objective.window_s
        key = (objective.source, objective.total_query, tuple(labels))
        seen = self._seen.setdefault(key, {})
        looked_ms = self._looked_ms.get(key)
        start_ms = now_ms - window_ms if looked_ms is None else min(now_ms, looked_ms) - _AGAIN_MS
        try:
            for group in self._look(objective, labels, start_ms, now_ms):
                seen[group] = now_ms
            self._looked_ms[key] = now_ms
        except SetpointError as error:
            logger.warning("groups of %s cannot be looked up: %s", objective.name, error.message)
        return sorted(group for group, at_ms in seen.items() if at_ms > now_ms - window_ms)

    def _look(self, objective: Objective, labels: Sequence[str], start_ms: int, now_ms: int) -> set[_Group]:
        feed = self._feeds(objective.source)
        selectors = selectors_of(objective.total_query)
        if feed.series is not None:
            found = feed.series(selectors, start_ms, now_ms)
        else:  # of another server what is at hand: it is read as its objectives are counted
            recent_ms = max(start_ms, now_ms - _SAMPLED_MS)
            found = [one for matchers in selectors for one in feed.select(matchers, recent_ms, now_ms).labels]
        return {tuple(one.get(name, "") for name in labels) for one in found}

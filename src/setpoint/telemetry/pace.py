"""How long the writer lets batches gather before it stores a group.

Every group is a part in the database, which costs a few milliseconds and a later merge whatever it holds. So small
groups have a budget per second, with some saved up: a lone batch is stored at once, and steady small senders share
groups. Waiting pays only where batches come whether or not the last ones were answered. Senders that wait for their
answer before they send again are noticed by their number: a group waits for as many batches as the largest of the last
groups had, and now and then, to learn of others, for as long as the budget says.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

__all__ = ["Pace", "Visit"]

_QUIET_S = 0.002
"""Batches that come together arrive within this of each other."""

_LONGEST_S = 0.1
_GROUPS_PER_S = 5.0
_GROUPS_SAVED = 50.0
_ENOUGH_ROWS = 20_000
"""From here on a group is stored at once: its rows cost more than what a group costs."""

_GROUPS_COMPARED = 8
_PROBE_EVERY = 120


class Pace:
    """The budget. To be used under the lock of its owner's queue."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._saved = _GROUPS_SAVED
        self._at_s = now_s()
        self._sizes: deque[int] = deque([1], maxlen=_GROUPS_COMPARED)
        self._since_probe = 0
        self._goal = math.inf

    def is_enough(self, batches: int, rows: int) -> bool:
        """True when a group of so many batches and rows need not wait for more."""
        return rows >= _ENOUGH_ROWS or batches >= self._goal

    def visit(self) -> Visit:
        """Begin to gather a group."""
        return Visit(self)

    def patience_s(self, batches: int) -> float:
        """How long a group of so many batches, after which no more came for a moment, should wait for company."""
        now_s = self._now_s()
        self._saved = min(_GROUPS_SAVED, self._saved + (now_s - self._at_s) * _GROUPS_PER_S)
        self._at_s = now_s
        if self._saved >= 1:
            return 0.0
        if self._since_probe < _PROBE_EVERY:
            self._goal = max(self._sizes)
            if batches >= self._goal:
                return 0.0
        else:
            self._since_probe = 0
        return min(_LONGEST_S, (1 - self._saved) / _GROUPS_PER_S)

    def go(self, batches: int, rows: int) -> None:
        """Take account of a group that is stored now."""
        self._saved = max(0.0, self._saved - max(0.0, 1 - rows / _ENOUGH_ROWS))
        self._sizes.append(batches)
        self._since_probe += 1
        self._goal = math.inf


class Visit:
    """The gathering of one group."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._batches = 0
        self._waited = False

    def wait_s(self, batches: int, rows: int) -> float:
        """Seconds to wait (or less: until `Pace.is_enough`) before asking again, 0 when the group should go; so many
        batches and rows are there now.
        """
        wait_s = 0.0
        if not self._waited and not self._pace.is_enough(batches, rows):
            if batches > self._batches:
                self._batches = batches
                return _QUIET_S
            wait_s = self._pace.patience_s(batches)
            self._waited = True
        if wait_s <= 0:
            self._pace.go(batches, rows)
        return wait_s

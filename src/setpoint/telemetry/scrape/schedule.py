"""What is due when: actions by instant, in the order of their instants."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

__all__ = ["Schedule"]


class Schedule:
    """A queue of actions, for one thread. An action that is no longer wanted finds that out itself."""

    def __init__(self) -> None:
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def add(self, due_ms: int, action: Callable[[], None]) -> None:
        """Do `action` once it is `due_ms`."""
        heapq.heappush(self._queue, (due_ms, next(self._order), action))

    def run(self, now_ms: int) -> int | None:
        """Do everything that is due, and return in how many milliseconds the next is; None when nothing is."""
        while self._queue and self._queue[0][0] <= now_ms:
            heapq.heappop(self._queue)[2]()
        return self._queue[0][0] - now_ms if self._queue else None

    def clear(self) -> None:
        """Forget everything."""
        self._queue.clear()

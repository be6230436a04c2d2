"""How many queries run at a time, and what all of them together may use.

`app` makes one `Queries`; who answers people and programs (the Prometheus API, pages) runs every query within
`running`, objectives do not: they never wait for a query of a person. A query waits for its turn, and its
waiting counts as its time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from setpoint.clock import stopwatch
from setpoint.promql.budget import Budget, SamplePool
from setpoint.promql.errors import QueryCanceled, QueryTimeout

__all__ = ["Queries"]

_LOOK_S = 0.05
_POOL_QUERIES = 2


class Queries:
    """The turns of queries. Thread-safe."""

    def __init__(self, *, timeout_s: float, samples_limit: int, concurrency: int) -> None:
        """A query may take `timeout_s` and hold `samples_limit`, all of them together twice that; `concurrency` of
        them run at a time.
        """
        self.timeout_s = timeout_s
        self.samples_limit = samples_limit
        self.concurrency = concurrency
        self.pool = SamplePool(_POOL_QUERIES * samples_limit)
        self._turn = threading.Condition()
        self._running = 0

    @property
    def active(self) -> int:
        """Queries that run now."""
        return self._running

    @contextmanager
    def running(
        self,
        timeout_s: float | None = None,
        *,
        elapsed_s: Callable[[], float] | None = None,
        is_canceled: Callable[[], bool] = lambda: False,
        samples_limit: int | None = None,
        at_once: bool = False,
    ) -> Iterator[Budget]:
        """Wait for a turn and run a query within it, with the budget that is yielded.

        `timeout_s` can only shorten the time and `samples_limit` what it may hold; `elapsed_s` tells the seconds since
        the query was asked for. Raises QueryTimeout and QueryCanceled, also from the waiting; QueryTimeout when there
        is no turn `at_once`.
        """
        limit_s = self.timeout_s if timeout_s is None else min(timeout_s, self.timeout_s)
        limit = self.samples_limit if samples_limit is None else min(samples_limit, self.samples_limit)
        elapsed_s = elapsed_s or stopwatch()
        self._wait(limit_s, elapsed_s, is_canceled, at_once)
        try:
            with Budget(
                limit,
                timeout_s=limit_s,
                elapsed_s=elapsed_s,
                is_canceled=is_canceled,
                pool=self.pool,
            ) as budget:
                budget.queued_s = elapsed_s()
                yield budget
        finally:
            with self._turn:
                self._running -= 1
                self._turn.notify()

    def _wait(
        self,
        limit_s: float,
        elapsed_s: Callable[[], float],
        is_canceled: Callable[[], bool],
        at_once: bool,
    ) -> None:
        with self._turn:
            while self._running >= self.concurrency:
                if at_once:
                    raise QueryTimeout("no turn is free for a query; ask again and let it wait")
                self._turn.wait(_LOOK_S)
                if is_canceled():
                    raise QueryCanceled("query was canceled in query queue")
                if elapsed_s() > limit_s:
                    raise QueryTimeout(
                        f"query timed out in query queue: {self.concurrency} queries run at a time, and none "
                        f"ended within {limit_s:g} s; try again"
                    )
            self._running += 1

"""What one query may cost: samples in memory and time, and whether anybody still waits for it.

`evaluate` makes a `Budget` per query, or is given one by who answers requests. Parts of an evaluation ask it
before they allocate (`spend`) and between slices of work (`check`), so a query that is too large is refused
before its memory is taken, and one that takes too long ends within a slice. What a part held is given back
when its result is known (`settle`). The texts are Prometheus's.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from setpoint.errors import Unavailable
from setpoint.promql.errors import ExecutionError, QueryCanceled, QueryTimeout

__all__ = ["SERIES_COST", "TOO_MANY_SAMPLES", "Budget", "SamplePool"]

TOO_MANY_SAMPLES = "query processing would load too many samples into memory in query execution"

SERIES_COST = 32
"""What the labels of a series that a query makes count for, in samples."""

_LOOKED_AT_ONCE = 4096
_RESERVATIONS = 64

Item = TypeVar("Item")


class SamplePool:
    """The samples that all running queries may hold together. Thread-safe."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held = 0
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """Samples that running queries have reserved."""
        return self._held

    def take(self, samples: int) -> bool:
        """Reserve `samples`; False, and nothing reserved, when there is no room."""
        with self._lock:
            if self._held + samples > self.limit:
                return False
            self._held += samples
            return True

    def give(self, samples: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._held -= samples


class Budget:
    """Counts the samples that a query holds, and its time. Use it as a context manager where there is a `pool`."""

    def __init__(
        self,
        limit: int,
        *,
        timeout_s: float | None = None,
        elapsed_s: Callable[[], float] = lambda: 0.0,
        is_canceled: Callable[[], bool] = lambda: False,
        pool: SamplePool | None = None,
    ) -> None:
        """`elapsed_s` tells the seconds since the query began; after `timeout_s` of them it ends."""
        self.limit = limit
        self.held = 0
        self.kept = 0
        """Samples of results that are used again."""
        self.peak = 0
        self.fetched = 0
        """Samples that were read from the store."""
        self.queued_s = 0.0
        """How long the query waited for its turn."""
        self.fetched_s = 0.0
        """When, in the query's time, its samples were there."""
        self._timeout_s = timeout_s
        self._elapsed_s = elapsed_s
        self._is_canceled = is_canceled
        self._pool = pool
        self._reserved = 0

    @property
    def spent_s(self) -> float:
        """Seconds since the query was asked for."""
        return self._elapsed_s()

    @property
    def left(self) -> int:
        """Samples that may still be held."""
        return self.limit - self.held - self.kept

    def spend(self, samples: int) -> None:
        """Hold `samples` more. Raises ExecutionError when they are too many, Unavailable when they are too many
        just now, and as `check`.
        """
        self.foresee(samples)
        self.held += samples
        self._note_peak()

    def keep(self, samples: int) -> None:
        """Hold a result of `samples` until it is used for the last time (then they are negative)."""
        self.kept += samples
        self._note_peak()

    def foresee(self, samples: int) -> None:
        """Raise as `spend` would, without holding anything yet."""
        self.check()
        wanted = self.held + self.kept + samples
        if wanted > self.limit:
            raise ExecutionError(f"{TOO_MANY_SAMPLES}; ask for fewer series, a shorter time or a larger step")
        if self._pool is not None and wanted > self._reserved:
            more = max(wanted - self._reserved, self.limit // _RESERVATIONS)
            if not self._pool.take(more):
                raise Unavailable(
                    f"{TOO_MANY_SAMPLES}, together with the queries that run now; try again, or ask for less"
                )
            self._reserved += more

    def settle(self, mark: int, samples: int) -> None:
        """Give back what was held since `held` was `mark`, but for a result of `samples`."""
        self.held = mark + samples
        self._note_peak()

    def _note_peak(self) -> None:
        self.peak = max(self.peak, self.held + self.kept)

    def check(self) -> None:
        """Raise QueryTimeout or QueryCanceled when the query is to end."""
        if self._is_canceled():
            raise QueryCanceled("query was canceled in expression evaluation")
        if self._timeout_s is not None and self._elapsed_s() > self._timeout_s:
            raise QueryTimeout(
                f"query timed out in expression evaluation (after {self._timeout_s:g} s); "
                "ask for fewer series or a shorter time, or give a larger timeout"
            )

    def watch(self, items: Iterable[Item]) -> Iterator[Item]:
        """`items`, with a `check` every few thousand."""
        for place, item in enumerate(items):
            if place % _LOOKED_AT_ONCE == 0:
                self.check()
            yield item

    def outlive(self, result: object, samples: int) -> None:
        """Leave `samples` reserved in the pool after the query's end, until `result` is gone.

        For answers that are laid out while they are sent: who reads slowly holds them in memory.
        """
        if self._pool is not None:
            left = min(samples, self._reserved)
            self._reserved -= left
            weakref.finalize(result, self._pool.give, left)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.give(self._reserved)
            self._reserved = 0

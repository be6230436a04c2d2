"""The sparklines of all objectives: the burn of 5-minute buckets over the last 6 h, kept up to date by each tick."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.objective.ledger.ledgers import Ledgers
from setpoint.objective.overview import SPARK_BUCKETS

__all__ = ["Sparks"]

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]

_BUCKET_MINUTES = 5
_ROWS_AT_ONCE = 2000
_NEWEST = 3


class Sparks:
    """The matrix of one fleet; `budget`, `allowed` are its columns."""

    def __init__(self, budget: _Ints, allowed: _Floats) -> None:
        self._budget, self._allowed = budget, allowed
        self._matrix = np.full((len(budget), SPARK_BUCKETS), np.nan, np.float32)
        self._last = 0

    def update(self, ledgers: Ledgers, end_minute: int, low: _Ints) -> npt.NDArray[np.float32]:
        """The burns float32[n, 72] of the buckets up to the one that holds the minute before `end_minute`.

        `low` int64[n]: the first minute of each objective that changed since the last time (2**62: none).
        """
        last = -(-end_minute // _BUCKET_MINUTES)
        passed = last - self._last
        if not 0 <= passed < SPARK_BUCKETS:
            passed, low = 0, np.zeros_like(low)
        elif passed:
            self._matrix = np.roll(self._matrix, -passed, axis=1)
            self._matrix[:, -passed:] = np.nan
        self._last = last
        bucket = np.clip(low // _BUCKET_MINUTES - (last - SPARK_BUCKETS), 0, SPARK_BUCKETS)
        newest = SPARK_BUCKETS - _NEWEST
        self._renew(ledgers, np.flatnonzero((bucket >= newest) & (bucket < SPARK_BUCKETS)), newest)
        self._renew(ledgers, np.flatnonzero(bucket < newest), 0)
        return self._matrix.copy()

    def _renew(self, ledgers: Ledgers, chosen: _Ints, first: int) -> None:
        starts = _BUCKET_MINUTES * (self._last - SPARK_BUCKETS + np.arange(first, SPARK_BUCKETS))
        for at in range(0, len(chosen), _ROWS_AT_ONCE):
            some = chosen[at : at + _ROWS_AT_ONCE]
            low = np.broadcast_to(starts, (len(some), len(starts))).ravel()
            rows = np.repeat(self._budget[some], len(starts))
            good, total, minutes = ledgers.counts(rows, low, low + _BUCKET_MINUTES)
            allowed = np.repeat(self._allowed[some], len(starts))
            burn = np.full(len(rows), np.nan)
            has = (minutes > 0) & (total > 0)
            np.divide(np.maximum(total - good, 0.0), total * allowed, out=burn, where=has)
            self._matrix[some, first:] = burn.reshape(len(some), -1)

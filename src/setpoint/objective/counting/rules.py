"""Which queries an objective is counted with, and what their events mean: `count`'s rules, for many objectives at once.

`counting` calls it. `count.EventCounter` says the same for one objective; tests hold them against each other.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from setpoint.objective.counting.count import takes_increase
from setpoint.objective.counting.queries import ManyEvents, Query
from setpoint.objective.model import Objective

__all__ = ["Rules", "queries_of"]

_RATIO, _RAW, _THRESHOLD = range(3)
_KINDS = {"ratio": _RATIO, "raw": _RAW, "threshold": _THRESHOLD}
_OPERATORS = ("lt", "lte", "gt", "gte")

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]


def queries_of(objective: Objective) -> tuple[Query, ...]:
    """The queries of an objective: what gives its total or its value, then for a ratio what gives the good or bad."""
    if objective.kind != "ratio":
        role = "ratio" if objective.kind == "raw" else "value"
        return (Query(objective.total_query, role, False, objective.kind == "threshold"),)
    counter = takes_increase(objective)
    if objective.good_query is None:
        part = Query(objective.bad_query or "", "bad", counter, False)
    else:
        part = Query(objective.good_query, "good", counter, False)
    return Query(objective.total_query, "total", counter, False), part


class Rules:
    """The rules of `objectives`, as columns."""

    def __init__(self, objectives: Sequence[Objective]) -> None:
        self._kind = np.array([_KINDS.get(one.kind, _RATIO) for one in objectives], np.int8)
        self._counts_bad = np.array([one.good_query is None for one in objectives], np.bool_)
        self._is_failure = np.array([one.raw_is_failure for one in objectives], np.bool_)
        self._op = np.array(
            [-1 if one.op is None else _OPERATORS.index(one.op) for one in objectives], np.int8
        )
        self._value = np.array([np.nan if one.value is None else one.value for one in objectives], np.float64)

    def apply(
        self, places: _Ints, events: ManyEvents, total: _Ints, part: _Ints
    ) -> tuple[_Floats, _Floats, _Bools]:
        """Raw good and total float64[k, m] of the objectives `places` int64[k], and where they are known bool[k, m].

        Row i counts with the queries at the positions `total[i]` and `part[i]` (-1: none) of `events`.
        """
        of_total, present = events.values[total], events.present[total]
        kind = self._kind[places][:, None]
        values, undefined = np.zeros(of_total.shape), np.zeros(of_total.shape, np.bool_)
        is_ratio = part >= 0
        values[is_ratio], undefined[is_ratio] = (
            events.values[part[is_ratio]],
            events.undefined[part[is_ratio]],
        )
        # Without events there is nothing to divide by: a ratio in the query is then NaN, and that is well.
        known = present & ~(undefined & (of_total > 0))
        good = np.where(self._counts_bad[places][:, None], of_total - values, values)
        if not is_ratio.all():
            raw = np.where(self._is_failure[places][:, None], 1.0 - of_total, of_total)
            good = np.where(
                kind == _RAW, raw, np.where(kind == _THRESHOLD, self._compared(places, of_total), good)
            )
            of_total = np.where(kind == _RATIO, of_total, 1.0)
        return np.where(known, good, 0.0), np.where(known, of_total, 0.0), known

    def _compared(self, places: _Ints, values: _Floats) -> _Floats:
        op, limit = self._op[places][:, None], self._value[places][:, None]
        answers = (values < limit, values <= limit, values > limit, values >= limit)
        found: _Floats = np.select([op == number for number in range(len(answers))], answers, False).astype(
            np.float64
        )
        return found

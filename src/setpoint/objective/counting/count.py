"""Counts an objective's events slot by slot: runs its queries and settles what missing or contradicting sides
mean.

`counting` and `track` call it for the live minutes and for history. The rules (decision 0009):
- the total has no sample: the slot has no data; it is never counted as good;
- the total counts and the good (or bad) is NaN or infinite: the slot has no data either;
- the total counts and the good series is absent: all of it was bad; the bad series is absent: none was;
- more good (or bad) than total, or less than nothing: cut to what is possible, and reported;
- a ready-made ratio (raw) is one event of a slot, good by that ratio; outside of 0 to 1 it is cut, and reported;
- a value that is compared (threshold) is one event of a slot, good or bad; infinity compares as any number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.objective.from_promql import EventQuery, Events
from setpoint.objective.from_telemetry import Select
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import Comparison, Objective

__all__ = ["EventCounter", "Settled", "settle", "sum_slots", "takes_increase"]

_ROUNDING = 1e-9
_COMPARED: Mapping[Comparison, Callable[[npt.NDArray[np.float64], float], npt.NDArray[np.bool_]]] = {
    "lt": np.less,
    "lte": np.less_equal,
    "gt": np.greater,
    "gte": np.greater_equal,
}


def takes_increase(objective: Objective) -> bool:
    """Whether the queries name counters of which Setpoint takes the increase."""
    return objective.is_counter and objective.kind == "ratio"


class EventCounter:
    """The queries of one objective, ready to run. Raises QueryError when one does not parse."""

    def __init__(self, objective: Objective, select: Select) -> None:
        self._select = select
        self._objective = objective
        counter = takes_increase(objective)
        role = {"raw": "ratio", "threshold": "value"}.get(objective.kind, "total")
        self.total = EventQuery(objective.total_query, role=role, is_counter=counter)
        self.counts_bad = objective.good_query is None
        self.part: EventQuery | None = None
        if objective.kind == "ratio":
            role, text = ("bad", objective.bad_query) if self.counts_bad else ("good", objective.good_query)
            self.part = EventQuery(text or "", role=role, is_counter=counter)

    @property
    def is_additive(self) -> bool:
        """True when minutes are the sums of their slices."""
        return self.part is not None and self.total.is_additive and self.part.is_additive

    def count(self, first: int, end: int, slot_s: int, select: Select | None = None) -> Slots:
        """The raw events of the slots from `first` to before `end`: not yet settled, so that they can be
        summed. Samples come from `select` where it is given.

        Raises InvalidInput when a query cannot be computed, Unavailable when samples cannot be read.
        """
        select = select or self._select
        if self.part is None:
            takes_infinity = self._objective.kind == "threshold"
            value = self.total.count(first, end - first, slot_s * 1000, select, takes_infinity=takes_infinity)
            return self.of_value(first, value)
        total = self.total.count(first, end - first, slot_s * 1000, select)
        part = self.part.count(first, end - first, slot_s * 1000, select)
        return self.of_ratio(first, total, part)

    def of_ratio(self, first: int, total: Events, part: Events) -> Slots:
        """Raw events of what the two queries gave."""
        # Without events there is nothing to divide by: a ratio in the query is then NaN, and that is well.
        known = total.present & ~(part.undefined & (total.values > 0))
        of_total = np.where(known, total.values, 0.0)
        good = of_total - part.values if self.counts_bad else part.values
        return Slots(first, np.where(known, good, 0.0), of_total, known)

    def of_value(self, first: int, value: Events) -> Slots:
        """One event for each slot that has a value: a ready-made ratio, or one that is compared."""
        objective = self._objective
        if objective.kind == "raw":
            good = 1.0 - value.values if objective.raw_is_failure else value.values
        else:
            assert objective.op is not None and objective.value is not None
            good = _COMPARED[objective.op](value.values, objective.value).astype(np.float64)
        return Slots(
            first, np.where(value.present, good, 0.0), value.present.astype(np.float64), value.present
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """Slots in which good ≤ total holds, and bool[n]: where it had to be made so."""

    slots: Slots
    cut: npt.NDArray[np.bool_]


def settle(raw: Slots) -> Settled:
    """Apply the rules above to raw slots."""
    total = np.where(raw.present, np.maximum(raw.total, 0.0), 0.0)
    good = np.clip(raw.good, 0.0, total)
    cut = (_differs(good, raw.good) | _differs(total, raw.total)) & raw.present
    return Settled(Slots(raw.first, good, total, raw.present), cut)


def _differs(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = np.abs(one - other) > _ROUNDING * (1 + np.abs(other))
    return found


def sum_slots(raw: Slots, each: int) -> Slots:
    """Raw slots as slots `each` times as long; `raw` must begin and end on their edges."""
    shape = (-1, each)
    return Slots(
        raw.first // each,
        raw.good.reshape(shape).sum(axis=1),
        raw.total.reshape(shape).sum(axis=1),
        np.any(raw.present.reshape(shape), axis=1),
    )

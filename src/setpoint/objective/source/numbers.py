"""Numbers per minute, as SQL or a count of spans gives them, and the events that an objective makes of them.

The rules are those of `count` (decision 0009), with one more: a count below zero is no count, so its minute is not
known, and the reason is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.clock import rfc3339
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import Comparison, Objective

__all__ = ["Numbers", "events_of"]

_COMPARED: Mapping[Comparison, Callable[[npt.NDArray[np.float64], float], npt.NDArray[np.bool_]]] = {
    "lt": np.less,
    "lte": np.less_equal,
    "gt": np.greater,
    "gte": np.greater_equal,
}


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of the m minutes from `first` on: `values` float64[m], NaN where the query says that it does not know;
    `present` bool[m], where there is one. `values` is 0 elsewhere.
    """

    first: int
    values: npt.NDArray[np.float64]
    present: npt.NDArray[np.bool_]


def events_of(objective: Objective, total: Numbers, part: Numbers | None) -> tuple[Slots, str | None]:
    """The raw events of those minutes, and what is wrong with the last of those that are not known, if any is."""
    if objective.kind != "ratio" or part is None:
        return _of_value(objective, total)
    role = "bad" if objective.good_query is None else "good"
    below = total.present & (total.values < 0)
    part_below = part.present & (part.values < 0)
    unknown = ~np.isfinite(total.values) | (~np.isfinite(part.values) & ~(total.values == 0))
    known = total.present & ~below & ~part_below & ~unknown
    fault = _below("total", total, below) or _below(role, part, part_below & total.present)
    events = np.where(known, total.values, 0.0)
    counted = np.where(known & np.isfinite(part.values), part.values, 0.0)
    good = events - counted if role == "bad" else counted
    return Slots(total.first, np.where(known, good, 0.0), events, known), fault


def _of_value(objective: Objective, value: Numbers) -> tuple[Slots, str | None]:
    if objective.kind == "threshold":
        assert objective.op is not None and objective.value is not None
        known = value.present & ~np.isnan(value.values)
        good = _COMPARED[objective.op](value.values, objective.value).astype(np.float64)
        return Slots(value.first, np.where(known, good, 0.0), known.astype(np.float64), known), None
    below = value.present & (value.values < 0)
    known = value.present & np.isfinite(value.values) & ~below
    ratio = np.where(known, value.values, 0.0)
    good = np.where(known, 1.0 - ratio if objective.raw_is_failure else ratio, 0.0)
    return Slots(value.first, good, known.astype(np.float64), known), _below("ratio", value, below)


def _below(role: str, numbers: Numbers, where: npt.NDArray[np.bool_]) -> str | None:
    if not where.any():
        return None
    last = int(np.flatnonzero(where)[-1])
    minute = rfc3339((numbers.first + last) * 60_000)[:16].replace("T", " ")
    return f"the {role} query gives {numbers.values[last]:g} at {minute} UTC; a count cannot be below zero"

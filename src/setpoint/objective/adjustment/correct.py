"""Corrections: how many events are added to, or taken from, minutes that were counted wrong. Pure arithmetic.

What is taken away is shared among the minutes by how many such events each of them has, so that none has less than
nothing; what is more than there is cannot be taken. What is added is shared by how many events each has, or evenly
where none has any. A correction of one instant has one minute, and so all of it. Several corrections of the same
minutes are each shared by what was counted, and add up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from setpoint.objective.adjustment.model import Correction
from setpoint.objective.ledger.ledger import Slots

__all__ = ["changes_of", "corrected"]

_Floats = npt.NDArray[np.float64]


def corrected(
    good: _Floats,
    total: _Floats,
    first: int,
    corrections: Sequence[Correction],
    counted: Callable[[int, int], Slots],
) -> tuple[_Floats, _Floats]:
    """Good and total float64[m] of the minutes from `first` on after some corrections; `counted(first, end)` gives
    minutes as they were counted, for corrections that reach beyond.
    """
    good_more, bad_more = np.zeros(len(good)), np.zeros(len(good))
    end = first + len(good)
    for one in corrections:
        low, high = max(first, one.first), min(end, one.end)
        if low >= high:
            continue
        whole = counted(one.first, one.end)
        good_change, bad_change = changes_of(one, whole)
        inside, here = slice(low - one.first, high - one.first), slice(low - first, high - first)
        good_more[here] += good_change[inside]
        bad_more[here] += bad_change[inside]
    bad = np.maximum(0.0, total - good + bad_more)
    good = np.maximum(0.0, good + good_more)
    return good, good + bad


def changes_of(one: Correction, counted: Slots) -> tuple[_Floats, _Floats]:
    """By how much the good and the bad events of each minute of a correction change; `counted` are these minutes."""
    good, total = np.where(counted.present, counted.good, 0.0), np.where(counted.present, counted.total, 0.0)
    return _shared(one.good, good, total), _shared(one.bad, total - good, total)


def _shared(change: float, there: _Floats, total: _Floats) -> _Floats:
    if change < 0:
        whole = float(there.sum())
        return -min(-change, whole) * (there / whole) if whole > 0 else np.zeros(len(there))
    whole = float(total.sum())
    return change * (total / whole) if whole > 0 else np.full(len(total), change / max(1, len(total)))

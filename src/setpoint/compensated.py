"""Sums in compiled loops that keep what rounding loses: what queries, objectives, rollups and the head add up with."""

from __future__ import annotations

import math
from typing import Any

from setpoint.compiled import compiled

__all__ = ["add", "two_sum"]


@compiled
def add(value: Any, total: Any, lost: Any) -> Any:
    """Neumaier's compensated addition, as Prometheus's kahansum.Inc: the new sum, and what it lacks.

    The sum is both together; where it is infinite, it lacks nothing.
    """
    new = total + value
    if math.isinf(new):
        lost = 0.0
    elif abs(total) >= abs(value):
        lost += (total - new) + value
    else:
        lost += (value - new) + total
    return new, lost


@compiled
def two_sum(a: Any, b: Any) -> Any:
    """a + b as a rounded sum and its exact error (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)

"""Compensated addition in compiled loops: what `group_kernels`, `kernels` and `sliding_kernels` sum with."""

from __future__ import annotations

import math
from typing import Any

from setpoint.promql.compiled import compiled

__all__ = ["add"]


@compiled
def add(value: Any, total: Any, lost: Any) -> Any:
    """Neumaier's compensated addition, as Prometheus's kahansum.Inc."""
    new = total + value
    if math.isinf(new):
        lost = 0.0
    elif abs(total) >= abs(value):
        lost += (total - new) + value
    else:
        lost += (value - new) + total
    return new, lost

"""What the policies see at an instant: the value of each condition, whether it holds, whether a guard is met.

`PolicyTable.judge` looks once in every tick, for all objectives; a backtest at a day of minutes at once, each a row of
its own. What follows from it is `kernels.advance`, for both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.objective.alerting.rows import Measured, Rows

__all__ = ["Look", "look"]

_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Look:
    """`value` float64[c] (NaN: unknown) and `conditions` int8[c] by condition. By policy, bool[p]: `met`, its
    low-traffic guard is, and `silenced`, silence makes it true. bool[n] `silent`: the objective has been for too long.
    """

    value: _Floats
    conditions: npt.NDArray[np.int8]
    met: _Bools
    silenced: _Bools
    silent: _Bools


def look(rows: Rows, measured: Measured, looked_s: _Floats) -> Look:
    """`looked_s` float64[n]: since when each objective is looked at; it has been silent for no longer than that."""
    told_s = measured.silent_s
    silent_s = np.fmin(np.where(np.isnan(told_s), np.inf, told_s), looked_s)
    silent = silent_s >= rows.no_data_after_s
    value = rows.values(measured, silent_s)
    return Look(
        value=value,
        conditions=rows.compare(value),
        met=rows.guard_met(measured),
        silenced=silent[rows.objective] & rows.when_no_data,
        silent=silent,
    )

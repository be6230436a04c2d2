"""Compiles the kernels of this package before the first tick: `app` calls it at start, `setpoint warm` at install."""

from __future__ import annotations

from setpoint.objective.alerting import kernels as alerting_kernels
from setpoint.objective.counting import kernels as counting_kernels
from setpoint.objective.ledger import codec as ledger_codec
from setpoint.objective.ledger import kernels as ledger_kernels
from setpoint.objective.ledger import load as ledger_load
from setpoint.objective.ledger import slices as ledger_slices

__all__ = ["warm"]


def warm() -> None:
    """Compile them, or load them from numba's cache."""
    alerting_kernels.warm()
    counting_kernels.warm()
    ledger_kernels.warm()
    ledger_codec.warm()
    ledger_load.warm()
    ledger_slices.warm()

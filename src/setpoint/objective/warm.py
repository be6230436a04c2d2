"""Compiles the kernels of this package before the first tick: `app` calls it at start, `setpoint warm` at install."""

from __future__ import annotations

from setpoint.objective import counting_kernels, ledger_codec, ledger_kernels, ledger_load, ledger_slices

__all__ = ["warm"]


def warm() -> None:
    """Compile them, or load them from numba's cache."""
    counting_kernels.warm()
    ledger_kernels.warm()
    ledger_codec.warm()
    ledger_load.warm()
    ledger_slices.warm()

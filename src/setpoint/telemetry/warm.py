"""Every compiled loop of this package made ready, so that none is compiled in a request.

`app.build` and `setpoint warm` call it; a module that has kernels has a `warm` of its own, which is entered
here.
"""

from __future__ import annotations

from setpoint.telemetry import series_table

__all__ = ["warm"]


def warm() -> None:
    """Compile the kernels of telemetry, or load them from the cache."""
    series_table.warm()

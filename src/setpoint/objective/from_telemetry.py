"""The only door to `telemetry`: the function that fetches samples, whether they are in memory or in the
database.
"""

from __future__ import annotations

from setpoint.telemetry.model import Select

__all__ = ["Select"]

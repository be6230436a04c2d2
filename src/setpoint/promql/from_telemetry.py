"""The only door to `telemetry`: what a stored sample looks like, and the function that fetches samples."""

from __future__ import annotations

from setpoint.telemetry.model import Labels, Matcher, SampleColumns, Select

__all__ = ["Labels", "Matcher", "SampleColumns", "Select"]

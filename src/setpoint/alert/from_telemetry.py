"""The only door to `telemetry`: regular expressions with RE2's meaning, which templates and matchers of labels use."""

from __future__ import annotations

from setpoint.telemetry.linear_match import is_dangerous
from setpoint.telemetry.match import compile_expression, full_match

__all__ = ["compile_expression", "full_match", "is_dangerous"]

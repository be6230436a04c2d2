"""The only door to `telemetry`: regular expressions with RE2's meaning, which templates use."""

from __future__ import annotations

from setpoint.telemetry.match import compile_expression

__all__ = ["compile_expression"]

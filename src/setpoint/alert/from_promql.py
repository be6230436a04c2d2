"""The only door to `promql`: the expressions of rules, parsed and evaluated, and the notation of Prometheus's tests."""

from __future__ import annotations

from setpoint.promql.notation import unquote

__all__ = ["unquote"]

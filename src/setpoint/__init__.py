"""Setpoint keeps services at their objectives: telemetry in, error budgets, and decisions that act."""

__all__ = ["__version__"]

__version__ = "0.1.0"

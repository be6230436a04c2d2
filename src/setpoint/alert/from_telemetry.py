"""The only door to `telemetry`: regular expressions with RE2's meaning, which templates and matchers of labels use; the
shapes of samples, which rules store.
"""

from __future__ import annotations

from setpoint.telemetry.datasource.spec import SecretFile
from setpoint.telemetry.linear_match import is_dangerous
from setpoint.telemetry.match import compile_expression, full_match
from setpoint.telemetry.model import HistogramColumns, MetricBatch, Series, fingerprint

__all__ = [
    "HistogramColumns",
    "MetricBatch",
    "SecretFile",
    "Series",
    "compile_expression",
    "fingerprint",
    "full_match",
    "is_dangerous",
]

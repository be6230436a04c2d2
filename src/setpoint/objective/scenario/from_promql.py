"""The door to `promql` of scenarios: the notation of Prometheus's tests, and the words of a verdict."""

from __future__ import annotations

from setpoint.promql.from_telemetry import NativeHistogram
from setpoint.promql.notation import sequence, split_series
from setpoint.promql.verdict import Failure, FileVerdict, TestVerdict

__all__ = ["Failure", "FileVerdict", "NativeHistogram", "TestVerdict", "sequence", "split_series"]

"""The only door to `promql`: the expressions of rules, parsed and evaluated, and the notation of Prometheus's tests."""

from __future__ import annotations

from setpoint.promql import Node, parse, value_type
from setpoint.promql.context import Options
from setpoint.promql.from_telemetry import NativeHistogram
from setpoint.promql.memory import Duplicate, MemoryStore, Value
from setpoint.promql.model import Matrix
from setpoint.promql.notation import STALE, milliseconds, sequence, split_series, unquote
from setpoint.promql.reads import metrics_read, reads_only_back
from setpoint.promql.script import check_script
from setpoint.promql.vector import VectorSample, histogram_text, instant_vector, range_matrix
from setpoint.promql.verdict import Failure, FileVerdict, TestVerdict, difference, shown_labels, shown_value

__all__ = [
    "STALE",
    "Duplicate",
    "Failure",
    "FileVerdict",
    "Matrix",
    "MemoryStore",
    "NativeHistogram",
    "Node",
    "Options",
    "TestVerdict",
    "Value",
    "VectorSample",
    "check_script",
    "difference",
    "histogram_text",
    "instant_vector",
    "metrics_read",
    "milliseconds",
    "parse",
    "range_matrix",
    "reads_only_back",
    "sequence",
    "shown_labels",
    "shown_value",
    "split_series",
    "unquote",
    "value_type",
]

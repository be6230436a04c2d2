"""The only door to `promql`: the expressions of rules, parsed and evaluated, and the notation of Prometheus's tests."""

from __future__ import annotations

from setpoint.promql import Node, parse, prettify, value_type
from setpoint.promql.budget import Budget
from setpoint.promql.context import Options
from setpoint.promql.evaluate import evaluate_instant
from setpoint.promql.from_telemetry import NativeHistogram, Select, SelectHistograms
from setpoint.promql.memory import Duplicate, MemoryStore, Value
from setpoint.promql.model import Matrix
from setpoint.promql.nodes import (
    Aggregation,
    Binary,
    Call,
    LabelMatcher,
    Matching,
    MatrixSelector,
    NumberLiteral,
    Subquery,
    Unary,
    VectorSelector,
    walk,
)
from setpoint.promql.notation import STALE, milliseconds, sequence, split_series, unquote
from setpoint.promql.reads import metrics_read, reads_only_back
from setpoint.promql.script import check_script
from setpoint.promql.show import show
from setpoint.promql.vector import VectorSample, histogram_text, instant_vector, range_matrix, samples_of
from setpoint.promql.verdict import Failure, FileVerdict, TestVerdict, difference, shown_labels, shown_value

__all__ = [
    "STALE",
    "Aggregation",
    "Binary",
    "Budget",
    "Call",
    "Duplicate",
    "Failure",
    "FileVerdict",
    "LabelMatcher",
    "Matching",
    "Matrix",
    "MatrixSelector",
    "MemoryStore",
    "NativeHistogram",
    "Node",
    "NumberLiteral",
    "Options",
    "Select",
    "SelectHistograms",
    "Subquery",
    "TestVerdict",
    "Unary",
    "Value",
    "VectorSample",
    "VectorSelector",
    "check_script",
    "difference",
    "evaluate_instant",
    "histogram_text",
    "instant_vector",
    "metrics_read",
    "milliseconds",
    "parse",
    "prettify",
    "range_matrix",
    "reads_only_back",
    "samples_of",
    "sequence",
    "show",
    "shown_labels",
    "shown_value",
    "split_series",
    "unquote",
    "value_type",
    "walk",
]

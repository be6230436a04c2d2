"""The only door to `telemetry`: what a stored sample looks like, the functions that fetch samples, what a matcher
accepts, and the kernel that finds where counters were reset.
"""

from __future__ import annotations

from setpoint.telemetry.held_kernels import resets
from setpoint.telemetry.match import compile_expression, full_match, predicate
from setpoint.telemetry.model import (
    HistogramColumns,
    Labels,
    Matcher,
    SampleColumns,
    Select,
    SelectHistograms,
    StoredHistograms,
)
from setpoint.telemetry.native_histogram import (
    CUSTOM_SCHEMA,
    PAYLOAD_HEAD,
    RESET_HINTS,
    STALE_BITS,
    NativeHistogram,
    ResetHint,
    Span,
)
from setpoint.telemetry.uncut import UncutColumns

__all__ = [
    "CUSTOM_SCHEMA",
    "PAYLOAD_HEAD",
    "RESET_HINTS",
    "STALE_BITS",
    "HistogramColumns",
    "Labels",
    "Matcher",
    "NativeHistogram",
    "ResetHint",
    "SampleColumns",
    "Select",
    "SelectHistograms",
    "Span",
    "StoredHistograms",
    "UncutColumns",
    "compile_expression",
    "full_match",
    "predicate",
    "resets",
]

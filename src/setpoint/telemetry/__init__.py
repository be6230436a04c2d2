"""Signals in, series out: receivers hand batches to `Ingest`, which stores them (`SignalStore`) and keeps
the recent samples in memory (`Head`); `Reader.select` gives samples to the query language from whichever
holds them.
"""

from setpoint.telemetry.head import Head
from setpoint.telemetry.ingest import Batch, Ingest, IngestStats
from setpoint.telemetry.model import (
    Labels,
    LogBatch,
    Matcher,
    MetricBatch,
    SampleColumns,
    Select,
    Series,
    SpanBatch,
    fingerprint,
)
from setpoint.telemetry.read import Reader
from setpoint.telemetry.rebuild import rebuild_head
from setpoint.telemetry.register import register
from setpoint.telemetry.store import ServiceSignals, SignalCounts, SignalStore

__all__ = [
    "Batch",
    "Head",
    "Ingest",
    "IngestStats",
    "Labels",
    "LogBatch",
    "Matcher",
    "MetricBatch",
    "Reader",
    "SampleColumns",
    "Select",
    "Series",
    "ServiceSignals",
    "SignalCounts",
    "SignalStore",
    "SpanBatch",
    "fingerprint",
    "rebuild_head",
    "register",
]

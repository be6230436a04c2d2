"""Signals in, series out: receivers hand batches to `Ingest`, which stores them (`SignalStore`) and keeps
the recent samples in memory (`Head`); `Reader.select` gives samples to the query language from whichever
holds them.

Names are imported when they are asked for: who only matches labels, such as `setpoint test`, loads no database.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
]

_MODULES = {
    "head": ("Head",),
    "ingest": ("Batch", "Ingest", "IngestStats"),
    "read": ("Reader",),
    "rebuild": ("rebuild_head",),
    "store": ("ServiceSignals", "SignalCounts", "SignalStore"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_HOMES.get(name, 'model')}"), name)
    globals()[name] = found
    return found

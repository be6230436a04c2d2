"""The kernels of the metrics door made ready: one small request of every shape, decoded and kept by nobody.

`telemetry.warm` calls it, at installation and at start.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2

from setpoint.clock import VirtualClock
from setpoint.telemetry.model import RefBatch
from setpoint.telemetry.receive.decode_metrics import MetricDecoder
from setpoint.telemetry.receive.limits import refuse_excess
from setpoint.telemetry.receive.series_memory import SeriesMemory
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["warm"]

_NOW_MS = 1_000_000_000
_SHAPES = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


def warm() -> None:
    """Compile the kernels, or load them from the cache."""
    table = SeriesTable()
    memory = SeriesMemory(table, lambda series, now_ms: [(now_ms - 60_000, 1.0)] * len(series))
    decoder = MetricDecoder(VirtualClock(_NOW_MS), table, memory)
    for temporality in (2, 1, 1):
        body = _request(temporality).SerializeToString()
        refuse_excess("metrics", body)
        decoded = decoder.decode(body)
        assert isinstance(decoded.batch, RefBatch)
        table.mark_written(decoded.batch.refs)
        decoded.on_stored()
        decoded.batch.lease.release()
    decoder.decode(_request(0).SerializeToString()).on_failed()


def _request(temporality: int) -> Any:
    request = metrics_service_pb2.ExportMetricsServiceRequest()
    metrics = request.resource_metrics.add().scope_metrics.add().metrics
    for shape in _SHAPES:
        metric = metrics.add(name=shape)
        data = getattr(metric, shape)
        if shape in ("sum", "histogram", "exponential_histogram"):
            data.aggregation_temporality = temporality
        point = data.data_points.add(
            time_unix_nano=_NOW_MS * 1_000_000, start_time_unix_nano=(_NOW_MS - 1000) * 1_000_000
        )
        point.attributes.add(key="key").value.string_value = "value"
        if shape == "histogram":
            point.bucket_counts.extend([1, 0])
            point.explicit_bounds.append(1.0)
        elif shape == "summary":
            point.quantile_values.add(quantile=0.5, value=1.0)
        elif shape != "exponential_histogram":
            point.as_double = 1.0
            point.exemplars.add(as_double=1.0)
    return request

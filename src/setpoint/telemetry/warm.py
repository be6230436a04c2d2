"""Every compiled loop of this package made ready, so that none is compiled in a request.

`app.build` and `setpoint warm` call it; a module that has kernels has a `warm` of its own, which is entered
here.
"""

from __future__ import annotations

from setpoint.telemetry import (
    blocks,
    chunk_samples,
    codec,
    held_kernels,
    journal_codec,
    remote_read_kernels,
    rollup_codec,
    rollup_store,
    series_store,
    series_table,
)
from setpoint.telemetry.receive import metric_warm, remote_write_scan
from setpoint.telemetry.recent import warm as head
from setpoint.telemetry.scrape import exposition

__all__ = ["warm"]


def warm() -> None:
    """Compile the kernels of telemetry, or load them from the cache."""
    for module in (
        series_table, series_store, codec, head, chunk_samples, blocks, journal_codec, rollup_codec, rollup_store,
        exposition, remote_write_scan, metric_warm, remote_read_kernels, held_kernels,
    ):  # fmt: skip
        module.warm()

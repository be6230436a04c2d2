"""What the disk budget does stands on the timeline: `app` hands these to `DiskBudget`."""

from __future__ import annotations

from dataclasses import asdict

from setpoint.clock import rfc3339
from setpoint.telemetry.disk import DiskState, Eviction
from setpoint.timeline import Timeline

__all__ = ["record_eviction", "record_low_disk"]


def record_eviction(timeline: Timeline, eviction: Eviction) -> None:
    """A day was dropped."""
    day = rfc3339(eviction.day_ms)[:10]
    timeline.append(
        "telemetry.evicted",
        f"The {eviction.signal} of {day} were dropped to keep the disk budget ({eviction.bytes / 1e6:,.1f} MB)",
        data=asdict(eviction),
        key=f"telemetry.evicted {eviction.signal} {day} {eviction.rows}",
    )


def record_low_disk(timeline: Timeline, state: DiskState) -> None:
    """There is little room left."""
    timeline.append(
        "telemetry.disk_low",
        f"The disk has {(state.free_bytes or 0) / 1e9:.2f} GB left of {(state.disk_bytes or 0) / 1e9:.2f} GB",
        data=asdict(state),
    )

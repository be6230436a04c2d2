"""Is it alive, does it serve, and how is it: `/-/healthy`, `/-/ready`, `/api/status`.

`/-/healthy` asks nothing, so that it answers as long as the event loop turns; `/-/ready` asks both databases.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from setpoint import __version__
from setpoint.alert.notify.receivers import target_statuses
from setpoint.alert.rules.status import FileFault, GroupStatus
from setpoint.web.live import Live
from setpoint.web.page import STATES, Parts, json_answer
from setpoint.web.roles import needs

__all__ = ["router"]

_SEEN_WITHIN_MS = 24 * 3600 * 1000

router = APIRouter()


@router.get("/-/healthy")
@needs("anyone")
async def healthy() -> Response:
    return json_answer({"status": "healthy"})


@router.get("/-/ready")
@needs("anyone")
def ready(parts: Parts) -> Response:
    parts.timeline.query(limit=1)
    parts.signals.oldest_sample_ms()
    return json_answer({"status": "ready"})


@router.get("/api/status")
@needs("viewer")
def status(request: Request, parts: Parts) -> Response:
    now_ms = parts.clock.now_ms()
    counts = parts.objectives.overview().counts
    live: Live = request.app.state.live
    return json_answer(
        {
            "version": __version__,
            "started_ms": parts.started_ms,
            "uptime_s": (now_ms - parts.started_ms) / 1000,
            "memory_bytes": _resident_bytes(),
            "signals": parts.signals.counts(),
            "ingest": parts.ingest.stats,
            "head": {"series": parts.head.series_count, "samples": parts.head.sample_count},
            "services": parts.signals.services(now_ms - _SEEN_WITHIN_MS),
            "housekeeping": parts.housekeeping.status,
            "objectives": {state: counts[state] for state in STATES},
            "readers": live.readers,
            "webhooks": target_statuses(parts.outbox),
            "routing": parts.routing.status.as_json(),
            "rules": _rules(parts.rules.groups(), parts.rules.faults()),
        }
    )


def _rules(groups: Sequence[GroupStatus], faults: Sequence[FileFault]) -> dict[str, Any]:
    """How rules do; `faults` are files that cannot be used as they are, with file and line."""
    rules = [rule for group in groups for rule in group.rules]
    return {
        "groups": len(groups),
        "rules": len(rules),
        "failing": sum(rule.health == "err" for rule in rules),
        "firing": sum(rule.state == "firing" for rule in rules),
        "missed_evaluations": sum(group.missed for group in groups),
        "faults": faults,
    }


def _resident_bytes() -> int | None:
    """Memory that the process holds in RAM; None where the system does not tell in /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")

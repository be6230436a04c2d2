"""Changes of alerts to try recording and delivery with."""

from __future__ import annotations

from typing import Any

from setpoint.objective.alerting.table import AlertChange

NOW_MS = 1_800_000_000_000


def change(**fields: Any) -> AlertChange:
    """An alert of `checkout` fires, but for `fields`."""
    usual: dict[str, Any] = {
        "objective": "checkout",
        "service": "shop",
        "policy": "page-1h",
        "severity": "page",
        "state": "firing",
        "at_ms": NOW_MS,
        "since_ms": NOW_MS,
        "summary": "burning 20× in 1h",
        "values": {"burn_1h": 20.0, "drop_1h": None},
        "display_name": "Checkout works",
        "policy_display_name": "1h/5m over 14.4×",
        "labels": {"team": ("payments",)},
    }
    return AlertChange(**usual | fields)

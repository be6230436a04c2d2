"""What becomes of a rule's alerts after a restart (decision 0036); pure.

What fires goes on firing: nobody said that it ended. What is pending goes on where it was, and the time in which
evaluations were missed does not count; as in Prometheus, after an outage of more than an hour it begins anew, and after
one of more than ten minutes it fires ten minutes after the start at the earliest, because who looks at the last half
hour sees a hole first. Prometheus waits these ten minutes after every restart, and forgets a shorter `for` altogether.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from setpoint.alert.rules.rule import AlertingRule
from setpoint.alert.rules.state import Alert

__all__ = ["GRACE_MS", "OUTAGE_TOLERANCE_MS", "restored"]

OUTAGE_TOLERANCE_MS = 3_600_000
"""Prometheus's --rules.alert.for-outage-tolerance."""

GRACE_MS = 600_000
"""Prometheus's --rules.alert.for-grace-period."""


def restored(
    rule: AlertingRule, kept: Sequence[Alert], evaluated_ms: int | None, interval_ms: int, now_ms: int
) -> list[Alert]:
    """The alerts with which `rule` goes on; `evaluated_ms` is its last evaluation, None where that is unknown."""
    found = []
    for alert in kept:
        if alert.state == "firing":
            found.append(replace(alert, is_restored=True))
            continue
        last_ms = alert.active_at_ms if evaluated_ms is None else max(evaluated_ms, alert.active_at_ms)
        outage_ms = max(0, now_ms - last_ms - interval_ms)
        if outage_ms > OUTAGE_TOLERANCE_MS:
            continue
        active_at_ms = alert.active_at_ms + outage_ms
        if outage_ms > GRACE_MS:
            # The latest beginning with which it would fire too early.
            active_at_ms = max(active_at_ms, now_ms + min(GRACE_MS, rule.for_ms) - rule.for_ms)
        found.append(replace(alert, active_at_ms=active_at_ms, is_restored=True))
    return found

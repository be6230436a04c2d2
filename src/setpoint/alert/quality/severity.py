"""Which severities wake somebody: rules, objectives and foreign senders write the label `severity` in own words."""

from __future__ import annotations

__all__ = ["PAGING", "is_paging"]

PAGING = frozenset({"page", "critical", "high"})
"""Values of the label `severity`, in lower case, that page: ours, Prometheus's habit, and that of some services."""


def is_paging(severity: str) -> bool:
    """Whether an alert of this severity wakes somebody."""
    return severity.strip().lower() in PAGING

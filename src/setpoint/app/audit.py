"""What else can keep somebody from being told, for the auditor of Setpoint's own heartbeat: nobody dispatches,
objectives or rules are not evaluated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from setpoint.alert.dispatch.store import SQL
from setpoint.alert.rules.status import GroupStatus
from setpoint.clock import Clock
from setpoint.database import StateDatabase
from setpoint.resource.duration import shown_duration

__all__ = ["nobody_dispatches", "objectives_are_late", "rules_are_late"]

_LATE_MS = 60_000


def nobody_dispatches(database: StateDatabase, clock: Clock) -> str:
    """Whether no server holds the dispatcher's lease, or its holder no longer renews it. Raises Unavailable."""
    with database.read() as transaction:
        row = transaction.row(SQL["lease"], name="dispatcher")
    late_ms = 0 if row is None else clock.now_ms() - int(row["until_ms"])
    if row is None or not row["holder"]:
        return "no server dispatches alerts"
    return "" if late_ms < _LATE_MS else f"no server has dispatched alerts for {_told(late_ms)}"


def objectives_are_late(evaluated_ms: Callable[[], int | None], interval_s: float, clock: Clock) -> str:
    """Whether objectives were not evaluated for long."""
    last_ms = evaluated_ms()
    if last_ms is None:
        return "objectives were not evaluated yet"
    late_ms = clock.now_ms() - last_ms
    return (
        ""
        if late_ms < max(_LATE_MS, 10_000 * interval_s)
        else f"no objective was evaluated for {_told(late_ms)}"
    )


def rules_are_late(groups: Callable[[], Sequence[GroupStatus]], clock: Clock) -> str:
    """Whether groups of rules are not evaluated when they are due."""
    now_ms = clock.now_ms()
    late = [one for one in groups() if now_ms - one.next_ms > max(_LATE_MS, 3 * one.interval_ms)]
    if not late:
        return ""
    more = f" and {len(late) - 1} more" if len(late) > 1 else ""
    return f"the rules of {late[0].name}{more} were not evaluated when they were due"


def _told(late_ms: int) -> str:
    return shown_duration(late_ms // 1000 * 1000)

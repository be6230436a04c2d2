"""What counting elsewhere than in memory gave for one objective: from `sql_count` and `span_count` to `polled`."""

from __future__ import annotations

from dataclasses import dataclass

from setpoint.database import Limits, TelemetryDatabase
from setpoint.errors import SetpointError
from setpoint.objective.ledger.ledger import Slots

__all__ = ["GROUP_ROWS_MAX", "Outcome", "limits_of", "never"]

GROUP_ROWS_MAX = 2_000_000
"""How many rows a statement may return that counts many groups: three numbers each, a day of 1,000 groups."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Raw minutes (not settled), or the error for which there are none: InvalidInput when the query is at fault,
    Unavailable when the database is. `fault`: some of the minutes are not known, and why. `took_s`: how long the
    database worked for it.
    """

    slots: Slots | None
    error: SetpointError | None = None
    fault: str | None = None
    took_s: float = 0.0


def limits_of(database: TelemetryDatabase) -> Limits:
    """What one statement may take. In the engine of this process it must end before the server that stops gives up."""
    return Limits(seconds=4.0 if database.is_embedded else 20.0)


def never() -> bool:
    """For who is not told to stop."""
    return False

"""Time intervals as Alertmanager has them: when a route is muted, or is the only time when it is active.

What is written (`weekdays: ['monday:friday']`) is read by `interval_fields`; here is what it means. An interval holds
an instant by the wall clock of its location, UTC where it names none, so it follows daylight saving.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

__all__ = ["LOCAL", "Range", "Stretch", "TimeInterval"]

LOCAL = "Local"
"""The zone of the machine that the server runs on, as Alertmanager names it."""

Range = tuple[int, int]
"""From the first to the second, both included; of `times`, minutes of the day, the second not included."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Instants that fulfil everything that is given; None is what was not written, and every instant fulfils it.

    `weekdays` count from Sunday, 0. Negative `days_of_month` count from the month's end, which is -1.
    """

    times: tuple[Range, ...] | None = None
    weekdays: tuple[Range, ...] | None = None
    days_of_month: tuple[Range, ...] | None = None
    months: tuple[Range, ...] | None = None
    years: tuple[Range, ...] | None = None
    location: str = "UTC"

    def contains(self, at_ms: int) -> bool:
        """Whether an instant (Unix milliseconds) is in it."""
        at = datetime.fromtimestamp(at_ms // 1000, UTC)
        at = at.astimezone(None if self.location == LOCAL else ZoneInfo(self.location))
        minute = at.hour * 60 + at.minute
        if self.times is not None and not any(low <= minute < high for low, high in self.times):
            return False
        if self.days_of_month is not None and not any(_has_day(one, at) for one in self.days_of_month):
            return False
        of_calendar = (
            (self.months, at.month),
            (self.weekdays, at.isoweekday() % 7),
            (self.years, at.year),
        )
        return all(
            ranges is None or any(low <= value <= high for low, high in ranges)
            for ranges, value in of_calendar
        )


@dataclass(frozen=True, slots=True)
class TimeInterval:
    """A named interval: the instants of any of its stretches."""

    name: str
    stretches: tuple[Stretch, ...] = ()

    def contains(self, at_ms: int) -> bool:
        """Whether an instant (Unix milliseconds) is in it."""
        return any(one.contains(at_ms) for one in self.stretches)


def _has_day(days: Range, at: datetime) -> bool:
    """Whether the day of a date is among days of the month; those before its first and after its last are left out."""
    length = monthrange(at.year, at.month)[1]
    begin, end = (day + length + 1 if day < 0 else day for day in days)
    return begin <= length and begin <= at.day <= min(end, length)

"""Periods of a report: weeks, months and quarters by the clock of a time zone, each with the name that people write.

Weeks are ISO 8601's (Monday to Sunday, 2026-W47). A period is left-open, (begin, end], as calendar windows and the
slots of a ledger are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from setpoint.errors import InvalidInput
from setpoint.report.from_objective import Calendar, window_at

__all__ = ["KINDS", "Kind", "Period", "period_at", "read_period"]

Kind = Literal["week", "month", "quarter"]
KINDS: tuple[Kind, ...] = ("week", "month", "quarter")

_UNITS: dict[Kind, Literal["w", "M", "Q"]] = {"week": "w", "month": "M", "quarter": "Q"}
_MONDAY = "2024-01-01T00:00:00"  # the begin of a week, a month and a quarter at once
_NAME = re.compile(
    r"(?P<year>[0-9]{4})-(W(?P<week>[0-9]{2})|Q(?P<quarter>[1-4])|(?P<month>[0-9]{2}))", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Period:
    """`name` is 2026-W47, 2026-11 or 2026-Q4; `start_ms` and `end_ms` are Unix milliseconds on whole minutes."""

    kind: Kind
    name: str
    start_ms: int
    end_ms: int
    time_zone: str

    @property
    def before(self) -> Period:
        """The one that ends where this begins."""
        return period_at(self.kind, self.start_ms, self.time_zone)

    @property
    def after(self) -> Period:
        """The one that begins where this ends."""
        return period_at(self.kind, self.end_ms + 1, self.time_zone)


def period_at(kind: Kind, at_ms: int, time_zone: str = "UTC") -> Period:
    """The period that holds an instant."""
    start_ms, end_ms = window_at(Calendar(_MONDAY, time_zone, 1, _UNITS[kind]), at_ms)
    middle = datetime.fromtimestamp((start_ms + end_ms) / 2000, tz=ZoneInfo(time_zone))
    return Period(kind, _name(kind, middle), start_ms, end_ms, time_zone)


def read_period(text: str, time_zone: str = "UTC") -> Period:
    """The period of this name. Raises InvalidInput."""
    found = _NAME.fullmatch(text)
    if found is None:
        raise InvalidInput(
            f"'{text[:40]}' is no period; write a week as 2026-W47, a month as 2026-11 or 2026-Q4"
        )
    year = int(found["year"])
    try:
        if found["week"]:
            kind: Kind = "week"
            day = datetime.fromisocalendar(year, int(found["week"]), 4)
        elif found["quarter"]:
            kind, day = "quarter", datetime(year, 3 * int(found["quarter"]) - 1, 15, tzinfo=UTC)
        else:
            kind, day = "month", datetime(year, int(found["month"]), 15, tzinfo=UTC)
    except ValueError as error:
        raise InvalidInput(f"'{text}' is no period of the calendar: {error}") from error
    if not 1970 < year < 2200:
        raise InvalidInput(f"the year {year} is out of bounds; write one between 1971 and 2199")
    return period_at(kind, int(day.replace(tzinfo=UTC).timestamp() * 1000), time_zone)


def _name(kind: Kind, day: datetime) -> str:
    if kind == "week":
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02}"
    if kind == "month":
        return f"{day.year}-{day.month:02}"
    return f"{day.year}-Q{(day.month + 2) // 3}"

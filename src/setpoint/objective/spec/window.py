"""The time that an objective's budget is for: the last days (rolling), or this month (calendar)."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from setpoint.objective.duration import parse_duration
from setpoint.objective.model import Calendar
from setpoint.objective.spec.fields import duration_field, error_at, zone
from setpoint.resource import Part

__all__ = ["TimeWindow"]

_SHORTEST_S, _LONGEST_S = 300, 366 * 86_400
_START = re.compile(r"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})", re.ASCII)
_HOUR_S, _DAY_S = 3600, 86_400
_MONTHS = {"M": 1, "Q": 3, "Y": 12}


def _start(value: str) -> str:
    match = _START.fullmatch(value)
    try:
        if match is None:
            raise ValueError(value)
        start = datetime.fromisoformat(f"{match[1]}T{match[2]}")
    except ValueError as error:
        raise ValueError(
            f"'{value[:80]}' is no date and time; write it without a zone, such as 2026-01-01 00:00:00"
        ) from error
    if not 1970 <= start.year <= 2200:
        raise ValueError(f"the year {start.year} is out of bounds; write a start between 1970 and 2200")
    return value


class CalendarStart(Part):
    start_time: Annotated[str, AfterValidator(_start)] = Field(
        description="When a window began, such as 2026-01-01 00:00:00, on the clock of timeZone; every duration from "
        "there on a new one begins."
    )
    time_zone: Annotated[str, AfterValidator(zone)] = Field(
        description="A name of the IANA database, such as Europe/Berlin."
    )


class TimeWindow(Part):
    duration: Annotated[str, duration_field(_SHORTEST_S, _LONGEST_S, "5m to 366d, such as 30d")] = Field(
        description="A whole number and one of m, h, d, w, M, Q, Y; 5m to 366d. In a rolling window a month is 30 d, a "
        "quarter 90 and a year 365; in a calendar window they are the calendar's."
    )
    is_rolling: bool | None = Field(
        None,
        description="true: the last `duration`. false: the calendar's. Left out: true without a calendar.",
    )
    calendar: CalendarStart | None = Field(
        None,
        description="Where the windows begin that do not roll: at the start the whole budget is there again.",
    )

    @model_validator(mode="after")
    def _one_way(self) -> TimeWindow:
        if self.is_rolling and self.calendar is not None:
            sentence = "a rolling window has no calendar; write isRolling: false, or leave calendar out"
            raise error_at(self.calendar, ("calendar",), sentence)
        if self.is_rolling is False and self.calendar is None:
            raise error_at(
                self.is_rolling,
                ("isRolling",),
                "a window that does not roll needs a calendar; write calendar: {startTime: 2026-01-01 00:00:00, "
                "timeZone: UTC} beside it, or isRolling: true",
            )
        if self.longest_s > _LONGEST_S + _HOUR_S:
            sentence = f"a window of {self.duration} is not kept; write 5m to 366d, such as 1M"
            raise error_at(self.duration, ("duration",), sentence)
        return self

    @property
    def longest_s(self) -> int:
        """The window's seconds; for a calendar's the longest that one can be, a clock set back included."""
        if self.calendar is None:
            return parse_duration(self.duration)
        count, unit = int(self.duration[:-1]), self.duration[-1]
        zone_s = 0 if self.calendar.time_zone == "UTC" else _HOUR_S
        if unit in ("m", "h"):
            return parse_duration(self.duration)
        if unit in ("d", "w"):
            return parse_duration(self.duration) + zone_s
        return _longest_months(count * _MONTHS[unit]) * _DAY_S + zone_s

    def of_calendar(self) -> Calendar | None:
        """The calendar as the model has it."""
        if self.calendar is None:
            return None
        start = self.calendar.start_time.replace(" ", "T")
        unit = self.duration[-1]
        assert unit in ("m", "h", "d", "w", "M", "Q", "Y")
        return Calendar(start, self.calendar.time_zone, int(self.duration[:-1]), unit)  # type: ignore[arg-type]


def _longest_months(count: int) -> int:
    """The most days that `count` months in a row have."""
    firsts = [date(2024 + month // 12, month % 12 + 1, 1) for month in range(48 + min(count, 24) + 1)]
    return max((end - first).days for first, end in zip(firsts, firsts[min(count, 24) :], strict=False))

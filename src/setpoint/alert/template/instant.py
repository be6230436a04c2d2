"""Instants and durations as templates have them: Go's time.Time and time.Duration, how they print and what they answer.

Rules get them of `toTime` and `toDuration`, notifications as `.StartsAt` and `.EndsAt`. People format them with Go's
layouts and shift them by whole nanoseconds, so both are here in full.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

__all__ = ["ZERO_MS", "Duration", "Instant", "Named"]

ZERO_MS = -62_135_596_800_000
"""Go's zero time, the first instant of the year 1, in Unix milliseconds: the end of what has not ended."""

_MONTHS = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
]  # fmt: skip
_DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_INSTANT_MS = 253_402_300_799_999
_LONGEST_S = (2**63 - 1) / 1e9
_LAYOUT = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|0[1-6]|002|__2|_2(?!006)|2006|15|[1-5]|PM|pm"
    r"|[Z-]07:00:00|[Z-]070000|[Z-]07:00|[Z-]0700|[Z-]07|[.,](?:0+|9+)(?!\d)"
)


class Named(int):
    """A number with a name, as Go's Month and Weekday: prints as its name, compares and formats as the number."""

    def __new__(cls, number: int, name: str) -> Named:
        made = super().__new__(cls, number)
        made.name = name
        return made

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration (Go's time.Duration), in seconds."""

    seconds: float

    @property
    def nanoseconds(self) -> int:
        """The same in whole nanoseconds, which is what Go compares."""
        return round(self.seconds * 1e9)

    def __str__(self) -> str:
        nanoseconds = abs(self.nanoseconds)
        sign = "-" if self.seconds < 0 else ""
        if nanoseconds == 0:
            return "0s"
        if nanoseconds < 1_000_000_000:
            unit, scale = next(
                (unit, scale)
                for unit, scale in (("ms", 1_000_000), ("µs", 1000), ("ns", 1))
                if nanoseconds >= scale
            )
            return f"{sign}{_decimal(nanoseconds, scale)}{unit}"
        minutes, rest = divmod(nanoseconds, 60_000_000_000)
        hours, minutes = divmod(minutes, 60)
        text = f"{_decimal(rest, 1_000_000_000)}s"
        if hours:
            return f"{sign}{hours}h{minutes}m{text}"
        return f"{sign}{minutes}m{text}" if minutes else f"{sign}{text}"

    def method(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """What `.name` answers. Raises LookupError."""
        if len(arguments) == 1 and name in ("Round", "Truncate"):
            return _multiple(self, name, arguments[0])
        whole = {"Nanoseconds": 1, "Microseconds": 1000, "Milliseconds": 1_000_000}
        parts = {"Seconds": 1.0, "Minutes": 60.0, "Hours": 3600.0}
        if arguments:
            raise LookupError(name)
        if name in whole:
            return int(self.nanoseconds / whole[name])
        if name in parts:
            return self.seconds / parts[name]
        if name == "Abs":
            return Duration(abs(self.seconds))
        if name == "String":
            return str(self)
        raise LookupError(name)


def _decimal(amount: int, scale: int) -> str:
    whole, rest = divmod(amount, scale)
    digits = f"{rest:0{len(str(scale)) - 1}d}".rstrip("0") if scale > 1 else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _multiple(value: Duration, name: str, given: Any) -> Duration:
    """`value` rounded or cut to whole multiples, halves away from zero."""
    step = _nanoseconds(given)
    if step is None:
        raise LookupError(name)
    if step <= 0:
        return value
    amount = abs(value.nanoseconds)
    amount = (amount + (step // 2 + step % 2 if name == "Round" else 0)) // step * step
    return Duration((-amount if value.seconds < 0 else amount) / 1e9)


def _nanoseconds(given: Any) -> int | None:
    """What Go takes as a duration: one, or a constant that is a whole number, of nanoseconds."""
    if isinstance(given, Duration):
        return given.nanoseconds
    if isinstance(given, (int, float)) and not isinstance(given, bool) and given == given // 1:
        return int(given)
    return None


@dataclass(frozen=True, slots=True)
class Instant:
    """An instant (Go's time.Time) in Unix milliseconds, and the zone in which it is shown."""

    at_ms: int
    zone: tzinfo = UTC

    @property
    def when(self) -> datetime:
        """The same as a datetime in its zone, between the years 1 and 9999."""
        when = _EPOCH + timedelta(milliseconds=min(max(self.at_ms, ZERO_MS), _LARGEST_INSTANT_MS))
        try:
            return when.astimezone(self.zone)
        except OverflowError:
            return when

    def __str__(self) -> str:
        return self.formatted("2006-01-02 15:04:05.999999999 -0700 MST")

    def formatted(self, layout: str) -> str:
        """In Go's layout, which shows how Mon Jan 2 15:04:05 MST 2006 would look."""
        when = self.when
        return _LAYOUT.sub(lambda found: _part(when, found[0]), layout)

    def local(self) -> Instant:
        """In the zone of this machine."""
        try:
            return Instant(self.at_ms, self.when.astimezone().tzinfo or UTC)
        except (OverflowError, ValueError):
            return self

    def method(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """What `.name` answers. Raises LookupError."""
        return self._plain(name) if not arguments else self._with(name, arguments)

    def _plain(self, name: str) -> Any:
        when = self.when
        found = {
            "Year": when.year,
            "Month": Named(when.month, _MONTHS[when.month - 1]),
            "Day": when.day,
            "Hour": when.hour,
            "Minute": when.minute,
            "Second": when.second,
            "Nanosecond": when.microsecond * 1000,
            "YearDay": when.timetuple().tm_yday,
            "Weekday": Named(when.isoweekday() % 7, _DAYS[when.isoweekday() % 7]),
            "Unix": self.at_ms // 1000,
            "UnixMilli": self.at_ms,
            "UnixMicro": self.at_ms * 1000,
            "UnixNano": self.at_ms * 1_000_000,
            "UTC": Instant(self.at_ms),
            "IsZero": self.at_ms <= ZERO_MS,
            "String": str(self),
        }
        return self.local() if name == "Local" else found[name]

    def _with(self, name: str, arguments: tuple[Any, ...]) -> Any:  # noqa: PLR0911
        match name, arguments:
            case "Format", (str() as layout,):
                return self.formatted(layout)
            case "Sub", (Instant() as other,):
                seconds = (self.at_ms - other.at_ms) / 1000
                return Duration(min(max(seconds, -_LONGEST_S), _LONGEST_S))
            case "Before", (Instant() as other,):
                return self.at_ms < other.at_ms
            case "After", (Instant() as other,):
                return self.at_ms > other.at_ms
            case "Equal", (Instant() as other,):
                return self.at_ms == other.at_ms
            case "Add" | "Round" | "Truncate", (given,):
                nanoseconds = _nanoseconds(given)
                if nanoseconds is not None:
                    return self._moved(name, nanoseconds)
            case "AddDate", (int() as years, int() as months, int() as days):
                return self._later(years, months, days)
        raise LookupError(name)

    def _moved(self, name: str, nanoseconds: int) -> Instant:
        step = nanoseconds // 1_000_000
        if name == "Add":
            return Instant(self.at_ms + step, self.zone)
        if step <= 0:
            return self
        since = self.at_ms - ZERO_MS + (step - step // 2 if name == "Round" else 0)
        return Instant(since // step * step + ZERO_MS, self.zone)

    def _later(self, years: int, months: int, days: int) -> Instant:
        """Go's calendar: the 31st of a month that has 30 days is the first of the next."""
        when = self.when
        year, month = divmod(when.year * 12 + when.month - 1 + years * 12 + months, 12)
        try:
            moved = when.replace(year=year, month=month + 1, day=1) + timedelta(days=when.day - 1 + days)
        except (OverflowError, ValueError):
            raise LookupError("AddDate") from None
        return Instant((moved - _EPOCH) // timedelta(milliseconds=1), self.zone)


def _part(when: datetime, layout: str) -> str:
    if layout[0] in ".,":
        digits = f"{when.microsecond:06d}000"[: len(layout) - 1].ljust(len(layout) - 1, "0")
        digits = digits.rstrip("0") if layout[1] == "9" else digits
        return layout[0] + digits if digits else ""
    if layout[0] in "Z-":
        return _offset(when, layout)
    month, day = _MONTHS[when.month - 1], _DAYS[when.isoweekday() % 7]
    year_day = when.timetuple().tm_yday
    return {
        "2006": f"{when.year:04d}", "06": f"{when.year % 100:02d}", "January": month, "Jan": month[:3],
        "01": f"{when.month:02d}", "1": str(when.month), "Monday": day, "Mon": day[:3],
        "02": f"{when.day:02d}", "_2": f"{when.day:2d}", "2": str(when.day),
        "002": f"{year_day:03d}", "__2": f"{year_day:3d}",
        "15": f"{when.hour:02d}", "03": f"{when.hour % 12 or 12:02d}", "3": str(when.hour % 12 or 12),
        "04": f"{when.minute:02d}", "4": str(when.minute), "05": f"{when.second:02d}", "5": str(when.second),
        "PM": "PM" if when.hour >= 12 else "AM", "pm": "pm" if when.hour >= 12 else "am",
        "MST": when.tzname() or "UTC",
    }[layout]  # fmt: skip


def _offset(when: datetime, layout: str) -> str:
    seconds = int((when.utcoffset() or timedelta()).total_seconds())
    if layout[0] == "Z" and seconds == 0:
        return "Z"
    hours, rest = divmod(abs(seconds), 3600)
    parts = [f"{hours:02d}"]
    if len(layout) > 3:
        parts.append(f"{rest // 60:02d}")
    if len(layout) > 6:
        parts.append(f"{rest % 60:02d}")
    return ("-" if seconds < 0 else "+") + (":" if ":" in layout else "").join(parts)

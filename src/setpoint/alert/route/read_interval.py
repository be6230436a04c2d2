"""Reads time intervals as they are written: `weekdays: ['monday:friday']`, `days_of_month: ['-3:-1']`."""

from __future__ import annotations

import re
from collections.abc import Callable

from setpoint.alert.route.interval import LOCAL, Range, Stretch, TimeInterval
from setpoint.errors import InvalidInput
from setpoint.resource.fields import Fields
from setpoint.resource.zone import zone

__all__ = ["read_interval", "read_stretch"]

_FIELDS = ("times", "weekdays", "days_of_month", "months", "years", "location")
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}", re.ASCII)
_SHORTEST_MONTH = 28


def read_interval(fields: Fields) -> TimeInterval:
    """A named interval; what is wrong with it goes to the problems of `fields`."""
    fields.only(("name", "time_intervals"))
    name = fields.text("name")
    if not name:
        fields.report("the time interval has no name; write one under 'name'", "name")
    return TimeInterval(name, tuple(read_stretch(one) for one in fields.items("time_intervals")))


def read_stretch(fields: Fields) -> Stretch:
    """One entry of a list of time intervals."""
    fields.only(_FIELDS)
    location = fields.text("location") or "UTC"
    try:
        zone("UTC" if location == LOCAL else location)
    except ValueError as error:
        fields.report(str(error), "location")
        location = "UTC"
    return Stretch(
        times=_times(fields),
        weekdays=_ranges(fields, "weekdays", _weekday),
        days_of_month=_ranges(fields, "days_of_month", _day_of_month),
        months=_ranges(fields, "months", _month),
        years=_ranges(fields, "years", _year),
        location=location,
    )


def _times(fields: Fields) -> tuple[Range, ...] | None:
    if not fields.has("times"):
        return None
    found = []
    for one in fields.items("times"):
        one.only(("start_time", "end_time"))
        if not one.text("start_time") or not one.text("end_time"):
            one.report("both start and end times must be provided; write start_time and end_time")
            continue
        start, end = (_minute(one, name) for name in ("start_time", "end_time"))
        if start is None or end is None:
            continue
        if start >= end:
            one.report(
                "start time cannot be equal or greater than end time; for a night write two: one that ends at 24:00 "
                "and one that starts at 00:00"
            )
        found.append((start, end))
    return tuple(found)


def _minute(fields: Fields, name: str) -> int | None:
    text = fields.text(name)
    if not _TIME.fullmatch(text):
        told = f"couldn't parse timestamp {text[:80]}, invalid format; write HH:MM in quotes, such as '09:00'"
        fields.report(told, name)
        return None
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _ranges(fields: Fields, name: str, read: Callable[[str, str], Range]) -> tuple[Range, ...] | None:
    """The ranges of a list; None where it is not written. An empty list has no instant in it, as in Alertmanager."""
    if not fields.has(name):
        return None
    found = []
    for index, text in enumerate(fields.texts(name)):
        begin, colon, end = text.lower().partition(":")
        try:
            found.append(read(begin, end if colon else begin))
        except InvalidInput as error:
            fields.report(error.message, name, index)
    return tuple(found)


def _weekday(begin: str, end: str) -> Range:
    for word in (begin, end):
        if word not in _WEEKDAYS:
            raise InvalidInput(f"{word[:80]} is not a valid weekday; write its name, such as monday")
    low, high = _WEEKDAYS.index(begin), _WEEKDAYS.index(end)
    if low > high:
        raise InvalidInput(
            f"start day cannot be before end day, and weeks begin on sunday; write '{begin}:saturday' and "
            f"'sunday:{end}' as two entries"
        )
    return low, high


def _day_of_month(begin: str, end: str) -> Range:
    low, high = (_whole(word, "day of the month") for word in (begin, end))
    for day in (low, high):
        if day == 0 or abs(day) > 31:
            raise InvalidInput(
                f"{day} is not a valid day of the month: out of range; write 1 to 31, or -1 for the last day"
            )
    if low < 0 < high:
        raise InvalidInput("end day must be negative if start day is negative; write such as '-3:-1'")
    if (low if low > 0 else _SHORTEST_MONTH + low) > (high if high > 0 else _SHORTEST_MONTH + high):
        raise InvalidInput(f"end day {high} is always before start day {low}; exchange them")
    return low, high


def _month(begin: str, end: str) -> Range:
    low, high = (
        _MONTHS.index(word) + 1 if word in _MONTHS else _whole(word, "month") for word in (begin, end)
    )
    if low > high:
        raise InvalidInput(f"end month {end} is before start month {begin}; write two entries")
    return low, high


def _year(begin: str, end: str) -> Range:
    low, high = (_whole(word, "year") for word in (begin, end))
    if low > high:
        raise InvalidInput(f"end year {high} is before start year {low}; exchange them")
    return low, high


def _whole(word: str, what: str) -> int:
    if not _NUMBER.fullmatch(word):
        raise InvalidInput(f"{word[:80]} is not a valid {what}; write a whole number")
    return int(word)

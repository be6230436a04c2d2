"""The values that templates handle, and how Go prints them: `{{ $value }}` must read as Prometheus writes it.

Numbers are Python's int (Go's int) and float (float64), text is str. Label sets are `LabelMap`, the answer of `query`
is a list of `Sample`; an instant and a duration have types of their own because they print and answer methods.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = [
    "Arguments",
    "Duration",
    "Instant",
    "LabelMap",
    "Sample",
    "field",
    "is_true",
    "shown",
    "shown_float",
    "type_name",
]

_MONTHS = [
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
]  # fmt: skip
_DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_EXPONENT = 6
_SAMPLE_CHARACTERS = 100
_LARGEST_INSTANT_MS = 253_402_300_799_999


class LabelMap(dict[str, str]):
    """Labels: a name that is not there has the empty value."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer of `query`; `value` is a number, or a native histogram, which only prints."""

    labels: Mapping[str, str]
    value: Any


@dataclass(frozen=True, slots=True)
class Instant:
    """An instant (Go's time.Time in UTC), in Unix milliseconds."""

    at_ms: int

    @property
    def when(self) -> datetime:
        """The same as a datetime, in UTC."""
        return _EPOCH + timedelta(milliseconds=min(max(self.at_ms, 0), _LARGEST_INSTANT_MS))

    def __str__(self) -> str:
        when = self.when
        fraction = f".{when.microsecond:06d}".rstrip("0") if when.microsecond else ""
        return f"{when:%Y-%m-%d %H:%M:%S}{fraction} +0000 UTC"


class Arguments(dict[str, Any]):
    """What `args` makes; `size` is about how many characters it takes to show, those of arguments within counted."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        self.size: int = len(values) + sum(map(_weight, values.values()))


def _weight(value: Any) -> int:
    match value:
        case Arguments():
            return value.size
        case str():
            return len(value)
        case list():
            return _SAMPLE_CHARACTERS * len(value)
    return 1


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration (Go's time.Duration), in seconds."""

    seconds: float

    def __str__(self) -> str:
        nanoseconds = round(abs(self.seconds) * 1e9)
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


def _decimal(amount: int, scale: int) -> str:
    whole, rest = divmod(amount, scale)
    digits = f"{rest:0{len(str(scale)) - 1}d}".rstrip("0") if scale > 1 else ""
    return f"{whole}.{digits}" if digits else str(whole)


def shown_float(value: float) -> str:
    """A float64 as Go's `%v`: the shortest digits that read back, with an exponent from 1e+06 and below 1e-4."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    mantissa, _, exponent = repr(value).removeprefix("-").partition("e")
    sign = "-" if math.copysign(1, value) < 0 else ""
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The point stands behind `point` digits.
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if not digits:
        return f"{sign}0"
    if not -4 <= point - 1 < _LARGEST_EXPONENT:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{point - 1:+03d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[:point].ljust(point, '0')}{'.' if len(digits) > point else ''}{digits[point:]}"


def shown(value: Any) -> str:
    """`value` as Go's `%v`."""
    match value:
        case None:
            text = "<no value>"
        case bool():
            text = "true" if value else "false"
        case float():
            text = shown_float(value)
        case dict():
            text = f"map[{' '.join(f'{key}:{shown(value[key])}' for key in sorted(value))}]"
        case list():
            text = f"[{' '.join(shown(item) for item in value)}]"
        case Sample():
            text = f"&{{{shown(dict(value.labels))} {shown(value.value)}}}"
        case _:
            text = str(value)
    return text


_TYPE_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (int, "int"),
    (float, "float64"),
    (str, "string"),
    (LabelMap, "map[string]string"),
    (dict, "map[string]interface {}"),
    (list, "template.queryResult"),
    (Sample, "*template.sample"),
    (Instant, "*time.Time"),
    (Duration, "*time.Duration"),
    (type(None), "<nil>"),
)


def type_name(value: Any) -> str:
    """The name of its type in Go, for messages."""
    return next((name for kind, name in _TYPE_NAMES if isinstance(value, kind)), type(value).__name__)


def is_true(value: Any) -> bool:
    """Go's truth: false, 0, nil and what is empty are not."""
    if value is None or isinstance(value, (bool, int, float, str, dict, list)):
        return bool(value)
    return True


def _instant_field(value: Instant, name: str, arguments: tuple[Any, ...]) -> Any:
    when = value.when
    found = {
        "Year": when.year,
        "Month": _MONTHS[when.month - 1],
        "Day": when.day,
        "Hour": when.hour,
        "Minute": when.minute,
        "Second": when.second,
        "Nanosecond": when.microsecond * 1000,
        "YearDay": when.timetuple().tm_yday,
        "Weekday": _DAYS[when.isoweekday() % 7],
        "Unix": value.at_ms // 1000,
        "UnixMilli": value.at_ms,
        "UTC": value,
        "String": str(value),
    }
    if name == "Format" and len(arguments) == 1 and isinstance(arguments[0], str):
        return _formatted(when, arguments[0])
    if arguments or name not in found:
        raise LookupError(name)
    return found[name]


def _formatted(when: datetime, layout: str) -> str:
    """`when` in Go's layout, which shows how Mon Jan 2 15:04:05 MST 2006 would look."""
    parts = {
        "2006": f"{when.year:04d}", "January": _MONTHS[when.month - 1], "Jan": _MONTHS[when.month - 1][:3],
        "Monday": _DAYS[when.isoweekday() % 7], "Mon": _DAYS[when.isoweekday() % 7][:3], "MST": "UTC",
        "01": f"{when:%m}", "02": f"{when:%d}", "03": f"{when:%I}", "04": f"{when:%M}", "05": f"{when:%S}",
        "06": f"{when:%y}", "15": f"{when:%H}", "PM": f"{when:%p}", "pm": f"{when:%p}".lower(), "_2": f"{when.day:2d}",
        "Z07:00": "Z", "-07:00": "+00:00", "-0700": "+0000", ".000": f".{when.microsecond // 1000:03d}",
        "1": str(when.month), "2": str(when.day), "3": str(when.hour % 12 or 12), "4": str(when.minute),
        "5": str(when.second),
    }  # fmt: skip
    names = "|".join(re.escape(name) for name in sorted(parts, key=len, reverse=True))
    return re.sub(names, lambda found: parts[found[0]], layout)


def _duration_field(value: Duration, name: str) -> Any:
    if name == "String":
        return str(value)
    if name == "Milliseconds":
        return int(value.seconds * 1000)
    return value.seconds / {"Seconds": 1.0, "Minutes": 60.0, "Hours": 3600.0}[name]


def field(value: Any, name: str, arguments: tuple[Any, ...] = ()) -> Any:
    """`.name` of `value`. Raises LookupError where Go has no such field or method, or not with these arguments."""
    if isinstance(value, Instant):
        return _instant_field(value, name, arguments)
    if arguments:
        raise LookupError(name)
    if isinstance(value, dict):
        return value.get(name, "" if isinstance(value, LabelMap) else None)
    if isinstance(value, Sample):
        return {"Labels": LabelMap(value.labels), "Value": value.value}[name]
    if isinstance(value, Duration):
        return _duration_field(value, name)
    raise LookupError(name)

"""The values that templates handle, and how Go prints them: `{{ $value }}` must read as Prometheus writes it.

Numbers are Python's int (Go's int) and float (float64), text is str. Label sets are `LabelMap`, the answer of `query`
is a list of `Sample`; an instant and a duration have types of their own because they print and answer methods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from setpoint.alert.template.instant import Duration, Instant

__all__ = [
    "Arguments",
    "Duration",
    "Instant",
    "LabelMap",
    "Methods",
    "Sample",
    "field",
    "is_true",
    "shown",
    "shown_float",
    "type_name",
]

_LARGEST_EXPONENT = 6
_SAMPLE_CHARACTERS = 100


class LabelMap(dict[str, str]):
    """Labels: a name that is not there has the empty value."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an answer of `query`; `value` is a number, or a native histogram, which only prints."""

    labels: Mapping[str, str]
    value: Any


class Methods:
    """A value that answers methods: what notifications show beside labels. Its text is how Go prints it."""

    go_type: ClassVar[str]

    def method(self, name: str, arguments: tuple[Any, ...]) -> Any:
        """What `.name` answers. Raises LookupError."""
        raise LookupError(name)


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
        case Methods():
            text = str(value)
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
    if isinstance(value, Methods):
        return value.go_type
    return next((name for kind, name in _TYPE_NAMES if isinstance(value, kind)), type(value).__name__)


def is_true(value: Any) -> bool:
    """Go's truth: false, 0, nil and what is empty are not."""
    if value is None or isinstance(value, (bool, int, float, str, dict, list)):
        return bool(value)
    return True


def field(value: Any, name: str, arguments: tuple[Any, ...] = ()) -> Any:
    """`.name` of `value`. Raises LookupError where Go has no such field or method, or not with these arguments."""
    if isinstance(value, (Instant, Duration)):
        return value.method(name, arguments)
    if isinstance(value, Methods):
        try:
            return value.method(name, arguments)
        except LookupError:
            if arguments or not isinstance(value, dict):
                raise
    if arguments:
        raise LookupError(name)
    if isinstance(value, dict):
        return value.get(name, "" if isinstance(value, LabelMap) else None)
    if isinstance(value, Sample):
        return {"Labels": LabelMap(value.labels), "Value": value.value}[name]
    raise LookupError(name)

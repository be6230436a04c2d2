"""The functions that every template of Go has: comparisons, logic, printing, indexing.

`and` and `or` are not here: `run` evaluates only as many of their arguments as they need.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from setpoint.alert.template.instant import Duration
from setpoint.alert.template.printf import sprint, sprintf, sprintln
from setpoint.alert.template.values import LabelMap, is_true, type_name

__all__ = ["BUILTINS"]

_JS_ESCAPES = {
    "\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D",
}  # fmt: skip
_HTML_ESCAPES = {"&#x27;": "&#39;", "&quot;": "&#34;"}


def _basic_kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "string"
        case _:
            raise ValueError("invalid type for comparison")


def _plain(value: Any) -> Any:
    """A duration is a whole number to Go."""
    return value.nanoseconds if isinstance(value, Duration) else value


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    first = _plain(first)
    for other in map(_plain, others):
        if first is None or other is None:
            if first is other:
                return True
            continue
        if _basic_kind(first) != _basic_kind(other):
            raise ValueError("incompatible types for comparison")
        if first == other:
            return True
    return False


def _not_equal(first: Any, second: Any) -> bool:
    return not _equal(first, second)


def _less(first: Any, second: Any) -> bool:
    first, second = _plain(first), _plain(second)
    kinds = _basic_kind(first), _basic_kind(second)
    if kinds[0] != kinds[1]:
        raise ValueError("incompatible types for comparison")
    if kinds[0] == "bool":
        raise ValueError("invalid type for comparison")
    return bool(first < second)


def _less_or_equal(first: Any, second: Any) -> bool:
    return _less(first, second) or _equal(first, second)


def _greater(first: Any, second: Any) -> bool:
    return not _less_or_equal(first, second)


def _greater_or_equal(first: Any, second: Any) -> bool:
    return not _less(first, second)


def _not(value: Any) -> bool:
    return not is_true(value)


def _len(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, (dict, list)):
        return len(value)
    raise ValueError(f"len of type {type_name(value)}")


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            if not isinstance(key, str):
                raise ValueError(f"value has type {type_name(key)}; should be string")
            value = value.get(key, "" if isinstance(value, LabelMap) else None)
        elif isinstance(value, (list, str)):
            if not isinstance(key, int) or isinstance(key, bool):
                raise ValueError(f"cannot index slice/array with type {type_name(key)}")
            sequence = value.encode() if isinstance(value, str) else value
            if not 0 <= key < len(sequence):
                raise ValueError(f"index out of range: {key}")
            value = sequence[key]
        else:
            raise ValueError(f"can't index item of type {type_name(value)}")
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, (list, str)):
        raise ValueError(f"can't slice item of type {type_name(value)}")
    if len(bounds) > 2 or any(not isinstance(bound, int) for bound in bounds):
        raise ValueError("slice takes one or two whole numbers")
    sequence = value.encode() if isinstance(value, str) else value
    start = bounds[0] if bounds else 0
    end = bounds[1] if len(bounds) > 1 else len(sequence)
    if not 0 <= start <= end <= len(sequence):
        raise ValueError(f"index out of range: {start}, {end}")
    part = sequence[start:end]
    return part.decode("utf-8", "replace") if isinstance(part, bytes) else part


def _printf(layout: str, *values: Any) -> str:
    if not isinstance(layout, str):
        raise ValueError(f"wrong type for value; expected string; got {type_name(layout)}")
    return sprintf(layout, values)


def _escaper(escape: Callable[[str], str]) -> Callable[..., str]:
    def function(*values: Any) -> str:
        return escape(values[0] if len(values) == 1 and isinstance(values[0], str) else sprint(values))

    return function


def _html(text: str) -> str:
    escaped = html.escape(text)
    for python, go in _HTML_ESCAPES.items():
        escaped = escaped.replace(python, go)
    return escaped


def _js(text: str) -> str:
    return "".join(
        _JS_ESCAPES.get(letter) or (f"\\u{ord(letter):04X}" if ord(letter) < 32 else letter)
        for letter in text
    )


BUILTINS: dict[str, Callable[..., Any]] = {
    "eq": _equal,
    "ge": _greater_or_equal,
    "gt": _greater,
    "html": _escaper(_html),
    "index": _index,
    "js": _escaper(_js),
    "le": _less_or_equal,
    "len": _len,
    "lt": _less,
    "ne": _not_equal,
    "not": _not,
    "print": lambda *values: sprint(values),
    "printf": _printf,
    "println": lambda *values: sprintln(values),
    "slice": _slice,
    "urlquery": _escaper(lambda text: quote_plus(text, safe="~")),
}
"""Name to function; they raise ValueError with Go's words."""

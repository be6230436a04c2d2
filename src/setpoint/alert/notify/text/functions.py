"""The functions of notifications' templates: Alertmanager's, beside those that every template of Go has.

What rules share with them (`match`, `reReplaceAll`, `humanizeDuration` and others) is theirs; nothing here reaches a
file, the network or the clock: `now` and `since` go by the instant of the notification.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from setpoint.alert.notify.text.escape import SafeHtml, SafeUrl
from setpoint.alert.notify.text.shapes import jsonable
from setpoint.alert.template.builtins import BUILTINS
from setpoint.alert.template.functions import Surroundings, functions
from setpoint.alert.template.instant import ZERO_MS, Duration, Instant
from setpoint.alert.template.values import Arguments, type_name

__all__ = ["NAMES", "functions_at"]

_SHARED = ("humanizeDuration", "match", "reReplaceAll", "toLower", "toUpper")
_WORD = re.compile(r"\w+(?:['’.:·]\w+)*")
_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)
_HTML_IN_JSON = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_PARTS = {
    "2006": "%Y", "01": "%m", "02": "%d", "15": "%H", "04": "%M", "05": "%S", "January": "%B", "Jan": "%b",
    "Monday": "%A", "Mon": "%a", "PM": "%p", "03": "%I", "06": "%y", "-0700": "%z", "-07:00": "%z", "Z07:00": "%z",
    "MST": "%Z",
}  # fmt: skip


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError(f"wrong type for value; expected string; got {type_name(given)}")
    return given


def _instant(given: Any) -> Instant:
    if not isinstance(given, Instant):
        raise ValueError(f"wrong type for value; expected time.Time; got {type_name(given)}")
    return given


def _list(given: Any) -> list[Any]:
    if not isinstance(given, list):
        raise ValueError(f"wrong type for value; expected a list; got {type_name(given)}")
    return given


def _title(text: Any) -> str:
    return _WORD.sub(lambda found: found[0][0].title() + found[0][1:].lower(), _text(text))


def _tz(name: Any, instant: Any) -> Instant:
    try:
        return Instant(_instant(instant).at_ms, ZoneInfo(_text(name)))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name}") from None


def _unescaped(text: Any) -> str:
    wrong = _ESCAPE.search(_text(text))
    if wrong:
        raise ValueError(f'invalid URL escape "{wrong[0]}"')
    return unquote_plus(text)


def _json(value: Any) -> str:
    written = json.dumps(jsonable(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for letter, escaped in _HTML_IN_JSON.items():
        written = written.replace(letter, escaped)
    return written


def _instant_of(layout: Any, text: Any) -> Instant:
    """The instant that `text` names in Go's `layout`. Raises ValueError."""
    names = "|".join(re.escape(name) for name in sorted(_PARTS, key=len, reverse=True))
    form = re.sub(names, lambda found: _PARTS[found[0]], _text(layout).replace("%", "%%"))
    found = datetime.strptime(_text(text), form)  # noqa: DTZ007 - what names no zone is UTC
    return Instant(round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000))


def _perhaps_instant(layout: Any, text: Any) -> Instant:
    try:
        return _instant_of(layout, text)
    except ValueError:
        return Instant(ZERO_MS)


def _decoded(text: Any) -> str:
    try:
        return base64.urlsafe_b64decode(_text(text)).decode("utf-8", "replace")
    except binascii.Error as error:
        raise ValueError(f"illegal base64 data: {error}") from None


def _dict(*values: Any) -> Arguments:
    if len(values) % 2:
        raise ValueError("dict needs a value for each key")
    return Arguments({_text(key): value for key, value in zip(values[::2], values[1::2], strict=True)})


_FREE: dict[str, Callable[..., Any]] = {
    "append": lambda items, *values: [*_list(items), *values],
    "base64decode": _decoded,
    "base64encode": lambda text: base64.urlsafe_b64encode(_text(text).encode()).decode(),
    "date": lambda layout, instant: _instant(instant).formatted(_text(layout)),
    "dict": _dict,
    "join": lambda separator, texts: _text(separator).join(map(_text, _list(texts))),
    "list": lambda *values: list(values),
    "mustToDate": _instant_of,
    "safeHtml": lambda text: SafeHtml(_text(text)),
    "safeUrl": lambda text: SafeUrl(_text(text)),
    "stringSlice": lambda *texts: [_text(text) for text in texts],
    "title": _title,
    "toDate": _perhaps_instant,
    "toJson": _json,
    "trimSpace": lambda text: _text(text).strip(),
    "tz": _tz,
    "urlUnescape": _unescaped,
}

NAMES = frozenset(_FREE) | frozenset(BUILTINS) | {*_SHARED, "and", "or", "now", "since"}
"""All that a template may call."""


def functions_at(at_ms: int) -> dict[str, Callable[..., Any]]:
    """Name to function, for a notification of an instant (Unix milliseconds)."""
    rules = functions(Surroundings(lambda text: []))
    shared = {name: rules[name] for name in _SHARED}
    return (
        BUILTINS
        | shared
        | _FREE
        | {
            "now": lambda: Instant(at_ms),
            "since": lambda instant: Duration((at_ms - _instant(instant).at_ms) / 1000),
        }
    )

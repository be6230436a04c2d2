"""Reads the JSON of a sender whom nobody vouches for: what could mean two things, or is made to hurt, is refused.

Refused are: other text than UTF-8, keys that stand twice in one object (two readers would see two alerts), NaN,
infinities and numbers beyond them, halves of surrogate pairs and NUL (no database keeps them), and what is nested
deeper than any sender nests. Python's parser is quick enough: an alert takes about 3 µs.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from setpoint.errors import InvalidInput, Problem

__all__ = ["parse", "read_json", "refuse"]

_DEEPEST = 64
_SHOWN = 80


def refuse(message: str, path: str = "") -> NoReturn:
    """Raise InvalidInput with one problem at a place of the body."""
    raise InvalidInput(problems=(Problem(message, path=path or None),))


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key '{twice[:_SHOWN]}' stands twice in one object; send it once")
    return made


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON; leave the number out, or send it as text")


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text[:_SHOWN]} is too large; send it as text")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_constant, parse_float=_float)
_LENIENT = json.JSONDecoder(parse_constant=_constant, parse_float=_float)


def parse(body: bytes, *, last_wins: bool = False) -> Any:
    """The value of a JSON text in UTF-8. Raises ValueError that says where it breaks; look at what is inside with
    `read_json`, or field by field. With `last_wins` a key may stand twice.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} of the body is no UTF-8; send JSON in UTF-8") from None
    try:
        return (_LENIENT if last_wins else _DECODER).decode(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"this is no JSON, {place}: {error.msg[:1].lower()}{error.msg[1:]}") from None
    except RecursionError:
        raise ValueError(f"the body is nested deeper than {_DEEPEST} levels; send it flatter") from None


def read_json(body: bytes) -> Any:
    """The value of a JSON text in UTF-8, looked through: every text in it can be stored, nothing is nested too deeply.
    Raises InvalidInput.
    """
    try:
        value = parse(body)
    except ValueError as error:
        refuse(str(error))
    _look_through(value)
    return value


def _look_through(value: Any) -> None:
    waiting: list[tuple[str, Any, int]] = [("", value, 0)]
    while waiting:
        path, found, depth = waiting.pop()
        if isinstance(found, str):
            _refuse_text(found, path)
        elif isinstance(found, dict | list):
            if depth >= _DEEPEST:
                refuse(f"the body is nested deeper than {_DEEPEST} levels; send it flatter", path)
            items = found.items() if isinstance(found, dict) else enumerate(found)
            for name, item in items:
                if isinstance(name, str):
                    _refuse_text(name, path)
                if isinstance(item, str | dict | list):
                    step = (
                        f"[{name}]"
                        if isinstance(name, int)
                        else f".{name[:_SHOWN]}"
                        if path
                        else name[:_SHOWN]
                    )
                    waiting.append((path + step, item, depth + 1))


def _refuse_text(text: str, path: str) -> None:
    fault = fault_of(text)
    if fault:
        refuse(fault, path)


def fault_of(text: str) -> str:
    """What is wrong with a text that is to be stored; empty when nothing is."""
    if "\0" in text:
        return "a character NUL stands in it; leave it out"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "half of a surrogate pair stands in it; send whole characters"
    return ""

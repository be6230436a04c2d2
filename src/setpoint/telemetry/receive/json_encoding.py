"""OTLP's JSON encoding to protobuf messages, so that both encodings share one decoder.

OTLP/HTTP calls `parse`. protobuf's own `json_format` does not fit: OTLP writes ids in hex, forbids the
original (snake case) field names and wants unknown fields ignored. Answers use `json_format` (see
`render`), where it does fit.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NoReturn

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from setpoint.errors import InvalidInput
from setpoint.telemetry.receive.limits import MAX_ITEMS, MAX_MESSAGES, too_many

__all__ = ["parse", "render"]

_MAX_DEPTH = 100
"""Levels of messages in one another; protobuf's own limit for its binary encoding."""

_HEX_FIELDS = frozenset({"trace_id", "span_id", "parent_span_id"})


class _Wrong(ValueError):
    """A value that does not fit its field; the message is for the sender."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    is_repeated: bool
    message: Descriptor | None
    convert: Callable[[Any], Any]


def parse(body: bytes, message: Any) -> Any:
    """Fill `message` (a protobuf message) from OTLP JSON and return it.

    Raises InvalidInput for what is no JSON, has a value of the wrong type, or is nested deeper than 100
    messages; TooLarge for more objects and arrays than a request may have messages.
    """
    if body.count(b"{") + body.count(b"[") > MAX_MESSAGES:
        raise too_many(MAX_MESSAGES)
    try:
        document = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except (UnicodeDecodeError, ValueError) as error:
        raise InvalidInput(f"the body is not valid JSON: {error}; send the JSON encoding of OTLP") from error
    except RecursionError as error:
        raise InvalidInput("the JSON is nested too deeply; OTLP nests at most 100 messages") from error
    try:
        _fill(message, document, "", 0)
    except _Wrong as error:
        raise InvalidInput(f"the JSON does not fit OTLP: {error}") from error
    return message


def render(message: Any) -> bytes:
    """A message in protobuf's JSON encoding, on one line."""
    text: str = json_format.MessageToJson(message, indent=None)
    return text.encode()


def _fill(message: Any, document: Any, path: str, depth: int) -> None:
    if not isinstance(document, dict):
        raise _Wrong(f"{path or 'the body'} must be an object, not {_kind(document)}")
    if depth > _MAX_DEPTH:
        raise _Wrong("messages are nested deeper than 100 levels")
    fields = _fields(message.DESCRIPTOR)
    for key, value in document.items():
        field = fields.get(key)
        if field is None or value is None:  # unknown fields are ignored, null means unset
            continue
        place = f"{path}.{key}" if path else key
        if field.is_repeated:
            _fill_repeated(getattr(message, field.name), field, value, place, depth)
        elif field.message is not None:
            child = getattr(message, field.name)
            child.SetInParent()
            _fill(child, value, place, depth + 1)
        else:
            _set(partial(setattr, message, field.name), field, value, place)


def _fill_repeated(container: Any, field: _Field, value: Any, place: str, depth: int) -> None:
    if not isinstance(value, list):
        raise _Wrong(f"{place} must be an array, not {_kind(value)}")
    if len(value) > MAX_ITEMS:
        raise _Wrong(f"{place} has more than {MAX_ITEMS} elements; send smaller batches")
    for index, item in enumerate(value):
        if field.message is not None:
            _fill(container.add(), item, f"{place}[{index}]", depth + 1)
        else:
            _set(container.append, field, item, f"{place}[{index}]")


def _set(setter: Callable[[Any], None], field: _Field, value: Any, place: str) -> None:
    try:
        setter(field.convert(value))
    except (ValueError, TypeError, OverflowError) as error:  # protobuf itself checks ranges and text
        raise _Wrong(f"{place}: {error}") from error


@lru_cache(maxsize=200)
def _fields(descriptor: Descriptor) -> Mapping[str, _Field]:
    return {
        field.json_name: _Field(field.name, field.is_repeated, field.message_type, _converter(field))
        for field in descriptor.fields
    }


def _converter(field: FieldDescriptor) -> Callable[[Any], Any]:
    if field.enum_type is not None:
        names = {value.name: value.number for value in field.enum_type.values}
        return lambda value: names[value] if isinstance(value, str) and value in names else _integer(value)
    if field.cpp_type in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
        return _double
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return _boolean
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _hex if field.name in _HEX_FIELDS else _base64
    return _text if field.type == FieldDescriptor.TYPE_STRING else _integer


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _Wrong(f"expected an integer, not {_kind(value)}")
    if isinstance(value, str):
        if not value.removeprefix("-").isascii() or not value.removeprefix("-").isdigit():
            raise _Wrong(f"'{value[:40]}' is not an integer")
        return int(value)
    if isinstance(value, float):
        if not value.is_integer():
            raise _Wrong(f"{value} is not an integer")
        return int(value)
    return value


def _double(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _Wrong(f"expected a number, not {_kind(value)}")
    if isinstance(value, str) and value not in ("NaN", "Infinity", "-Infinity"):
        number = float(value)
        if not math.isfinite(number):
            raise _Wrong(f"'{value[:40]}' is not a number; write NaN, Infinity or -Infinity")
        return number
    return float(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong(f"expected true or false, not {_kind(value)}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong(f"expected a string, not {_kind(value)}")
    value.encode()  # a lone surrogate is no text; this raises a ValueError that says so
    return value


def _hex(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _Wrong(f"expected an id in hex, not {_kind(value)}")
    try:
        return binascii.unhexlify(value)
    except ValueError as error:
        raise _Wrong(f"'{value[:40]}' is not an id in hex") from error


def _base64(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _Wrong(f"expected base64, not {_kind(value)}")
    text = value.replace("-", "+").replace("_", "/")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f'{name} is no JSON; write "{name}" in quotes')

"""What a form of a page sends, or a program as JSON in its place: one handler takes both.

Forms of our pages are `application/x-www-form-urlencoded` and small; whoever sends more is refused before it is read.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from fastapi import Request

from setpoint.errors import InvalidInput, TooLarge

__all__ = ["LIMIT_BYTES", "Form", "read_form"]

LIMIT_BYTES = 64 << 10
_FIELDS_MAX = 100


class Form:
    """The fields that were sent; `is_json` says how. Every field is text, or what JSON had in its place."""

    def __init__(self, fields: dict[str, Any], *, is_json: bool) -> None:
        self.fields = fields
        self.is_json = is_json

    def text(self, name: str, most: int, default: str = "") -> str:
        """A field as text without space around it. Raises InvalidInput when it is no text, or too long."""
        value = self.fields.get(name)
        if value is None or value == "":
            return default
        if not isinstance(value, str):
            raise InvalidInput(f"{name} is no text; write it in quotes")
        if len(value) > most:
            raise InvalidInput(f"{name} has {len(value):,} characters; write at most {most:,}")
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise InvalidInput(f"{name} holds a character that is no text; remove it")
        return value.strip()

    def only(self, *names: str) -> None:
        """Raises InvalidInput when there are other fields than these."""
        unknown = sorted(self.fields.keys() - set(names))
        if unknown:
            raise InvalidInput(
                f"there is no field '{unknown[0][:80]}' here; the fields are {', '.join(names)}"
            )


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LIMIT_BYTES:
            raise TooLarge(f"the form is larger than {LIMIT_BYTES:,} bytes; nothing of ours is so long")
    return bytes(body)


async def read_form(request: Request) -> Form:
    """The body of a request, as a dependency of handlers. Raises InvalidInput, TooLarge."""
    body = await _body(request)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        try:
            pairs = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_FIELDS_MAX)
        except ValueError as error:
            raise InvalidInput("the body is no form; send fields as name=value, or JSON") from error
        return Form({name: values[-1] for name, values in pairs.items()}, is_json=False)
    try:
        fields = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the body is no JSON ({error})") from error
    if not isinstance(fields, dict):
        raise InvalidInput('the body is no JSON object; write fields as {"name": "value"}')
    return Form(fields, is_json=True)

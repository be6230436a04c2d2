"""A document as canonical YAML: the one text that `get` prints and every diff compares.

Keys are in a fixed order (the envelope first, then by name), so that moving lines about is no change. Text is
quoted wherever any YAML version could read it as something else; what it prints reads back as the same value.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["canonical_yaml", "unified_diff"]

_FIRST = {name: rank for rank, name in enumerate(("apiVersion", "kind", "metadata", "name", "displayName"))}
_PLAIN = re.compile(r"[A-Za-z_/][A-Za-z0-9_./()+-]*([ ][A-Za-z0-9_./()+,-]+)*", re.ASCII)
_NOT_TEXT = re.compile(r"(?:null|true|false|yes|no|on|off|y|n)", re.IGNORECASE)
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}


def canonical_yaml(body: Mapping[str, Any]) -> str:
    """`body` (dicts with text keys, lists, text, numbers, booleans, None) as canonical YAML."""
    return "\n".join(_lines(body, "")) + "\n"


def unified_diff(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> str:
    """The unified diff of two documents' canonical YAML; None is a document that does not exist."""
    old, new = ([] if body is None else canonical_yaml(body).split("\n")[:-1] for body in (before, after))
    return "".join(f"{line}\n" for line in difflib.unified_diff(old, new, "before", "after", lineterm=""))


def _lines(value: Any, indent: str) -> Iterator[str]:
    """The lines of a mapping or list that is not empty."""
    if isinstance(value, Mapping):
        for key in sorted(value, key=lambda key: (_FIRST.get(key, len(_FIRST)), key)):
            yield from _entry(f"{indent}{_text(key)}:", value[key], indent + "  ")
        return
    for item in value:
        if isinstance(item, (Mapping, list)) and item:
            first, *rest = _lines(item, indent + "  ")
            yield f"{indent}- {first.lstrip(' ')}"
            yield from rest
        else:
            yield from _entry(f"{indent}-", item, indent + "  ")


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, (Mapping, list)) and value:
        yield head
        yield from _lines(value, indent)
    elif isinstance(value, str) and _fits_block(value):
        yield f"{head} {'|' if value.endswith(chr(10)) else '|-'}"
        for line in value.removesuffix("\n").split("\n"):
            yield f"{indent}{line}" if line else ""
    else:
        yield f"{head} {_scalar(value)}"


def _fits_block(text: str) -> bool:
    """True for text of several lines that a literal block gives back exactly."""
    lines = text.removesuffix("\n").split("\n")
    return (
        len(lines) > 1 and bool(lines[-1]) and lines[0][:1].strip() != "" and all(map(str.isprintable, lines))
    )


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    return "{}" if isinstance(value, Mapping) else "[]"


def _text(text: str) -> str:
    if _PLAIN.fullmatch(text) and not _NOT_TEXT.fullmatch(text) and not text.endswith(" "):
        return text
    return f'"{"".join(map(_quoted, text))}"'


def _quoted(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter.isprintable():
        return letter
    code = ord(letter)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"

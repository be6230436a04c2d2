"""String literals as Go reads and writes them.

promql-parser takes the byte that `\\xc5` names for a character. `parse` reads literals here instead: bytes that are no
UTF-8 stay in the text as lone surrogates, so that who needs a valid label name can tell.
"""

from __future__ import annotations

import re

__all__ = ["is_valid", "quoted", "readable", "unquoted"]

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_NAMES = {letter: f"\\{name}" for name, letter in _LETTERS.items()} | {'"': '\\"', "\\": "\\\\"}
_FIRST_SURROGATE, _LAST_SURROGATE = 0xDC80, 0xDCFF


def unquoted(token: str) -> str:
    """The content of a literal that the parser has accepted."""
    content = token[1:-1]
    if token.startswith("`") or "\\" not in content:
        return content

    def value(found: re.Match[str]) -> bytes:
        byte, short, long, octal, letter = found.groups()
        if byte or octal:
            return bytes([int(byte, 16) if byte else int(octal, 8) & 0xFF])
        if short or long:
            return chr(int(short or long, 16)).encode("utf-8", "surrogatepass")
        return _LETTERS.get(letter, letter).encode()

    parts, last = [], 0
    for found in _ESCAPE.finditer(content):
        parts += [content[last : found.start()].encode(), value(found)]
        last = found.end()
    parts.append(content[last:].encode())
    return b"".join(parts).decode("utf-8", "surrogateescape")


def is_valid(text: str) -> bool:
    """Whether `text` is UTF-8."""
    return not any(_FIRST_SURROGATE <= ord(letter) <= _LAST_SURROGATE for letter in text)


def readable(text: str) -> str:
    """`text` with bytes that are no UTF-8 replaced, as it may leave the process."""
    return text if is_valid(text) else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def quoted(text: str) -> str:
    """`text` as Go's %q writes it."""
    parts = []
    for letter in text:
        if _FIRST_SURROGATE <= ord(letter) <= _LAST_SURROGATE:
            parts.append(f"\\x{ord(letter) - 0xDC00:02x}")
        else:
            parts.append(_NAMES.get(letter) or (letter if letter.isprintable() else f"\\u{ord(letter):04x}"))
    return f'"{"".join(parts)}"'

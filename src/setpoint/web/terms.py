"""The search of a list's page: `key:value`, `key:"a value"`, `"a phrase"` or a word, each of which must hold.

`objective` and `targets` read what is typed into their filters with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Term", "read_terms"]

_TERM = re.compile(
    r'(?P<key>[^\s:"]+):(?:"(?P<quoted>[^"]*)"|(?P<value>\S*))|"(?P<phrase>[^"]*)"|(?P<word>\S+)'
)


@dataclass(frozen=True, slots=True)
class Term:
    """One condition, in lower case; `key` is empty for a word or phrase."""

    key: str
    value: str


def read_terms(query: str) -> Iterator[Term]:
    """The conditions of `query`."""
    for found in _TERM.finditer(query):
        value = found["quoted"] or found["value"] or found["phrase"] or found["word"] or ""
        yield Term((found["key"] or "").lower(), value.lower())

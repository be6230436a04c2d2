"""The search of a list's page: `key:value`, `key:"a value"`, `"a phrase"` or a word, each of which must hold.

`key:=value` is the whole value and no more. `fleet` and `targets` read what is typed into their filters with it; in the
former `-key:value` stands for all others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Term", "read_terms", "written_term"]

_TERM = re.compile(
    r'(?P<key>[^\s:"]+):(?P<exact>=?)(?:"(?P<quoted>[^"]*)"|(?P<value>\S*))|"(?P<phrase>[^"]*)"|(?P<word>\S+)'
)


@dataclass(frozen=True, slots=True)
class Term:
    """One condition, in lower case; `key` is empty for a word or phrase."""

    key: str
    value: str
    is_exact: bool = False

    def holds(self, text: str) -> bool:
        """True when `text`, in lower case, contains the value, or is it."""
        return text == self.value if self.is_exact else self.value in text


def read_terms(query: str) -> Iterator[Term]:
    """The conditions of `query`."""
    for found in _TERM.finditer(query):
        value = found["quoted"] or found["value"] or found["phrase"] or found["word"] or ""
        yield Term((found["key"] or "").lower(), value.lower(), found["exact"] == "=")


def written_term(key: str, value: str) -> str:
    """The term that holds for exactly this value; for an empty one, where there is no such label."""
    if not value:
        return f"-{key}:"
    return f'{key}:="{value}"' if re.search(r"\s", value) else f"{key}:={value}"

"""Where in its text each part of a query begins, as Prometheus writes it: `line:column`, both from 1.

promql-parser's tree has no positions. `parse` walks that tree in the order in which it was written, and a
`Cursor` walks the text beside it; what the two disagree about has an empty place, never a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["TOKEN", "Cursor"]

TOKEN = re.compile(
    r"""(?P<skip>\s+|\#[^\n]*)"""
    r"""|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`"""
    r"""|(?:\d|\.\d)(?:[eE][+-]\d|[\w.])*"""
    r"""|[^\W\d][\w:.]*|:[\w:]*"""
    r"""|==|!=|<=|>=|</|>/|=~|!~|.""",
    re.DOTALL,
)
_MODIFIERS = frozenset(
    ("bool", "on", "ignoring", "group_left", "group_right", "fill", "fill_left", "fill_right")
)
_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")


class Cursor:
    """Walks the tokens of a query."""

    def __init__(self, query: str) -> None:
        self._query = query
        found = [match for match in TOKEN.finditer(query) if match.lastgroup is None]
        self._tokens = [match[0] for match in found]
        self._lowered = [token.lower() for token in self._tokens]
        self._starts = [match.start() for match in found]
        self._at = 0

    @property
    def place(self) -> str:
        """Where the next token begins; empty at the end of the text and once the walk has lost its way."""
        if self._at >= len(self._tokens):
            return ""
        before = self._query[: self._starts[self._at]]
        line_start = before.rfind("\n") + 1
        return f"{before.count(chr(10)) + 1}:{len(before[line_start:].encode()) + 1}"

    def info_braces(self) -> list[int]:
        """Where in the text the label selectors of info() open: after its comma, `info(metric, {…})`."""
        found = []
        depth = 0
        calls: list[int] = []
        for i, token in enumerate(self._tokens):
            depth += (token in _OPENING) - (token in _CLOSING)
            if token == "(" and i and self._tokens[i - 1] == "info":
                calls.append(depth)
            elif calls and depth < calls[-1]:
                calls.pop()
            elif token == "{" and self._tokens[i - 1] == "," and calls and depth == calls[-1] + 1:
                found.append(self._starts[i])
        return found

    def trims(self) -> list[int]:
        """Where in the text the operators `</` and `>/` stand."""
        return [
            start for start, token in zip(self._starts, self._tokens, strict=True) if token in ("</", ">/")
        ]

    @property
    def peek(self) -> str:
        """The next token in lower case, or the empty string."""
        return self._lowered[self._at] if self._at < len(self._lowered) else ""

    def first_of(self, words: Iterable[str]) -> str | None:
        """The first token that is one of `words`, in lower case."""
        return next((token for token in self._lowered if token in words), None)

    @property
    def text(self) -> str:
        """The next token as it is written."""
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _stands(self, token: str) -> bool:
        return self.peek == token

    def take(self, token: str = "") -> None:
        """Go past the next token, which is `token` if one is given; otherwise the way is lost."""
        if token and self.peek != token.lower():
            self._at = len(self._tokens)
        self._at += 1

    def signs(self) -> None:
        """Go past the signs of a number."""
        while self.peek in ("+", "-"):
            self.take()

    def brackets(self) -> None:
        """Go past a bracket and all up to its partner."""
        depth = 0
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            depth += (token in _OPENING) - (token in _CLOSING)
            self._at += 1
            if depth <= 0:
                return

    def selector(self) -> None:
        """Go past `name{…}`, and what follows it."""
        if self.peek != "{":
            self.take()
        if self.peek == "{":
            self.brackets()
        self.suffixes()

    def suffixes(self) -> None:
        """Go past ranges, offsets and times: `[5m:1m] offset 5m @ end()`."""
        while self.peek in ("[", "offset", "@"):
            if self.peek == "[":
                self.brackets()
                continue
            self.take()
            self.signs()
            if not self._stands("("):
                self.take()
            if self._stands("("):
                self.brackets()

    def grouping(self) -> None:
        """Go past `by (…)` or `without (…)`, if it stands here."""
        if self.peek in ("by", "without"):
            self.take()
            self.brackets()

    def operator(self) -> None:
        """Go past an operator and how it matches: `== bool on (…) group_left (…)`."""
        self.take()
        while self.peek in _MODIFIERS:
            has_labels = self.peek != "bool"
            self.take()
            if has_labels and self.peek == "(":
                self.brackets()

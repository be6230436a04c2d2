"""Finds where a query goes wrong and says what to write instead, because promql-parser says neither.

Only `parse` calls it, after the parser has refused a query. The place is found by a small scan of our own:
quotes and brackets that do not close, or the first occurrence of the token that the parser's message names.
Where nothing is certain the answer is None, never a guess.
"""

from __future__ import annotations

import re

__all__ = ["advice", "locate", "structure_size"]

_PAIRS = {"(": ")", "[": "]", "{": "}"}
_QUOTED_IN_MESSAGE = re.compile(
    r"(?:unknown function with name|unexpected identifier|call to function) '([^']+)'"
)
_BAD_WORD = re.compile(
    r"(?:bad number or duration syntax|not a valid duration string|illegal regex for):? ?(.+)$"
)
_BAD_CHARACTER = re.compile(r"unexpected character(?: inside brackets)?: '(.)'")
_AFTER_CHARACTER = re.compile(r"unexpected character after '(.)': '(.)'")
_KEYWORD_AT_END = re.compile(
    r"(?:[-+*/%^<>=!]|\b(?:by|without|on|ignoring|offset|and|or|unless|bool|group_left|group_right))\s*$"
)
_STRUCTURE = re.compile(r"[(\[{]|[-+*/%^<>]|[=!]=|\b(?:and|or|unless|atan2)\b", re.IGNORECASE)
_NEEDS_RANGE = re.compile(r"expected type matrix in call to function '([^']+)', got vector")
_GOT_RANGE = re.compile(
    r"expected type vector in (?:call to function '[^']+'|aggregation expression), got matrix"
)


def structure_size(query: str) -> int:
    """How many brackets, operators and binary keywords stand outside quotes: a bound on how deep a query
    nests.
    """
    code, _ = _spans(query)
    return sum(code[found.start()] for found in _STRUCTURE.finditer(query))


def locate(reason: str, query: str) -> int | None:
    """The 0-based position in `query` of the fault that `reason`, the parser's message, is about; or None."""
    for pattern in (_QUOTED_IN_MESSAGE, _BAD_WORD, _BAD_CHARACTER):
        if found := pattern.search(reason):
            return _unquoted(query, found[1])
    if found := _AFTER_CHARACTER.search(reason):
        return _unquoted(query, found[1] + found[2])
    unbalanced = _unbalanced(query)
    if unbalanced is not None:
        return unbalanced
    if _KEYWORD_AT_END.search(query) and reason == "invalid promql query":
        return len(query)
    return None


def advice(reason: str, query: str) -> str | None:
    """What to write instead, where that is obvious."""
    if found := _NEEDS_RANGE.search(reason):
        return (
            f"{found[1]}() reads a range: write a duration after the selector, as in {found[1]}(metric[5m])."
        )
    if _GOT_RANGE.search(reason):
        return "Take a rate of the range first, such as sum(rate(metric[5m]))."
    rules = (
        ("no expression found", "Write an expression, such as sum(rate(http_requests_total[5m]))."),
        ("ranges only allowed", "Write a subquery: a step after a colon, such as rate(...)[1h:1m]."),
        ("comparisons between scalars", "Write bool after the operator, such as 1 == bool 2."),
        (
            "non-empty matcher",
            'Name the metric, or match a label that is not empty, such as {job="shop"}.',
        ),
        ("in label matching, expected string", 'Put the value between quotes, such as {job="shop"}.'),
        ("unterminated quoted string", "Close the quote."),
        ("unclosed left parenthesis", "Close the parenthesis."),
        ("inside brackets", "Write a duration between the brackets and close them, such as [5m]."),
        ("inside braces", 'Close the braces, such as {job="shop"}.'),
        ("to fit in target type", "The duration is out of range; write a shorter one."),
        ("duration", "A duration is a number with ms, s, m, h, d, w or y, such as 90s or 1h30m."),
        ("unexpected character after '!'", "Write != for 'not equal', !~ for 'does not match'."),
        (
            "unexpected character after '.'",
            'Metric names have underscores instead of dots; or quote the name: {"http.requests"}.',
        ),
    )
    for part, hint in rules:
        if part in reason:
            return hint
    if re.search(r"&&|\|\|", query):
        return "Write and, or, unless for set operations."
    return None


def _spans(query: str) -> tuple[list[bool], int | None]:
    """For each character whether it is code (not in quotes, not in a comment), and where an unclosed quote
    opens.
    """
    code = [True] * len(query)
    quote, opened, i = "", 0, 0
    while i < len(query):
        character = query[i]
        if quote:
            code[i] = False
            if character == "\\" and quote != "`" and i + 1 < len(query):
                code[i + 1] = False
                i += 1
            elif character == quote:
                quote = ""
        elif character in "\"'`":
            quote, opened, code[i] = character, i, False
        elif character == "#":
            end = query.find("\n", i)
            end = len(query) if end < 0 else end
            code[i:end] = [False] * (end - i)
            i = end
        i += 1
    return code, opened if quote else None


def _unquoted(query: str, token: str) -> int | None:
    """Where `token` first stands outside quotes as a word of its own."""
    code, _ = _spans(query)
    word = re.escape(token)
    bounds = rf"(?<![\w:]){word}(?![\w:])" if re.fullmatch(r"[\w:]+", token) else word
    places = [found.start() for found in re.finditer(bounds, query) if code[found.start()]]
    if not places and token in query:
        return query.index(token)
    return places[0] if places else None


def _unbalanced(query: str) -> int | None:
    """Where a quote or bracket opens that never closes, or closes that never opened."""
    code, unclosed_quote = _spans(query)
    if unclosed_quote is not None:
        return unclosed_quote
    stack: list[int] = []
    for i, character in enumerate(query):
        if not code[i]:
            continue
        if character in _PAIRS:
            stack.append(i)
        elif character in _PAIRS.values():
            if not stack or _PAIRS[query[stack[-1]]] != character:
                return i
            stack.pop()
    return stack[-1] if stack else None

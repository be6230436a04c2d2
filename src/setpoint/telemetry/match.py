"""Label matchers as Prometheus means them: a missing label counts as "", expressions match the whole value.

`label_index` asks for the predicate of a matcher, `store` asks only whether an expression is valid, because
there ClickHouse's RE2 does the matching. Python's `re` stands in for RE2 here, so what only one of the two
understands is refused with a message, or translated: otherwise an answer would depend on the age of the
samples.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from setpoint.errors import InvalidInput
from setpoint.telemetry.model import Labels, Matcher

__all__ = ["matches", "predicate", "refuse_invalid"]

Predicate = Callable[[str], bool]

_EXPRESSIONS_KEPT = 64
_VALUES_KEPT = 16_384

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_POSIX = re.compile(r"\[:(alnum|alpha|digit|lower|space|upper|word|xdigit):\]")
_ONLY_PYTHON = re.compile(r"\(\?(?:[=!>(#]|<[=!]|P[=>])|[*+?}]\+")
_POSIX_RANGES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "digit": "0-9", "lower": "a-z",
    "space": r"\t\n\v\f\r ", "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip


def predicate(matcher: Matcher) -> Predicate:
    """Whether `matcher` accepts a label's value, as a function. Raises InvalidInput for a bad expression."""
    value = matcher.value
    if matcher.op == "=":
        return lambda candidate: candidate == value
    if matcher.op == "!=":
        return lambda candidate: candidate != value
    accepts = _expression(value)
    if matcher.op == "=~":
        return accepts
    return lambda candidate: not accepts(candidate)


def matches(matchers: Sequence[Matcher], labels: Labels) -> bool:
    """True when `labels` satisfy every matcher."""
    return all(predicate(matcher)(labels.get(matcher.name, "")) for matcher in matchers)


def refuse_invalid(matchers: Sequence[Matcher]) -> None:
    """Raise InvalidInput when one of `matchers` holds an expression that cannot be used."""
    for matcher in matchers:
        predicate(matcher)


@lru_cache(maxsize=_EXPRESSIONS_KEPT)
def _expression(expression: str) -> Predicate:
    compiled = _compile(expression)

    @lru_cache(maxsize=_VALUES_KEPT)
    def accepts(value: str) -> bool:
        return compiled.fullmatch(value) is not None

    return accepts


def _compile(expression: str) -> re.Pattern[str]:
    """`expression` with RE2's meaning: `.` takes newlines (as in Prometheus 3), `\\d` and `\\w` are ASCII."""
    escaped = _ESCAPE.findall(expression)
    bare = _CLASS.sub("x", _ESCAPE.sub("x", expression))
    if any(letter in "123456789Z" for letter in escaped) or _ONLY_PYTHON.search(bare):
        raise InvalidInput(
            f"the regular expression '{expression}' uses look-around, a back-reference or another construct "
            "that RE2 does not have; write it with alternatives and groups"
        )
    translated = _ESCAPE.sub(lambda found: r"\Z" if found[1] == "z" else found[0], expression)
    translated = _POSIX.sub(lambda found: _POSIX_RANGES[found[1]], translated)
    try:
        return re.compile(translated, re.DOTALL | re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidInput(f"the regular expression '{expression}' is not valid: {error}") from error

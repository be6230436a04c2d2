"""Label matchers as Prometheus means them: a missing label counts as "", expressions match the whole value.

The series table asks for the `ValueTest` of a matcher, `store` asks only whether an expression is valid,
because there ClickHouse's RE2 does the matching. Python's `re` stands in for RE2 here, so what only one of
the two understands is refused with a message, or translated: otherwise an answer would depend on the age of
the samples.

Most expressions that people write are alternatives of plain text with `.*` or `.+` between: those become
globs, which a compiled loop tests a million values with in milliseconds. `re` needs a second for that.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from setpoint.errors import InvalidInput
from setpoint.telemetry.linear_match import Automaton, is_dangerous
from setpoint.telemetry.model import Labels, Matcher

__all__ = [
    "Glob",
    "ValueTest",
    "compile_expression",
    "full_match",
    "matches",
    "predicate",
    "refuse_invalid",
    "value_test",
]

Predicate = Callable[[str], bool]
Search = Callable[[str], object]
"""Answers something true or something false."""

_EXPRESSIONS_KEPT = 512

_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
_POSIX = re.compile(r"\[:(alnum|alpha|digit|lower|space|upper|word|xdigit):\]")
_ONLY_PYTHON = re.compile(r"\(\?(?:[=!>(#]|<[=!]|P[=>])|[*+?}]\+")
_FLAGS = re.compile(r"\(\?[ims]*(?:-[ims]+)?\)")
_PARTS = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[ims]*(?:-[ims]+)?\)|\((?:\?[^():]*:?)?|.", re.DOTALL
)
_POSIX_RANGES = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "digit": "0-9", "lower": "a-z",
    "space": r"\t\n\v\f\r ", "upper": "A-Z", "word": "0-9A-Za-z_", "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_QUANTIFIERS = "*+?{"
_SPECIAL = "*+?{}[]()^$."


@dataclass(frozen=True, slots=True)
class Glob:
    """Texts in their order, the first at the start of the value and the last at its end, with anything
    between: `gaps[i]` says whether at least one character stands between `texts[i]` and `texts[i + 1]`.
    """

    texts: tuple[str, ...]
    gaps: tuple[bool, ...]

    def accepts(self, value: str) -> bool:
        """Whether the whole of `value` has this form."""
        first, last = self.texts[0], self.texts[-1]
        if not self.gaps:
            return value == first
        if not value.startswith(first) or not value.endswith(last):
            return False
        at, end = len(first), len(value) - len(last)
        for text, gap in zip(self.texts[1:-1], self.gaps, strict=False):
            at = value.find(text, at + gap, end)
            if at < 0:
                return False
            at += len(text)
        return end - at >= self.gaps[-1]


@dataclass(frozen=True, slots=True)
class ValueTest:
    """What a matcher asks of a label's value, in the form that is quickest to ask.

    A value is accepted when it is one of `texts`, has the form of one of `globs`, or satisfies `search` (None
    if the other two say it all); with `negated` when none of these holds. Every value that `search` accepts
    starts with `prefix`.
    """

    texts: frozenset[str]
    globs: tuple[Glob, ...]
    search: Search | None
    prefix: str
    negated: bool

    def accepts(self, value: str) -> bool:
        """Whether the matcher accepts `value`; "" stands for a missing label."""
        found = (
            value in self.texts
            or any(glob.accepts(value) for glob in self.globs)
            or (self.search is not None and bool(self.search(value)))
        )
        return found != self.negated


@lru_cache(maxsize=_EXPRESSIONS_KEPT)
def value_test(matcher: Matcher) -> ValueTest:
    """The test of `matcher`. Raises InvalidInput for a bad expression."""
    negated = matcher.op in ("!=", "!~")
    if matcher.op in ("=", "!="):
        return ValueTest(frozenset((matcher.value,)), (), None, "", negated)
    globs = _globs(matcher.value)
    if globs is None:
        search = full_match(compile_expression(matcher.value))
        return ValueTest(frozenset(), (), search, _prefix(matcher.value), negated)
    texts = frozenset(glob.texts[0] for glob in globs if not glob.gaps)
    return ValueTest(texts, tuple(glob for glob in globs if glob.gaps), None, "", negated)


def full_match(pattern: re.Pattern[str]) -> Search:
    """Whether all of a text is described by `pattern`, in a time that cannot explode. Raises InvalidInput."""
    return Automaton(pattern).fullmatch if is_dangerous(pattern) else pattern.fullmatch


def predicate(matcher: Matcher) -> Predicate:
    """Whether `matcher` accepts a label's value, as a function. Raises InvalidInput for a bad expression."""
    return value_test(matcher).accepts


def matches(matchers: Sequence[Matcher], labels: Labels) -> bool:
    """True when `labels` satisfy every matcher."""
    return all(predicate(matcher)(labels.get(matcher.name, "")) for matcher in matchers)


def refuse_invalid(matchers: Sequence[Matcher]) -> None:
    """Raise InvalidInput when one of `matchers` holds an expression that cannot be used."""
    for matcher in matchers:
        value_test(matcher)


def _globs(expression: str) -> tuple[Glob, ...] | None:
    """The alternatives of `expression` as globs; None when it says more than globs can."""
    bare = _unanchored(expression)
    for opening in ("(?:", "("):
        if bare.startswith(opening) and bare.endswith(")") and not _ends_escaped(bare[:-1]):
            expression = bare[len(opening) : -1]
            break
    found = []
    for alternative in _alternatives(expression):
        glob = _glob(_unanchored(alternative))
        if glob is None:
            return None
        found.append(glob)
    return tuple(found)


def _alternatives(expression: str) -> list[str]:
    """`expression` split at its unescaped bars; where it has groups or classes `_glob` refuses the pieces."""
    pieces: list[list[str]] = []
    is_open = False
    for piece in expression.split("|"):
        if is_open:
            pieces[-1].append(piece)
        else:
            pieces.append([piece])
        is_open = _ends_escaped(piece)
    return ["|".join(piece) for piece in pieces]


def _unanchored(expression: str) -> str:
    """`expression` without a leading `^` and a trailing `$`, which say nothing when all of a value must match."""
    start = 1 if expression.startswith("^") else 0
    end = len(expression)
    if end > start and expression.endswith("$") and not _ends_escaped(expression[:-1]):
        end -= 1
    return expression[start:end]


def _ends_escaped(before: str) -> bool:
    """Whether the character after `before` is escaped."""
    return (len(before) - len(before.rstrip("\\"))) % 2 == 1


def _glob(alternative: str) -> Glob | None:
    texts = [""]
    gaps: list[bool] = []
    place = 0
    while place < len(alternative):
        letter, following = alternative[place], alternative[place + 1 : place + 2]
        place += 1
        if letter == "." and following in ("*", "+"):
            place += 1
            is_adjacent = bool(gaps) and not texts[-1]
            if is_adjacent or (alternative[place : place + 1] or "x") in _QUANTIFIERS:
                return None
            gaps.append(following == "+")
            texts.append("")
            continue
        if letter == "\\":
            letter = following
            place += 1
            if not letter or letter not in string.punctuation:
                return None
        elif letter in _SPECIAL:
            return None
        if (alternative[place : place + 1] or "x") in _QUANTIFIERS:
            return None
        texts[-1] += letter
    return Glob(tuple(texts), tuple(gaps))


def _prefix(expression: str) -> str:
    """Text that every value starts with which `expression` accepts; "" when none is easily seen."""
    outside = _CLASS.sub("x", _ESCAPE.sub("x", expression))
    if "|" in outside or expression.startswith("(?"):
        return ""
    prefix = ""
    letters = _unanchored(expression)
    place = 0
    while place < len(letters):
        letter = letters[place]
        place += 1
        if letter == "\\":
            letter = letters[place : place + 1]
            place += 1
            if not letter or letter not in string.punctuation:
                break
        elif letter in _SPECIAL:
            break
        if (letters[place : place + 1] or "x") in "*?{":
            break
        prefix += letter
    return prefix


def compile_expression(expression: str, *, dot_takes_newlines: bool = True) -> re.Pattern[str]:
    """`expression` with RE2's meaning: `\\d` and `\\w` are ASCII, in matchers `.` takes newlines (as in Prometheus 3).

    Raises InvalidInput for what RE2 would refuse.
    """
    escaped = _ESCAPE.findall(expression)
    bare = _CLASS.sub("x", _ESCAPE.sub("x", expression))
    if any(letter in "123456789Z" for letter in escaped) or _ONLY_PYTHON.search(bare):
        raise InvalidInput(
            f"the regular expression '{expression}' uses look-around, a back-reference or another construct "
            "that RE2 does not have; write it with alternatives and groups"
        )
    translated = _ESCAPE.sub(lambda found: r"\Z" if found[1] == "z" else found[0], expression)
    translated = _scoped(_POSIX.sub(lambda found: _POSIX_RANGES[found[1]], translated))
    try:
        return re.compile(translated, (re.DOTALL if dot_takes_newlines else 0) | re.ASCII)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidInput(f"the regular expression '{expression}' is not valid: {error}") from error


def _scoped(expression: str) -> str:
    """`expression` with flags that stand inside, such as `a((?i)b|c)d`, written for the rest of their group.

    RE2 takes them anywhere, Python at the start only: `a((?i:b)|(?i:c))d`.
    """
    if _FLAGS.search(expression, 1) is None:
        return expression
    made: list[str] = []
    # Per open group the flags that were set in it.
    groups: list[list[str]] = [[]]
    for found in _PARTS.finditer(expression):
        part = found[0]
        if part == "|":
            flags = groups[-1]
            part = ")" * len(flags) + "|" + "".join(flags)
        elif part == ")":
            part = ")" * (len(groups[-1]) + 1)
            groups = groups[:-1] or [[]]
        elif _FLAGS.fullmatch(part):
            part = f"{part[:-1]}:"
            groups[-1].append(part)
        elif part.startswith("("):
            groups.append([])
        made.append(part)
    return "".join(made) + ")" * len(groups[0])

"""Matchers of labels as Alertmanager has them: read from text, asked of labels, shown again.

Routes, inhibition rules, silences and filters of the API are made of them. A label that is missing counts as "".
Expressions describe the whole value and mean what RE2 means (`alert.from_telemetry`); `.` takes no line break, as in
Alertmanager and unlike in PromQL.

Two grammars are read, as Alertmanager does since 0.27: the classic one first, and what it refuses by the one that
allows any UTF-8 name in quotes. Where both read a text differently, the classic reading holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from setpoint.alert.from_telemetry import compile_expression, full_match
from setpoint.alert.model import Labels
from setpoint.errors import InvalidInput

__all__ = [
    "Matcher",
    "MatcherKind",
    "matches_all",
    "parse_classic",
    "parse_matcher",
    "parse_matchers",
    "shown_matchers",
]

MatcherKind = Literal["=", "!=", "=~", "!~"]

_LENGTH_MAX = 65_536
_CLASSIC = re.compile(r"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(=~|=|!=|!~)", re.ASCII)
_SPACES = "\t\n\f\r "
_RESERVED = re.compile(r"[\s{}!=~,\\\"'`]")
_TOKEN = re.compile(
    r"(?P<space>\s+)|(?P<brace>[{}])|(?P<comma>,)|(?P<operator>=~|!=|!~|=)"
    r'|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<unquoted>[^\s{}!=~,\\"\'`]+)',
    re.DOTALL,
)
_ESCAPE = re.compile(
    r"\\(?:x(?P<byte>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})|u(?P<short>[0-9a-fA-F]{4})"
    r"|U(?P<long>[0-9a-fA-F]{8})|(?P<simple>[abfnrtv\\\"])|(?P<bad>.|$))",
    re.DOTALL,
)
_SIMPLE = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
}
_PLAIN_ALTERNATIVES = re.compile(r"[^\\.+*?()\[\]{}^$\n]*", re.ASCII)
_EXAMPLE = 'write one such as severity="page" or service=~"checkout|cart"'


@dataclass(frozen=True, slots=True)
class Matcher:
    """One condition on one label. Raises InvalidInput for an expression that RE2 would refuse."""

    name: str
    value: str
    kind: MatcherKind = "="
    _accepts: Callable[[str], object] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_accepts", _test(self.value, self.kind))

    def matches(self, labels: Labels) -> bool:
        """Whether labels satisfy it."""
        return bool(self._accepts(labels.get(self.name, "")))

    @property
    def takes_empty(self) -> bool:
        """Whether it is satisfied where the label is missing."""
        return bool(self._accepts(""))

    @property
    def is_regex(self) -> bool:
        """Whether its value is an expression."""
        return self.kind in ("=~", "!~")

    @property
    def is_equal(self) -> bool:
        """Whether it asks for the value, not for another one."""
        return self.kind in ("=", "=~")

    @property
    def order(self) -> tuple[str, str, int]:
        """Where Alertmanager puts it among others: by name, value and kind."""
        return self.name, self.value, ("=", "!=", "=~", "!~").index(self.kind)

    def __str__(self) -> str:
        value = self.value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
        name = self.name
        if not name or _RESERVED.search(name):
            name = '"' + name.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"") + '"'
        return f'{name}{self.kind}"{value}"'


def matches_all(matchers: Iterable[Matcher], labels: Labels) -> bool:
    """Whether labels satisfy every one of `matchers`; no matchers are satisfied by all labels."""
    return all(one.matches(labels) for one in matchers)


def shown_matchers(matchers: Iterable[Matcher]) -> str:
    """Matchers as Alertmanager writes them: `{severity="page",team=~"a|b"}`."""
    return "{" + ",".join(map(str, matchers)) + "}"


def parse_matchers(text: str) -> tuple[Matcher, ...]:
    """The matchers of `{a="b", c!~"d"}`, with or without braces, in their order. Raises InvalidInput."""
    if len(text) > _LENGTH_MAX:
        raise InvalidInput(f"matchers have {len(text)} characters; write at most {_LENGTH_MAX}")
    try:
        return parse_classic(text)
    except _Expression:
        raise
    except InvalidInput as error:
        try:
            return _read_utf8(text)
        except _Expression:
            raise
        except InvalidInput:
            raise InvalidInput(f"{error.message}; {_EXAMPLE}") from error


def parse_classic(text: str) -> tuple[Matcher, ...]:
    """The matchers of `text` by the classic grammar alone. Raises InvalidInput with Alertmanager's sentences."""
    return tuple(_classic_matcher(part) for part in _classic_parts(text))


def parse_matcher(text: str) -> Matcher:
    """One matcher, without braces. Raises InvalidInput."""
    if text.startswith("{") or text.endswith("}"):
        raise InvalidInput(f"unexpected open or close brace: {text[:200]}; {_EXAMPLE}")
    found = parse_matchers(text)
    if len(found) != 1:
        raise InvalidInput(f"one matcher is expected here, found {len(found)}: {text[:200]}; {_EXAMPLE}")
    return found[0]


class _Expression(InvalidInput):
    """The matcher is well written, and its regular expression is not valid."""


@lru_cache(maxsize=4096)
def _test(value: str, kind: MatcherKind) -> Callable[[str], object]:
    """What a matcher asks of a value, as a function that answers something true or something false."""
    if kind == "=":
        return value.__eq__
    if kind == "!=":
        return value.__ne__
    bare = value[4:-2] if value.startswith("^(?:") and value.endswith(")$") else value
    if _PLAIN_ALTERNATIVES.fullmatch(bare):
        accepts: Callable[[str], object] = frozenset(bare.split("|")).__contains__
    else:
        try:
            accepts = full_match(compile_expression(value, dot_takes_newlines=False))
        except InvalidInput as error:
            raise _Expression(error.message) from error
    return accepts if kind == "=~" else lambda text: not accepts(text)


def _classic_parts(text: str) -> list[str]:
    """`text` split at its commas outside of quotes, as the classic grammar does."""
    parts: list[str] = []
    part: list[str] = []
    is_quoted = is_escaped = False
    for letter in text.removeprefix("{").removesuffix("}"):
        if letter == "," and not is_quoted:
            parts.append("".join(part))
            part.clear()
            continue
        if letter == '"':
            is_quoted = is_quoted != (not is_escaped)
            is_escaped = False
        else:
            is_escaped = letter == "\\" and not is_escaped
        part.append(letter)
    last = "".join(part).strip()
    return [*parts, last] if last else parts


def _classic_matcher(text: str) -> Matcher:
    found = _CLASSIC.match(text)
    if found is None:
        raise InvalidInput(f"bad matcher format: {text[:200]}")
    return Matcher(found[1], _classic_value(text[found.end() :].strip(_SPACES)), _kind(found[2]))


def _classic_value(raw: str) -> str:
    """A value without its quotes and escapes; an escape that means nothing stands for itself."""
    is_quoted = raw.startswith('"')
    rest = raw[1:] if is_quoted else raw
    value: list[str] = []
    is_closed, at = not is_quoted, 0
    while at < len(rest):
        letter = rest[at]
        at += 1
        if letter == "\\" and at < len(rest):
            following = rest[at]
            at += 1
            value.append({"n": "\n", '"': '"', "\\": "\\"}.get(following, "\\" + following))
        elif letter == '"':
            if not is_quoted or at < len(rest):
                raise InvalidInput(f"matcher value contains unescaped double quote: {raw[:200]}")
            is_closed = True
        else:
            value.append(letter)
    if not is_closed:
        raise InvalidInput(f"matcher value contains unescaped double quote: {raw[:200]}")
    return "".join(value)


def _read_utf8(text: str) -> tuple[Matcher, ...]:
    """Matchers by the newer grammar, in which names may be quoted."""
    tokens = _tokens(text)
    is_braced = bool(tokens) and tokens[0] == ("brace", "{")
    if is_braced:
        if tokens[-1] != ("brace", "}") or len(tokens) == 1:
            raise InvalidInput(f"the brace that is opened is not closed: {text[:200]}")
        tokens = tokens[1:-1]
    found: list[Matcher] = []
    at = 0
    while at < len(tokens):
        found.append(_utf8_matcher(tokens[at : at + 3], text))
        at += 3
        if at < len(tokens) and tokens[at] != ("comma", ","):
            raise InvalidInput(f"expected a comma before '{tokens[at][1][:80]}'")
        at += 1
    return tuple(found)


def _utf8_matcher(tokens: Sequence[tuple[str, str]], text: str) -> Matcher:
    kinds = [kind for kind, _ in tokens]
    if (
        len(tokens) < 3
        or kinds[1] != "operator"
        or not {kinds[0], kinds[2]} <= {"quoted", "unquoted"}
        or not tokens[0][1]
    ):
        shown = "".join(value for _, value in tokens) or text
        raise InvalidInput(f"bad matcher format: {shown[:200]}")
    return Matcher(tokens[0][1], tokens[2][1], _kind(tokens[1][1]))


def _tokens(text: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            told = (
                "a quote is opened and not closed"
                if text[at] == '"'
                else f"'{text[at]}' must stand in quotes"
            )
            raise InvalidInput(f"{told}: {text[at : at + 200]}")
        at = match.end()
        kind = match.lastgroup or ""
        if kind == "quoted":
            found.append((kind, _unescaped(match["quoted"])))
        elif kind != "space":
            found.append((kind, match[0]))
    return found


def _unescaped(text: str) -> str:
    """The content of a string literal of Go. Raises InvalidInput for an escape that Go does not have."""

    def replacement(found: re.Match[str]) -> str:
        if found["bad"] is not None or "\n" in found[0]:
            raise InvalidInput(f"'{found[0]}' is no escape; write \\\\ for a backslash")
        if found["simple"]:
            return _SIMPLE[found["simple"]]
        code = int(found["byte"] or found["short"] or found["long"] or "0", 16)
        if found["octal"]:
            code = int(found["octal"], 8)
        if found["byte"] or found["octal"]:
            # Bytes stand for themselves in UTF-8; surrogates keep them apart until all are there.
            return chr(code) if code < 128 else bytes([code]).decode("utf-8", "surrogateescape")
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise InvalidInput(f"'{found[0]}' is no character")
        return chr(code)

    if "\n" in text:
        raise InvalidInput("a line break stands in quotes; write \\n")
    plain = _ESCAPE.sub(replacement, text)
    try:
        return plain.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError as error:
        raise InvalidInput(f"is not valid UTF-8: {text[:200]}") from error


def _kind(text: str) -> MatcherKind:
    return "=" if text == "=" else "!=" if text == "!=" else "=~" if text == "=~" else "!~"

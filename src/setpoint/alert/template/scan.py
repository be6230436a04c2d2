"""Cuts a template into text and actions, and an action into tokens; `parse` puts them together.

The rules are those of Go's text/template: `{{- ` and ` -}}` take the white space beside them away, `{{/* … */}}` is a
comment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from setpoint.alert.template.errors import TemplateError

__all__ = ["Kind", "Piece", "Token", "pieces"]

Kind = Literal["number", "string", "field", "variable", "word", "symbol", "space", "end"]

_SPACE = " \t\r\n"
_TOKENS = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    |(?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`|'(?:[^'\\\n]|\\.)+')
    |(?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+
        |(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)(?![\w.]))
    |(?P<variable>\$\w*)
    |(?P<field>\.\w+)
    |(?P<word>[^\W\d]\w*)
    |(?P<symbol>:=|[|(),=.])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an action at a line of the template, counted from 1."""

    kind: Kind
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Piece:
    """Text, or the tokens of an action; comments leave nothing."""

    line: int
    text: str = ""
    tokens: tuple[Token, ...] | None = None


def pieces(template: str) -> list[Piece]:
    """The pieces of `template`. Raises TemplateError."""
    found: list[Piece] = []
    position, trims = 0, False
    while True:
        start = template.find("{{", position)
        text = template[position:] if start < 0 else template[position:start]
        if trims:
            text = text.lstrip(_SPACE)
        if start < 0:
            if text:
                found.append(Piece(_line(template, position), text))
            return found
        inside = start + 2
        if template[inside : inside + 1] == "-" and template[inside + 1 : inside + 2] in tuple(_SPACE):
            text = text.rstrip(_SPACE)
            inside += 2
        if text:
            found.append(Piece(_line(template, position), text))
        tokens, position, trims = _action(template, inside, start)
        if tokens is not None:
            found.append(Piece(_line(template, start), tokens=tokens))


def _line(template: str, position: int) -> int:
    return template.count("\n", 0, position) + 1


def _action(template: str, position: int, start: int) -> tuple[tuple[Token, ...] | None, int, bool]:
    """The tokens of the action that begins at `position`, where it ends, and whether it trims what follows."""
    comment = re.compile(r"\s*/\*.*?\*/(\s-)?\}\}", re.DOTALL).match(template, position)
    if comment:
        return None, comment.end(), comment[1] is not None
    tokens: list[Token] = []
    while True:
        line = _line(template, position)
        if template.startswith("}}", position):
            tokens.append(Token("end", "", line))
            return tuple(tokens), position + 2, False
        if re.compile(r"\s-\}\}").match(template, position):
            tokens.append(Token("end", "", line))
            return tuple(tokens), template.index("}}", position) + 2, True
        found = _TOKENS.match(template, position)
        if found is None:
            if position >= len(template):
                raise TemplateError(
                    "an action is opened with {{ and not closed; write }}", _line(template, start)
                )
            raise _fault(template, position)
        space = found["space"]
        if space is not None and template.startswith("-}}", found.end()):
            position = found.end() - 1
            continue
        tokens.append(Token(_kind(found), found[0], line))
        position = found.end()


def _kind(found: re.Match[str]) -> Kind:
    group = found.lastgroup
    assert group is not None
    return group  # type: ignore[return-value]  # the pattern names its groups after the kinds


def _fault(template: str, position: int) -> TemplateError:
    letter, line = template[position], _line(template, position)
    if letter in "\"'`":
        return TemplateError(f"a {letter} is opened and not closed; close it", line)
    word = re.compile(r"[\w.+-]+").match(template, position)
    if word:
        return TemplateError(f"'{word[0]}' is no number and no name", line)
    return TemplateError(f"'{letter}' cannot stand in an action", line)

"""The parts of a parsed template; `parse` makes them, `run` walks them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Call",
    "Chain",
    "Command",
    "Field",
    "FunctionName",
    "If",
    "Leave",
    "Literal",
    "Node",
    "Operand",
    "Output",
    "Pipeline",
    "Range",
    "Text",
    "Variable",
    "With",
]


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: text, a number, a boolean, or None for `nil`."""

    value: str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Field:
    """`.a.b`, of what the dot is; without names the dot itself."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """`$name.a.b`; the empty name is `$`, what the template was given."""

    name: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FunctionName:
    """A function, at the head of a command or as an argument without arguments of its own."""

    name: str


@dataclass(frozen=True, slots=True)
class Chain:
    """`(pipeline).a.b`."""

    operand: Pipeline
    names: tuple[str, ...]


Operand = Literal | Field | Variable | FunctionName | Chain


@dataclass(frozen=True, slots=True)
class Command:
    """One stage of a pipeline: an operand and its arguments. `line` counts in the template, from 1."""

    line: int
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands, each taking the value of the one before as its last argument; `declares` are the variables that
    get the value, new ones or, if `is_assignment`, those that exist.
    """

    line: int
    commands: tuple[Command, ...]
    declares: tuple[str, ...] = ()
    is_assignment: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """What stands outside the braces."""

    text: str


@dataclass(frozen=True, slots=True)
class Output:
    """`{{pipeline}}`."""

    pipeline: Pipeline


@dataclass(frozen=True, slots=True)
class If:
    """`{{if}}`, with `otherwise` for `{{else}}`."""

    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class With:
    """`{{with}}`: as `If`, and the dot is the value inside."""

    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """`{{range}}`; `otherwise` where there is nothing to go through."""

    pipeline: Pipeline
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Leave:
    """`{{break}}` or, if `goes_on`, `{{continue}}`."""

    goes_on: bool


@dataclass(frozen=True, slots=True)
class Call:
    """`{{template "name" pipeline}}`; without a pipeline its dot is nil. `{{block}}` is this and a definition."""

    line: int
    name: str
    pipeline: Pipeline | None


Node = Text | Output | If | With | Range | Leave | Call

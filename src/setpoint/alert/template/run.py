"""Runs a parsed template. It can reach nothing but what it is given, and ends after a bounded number of steps.

Called by the evaluation of alerting rules through `Template.expand`, and for the texts of notifications, which call
templates by name and may be HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from setpoint.alert.template.errors import TemplateError
from setpoint.alert.template.nodes import (
    Call,
    Chain,
    Command,
    Field,
    FunctionName,
    If,
    Leave,
    Literal,
    Node,
    Operand,
    Output,
    Pipeline,
    Range,
    Text,
    Variable,
    With,
)
from setpoint.alert.template.values import Arguments, LabelMap, field, is_true, shown, type_name
from setpoint.errors import InvalidInput

__all__ = ["Writer", "run"]

_MOST_STEPS = 1_000_000
_LONGEST = 1_000_000
_CHARACTERS_PER_STEP = 1000
_ITEMS_PER_STEP = 10
_DEEPEST = 100
_LONGEST_SHOWN = 100

_NOTHING: Any = object()


class _Left(Exception):
    """A loop is left, or goes on with its next item."""

    def __init__(self, goes_on: bool) -> None:
        self.goes_on = goes_on


class Writer:
    """How a template is written: text as it stands, values as Go prints them. Other kinds of text escape values."""

    def text(self, text: str) -> str:
        """What becomes of text of the template."""
        return text

    def value(self, value: Any) -> str:
        """What becomes of a value."""
        return shown(value)


def run(
    nodes: Sequence[Node],
    data: Any,
    variables: Mapping[str, Any],
    functions: Mapping[str, Callable[..., Any]],
    *,
    definitions: Mapping[str, Sequence[Node]] | None = None,
    writer: Writer | None = None,
) -> str:
    """The text that `nodes` make of the dot `data`; `definitions` are the templates to call. Raises TemplateError."""
    runner = _Runner(data, variables, functions, definitions or {}, writer or Writer())
    runner.nodes(nodes, data)
    return "".join(runner.output)


class _Runner:
    def __init__(
        self,
        data: Any,
        variables: Mapping[str, Any],
        functions: Mapping[str, Callable[..., Any]],
        definitions: Mapping[str, Sequence[Node]],
        writer: Writer,
    ) -> None:
        self.data = data
        self.output: list[str] = []
        self._length = 0
        self._steps = 0
        self._depth = 0
        self._variables: list[tuple[str, Any]] = [("", data), *variables.items()]
        self._functions = functions
        self._definitions = definitions
        self._writer = writer

    def nodes(self, nodes: Sequence[Node], dot: Any) -> None:
        """Write all of `nodes`."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise TemplateError(f"the template is nested deeper than {_DEEPEST} levels; does it call itself?")
        for node in nodes:
            self._steps += 1
            if self._steps > _MOST_STEPS:
                raise TemplateError(f"the template takes more than {_MOST_STEPS} steps; loop over less")
            self._node(node, dot)
        self._depth -= 1

    def _node(self, node: Node, dot: Any) -> None:
        match node:
            case Text():
                self._write(self._writer.text(node.text))
            case Output():
                value = self._pipeline(node.pipeline, dot)
                if not node.pipeline.declares:
                    self._write(self._writer.value(value))
            case If() | With():
                mark = len(self._variables)
                value = self._pipeline(node.pipeline, dot)
                if is_true(value):
                    self.nodes(node.body, value if isinstance(node, With) else dot)
                else:
                    self.nodes(node.otherwise, dot)
                del self._variables[mark:]
            case Range():
                self._range(node, dot)
            case Leave():
                raise _Left(node.goes_on)
            case Call():
                self._template(node, dot)

    def _template(self, call: Call, dot: Any) -> None:
        """A template of a name sees its dot and no variables of who calls it."""
        called = self._definitions.get(call.name)
        if called is None:
            raise TemplateError(
                f'the template "{call.name}" is not defined; define it, or correct its name', call.line
            )
        if self._depth >= _DEEPEST:
            raise TemplateError(
                f"templates call each other more than {_DEEPEST} times; do they end?", call.line
            )
        given = None if call.pipeline is None else self._pipeline(call.pipeline, dot)
        around, self._variables = self._variables, [("", given)]
        try:
            self.nodes(called, given)
        except TemplateError as error:
            # The innermost says where: its lines are counted in its own file.
            if ", in the template " in str(error):
                raise
            raise TemplateError(f'{error}, in the template "{call.name}"', error.line) from None
        self._variables = around

    def _write(self, text: str) -> None:
        self._length += len(text)
        if self._length > _LONGEST:
            raise TemplateError(f"the template makes more than {_LONGEST} characters; write less")
        self.output.append(text)

    def _range(self, node: Range, dot: Any) -> None:
        mark, depth = len(self._variables), self._depth
        # The variables are set per item, not to the whole.
        whole = self._pipeline(Pipeline(node.pipeline.line, node.pipeline.commands), dot)
        items = self._items(whole, node.pipeline.line)
        names = node.pipeline.declares
        for key, item in items:
            values = (item,) if len(names) == 1 else (key, item)
            if node.pipeline.is_assignment:
                for name, value in zip(names, values, strict=False):
                    self._assign(name, value)
            else:
                self._variables.extend(zip(names, values, strict=False))
            try:
                self.nodes(node.body, item)
            except _Left as left:
                self._depth = depth
                if not left.goes_on:
                    break
            finally:
                if not node.pipeline.is_assignment:
                    del self._variables[mark:]
        if not items:
            self.nodes(node.otherwise, dot)

    def _items(self, whole: Any, line: int) -> list[tuple[Any, Any]]:
        if whole is None:
            return []
        if isinstance(whole, list):
            return list(enumerate(whole))
        if isinstance(whole, dict):
            return sorted(whole.items())
        if isinstance(whole, int) and not isinstance(whole, bool):
            return [(index, index) for index in range(min(whole, _MOST_STEPS))]
        raise TemplateError(f"range can't iterate over {shown(whole)[:_LONGEST_SHOWN]}", line)

    def _pipeline(self, pipeline: Pipeline, dot: Any) -> Any:
        value = _NOTHING
        for command in pipeline.commands:
            value = self._command(command, dot, value)
        if pipeline.is_assignment:
            self._assign(pipeline.declares[0], value)
        else:
            self._variables.extend((name, value) for name in pipeline.declares)
        return value

    def _assign(self, name: str, value: Any) -> None:
        for index in range(len(self._variables) - 1, -1, -1):
            if self._variables[index][0] == name:
                self._variables[index] = (name, value)
                return

    def _command(self, command: Command, dot: Any, piped: Any) -> Any:
        self._steps += 1
        first, rest = command.operands[0], command.operands[1:]
        if isinstance(first, FunctionName) and first.name in ("and", "or"):
            return self._logic(first.name, rest, dot, piped, command.line)
        arguments = [self._operand(operand, dot, command.line) for operand in rest]
        if piped is not _NOTHING:
            arguments.append(piped)
        if isinstance(first, Literal) and first.value is None:
            raise TemplateError("nil is not a command", command.line)
        return self._operand(first, dot, command.line, tuple(arguments))

    def _logic(self, name: str, rest: Sequence[Operand], dot: Any, piped: Any, line: int) -> Any:
        """`and` and `or` end at the first argument that decides."""
        if not rest and piped is _NOTHING:
            raise TemplateError(f"wrong number of args for {name}: want at least 1 got 0", line)
        value: Any = None
        for operand in rest:
            value = self._operand(operand, dot, line)
            if is_true(value) == (name == "or"):
                return value
        return value if piped is _NOTHING else piped

    def _operand(self, operand: Operand, dot: Any, line: int, arguments: tuple[Any, ...] = ()) -> Any:
        match operand:
            case Literal():
                return operand.value
            case FunctionName():
                return self._call(operand.name, arguments, line)
            case Field():
                return self._fields(dot, operand.names, arguments, line)
            case Variable():
                value = next(value for name, value in reversed(self._variables) if name == operand.name)
                return self._fields(value, operand.names, arguments, line)
            case Chain():
                mark = len(self._variables)
                value = self._pipeline(operand.operand, dot)
                del self._variables[mark:]
                return self._fields(value, operand.names, arguments, line)

    def _fields(self, value: Any, names: Sequence[str], arguments: tuple[Any, ...], line: int) -> Any:
        if not names and arguments:
            raise TemplateError(f"can't give argument to non-function {shown(value)[:_LONGEST_SHOWN]}", line)
        for index, name in enumerate(names):
            if value is None:
                raise TemplateError(f"nil pointer evaluating .{name}", line)
            if value is self.data and type(value) is dict and name not in value:
                raise TemplateError(
                    f"can't evaluate field {name}; .Labels, .ExternalLabels, .ExternalURL and .Value are there",
                    line,
                )
            try:
                value = field(value, name, arguments if index == len(names) - 1 else ())
            except LookupError:
                raise TemplateError(f"can't evaluate field {name} in type {type_name(value)}", line) from None
        return value

    def _call(self, name: str, arguments: tuple[Any, ...], line: int) -> Any:
        try:
            value = self._functions[name](*arguments)
        except TypeError:
            raise TemplateError(f"wrong number of args for {name}: got {len(arguments)}", line) from None
        except (ValueError, InvalidInput) as error:
            raise TemplateError(f"error calling {name}: {error}", line) from None
        if isinstance(value, str):
            if len(value) > _LONGEST:
                raise TemplateError(f"{name} makes more than {_LONGEST} characters; write less", line)
            self._steps += len(value) // _CHARACTERS_PER_STEP
        elif isinstance(value, list):
            # Lists are copied when they grow, so that a loop over a long one is not as cheap as it looks.
            self._steps += len(value) // _ITEMS_PER_STEP
        if isinstance(value, dict) and not isinstance(value, LabelMap | Arguments):
            return LabelMap(value)
        return value

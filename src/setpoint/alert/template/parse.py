"""Parses a template: the subset of Go's text/template that rules and notifications use.

Recursive descent over the tokens of `scan`. Functions and variables that do not exist are found here, when the rule
file is read, not when the alert fires at night. Templates that define or call others are read where there is somewhere
to keep them: a notification's templates have files, a rule has not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from setpoint.alert.from_promql import unquote
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
from setpoint.alert.template.scan import Piece, Token, pieces

__all__ = ["parse"]

_BLOCKS: dict[str, type[If] | type[With] | type[Range]] = {"if": If, "with": With, "range": Range}
_REFUSED = ("define", "template", "block")
_CONSTANTS = {"true": True, "false": False, "nil": None}
_DEEPEST = 50
_END = Token("end", "", 0)


def parse(
    text: str,
    functions: Collection[str],
    variables: Collection[str],
    definitions: dict[str, tuple[Node, ...]] | None = None,
) -> tuple[Node, ...]:
    """The nodes of the template `text`; `variables` exist from the start, without their `$`.

    What it defines goes into `definitions`; without them it may neither define nor call. Raises TemplateError.
    """
    return _Parser(pieces(text), functions, variables, definitions).template()


class _Parser:
    def __init__(
        self,
        found: list[Piece],
        functions: Collection[str],
        variables: Collection[str],
        definitions: dict[str, tuple[Node, ...]] | None,
    ) -> None:
        self._pieces = found
        self._place = 0
        self._tokens: tuple[Token, ...] = ()
        self._at = 0
        self._functions = functions
        self._definitions = definitions
        self._scopes: list[set[str]] = [{"", *variables}]
        self._loops = 0
        self._depth = 0

    def template(self) -> tuple[Node, ...]:
        """All of it."""
        nodes, closing = self._nodes()
        if closing is not None:
            raise TemplateError(
                f"{{{{{closing.text}}}}} has no if, with or range above it; remove it", closing.line
            )
        return nodes

    def _nodes(self) -> tuple[tuple[Node, ...], Token | None]:
        """Nodes up to an `else` or `end` of the block around them, and that token, standing behind it."""
        nodes: list[Node] = []
        while self._place < len(self._pieces):
            piece = self._pieces[self._place]
            self._place += 1
            if piece.tokens is None:
                nodes.append(Text(piece.text))
                continue
            self._tokens, self._at = piece.tokens, 0
            first = self._peek()
            if first.kind == "word" and first.text in ("else", "end"):
                self._next()
                return tuple(nodes), first
            if first.text == "define" and first.kind == "word" and self._definitions is not None:
                self._define(first)
                continue
            nodes.append(self._action(first))
        return tuple(nodes), None

    def _action(self, first: Token) -> Node:
        if first.kind == "word" and first.text in _BLOCKS:
            self._next()
            return self._block(first)
        if first.kind == "word" and first.text in ("break", "continue"):
            self._next()
            self._finish(first.text)
            if not self._loops:
                raise TemplateError(f"{{{{{first.text}}}}} stands outside of a range; remove it", first.line)
            return Leave(first.text == "continue")
        if first.kind == "word" and first.text in _REFUSED:
            if self._definitions is None:
                raise TemplateError(
                    f"{{{{{first.text}}}}} cannot be used in a rule's template; write its text where it is needed",
                    first.line,
                )
            return self._call(first)
        pipeline = self._pipeline(takes_two=False)
        self._finish("the action")
        return Output(pipeline)

    def _define(self, opening: Token) -> None:
        """What follows `define`, up to its end."""
        if len(self._scopes) > 1:
            raise TemplateError("{{define}} stands inside another block; move it to the top", opening.line)
        self._next()
        name = self._name(opening)
        self._finish("define")
        self._body(opening, name)

    def _call(self, opening: Token) -> Node:
        """What follows `template`, or `block` with its body."""
        self._next()
        name = self._name(opening)
        pipeline = None
        if self._peek().kind != "end":
            pipeline = self._pipeline(takes_two=False)
        elif opening.text == "block":
            raise TemplateError(
                'a {{block}} needs the value of its dot; write {{block "name" .}}', opening.line
            )
        self._finish(opening.text)
        if opening.text == "block":
            self._body(opening, name)
        return Call(opening.line, name, pipeline)

    def _name(self, opening: Token) -> str:
        token = self._next()
        if token.kind != "string" or token.text[0] == "'":
            raise TemplateError(
                f'{{{{{opening.text}}}}} needs a name in quotes; write {{{{{opening.text} "name"}}}}',
                opening.line,
            )
        return unquote(token.text)

    def _body(self, opening: Token, name: str) -> None:
        """Keep what stands up to the end as the template `name`: it knows no variable but `$` and no loop around."""
        assert self._definitions is not None
        scopes, loops = self._scopes, self._loops
        self._scopes, self._loops = [{""}, set()], 0
        with self._scope(opening.line):
            nodes, closing = self._nodes()
        self._scopes, self._loops = scopes, loops
        if closing is None or closing.text != "end":
            raise TemplateError(f"{{{{{opening.text}}}}} has no {{{{end}}}}; write it", opening.line)
        self._finish("end")
        # As in Go, a body of nothing but space takes the place of nothing.
        if name not in self._definitions or any(
            not isinstance(node, Text) or node.text.strip() for node in nodes
        ):
            self._definitions[name] = nodes

    @contextmanager
    def _scope(self, line: int) -> Iterator[None]:
        self._scopes.append(set())
        self._depth += 1
        if self._depth > _DEEPEST:
            raise TemplateError(f"is nested deeper than {_DEEPEST} levels; write it flatter", line)
        yield
        self._depth -= 1
        self._scopes.pop()

    def _block(self, opening: Token) -> Node:
        """What follows `if`, `with` or `range`, up to its end."""
        is_loop = opening.text == "range"
        with self._scope(opening.line):
            pipeline = self._pipeline(takes_two=is_loop)
            self._finish(opening.text)
            self._loops += is_loop
            body, closing = self._nodes()
            self._loops -= is_loop
            otherwise: tuple[Node, ...] = ()
            if closing is not None and closing.text == "else":
                following = self._peek()
                if following.kind == "word" and following.text == opening.text != "range":
                    self._next()
                    # `else if` shares the end of its if.
                    return self._made(opening, pipeline, body, (self._block(following),))
                self._finish("else")
                otherwise, closing = self._nodes()
        if closing is None:
            raise TemplateError(f"{{{{{opening.text}}}}} has no {{{{end}}}}; write it", opening.line)
        if closing.text == "else":
            raise TemplateError("a second {{else}} in one block; remove it", closing.line)
        self._finish("end")
        return self._made(opening, pipeline, body, otherwise)

    def _made(
        self, opening: Token, pipeline: Pipeline, body: tuple[Node, ...], otherwise: tuple[Node, ...]
    ) -> Node:
        return _BLOCKS[opening.text](pipeline, body, otherwise)

    def _pipeline(self, *, takes_two: bool, closing: str = "") -> Pipeline:
        line = self._peek().line
        declares, is_assignment = self._declaration(takes_two)
        commands = [self._command()]
        while self._peek().text == "|" and self._peek().kind == "symbol":
            self._next()
            commands.append(self._command(is_piped=True))
        if closing:
            last = self._next()
            if last.text != closing:
                raise TemplateError("a ( is opened and not closed; write )", line)
        if not is_assignment:
            self._scopes[-1].update(declares)
        return Pipeline(line, tuple(commands), declares, is_assignment)

    def _declaration(self, takes_two: bool) -> tuple[tuple[str, ...], bool]:
        """The variables before `:=` or `=`, if that is what comes; nothing is taken otherwise."""
        before = self._at
        names = []
        while self._peek().kind == "variable":
            names.append(self._next().text[1:])
            if self._peek().text == "," and takes_two and len(names) == 1:
                self._next()
                continue
            sign = self._peek()
            if sign.kind == "symbol" and sign.text in (":=", "="):
                self._next()
                for name in names if sign.text == "=" else ():
                    self._known(name, sign.line)
                return tuple(names), sign.text == "="
            break
        self._at = before
        return (), False

    def _command(self, is_piped: bool = False) -> Command:
        line = self._peek().line
        operands: list[Operand] = []
        while (operand := self._operand()) is not None:
            operands.append(operand)
        if not operands:
            found = self._peek()
            raise TemplateError(
                f"expected a value, found {found.text or 'the end of the action'}; write a function, a field "
                "such as .Labels or a variable such as $value",
                line,
            )
        if isinstance(operands[0], Literal) and (is_piped or len(operands) > 1):
            raise TemplateError("a constant takes no arguments; write a function before it", line)
        return Command(line, tuple(operands))

    def _operand(self) -> Operand | None:  # noqa: PLR0911
        token = self._peek()
        if token.kind == "end" or (token.kind == "symbol" and token.text in (")", "|")):
            return None
        self._next()
        match token.kind, token.text:
            case "string", text:
                return Literal(ord(unquote(f'"{text[1:-1]}"')[0]) if text[0] == "'" else unquote(text))
            case "number", text:
                return Literal(_number(text, token.line))
            case "variable", text:
                self._known(text[1:], token.line)
                return Variable(text[1:], self._fields())
            case "field", text:
                return Field((text[1:], *self._fields()))
            case "symbol", ".":
                return Field(())
            case "symbol", "(":
                self._depth += 1
                if self._depth > _DEEPEST:
                    raise TemplateError(
                        f"is nested deeper than {_DEEPEST} levels; write it flatter", token.line
                    )
                inner = self._pipeline(takes_two=False, closing=")")
                self._depth -= 1
                return Chain(inner, self._fields())
            case "word", text:
                return self._word(text, token.line)
        raise TemplateError(f"'{token.text}' is not expected here", token.line)

    def _word(self, text: str, line: int) -> Operand:
        if text in _CONSTANTS:
            return Literal(_CONSTANTS[text])
        if text not in self._functions:
            raise TemplateError(f"the function '{text}' does not exist", line)
        fields = self._fields()
        if fields:
            return Chain(Pipeline(line, (Command(line, (FunctionName(text),)),)), fields)
        return FunctionName(text)

    def _fields(self) -> tuple[str, ...]:
        names = []
        while self._at < len(self._tokens) and self._tokens[self._at].kind == "field":
            names.append(self._tokens[self._at].text[1:])
            self._at += 1
        return tuple(names)

    def _known(self, name: str, line: int) -> None:
        if not any(name in scope for scope in self._scopes):
            raise TemplateError(f"the variable ${name} does not exist; declare it with ${name} := …", line)

    def _peek(self) -> Token:
        while self._at < len(self._tokens) and self._tokens[self._at].kind == "space":
            self._at += 1
        return self._tokens[self._at] if self._at < len(self._tokens) else _END

    def _next(self) -> Token:
        token = self._peek()
        self._at += 1
        return token

    def _finish(self, what: str) -> None:
        token = self._peek()
        if token.kind != "end":
            raise TemplateError(f"'{token.text}' is not expected behind {what}", token.line)


def _number(text: str, line: int) -> int | float:
    """Go's reading of a constant: an integer unless it has a point or an exponent."""
    try:
        if text.lstrip("+-")[:2].lower() in ("0x", "0b", "0o"):
            return int(text, 0)
        if any(letter in text for letter in ".eE"):
            return float(text)
        return int(text)
    except ValueError:
        raise TemplateError(f"'{text}' is no number", line) from None

"""YAML text to plain values with the line of each: the first stage of `load`.

Built on ruamel.yaml's events instead of its loaders, because each hazard must become a sentence with a
line: duplicate keys, aliases that expand to billions of values, tags that would run code, nesting without
end. Plain scalars follow the core schema of YAML 1.2, so `on` and `2024-01-01` are text. Merge keys (`<<`)
of YAML 1.1 are kept, since people use them with anchors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

from setpoint.errors import Problem
from setpoint.resource.model import Place, show_place

__all__ = ["DEPTH_MAX", "VALUES_MAX", "Source", "read_yaml"]

DEPTH_MAX = 40
"""Deepest nesting of one document, aliases expanded."""

VALUES_MAX = 100_000
"""Most values of one file, aliases expanded."""

_TAG = "tag:yaml.org,2002:"
_CONSTANTS = {"": None, "~": None, "null": None, "Null": None, "NULL": None} | {
    text: value
    for word, value in (("true", True), ("false", False))
    for text in (word, word.title(), word.upper())
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)
_TAG_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "null": (type(None),),
}
_DIGITS_MAX = 40
_KEY_MAX = 250
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class _Node:
    """A value with its line; `size` and `depth` count what stands in it, aliases expanded."""

    line: int
    size: int = 1
    depth: int = 1
    is_open: bool = False


@dataclass(slots=True)
class _Scalar(_Node):
    text: str = ""
    is_plain: bool = True
    tag: str | None = None


@dataclass(slots=True)
class _List(_Node):
    items: list[_Node] = field(default_factory=list)


@dataclass(slots=True)
class _Map(_Node):
    pairs: list[tuple[_Node, _Node]] = field(default_factory=list)
    key: _Node | None = None


@dataclass(slots=True)
class Source:
    """One document as it was read: `lines` has the line of each place, `plain` the text of unquoted
    scalars; `origins` where the parts of a document that was rewritten stood before.
    """

    file: str
    line: int
    body: Any
    lines: dict[Place, int] = field(default_factory=dict)
    plain: dict[Place, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    origins: dict[Place, Place] = field(default_factory=dict)


class _Refused(Exception):
    """The file cannot be read any further; carries the problem."""

    def __init__(self, line: int, message: str) -> None:
        self.line = line
        self.message = message
        super().__init__(message)


def read_yaml(file: str, text: str, *, takes_infinite: bool = False) -> tuple[list[Source], list[Problem]]:
    """Every document of `text` that is not empty, and the problem that ended the reading early, if any.

    `takes_infinite` lets `.inf` and `.nan` stand for what they are, in files where they are sample values.
    """
    sources: list[Source] = []
    try:
        for root in _compose(text.removeprefix("\ufeff")):
            source = Source(file, root.line, None)
            source.body = _Builder(source, takes_infinite).value(root, ())
            if source.body is not None or source.problems:
                sources.append(source)
    except _Refused as refusal:
        return sources, [Problem(refusal.message, file, refusal.line)]
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character[:1])
        return sources, [Problem(f"character U+{code:04X} is not allowed in YAML; remove it", file, line)]
    except MarkedYAMLError as error:
        return sources, [_syntax_problem(file, error)]
    except (YAMLError, ValueError) as error:
        return sources, [Problem(f"is not valid YAML: {error}", file)]
    return sources, []


def _compose(text: str) -> Iterator[_Node]:
    """The root node of each document. No recursion, so that no input can exhaust the stack."""
    anchors: dict[str, _Node] = {}
    stack: list[_List | _Map] = []
    total = 0
    root: _Node | None = None
    for event in YAML(typ="safe", pure=True).parse(text):
        if isinstance(event, events.DocumentStartEvent):
            anchors.clear()
            if event.version not in (None, (1, 2)):
                raise _Refused(event.start_mark.line + 1, "Setpoint reads YAML 1.2; remove the %YAML line")
        elif isinstance(event, events.DocumentEndEvent):
            assert root is not None
            yield root
        elif isinstance(event, events.CollectionEndEvent):
            closed = stack.pop()
            closed.is_open = False
            if stack:
                _attach(stack[-1], closed)
            else:
                root = closed
        elif isinstance(event, events.NodeEvent):
            node = _node(event, anchors)
            total += node.size
            _check_limits(event.start_mark.line + 1, total, len(stack) + node.depth)
            if node.is_open and isinstance(node, (_List, _Map)):
                stack.append(node)
            elif stack:
                _attach(stack[-1], node)
            else:
                root = node


def _check_limits(line: int, values: int, depth: int) -> None:
    if values > VALUES_MAX:
        raise _Refused(
            line,
            f"the file has more than {VALUES_MAX} values when its aliases are expanded; "
            "split it, or write fewer aliases",
        )
    if depth > DEPTH_MAX:
        raise _Refused(line, f"is nested deeper than {DEPTH_MAX} levels; write it flatter")


def _node(event: events.NodeEvent, anchors: dict[str, _Node]) -> _Node:
    line = event.start_mark.line + 1
    if isinstance(event, events.AliasEvent):
        if event.anchor not in anchors:
            raise _Refused(line, f"'*{event.anchor}' has no anchor '&{event.anchor}' above it; add it")
        target = anchors[event.anchor]
        if target.is_open:
            raise _Refused(line, f"'*{event.anchor}' contains itself; write the value out")
        return target
    node: _Node
    written = getattr(event, "tag", None)
    tag = None if written is None else str(written)
    if isinstance(event, events.ScalarEvent):
        node = _Scalar(line, text=event.value, is_plain=bool(event.implicit[0]), tag=tag)
    elif isinstance(event, events.SequenceStartEvent):
        node = _List(line, is_open=True)
    else:
        node = _Map(line, is_open=True)
    if tag is not None and not (
        tag == "!"
        or (
            isinstance(node, _Scalar)
            and tag in {_TAG + name for name in ("str", "int", "float", "bool", "null")}
        )
        or (isinstance(node, _List) and tag == _TAG + "seq")
        or (isinstance(node, _Map) and tag == _TAG + "map")
    ):
        shown = tag.replace(_TAG, "!!")
        raise _Refused(line, f"the tag '{shown}' is not supported; remove it and write a plain value")
    if event.anchor is not None:
        anchors[event.anchor] = node
    return node


def _attach(parent: _List | _Map, child: _Node) -> None:
    parent.size += child.size
    parent.depth = max(parent.depth, child.depth + 1)
    if isinstance(parent, _List):
        parent.items.append(child)
    elif parent.key is None:
        parent.key = child
    else:
        parent.pairs.append((parent.key, child))
        parent.key = None


class _Builder:
    """Turns nodes into plain values; notes lines and problems in the source."""

    def __init__(self, source: Source, takes_infinite: bool) -> None:
        self._source = source
        self._takes_infinite = takes_infinite

    def value(self, node: _Node, place: Place) -> Any:
        if isinstance(node, _Scalar):
            return self._scalar(node, place)
        if isinstance(node, _List):
            found = []
            for index, item in enumerate(node.items):
                self._source.lines[*place, index] = item.line
                found.append(self.value(item, (*place, index)))
            return found
        assert isinstance(node, _Map)
        return self._map(node, place)

    def _map(self, node: _Map, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        written: dict[str, int] = {}
        merged: list[tuple[_Node, _Node]] = []
        for key_node, value_node in node.pairs:
            key = self._key(key_node, place)
            if key is None:
                continue
            if key in written:
                self._report(
                    key_node.line,
                    place,
                    f"the key '{key}' is written twice, first in line {written[key]}; remove one of them",
                )
                continue
            written[key] = key_node.line
            if key == "<<" and isinstance(key_node, _Scalar) and key_node.is_plain:
                merged = self._merged(value_node, place)
                continue
            self._source.lines[*place, key] = key_node.line
            found[key] = self.value(value_node, (*place, key))
        for key_node, value_node in merged:
            key = self._key(key_node, place)
            if key is not None and key not in found:
                self._source.lines[*place, key] = key_node.line
                found[key] = self.value(value_node, (*place, key))
        return found

    def _merged(self, node: _Node, place: Place) -> list[tuple[_Node, _Node]]:
        """The pairs that `<<` brings; of several mappings the first one that has a key wins."""
        parts = node.items if isinstance(node, _List) else [node]
        pairs: list[tuple[_Node, _Node]] = []
        for part in parts:
            if not isinstance(part, _Map):
                self._report(node.line, place, "'<<' takes a mapping, such as '<<: *anchor'; write one")
                return []
            for key_node, value_node in part.pairs:
                if isinstance(key_node, _Scalar) and key_node.is_plain and key_node.text == "<<":
                    pairs.extend(self._merged(value_node, place))
                else:
                    pairs.append((key_node, value_node))
        return pairs

    def _key(self, node: _Node, place: Place) -> str | None:
        if not isinstance(node, _Scalar):
            self._report(node.line, place, "a list or a mapping cannot be a key; write text")
            return None
        if _SURROGATE.search(node.text):
            self._report(
                node.line, place, "a key holds half of a character pair (\\uD800 to \\uDFFF); remove it"
            )
            return None
        if len(node.text) > _KEY_MAX:
            self._report(node.line, place, f"a key has {len(node.text)} characters; write at most {_KEY_MAX}")
            return None
        if not node.is_plain or node.tag is not None:
            return node.text
        kind = _kind_of(node.text)
        if kind == "text":
            return node.text
        shown = node.text or "an empty key"
        self._report(
            node.line, place, f'{shown} is {kind} here, and keys are text; write "{node.text}" in quotes'
        )
        return None

    def _scalar(self, node: _Scalar, place: Place) -> Any:
        if _SURROGATE.search(node.text):
            self._report(node.line, place, "holds half of a character pair (\\uD800 to \\uDFFF); remove it")
            return ""
        tag = (node.tag or "").removeprefix(_TAG)
        if tag in ("str", "!") or (not node.is_plain and not tag):
            return node.text
        if not tag:
            self._source.plain[place] = node.text
        value = self._plain(node, place)
        if tag and type(value) not in _TAG_TYPES[tag]:
            self._report(node.line, place, f"'{node.text}' does not fit its tag !!{tag}; remove the tag")
        return float(value) if tag == "float" and isinstance(value, int) else value

    def _plain(self, node: _Scalar, place: Place) -> Any:
        text = node.text
        if text in _CONSTANTS:
            return _CONSTANTS[text]
        value: int | float = 0
        fault = ""
        if _INTEGER.fullmatch(text) and len(text) <= _DIGITS_MAX:
            value = int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        elif _INTEGER.fullmatch(text):
            fault = f"a number of {len(text)} digits is too long; quote it if it is text"
        elif _FLOAT.fullmatch(text):
            value = float(text)
            fault = f"{text} is too large for a number; write a smaller one" if math.isinf(value) else ""
        elif _NOT_FINITE.fullmatch(text) and self._takes_infinite:
            value = float(text.replace(".", ""))
        elif _NOT_FINITE.fullmatch(text):
            fault = f"{text} is no number that can be used; write a finite one"
        else:
            return text
        if fault:
            self._report(node.line, place, fault)
            return 0
        return value

    def _report(self, line: int, place: Place, message: str) -> None:
        self._source.problems.append(Problem(message, self._source.file, line, show_place(place)))


def _kind_of(text: str) -> str:
    """What the core schema of YAML 1.2 makes of an unquoted scalar, in words."""
    if text in _CONSTANTS:
        return "null" if _CONSTANTS[text] is None else "a boolean"
    if _INTEGER.fullmatch(text) or _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text):
        return "a number"
    return "text"


def _syntax_problem(file: str, error: MarkedYAMLError) -> Problem:
    problem = " ".join(str(error.problem or "").split())
    context = " ".join(str(error.context or "").split())
    mark = error.problem_mark or error.context_mark
    if "'\\t'" in problem or "tab" in problem.lower():
        message = "a tab stands where YAML wants spaces; indent with spaces"
    elif "quoted scalar" in context:
        message = "a quote is opened here and not closed; close it"
        mark = error.context_mark or mark
    elif "mapping values are not allowed" in problem:
        message = "a ':' stands where no key can be; fix the indentation, or put the text in quotes"
    elif "could not find expected ':'" in problem:
        message = "expected ':' after a key; write 'key: value', or put the text in quotes"
        mark = error.context_mark or mark
    elif "expected <block end>" in problem:
        message = (
            "the indentation does not fit the lines above; align it with the other keys or items of its block"
        )
    elif "flow node" in context:
        message = "a bracket '[' or '{' that was opened above is not closed; complete it"
    elif "flow" in context:
        message = (
            "a bracket '[' or '{' is opened here and not closed, or a comma is missing in it; complete it"
        )
        mark = error.context_mark or mark
    elif start := re.search(r"found character '(.)' that cannot start any token", problem):
        message = f"text cannot begin with {start[1]}; put it in quotes"
    else:
        message = (
            f"is not valid YAML: {', '.join(part for part in (context, problem) if part)}; correct this line"
        )
    return Problem(message, file, None if mark is None else mark.line + 1)

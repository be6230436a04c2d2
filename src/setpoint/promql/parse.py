"""Parses PromQL into our own nodes; the only module that knows promql-parser.

Callers are `objective` (when a resource is checked, also offline), the Prometheus API and the pages. It
imports no numpy and no kernels. promql-parser's messages are short and without positions: `diagnose` finds
the place and says what to write instead.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from functools import lru_cache
from typing import Any, Literal, cast

import promql_parser

from setpoint.promql.diagnose import advice, locate, structure_size
from setpoint.promql.durations import fold_durations
from setpoint.promql.errors import QueryError, Unsupported
from setpoint.promql.literals import unquoted
from setpoint.promql.nodes import (
    TRIMS,
    Aggregation,
    At,
    Binary,
    Call,
    ExactIncrease,
    Grouping,
    LabelMatcher,
    Matching,
    MatrixSelector,
    Node,
    NumberLiteral,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
)
from setpoint.promql.places import Cursor
from setpoint.promql.supported import refuse_unsupported

__all__ = ["parse", "prettify"]

_AT_SUFFIX = re.compile(r"@ (\d+(?:\.\d+)?)(?: offset \S+)?$")
_NEGATIVE_AT = re.compile(r"@\s*-")
_LARGEST_MS = 2**62
_STAND_IN = "__setpoint_stand_in__"
_NOT_YET = ("anchored", "smoothed")
_QUOTES = ("'", '"', "`")

# promql-parser recurses on the machine's stack: some thousand levels end the process. Ours is Python's, 1,000 frames.
_LARGEST_STRUCTURE = 1000
_DEEPEST = 200

_LONGEST_KEPT, _TREES_KEPT = 4096, 1024
"""Dashboards ask the same again and again, and a tree is never changed."""

# The parser's enumerations are not hashable; their names are.
_OPERATORS: dict[str, Literal["=", "!=", "=~", "!~"]] = {
    "MatchOp.Equal": "=",
    "MatchOp.NotEqual": "!=",
    "MatchOp.Re": "=~",
    "MatchOp.NotRe": "!~",
}
_MANY_SIDE: dict[str, Literal["left", "right"]] = {
    "VectorMatchCardinality.ManyToOne": "left",
    "VectorMatchCardinality.OneToMany": "right",
}


def parse(query: str, *, step_ms: int = 0, range_ms: int = 0) -> Node:
    """The tree of `query`; `step_ms` and `range_ms` are what step() and range() within durations mean.

    Raises QueryError (an InvalidInput that holds the query and, where it can be found, the position) when it
    is not PromQL, and Unsupported when it is PromQL that cannot be computed here yet.
    """
    return (_kept if len(query) <= _LONGEST_KEPT else _parsed)(query, step_ms, range_ms)


def _parsed(query: str, step_ms: int, range_ms: int) -> Node:
    if len(query) >= _LARGEST_STRUCTURE and structure_size(query) >= _LARGEST_STRUCTURE:
        raise QueryError("the query has too many operators and brackets; split it into several", query)
    try:
        tree = promql_parser.parse(_accepted(fold_durations(query, step_ms, range_ms)))
        # Durations and times are read here, and are ValueErrors where Python cannot hold them.
        converter = _Converter(query)
        node = converter.node(tree)
    except ValueError as error:
        if modifier := Cursor(query).first_of(_NOT_YET):
            raise Unsupported(f"the modifier '{modifier}' is not supported yet; in: {query}") from error
        raise _explain(str(error), query) from error
    if converter.trims != len(_trims(query)):
        raise Unsupported(f"the operators </ and >/ are not understood here; in: {query}")
    refuse_unsupported(node, query)
    return node


_kept = lru_cache(_TREES_KEPT)(_parsed)


def refuse_rewritten(query: str) -> None:
    """Raise Unsupported for what promql-parser does not know, and so cannot lay out."""
    if _trims(query):
        raise Unsupported(f"queries with </ or >/ cannot be laid out yet; in: {query}")
    if fold_durations(query, 1, 1) != query:
        raise Unsupported(f"queries with arithmetic in durations cannot be laid out yet; in: {query}")


def prettify(query: str) -> str:
    """`query` laid out over several lines; errors as `parse`."""
    parse(query)
    refuse_rewritten(query)
    return str(promql_parser.parse(query).prettify())


def _accepted(query: str) -> str:
    """`query` as promql-parser accepts it.

    The label selectors of info() get a matcher that keeps the parser from refusing those that match empty labels
    only; the tree goes without it. The trim operators become comparisons, which bind as they do.
    """
    for place in _trims(query):
        query = f"{query[: place + 1]} {query[place + 2 :]}"
    if "info" not in query:
        return query
    for place in reversed(Cursor(query).info_braces()):
        rest = query[place + 1 :]
        comma = "" if rest.lstrip().startswith("}") else ","
        query = f'{query[: place + 1]}{_STAND_IN}=~".+"{comma}{rest}'
    return query


def _trims(query: str) -> list[int]:
    """Where in `query` the trim operators stand."""
    return Cursor(query).trims() if "</" in query or ">/" in query else []


def _explain(reason: str, query: str) -> QueryError:
    position = locate(reason, query)
    hint = advice(reason, query)
    text = query if len(query) <= 400 else f"{query[:200]} … {query[-200:]}"
    place = "" if position is None else f" at character {position + 1}"
    message = f"the query does not parse{place}: {reason}; in: {text or '(an empty query)'}"
    return QueryError(f"{message}\n{hint}" if hint else message, query, position)


def _milliseconds(duration: timedelta | None) -> int:
    return 0 if duration is None else round(duration / timedelta(milliseconds=1))


class _Converter:
    """promql-parser's tree to ours; keeps the text of the query for messages."""

    def __init__(self, query: str) -> None:
        self.query = query
        self.depth = 0
        self.cursor = Cursor(query)
        self.trims = 0

    def node(self, tree: Any) -> Node:
        """Convert one node and all below it."""
        place, parentheses = self.cursor.place, 0
        while isinstance(tree, promql_parser.ParenExpr):
            self.cursor.take("(")
            parentheses += 1
            tree = tree.expr
        convert = getattr(self, f"_{type(tree).__name__}", None)
        if convert is None:
            raise Unsupported(f"'{type(tree).__name__}' is not supported yet; in: {self.query}")
        if self.depth >= _DEEPEST:
            raise QueryError(
                f"the query is nested more than {_DEEPEST} levels deep; split it into several", self.query
            )
        self.depth += 1
        node = cast(Node, convert(tree))
        self.depth -= 1
        for _ in range(parentheses):
            self.cursor.take(")")
        return node if isinstance(node, ExactIncrease) else replace(node, place=place)

    def _NumberLiteral(self, tree: Any) -> Node:
        self.cursor.signs()
        self.cursor.take()
        return NumberLiteral(float(tree.val))

    def _StringLiteral(self, tree: Any) -> Node:
        token = self.cursor.text
        self.cursor.take()
        return StringLiteral(unquoted(token) if token[:1] in _QUOTES else tree.val)

    def _UnaryExpr(self, tree: Any) -> Node:
        self.cursor.take()
        return Unary(self.node(tree.expr))

    def _VectorSelector(self, tree: Any) -> VectorSelector:
        if tree.matchers.or_matchers:
            raise Unsupported(
                "'or' between label matchers is not supported yet; "
                f"write a regular expression, or 'or' between two selectors; in: {self.query}"
            )
        matchers = [
            LabelMatcher(m.name, _OPERATORS[str(m.op)], m.value)
            for m in tree.matchers.matchers
            if m.name != _STAND_IN
        ]
        if tree.name is not None:
            matchers.insert(0, LabelMatcher("__name__", "=", tree.name))
        self.cursor.selector()
        return VectorSelector(tuple(matchers), _milliseconds(tree.offset), self._at(tree))

    def _MatrixSelector(self, tree: Any) -> Node:
        return MatrixSelector(self._VectorSelector(tree.vector_selector), _milliseconds(tree.range))

    def _SubqueryExpr(self, tree: Any) -> Node:
        step_ms = None if tree.step is None else _milliseconds(tree.step)
        node = self.node(tree.expr)
        self.cursor.suffixes()
        return Subquery(
            node,
            _milliseconds(tree.range),
            step_ms,
            _milliseconds(tree.offset),
            self._at(tree),
        )

    def _Call(self, tree: Any) -> Node:
        self.cursor.take(tree.func.name)
        self.cursor.take("(")
        args = []
        for i, arg in enumerate(tree.args):
            if i:
                self.cursor.take(",")
            args.append(self.node(arg))
        self.cursor.take(")")
        return Call(tree.func.name, tuple(args))

    def _AggregateExpr(self, tree: Any) -> Node:
        grouping = Grouping()
        if tree.modifier is not None:
            without = tree.modifier.type == promql_parser.AggModifierType.Without
            grouping = Grouping(tuple(tree.modifier.labels), without)
        self.cursor.take(str(tree.op))
        self.cursor.grouping()
        self.cursor.take("(")
        param = None
        if tree.param is not None:
            param = self.node(tree.param)
            self.cursor.take(",")
        node = self.node(tree.expr)
        self.cursor.take(")")
        self.cursor.grouping()
        return Aggregation(str(tree.op).lower(), node, param, grouping)

    def _BinaryExpr(self, tree: Any) -> Node:
        left = self.node(tree.lhs)
        op = str(tree.op).lower()
        if self.cursor.peek in TRIMS:
            op = self.cursor.peek
            self.trims += 1
        self.cursor.operator()
        right = self.node(tree.rhs)
        modifier = tree.modifier
        if modifier is None:
            return Binary(op, left, right)
        if op in TRIMS and modifier.return_bool:
            raise QueryError("bool modifier can only be used on comparison operators", self.query)
        matching = Matching(
            on=modifier.matching is not None
            and modifier.matching.type == promql_parser.LabelModifierType.Include,
            labels=tuple(modifier.matching.labels) if modifier.matching is not None else (),
            group=_MANY_SIDE.get(str(modifier.card)),
            include=tuple(modifier.group_labels or ()),
            fill_left=modifier.fill_values.lhs,
            fill_right=modifier.fill_values.rhs,
        )
        return Binary(op, left, right, bool(modifier.return_bool), matching)

    def _at(self, tree: Any) -> At:
        """The `@` modifier, read from the node's text: the attribute panics on times before 1970."""
        if tree.at is None:
            return None
        if tree.at.type == promql_parser.AtModifierType.Start:
            return "start"
        if tree.at.type == promql_parser.AtModifierType.End:
            return "end"
        found = _AT_SUFFIX.search(str(tree))
        if found is None or (float(found[1]) == 0 and _NEGATIVE_AT.search(self.query)):
            raise Unsupported(f"'@' with a time before 1970 is not supported; in: {self.query}")
        at_ms = round(float(found[1]) * 1000)
        if at_ms > _LARGEST_MS:
            raise QueryError(f"the time after '@' is out of range; in: {self.query}", self.query)
        return at_ms
